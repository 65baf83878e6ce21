-- The trigger on auth.users as the auth server meets it: its own role, search_path = auth, no right on schema public.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
SET client_min_messages = warning;
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;
\set ON_ERROR_STOP off
\set auth 'SET ROLE supabase_auth_admin; SET search_path = auth;'
\set me 'RESET ROLE; SET search_path = public, tap;'

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.events(n integer) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT coalesce(string_agg(event_type, ' ' ORDER BY id), '') FROM public.user_events WHERE user_id = tap.id(n) $$;
CREATE FUNCTION tap.profile(n integer) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT (SELECT concat_ws('|', email, display_name, account_type, avatar_url) FROM public.profiles WHERE id = tap.id(n)) $$;
GRANT USAGE ON SCHEMA tap TO supabase_auth_admin;

SELECT plan(62);

SELECT ok(NOT has_schema_privilege('supabase_auth_admin', 'public', 'USAGE'), 'the auth server may not look into schema public');
SELECT ok(NOT has_schema_privilege('supabase_auth_admin', 'public', 'CREATE'), '… nor make anything there');

-- One INSERT of one user.
:auth
INSERT INTO users (id, instance_id, email, raw_user_meta_data, raw_app_meta_data, created_at, updated_at)
    VALUES (tap.id(1), '00000000-0000-0000-0000-000000000000', 'ada@example.com',
            '{"display_name": "Ada", "account_type": "business", "avatar_url": "https://pictures.example/ada.png"}', '{"provider": "email"}', now(), now());
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'a sign-up by the auth server goes through');
SELECT is(tap.profile(1), 'ada@example.com|Ada|business|https://pictures.example/ada.png', '… and its profile is filled from the metadata, by name');
SELECT is(tap.events(1), 'auth_user_created profile_bootstrap_ok', '… with both events, in order');
SELECT is((SELECT array_agg(DISTINCT provider) FROM user_events), ARRAY['local'], 'events of this database''s own users are of provider local');
SELECT is((SELECT array_agg(DISTINCT subject) FROM user_events WHERE user_id = tap.id(1)), ARRAY[tap.id(1)::text], '… and their subject is the provider''s id');
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ '@|Ada|pictures'), 0::bigint, 'no personal data in the details');

-- Several rows a statement: VALUES, SELECT, COPY.
:auth
INSERT INTO users (id, email) VALUES (tap.id(10), 'u10@example.com'), (tap.id(11), NULL), (tap.id(12), 'u12@example.com');
INSERT INTO users (id, email) SELECT tap.id(n), 'u' || n || '@example.com' FROM generate_series(100, 299) AS n;
COPY users (id, email, is_sso_user) FROM STDIN;
00000000-0000-4000-8000-000000000020	u20@example.com	f
00000000-0000-4000-8000-000000000021	u20@example.com	t
\.
:me
SELECT is((SELECT count(*) FROM profiles WHERE id IN (tap.id(10), tap.id(11), tap.id(12))), 3::bigint, 'INSERT … VALUES of three makes three profiles');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(11)), NULL, 'a missing e-mail stays NULL where profiles allows it');
SELECT is((SELECT account_type FROM profiles WHERE id = tap.id(11)), 'individual', 'without account_type in the metadata the column''s default counts');
SELECT is((SELECT count(*) FROM profiles AS p JOIN auth.users AS u USING (id, email) WHERE id BETWEEN tap.id(100) AND tap.id(299)), 200::bigint, 'INSERT … SELECT of 200');
SELECT is((SELECT count(*) FROM user_events WHERE user_id BETWEEN tap.id(100) AND tap.id(299) AND event_type = 'profile_bootstrap_ok'), 200::bigint, '… an event each');
SELECT is((SELECT count(DISTINCT xmin::text) FROM profiles WHERE id BETWEEN tap.id(100) AND tap.id(299)), 1::bigint, '… in one (sub)transaction');
SELECT is((SELECT count(*) FROM profiles WHERE id IN (tap.id(20), tap.id(21))), 2::bigint, 'COPY');

-- ON CONFLICT.
:auth
INSERT INTO users (id, email) VALUES (tap.id(1), 'other@example.com'), (tap.id(30), 'u30@example.com') ON CONFLICT (id) DO NOTHING;
INSERT INTO users (id, email) VALUES (tap.id(10), 'u10.new@example.com'), (tap.id(31), 'u31@example.com')
    ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email;
