-- Profiles of many shapes: keys, partitions, foreign keys, generated columns, types, defaults, names, triggers, rights.
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
-- Sign-ups by the auth server; the answer is how many could not be written, and why.
CREATE FUNCTION tap.sign_up(n integer, m integer DEFAULT NULL, meta jsonb DEFAULT '{}', app jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    SET LOCAL ROLE supabase_auth_admin;
    SET LOCAL search_path = auth;
    INSERT INTO users (id, email, raw_user_meta_data, raw_app_meta_data, created_at)
        SELECT tap.id(i), 'u' || i || '@example.com', meta, app, now() FROM generate_series(n, coalesce(m, n)) AS i;
    UPDATE users SET email_confirmed_at = now(), updated_at = now(), last_sign_in_at = now() WHERE id = tap.id(n);
    RESET ROLE;
    SET LOCAL search_path = public, tap;
    RETURN coalesce((SELECT string_agg(DISTINCT concat_ws(' ', sqlstate, constraint_name, column_name, message), '; ') FROM authsync.quarantine), 'fine');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END
$$;
-- Everybody's profile through the face: the backfill makes what lacks, the comparison is content.
CREATE FUNCTION tap.heal() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    PERFORM authsync.setup(mode => 'off');
    INSERT INTO auth.users (id, email, created_at) SELECT tap.id(i), 'u' || i || '@example.com', now() FROM generate_series(901, 905) AS i;
    PERFORM authsync.setup(mode => 'safe');
    answer := public.backfill_all_missing_profiles(2, false);
    UPDATE auth.users SET email = 'new.' || email WHERE id = tap.id(901);
    RETURN concat_ws(' ', answer ->> 'successful', answer ->> 'failed', (SELECT string_agg(check_name || ' ' || count, ', ') FROM public.verify_profile_completeness() WHERE status <> 'PASS'));
END
$$;
GRANT USAGE ON SCHEMA tap TO supabase_auth_admin;

SELECT plan(81);

-- Keys of other names and kinds, found by looking.
BEGIN;
CREATE TABLE profiles (profile_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid NOT NULL UNIQUE, email text);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'key user_id beside an identity primary key');
SELECT is((SELECT count(*) FROM profiles JOIN auth.users AS u ON u.id = user_id AND u.email = profiles.email), 3::bigint, '… each to his own');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id bigserial PRIMARY KEY, supabase_user_id uuid UNIQUE, email text);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is((SELECT key_column FROM authsync.bindings), 'supabase_user_id', 'key supabase_user_id, an id that is a bigint is none');
SELECT is(tap.sign_up(1, 3), 'fine', '… is written');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid UNIQUE REFERENCES auth.users ON DELETE CASCADE, email text);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is((SELECT key_column FROM authsync.bindings), 'user_id', 'of id and user_id the one that refers to the users');
SELECT is(tap.sign_up(1, 3), 'fine', '… is written');
SELECT is((SELECT count(*) FROM profiles WHERE id <> user_id), 3::bigint, '… the other keeps its default');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id text PRIMARY KEY, email text);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'a key of type text');
SELECT is((SELECT array_agg(id ORDER BY id) FROM profiles), ARRAY[tap.id(1)::text, tap.id(2)::text, tap.id(3)::text], '… holds the id as text');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id serial PRIMARY KEY, auth0_id varchar(64) UNIQUE, email text);
SELECT count(*) FROM authsync.setup(columns => '{"auth0_id": {"from": "subject", "key": true}}') \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'a key said: auth0_id from the subject');
SELECT is((SELECT count(*) FROM profiles JOIN auth.users AS u ON u.id::text = auth0_id), 3::bigint, '… holds the subject');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid, email text);
SELECT throws_like('SELECT * FROM authsync.setup()', 'no column of public.profiles holds%', 'a key without a unique index is none');
ROLLBACK;

