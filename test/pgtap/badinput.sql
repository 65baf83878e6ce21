-- Whatever comes in: a clear error or a clean row; never a crash, never a lost row.
\i test/fixture/contract.sql
SELECT plan(191);

-- Arguments that make no sense: the SQLSTATE, a detail and a hint.
SELECT tap.add_user(1, 'one@example.com'), tap.add_user(2, 'two@example.com', drift => true), tap.add_user(3, 'three@example.com', deleted => true, drift => true),
       tap.add_user(4, NULL, anonymous => true, drift => true), tap.add_user(5, NULL, sso => true, drift => true);
SELECT tap.refused(statement, wanted, statement) FROM (VALUES
    ('SELECT * FROM get_auth_profile_mismatches(0)', '22023'), ('SELECT * FROM get_auth_profile_mismatches(-1)', '22023'), ('SELECT * FROM get_auth_profile_mismatches(1000001)', '22023'),
    ('SELECT * FROM get_auth_profile_mismatches(2000000000)', '22023'), ('SELECT * FROM get_auth_profile_mismatches(-2147483648)', '22023'),
    ('SELECT * FROM check_recent_signup_issues(NULL)', '22004'), ('SELECT * FROM check_recent_signup_issues(''-1 hour'')', '22023'),
    ('SELECT * FROM get_user_signup_events(NULL)', '22004'),
    ('SELECT * FROM monitor_signup_health(NULL)', '22004'), ('SELECT * FROM monitor_signup_health(''-1 second'')', '22023'), ('SELECT * FROM monitor_signup_health(''-1 month'')', '22023'),
    ('SELECT * FROM get_registration_stats(NULL)', '22004'), ('SELECT * FROM get_registration_stats(0)', '22023'), ('SELECT * FROM get_registration_stats(-1)', '22023'),
    ('SELECT * FROM get_registration_stats(1000001)', '22023'), ('SELECT * FROM get_registration_stats(2147483647)', '22023'),
    ('SELECT backfill_user_profile(NULL)', '22004'), ('SELECT backfill_user_profile(tap.id(4711))', '42704'), ('SELECT backfill_user_profile(tap.id(3))', '22023'),
    ('SELECT backfill_user_profile(NULL, NULL, NULL)', '22004'), ('SELECT backfill_user_profile(''00000000-0000-0000-0000-000000000000'')', '42704'),
    ('SELECT backfill_all_missing_profiles(NULL)', '22004'), ('SELECT backfill_all_missing_profiles(0)', '22023'), ('SELECT backfill_all_missing_profiles(-5)', '22023'),
    ('SELECT backfill_all_missing_profiles(1000001)', '22023'), ('SELECT backfill_all_missing_profiles(2000000000)', '22023'), ('SELECT backfill_all_missing_profiles(2000000000, false)', '22023'),
    ('SELECT backfill_all_missing_profiles(dry_run => NULL)', '22004'), ('SELECT backfill_all_missing_profiles(100, NULL)', '22004'),
    ('SELECT resync_profiles(NULL)', '22004'), ('SELECT resync_profiles(0)', '22023'), ('SELECT resync_profiles(-5)', '22023'), ('SELECT resync_profiles(1000001)', '22023'),
    ('SELECT resync_profiles(2000000000, false)', '22023'), ('SELECT resync_profiles(dry_run => NULL)', '22004'),
    ('SELECT ensure_profile_exists(NULL)', '22004'), ('SELECT ensure_profile_exists(tap.id(4711))', '42704'), ('SELECT ensure_profile_exists(tap.id(3))', '22023'),
    ('SELECT track_user_event(NULL, ''app_thing'')', '22004'), ('SELECT track_user_event(tap.id(1), NULL)', '22004'), ('SELECT track_user_event(tap.id(1), ''app_thing'', NULL)', '22004'),
    ('SELECT track_user_event(tap.id(4711), ''app_thing'')', '42704'), ('SELECT track_user_event(tap.id(1), '''')', '22023'),
    ('SELECT * FROM authsync.setup(mode => ''banana'')', '22023'), ('SELECT * FROM authsync.setup(mode => '''')', '22023'), ('SELECT * FROM authsync.setup(dry_run => NULL)', '22004'),
    ('SELECT * FROM authsync.setup(columns => ''[]'')', '22023'), ('SELECT * FROM authsync.setup(columns => ''"x"'')', '22023'), ('SELECT * FROM authsync.setup(columns => ''null'')', '22023'),
    ('SELECT * FROM authsync.setup(columns => ''{"display_name": "no_such_source"}'')', '22023'), ('SELECT * FROM authsync.setup(columns => ''{"display_name": 17}'')', '22023'),
    ('SELECT * FROM authsync.setup(columns => ''{"display_name": {"from": "name", "sync": "sometimes"}}'')', '22023'),
    ('SELECT * FROM authsync.setup(columns => ''{"display_name": {"from": "name", "allow": "x"}}'')', '22023'),
    ('SELECT * FROM authsync.setup(columns => ''{"display_name": {"from": "name", "bogus": true}}'')', '22023'),
    ('SELECT * FROM authsync.setup(columns => ''{"display_name": "user_metadata."}'')', '22023')) AS t (statement, wanted);
