-- Plans: what a mass change leaves, what may be done with it, the brake, and the way back.
\i test/fixture/contract.sql
SELECT no_plan();

CREATE FUNCTION tap.drift(a integer, b integer) RETURNS void LANGUAGE sql AS
    $$ SELECT tap.add_user(i, 'u' || i || '@example.com', meta => '{"display_name": "Somebody"}', drift => true) FROM generate_series(a, b) AS i $$;
CREATE FUNCTION tap.items(plan bigint) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT coalesce(string_agg(concat_ws(' ', n, action, situation, state, sqlstate), ', ' ORDER BY action, situation, state), 'none')
      FROM (SELECT action, situation, state, sqlstate, count(*) AS n FROM authsync.plan_items WHERE plan_id = plan GROUP BY 1, 2, 3, 4) AS i $$;
CREATE FUNCTION tap.brief(result jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT concat_ws(' ', result ->> 'state', 'c' || (result ->> 'create'), 'u' || (result ->> 'update'), 'd' || (result ->> 'delete'), 's' || (result ->> 'skip'),
                     'done' || (result ->> 'done'), 'failed' || (result ->> 'failed'), 'stale' || (result ->> 'stale')) $$;

-- ---- the shape
SELECT columns_are('authsync', 'plans', ARRAY['plan_id', 'kind', 'source', 'target', 'created_at', 'created_by', 'state', 'counts', 'brake', 'applied_at']);
SELECT columns_are('authsync', 'plan_items', ARRAY['plan_id', 'item', 'action', 'situation', 'user_id', 'subject', 'changes', 'state', 'sqlstate', 'message']);
SELECT function_returns('authsync', 'apply', ARRAY['bigint', 'boolean', 'text'], 'jsonb');
SELECT function_returns('authsync', 'cancel', ARRAY['bigint'], 'boolean');
SELECT function_returns('authsync', 'undo', ARRAY['bigint', 'boolean'], 'jsonb');

-- ---- a backfill is a plan by rule: items only for what could not be written
ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
SELECT tap.drift(1, 10) \g /dev/null
SELECT tap.add_user(11, 'bad@example.com', meta => '{"display_name": "Bad"}', drift => true) \g /dev/null
SELECT backfill_all_missing_profiles(4, false) ->> 'plan_id' AS plan \gset
SELECT is(tap.items(:plan), '1 create failed 23514', 'ten written, one item');
SELECT is((SELECT user_id FROM authsync.plan_items WHERE plan_id = :plan), tap.id(11), '… about whom it was');
SELECT alike((SELECT message FROM authsync.plan_items WHERE plan_id = :plan), '%nice_name%', '… and why');
SELECT results_eq(format($$ SELECT kind, source, target, state, (counts ->> 'create')::int, (counts ->> 'done')::int, (counts ->> 'failed')::int, brake FROM authsync.plans WHERE plan_id = %s $$, :plan),
    $$ VALUES ('backfill', 'auth.users', 'public.profiles', 'partly_applied', 11, 10, 1, NULL::text) $$, 'its row');
SELECT is((SELECT details - 'plan_id' FROM user_events WHERE event_type = 'plan_applied'), '{"kind": "backfill", "done": 10, "failed": 1, "stale": 0}', 'one event tells of it');
SELECT is((SELECT created_by FROM authsync.plans WHERE plan_id = :plan), session_user::name, 'who made it');

-- ---- undo: a dry run leaves its plan, changes nothing else
SELECT md5(string_agg(p::text, '' ORDER BY id)) AS profiles, count(*) AS n FROM profiles AS p \gset
SELECT count(*) AS events FROM user_events \gset
UPDATE profiles SET display_name = 'Her own' WHERE id = tap.id(2);
DELETE FROM profiles WHERE id = tap.id(3);
CREATE TABLE posts (author uuid REFERENCES profiles (id) ON DELETE CASCADE, title text);
INSERT INTO posts VALUES (tap.id(4), 'Hello');
SELECT authsync.undo(:plan) AS undo \gset
SELECT is(tap.brief(:'undo'), 'open c0 u0 d7 s3 done0 failed0 stale0', 'seven would go: not who changed, is gone, or has a post');
SELECT is(:'undo'::jsonb ->> 'dry_run', 'true', 'a dry run by default');
SELECT is((:'undo'::jsonb ->> 'source_total')::int, 10, 'of ten that were made');
SELECT is((:'undo'::jsonb ->> 'target_total')::int, 9, 'among nine profiles');
SELECT matches(:'undo'::jsonb ->> 'message', '^Would delete 7 profiles; .*1 changed since and left', 'in words');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(:'undo') AS k),
    ARRAY['create', 'delete', 'disable', 'disputed', 'done', 'dry_run', 'failed', 'link', 'message', 'plan_id', 'skip', 'source_total', 'stale', 'state', 'target_total', 'update'], 'exactly the keys of the contract');
