-- Statements of other forms, settings of the session, tables that change between two sign-ups of one session.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA public;
SET client_min_messages = warning;
SET search_path = public, tap;
\set ON_ERROR_STOP off
\set auth 'SET ROLE supabase_auth_admin; SET search_path = auth;'
\set me 'RESET ROLE; SET search_path = public, tap;'

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.profile(n integer) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT (SELECT concat_ws('|', email, display_name, account_type) FROM public.profiles WHERE id = tap.id(n)) $$;
CREATE FUNCTION tap.waiting() RETURNS bigint LANGUAGE sql STABLE AS $$ SELECT count(*) FROM authsync.quarantine $$;
GRANT USAGE ON SCHEMA tap TO supabase_auth_admin;

SELECT plan(50);

-- The application makes the profile itself, in the statement, the transaction, or beforehand.
WITH u AS (INSERT INTO auth.users (id, email) VALUES (tap.id(1), 'u1@example.com') RETURNING id)
    INSERT INTO profiles (id, email, display_name) SELECT id, 'u1@example.com', 'Own' FROM u;
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'user and profile in one statement');
SELECT is(tap.profile(1), 'u1@example.com|Own|individual', '… the application''s profile stays');
SELECT is(tap.waiting(), 0::bigint, '… nothing waits');
WITH u AS (INSERT INTO auth.users (id, email) VALUES (tap.id(2), 'u2@example.com') RETURNING id), a AS (SELECT 1 FROM u),
    d AS (DELETE FROM auth.users WHERE id = tap.id(1)), c AS (UPDATE auth.users SET email = 'nobody@example.com' WHERE id = tap.id(77))
    SELECT count(*) FROM u, a \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'INSERT, UPDATE and DELETE of users in one statement');
SELECT is(tap.profile(2), 'u2@example.com|individual', '… a profile for the new one');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(1) AND event_type = 'auth_user_deleted'), 1::bigint, '… the old one is said to be deleted');
BEGIN;
WITH u AS (INSERT INTO auth.users (id, email) VALUES (tap.id(3), 'u3@example.com') RETURNING id) SELECT id FROM u \g /dev/null
DELETE FROM auth.users WHERE id = tap.id(3);
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (tap.id(3), 'u3b@example.com', '{"display_name": "Again"}');
COMMIT;
SELECT is(tap.profile(3), 'u3b@example.com|Again|individual', 'created, deleted and created again in one transaction');

-- MERGE (from 15 on).
SELECT current_setting('server_version_num')::int >= 150000 AS has_merge \gset
\if :has_merge
MERGE INTO auth.users AS u USING (VALUES (tap.id(2), 'u2.merged@example.com'), (tap.id(4), 'u4@example.com')) AS v (id, email) ON u.id = v.id
    WHEN MATCHED THEN UPDATE SET email = v.email WHEN NOT MATCHED THEN INSERT (id, email) VALUES (v.id, v.email);
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'MERGE');
SELECT is(tap.profile(2) || ' ' || tap.profile(4), 'u2.merged@example.com|individual u4@example.com|individual', '… an address follows, a profile is made');
\else
SELECT skip('no MERGE before 15', 2);
\endif

-- Nothing at all.
SELECT count(*) AS before FROM user_events \gset
INSERT INTO auth.users (id, email) SELECT tap.id(5), 'x' WHERE false;
UPDATE auth.users SET email = 'y' WHERE false;
DELETE FROM auth.users WHERE false;
SELECT is((SELECT count(*) FROM user_events), :before::bigint, 'statements without rows write nothing');

