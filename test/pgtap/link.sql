-- A profile row without a key, whose e-mail is exactly one user's: linked, never doubled. Of several such rows the first.
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
SELECT plan(30);

CREATE TABLE profiles (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid UNIQUE, email text, display_name text, note text);
SELECT count(*) FROM authsync.setup() \g /dev/null
INSERT INTO profiles (email, note) VALUES ('ada@example.com', 'imported'), ('Grace@Example.com', 'imported'), ('two@example.com', 'first'), ('two@example.com', 'second'),
    (NULL, 'nobody'), ('', 'empty'), ('taken@example.com', 'imported'), ('sso@example.com', 'imported');

-- At the sign-up.
INSERT INTO auth.users (id, email, email_confirmed_at, raw_user_meta_data) VALUES (tap.id(1), 'ada@example.com', now(), '{"display_name": "Ada"}');
SELECT results_eq('SELECT user_id, note FROM profiles WHERE email = ''ada@example.com''', $$ VALUES (tap.id(1), 'imported') $$, 'one row without a key, one user: linked, not doubled');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(1) AND event_type = 'profile_bootstrap_ok'), 1::bigint, '… and said so');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… nobody waits');
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(2), 'grace@example.com', now());
SELECT is((SELECT count(*) FROM profiles WHERE lower(email) = 'grace@example.com'), 1::bigint, '… whatever the case of the letters');
SELECT is((SELECT user_id FROM profiles WHERE lower(email) = 'grace@example.com'), tap.id(2), '… linked');
-- Not clear.
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(3), 'two@example.com', now());
SELECT is((SELECT count(*) FROM profiles WHERE note IN ('first', 'second') AND user_id = tap.id(3)), 1::bigint, 'two rows with one address: one of them is linked');
SELECT is((SELECT count(*) FROM profiles WHERE user_id = tap.id(3)), 1::bigint, '… and the user has no other');
INSERT INTO auth.users (id, phone) VALUES (tap.id(4), '4915500000004');
INSERT INTO auth.users (id, email, phone) VALUES (tap.id(5), '', '4915500000005');
SELECT is((SELECT count(*) FROM profiles WHERE note IN ('nobody', 'empty') AND user_id IS NOT NULL), 0::bigint, 'rows without an address are nobody''s');
SELECT is((SELECT count(*) FROM profiles WHERE user_id IN (tap.id(4), tap.id(5))), 2::bigint, '… users without one get their own');
-- Two users of one address (single sign-on beside a password).
INSERT INTO auth.users (id, email, is_sso_user, email_confirmed_at) VALUES (tap.id(6), 'sso@example.com', true, now()), (tap.id(7), 'sso@example.com', true, now());
SELECT is((SELECT user_id FROM profiles WHERE email = 'sso@example.com' AND note = 'imported'), NULL, 'two users with one address: the row is linked to neither');
SELECT is((SELECT count(*) FROM profiles WHERE user_id IN (tap.id(6), tap.id(7))), 2::bigint, '… each gets his own');
-- A row that has its key is nobody else's.
UPDATE profiles SET user_id = 'ffffffff-0000-4000-8000-000000000000' WHERE email = 'taken@example.com';
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(8), 'taken@example.com', now());
SELECT is((SELECT user_id FROM profiles WHERE note = 'imported' AND email = 'taken@example.com'), 'ffffffff-0000-4000-8000-000000000000', 'a row with a key is not taken over');
SELECT is((SELECT count(*) FROM profiles WHERE user_id = tap.id(8)), 1::bigint, '… the user gets his own');

-- Confirmed or not: doc/architecture.md says why.
INSERT INTO profiles (email, note) VALUES ('victim@example.com', 'private');
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(9), 'victim@example.com', NULL);
SELECT is((SELECT user_id FROM profiles WHERE note = 'private'), tap.id(9), 'an address that is not confirmed yet: linked');
SELECT is((SELECT count(*) FROM authsync.quarantine WHERE user_id = tap.id(9)) + (SELECT count(*) FROM profiles WHERE user_id = tap.id(9)) <= 1, true, '… he waits or gets his own');
BEGIN;
INSERT INTO profiles (email, note) VALUES ('later@example.com', 'imported later');
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(10), 'later@example.com', NULL);
UPDATE auth.users SET email_confirmed_at = now() WHERE id = tap.id(10);
COMMIT;
SELECT is((SELECT count(*) FROM profiles WHERE email = 'later@example.com' AND user_id = tap.id(10)), 1::bigint, 'confirmed in the same transaction: one row with his key');

-- By the backfill, many at once.
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
INSERT INTO auth.users (id, email, email_confirmed_at) SELECT tap.id(n), 'u' || n || '@example.com', now() FROM generate_series(100, 149) AS n;
INSERT INTO profiles (email, note) SELECT 'u' || n || '@example.com', 'of ' || n FROM generate_series(100, 129) AS n;
INSERT INTO profiles (email, note) VALUES ('u100@example.com', 'again');
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
SELECT count(*) AS rows FROM profiles \gset
SELECT backfill_all_missing_profiles() AS dry \gset
SELECT is(:'dry'::jsonb ->> 'total_missing', '50', 'a dry run counts the fifty');
SELECT is((SELECT count(*) FROM profiles WHERE note LIKE 'of %' AND user_id IS NOT NULL), 0::bigint, '… and links none');
SELECT backfill_all_missing_profiles(7, false) AS wet \gset
SELECT is((:'wet'::jsonb ->> 'successful')::int + (:'wet'::jsonb ->> 'failed')::int, 50, 'for real: fifty');
SELECT is((SELECT count(*) FROM profiles WHERE (note LIKE 'of %' OR note = 'again') AND user_id = tap.id(substr(email, 2, 3)::int)), 30::bigint, '… 30 rows are linked, each to his own');
SELECT is((SELECT count(*) FROM profiles WHERE email = 'u100@example.com' AND note IS NOT NULL AND user_id IS NOT NULL), 1::bigint, '… of the doubled one the first');
SELECT is((SELECT count(*) FROM profiles), :rows::bigint + 20, '… 20 are new');
SELECT is((SELECT count(*) FROM profiles WHERE user_id BETWEEN tap.id(100) AND tap.id(149)), 50::bigint, '… nobody has two or none');
SELECT is((SELECT string_agg(check_name, ',') FROM verify_profile_completeness() WHERE check_name LIKE 'Auth users%' AND status <> 'PASS'), NULL, '… the check is content');
-- One by one.
INSERT INTO profiles (email, note) VALUES ('one@example.com', 'of one');
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(200), 'one@example.com', now());
SELECT is(ensure_profile_exists(tap.id(200)), true, 'ensure_profile_exists()');
SELECT is((SELECT count(*) FROM profiles WHERE email = 'one@example.com' AND user_id = tap.id(200)), 1::bigint, '… links too');
INSERT INTO profiles (email, note) VALUES ('two2@example.com', 'of two');
INSERT INTO auth.users (id, email, email_confirmed_at) VALUES (tap.id(201), 'two2@example.com', now());
SELECT is(backfill_user_profile(tap.id(201)) ->> 'status' IN ('created', 'exists'), true, 'backfill_user_profile()');
SELECT is((SELECT count(*) FROM profiles WHERE email = 'two2@example.com'), 1::bigint, '… links too');
SELECT is(backfill_user_profile(tap.id(201)) ->> 'status', 'exists', '… and then it exists');
SELECT is((SELECT count(*) FROM user_events WHERE details::text LIKE '%@%'), 0::bigint, 'no address in an event');
SELECT * FROM finish();