INSERT INTO users (id, email) VALUES (tap.id(1), 'ada@example.com') ON CONFLICT (id) DO NOTHING;
:me
SELECT is(tap.events(1), 'auth_user_created profile_bootstrap_ok', 'ON CONFLICT DO NOTHING: nothing for the one that was there');
SELECT is(tap.profile(1), 'ada@example.com|Ada|business|https://pictures.example/ada.png', '… whose profile stays');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(30)), 'u30@example.com', '… and a profile for the new one');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(31)), 'u31@example.com', 'ON CONFLICT DO UPDATE: a profile for the new one');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(10)), 'u10.new@example.com', '… and the address of the old one follows');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(10) AND event_type = 'auth_user_created'), 1::bigint, '… who is not created twice');

-- What the auth server does in one transaction: INSERT, then app_metadata, role and confirmation by UPDATEs.
:auth
BEGIN;
INSERT INTO users (id, email, raw_user_meta_data, raw_app_meta_data) VALUES (tap.id(40), 'grace@example.com', '{"display_name": "Grace"}', '{}');
UPDATE users SET raw_app_meta_data = '{"provider": "email", "providers": ["email"], "account_type": "creator"}' WHERE id = tap.id(40);
UPDATE users SET role = 'authenticated', updated_at = now() WHERE id = tap.id(40);
UPDATE users SET email_confirmed_at = now() WHERE id = tap.id(40);
COMMIT;
:me
SELECT is(tap.profile(40), 'grace@example.com|Grace|creator', 'INSERT, then UPDATEs in one transaction: as if all had been there at the INSERT');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(40) AND event_type IN ('auth_user_created', 'profile_bootstrap_ok')), 2::bigint, '… created and made once');

-- The same inside savepoints, some rolled back.
:auth
BEGIN;
SAVEPOINT a;
INSERT INTO users (id, email, raw_app_meta_data) VALUES (tap.id(41), 'u41@example.com', '{}');
SAVEPOINT b;
UPDATE users SET raw_app_meta_data = '{"account_type": "lost"}' WHERE id = tap.id(41);
ROLLBACK TO b;
SAVEPOINT c;
UPDATE users SET raw_app_meta_data = '{"account_type": "kept"}' WHERE id = tap.id(41);
RELEASE c;
RELEASE a;
SAVEPOINT d;
INSERT INTO users (id, email) VALUES (tap.id(42), 'u42@example.com');
ROLLBACK TO d;
COMMIT;
:me
SELECT is(tap.profile(41), 'u41@example.com|kept', 'what a savepoint keeps is in the profile, what it lost is not');
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(42)) + (SELECT count(*) FROM user_events WHERE user_id = tap.id(42)), 0::bigint,
    'a sign-up rolled back to a savepoint leaves neither profile nor event');
:auth
BEGIN;
INSERT INTO users (id, email) VALUES (tap.id(43), 'u43@example.com');
ROLLBACK;
:me
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(43)) + (SELECT count(*) FROM user_events WHERE user_id = tap.id(43)), 0::bigint,
    '… nor does one rolled back as a whole');

-- A later transaction: metadata mapped "once" does not follow, the address does.
:auth
UPDATE users SET raw_app_meta_data = '{"account_type": "later"}', raw_user_meta_data = '{"display_name": "Amazing Grace"}' WHERE id = tap.id(40);
UPDATE users SET email = 'hopper@example.com' WHERE id = tap.id(40);
:me
SELECT is(tap.profile(40), 'hopper@example.com|Grace|creator', 'afterwards the address follows, what is copied once does not');
SELECT is((SELECT array_agg(event_type ORDER BY id) FROM user_events WHERE user_id = tap.id(40) AND event_type IN ('profile_updated')), ARRAY['profile_updated'],
    'a changed address is one profile_updated');
SELECT ok(EXISTS (SELECT FROM user_events WHERE user_id = tap.id(40) AND event_type = 'auth_user_updated'), '… and the user an auth_user_updated');
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ '@'), 0::bigint, '… no address in either');

-- A profile's own edits survive the user's updates.
UPDATE profiles SET display_name = 'Rear Admiral' WHERE id = tap.id(40);
:auth
UPDATE users SET email = 'grace.hopper@example.com' WHERE id = tap.id(40);
:me
SELECT is(tap.profile(40), 'grace.hopper@example.com|Rear Admiral|creator', 'what a person wrote is not overwritten when the address follows');

-- An address taken away.
:auth
UPDATE users SET email = NULL, phone = '4915500000040' WHERE id = tap.id(40);
:me
SELECT is((SELECT email FROM profiles WHERE id = tap.id(40)), NULL, 'an address taken away is taken away in the profile too');

