-- Looking at a hostile table: the functions that look run as the owner of the extension, so that nothing of the
-- table's owner may run with them: a view put in the table's place, casts and operators of its types.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE ROLE tap_eve LOGIN;
CREATE SCHEMA den AUTHORIZATION tap_eve;
GRANT USAGE ON SCHEMA tap TO PUBLIC;
CREATE SEQUENCE tap.superuser_ran;
SET ROLE tap_eve;
CREATE TABLE den.loot (who name);
-- Says who runs it, even out of a STABLE function and a READ ONLY transaction: what a superuser does leaves a trace.
CREATE FUNCTION den.evil(text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user) THEN PERFORM set_config('tap.caught', current_user, false); END IF;
    RETURN $1;
END $$;
RESET ROLE;

-- Calls everything that looks or acts; the answer is who was caught running eve's code.
CREATE FUNCTION tap.look() RETURNS text LANGUAGE plpgsql AS $$
DECLARE call text;
BEGIN
    FOREACH call IN ARRAY ARRAY['diagnose_auth_profile_consistency()', 'get_auth_profile_mismatches()', 'check_recent_signup_issues()', format('get_user_signup_events(%L)', tap.id(1)), 'monitor_signup_health()',
        'verify_profile_completeness()', 'get_registration_stats()', 'authsync.lint()', 'authsync.probe()', 'backfill_all_missing_profiles()', 'backfill_all_missing_profiles(10, false)', 'resync_profiles()',
        'resync_profiles(10, false)', format('ensure_profile_exists(%L)', tap.id(1)), format('backfill_user_profile(%L)', tap.id(2)), 'authsync.setup(dry_run => true)']
    LOOP
        BEGIN
            -- As an operator who is no superuser: what still runs as one is authsync's doing.
            SET LOCAL ROLE service_role;
            EXECUTE 'SELECT * FROM ' || call;
            RESET ROLE;
        EXCEPTION WHEN OTHERS THEN NULL;
        END;
        RESET ROLE;
        IF current_setting('tap.caught') <> '' THEN RETURN call; END IF;
    END LOOP;
    IF NOT EXISTS (SELECT FROM authsync.bindings WHERE users_schema = 'auth') THEN RETURN 'nobody'; END IF;
    UPDATE auth.users SET email = 'x' || email WHERE id = tap.id(2);
    IF current_setting('tap.caught') <> '' THEN RETURN 'UPDATE auth.users'; END IF;
    INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), gen_random_uuid() || '@example.com');
    RETURN CASE WHEN current_setting('tap.caught') <> '' THEN 'INSERT INTO auth.users' ELSE 'nobody' END;
END $$;

SELECT plan(22);
SET tap.caught = '';
SET ROLE tap_eve;
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email text, display_name text);
RESET ROLE;
SELECT count(*) FROM authsync.setup(profiles => 'den.profiles') \g /dev/null
INSERT INTO auth.users (id, email, created_at) SELECT tap.id(n), 'u' || n || '@example.com', now() FROM generate_series(1, 5) AS n;
SELECT is(tap.look(), 'nobody', 'a plain table');