-- Prepared, many times, so that plans are cached; a function; a cursor.
PREPARE sign_up (uuid, text) AS INSERT INTO auth.users (id, email) VALUES ($1, $2);
DO $$ BEGIN FOR i IN 300 .. 399 LOOP INSERT INTO auth.users (id, email) VALUES (tap.id(i), 'u' || i || '@example.com'); END LOOP; END $$;
SELECT is((SELECT count(*) FROM profiles WHERE id BETWEEN tap.id(300) AND tap.id(399)), 100::bigint, 'a hundred statements in a loop');
DO $$ BEGIN FOR i IN 400 .. 499 LOOP BEGIN INSERT INTO auth.users (id, email) VALUES (tap.id(i), 'u' || i || '@example.com'); IF i % 2 = 0 THEN RAISE 'no'; END IF; EXCEPTION WHEN raise_exception THEN NULL; END; END LOOP; END $$;
SELECT is((SELECT count(*) FROM profiles WHERE id BETWEEN tap.id(400) AND tap.id(499)), 50::bigint, '… half of them undone');
SELECT is((SELECT count(*) FROM user_events WHERE user_id BETWEEN tap.id(400) AND tap.id(499) AND event_type = 'profile_bootstrap_ok'), 50::bigint, '… with their events');

-- The table changes while the session goes on.
EXECUTE sign_up (tap.id(10), 'u10@example.com');
ALTER TABLE profiles ADD COLUMN nickname text, ADD COLUMN motto text DEFAULT 'none';
:auth
INSERT INTO users (id, email, raw_user_meta_data) VALUES (tap.id(11), 'u11@example.com', '{"motto": "Onward", "nickname": "eleven"}');
:me
SELECT is((SELECT motto || nickname FROM profiles WHERE id = tap.id(11)), 'Onwardeleven', 'columns added meanwhile are filled');
ALTER TABLE profiles DROP COLUMN nickname, ALTER motto SET DEFAULT 'changed';
EXECUTE sign_up (tap.id(12), 'u12@example.com');
SELECT is((SELECT motto FROM profiles WHERE id = tap.id(12)), 'changed', 'a column gone, a default changed');
ALTER TABLE profiles ALTER display_name TYPE varchar(10), ALTER email TYPE varchar(300), ALTER email SET NOT NULL;
INSERT INTO auth.users (id, raw_user_meta_data) VALUES (tap.id(13), '{"display_name": "Thirteen"}');
SELECT is(tap.profile(13), tap.id(13) || '@users.invalid|Thirteen|individual', 'types changed, an address that has become NOT NULL');
ALTER TABLE auth.users ALTER email TYPE text, ALTER raw_app_meta_data SET DEFAULT '{}', ADD COLUMN new_thing int DEFAULT 1;
EXECUTE sign_up (tap.id(14), 'u14@example.com');
SELECT is(tap.profile(14), 'u14@example.com|individual', 'the users changed: a type, a default, a column');
ALTER TABLE auth.users DROP COLUMN is_super_admin, DROP COLUMN banned_until;
EXECUTE sign_up (tap.id(15), 'u15@example.com');
UPDATE auth.users SET email = 'new.u15@example.com' WHERE id = tap.id(15);
SELECT is(tap.profile(15), 'new.u15@example.com|individual', '… columns gone');
BEGIN;
ALTER TABLE auth.users DROP COLUMN is_anonymous, DROP COLUMN is_sso_user CASCADE, DROP COLUMN deleted_at;
INSERT INTO auth.users (id, email) VALUES (tap.id(16), 'u16@example.com');
UPDATE auth.users SET email = 'new.u16@example.com' WHERE id = tap.id(16);
SELECT is(tap.profile(16), 'new.u16@example.com|individual', '… as in an old version of the auth server');
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches() WHERE user_id = tap.id(16)), 0::bigint, '… and the views go on');
ROLLBACK;
INSERT INTO auth.users (id, email, is_anonymous) VALUES (tap.id(17), 'u17@example.com', true);
SELECT is(tap.profile(17), NULL, '… rolled back, anonymous users are known again');
BEGIN;
ALTER TABLE auth.users DROP COLUMN raw_user_meta_data CASCADE;
INSERT INTO auth.users (id, email) VALUES (tap.id(18), 'u18@example.com');
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '00000', 'the users without metadata: a sign-up goes through');
VACUUM FULL profiles;
CLUSTER profiles USING profiles_pkey;
REINDEX TABLE profiles;
EXECUTE sign_up (tap.id(19), 'u19@example.com');
SELECT is(tap.profile(19), 'u19@example.com|individual', 'VACUUM FULL, CLUSTER, REINDEX');
BEGIN;
CREATE TABLE copy (LIKE profiles INCLUDING ALL);
INSERT INTO copy SELECT * FROM profiles;
DROP TABLE profiles;
ALTER TABLE copy RENAME TO profiles;
EXECUTE sign_up (tap.id(20), 'u20@example.com');
SELECT is(tap.profile(20), 'u20@example.com|individual', 'the table replaced by another of its name');
ROLLBACK;
EXECUTE sign_up (tap.id(21), 'u21@example.com');
SELECT is(tap.profile(21), 'u21@example.com|individual', '… and back');
SELECT is(tap.waiting(), 0::bigint, 'nobody waits after all that');

