-- Users tables that are not GoTrue's; profiles found in the face's schema; the default profiles table where roles and keys lack;
-- setup() while somebody holds the tables.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION dblink SCHEMA tap;
SET client_min_messages = error;
CREATE SCHEMA "App";
CREATE TABLE "App".profiles (user_id uuid PRIMARY KEY, email text);
CREATE EXTENSION authsync SCHEMA "App";
SET client_min_messages = warning;
SET search_path = "App", public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.bound() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT concat_ws(' ', users_schema || '.' || users_table, profiles_schema || '.' || profiles_table) FROM authsync.bindings ORDER BY bound_at DESC LIMIT 1 $$;

SELECT plan(42);

-- Profiles in the face's schema.
SELECT is(tap.bound(), 'auth.users App.profiles', 'profiles are found in the face''s schema where public has none');
INSERT INTO auth.users (id, email) VALUES (tap.id(1), 'u1@example.com');
SELECT is((SELECT email FROM "App".profiles), 'u1@example.com', '… and written');
SELECT is((SELECT count(*) FROM "App".user_events), 2::bigint, '… with events');

-- A users table of the application's own: an id and an e-mail are enough.
CREATE SCHEMA shop;
CREATE TABLE shop.people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text);
CREATE TABLE shop.profiles (id uuid PRIMARY KEY REFERENCES shop.people ON DELETE CASCADE, email text, display_name text, account_type text NOT NULL DEFAULT 'individual');
SELECT count(*) FROM authsync.setup(users => 'shop.people', profiles => 'shop.profiles') \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'users that are but id and e-mail');
SELECT is((SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = 'auth.users'::regclass AND pronamespace = 'authsync'::regnamespace), 0::bigint, '… nothing of ours is left on the former ones');
INSERT INTO shop.people (id, email) SELECT tap.id(n), 'p' || n || '@example.com' FROM generate_series(1, 3) AS n;
SELECT is((SELECT count(*) FROM shop.profiles JOIN shop.people USING (id, email)), 3::bigint, '… their profiles are made');
UPDATE shop.people SET email = 'new@example.com' WHERE id = tap.id(1);
SELECT is((SELECT email FROM shop.profiles WHERE id = tap.id(1)), 'new@example.com', '… the address follows');
DELETE FROM shop.people WHERE id = tap.id(2);
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'auth_user_deleted' AND user_id = tap.id(2)), 1::bigint, '… a deletion is written down');
INSERT INTO auth.users (id, email) VALUES (tap.id(2), 'u2@example.com');
SELECT is((SELECT count(*) FROM "App".profiles), 1::bigint, '… and auth.users concern us no more');
SELECT is((SELECT string_agg(concat_ws(' ', metric, count), ', ') FROM diagnose_auth_profile_consistency() WHERE metric LIKE 'Total auth%' OR metric LIKE 'Healthy%'), 'Healthy (Auth + Profile) 2, Total auth.users 2', '… diagnose counts them');
SELECT is((SELECT count(*) FROM authsync.probe() WHERE ok), 1::bigint, '… probe tries them');
SELECT is((SELECT count(*) FROM signup_audit_summary), 0::bigint, '… without an audit log the summary is empty');
SELECT is((SELECT count(*) FROM get_registration_stats(3)), 3::bigint, '… and the statistics have their days');
SELECT lives_ok('SELECT * FROM monitor_signup_health()', '… the monitor answers');
SELECT lives_ok('SELECT * FROM authsync.lint()', '… and lint');

-- Partitioned users.
CREATE TABLE shop.many (id uuid PRIMARY KEY, email text, created_at timestamptz) PARTITION BY HASH (id);
CREATE TABLE shop.many0 PARTITION OF shop.many FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.many1 PARTITION OF shop.many FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.many_profiles (id uuid PRIMARY KEY, email text);
SELECT count(*) FROM authsync.setup(users => 'shop.many', profiles => 'shop.many_profiles') \g /dev/null
\set got :SQLSTATE
SELECT ok(:'got'::text = '00000' OR tap.bound() = 'shop.people shop.profiles', 'partitioned users: bound, or refused as a whole');
INSERT INTO shop.many (id, email) SELECT tap.id(n), 'm' || n FROM generate_series(1, 20) AS n;
SELECT CASE WHEN :'got'::text = '00000' THEN is((SELECT count(*) FROM shop.many_profiles), 20::bigint, '… and served') ELSE pass('… refused') END;

-- Users without a usable key or address.
CREATE TABLE shop.keyless (id uuid, email text);
CREATE TABLE shop.numbered (id bigint PRIMARY KEY, email text);
SELECT tap.bound() AS before \gset
SELECT throws_like($$ SELECT * FROM authsync.setup(users => 'shop.numbered', profiles => 'shop.profiles') $$, '%', 'users with a bigint for a key are refused');
SELECT is(tap.bound(), :'before'::text, '… as a whole');

-- No users to refer to by a key: the default table without a foreign key.
SELECT count(*) FROM authsync.setup(users => 'shop.people', profiles => 'shop.profiles', mode => 'off') \g /dev/null
DROP EXTENSION authsync;
DROP TABLE "App".profiles, shop.profiles;
ALTER TABLE auth.users DROP CONSTRAINT users_pkey CASCADE;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA "App";
SET client_min_messages = warning;
SELECT is((SELECT count(*) FROM authsync.bindings WHERE profiles_table IS NOT NULL), 0::bigint, 'without profiles nothing is bound to them');
SELECT string_agg(object, ' ') AS made FROM authsync.setup() WHERE action = 'created' AND object ~ 'profiles' \gset
\set got :SQLSTATE
SELECT has_table('public', 'profiles', 'the default table is made in public, wherever the face is');
SELECT is((SELECT count(*) FROM pg_constraint WHERE conrelid = 'public.profiles'::regclass AND contype = 'f'), 0::bigint, '… without foreign key, since the users have no such key');
DROP EXTENSION authsync;
DROP TABLE public.profiles;
ALTER TABLE auth.users ADD PRIMARY KEY (id);