BEGIN;
SET LOCAL ROLE tap_eve;
ALTER TABLE den.profiles RENAME TO true_profiles;
CREATE VIEW den.profiles AS SELECT id, den.evil(email) AS email, display_name FROM den.true_profiles WHERE den.evil(email) IS NOT NULL;
RESET ROLE;
SELECT is(tap.look(), 'nobody', 'a view in its place, with functions of its own');
ROLLBACK;
SET tap.caught = '';
BEGIN;
SET LOCAL ROLE tap_eve;
DROP TABLE den.profiles;
CREATE TYPE den.address AS (a text);
CREATE FUNCTION den.to_text(den.address) RETURNS text LANGUAGE sql AS $$ SELECT den.evil(($1).a) $$;
CREATE FUNCTION den.from_text(text) RETURNS den.address LANGUAGE sql AS $$ SELECT ROW(den.evil($1))::den.address $$;
CREATE FUNCTION den.equal(den.address, den.address) RETURNS boolean LANGUAGE sql AS $$ SELECT den.evil('x') IS NOT NULL $$;
RESET ROLE;
GRANT CREATE ON DATABASE :"DBNAME" TO tap_eve;
SET LOCAL ROLE tap_eve;
CREATE CAST (den.address AS text) WITH FUNCTION den.to_text(den.address) AS IMPLICIT;
CREATE CAST (text AS den.address) WITH FUNCTION den.from_text(text) AS ASSIGNMENT;
CREATE OPERATOR den.<> (LEFTARG = den.address, RIGHTARG = den.address, FUNCTION = den.equal);
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email den.address, display_name text);
RESET ROLE;
SELECT is(tap.look(), 'nobody', 'an address of a type whose casts and operators are hers');
ROLLBACK;
SET tap.caught = '';
BEGIN;
SET LOCAL ROLE tap_eve;
CREATE FUNCTION den.row_text(den.profiles) RETURNS text LANGUAGE sql AS $$ SELECT den.evil('row') $$;
CREATE CAST (den.profiles AS text) WITH FUNCTION den.row_text(den.profiles) AS IMPLICIT;
RESET ROLE;
SELECT is(tap.look(), 'nobody', 'a cast of the whole row to text');
ROLLBACK;
SET tap.caught = '';
BEGIN;
SET LOCAL ROLE tap_eve;
CREATE FUNCTION den.yes(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$ SELECT den.evil($1) IS NOT NULL $$;
ALTER TABLE den.profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON den.profiles USING (den.yes(email)) WITH CHECK (den.yes(email));
CREATE INDEX ON den.profiles (den.yes('x' || email)) WHERE den.yes(email);
RESET ROLE;
ANALYZE den.profiles;
SELECT is(tap.look(), 'nobody', 'a policy, an index over her functions');
ROLLBACK;
-- A column that is kept equal is compared: its type's functions must not run with it either.
BEGIN;
GRANT CREATE ON DATABASE :"DBNAME" TO tap_eve;
SET LOCAL ROLE tap_eve;
CREATE FUNCTION den.yes(text) RETURNS boolean LANGUAGE sql AS $$ SELECT den.evil($1) IS NOT NULL $$;
CREATE DOMAIN den.counted AS integer CHECK (VALUE IS NULL OR den.yes(VALUE::text));
CREATE DOMAIN den.watched AS text DEFAULT den.evil('free') CHECK (den.yes(VALUE));
CREATE TYPE den.address AS (a text);
CREATE FUNCTION den.to_text(den.address) RETURNS text LANGUAGE sql AS $$ SELECT den.evil(($1).a) $$;
CREATE FUNCTION den.from_text(text) RETURNS den.address LANGUAGE sql AS $$ SELECT ROW(den.evil($1))::den.address $$;
CREATE CAST (den.address AS text) WITH FUNCTION den.to_text(den.address) AS IMPLICIT;
CREATE CAST (text AS den.address) WITH FUNCTION den.from_text(text) AS ASSIGNMENT;
DROP TABLE den.profiles;
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email den.watched, phone den.watched, note den.watched NOT NULL DEFAULT den.evil('d'), display_name text DEFAULT den.evil('e'), plan text, seats den.counted);
RESET ROLE;
SELECT count(*) FROM authsync.setup(profiles => 'den.profiles', columns => '{"phone": {"from": "phone", "sync": "always", "default": "none"}, "note": {"from": "app_metadata.note", "sync": "always", "allow": ["a"]},
    "display_name": {"from": "user_metadata.display_name", "sync": "always"}, "seats": {"from": "app_metadata.seats", "sync": "always", "default": 1}, "plan": {"from": "app_metadata.plan", "guard": true}}') \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'columns of a domain of hers, kept equal: bound');