SELECT matches(tap.state($$SELECT * FROM authsync.setup(columns => '{"no_such_column": "name"}')$$), '^(42703|22023)$', 'a column that profiles has not');
SELECT isnt(tap.state('SELECT * FROM authsync.setup(users => ''pg_catalog.pg_authid'')'), '00000', 'a catalog is no users table');
SELECT isnt(tap.state('SELECT * FROM authsync.setup(profiles => ''pg_catalog.pg_class'')'), '00000', '… nor a profiles table');
SELECT isnt(tap.state('SELECT * FROM authsync.setup(profiles => ''public.user_events'')'), '00000', 'nor is an extension''s table');
CREATE TEMPORARY TABLE passing (id uuid PRIMARY KEY, email text);
SELECT isnt(tap.state('SELECT * FROM authsync.setup(profiles => ''pg_temp.passing'')'), '00000', 'nor a temporary one');
DROP TABLE passing;
SELECT is((SELECT string_agg(DISTINCT action, ',') FROM authsync.setup()), 'kept', 'none of them changed the set-up');
SELECT matches(tap.state(statement), '^(00000|22023)$', statement)
  FROM unnest(ARRAY['SELECT * FROM check_recent_signup_issues(''1000000 years'')', 'SELECT * FROM monitor_signup_health(''1000000 years'')', 'SELECT * FROM monitor_signup_health(''2147483647 months'')',
    'SELECT * FROM check_recent_signup_issues(''0'')', 'SELECT * FROM monitor_signup_health(''0'')', 'SELECT * FROM monitor_signup_health(''-1 month +31 days'')']) AS statement;

-- The largest sizes allowed.
SELECT is(tap.state(statement), '00000', statement) FROM unnest(ARRAY['SELECT * FROM get_auth_profile_mismatches(1000000)', 'SELECT * FROM get_auth_profile_mismatches(NULL)',
    'SELECT backfill_all_missing_profiles(1000000)', 'SELECT resync_profiles(1000000)', 'SELECT resync_profiles(1)', 'SELECT backfill_all_missing_profiles(1)']) AS statement;
SELECT is((SELECT count(*) FROM get_registration_stats(1000000)), 1000000::bigint, 'a million days');

-- CALL, which cannot be caught in a function.
CALL backfill_missing_profiles(NULL);
SELECT is(:'SQLSTATE'::text, '22004', 'CALL: batch_size NULL');
CALL backfill_missing_profiles(0);
SELECT is(:'SQLSTATE'::text, '22023', 'CALL: batch_size 0');
CALL backfill_missing_profiles(-1);
SELECT is(:'SQLSTATE'::text, '22023', 'CALL: batch_size -1');
CALL backfill_missing_profiles(2000000000);
SELECT is(:'SQLSTATE'::text, '22023', 'CALL: batch_size two billion');
CALL backfill_missing_profiles(max_users => -1);
SELECT is(:'SQLSTATE'::text, '22023', 'CALL: max_users -1');
CALL backfill_missing_profiles(max_users => 0);
SELECT is(:'SQLSTATE'::text, '22023', 'CALL: max_users 0');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, 'none of them did anything');