-- Logins write nothing, whatever GoTrue touches with them.
SELECT count(*) AS before, txid_current() AS xid FROM user_events \gset
CREATE TEMP TABLE image AS SELECT id, ctid AS place, xmin::text AS version FROM profiles;
:auth
UPDATE users SET last_sign_in_at = now(), updated_at = now() WHERE id = tap.id(1);
UPDATE users SET last_sign_in_at = now(), updated_at = now(), recovery_token = '', confirmation_token = '';
UPDATE users SET email = email, raw_user_meta_data = raw_user_meta_data;
:me
SELECT is((SELECT count(*) FROM user_events), :before::bigint, 'logins write no event');
SELECT is((SELECT count(*) FROM image JOIN profiles AS p USING (id) WHERE image.place = p.ctid AND image.version = p.xmin::text), (SELECT count(*) FROM profiles), '… and no profile');

-- Anonymous users owe nothing until they are somebody.
:auth
INSERT INTO users (id, is_anonymous, raw_user_meta_data, created_at) VALUES (tap.id(50), true, '{}', now());
:me
SELECT is(tap.profile(50), NULL, 'an anonymous user gets no profile');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(50) AND event_type LIKE 'profile%'), 0::bigint, '… and no event of one');
:auth
UPDATE users SET email = 'anna@example.com', raw_user_meta_data = '{"display_name": "Anna"}' WHERE id = tap.id(50);
UPDATE users SET is_anonymous = false WHERE id = tap.id(50);
:me
SELECT is(tap.profile(50), 'anna@example.com|Anna|individual', 'once permanent, he gets it');
SELECT ok(EXISTS (SELECT FROM user_events WHERE user_id = tap.id(50) AND event_type = 'profile_bootstrap_ok'), '… with its event');
:auth
BEGIN;
INSERT INTO users (id, is_anonymous) VALUES (tap.id(51), true);
UPDATE users SET is_anonymous = false, email = 'u51@example.com' WHERE id = tap.id(51);
COMMIT;
:me
SELECT is(tap.profile(51), 'u51@example.com|individual', 'anonymous and permanent in one transaction');

-- Single sign-on: nothing is owed until there is an e-mail.
:auth
INSERT INTO users (id, is_sso_user, email, raw_app_meta_data) VALUES (tap.id(55), true, NULL, '{"provider": "sso:5a3b9c1e", "providers": ["sso:5a3b9c1e"]}');
:me
SELECT is(tap.profile(55), NULL, 'an sso: user without an e-mail owes no profile');
:auth
UPDATE users SET email = 'boss@kontor.example' WHERE id = tap.id(55);
:me
SELECT is(tap.profile(55), 'boss@kontor.example|individual', '… with one he does');
:auth
BEGIN;
INSERT INTO users (id, is_sso_user, email) VALUES (tap.id(56), true, NULL);
UPDATE users SET raw_app_meta_data = '{"provider": "sso:5a3b9c1e", "providers": ["sso:5a3b9c1e"]}' WHERE id = tap.id(56);
COMMIT;
INSERT INTO users (id, email, raw_app_meta_data) VALUES (tap.id(57), '', '{"provider": "sso:5a3b9c1e"}');
INSERT INTO users (id, email, phone, raw_app_meta_data) VALUES (tap.id(58), NULL, '4915500000058', '{"provider": "phone"}');
:me
SELECT ok(tap.profile(58) IS NOT NULL, 'a phone user without an e-mail owes one');

-- Soft delete as the auth server does it: several UPDATEs in one transaction.
:auth
BEGIN;
UPDATE users SET email = 'aGFzaA', phone = 'aGFzaA', encrypted_password = NULL, confirmation_token = '' WHERE id = tap.id(12);
UPDATE users SET raw_user_meta_data = '{}' WHERE id = tap.id(12);
UPDATE users SET raw_app_meta_data = '{}', deleted_at = now() WHERE id = tap.id(12);
COMMIT;
:me
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(12) AND event_type = 'auth_user_deleted'), 1::bigint, 'a soft delete is one auth_user_deleted');
SELECT is(tap.profile(12) IS NOT NULL, true, '… and leaves the profile');
:auth
UPDATE users SET email = 'b3RoZXI', deleted_at = now() WHERE id = tap.id(12);
:me
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(12) AND event_type = 'auth_user_deleted'), 1::bigint, 'a deleted user is not deleted again');
:auth
BEGIN;
UPDATE users SET deleted_at = now(), email = 'Z29uZQ' WHERE id = tap.id(20);
COMMIT;
:me
SELECT is((SELECT email FROM profiles WHERE id = tap.id(20)), 'u20@example.com', 'the hashed address of a soft-deleted user does not reach the profile');
:auth
INSERT INTO users (id, email, deleted_at) VALUES (tap.id(60), 'gone@example.com', now());
:me
SELECT is(tap.profile(60), NULL, 'one who comes deleted gets no profile');
:auth
UPDATE users SET deleted_at = NULL WHERE id = tap.id(60);
:me
SELECT is(tap.profile(60), 'gone@example.com|individual', '… but does when he is taken back');