-- Settings of the caller's session mean nothing here.
ALTER TABLE profiles ADD COLUMN born date, ADD COLUMN settings jsonb, ADD COLUMN path text DEFAULT 'C:\temp\', ADD COLUMN quoted text DEFAULT $$it's$$;
SET standard_conforming_strings = off;
SET escape_string_warning = off;
SET backslash_quote = off;
SET quote_all_identifiers = on;
SET transform_null_equals = on;
SET array_nulls = off;
SET DateStyle = 'German, DMY';
SET IntervalStyle = sql_standard;
SET bytea_output = escape;
SET TimeZone = 'Asia/Kolkata';
SET default_transaction_deferrable = on;
SET plan_cache_mode = force_generic_plan;
SET enable_seqscan = off;
SET check_function_bodies = off;
SET row_security = off;
SET client_min_messages = debug1;
SET default_table_access_method = heap;
SET lock_timeout = '10s';
SET search_path = pg_catalog;
\set QUIET on
INSERT INTO auth.users (id, email, raw_user_meta_data, created_at) VALUES (tap.id(30), 'u30@example.com', '{"born": "1999-03-04", "settings": {"a": null, "b": "NULL"}, "display_name": "NULL"}', '2024-01-02 03:04:05+00');
\set one :SQLSTATE
UPDATE auth.users SET email = 'new.u30@example.com' WHERE id = tap.id(30);
\set two :SQLSTATE
SELECT public.backfill_all_missing_profiles(10, false) \g /dev/null
\set three :SQLSTATE
SELECT public.resync_profiles(10, false) \g /dev/null
\set four :SQLSTATE
SELECT count(*) FROM authsync.setup() \g /dev/null
\set five :SQLSTATE
SELECT * FROM public.auth_profile_mismatch \g /dev/null
\set six :SQLSTATE
SELECT current_setting('DateStyle') || '|' || current_setting('lock_timeout') AS kept \gset
RESET ALL;
SET client_min_messages = warning;
:me
SELECT is(concat_ws(' ', :'one'::text, :'two'::text, :'three'::text, :'four'::text, :'five'::text, :'six'::text), '00000 00000 00000 00000 00000 00000', 'odd settings: sign-up, change, backfill, resync, setup, view');
SELECT is(tap.profile(30), 'new.u30@example.com|NULL|individual', '… the profile is what it should be');
SELECT is((SELECT concat_ws('|', born, settings, path, quoted) FROM profiles WHERE id = tap.id(30)), $$1999-03-04|{"a": null, "b": "NULL"}|C:\temp\|it's$$, '… in every column');
SELECT is(:'kept'::text, 'German, DMY|10s', '… and the session''s settings are as they were');
SELECT is(tap.waiting(), 0::bigint, '… nobody waits');

-- Replication and TRUNCATE pass it by.
SET session_replication_role = replica;
INSERT INTO auth.users (id, email) VALUES (tap.id(40), 'u40@example.com');
RESET session_replication_role;
SELECT is(tap.profile(40), NULL, 'session_replication_role = replica: no trigger, no effect');
BEGIN;
TRUNCATE auth.users CASCADE;
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '00000', 'TRUNCATE of the users is not hindered');