-- Names of events
SELECT tap.refused(format('SELECT track_user_event(tap.id(1), %L)', name), '22023', 'reserved: ' || name)
  FROM unnest(ARRAY['auth_user_created', 'profile_bootstrap_ok', 'profile_bootstrap_error', 'profile_backfilled', 'auth_user_updated', 'auth_user_deleted', 'profile_updated', 'profile_removed',
    'provider_user_created', 'provider_user_updated', 'provider_user_deleted', 'provider_user_written', 'signup_compensated', 'plan_applied', 'webhook_received', 'poll_failed', 'profile_value_refused']) AS name;
SELECT is(tap.state(statement), '00000', left(statement, 90)) FROM unnest(ARRAY[
    $$SELECT track_user_event(tap.id(1), 'onboarding_done')$$, $$SELECT track_user_event(tap.id(1), 'Ünïcode 😀 مرحبا', '{"a": [1, null, "x"]}')$$,
    $$SELECT track_user_event(tap.id(1), 'it''s"; DROP TABLE user_events; --', '{"q": "''; DROP TABLE profiles; --"}')$$,
    $$SELECT track_user_event(tap.id(1), 'big', jsonb_build_object('x', repeat('y', 10000)))$$, $$SELECT track_user_event(tap.id(3), 'of_a_deleted_user')$$]) AS statement;
SELECT track_user_event(tap.id(1), 'onboarding_done') < track_user_event(tap.id(1), 'onboarding_done', '{"again": true}') AS grows \gset
SELECT ok(:'grows', 'ids grow');
SELECT is((SELECT details FROM user_events WHERE event_type = 'onboarding_done' ORDER BY id LIMIT 1), '{}', 'details are {} by default');

-- Who owes no profile still gets one when named.
SELECT is(ensure_profile_exists(tap.id(4)), true, 'an anonymous user, when named');
SELECT is(backfill_user_profile(tap.id(5)) ->> 'status', 'created', 'an sso user without e-mail, when named');
SELECT is(ensure_profile_exists(tap.id(4)), false, '… once');

-- Sign-ups with every kind of metadata and e-mail; the auth server's own role makes them.
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA tap TO supabase_auth_admin;
CREATE TABLE tap.odd (n integer PRIMARY KEY, email text, meta jsonb, app jsonb);
INSERT INTO tap.odd (n, email, meta, app)
SELECT 100 + row_number() OVER (), email, meta::jsonb, app::jsonb FROM (VALUES
    ('m1@example.com', NULL, NULL), ('m2@example.com', 'null', 'null'), ('m3@example.com', '[]', '[]'), ('m4@example.com', '["display_name", {"display_name": "x"}]', '{}'),
    ('m5@example.com', '"display_name"', '"x"'), ('m6@example.com', '17', '17'), ('m7@example.com', 'true', 'false'), ('m8@example.com', '{}', '{}'),
    ('m9@example.com', '{"display_name": null, "account_type": null}', '{"account_type": null}'), ('m10@example.com', '{"display_name": {"first": "A"}, "account_type": ["x"]}', '{"account_type": {"a": 1}}'),
    ('m11@example.com', '{"display_name": 17, "account_type": false, "onboarding_completed": "banana"}', '{}'),
    ('m12@example.com', '{"display_name": "Robert''); DROP TABLE public.profiles;--", "account_type": "x''; DELETE FROM auth.users; --"}', '{}'),
    ('m13@example.com', '{"display_name": "😀 مرحبا بالعالم \u202e evil \u202c שלום", "avatar_url": "javascript:alert(1)"}', '{}'),
    ('m14@example.com', '{"display_name": ""}', '{"account_type": ""}'), ('m15@example.com', '{"display_name": "$1 %s %I \\ \n\t{}\"\u0007"}', '{}'),
    ('m16@example.com', '{"display_name": "x", "id": "00000000-0000-4000-8000-000000000001", "email": "stolen@example.com", "created_at": "infinity", "updated_at": "rubbish"}', '{"email": "stolen@example.com"}'),
    ('m17@example.com', '{"onboarding_completed": 1e400, "display_name": 1e400}', '{}'), ('m18@example.com', '{"": "", "display_name ": "x", "DISPLAY_NAME": "y"}', '{"provider": ["sso:"], "providers": "x"}'),
    ('', '{}', '{}'), (NULL, '{}', '{}'), (' ', '{}', '{}'), ('no-at-sign', '{}', '{}'), ('a@b@c', '{}', '{}'), ('Caps@Example.COM', '{}', '{}'), ('😀@例え.テスト', '{}', '{}'),
    ('مرحبا@مثال.إختبار', '{}', '{}'), ('nul\u0000@example.com', '{}', '{}'), ('x''); DROP TABLE auth.users; --@example.com', '{}', '{}'), (repeat('é', 243) || '@example.com', '{}', '{}'),
    ('%s$1\1{}"@example.com', '{}', '{}')) AS t (email, meta, app);
