-- The words: errors with their details and hints, notices, what setup and lint say. In a database of its own.
\set home :DBNAME
CREATE DATABASE regress_authsync_messages TEMPLATE template0 ENCODING 'UTF8';
ALTER DATABASE regress_authsync_messages SET lc_messages = 'C';
\c regress_authsync_messages
\set SHOW_CONTEXT never

-- Nothing there yet
CREATE EXTENSION authsync;
SELECT * FROM auth_profile_mismatch;
SELECT * FROM signup_audit_summary;
SELECT * FROM diagnose_auth_profile_consistency();
SELECT * FROM authsync.setup();
SELECT * FROM authsync.lint();
DROP EXTENSION authsync;

-- Users, but no profiles
\set ECHO none
\i test/fixture/auth_schema.sql
\set ECHO all
CREATE EXTENSION authsync;
SELECT * FROM authsync.setup(dry_run => true);
DROP EXTENSION authsync;

-- Both
\set ECHO none
\i test/fixture/profiles.sql
\set ECHO all
CREATE EXTENSION authsync;
SELECT * FROM authsync.setup();
SELECT * FROM authsync.setup(mode => 'strict', dry_run => true);
SELECT * FROM authsync.setup(mode => 'strict');
SELECT * FROM authsync.setup(mode => 'safe');
SELECT * FROM authsync.lint();

-- Arguments
SELECT * FROM get_auth_profile_mismatches(0);
SELECT * FROM check_recent_signup_issues(NULL);
SELECT * FROM monitor_signup_health('-1 hour');
SELECT * FROM get_registration_stats(2000000000);
SELECT backfill_all_missing_profiles(dry_run => NULL);
SELECT backfill_all_missing_profiles(2000000000);
SELECT backfill_user_profile('00000000-0000-4000-8000-000000000001');
SELECT ensure_profile_exists(NULL);
INSERT INTO auth.users (id, email, deleted_at) VALUES ('00000000-0000-4000-8000-000000000002', 'two@example.com', now());
SELECT ensure_profile_exists('00000000-0000-4000-8000-000000000002');
SELECT track_user_event('00000000-0000-4000-8000-000000000002', 'profile_bootstrap_ok');
SELECT track_user_event('00000000-0000-4000-8000-000000000002', '');
SELECT * FROM authsync.setup(mode => 'banana');
SELECT * FROM authsync.setup(columns => '[]');
SELECT * FROM authsync.setup(columns => '{"display_name": "no_such_source"}');
SELECT * FROM authsync.setup(columns => '{"no_such_column": "name"}');
SELECT * FROM authsync.setup(users => 'pg_catalog.pg_authid');
SELECT * FROM authsync.setup(profiles => 'user_events');
SELECT * FROM authsync.grant_access('no_such_role_anywhere', 'reader');
SELECT * FROM authsync.grant_access('service_role', 'admin');
SELECT authsync.revoke_access('no_such_role_anywhere');

-- Inside a transaction block a procedure cannot commit.
BEGIN;
CALL backfill_missing_profiles();
ROLLBACK;
BEGIN;
CALL authsync.maintain();
ROLLBACK;
CALL backfill_missing_profiles();
CALL backfill_missing_profiles(max_users => 0);
SELECT backfill_all_missing_profiles();

-- A guarded column, changed by a stranger
SELECT * FROM authsync.setup(columns => '{"account_type": {"from": "app_metadata.account_type", "guard": true}}') WHERE action <> 'kept';
INSERT INTO auth.users (id, email) VALUES ('00000000-0000-4000-8000-000000000003', 'three@example.com');
GRANT UPDATE (account_type) ON profiles TO authenticated;
SET ROLE authenticated;
SET request.jwt.claims = '{"sub": "00000000-0000-4000-8000-000000000003"}';
UPDATE profiles SET account_type = 'business';
RESET ROLE;
RESET request.jwt.claims;
DROP EXTENSION authsync;

-- Where it may not be, and where names are taken
CREATE EXTENSION authsync SCHEMA auth;
CREATE EXTENSION authsync SCHEMA pg_catalog;
CREATE TABLE user_events (id integer);
CREATE FUNCTION ensure_profile_exists(uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE VIEW auth_profile_mismatch AS SELECT 1 AS one;
CREATE EXTENSION authsync;
DROP TABLE user_events;
DROP FUNCTION ensure_profile_exists;
DROP VIEW auth_profile_mismatch;
\c :home
DROP DATABASE regress_authsync_messages;