-- Partitions.
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text, account_type text NOT NULL DEFAULT 'individual') PARTITION BY HASH (id);
CREATE TABLE p0 PARTITION OF profiles FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE p1 PARTITION OF profiles FOR VALUES WITH (MODULUS 2, REMAINDER 1);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 40), 'fine', 'partitioned by hash of the key');
SELECT is((SELECT count(*) > 0 FROM p0) AND (SELECT count(*) > 0 FROM p1), true, '… rows in each partition');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid NOT NULL, email text, account_type text NOT NULL DEFAULT 'individual', PRIMARY KEY (id, account_type)) PARTITION BY LIST (account_type);
CREATE TABLE p0 PARTITION OF profiles FOR VALUES IN ('individual');
CREATE TABLE p1 PARTITION OF profiles FOR VALUES IN ('business');
SELECT count(*) FROM authsync.setup(columns => '{"id": {"from": "user_id", "key": true}}') \g /dev/null
\set got :SQLSTATE
SELECT ok(:'got'::text = '00000' OR (SELECT count(*) = 0 FROM authsync.bindings), 'partitioned by another column: bound, or refused as a whole');
SAVEPOINT s;
SELECT CASE WHEN :'got'::text = '00000' THEN is(tap.sign_up(1, 3), 'fine', '… and written') ELSE pass('… refused at set-up') END;
SELECT CASE WHEN :'got'::text = '00000' THEN matches(tap.sign_up(4, NULL, '{"account_type": "alien"}'), '^23514', '… no partition for it: quarantined') ELSE pass('…') END;
ROLLBACK;

-- Foreign keys and deferred constraints.
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, email text,
    CONSTRAINT one_email UNIQUE (email) DEFERRABLE INITIALLY DEFERRED);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'a foreign key and a unique key INITIALLY DEFERRED');
SELECT is((SELECT count(*) FROM profiles), 3::bigint, '… are written');
INSERT INTO auth.users (id, email, is_sso_user) VALUES (tap.id(4), 'u1@example.com', true);
SELECT is((SELECT sqlstate || ' ' || constraint_name FROM authsync.quarantine), '23505 one_email', '… the deferred unique key stops the bad one before the end of the statement');
DELETE FROM auth.users WHERE id = tap.id(4);
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
INSERT INTO auth.users (id, email) VALUES (tap.id(5), 'u5@example.com');
UPDATE profiles SET email = 'u1@example.com' WHERE id = tap.id(5);
SELECT pass('the application''s own statements are deferred as before');
UPDATE profiles SET email = 'u5@example.com' WHERE id = tap.id(5);
SET CONSTRAINTS ALL IMMEDIATE;
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '00000', '… and nothing is left to complain of at the end');
BEGIN;
CREATE TABLE teams (id int PRIMARY KEY);
CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users, email text, team int DEFAULT 7 CONSTRAINT of_team REFERENCES teams DEFERRABLE INITIALLY IMMEDIATE);
SELECT count(*) FROM authsync.setup() \g /dev/null
SET CONSTRAINTS of_team DEFERRED;
SELECT matches(tap.sign_up(1), '^23503 of_team', 'a deferrable foreign key that the caller deferred is checked before the statement ends');
SELECT is((SELECT count(*) FROM profiles), 0::bigint, '… and leaves nothing');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text, invited_by uuid CONSTRAINT host REFERENCES profiles);
SELECT count(*) FROM authsync.setup(columns => '{"invited_by": "app_metadata.invited_by"}') \g /dev/null
SELECT is(tap.sign_up(1), 'fine', 'a foreign key to itself');
SELECT is(tap.sign_up(2, NULL, '{}', jsonb_build_object('invited_by', tap.id(1))), 'fine', '… kept');
SELECT is((SELECT invited_by FROM profiles WHERE id = tap.id(2)), tap.id(1), '… from a metadata text to a uuid');
SELECT matches(tap.sign_up(3, NULL, '{}', jsonb_build_object('invited_by', tap.id(77))), '^23503 host', '… broken');
ROLLBACK;