INSERT INTO tap.odd VALUES (201, 'k10@example.com', jsonb_build_object('display_name', repeat('x', 10240), 'account_type', repeat('y', 10240)), '{}'),
    (202, 'deep@example.com', (repeat('{"display_name":', 500) || '1' || repeat('}', 500))::jsonb, '{}'),
    (203, 'wide@example.com', (SELECT jsonb_object_agg('key' || i, i) FROM generate_series(1, 5000) AS i), '{}');
GRANT SELECT ON tap.odd TO supabase_auth_admin;
SET ROLE supabase_auth_admin;
SET search_path = auth;
SELECT format($$INSERT INTO users (id, aud, role, email, raw_user_meta_data, raw_app_meta_data, created_at, updated_at) SELECT tap.id(n), 'authenticated', 'authenticated', email, meta, app, now(), now() FROM tap.odd WHERE n = %s$$, n) FROM tap.odd ORDER BY n \gexec
RESET ROLE;
SET search_path = public, tap;
SELECT is((SELECT array_agg(n) FROM tap.odd WHERE NOT EXISTS (SELECT FROM auth.users WHERE id = tap.id(n))), NULL, 'every sign-up went through');
SELECT is((SELECT array_agg(n) FROM tap.odd WHERE NOT EXISTS (SELECT FROM profiles WHERE id = tap.id(n)) AND NOT EXISTS (SELECT FROM authsync.quarantine WHERE user_id = tap.id(n))), NULL, 'every one has a profile, or waits in quarantine');
SELECT is((SELECT array_agg(n || ' ' || sqlstate || ' ' || message) FROM tap.odd, authsync.quarantine WHERE user_id = tap.id(n) AND n NOT IN (111, 117)), NULL, 'metadata of another shape puts nobody into quarantine');
SELECT is((SELECT count(*) FROM profiles AS p JOIN tap.odd ON id = tap.id(n) WHERE p.email IS DISTINCT FROM nullif(odd.email, '')), 0::bigint, 'e-mails arrive as they are, an empty one as none');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(116)), 'm16@example.com', 'metadata cannot set id or e-mail');
SELECT is((SELECT array_agg(n) FROM tap.odd JOIN profiles ON id = tap.id(n) WHERE account_type IS DISTINCT FROM 'individual' AND n NOT IN (111, 112, 110, 114, 201)), NULL, 'account_type is the default where nothing usable is said');
SELECT is((SELECT display_name FROM profiles WHERE id = tap.id(112)), 'Robert''); DROP TABLE public.profiles;--', 'SQL is text');
SELECT is((SELECT display_name FROM profiles WHERE id = tap.id(113)), (SELECT meta ->> 'display_name' FROM tap.odd WHERE n = 113), 'emoji, RTL and overrides are kept');
SELECT is((SELECT length(display_name) FROM profiles WHERE id = tap.id(201)), 10240, '10 kB are kept');
SELECT is((SELECT display_name FROM profiles WHERE id = tap.id(110)), NULL, 'an object is no display name')
 WHERE (SELECT display_name IS DISTINCT FROM '{"first": "A"}' FROM profiles WHERE id = tap.id(110));
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status NOT IN ('healthy', 'auth_only')), 0::bigint, 'none of them is a mismatch');
SELECT is(tap.state('SELECT * FROM ' || thing), '00000', 'with all those users: ' || thing) FROM unnest(ARRAY['auth_profile_mismatch', 'diagnose_auth_profile_consistency()', 'monitor_signup_health()',
    'check_recent_signup_issues()', 'authsync.lint()', 'verify_profile_completeness()', 'resync_profiles()', 'backfill_all_missing_profiles()']) AS thing;
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ 'example.com|DROP TABLE'), 0::bigint, 'and nothing of them is in the events');