-- A caller who may create in public, is no superuser, owns nothing of auth: the project's owner of a hosted database.
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA "App";
SELECT count(*) FROM authsync.grant_access('dashboard_user', 'operator') \g /dev/null
GRANT USAGE ON SCHEMA auth TO dashboard_user;
GRANT REFERENCES ON auth.users TO dashboard_user;
SET ROLE dashboard_user;
SELECT count(*) FROM authsync.setup() \g /dev/null
\set got :SQLSTATE
RESET ROLE;
SET client_min_messages = warning;
SELECT is(:'got'::text, '00000', 'setup() by an operator with TRIGGER, SELECT and REFERENCES on the users, and CREATE on public');
SELECT table_owner_is('public', 'profiles', 'dashboard_user', '… the table is his');
SELECT table_privs_are('public', 'profiles', 'anon', '{}'::text[], '… closed to anon, though his default privileges would open it');
SELECT table_privs_are('public', 'profiles', 'authenticated', ARRAY['SELECT'], '… open to authenticated as far as it should be');
INSERT INTO auth.users (id, email) VALUES (tap.id(3), 'u3@example.com');
SELECT is((SELECT email FROM public.profiles WHERE id = tap.id(3)), 'u3@example.com', '… and sign-ups are served');

-- Somebody holds a lock: setup() waits no longer than authsync.lock_timeout, says so and leaves the rest.
SELECT tap.dblink_connect('other', format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)) \g /dev/null
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
SELECT tap.dblink_exec('other', 'BEGIN; LOCK TABLE auth.users IN ROW EXCLUSIVE MODE') \g /dev/null
SET authsync.lock_timeout = '400ms';
SELECT clock_timestamp() AS began \gset
SELECT string_agg(concat_ws(' ', step, object, action, detail), E'\n') AS told FROM authsync.setup(mode => 'safe') \gset
\set got :SQLSTATE
SELECT cmp_ok(clock_timestamp() - :'began'::timestamptz, '<', interval '3 seconds', 'users locked by a writer: setup() does not wait long');
SELECT ok(:'got'::text IN ('00000', '55P03'), '… ends well, or with 55P03');
SELECT ok((SELECT count(*) = 0 FROM pg_locks WHERE pid = pg_backend_pid() AND relation = 'auth.users'::regclass AND mode LIKE '%Exclusive%'), '… and holds nothing');
SELECT tap.dblink_exec('other', 'COMMIT') \g /dev/null
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), true, '… once it is free, setup() completes');
SELECT tap.dblink_exec('other', 'BEGIN; LOCK TABLE auth.users, public.profiles IN ACCESS SHARE MODE') \g /dev/null
SELECT is((SELECT string_agg(DISTINCT action, ',') FROM authsync.setup()), 'kept', 'readers of both tables are no obstacle where nothing changes');
SELECT tap.dblink_exec('other', 'COMMIT') \g /dev/null
-- A lock on profiles: the sign-up does not wait longer than authsync.profile_lock_timeout.
SELECT tap.dblink_exec('other', 'BEGIN; LOCK TABLE public.profiles IN ACCESS EXCLUSIVE MODE') \g /dev/null
SET authsync.profile_lock_timeout = '300ms';
SET authsync.lock_timeout = '300ms';
SELECT clock_timestamp() AS began \gset
INSERT INTO auth.users (id, email) SELECT tap.id(n), 'u' || n || '@example.com' FROM generate_series(10, 29) AS n;
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'profiles locked by somebody: the sign-ups go through');
SELECT cmp_ok(clock_timestamp() - :'began'::timestamptz, '<', interval '2 seconds', '… within one budget for all of them');
SELECT is((SELECT string_agg(DISTINCT sqlstate, ',') || count(*) FROM authsync.quarantine), '55P0320', '… all twenty wait with 55P03');
UPDATE auth.users SET last_sign_in_at = now() WHERE id = tap.id(10);
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', '… logins go on');
SELECT tap.dblink_exec('other', 'COMMIT') \g /dev/null
SELECT is(backfill_all_missing_profiles(10, false) ->> 'successful' >= '20', true, '… afterwards the backfill makes them');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… and nobody waits');
-- One row locked.
SELECT tap.dblink_exec('other', format('BEGIN; UPDATE public.profiles SET display_name = display_name WHERE id = %L', tap.id(10))) \g /dev/null
UPDATE auth.users SET email = 'new.' || email WHERE id IN (tap.id(10), tap.id(11), tap.id(12));
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'one profile locked: the changes of address go through');
SELECT ok(EXISTS (SELECT FROM authsync.quarantine WHERE user_id = tap.id(10)), '… that one waits');
SELECT tap.dblink_exec('other', 'COMMIT') \g /dev/null
SELECT resync_profiles(10, false) \g /dev/null
SELECT is((SELECT count(*) FROM public.profiles AS p JOIN auth.users AS u USING (id, email) WHERE id IN (tap.id(10), tap.id(11), tap.id(12))), 3::bigint, '… resync mends it');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… and it waits no more');
SELECT tap.dblink_disconnect('other') \g /dev/null
SELECT * FROM finish();
