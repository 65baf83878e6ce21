-- The extension dropped and made anew, with its tables, in a session that has used it before: nothing remembered is taken for new.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;

SELECT plan(7);
INSERT INTO auth.users (id, email) VALUES ('00000000-0000-4000-8000-000000000001', 'one@example.test');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, 'a sign-up');
CALL backfill_missing_profiles() \g /dev/null

DROP EXTENSION authsync;
DROP TABLE profiles;
\i test/fixture/profiles.sql
INSERT INTO auth.users (id, email) VALUES ('00000000-0000-4000-8000-000000000002', 'two@example.test');
SELECT is((SELECT count(*) FROM profiles), 0::bigint, 'without it nobody makes profiles, and sign-ups go through');
CREATE EXTENSION authsync SCHEMA public;
SELECT is((SELECT count(*) FROM authsync.bindings), 1::bigint, 'made anew, it is bound');
SELECT is((SELECT count(*) FROM authsync.setup() WHERE action <> 'kept'), 0::bigint, '… and has nothing left to set up');
INSERT INTO auth.users (id, email) VALUES ('00000000-0000-4000-8000-000000000003', 'three@example.test');
SELECT is((SELECT string_agg(email, ' ') FROM profiles), 'three@example.test', '… follows sign-ups');
CALL backfill_missing_profiles() \g /dev/null
SELECT is((SELECT count(*) FROM profiles), 3::bigint, '… backfills');
SELECT is((SELECT string_agg(DISTINCT status, ' ') FROM auth_profile_mismatch), 'healthy', '… and its views are of the new tables');
SELECT * FROM finish();