SELECT is((SELECT count(*) FROM profiles), 9::bigint, 'nothing has gone');
SELECT is((SELECT count(*) FROM user_events), :events::bigint, '… and no event was written');
SELECT (:'undo'::jsonb ->> 'plan_id')::bigint AS undo_plan \gset
SELECT is(tap.items(:undo_plan), '7 delete untouched open, 1 skip changed skipped, 1 skip referenced skipped', 'its items');
SELECT is((SELECT changes -> 'email' FROM authsync.plan_items WHERE plan_id = :undo_plan AND user_id = tap.id(1)), '["u1@example.com", null]', 'each with what was there');

BEGIN READ ONLY;
SELECT is(tap.brief(authsync.undo(:plan)), 'open c0 u0 d7 s3 done0 failed0 stale0', 'READ ONLY: the counts');
SELECT is(authsync.undo(:plan) ->> 'plan_id', NULL, '… and no plan');
ROLLBACK;
SELECT is((SELECT count(*) FROM authsync.plans), 2::bigint, '… none at all');

-- ---- apply: just those items; what has changed since is stale
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
UPDATE profiles SET account_type = 'business' WHERE id = tap.id(5);
INSERT INTO posts VALUES (tap.id(6), 'Me too');
SELECT authsync.apply(:undo_plan) AS applied \gset
SELECT is(tap.brief(:'applied'), 'partly_applied c0 u0 d7 s3 done5 failed0 stale2', 'five go, two have changed since; time zone and date style are nothing to it');
SELECT is(:'applied'::jsonb ->> 'dry_run', 'false', 'it says that it was real');
SELECT is(tap.items(:undo_plan), '5 delete untouched done, 2 delete untouched stale, 1 skip changed skipped, 1 skip referenced skipped', 'the items tell which');
SELECT is((SELECT count(*) FROM posts), 2::bigint, 'no post went with a profile');
SELECT is((SELECT array_agg(id ORDER BY id) FROM profiles), ARRAY[tap.id(2), tap.id(4), tap.id(5), tap.id(6)], 'who stays');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_removed' AND (details ->> 'plan_id')::bigint = :undo_plan), 5::bigint, 'an event for each');
SELECT is((SELECT drift_total FROM monitor_signup_health()), (SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'), 'the looking functions see it');
SELECT ok((SELECT applied_at IS NOT NULL FROM authsync.plans WHERE plan_id = :undo_plan), 'when');
SELECT throws_ok(format('SELECT authsync.apply(%s)', :undo_plan), '55000', NULL, 'a plan is applied once');

-- ---- undo of the undo: they come back as they were
SELECT is(tap.brief(authsync.undo(:undo_plan, false)), 'applied c5 u0 d0 s0 done5 failed0 stale0', 'undo of an undo');
SELECT is((SELECT count(*) FROM profiles WHERE display_name = 'Somebody' AND created_at IS NOT NULL), 8::bigint, 'all that had not been changed or deleted by hand');
RESET TimeZone;
RESET DateStyle;

-- ---- cancel
SELECT authsync.undo(:plan) ->> 'plan_id' AS doomed \gset
SELECT is(authsync.cancel(:doomed), true, 'an open plan is cancelled');
SELECT is((SELECT state FROM authsync.plans WHERE plan_id = :doomed), 'cancelled', '… for good');
SELECT is(authsync.cancel(:doomed), false, '… and not twice');
SELECT is(authsync.cancel(:plan), false, 'what was applied is not cancelled');
SELECT throws_ok(format('SELECT authsync.apply(%s)', :doomed), '55000', NULL, 'a cancelled plan is not applied');
SELECT throws_ok(format('SELECT authsync.undo(%s)', :doomed), '55000', NULL, '… nor undone');

-- ---- a resync is listed as it is done, and goes back
UPDATE profiles SET email = 'old@example.com' WHERE id IN (tap.id(1), tap.id(2));
SELECT resync_profiles(dry_run => false) ->> 'plan_id' AS resync \gset
SELECT is(tap.items(:resync), '2 update differs done', 'two items');
SELECT is((SELECT changes FROM authsync.plan_items WHERE plan_id = :resync AND user_id = tap.id(1)), '{"email": ["old@example.com", "u1@example.com"]}', 'old and new of what differed');
UPDATE profiles SET email = 'newer@example.com' WHERE id = tap.id(2);
SELECT is(tap.brief(authsync.undo(:resync, false)), 'partly_applied c0 u2 d0 s0 done1 failed0 stale1', 'undo: one goes back, the one changed since is left');
SELECT results_eq($$ SELECT email FROM profiles WHERE id IN (tap.id(1), tap.id(2)) ORDER BY id $$, $$ VALUES ('old@example.com'), ('newer@example.com') $$, '… so');
SELECT resync_profiles(dry_run => false) \g /dev/null

-- ---- one that fails costs only itself
DELETE FROM posts;
ALTER TABLE posts DROP CONSTRAINT posts_author_fkey;
CREATE FUNCTION tap.keep_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id = tap.id(8) THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'P4711'; END IF; RETURN OLD; END $$;
CREATE TRIGGER keep_one BEFORE DELETE ON profiles FOR EACH ROW EXECUTE FUNCTION tap.keep_one();
SELECT tap.drift(20, 25) \g /dev/null
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
DELETE FROM profiles WHERE id <> tap.id(8);
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
CREATE OR REPLACE FUNCTION tap.keep_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF OLD.id IN (tap.id(20), tap.id(23)) THEN RAISE EXCEPTION 'not this one' USING ERRCODE = 'P4711'; END IF; RETURN OLD; END $$;
SELECT authsync.undo(:plan) ->> 'plan_id' AS undo_plan \gset
SELECT count(*) AS would FROM authsync.plan_items WHERE plan_id = :undo_plan AND action = 'delete' \gset
SELECT authsync.apply(:undo_plan) AS applied \gset
SELECT is((:'applied'::jsonb ->> 'failed')::int, 2, 'two fail');
SELECT is((:'applied'::jsonb ->> 'done')::int, :would - 2, '… all others are done');
SELECT is((SELECT array_agg(sqlstate || ' ' || message) FROM authsync.plan_items WHERE plan_id = :undo_plan AND state = 'failed'), ARRAY['P4711 not this one', 'P4711 not this one'], '… and say why');
SELECT is(:'applied'::jsonb ->> 'state', 'partly_applied', 'partly');
-- A BEFORE trigger that swallows the change.
UPDATE authsync.plans SET applied_at = applied_at - interval '25 hours';
CREATE OR REPLACE FUNCTION tap.keep_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
SELECT is(authsync.undo(:plan, false) ->> 'done', '0', 'what a trigger discards is not called done');
SELECT is((SELECT DISTINCT sqlstate FROM authsync.plan_items WHERE state = 'failed' AND action = 'delete' AND plan_id > :plan), '09000', '… but failed');
DROP TRIGGER keep_one ON profiles;

-- ---- the brake
SELECT tap.drift(100, 250) \g /dev/null
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
SELECT is((SELECT state FROM authsync.plans WHERE plan_id = :plan), 'partly_applied', 'creating never trips the brake (one bad row is still bad)');
UPDATE authsync.plans SET applied_at = applied_at - interval '25 hours';
SELECT count(*) AS n FROM profiles \gset
SELECT authsync.undo(:plan, false) AS braked \gset
SELECT is(:'braked'::jsonb ->> 'state', 'braked', '151 of some 170: braked');
SELECT is((:'braked'::jsonb ->> 'done')::int, 0, '… before its first write');
SELECT is((SELECT count(*) FROM profiles), :n::bigint, '… indeed');
SELECT matches(:'braked'::jsonb ->> 'message', 'would remove 151 of \d+ rows.*override_brake => true', '… and says how to go on');
SELECT (:'braked'::jsonb ->> 'plan_id')::bigint AS braked_plan \gset
SELECT alike((SELECT brake FROM authsync.plans WHERE plan_id = :braked_plan), 'would remove 151 of %', 'the plan keeps the reason');
SELECT is(authsync.apply(:braked_plan) ->> 'state', 'braked', 'again: braked again');
SELECT throws_ok(format('SELECT authsync.apply(%s, NULL)', :braked_plan), '22004', NULL, 'override_brake NULL is no answer');
SELECT is((SELECT state FROM authsync.plans WHERE plan_id = :braked_plan), 'braked', '… and changes nothing');
SELECT is(tap.brief(authsync.apply(:braked_plan, override_brake => true)), 'applied c0 u0 d151 s0 done151 failed0 stale0', 'overridden: done');

-- What went today counts, also by small plans; what went the day before does not.
SELECT tap.drift(300, 305) \g /dev/null
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
UPDATE authsync.plan_items SET state = 'stale' WHERE plan_id = :plan;
UPDATE profiles SET display_name = display_name || '!' WHERE id < tap.id(304);
SELECT is(authsync.undo(:plan, false) ->> 'state', 'braked', 'two more after 151 today: braked');
UPDATE authsync.plans SET applied_at = applied_at - interval '24 hours' WHERE plan_id = :braked_plan;
SELECT authsync.undo(:plan, false) AS small \gset
SELECT is(:'small'::jsonb ->> 'state', 'applied', 'a day later: two may go');
SELECT is((:'small'::jsonb ->> 'done')::int, (:'small'::jsonb ->> 'delete')::int, '… do');
SET authsync.brake_count = 0;
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
SELECT is(authsync.undo(:plan, false) ->> 'state', 'braked', 'authsync.brake_count = 0: nothing may go');
RESET authsync.brake_count;
SELECT is((SELECT count(*) FROM pg_settings WHERE name ~ '^authsync\.brake_' AND context = 'superuser'), 3::bigint, 'the brake is set by superusers only');

-- ---- who made what is not gone on with once profiles are another table
CREATE TABLE people (id uuid PRIMARY KEY, email text);
SELECT count(*) FROM authsync.setup(profiles => 'people') \g /dev/null
SELECT throws_ok(format('SELECT authsync.undo(%s)', :plan), '55000', NULL, 'undo of a plan about another table');
SELECT throws_ok(format('SELECT authsync.apply((SELECT max(plan_id) FROM authsync.plans WHERE state = %L))', 'braked'), '55000', NULL, '… apply likewise');
SELECT count(*) FROM authsync.setup(profiles => 'profiles') \g /dev/null

-- ---- columns that come and go, generated ones, jsonb, a text key
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE app (account text PRIMARY KEY, email text, n numeric DEFAULT 1.10, tags text[] DEFAULT '{a,"b c"}', prefs jsonb DEFAULT '{"a": [1, null]}', doc json DEFAULT '{"a": 2, "z": 1}',
                  mood mood DEFAULT 'good', at timestamptz DEFAULT '2001-02-03 04:05:06.789+09', born date DEFAULT '1999-12-31', wait interval DEFAULT '-1 day 02:03',
                  f float8 DEFAULT 0.1, raw bytea DEFAULT '\x00ff', seq int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (2) STORED);
SELECT count(*) FROM authsync.setup(profiles => 'app', columns => '{"account": {"from": "user_id", "key": true}}') \g /dev/null
SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id' AS plan \gset
SELECT md5(string_agg(a::text, '|' ORDER BY account)) AS before FROM app AS a \gset
SET IntervalStyle = sql_standard; SET extra_float_digits = -3; SET bytea_output = escape; SET TimeZone = 'America/Caracas';
SELECT authsync.undo(:plan) ->> 'plan_id' AS undo_plan \gset
SET TimeZone = 'UTC'; SET IntervalStyle = postgres_verbose;
SELECT is(authsync.apply(:undo_plan, true) ->> 'state', 'applied', 'columns of many types: undone');
SELECT is((SELECT count(*) FROM app), 0::bigint, '… all of it');
SELECT is(authsync.undo(:undo_plan, false) ->> 'state', 'applied', '… and back');
RESET IntervalStyle; RESET extra_float_digits; RESET bytea_output; RESET TimeZone;
SELECT is((SELECT md5(string_agg(a::text, '|' ORDER BY account)) FROM app AS a), :'before', '… to the letter');
SELECT max(plan_id) AS redo FROM authsync.plans \gset
SELECT authsync.undo(:redo) ->> 'plan_id' AS late \gset
ALTER TABLE app DROP COLUMN mood;
SELECT is(authsync.apply(:late, true) ->> 'done', '0', 'a column gone since: all stale');
SELECT count(*) FROM authsync.setup(profiles => 'profiles', columns => '{}') \g /dev/null

-- ---- bad arguments
SELECT throws_ok('SELECT authsync.apply(NULL)', '22004', NULL, 'apply(NULL)');
SELECT throws_ok('SELECT authsync.cancel(NULL)', '22004', NULL, 'cancel(NULL)');
SELECT throws_ok('SELECT authsync.undo(NULL)', '22004', NULL, 'undo(NULL)');
SELECT throws_ok(format('SELECT authsync.undo(%s, NULL)', :plan), '22004', NULL, 'dry_run NULL');
SELECT throws_ok('SELECT authsync.apply(999999)', '42704', 'plan 999999 does not exist', 'no such plan');
SELECT throws_ok('SELECT authsync.cancel(-1)', '42704', NULL, 'no such plan to cancel');
SELECT throws_ok('SELECT authsync.undo(0)', '42704', NULL, 'no such plan to undo');
SELECT authsync.undo(max(plan_id)) ->> 'plan_id' AS open FROM authsync.plans WHERE state = 'applied' AND kind = 'resync' \gset
SELECT throws_ok(format($$ SELECT authsync.apply(%s, false, 'secret') $$, :open), '22023', NULL, 'a password where none is used');
SELECT unalike((SELECT string_agg(x::text, ' ') FROM authsync.plans AS x), '%secret%', '… is kept nowhere');
SELECT is(tap.state(format('SELECT authsync.apply(%s)', :open), 'authenticated'), '42501', 'not for everybody');
BEGIN READ ONLY;
SELECT throws_ok(format('SELECT authsync.apply(%s)', :open), '25006', NULL, 'READ ONLY: apply');
SELECT throws_ok(format('SELECT authsync.cancel(%s)', :open), '25006', NULL, 'READ ONLY: cancel');
SELECT throws_ok(format('SELECT authsync.undo(%s, false)', :plan), '25006', NULL, 'READ ONLY: undo for real');
ROLLBACK;

-- ---- short: who was never applied goes after 7 days, the rest with its events
SELECT count(*) AS kept FROM authsync.plans WHERE state NOT IN ('open', 'cancelled') \gset
UPDATE authsync.plans SET created_at = created_at - interval '8 days';
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM authsync.plans), :kept::bigint, 'open and cancelled ones go after 7 days');
SELECT is((SELECT count(*) FROM authsync.plan_items AS i WHERE NOT EXISTS (SELECT FROM authsync.plans AS p WHERE p.plan_id = i.plan_id)), 0::bigint, '… with their items');
SET authsync.event_retention = '1 day';
UPDATE authsync.plans SET applied_at = now() - interval '2 days', created_at = now() - interval '2 days';
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM authsync.plans), 0::bigint, 'the others when their events go');
SELECT is((SELECT count(*) FROM authsync.plan_items), 0::bigint, '… with their items');
RESET authsync.event_retention;

SELECT * FROM finish();
