-- Modes strict and off, and what no mode swallows.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;
\set ON_ERROR_STOP off
\set auth 'SET ROLE supabase_auth_admin; SET search_path = auth;'
\set me 'RESET statement_timeout; RESET ROLE; SET search_path = public, tap;'

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
GRANT USAGE ON SCHEMA tap TO supabase_auth_admin;

SELECT plan(40);

SELECT is((SELECT mode FROM authsync.bindings), 'safe', 'the mode is safe at first');

-- strict: the row's own error.
SELECT is((SELECT string_agg(DISTINCT action, ' ') FROM authsync.setup(mode => 'strict') WHERE detail ~ 'strict' OR object ~ 'strict'), 'changed', 'setup(mode => strict) says what it changed');
ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
:auth
INSERT INTO users (id, email) VALUES (tap.id(1), 'u1@example.com');
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'strict: a good one goes through');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, '… with its profile');
:auth
INSERT INTO users (id, email, raw_user_meta_data) VALUES (tap.id(2), 'u2@example.com', '{"display_name": "Bad"}');
\set got :SQLSTATE
\set said :LAST_ERROR_MESSAGE
:me
SELECT is(:'got'::text, '23514', 'strict: a bad one fails with the SQLSTATE of its profile');
SELECT matches(:'said'::text, 'nice_name', '… and its message');
SELECT is((SELECT count(*) FROM auth.users WHERE id = tap.id(2)) + (SELECT count(*) FROM authsync.quarantine), 0::bigint, '… nobody signs up, nothing is quarantined');
DO $$
DECLARE got text; DECLARE col text;
BEGIN
    INSERT INTO auth.users (id, raw_user_meta_data) VALUES (tap.id(2), '{"display_name": "Bad"}');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS got = CONSTRAINT_NAME, col = TABLE_NAME;
    PERFORM set_config('tap.constraint', got || ' ' || col, false);
END $$;
SELECT is(current_setting('tap.constraint', true), 'nice_name profiles', '… its constraint and table');
:auth
INSERT INTO users (id, email, raw_user_meta_data) SELECT tap.id(n), 'u' || n || '@example.com', CASE n WHEN 15 THEN '{"display_name": "Bad"}' ELSE '{}' END::jsonb FROM generate_series(10, 20) AS n;
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '23514', 'strict: one bad one fails its statement');
SELECT is((SELECT count(*) FROM auth.users), 1::bigint, '… as a whole');
:auth
BEGIN;
INSERT INTO users (id, email) VALUES (tap.id(30), 'u30@example.com');
SAVEPOINT s;
INSERT INTO users (id, email, raw_user_meta_data) VALUES (tap.id(31), 'u31@example.com', '{"display_name": "Bad"}');
ROLLBACK TO s;
COMMIT;
:me
SELECT is((SELECT array_agg(id) FROM profiles WHERE id IN (tap.id(30), tap.id(31))), ARRAY[tap.id(30)], 'strict: a savepoint saves the rest');
:auth
UPDATE users SET last_sign_in_at = now();
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'strict: logins go on');
ALTER TABLE profiles ADD CONSTRAINT no_shouting CHECK (email !~ '!');
:auth
UPDATE users SET email = 'u1!@example.com' WHERE id = tap.id(1);
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '23514', 'strict: a change of address that the profile refuses fails');
ALTER TABLE profiles DROP CONSTRAINT no_shouting;
-- Deferred constraints too come up before the statement ends, not at COMMIT.
CREATE TABLE houses (name text PRIMARY KEY);
ALTER TABLE profiles ADD house text CONSTRAINT in_house REFERENCES houses DEFERRABLE INITIALLY DEFERRED, ALTER house SET DEFAULT 'none';
:auth
INSERT INTO users (id) VALUES (tap.id(40));
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '23503', 'strict: a deferred foreign key');
ALTER TABLE profiles DROP COLUMN house;
ALTER TABLE profiles RENAME TO away;
:auth
INSERT INTO users (id) VALUES (tap.id(41));
\set got :SQLSTATE
:me
SELECT ok(:'got'::text = '42P01' OR EXISTS (SELECT FROM away WHERE id = tap.id(41)), 'strict: a table that is away is 42P01, or is followed');
ALTER TABLE away RENAME TO profiles;

-- off: no triggers, all else stays.
SELECT throws_ok($$ SELECT * FROM authsync.setup(mode => 'harsh') $$, '22023', NULL, 'a mode that there is not');
SELECT ok((SELECT count(*) > 0 FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = 'auth.users'::regclass AND pronamespace = 'authsync'::regnamespace), 'there are triggers');
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
SELECT is((SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = 'auth.users'::regclass AND pronamespace = 'authsync'::regnamespace), 0::bigint, 'mode off: they are gone');
:auth
INSERT INTO users (id, email, created_at) VALUES (tap.id(50), 'u50@example.com', now());
:me
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(50)) + (SELECT count(*) FROM user_events WHERE user_id = tap.id(50)), 0::bigint, '… a sign-up makes no profile and no event');
SELECT is((SELECT status FROM auth_profile_mismatch WHERE user_id = tap.id(50)), 'auth_only', '… the views go on');
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), false, '… the monitor says that the trigger is off');
SELECT is(ensure_profile_exists(tap.id(50)), true, '… as does mending');
SELECT is((SELECT string_agg(DISTINCT mode, '') FROM authsync.bindings), 'off', 'setup() without mode …');
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is((SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = 'auth.users'::regclass AND pronamespace = 'authsync'::regnamespace), 0::bigint, '… keeps it');
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
:auth
INSERT INTO users (id, email, created_at) VALUES (tap.id(51), 'u51@example.com', now());
:me
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(51)), 1::bigint, 'safe again: the triggers are back');
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), true, '… and the monitor says so');