-- Columns of many kinds.
BEGIN;
CREATE DOMAIN web AS text CHECK (VALUE ~ '^https://');
CREATE TYPE mood AS ENUM ('sad', 'glad');
CREATE TYPE place AS (city text, zip text);
CREATE SEQUENCE member_no START 1000;
CREATE TABLE profiles (
    id uuid PRIMARY KEY, email text NOT NULL,
    number bigint GENERATED BY DEFAULT AS IDENTITY, serial_number bigint NOT NULL DEFAULT nextval('member_no'), token uuid NOT NULL DEFAULT gen_random_uuid(),
    shouted text GENERATED ALWAYS AS (upper(email)) STORED, display_name varchar(40), initials char(3), site web, feeling mood DEFAULT 'glad',
    tags text[], scores int[] DEFAULT '{1,2}', settings jsonb NOT NULL DEFAULT '{"theme": "dark"}', raw json, balance numeric(10, 2) DEFAULT 0, age smallint,
    weight real, adult boolean, born date, seen timestamptz DEFAULT clock_timestamp(), wait interval, address inet, home place, zones int4range, picture bytea, search tsvector);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'every kind of column, from its default');
SELECT is((SELECT count(DISTINCT (number, serial_number, token)) FROM profiles), 3::bigint, '… volatile defaults are worked out for each row');
SELECT is((SELECT shouted FROM profiles WHERE id = tap.id(1)), 'U1@EXAMPLE.COM', '… and generated columns');
SELECT is((SELECT feeling = 'glad' AND settings = '{"theme": "dark"}' AND scores = '{1,2}' AND tags IS NULL FROM profiles WHERE id = tap.id(1)), true, '… constants too');
SELECT is(tap.sign_up(4, NULL, m, m), 'fine', 'every kind of column, from metadata by name; what is not mere text, from what only the provider writes')
  FROM (SELECT '{"display_name": "Zoë", "initials": "Zë", "site": "https://zoe.example", "feeling": "sad", "tags": ["a", "b c", "d,e"], "scores": [3, 4],
    "settings": {"theme": "light"}, "raw": {"b": 1, "a": [2]}, "balance": 12.345, "age": 42, "weight": 61.5, "adult": true, "born": "1980-02-29",
    "seen": "2024-01-01T00:00:00Z", "wait": "2 days", "address": "::1", "zones": "[1,5)"}'::jsonb) AS j (m);
SELECT is((SELECT concat_ws('|', display_name, initials, site, feeling, tags, scores, settings, balance, age, weight, adult, born, wait, address, zones) FROM profiles WHERE id = tap.id(4)),
    'Zoë|Zë |https://zoe.example|sad|{a,"b c","d,e"}|{3,4}|{"theme": "light"}|12.35|42|61.5|t|1980-02-29|2 days|::1|[1,5)', '… JSON arrays and objects into arrays and jsonb');
