-- Which column of profiles gets what: every source, defaults, sync, allow, guard; and mappings that are refused.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA public;
SET client_min_messages = warning;
SET search_path = public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.refusal(columns jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
    PERFORM authsync.setup(columns => columns);
    RETURN 'taken';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || CASE WHEN d = '' THEN '' ELSE ' detail' END || CASE WHEN h = '' THEN '' ELSE ' hint' END;
END $$;
CREATE FUNCTION tap.attempt(statement text, as_role name DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE h text;
BEGIN
    IF as_role IS NOT NULL THEN EXECUTE format('SET LOCAL ROLE %I', as_role); END IF;
    EXECUTE statement;
    RESET ROLE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS h = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || ' ' || h;
END $$;

SELECT plan(71);

-- Every source.
CREATE TABLE profiles (id uuid PRIMARY KEY, a_user uuid, a_subject text, a_mail text, a_phone text, a_name text, a_nick text, a_picture text, a_verified boolean, a_created timestamptz,
    a_meta text, a_deep text, a_item text, a_app text, a_json jsonb, a_number int, a_constant text);
SELECT count(*) FROM authsync.setup(columns => '{"a_user": "user_id", "a_subject": "subject", "a_mail": "email", "a_phone": "phone", "a_name": "name", "a_nick": "nickname", "a_picture": "picture",
    "a_verified": "email_verified", "a_created": "created_at", "a_meta": "user_metadata.display_name", "a_deep": "user_metadata.address.city.name", "a_app": "app_metadata.tier",
    "a_json": "user_metadata.address", "a_number": "app_metadata.seats", "a_constant": {"default": "always this"}}') \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'a mapping with every source');
INSERT INTO auth.users (id, email, phone, email_confirmed_at, created_at, raw_user_meta_data, raw_app_meta_data) VALUES (tap.id(1), 'ada@example.com', '4915500000001', '2024-05-01Z', '2024-04-01Z',
    '{"display_name": "Ada", "name": "Ada L", "full_name": "Ada Lovelace", "user_name": "ada", "nickname": "countess", "avatar_url": "https://p.example/a", "picture": "https://p.example/p", "address": {"city": {"name": "London"}}}',
    '{"tier": "pro", "seats": 3, "provider": "email"}');
INSERT INTO auth.users (id) VALUES (tap.id(2));
SELECT is((SELECT a_user FROM profiles WHERE id = tap.id(1)), tap.id(1), 'user_id');
SELECT is((SELECT a_subject FROM profiles WHERE id = tap.id(1)), tap.id(1)::text, 'subject');
SELECT is((SELECT a_mail FROM profiles WHERE id = tap.id(1)), 'ada@example.com', 'email');
SELECT is((SELECT a_phone FROM profiles WHERE id = tap.id(1)), '4915500000001', 'phone');
SELECT ok((SELECT a_name FROM profiles WHERE id = tap.id(1)) IN ('Ada', 'Ada L', 'Ada Lovelace'), 'name');
SELECT ok((SELECT a_nick FROM profiles WHERE id = tap.id(1)) IN ('countess', 'ada'), 'nickname');
SELECT ok((SELECT a_picture FROM profiles WHERE id = tap.id(1)) IN ('https://p.example/a', 'https://p.example/p'), 'picture');
SELECT is((SELECT a_verified FROM profiles WHERE id = tap.id(1)), true, 'email_verified');
SELECT is((SELECT a_created FROM profiles WHERE id = tap.id(1)), '2024-04-01Z'::timestamptz, 'created_at');
SELECT is((SELECT a_meta FROM profiles WHERE id = tap.id(1)), 'Ada', 'user_metadata.<key>');
SELECT is((SELECT a_deep FROM profiles WHERE id = tap.id(1)), 'London', 'user_metadata.<path>');
SELECT is((SELECT a_app FROM profiles WHERE id = tap.id(1)), 'pro', 'app_metadata.<key>');
SELECT is((SELECT a_json FROM profiles WHERE id = tap.id(1)), '{"city": {"name": "London"}}'::jsonb, 'an object into jsonb');
SELECT is((SELECT a_number FROM profiles WHERE id = tap.id(1)), 3, 'a number into integer');
SELECT is((SELECT a_constant FROM profiles WHERE id = tap.id(1)), 'always this', 'a default alone');
SELECT is((SELECT row_to_json(p)::jsonb - 'id' - 'a_user' - 'a_subject' - 'a_verified' - 'a_constant' FROM profiles AS p WHERE id = tap.id(2)) = (SELECT jsonb_object_agg(k, NULL) FROM
    unnest('{a_mail,a_phone,a_name,a_nick,a_picture,a_created,a_meta,a_deep,a_item,a_app,a_json,a_number}'::text[]) AS k), true, 'what is not there is NULL');
SELECT is((SELECT a_verified FROM profiles WHERE id = tap.id(2)) IS NOT TRUE, true, 'an address not confirmed is not verified');
-- user_metadata says what it likes: email_verified is not from there.
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (tap.id(3), 'u3@example.com', '{"email_verified": true, "sub": "someone else", "email": "other@example.com", "tier": "pro", "seats": 99}');
SELECT is((SELECT a_verified IS NOT TRUE AND a_subject = tap.id(3)::text AND a_mail = 'u3@example.com' AND a_app IS NULL AND a_number IS NULL FROM profiles WHERE id = tap.id(3)), true,
    'what a user writes about himself does not pass for what the provider knows');
DROP TABLE profiles;
DELETE FROM auth.users;

-- Default, sync, allow.
CREATE TABLE profiles (id uuid PRIMARY KEY, email text, full_name text, tier text NOT NULL DEFAULT 'none', plan text, seats int, phone text);
SELECT count(*) FROM authsync.setup(columns => '{"full_name": "user_metadata.display_name",
    "plan": {"from": "app_metadata.tier", "default": "free", "sync": "always", "allow": ["free", "pro"], "guard": true},
    "tier": {"from": "app_metadata.level"},
    "seats": {"from": "app_metadata.seats", "default": 1, "sync": "always"}, "phone": {"from": "phone", "sync": "always"}}') \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'default, sync, allow, guard');
INSERT INTO auth.users (id, email, raw_app_meta_data) VALUES (tap.id(1), 'u1@example.com', '{"tier": "pro", "seats": 5, "level": "gold"}'), (tap.id(2), 'u2@example.com', '{}'),
    (tap.id(3), 'u3@example.com', '{"tier": "emperor"}'), (tap.id(4), 'u4@example.com', '{"tier": null, "seats": null}'), (tap.id(5), 'u5@example.com', NULL);
SELECT results_eq('SELECT plan, seats, tier FROM profiles ORDER BY id', $$ VALUES ('pro', 5, 'gold'), ('free', 1, 'none'), ('free', 1, 'none'), ('free', 1, 'none'), ('free', 1, 'none') $$,
    'the default where the source has nothing, null or what is not allowed; a column''s own default where none is said');
SELECT is((SELECT array_agg(user_id) FROM user_events WHERE event_type = 'profile_value_refused'), ARRAY[tap.id(3)], 'a value outside allow is an event');
SELECT is((SELECT details ->> 'column' FROM user_events WHERE event_type = 'profile_value_refused'), 'plan', '… which names the column');
UPDATE auth.users SET raw_app_meta_data = '{"tier": "pro", "level": "silver"}', phone = '4915500000002' WHERE id = tap.id(2);
SELECT results_eq('SELECT plan, tier, phone FROM profiles WHERE id = tap.id(2)', $$ VALUES ('pro', 'none', '4915500000002') $$, 'sync always follows, once does not');
UPDATE auth.users SET raw_app_meta_data = '{"tier": "king"}' WHERE id = tap.id(2);
SELECT is((SELECT plan FROM profiles WHERE id = tap.id(2)), 'free', 'a change to what is not allowed: the default');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_value_refused' AND user_id = tap.id(2)), 1::bigint, '… and an event');
UPDATE auth.users SET last_sign_in_at = now() WHERE id = tap.id(2);
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_value_refused' AND user_id = tap.id(2)), 1::bigint, '… one, not one for each login');
UPDATE auth.users SET raw_app_meta_data = raw_app_meta_data - 'seats' WHERE id = tap.id(1);
SELECT is((SELECT seats FROM profiles WHERE id = tap.id(1)), 1, 'what goes from the source goes back to the default');
UPDATE auth.users SET raw_user_meta_data = '{"display_name": "New"}' WHERE id = tap.id(1);
SELECT is((SELECT full_name FROM profiles WHERE id = tap.id(1)), NULL, 'a string for a source is sync once');
-- Two values of the same statement.
BEGIN;
INSERT INTO auth.users (id, email) VALUES (tap.id(6), 'u6@example.com');
UPDATE auth.users SET raw_app_meta_data = '{"tier": "pro", "level": "gold", "seats": 2}' WHERE id = tap.id(6);
UPDATE auth.users SET raw_user_meta_data = '{"display_name": "Six"}' WHERE id = tap.id(6);
COMMIT;
SELECT results_eq('SELECT full_name, plan, tier, seats FROM profiles WHERE id = tap.id(6)', $$ VALUES ('Six', 'pro', 'gold', 2) $$, 'written after the INSERT in its transaction: once counts as well');
-- "once" columns set by the application in the same transaction are the application's.
BEGIN;
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (tap.id(7), 'u7@example.com', '{"display_name": "Seven"}');
UPDATE profiles SET full_name = 'Mr Seven' WHERE id = tap.id(7);
UPDATE auth.users SET email_confirmed_at = now(), raw_app_meta_data = '{"provider": "email"}' WHERE id = tap.id(7);
COMMIT;
SELECT is((SELECT full_name FROM profiles WHERE id = tap.id(7)), 'Mr Seven', '… but what the application wrote meanwhile stays');

-- resync: the always columns that differ, and only those.
UPDATE profiles SET email = 'old@example.com', seats = 77, full_name = 'Mine', tier = 'mine' WHERE id = tap.id(6);
SELECT is((SELECT status FROM auth_profile_mismatch WHERE user_id = tap.id(6)), 'email_mismatch', 'a changed address is seen');
SELECT resync_profiles() AS dry \gset
SELECT is((:'dry'::jsonb ->> 'dry_run')::boolean, true, 'resync is dry at first');
SELECT is((SELECT seats FROM profiles WHERE id = tap.id(6)), 77, '… changes nothing');
SELECT resync_profiles(100, false) AS wet \gset
SELECT is(:'wet'::jsonb - 'plan_id', '{"dry_run": false, "processed": 1, "successful": 1, "failed": 0, "quarantined": 0, "remaining": 0}', 'for real: one');
SELECT results_eq('SELECT email, seats, full_name, tier FROM profiles WHERE id = tap.id(6)', $$ VALUES ('u6@example.com', 2, 'Mine', 'mine') $$, '… the always columns, no others');
SELECT is((SELECT array_agg(event_type) FROM user_events WHERE user_id = tap.id(6) AND event_type = 'profile_updated'), ARRAY['profile_updated'], '… with its event');
SELECT is(resync_profiles(100, false) ->> 'processed', '0', '… and nothing more to do');

-- guard.
SELECT matches(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$), 'done', 'guard: a superuser, who owns authsync, may');
UPDATE profiles SET plan = 'free';
ALTER TABLE profiles OWNER TO dashboard_user;
GRANT SELECT, UPDATE, INSERT ON profiles TO authenticated, service_role;
GRANT USAGE ON SCHEMA tap TO authenticated, dashboard_user, service_role;
SELECT matches(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$, 'authenticated'), '^42501 .+', 'guard: authenticated may not, and gets a hint');
SELECT matches(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$, 'authenticated'), 'local|auth', '… that names the provider');
SELECT matches(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$, 'dashboard_user'), '^42501 .+', '… nor the table''s owner');
SELECT matches(tap.attempt($$ UPDATE profiles SET full_name = 'x', plan = 'pro' WHERE id = tap.id(1) $$, 'authenticated'), '^42501 .+', '… nor among others');
SELECT is(tap.attempt($$ UPDATE profiles SET full_name = 'x' WHERE id = tap.id(1) $$, 'authenticated'), 'done', '… other columns he may');
SELECT is(tap.attempt($$ UPDATE profiles SET plan = plan, full_name = 'y' WHERE id = tap.id(1) $$, 'authenticated'), 'done', '… and the guarded one to what it is');
SELECT is(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$, 'service_role'), 'done', '… an operator may');
SELECT matches(tap.attempt($$ INSERT INTO profiles (id, plan) VALUES (gen_random_uuid(), 'pro') $$, 'authenticated'), '^42501', '… nor by an INSERT of his own');
SELECT matches(tap.attempt($$ INSERT INTO profiles (id, plan) VALUES (tap.id(1), 'pro') ON CONFLICT (id) DO UPDATE SET plan = 'emperor' $$, 'authenticated'), '^42501', '… nor by ON CONFLICT');
UPDATE auth.users SET raw_app_meta_data = '{"tier": "pro"}' WHERE id = tap.id(4);
SELECT is((SELECT plan FROM profiles WHERE id = tap.id(4)), 'pro', '… authsync itself may');
INSERT INTO auth.users (id, email, raw_app_meta_data) VALUES (tap.id(8), 'u8@example.com', '{"tier": "pro"}');
SELECT is((SELECT plan FROM profiles WHERE id = tap.id(8)), 'pro', '… at a sign-up too');
UPDATE profiles SET plan = 'free' WHERE id = tap.id(8);
SELECT resync_profiles(100, false) \g /dev/null
SELECT is((SELECT plan FROM profiles WHERE id = tap.id(8)), 'pro', '… and resyncing');
-- Through what authsync itself sets off nobody else gets past the guard.
CREATE FUNCTION tap.sneak() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.plan := 'pro'; RETURN NEW; END $$;
CREATE TRIGGER aa_sneak BEFORE UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION tap.sneak();
SELECT matches(tap.attempt($$ UPDATE profiles SET full_name = 'z' WHERE id = tap.id(2) $$, 'authenticated'), '^42501', '… a trigger that comes first does not help');
DROP TRIGGER aa_sneak ON profiles;
SELECT count(*) FROM authsync.setup(columns => '{"full_name": "user_metadata.display_name"}') \g /dev/null
SELECT is(tap.attempt($$ UPDATE profiles SET plan = 'pro' WHERE id = tap.id(1) $$, 'authenticated'), 'done', 'no guard any more: he may');
SELECT is((SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = 'profiles'::regclass AND pronamespace = 'authsync'::regnamespace AND proname LIKE '%guard%'), 0::bigint, '… and its trigger is gone');