-- Size: 20,000 by COPY, a hundred of them bad.
ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
SELECT clock_timestamp() AS began \gset
INSERT INTO auth.users (id, email, raw_user_meta_data)
    SELECT tap.id(n), 'u' || n || '@example.com', CASE WHEN n % 200 = 17 THEN '{"display_name": "Bad"}' ELSE '{"display_name": "Good"}' END::jsonb FROM generate_series(100001, 120000) AS n;
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', '20,000 users in one statement');
SELECT is(tap.waiting(), 100::bigint, '… the hundred bad ones wait');
SELECT is((SELECT count(*) FROM profiles WHERE id >= tap.id(100001)), 19900::bigint, '… all others have profiles');
SELECT is((SELECT count(*) FROM user_events WHERE user_id >= tap.id(100001) AND event_type = 'profile_bootstrap_ok'), 19900::bigint, '… and events');
SELECT cmp_ok(clock_timestamp() - :'began'::timestamptz, '<', interval '60 seconds', '… in reasonable time');
DELETE FROM auth.users WHERE id >= tap.id(100001);
SELECT is(tap.waiting(), 0::bigint, '… deleted, none of them waits');

-- The session's own mood: temporary tables named as ours, a role that is dropped afterwards, an aborted transaction.
CREATE TEMP TABLE new_users (id text);
CREATE TEMP TABLE profiles (id text);
CREATE TEMP TABLE user_events (id text);
SET search_path = pg_temp, public, auth;
INSERT INTO auth.users (id, email) VALUES (tap.id(50), 'u50@example.com');
SET search_path = public, tap;
DROP TABLE pg_temp.new_users, pg_temp.profiles, pg_temp.user_events;
SELECT is(tap.profile(50), 'u50@example.com|individual', 'temporary tables of the same names');
DELETE FROM public.profiles WHERE id IN (tap.id(50));
SELECT is(ensure_profile_exists(tap.id(50)), true, '… and mending, afterwards');

-- Triggers of the application on the users: one that changes the new user, one that throws him out again.
BEGIN;
CREATE FUNCTION tap.promote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN UPDATE auth.users SET raw_app_meta_data = '{"account_type": "vip"}' WHERE id = NEW.id; RETURN NULL; END $$;
CREATE TRIGGER a_first AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION tap.promote();
INSERT INTO auth.users (id, email) VALUES (tap.id(60), 'u60@example.com');
SELECT is(tap.profile(60), 'u60@example.com|vip', 'what an earlier trigger of the same statement wrote is in the profile');
CREATE OR REPLACE FUNCTION tap.promote() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM auth.users WHERE id = NEW.id AND email LIKE '%@spam.example'; RETURN NULL; END $$;
ALTER TABLE public.profiles DROP CONSTRAINT IF EXISTS profiles_id_fkey;
INSERT INTO auth.users (id, email) VALUES (tap.id(61), 'u61@spam.example'), (tap.id(62), 'u62@example.com');
SELECT is(tap.profile(61), NULL, 'he whom an earlier trigger threw out gets no profile');
SELECT is(tap.waiting(), 0::bigint, '… and does not wait for one');
SELECT is(tap.profile(62), 'u62@example.com|individual', '… the others do');
ROLLBACK;

-- A user who is nobody: no e-mail, no phone, no metadata, not even an instance.
INSERT INTO auth.users (id) VALUES ('00000000-0000-0000-0000-000000000000'), ('ffffffff-ffff-ffff-ffff-ffffffffffff');
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'the nil uuid and the last one as users');
SELECT is((SELECT count(*) FROM public.profiles WHERE id IN ('00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff')), 2::bigint, '… have profiles');
SELECT is((SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'), 0::bigint, 'nothing is left open');
SELECT is((SELECT string_agg(check_name, ', ') FROM verify_profile_completeness() WHERE status <> 'PASS' AND count <> 1), NULL, 'at the end only the replicated one has no profile');
SELECT is((SELECT array_agg(user_id) FROM get_auth_profile_mismatches() WHERE status = 'auth_only'), ARRAY[tap.id(40)], '… that one');
SELECT * FROM finish();