SELECT is((SELECT raw::jsonb FROM profiles WHERE id = tap.id(4)), '{"a": [2], "b": 1}', '… and json');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
SELECT matches(tap.sign_up(5, NULL, '{}', '{"age": "old"}'), '^22P02', 'a text that is no number waits');
SELECT unalike((SELECT message FROM authsync.quarantine WHERE user_id = tap.id(5)), '%old%', '… and the quarantine does not repeat what he wrote');
DELETE FROM auth.users WHERE id = tap.id(5);
SELECT matches(tap.sign_up(6, NULL, '{}', '{"balance": 1e12}'), '^22003', 'a number too large for numeric(10,2) waits');
DELETE FROM auth.users WHERE id = tap.id(6);
SELECT matches(tap.sign_up(7, NULL, jsonb_build_object('display_name', repeat('x', 41))), '^22001', 'a text too long for varchar(40) waits');
DELETE FROM auth.users WHERE id = tap.id(7);
-- E-mail NOT NULL: a fallback that cannot collide and cannot be mailed.
INSERT INTO auth.users (id, phone) VALUES (tap.id(8), '4915500000008');
INSERT INTO auth.users (id, email, phone) VALUES (tap.id(9), '', '4915500000009');
SELECT is((SELECT array_agg(email ORDER BY id) FROM profiles WHERE id IN (tap.id(8), tap.id(9))), ARRAY[tap.id(8) || '@users.invalid', tap.id(9) || '@users.invalid'], 'a NOT NULL address gets the fallback');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE user_id IN (tap.id(8), tap.id(9)) AND status <> 'healthy'), 0::bigint, '… which is no mismatch');
SELECT unalike(resync_profiles(100, true) ->> 'message', '%1 %', '… nor does the resync see one');
UPDATE auth.users SET email = 'u8@example.com' WHERE id = tap.id(8);
SELECT is((SELECT email FROM profiles WHERE id = tap.id(8)), 'u8@example.com', '… and gives way to a real one');
UPDATE auth.users SET email = NULL WHERE id = tap.id(8);
SELECT is((SELECT email FROM profiles WHERE id = tap.id(8)), tap.id(8) || '@users.invalid', '… and comes back when that goes');
ROLLBACK;
BEGIN;
CREATE DOMAIN address AS text NOT NULL;
CREATE TABLE profiles (id uuid PRIMARY KEY, email address);
SELECT count(*) FROM authsync.setup() \g /dev/null
INSERT INTO auth.users (id) VALUES (tap.id(1));
SELECT ok((SELECT email FROM profiles) = tap.id(1) || '@users.invalid' OR (SELECT sqlstate FROM authsync.quarantine) = '23502', 'a domain that is NOT NULL: the fallback, or a clear reason');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'a table of nothing but its key');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status <> 'healthy'), 0::bigint, '… without an address column there is no email_mismatch');
SELECT is(tap.heal(), '5 0', '… backfill, comparison');
ROLLBACK;

-- citext.
CREATE EXTENSION citext SCHEMA tap;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email tap.citext UNIQUE);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'an address of type citext');
UPDATE auth.users SET email = 'changed@example.com' WHERE id = tap.id(1);
SELECT is((SELECT email::text FROM profiles WHERE id = tap.id(1)), 'changed@example.com', '… follows');
INSERT INTO auth.users (id, email, is_sso_user) VALUES (tap.id(4), 'CHANGED@example.com', true);
SELECT is((SELECT sqlstate FROM authsync.quarantine), '23505', '… and is unique whatever its case');
DELETE FROM auth.users WHERE id = tap.id(4);
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id tap.citext PRIMARY KEY, email text);
SELECT count(*) FROM authsync.setup(columns => '{"id": {"from": "user_id", "key": true}}') \g /dev/null
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '42804', 'a key is uuid or text: citext is refused');