-- A statement that is cancelled or times out is so, in every mode.
CREATE FUNCTION tap.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.display_name = 'Slow' THEN PERFORM pg_sleep(20); END IF; RETURN NEW; END $$;
CREATE TRIGGER dawdle BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.dawdle();
:auth
SET statement_timeout = '300ms';
INSERT INTO users (id, raw_user_meta_data) VALUES (tap.id(60), '{"display_name": "Slow"}');
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '57014', 'safe: statement_timeout within the profile ends the statement');
SELECT is((SELECT count(*) FROM auth.users WHERE id = tap.id(60)) + (SELECT count(*) FROM authsync.quarantine WHERE user_id = tap.id(60)), 0::bigint, '… nothing stays of it');
CREATE FUNCTION tap.cancel() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN IF NEW.display_name = 'Cancel' THEN PERFORM pg_cancel_backend(pg_backend_pid()); PERFORM pg_sleep(20); END IF; RETURN NEW; END $$;
ALTER FUNCTION tap.cancel() SECURITY DEFINER;
CREATE TRIGGER cancel BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.cancel();
:auth
INSERT INTO users (id, raw_user_meta_data) VALUES (tap.id(61), '{"display_name": "Cancel"}');
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '57014', 'safe: pg_cancel_backend within the profile ends the statement');
SET statement_timeout = '300ms';
INSERT INTO auth.users (id, raw_user_meta_data) SELECT tap.id(n), CASE n WHEN 180 THEN '{"display_name": "Slow"}' ELSE '{}' END::jsonb FROM generate_series(100, 199) AS n;
\set got :SQLSTATE
RESET statement_timeout;
SELECT is(:'got'::text, '57014', '… one slow row among a hundred is not bisected out');
-- The same in the functions that act.
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
INSERT INTO auth.users (id, raw_user_meta_data) VALUES (tap.id(62), '{"display_name": "Slow"}');
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
SET statement_timeout = '300ms';
SELECT backfill_user_profile(tap.id(62)) \g /dev/null
\set one :SQLSTATE
SELECT backfill_all_missing_profiles(dry_run => false) \g /dev/null
\set all :SQLSTATE
CALL backfill_missing_profiles();
\set called :SQLSTATE
SELECT * FROM authsync.probe() \g /dev/null
RESET statement_timeout;
SELECT is(:'one'::text, '57014', 'backfill_user_profile: 57014');
SELECT is(:'all'::text, '57014', 'backfill_all_missing_profiles: 57014');
SELECT is(:'called'::text, '57014', 'CALL backfill_missing_profiles: 57014');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… and nobody is quarantined for it');

-- 57014 raised by the application itself is no different.
CREATE OR REPLACE FUNCTION tap.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE query_canceled; END $$;
:auth
INSERT INTO users (id) VALUES (tap.id(63));
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '57014', 'raised by a trigger: 57014 is never swallowed');
CREATE OR REPLACE FUNCTION tap.dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE serialization_failure; END $$;
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO auth.users (id) VALUES (tap.id(64));
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '40001', 'serialization_failure in a serializable transaction is not swallowed');
BEGIN ISOLATION LEVEL REPEATABLE READ;
INSERT INTO auth.users (id) VALUES (tap.id(64));
\set got :SQLSTATE
ROLLBACK;
SELECT ok(:'got'::text IN ('40001', '00000'), '… in a weaker one either is sound');
CREATE OR REPLACE FUNCTION tap.dawdle() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(20); RETURN NEW; END $$;
CREATE EXTENSION dblink SCHEMA tap;
SELECT tap.dblink_connect('other', format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)) \g /dev/null
SELECT ok(tap.dblink_exec('other', $$ INSERT INTO auth.users (id) VALUES ('00000000-0000-4000-8000-000000000065') $$, false) IS DISTINCT FROM 'INSERT 0 1', 'a backend that is told to stop does');
SELECT is((SELECT count(*) FROM auth.users WHERE id = tap.id(65)), 0::bigint, '… and its sign-up is not half done');
SELECT tap.dblink_disconnect('other') \g /dev/null
DROP TRIGGER dawdle ON profiles;
:auth
INSERT INTO users (id) VALUES (tap.id(66));
:me
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(66)), 1::bigint, 'afterwards all is well');
SELECT * FROM finish();
