-- authsync.probe(): really signs somebody up, says what came of it, leaves nothing.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA public;
SET client_min_messages = warning;
SET search_path = public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.said() RETURNS text LANGUAGE sql AS $$ SELECT concat_ws(' ', ok, sqlstate) FROM authsync.probe() $$;
-- Rows of everything that a sign-up touches, and what its sequences have given out.
CREATE FUNCTION tap.image() RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    RETURN concat_ws(' ', (SELECT count(*) FROM auth.users), (SELECT count(*) FROM auth.identities), (SELECT count(*) FROM auth.audit_log_entries),
        (SELECT count(*) FROM public.profiles), (SELECT count(*) FROM public.user_events), (SELECT count(*) FROM authsync.quarantine), (SELECT count(*) FROM authsync.plans)); END $$;
SELECT plan(33);

SELECT throws_ok('SELECT * FROM authsync.probe()', '55000', NULL, 'unbound, it says so');
CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text UNIQUE, display_name text, account_type text NOT NULL DEFAULT 'individual');
SELECT count(*) FROM authsync.setup() \g /dev/null
SELECT is((SELECT pg_get_function_result('authsync.probe'::regproc)), 'TABLE(ok boolean, sqlstate text, message text, detail text, hint text, duration_ms numeric)', 'what it answers');
SELECT tap.image() AS before \gset
SELECT is((SELECT count(*) FROM authsync.probe()), 1::bigint, 'one row');
SELECT is((SELECT ok FROM authsync.probe()), true, 'a sound database: ok');
SELECT is((SELECT sqlstate FROM authsync.probe()), NULL, '… without a SQLSTATE');
SELECT ok((SELECT duration_ms > 0 AND duration_ms < 60000 FROM authsync.probe()), '… and the time it took');
SELECT is(tap.image(), :'before'::text, '… nothing is left');
SELECT is((SELECT count(*) FROM user_events), 0::bigint, '… no event');

-- Each thing that would stop or spoil a sign-up.
CREATE FUNCTION tap.with(change text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    BEGIN
        EXECUTE change;
        answer := tap.said();
        IF answer IS NOT NULL AND (SELECT hint = '' OR message = '' OR message IS NULL FROM authsync.probe()) THEN answer := answer || ' without a word'; END IF;
        RAISE EXCEPTION 'undo' USING ERRCODE = 'UN000';
    EXCEPTION WHEN SQLSTATE 'UN000' THEN RETURN answer;
    END;
END $$;
SELECT is(tap.with('ALTER TABLE profiles ADD tax_id text NOT NULL'), 'f 23502', 'a NOT NULL column that nothing fills');
SELECT is(tap.with($$ ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (account_type = 'x') $$), 'f 23514', 'a CHECK that fails');
SELECT is(tap.with($$ ALTER TABLE profiles ADD team int DEFAULT 7; CREATE TABLE teams (id int PRIMARY KEY); ALTER TABLE profiles ADD FOREIGN KEY (team) REFERENCES teams DEFERRABLE INITIALLY DEFERRED $$), 'f 23503', 'a deferred foreign key that fails');
SELECT is(tap.with($$ CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''AB123'', MESSAGE = ''no''; END';
    CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise() $$), 'f AB123', 'a trigger on profiles that raises');
SELECT is(tap.with($$ CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''AB123'', MESSAGE = ''no''; END';
    CREATE CONSTRAINT TRIGGER raise AFTER INSERT ON profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tap.raise() $$), 'f AB123', '… a deferred one');
SELECT is(tap.with($$ CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''AB124'', MESSAGE = ''no''; END';
    CREATE TRIGGER handle_new AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION tap.raise(); GRANT USAGE ON SCHEMA tap TO PUBLIC $$), 'f AB124', 'somebody else''s trigger on the users that raises');
SELECT is(tap.with($$ CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION USING ERRCODE = ''AB125'', MESSAGE = ''no''; END';
    CREATE CONSTRAINT TRIGGER handle_new AFTER INSERT ON auth.users DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tap.raise(); GRANT USAGE ON SCHEMA tap TO PUBLIC $$), 'f AB125', '… a deferred one');
SELECT is(tap.with($$ CREATE FUNCTION tap.make() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO profiles (id) VALUES (NEW.id); RETURN NEW; END';
    CREATE TRIGGER handle_new AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION tap.make(); GRANT USAGE ON SCHEMA tap TO PUBLIC $$) ~ '^f (42P01|42501)$', true, '… one that the auth server has no right for: tried as the owner of the users');
SELECT is(tap.with('ALTER TABLE profiles OWNER TO dashboard_user; REVOKE ALL ON profiles FROM dashboard_user'), 'f 42501', 'an owner who may not write his own table');
SELECT is(tap.with('ALTER TABLE profiles OWNER TO dashboard_user; ALTER TABLE profiles FORCE ROW LEVEL SECURITY, ENABLE ROW LEVEL SECURITY'), 'f 42501', 'forced row security without a policy');
SELECT is(tap.with('DROP TABLE profiles CASCADE'), 'f 42P01', 'the table is gone');
SELECT matches(tap.with('ALTER TABLE profiles DROP COLUMN id CASCADE'), '^f \w{5}$', 'the key is gone');
SELECT is(tap.with('ALTER TABLE auth.users ADD CONSTRAINT never CHECK (false) NOT VALID'), 'f 23514', 'the users themselves take nobody');
SELECT is(tap.with('ALTER TABLE auth.users ALTER encrypted_password SET NOT NULL') ~ '^(t|f 23502)$', true, '… or want more than they should');
SELECT matches(tap.with('ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created'), '^f', 'our trigger is disabled: nobody would get a profile');
SELECT matches(tap.with('CREATE RULE lost AS ON INSERT TO profiles DO INSTEAD NOTHING'), '^f', 'a rule swallows the profile');
SELECT matches(tap.with($$ CREATE FUNCTION tap.swallow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TRIGGER swallow BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.swallow() $$), '^f', 'a trigger swallows the profile');
SELECT is(tap.with($$ SELECT * FROM authsync.setup(mode => 'strict'); ALTER TABLE profiles ADD tax_id text NOT NULL $$), 'f 23502', 'strict: the same answer');
SELECT is(tap.with($$ SELECT * FROM authsync.setup(mode => 'off') $$) ~ '^(t|f)', true, 'off: an answer');
SELECT is(tap.said(), 't', 'and afterwards all is well');
SELECT is(tap.image(), :'before'::text, 'nothing of all that is left');

-- Called by an operator with no right on anything; not by others; not read only.
BEGIN;
SET LOCAL ROLE service_role;
SELECT count(*) AS ok FROM authsync.probe() WHERE ok \gset
RESET ROLE;
SELECT is(:ok, 1, 'an operator may call it');
SET LOCAL ROLE authenticated;
SELECT * FROM authsync.probe() \g /dev/null
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '42501', 'others may not');
BEGIN READ ONLY;
SELECT * FROM authsync.probe() \g /dev/null
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '25006', 'it really inserts: not in a READ ONLY transaction');
INSERT INTO auth.users (id, email) VALUES (gen_random_uuid(), 'u1@example.com');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, 'a real sign-up afterwards');
SELECT * FROM finish();