SELECT is(current_setting('tap.caught'), '', '… without running her code as the superuser who binds them');
SET LOCAL tap.caught = '';
SAVEPOINT s;
SELECT is(tap.look(), 'nobody', '… and harmless');
ROLLBACK TO s;
UPDATE auth.users SET raw_app_meta_data = '{"note": "a", "plan": "x", "seats": 7}', raw_user_meta_data = '{"display_name": "n"}', phone = right(id::text, 3);
INSERT INTO den.profiles SELECT id, 'other@example.com' FROM auth.users ON CONFLICT (id) DO UPDATE SET email = 'other@example.com', phone = 'y', note = 'z', display_name = 'q';
SET LOCAL tap.caught = '';
SELECT is(tap.look(), 'nobody', '… also where every row differs');
ROLLBACK;
SET tap.caught = '';
BEGIN;
SET LOCAL ROLE tap_eve;
CREATE TYPE den.address AS (a text);
CREATE FUNCTION den.to_text(den.address) RETURNS text LANGUAGE sql AS $$ SELECT den.evil(($1).a) $$;
CREATE FUNCTION den.from_text(text) RETURNS den.address LANGUAGE sql AS $$ SELECT ROW(den.evil($1))::den.address $$;
CREATE CAST (den.address AS text) WITH FUNCTION den.to_text(den.address) AS IMPLICIT;
CREATE CAST (text AS den.address) WITH FUNCTION den.from_text(text) AS ASSIGNMENT;
DROP TABLE den.profiles;
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email text, home den.address);
RESET ROLE;
SAVEPOINT s;
SELECT count(*) FROM authsync.setup(profiles => 'den.profiles', columns => '{"home": {"from": "app_metadata.home", "sync": "always"}}') \g /dev/null
\if :ERROR
ROLLBACK TO s;
\endif
UPDATE auth.users SET raw_app_meta_data = '{"home": "a"}';
SELECT is(tap.look(), 'nobody', 'a column of a type whose casts are hers, kept equal: refused, or harmless');
ROLLBACK;
SET tap.caught = '';
-- The same of the users' side: whoever may bind a users table of his own.
BEGIN;
GRANT CREATE ON DATABASE :"DBNAME" TO tap_eve;
SELECT count(*) FROM authsync.grant_access('tap_eve', 'operator') \g /dev/null
SET LOCAL ROLE tap_eve;
CREATE TYPE den.address AS (a text);
CREATE FUNCTION den.to_text(den.address) RETURNS text LANGUAGE sql AS $$ SELECT den.evil(($1).a) $$;
CREATE CAST (den.address AS text) WITH FUNCTION den.to_text(den.address) AS IMPLICIT;
CREATE TABLE den.users (id uuid PRIMARY KEY, email den.address, raw_user_meta_data jsonb, raw_app_meta_data jsonb, created_at timestamptz, deleted_at timestamptz, last_sign_in_at timestamptz);
SAVEPOINT s;
SELECT count(*) FROM authsync.setup(users => 'den.users', profiles => 'den.profiles') \g /dev/null
\set got :SQLSTATE
ROLLBACK TO s;
SELECT :'got' = '00000' AS bound \gset
\if :bound
SELECT count(*) FROM authsync.setup(users => 'den.users', profiles => 'den.profiles') \g /dev/null
INSERT INTO den.users (id, email, created_at) VALUES (tap.id(1), ROW('u1@example.com'), now());
UPDATE den.users SET email = ROW('x1@example.com');
\endif
RESET ROLE;
SELECT is(CASE WHEN current_setting('tap.caught') <> '' THEN 'INSERT INTO den.users' ELSE tap.look() END, 'nobody', 'users of a type whose casts are hers: refused, or harmless');
ROLLBACK;
SET tap.caught = '';
BEGIN;
SELECT count(*) FROM authsync.grant_access('tap_eve', 'operator') \g /dev/null
SET LOCAL ROLE tap_eve;
CREATE TABLE den.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb, raw_app_meta_data jsonb, created_at timestamptz, deleted_at timestamptz, last_sign_in_at timestamptz);
SELECT count(*) FROM authsync.setup(users => 'den.users', profiles => 'den.profiles') \g /dev/null
ALTER TABLE den.users RENAME TO true_users;
CREATE VIEW den.users AS SELECT id, den.evil(email) AS email, raw_user_meta_data, raw_app_meta_data, created_at, deleted_at, last_sign_in_at FROM den.true_users;
INSERT INTO den.true_users (id, email, created_at) VALUES (tap.id(1), 'u1@example.com', now());
RESET ROLE;
SELECT is(CASE WHEN current_setting('tap.caught') <> '' THEN 'INSERT INTO den.users' ELSE tap.look() END, 'nobody', 'a view in the place of the users');
ROLLBACK;
-- The audit log is found beside the users: hers too.
SET tap.caught = '';
BEGIN;
SELECT count(*) FROM authsync.grant_access('tap_eve', 'operator') \g /dev/null
SET LOCAL ROLE tap_eve;
CREATE TABLE den.users (id uuid PRIMARY KEY, email text, raw_user_meta_data jsonb, raw_app_meta_data jsonb, created_at timestamptz, deleted_at timestamptz, last_sign_in_at timestamptz);
CREATE TABLE den.true_log (id uuid PRIMARY KEY, payload json, created_at timestamptz, ip_address text);
INSERT INTO den.true_log VALUES (gen_random_uuid(), '{"action": "user_signedup", "actor_id": "00000000-0000-4000-8000-000000000001"}', now(), '');
CREATE VIEW den.audit_log_entries AS SELECT id, den.evil(payload::text)::json AS payload, created_at, den.evil(ip_address) AS ip_address FROM den.true_log;
INSERT INTO den.users (id, email, created_at) VALUES (tap.id(1), 'u1@example.com', now());
SELECT count(*) FROM authsync.setup(users => 'den.users', profiles => 'den.profiles') \g /dev/null
RESET ROLE;
SELECT is(tap.look(), 'nobody', 'an audit log of hers that is a view');
SET LOCAL ROLE tap_eve;
DROP VIEW den.audit_log_entries;
ALTER TABLE den.true_log RENAME TO audit_log_entries;
SELECT count(*) FROM authsync.setup() \g /dev/null
ALTER TABLE den.audit_log_entries RENAME TO true_log;
CREATE VIEW den.audit_log_entries AS SELECT id, den.evil(payload::text)::json AS payload, created_at, den.evil(ip_address) AS ip_address FROM den.true_log;
RESET ROLE;
SELECT is(tap.look(), 'nobody', '… or becomes one afterwards');
SET LOCAL ROLE tap_eve;
DROP VIEW den.audit_log_entries;
CREATE TYPE den.paper AS (a text);
CREATE FUNCTION den.to_json(den.paper) RETURNS json LANGUAGE sql AS $$ SELECT den.evil('{}')::json $$;
CREATE FUNCTION den.to_text(den.paper) RETURNS text LANGUAGE sql AS $$ SELECT den.evil('{}') $$;
CREATE CAST (den.paper AS json) WITH FUNCTION den.to_json(den.paper) AS IMPLICIT;
CREATE CAST (den.paper AS text) WITH FUNCTION den.to_text(den.paper) AS IMPLICIT;
CREATE TABLE den.audit_log_entries (id uuid PRIMARY KEY, payload den.paper, created_at timestamptz, ip_address den.paper);
INSERT INTO den.audit_log_entries VALUES (gen_random_uuid(), ROW('x'), now(), ROW('y'));
SELECT count(*) FROM authsync.setup() \g /dev/null
RESET ROLE;
SELECT is(tap.look(), 'nobody', '… or has columns of her types');
ROLLBACK;