-- Times that nobody lived in.
SELECT tap.add_user(n, 'time' || n || '@example.com', drift => true), tap.log_self(n, 'user_signedup', 'time' || n || '@example.com') FROM generate_series(151, 156) AS n;
SET session_replication_role = replica;
UPDATE auth.users SET created_at = (ARRAY[NULL, '-infinity', 'infinity', '4713-01-01 BC', '294000-01-01']::timestamptz[])[n - 150] FROM generate_series(151, 155) AS n WHERE id = tap.id(n);
RESET session_replication_role;
UPDATE auth.audit_log_entries SET created_at = (ARRAY[NULL, '-infinity', 'infinity', '4713-01-01 BC', '294000-01-01']::timestamptz[])[n - 150]
  FROM generate_series(151, 155) AS n WHERE payload ->> 'actor_id' = tap.id(n)::text;
SELECT is(tap.state('SELECT * FROM ' || thing), '00000', 'with those times: ' || thing) FROM unnest(ARRAY['auth_profile_mismatch', 'signup_audit_summary', 'diagnose_auth_profile_consistency()', 'monitor_signup_health()',
    'monitor_signup_health(''100 years'')', 'check_recent_signup_issues()', 'get_auth_profile_mismatches()', 'get_registration_stats()', 'get_registration_stats(1000000)', 'get_user_signup_events(tap.id(152))', 'authsync.lint()']) AS thing;
SELECT is((SELECT user_id FROM get_auth_profile_mismatches() WITH ORDINALITY WHERE status = 'auth_only' ORDER BY ordinality DESC LIMIT 1), tap.id(151), 'who has no time at all is the last of them');
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches() WHERE user_id BETWEEN tap.id(151) AND tap.id(156)), 6::bigint, 'all of them are found');
DELETE FROM auth.users WHERE id BETWEEN tap.id(151) AND tap.id(156);
DELETE FROM auth.audit_log_entries;

-- The same people in one statement, and by backfill.
CREATE TABLE tap.one_by_one AS SELECT id, profiles.email, display_name, account_type, avatar_url, onboarding_completed FROM profiles JOIN tap.odd ON id = tap.id(n);
DELETE FROM auth.users USING tap.odd WHERE id = tap.id(n);
INSERT INTO auth.users (id, aud, role, email, raw_user_meta_data, raw_app_meta_data, created_at, updated_at) SELECT tap.id(n), 'authenticated', 'authenticated', email, meta, app, now(), now() FROM tap.odd;
SELECT set_eq('SELECT id, profiles.email, display_name, account_type, avatar_url, onboarding_completed FROM profiles JOIN tap.odd ON id = tap.id(n)', 'SELECT * FROM tap.one_by_one', 'all in one statement make the same profiles');
DELETE FROM profiles USING tap.odd WHERE id = tap.id(n);
SELECT is((SELECT concat_ws('/', r -> 'processed', (r ->> 'successful')::int + (r ->> 'failed')::int) FROM backfill_all_missing_profiles(7, false) AS r), '34/34', 'backfill takes them all');
SELECT set_eq('SELECT id, profiles.email, display_name, account_type, avatar_url, onboarding_completed FROM profiles JOIN tap.odd ON id = tap.id(n)', 'SELECT * FROM tap.one_by_one', '… and makes the same profiles');