-- Odd names.
CREATE SCHEMA "My ""App"", 'x'\";
BEGIN;
CREATE TABLE "My ""App"", 'x'\"."Pro;files $1" ("User Id" uuid PRIMARY KEY, "e-Mail" text, "SELECT" text DEFAULT $$it's \ $$ || '', "a""b" text, "%s" text);
SELECT count(*) FROM authsync.setup(profiles => '"My ""App"", ''x''\"."Pro;files $1"',
    columns => '{"User Id": {"from": "user_id", "key": true}, "e-Mail": "email", "a\"b": "user_metadata.it''s \"odd\".x", "%s": {"from": "user_metadata.%s", "default": "''; DROP"}}') \g /dev/null
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'odd names of schema, table and columns');
SAVEPOINT s;
SELECT is(tap.sign_up(1, NULL, $${"it's \"odd\"": {"x": "deep"}}$$), 'fine', '… are written');
SELECT is((SELECT concat_ws('|', "e-Mail", "SELECT", "a""b", "%s") FROM "My ""App"", 'x'\"."Pro;files $1"), $$u1@example.com|it's \ |deep|'; DROP$$, '… with what was said');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches()), 0::bigint, '… and the views read them');
ROLLBACK;

-- Triggers, rights, row security.
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text, slug text UNIQUE, updated_at timestamptz);
CREATE TABLE public.seen (id uuid, op text, who name);
CREATE FUNCTION tap.before() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.slug := split_part(NEW.email, '@', 1); NEW.updated_at := now(); RETURN NEW; END $$;
CREATE FUNCTION tap.after() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.id, TG_OP, current_user); RETURN NULL; END $$;
CREATE TRIGGER before BEFORE INSERT OR UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION tap.before();
CREATE TRIGGER after AFTER INSERT OR UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION tap.after();
ALTER TABLE profiles OWNER TO dashboard_user;
ALTER TABLE seen OWNER TO dashboard_user;
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'triggers of its own, an owner who is no superuser');
SELECT is((SELECT array_agg(slug ORDER BY id) FROM profiles), ARRAY['u1', 'u2', 'u3'], '… BEFORE acts');
SELECT is((SELECT string_agg(DISTINCT op || ' ' || who, ' ') FROM seen), 'INSERT dashboard_user', '… AFTER acts, as the owner');
SELECT is(tap.heal(), '5 0', '… backfill, change of address, comparison');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE FUNCTION tap.rekey() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := 'ffffffff-0000-4000-8000-000000000000'; RETURN NEW; END $$;
CREATE TRIGGER rekey BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.rekey();
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT isnt(tap.sign_up(1), 'fine', 'a trigger that changes the key: the user waits, with a reason');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_bootstrap_ok'), 0::bigint, '… and is not said to have a profile');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE FUNCTION tap.some() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN CASE WHEN NEW.email LIKE 'u2@%' THEN NULL ELSE NEW END; END $$;
CREATE TRIGGER a_few BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.some();
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT tap.sign_up(1, 3) \g /dev/null
SELECT is((SELECT array_agg(user_id ORDER BY user_id) FROM user_events WHERE event_type = 'profile_bootstrap_ok'), ARRAY[tap.id(1), tap.id(3)], 'a trigger that drops one of three: the event is of the other two');
SELECT is((SELECT array_agg(user_id) FROM authsync.quarantine), ARRAY[tap.id(2)], '… and the one waits in quarantine');
SELECT is(backfill_user_profile(tap.id(2)) ->> 'status', 'failed', '… backfill_user_profile() does not say created');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.make() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN INSERT INTO public.profiles (id, email) VALUES (NEW.id, 'theirs@example.com'); RETURN NEW; END $$;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION tap.make();
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND tgname = 'on_auth_user_created_authsync'), 1::bigint, 'a taken trigger name: ours is on_auth_user_created_authsync');
SELECT is(tap.sign_up(1), 'fine', '… runs after the old one');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, '… and finds the profile made');
ROLLBACK;
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text);
ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'row security without a policy does not bind the owner');
ALTER TABLE profiles OWNER TO dashboard_user;
ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON profiles USING (id = tap.id(5)) WITH CHECK (id <> tap.id(6));
SELECT matches(tap.sign_up(6), '^42501', 'forced, with a policy against him: quarantined');
DELETE FROM auth.users WHERE id = tap.id(6);
SELECT is(tap.sign_up(5), 'fine', '… for him: written');
ROLLBACK;

-- Other unique keys do not make a profile look as if it were there.
BEGIN;
CREATE TABLE profiles (id uuid PRIMARY KEY, email text, username text UNIQUE);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, NULL, '{"username": "ada"}'), 'fine', 'a unique column of its own');
SELECT matches(tap.sign_up(2, NULL, '{"username": "ada"}'), '^23505 profiles_username_key', '… taken: 23505, not silently skipped');
ROLLBACK;
-- An inheritance child, an unlogged table.
BEGIN;
CREATE UNLOGGED TABLE profiles (id uuid PRIMARY KEY, email text);
CREATE TABLE old_profiles () INHERITS (profiles);
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is(tap.sign_up(1, 3), 'fine', 'an unlogged table with a child');
SELECT is((SELECT count(*) FROM ONLY profiles), 3::bigint, '… is written itself');
ROLLBACK;

SELECT * FROM finish();