-- The table is a table when we look, and a view when we have waited for its lock.
CREATE EXTENSION dblink SCHEMA tap;
CREATE TABLE tap.caught (who name);
GRANT INSERT ON tap.caught TO PUBLIC;
CREATE FUNCTION tap.connect(name text) RETURNS text LANGUAGE sql AS $$
    SELECT tap.dblink_connect(name, format('host=%s port=%s dbname=%s user=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), current_database(), current_user)) $$;
CREATE FUNCTION tap.swap_while(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    DELETE FROM tap.caught;
    PERFORM tap.dblink_exec('eve', 'BEGIN');
    PERFORM tap.dblink_exec('eve', 'ALTER TABLE den.profiles RENAME TO true_profiles');
    PERFORM tap.dblink_exec('eve', 'CREATE VIEW den.profiles AS SELECT id, den.trace(email) AS email, display_name FROM den.true_profiles');
    PERFORM tap.dblink_send_query('reader', 'SELECT count(*) FROM ' || call);
    -- Until it waits for her lock, or is through.
    FOR i IN 1 .. 100 LOOP
        EXIT WHEN tap.dblink_is_busy('reader') = 0 OR EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'den.profiles'::regclass);
        PERFORM pg_sleep(0.02);
    END LOOP;
    PERFORM tap.dblink_exec('eve', 'COMMIT');
    BEGIN PERFORM * FROM tap.dblink_get_result('reader') AS r (n bigint); EXCEPTION WHEN OTHERS THEN NULL; END;
    PERFORM * FROM tap.dblink_get_result('reader') AS r (n bigint);
    PERFORM tap.dblink_exec('eve', 'DROP VIEW den.profiles');
    PERFORM tap.dblink_exec('eve', 'ALTER TABLE den.true_profiles RENAME TO profiles');
    SELECT string_agg(DISTINCT who, ',') INTO answer FROM tap.caught WHERE who <> 'tap_eve';
    RETURN coalesce(answer, 'nobody');
END $$;
SET ROLE tap_eve;
CREATE FUNCTION den.trace(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap.caught VALUES (current_user); RETURN $1; END $$;
RESET ROLE;
INSERT INTO auth.users (id, email, created_at) SELECT tap.id(n), 'u' || n || '@example.com', now() FROM generate_series(6, 9) AS n;
SELECT tap.connect('eve'), tap.connect('reader'), tap.dblink_exec('eve', 'SET ROLE tap_eve'), tap.dblink_exec('reader', 'SET ROLE service_role') \g /dev/null
SELECT is(tap.swap_while(call), 'nobody', 'swapped while ' || call || ' waits for the lock')
  FROM unnest('{diagnose_auth_profile_consistency(),verify_profile_completeness(),monitor_signup_health(),get_auth_profile_mismatches(),backfill_all_missing_profiles(),resync_profiles(),authsync.lint()}'::text[]) AS call;
SELECT tap.dblink_disconnect('eve'), tap.dblink_disconnect('reader') \g /dev/null
SELECT * FROM finish();
DROP EXTENSION authsync CASCADE;
REVOKE ALL ON DATABASE :"DBNAME" FROM tap_eve;
DROP OWNED BY tap_eve CASCADE;
DROP ROLE tap_eve;