-- What is refused, whole, with detail and hint.
SELECT columns::text AS before FROM authsync.bindings ORDER BY bound_at DESC LIMIT 1 \gset
SELECT matches(tap.refusal('{"no_such": "email"}'), '^42703 detail hint', 'a column that there is not');
SELECT is(tap.refusal('{"full_name": "user_metadata"}'), '22023 detail hint', 'a source that there is not');
SELECT is(tap.refusal('{"full_name": "raw_user_meta_data.x"}'), '22023 detail hint', '… another');
SELECT is(tap.refusal('{"full_name": "user_metadata."}'), '22023 detail hint', '… an empty path');
SELECT is(tap.refusal('{"full_name": {"from": "user_metadata.a", "sync": "sometimes"}}'), '22023 detail hint', 'a sync that there is not');
SELECT is(tap.refusal('{"full_name": {"form": "user_metadata.a"}}'), '22023 detail hint', 'a key misspelt');
SELECT is(tap.refusal('{"full_name": {}}'), '22023 detail hint', 'nothing said');
SELECT is(tap.refusal('{"full_name": 7}'), '22023 detail hint', 'a number');
SELECT is(tap.refusal('{"full_name": {"from": "user_metadata.a", "allow": []}}'), '22023 detail hint', 'nothing allowed');
SELECT is(tap.refusal('{"full_name": {"from": "user_metadata.a", "allow": "a"}}'), '22023 detail hint', 'allow that is no array');
SELECT is(tap.refusal('{"full_name": {"from": "user_metadata.a", "guard": "yes"}}'), '22023 detail hint', 'guard that is no boolean');
SELECT matches(tap.refusal('{"seats": {"from": "app_metadata.seats", "default": "many"}}'), '^(22P02|22023) detail hint', 'a default that the column does not take');
SELECT matches(tap.refusal('[]'), '^22023', 'an array');
SELECT matches(tap.refusal('{"id": {"from": "user_id", "key": true}, "email": {"from": "user_id", "key": true}}'), '^(22023|42P16|42601)', 'two keys');
SELECT is((SELECT columns::text FROM authsync.bindings ORDER BY bound_at DESC LIMIT 1), :'before'::text, 'none of these changed the mapping');
-- What a caller of backfill_user_profile() says about one user.
SELECT count(*) FROM authsync.setup(mode => 'off', columns => '{"tier": {"from": "app_metadata.level"}}') \g /dev/null
ALTER TABLE profiles ADD account_type text NOT NULL DEFAULT 'individual';
INSERT INTO auth.users (id, email) SELECT tap.id(n), 'u' || n || '@example.com' FROM generate_series(21, 24) AS n;
SELECT backfill_user_profile(tap.id(21), 'given@example.com', 'business'), backfill_user_profile(tap.id(22), '', '') \g /dev/null
SELECT results_eq('SELECT email, account_type FROM profiles WHERE id IN (tap.id(21), tap.id(22)) ORDER BY id', $$ VALUES ('given@example.com', 'business'), ('u22@example.com', 'individual') $$,
    'address and account type as given; an empty one is none');
SELECT count(*) FROM authsync.setup(columns => '{"account_type": {"from": "app_metadata.kind", "allow": ["individual", "business"]}}') \g /dev/null
SELECT backfill_user_profile(tap.id(23), account_type => 'business'), backfill_user_profile(tap.id(24), account_type => 'king') \g /dev/null
SELECT results_eq('SELECT account_type FROM profiles WHERE id IN (tap.id(23), tap.id(24)) ORDER BY id', $$ VALUES ('business'), ('individual') $$, '… also where that column is mapped by hand, if it is allowed');
SELECT * FROM finish();