-- Values given by hand
SELECT tap.add_user(n, NULL, drift => true) FROM generate_series(301, 309) AS n;
SELECT is(backfill_user_profile(tap.id(301), email => '') ->> 'status', 'created', 'e-mail ''''');
SELECT is(backfill_user_profile(tap.id(302), email => 'nul\u0000@example.com') ->> 'status', 'created', 'what looks like an escape is text');
SELECT is(backfill_user_profile(tap.id(303), email => repeat('x', 10240) || '@example.com') ->> 'status', 'created', '10 kB of e-mail');
SELECT is(backfill_user_profile(tap.id(304), account_type => repeat('x', 10240)) ->> 'status', 'created', '10 kB of account type');
SELECT is(backfill_user_profile(tap.id(305), account_type => '''; DROP TABLE profiles; --') ->> 'status', 'created', 'SQL');
SELECT is((SELECT account_type FROM profiles WHERE id = tap.id(305)), '''; DROP TABLE profiles; --', '… is text');
SELECT is(backfill_user_profile(tap.id(306), email => '😀@例え.テスト', account_type => 'مرحبا') ->> 'status', 'created', 'emoji and RTL');
SELECT is(backfill_user_profile(tap.id(307), email => NULL, account_type => NULL) ->> 'status', 'created', 'NULLs: the user''s own');
SELECT is((SELECT account_type FROM profiles WHERE id = tap.id(307)), 'individual', '… and the column''s default');

-- A row that cannot be written costs only itself, and says why. Nobody else may be waiting here.
DELETE FROM auth.users WHERE id IN (SELECT user_id FROM authsync.quarantine);
SELECT backfill_all_missing_profiles(dry_run => false) IS NOT NULL AND resync_profiles(dry_run => false) IS NOT NULL AS settled \gset
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, 'who is gone does not wait in quarantine');
ALTER TABLE profiles ADD CONSTRAINT not_evil CHECK (email NOT LIKE 'evil%');
SELECT tap.add_user(400 + n, CASE n WHEN 4 THEN 'evil@example.com' ELSE 'fine' || n || '@example.com' END, drift => true) FROM generate_series(1, 7) AS n;
SELECT is(tap.state('SELECT ensure_profile_exists(tap.id(404))'), '23514', 'ensure_profile_exists raises the row''s own error');
SELECT is(backfill_user_profile(tap.id(404)) - 'message', jsonb_build_object('user_id', tap.id(404), 'status', 'failed', 'sqlstate', '23514'), 'backfill_user_profile returns it');
SELECT matches(backfill_user_profile(tap.id(404)) ->> 'message', 'not_evil', '… with its message');
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(backfill_user_profile(tap.id(1))) AS k), ARRAY['message', 'sqlstate', 'status', 'user_id'], '… the same four keys for one who has a profile');
SELECT is(backfill_all_missing_profiles(100), jsonb_build_object('dry_run', true, 'total_missing', (SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'),
    'message', format('Would backfill %s profiles', (SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'))), 'dry: exactly three keys');
SELECT count(*) AS missing FROM auth_profile_mismatch WHERE status = 'auth_only' \gset
SELECT backfill_all_missing_profiles(3, false) AS done \gset
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(:'done') AS k), ARRAY['dry_run', 'failed', 'plan_id', 'processed', 'quarantined', 'remaining', 'successful'], 'real: exactly seven keys');
SELECT is(:'done'::jsonb - 'plan_id', jsonb_build_object('dry_run', false, 'processed', :missing, 'successful', :missing - 1, 'failed', 1, 'quarantined', 1, 'remaining', 1), 'one of them fails');
SELECT is((SELECT concat_ws('|', target, sqlstate, constraint_name, attempts >= 1, first_seen <= now(), next_retry > now()) FROM authsync.quarantine WHERE user_id = tap.id(404)),
    'profiles|23514|not_evil|t|t|t', 'quarantine says which, where and why');
SELECT is((SELECT count(*) FROM authsync.quarantine), 1::bigint, '… and holds nobody else');
SELECT unalike((SELECT string_agg(message, ' ') FROM authsync.quarantine), '%evil@example.com%', '… without the e-mail');
ALTER TABLE profiles ADD COLUMN needed text NOT NULL DEFAULT 'old';
ALTER TABLE profiles ALTER COLUMN needed DROP DEFAULT;
SELECT tap.add_user(420, 'needy@example.com');
SELECT is((SELECT concat_ws('|', sqlstate, column_name) FROM authsync.quarantine WHERE user_id = tap.id(420)), '23502|needed', '… a missing value: its column');
ALTER TABLE profiles DROP COLUMN needed;
ALTER TABLE profiles DROP CONSTRAINT not_evil;
SELECT is(backfill_all_missing_profiles(dry_run => false) ->> 'remaining', '0', 'mended and backfilled');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… the quarantine is empty');

-- resync: same shapes
UPDATE profiles SET email = 'stale' || id || '@example.com' WHERE id IN (tap.id(401), tap.id(402));
SELECT is((SELECT array_agg(k ORDER BY k) FROM jsonb_object_keys(resync_profiles()) AS k), ARRAY['dry_run', 'message', 'total_missing'], 'resync, dry: the backfill''s keys')
 WHERE resync_profiles() ? 'total_missing';
SELECT is(resync_profiles() -> 'dry_run', 'true', 'resync is dry by default');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status = 'email_mismatch'), 2::bigint, '… and did nothing');
SELECT is((SELECT concat_ws('/', r -> 'processed', r -> 'successful', r -> 'failed', r -> 'quarantined', r -> 'remaining') FROM resync_profiles(dry_run => false) AS r), '2/2/0/0/0', 'resync rewrites what differs');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status = 'email_mismatch'), 0::bigint, '… and mends email_mismatch');

-- CALL
SELECT tap.add_user(500 + n, 'call' || n || '@example.com', drift => true) FROM generate_series(1, 12) AS n;
\set result null
CALL backfill_missing_profiles(batch_size => 3, max_users => 10) \gset
SELECT is(:'result'::jsonb - 'plan_id', '{"dry_run": false, "processed": 10, "successful": 10, "failed": 0, "quarantined": 0, "remaining": 2}', 'CALL: max_users => 10 does ten and says what remains');
CALL backfill_missing_profiles() \gset
SELECT is(:'result'::jsonb - 'plan_id', '{"dry_run": false, "processed": 2, "successful": 2, "failed": 0, "quarantined": 0, "remaining": 0}', '… the rest');
CALL backfill_missing_profiles(result => '{"given": true}') \gset
SELECT is(:'result'::jsonb ->> 'processed', '0', '… nothing left');

-- Claims that no auth server makes: nobody, or an error of the claims' own, never somebody else.
CREATE FUNCTION tap.uid(claims text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('request.jwt.claims', claims, true);
    RETURN coalesce(authsync.uid()::text, 'nobody');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT is(tap.uid(claims), wanted, 'uid() of ' || claims) FROM (VALUES ('', 'nobody'), ('{}', 'nobody'), ('[]', 'nobody'), ('17', 'nobody'), ('null', 'nobody'), ('{"sub": 17}', 'nobody'), ('{"sub": null}', 'nobody'),
    ('{"sub": ""}', 'nobody'), ('{"sub": "auth0|1"}', 'nobody'), ('{"sub": "\u0000"}', 'nobody'), ('{"sub": {"sub": "00000000-0000-4000-8000-000000000001"}}', 'nobody'), ('garbage', '22P02'),
    ('{"sub": "00000000-0000-4000-8000-000000000001"}', '00000000-0000-4000-8000-000000000001')) AS t (claims, wanted);
RESET request.jwt.claims;

-- Dry runs leave nothing.
SELECT tap.add_user(600, 'dry@example.com', drift => true);
SELECT (SELECT count(*) FROM user_events) || '/' || (SELECT count(*) FROM authsync.plans) || '/' || (SELECT count(*) FROM authsync.quarantine) AS before,
       (SELECT string_agg(last_value::text, '/' ORDER BY c.oid) FROM pg_class AS c, LATERAL (SELECT pg_sequence_last_value(c.oid) AS last_value) AS s WHERE relkind = 'S' AND relpersistence = 'p') AS numbers,
       backfill_all_missing_profiles() IS NOT NULL AND resync_profiles() IS NOT NULL AS dry \gset
SELECT is((SELECT count(*) FROM user_events) || '/' || (SELECT count(*) FROM authsync.plans) || '/' || (SELECT count(*) FROM authsync.quarantine), :'before'::text, 'a dry run leaves no row');
SELECT is((SELECT string_agg(last_value::text, '/' ORDER BY c.oid) FROM pg_class AS c, LATERAL (SELECT pg_sequence_last_value(c.oid) AS last_value) AS s WHERE relkind = 'S' AND relpersistence = 'p'), :'numbers'::text, '… not even a sequence value');
SELECT is(tap.state('SET TRANSACTION READ ONLY; SELECT ' || call), '00000', call || ', dry, in a READ ONLY transaction') FROM unnest(ARRAY['backfill_all_missing_profiles()', 'resync_profiles()']) AS call;

SELECT * FROM finish();