-- Hard delete, with a profile that no foreign key takes along.
ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey;
CREATE TEMP TABLE kept AS SELECT p.*, p.ctid AS place FROM profiles AS p;
:auth
DELETE FROM users WHERE id IN (tap.id(100), tap.id(101));
:me
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'auth_user_deleted' AND user_id IN (tap.id(100), tap.id(101))), 2::bigint, 'a DELETE writes auth_user_deleted for each');
SELECT is((SELECT count(*) FROM kept JOIN profiles AS p USING (id) WHERE kept.place = p.ctid AND id IN (tap.id(100), tap.id(101))), 2::bigint, '… and touches no profile');
:auth
DELETE FROM users WHERE id = tap.id(12);
:me
SELECT is((SELECT count(*) FROM kept JOIN profiles AS p USING (id) WHERE kept.place = p.ctid AND id = tap.id(12)), 1::bigint, 'deleted softly, then for good: the profile stays');
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ '@'), 0::bigint, 'no address in any event');

-- E-mails of all users, in one statement.
:auth
UPDATE users SET email = 'new.' || email WHERE id BETWEEN tap.id(102) AND tap.id(299);
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'the addresses of 198 users change in one UPDATE');
SELECT is((SELECT count(*) FROM profiles AS p JOIN auth.users AS u USING (id) WHERE p.email = u.email AND p.email LIKE 'new.u%'), 198::bigint, '… and of their profiles');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_updated' AND user_id BETWEEN tap.id(102) AND tap.id(299)), 198::bigint, '… an event each');
-- … also swapped among them, which a unique key would not like halfway.
UPDATE profiles SET email = NULL WHERE id = tap.id(20);
CREATE UNIQUE INDEX profiles_email_key ON profiles (email);
BEGIN;
:auth
UPDATE users SET email = 'swap' WHERE id = tap.id(102);
UPDATE users SET email = 'new.u102@example.com' WHERE id = tap.id(103);
UPDATE users SET email = 'new.u103@example.com' WHERE id = tap.id(102);
COMMIT;
:me
SELECT is((SELECT array_agg(email ORDER BY id) FROM profiles WHERE id IN (tap.id(102), tap.id(103))), ARRAY['new.u103@example.com', 'new.u102@example.com'], 'addresses change hands under a unique key');
-- An address that cannot be written to the profile does not stop the user's update.
INSERT INTO profiles (id, email) VALUES (tap.id(999), 'taken@example.com');
:auth
UPDATE users SET email = 'taken@example.com' WHERE id = tap.id(104);
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'a change of address goes through though the profile cannot follow');
SELECT is((SELECT sqlstate || ' ' || constraint_name FROM authsync.quarantine WHERE user_id = tap.id(104)), '23505 profiles_email_key', '… which waits in quarantine');

-- A changed id: the old user is gone, the new one is new.
:auth
UPDATE users SET id = tap.id(500) WHERE id = tap.id(110);
\set got :SQLSTATE
:me
SELECT is(:'got'::text, '00000', 'a changed id goes through');
SELECT ok(EXISTS (SELECT FROM profiles WHERE id = tap.id(500)) OR EXISTS (SELECT FROM authsync.quarantine WHERE user_id = tap.id(500)), '… and the new id has its profile, or waits for it');

-- Switched off by the server's owner: no effect, no error.
ALTER SYSTEM SET authsync.enabled = off;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(0.3) \g /dev/null
:auth
INSERT INTO users (id, email) VALUES (tap.id(70), 'u70@example.com');
UPDATE users SET email = 'u70.new@example.com' WHERE id = tap.id(70);
DELETE FROM users WHERE id = tap.id(70);
:me
SELECT is(tap.events(70), '', 'authsync.enabled = off: the triggers do nothing');
ALTER SYSTEM RESET authsync.enabled;
SELECT pg_reload_conf() \g /dev/null
SELECT pg_sleep(0.3) \g /dev/null
:auth
INSERT INTO users (id, email) VALUES (tap.id(71), 'u71@example.com');
:me
SELECT is(tap.profile(71), 'u71@example.com|individual', '… and on again, they act');

SELECT * FROM finish();
