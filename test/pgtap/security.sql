-- Hostile owners of profiles, hostile names, shadowed names, trigger functions called where they have no business.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
SET client_min_messages = error;
CREATE EXTENSION authsync SCHEMA public;
SET client_min_messages = warning;
SET search_path = public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog AS
    $$ BEGIN RETURN ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid; END $$;
CREATE ROLE tap_mallory LOGIN;
CREATE SCHEMA den AUTHORIZATION tap_mallory;
GRANT USAGE ON SCHEMA tap TO PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO tap_mallory;
SET ROLE tap_mallory;
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email text, display_name text);
CREATE TABLE den.loot (at text, who name, super boolean);
RESET ROLE;
SELECT count(*) FROM authsync.setup(profiles => 'den.profiles') \g /dev/null

SELECT plan(130);

-- Every way by which the owner's own code runs, with every thing it might try.
SET ROLE tap_mallory;
CREATE FUNCTION den.try(what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE what;
    INSERT INTO den.loot SELECT what, rolname, rolsuper FROM pg_roles WHERE rolname = current_user;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
CREATE FUNCTION den.attack() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('tap.armed', true) IS DISTINCT FROM 'yes' THEN RETURN; END IF;
    PERFORM den.try('SELECT 1');
    PERFORM den.try('ALTER ROLE tap_mallory SUPERUSER');
    PERFORM den.try('CREATE ROLE tap_gang SUPERUSER');
    PERFORM den.try('GRANT pg_execute_server_program TO tap_mallory');
    PERFORM den.try('SET ROLE postgres');
    PERFORM den.try('RESET ROLE');
    PERFORM den.try('SET SESSION AUTHORIZATION DEFAULT');
    PERFORM den.try('RESET SESSION AUTHORIZATION');
    PERFORM den.try($q$ SELECT set_config('role', 'none', false) $q$);
    PERFORM den.try($q$ SELECT set_config('session_authorization', 'postgres', false) $q$);
    PERFORM den.try($q$ COPY den.loot FROM PROGRAM 'id' $q$);
    PERFORM den.try($q$ SELECT pg_read_file('/etc/passwd') $q$);
    PERFORM den.try('SELECT rolpassword FROM pg_authid');
    PERFORM den.try('DELETE FROM auth.users');
    PERFORM den.try('SELECT encrypted_password FROM auth.users');
    PERFORM den.try('CREATE TABLE auth.den (a int)');
    PERFORM den.try('CREATE TEMP TABLE pg_class (a int)');
    PERFORM den.try('DROP EXTENSION authsync CASCADE');
    PERFORM den.try('DELETE FROM authsync.bindings');
    PERFORM den.try('INSERT INTO authsync.quarantine_rows SELECT * FROM authsync.quarantine_rows');
    PERFORM den.try($q$ SELECT authsync.grant_access('tap_mallory', 'operator') $q$);
    PERFORM den.try($q$ SELECT public.track_user_event(NULL, 'x') $q$);
    PERFORM den.try('SECURITY LABEL ON TABLE den.profiles IS NULL');
    PERFORM den.try($q$ ALTER SYSTEM SET authsync.enabled = off $q$);
    PERFORM den.try($q$ SET authsync.enabled = off $q$);
    PERFORM den.try($q$ SET authsync.profile_lock_timeout = 0 $q$);
    PERFORM den.try($q$ SET session_replication_role = replica $q$);
END $$;
CREATE FUNCTION den.on_row() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM den.attack(); RETURN NEW; END $$;
CREATE FUNCTION den.on_value(text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM den.attack(); RETURN $1; END $$;
CREATE FUNCTION den.on_check(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM den.attack(); RETURN true; END $$;
RESET ROLE;

CREATE FUNCTION tap.assault(how text, n integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE how;    -- the hostile code sleeps meanwhile: a superuser is making its trap here for it
    SET LOCAL tap.armed = 'yes';
    SET LOCAL ROLE supabase_auth_admin;
    INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (tap.id(n), 'u' || n || '@example.com', '{"display_name": "x"}');
    UPDATE auth.users SET last_sign_in_at = now(), email = 'new.' || email WHERE id = tap.id(n);
    RESET ROLE;
    DELETE FROM den.profiles WHERE id = tap.id(n);
    PERFORM public.backfill_all_missing_profiles(10, false), public.backfill_user_profile(tap.id(n)), public.resync_profiles(10, false);
    PERFORM * FROM authsync.probe();
    SET LOCAL tap.armed = 'no';
    RETURN 'survived';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT is(tap.assault('CREATE TRIGGER a BEFORE INSERT OR UPDATE ON den.profiles FOR EACH ROW EXECUTE FUNCTION den.on_row()', 1), 'survived', 'a BEFORE trigger');
SELECT is(tap.assault('CREATE TRIGGER b AFTER INSERT OR UPDATE ON den.profiles FOR EACH ROW EXECUTE FUNCTION den.on_row()', 2), 'survived', 'an AFTER trigger');
SELECT is(tap.assault('CREATE TRIGGER c AFTER INSERT OR UPDATE ON den.profiles FOR EACH STATEMENT EXECUTE FUNCTION den.on_row()', 3), 'survived', 'a statement trigger');
SELECT is(tap.assault('CREATE CONSTRAINT TRIGGER d AFTER INSERT OR UPDATE ON den.profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION den.on_row()', 4), 'survived', 'a deferred trigger');
SELECT is(tap.assault($$ALTER TABLE den.profiles ALTER display_name SET DEFAULT den.on_value('d')$$, 5), 'survived', 'a default');
SELECT is(tap.assault('ALTER TABLE den.profiles ADD c1 text CHECK (den.on_check(c1))', 6), 'survived', 'a CHECK');
SELECT is(tap.assault('ALTER TABLE den.profiles ADD g text GENERATED ALWAYS AS (den.on_value(email)) STORED', 7), 'survived', 'a generated column');
SELECT is(tap.assault('CREATE INDEX ON den.profiles (den.on_value(email))', 8), 'survived', 'an index expression');
SELECT is(tap.assault('ALTER TABLE den.profiles ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY; CREATE POLICY p ON den.profiles USING (den.on_check(email)) WITH CHECK (den.on_check(email))', 9), 'survived', 'a policy');
SELECT is(tap.assault('CREATE RULE r AS ON INSERT TO den.profiles DO ALSO SELECT den.attack()', 10) , 'survived', 'a rule');
SELECT is(tap.assault($$ALTER TABLE den.profiles DROP COLUMN g CASCADE; CREATE DOMAIN den.d AS text CHECK (den.on_check(VALUE)); ALTER DOMAIN den.d OWNER TO tap_mallory; ALTER TABLE den.profiles ADD dom den.d DEFAULT 'x'$$, 11), 'survived', 'a domain');
RESET ROLE;
SELECT cmp_ok((SELECT count(*) FROM den.loot), '>', 0::bigint, 'the owner''s code ran');
SELECT is((SELECT count(*) FROM den.loot WHERE who <> 'tap_mallory'), 0::bigint, '… always as the owner');
SELECT is((SELECT count(*) FROM den.loot WHERE super), 0::bigint, '… never as a superuser');
SELECT is((SELECT string_agg(DISTINCT at, '; ') FROM den.loot WHERE at ~ 'ROLE (tap|postgres)|AUTHORIZATION|GRANT|set_config|PROGRAM|pg_read|pg_authid|auth\.|EXTENSION|authsync|track|SYSTEM|replica|CREATE ROLE'), NULL, '… and did nothing that is not his');
SELECT is((SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolname ~ '^tap_' AND (rolsuper OR rolcreaterole OR rolbypassrls)), NULL, 'nobody is more than he was');
SELECT is(current_user, session_user, 'nor am I somebody else');
SELECT is(current_setting('session_replication_role'), 'origin', '… or otherwise set');
SELECT is((SELECT count(*) FROM auth.users), 11::bigint, 'all users are there');
DROP TABLE den.profiles CASCADE;
DROP DOMAIN den.d;

-- Deferred until COMMIT, where no restricted context is left: must run before, or not at all.
SET ROLE tap_mallory;
CREATE TABLE den.profiles (id uuid PRIMARY KEY, email text);
TRUNCATE den.loot;
CREATE FUNCTION den.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO den.loot SELECT 'deferred', rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user; RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON den.profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION den.note();
-- … one that makes another deferred event from within the first.
CREATE TABLE den.second (a int);
CREATE CONSTRAINT TRIGGER late2 AFTER INSERT ON den.second DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION den.note();
CREATE FUNCTION den.more() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN BEGIN INSERT INTO den.second VALUES (1); EXCEPTION WHEN OTHERS THEN NULL; END; RETURN NULL; END $$;
CREATE TRIGGER more AFTER INSERT ON den.profiles FOR EACH ROW EXECUTE FUNCTION den.more();
RESET ROLE;
SELECT count(*) FROM authsync.setup(profiles => 'den.profiles') \g /dev/null
INSERT INTO auth.users (id, email) VALUES (tap.id(20), 'u20@example.com');
SELECT cmp_ok((SELECT count(*) FROM den.loot), '>=', 1::bigint, 'deferred triggers run');
SELECT is((SELECT count(*) FROM den.loot WHERE who <> 'tap_mallory' OR super), 0::bigint, '… as the owner, never as whoever signs up');
DROP TABLE den.second CASCADE;
DROP TRIGGER more ON den.profiles;

-- Names that shadow: temporary objects, the caller's search_path, functions and operators in it.
SET ROLE tap_mallory;
CREATE FUNCTION public.lower(text) RETURNS text LANGUAGE sql AS $$ SELECT 'hijacked' $$;
CREATE FUNCTION den.now() RETURNS timestamptz LANGUAGE sql AS $$ SELECT 'epoch'::timestamptz $$;
CREATE FUNCTION den.eq(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN INSERT INTO den.loot SELECT 'operator', rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user; RETURN true; END $$;
CREATE OPERATOR den.= (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = den.eq);
CREATE FUNCTION den.concat(text, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN INSERT INTO den.loot SELECT 'operator', rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user; RETURN 'x'; END $$;
CREATE OPERATOR den.|| (LEFTARG = text, RIGHTARG = text, FUNCTION = den.concat);
CREATE FUNCTION den.unnest(anyarray) RETURNS SETOF anyelement LANGUAGE plpgsql AS $$ BEGIN INSERT INTO den.loot SELECT 'unnest', rolname, rolsuper FROM pg_catalog.pg_roles WHERE rolname OPERATOR(pg_catalog.=) current_user; RETURN; END $$;
CREATE DOMAIN den.uuid AS text;
CREATE DOMAIN den.jsonb AS text;
TRUNCATE den.loot;
RESET ROLE;
-- The session of a superuser who is careless enough.
SET search_path = den, public, pg_catalog;
CREATE TEMP TABLE users (id pg_catalog.uuid, email pg_catalog.text);
CREATE TEMP TABLE profiles (id pg_catalog.uuid, email pg_catalog.text);
CREATE TEMP TABLE user_events (id pg_catalog.int4);
CREATE TEMP TABLE pg_class (oid pg_catalog.oid, relname pg_catalog.name);
CREATE TEMP TABLE pg_attribute (attrelid pg_catalog.oid);
CREATE TEMP TABLE pg_namespace (oid pg_catalog.oid, nspname pg_catalog.name);
CREATE TEMP TABLE bindings (users_schema pg_catalog.text);
INSERT INTO auth.users (id, email) VALUES (tap.id(30), 'u30@example.com');
\set one :SQLSTATE
UPDATE auth.users SET email = 'new@example.com' WHERE id OPERATOR(pg_catalog.=) tap.id(30);
\set two :SQLSTATE
SELECT public.backfill_all_missing_profiles(10, false) \g /dev/null
\set three :SQLSTATE
SELECT * FROM authsync.probe() \g /dev/null
\set four :SQLSTATE
SELECT * FROM authsync.lint() \g /dev/null
\set five :SQLSTATE
SELECT * FROM authsync.setup() \g /dev/null
\set six :SQLSTATE
SELECT * FROM public.diagnose_auth_profile_consistency() \g /dev/null
\set seven :SQLSTATE
SELECT * FROM public.auth_profile_mismatch WHERE status OPERATOR(pg_catalog.<>) 'healthy' \g /dev/null
\set eight :SQLSTATE
SELECT * FROM public.resync_profiles(10, false) \g /dev/null
\set nine :SQLSTATE
SELECT * FROM public.get_user_signup_events(tap.id(30)) \g /dev/null
\set ten :SQLSTATE
DROP TABLE pg_temp.users, pg_temp.profiles, pg_temp.user_events, pg_temp.pg_class, pg_temp.pg_attribute, pg_temp.pg_namespace, pg_temp.bindings;
SET search_path = public, tap;
SELECT is(concat_ws(' ', :'one'::text, :'two'::text, :'three'::text, :'four'::text, :'five'::text, :'six'::text, :'seven'::text, :'eight'::text, :'nine'::text, :'ten'::text),
    '00000 00000 00000 00000 00000 00000 00000 00000 00000 00000', 'shadowed names: trigger, backfill, probe, lint, setup, diagnose, view, resync, events all work');
SELECT is((SELECT count(*) FROM den.loot WHERE at <> 'deferred'), 0::bigint, '… and not by what shadows');
SELECT is((SELECT email FROM den.profiles WHERE id = tap.id(30)), 'new@example.com', '… and on the true tables');
SELECT is((SELECT string_agg(DISTINCT event_type, ' ') FROM public.user_events WHERE user_id = tap.id(30)), 'auth_user_created auth_user_updated profile_bootstrap_ok profile_updated', '… events too');
DROP FUNCTION public.lower(text);
DROP FUNCTION den.now(), den.unnest(anyarray);

-- The trigger functions where they have no business.
CREATE TABLE den.elsewhere (id uuid PRIMARY KEY, email text, deleted_at timestamptz, plan text);
ALTER TABLE den.elsewhere OWNER TO tap_mallory;
CREATE FUNCTION tap.refusal(statement text, as_role name DEFAULT 'tap_mallory') RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', as_role);
    EXECUTE statement;
    RESET ROLE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
-- Five functions, each: call; by mallory's own trigger; by a superuser's mistake.
SELECT matches(tap.refusal(format('SELECT %s', p.oid::regprocedure), 'postgres'), '^(0A000|39P01|42809)$', p.proname || ' is no function to call')
  FROM pg_proc AS p WHERE pronamespace = 'authsync'::regnamespace AND prorettype = 'trigger'::regtype ORDER BY proname;
SELECT is(tap.refusal(format('CREATE TRIGGER t BEFORE INSERT ON den.elsewhere FOR EACH ROW EXECUTE FUNCTION %s', p.oid::regprocedure)), '42501', p.proname || ': nobody attaches it to a table of his own')
  FROM pg_proc AS p WHERE pronamespace = 'authsync'::regnamespace AND prorettype = 'trigger'::regtype ORDER BY proname;
CREATE FUNCTION tap.misuse(called regprocedure, level text, timing text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER t %s INSERT ON den.elsewhere FOR EACH %s EXECUTE FUNCTION %s', timing, level, called);
    INSERT INTO den.elsewhere (id, email, plan) VALUES (gen_random_uuid(), 'x@example.com', 'pro');
    RAISE 'undo' USING ERRCODE = 'UN' || CASE WHEN EXISTS (SELECT FROM den.profiles WHERE email = 'x@example.com') OR EXISTS (SELECT FROM authsync.quarantine) THEN '001' ELSE '000' END;
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $$;
SELECT matches(tap.misuse(p.oid, level, timing), '^(39P01|55000|42809|0A000|42501|UN000)$', p.proname || ': attached elsewhere by mistake, ' || timing || ' ' || level || ', it refuses or does nothing')
  FROM pg_proc AS p, unnest('{ROW,STATEMENT}'::text[]) AS level, unnest('{BEFORE,AFTER}'::text[]) AS timing
 WHERE pronamespace = 'authsync'::regnamespace AND prorettype = 'trigger'::regtype AND proname <> 'binding_changed' ORDER BY proname, level, timing;
CREATE TRIGGER t AFTER INSERT ON den.elsewhere REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT EXECUTE FUNCTION authsync.handle_new_user();
INSERT INTO den.elsewhere (id, email) VALUES (tap.id(99), 'x@example.com');
SELECT is((SELECT count(*) FROM den.profiles WHERE id = tap.id(99)) + (SELECT count(*) FROM user_events WHERE user_id = tap.id(99)), 0::bigint, '… made as ours is made, too');
DROP TABLE den.elsewhere;
CREATE TABLE auth.users_copy (LIKE auth.users INCLUDING ALL);
CREATE TRIGGER t AFTER INSERT ON auth.users_copy REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT EXECUTE FUNCTION authsync.handle_new_user();
INSERT INTO auth.users_copy (id, email) VALUES (tap.id(98), 'x@example.com');
SELECT is((SELECT count(*) FROM den.profiles WHERE id = tap.id(98)), 0::bigint, '… nor does a copy of the users pass for them');
DROP TABLE auth.users_copy;

-- Tables of ours are written by nobody else.
GRANT USAGE ON SCHEMA authsync TO tap_mallory;
SELECT is((SELECT string_agg(c.oid::regclass::text || ' ' || p, ', ') FROM pg_class AS c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,REFERENCES,TRIGGER}'::text[]) AS p
    WHERE c.relkind IN ('r', 'v', 'p') AND (c.relnamespace = 'authsync'::regnamespace OR c.oid IN ('user_events'::regclass, 'auth_profile_mismatch'::regclass, 'signup_audit_summary'::regclass))
      AND has_table_privilege('tap_mallory', c.oid, p)), NULL, 'mallory has no right on any table or view of authsync');
SELECT is((SELECT string_agg(p.oid::regprocedure::text, ', ') FROM pg_proc AS p JOIN pg_depend AS d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass AND d.deptype = 'e' JOIN pg_extension AS e ON e.oid = d.refobjid
    WHERE extname = 'authsync' AND has_function_privilege('tap_mallory', p.oid, 'EXECUTE') AND p.oid <> 'authsync.uid'::regproc), NULL, '… and none on any function but uid()');
SELECT is(tap.refusal('SELECT * FROM authsync.setup()'), '42501', '… the owner of profiles is no operator by that');
REVOKE USAGE ON SCHEMA authsync FROM tap_mallory;

-- Names with quotes, of roles.
CREATE ROLE "tap; DROP TABLE den.profiles; --";
CREATE ROLE "tap ""x"" 'y' \ $$";
GRANT USAGE ON SCHEMA public TO "tap; DROP TABLE den.profiles; --";
SELECT lives_ok($q$ SELECT * FROM authsync.grant_access('tap; DROP TABLE den.profiles; --', 'operator') $q$, 'a hostile name is let in');
SELECT lives_ok($q$ SELECT * FROM authsync.grant_access('tap "x" ''y'' \ $$', 'reader') $q$, '… another');
SELECT is((SELECT count(*) FROM authsync.grant_access('tap; DROP TABLE den.profiles; --', 'operator') WHERE missing_grant !~ '"tap; DROP TABLE den\.profiles; --"'), 0::bigint, '… is quoted in the lines to paste');
SELECT has_table('den', 'profiles', '… and does not do what it says');
ALTER TABLE den.profiles OWNER TO "tap ""x"" 'y' \ $$";
GRANT USAGE ON SCHEMA den TO "tap ""x"" 'y' \ $$";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA den TO "tap ""x"" 'y' \ $$";
DROP TRIGGER late ON den.profiles;
INSERT INTO auth.users (id, email) VALUES (tap.id(40), 'u40@example.com');
SELECT is((SELECT count(*) FROM den.profiles WHERE id = tap.id(40)), 1::bigint, 'an owner of such a name: his table is written');
SELECT is((SELECT tap.refusal('SELECT public.backfill_all_missing_profiles()', 'tap; DROP TABLE den.profiles; --')), 'done', 'he may what an operator may');
SELECT lives_ok($q$ SELECT authsync.revoke_access('tap; DROP TABLE den.profiles; --'), authsync.revoke_access('tap "x" ''y'' \ $$') $q$, 'and is let out again');
SELECT is((SELECT tap.refusal('SELECT public.backfill_all_missing_profiles()', 'tap; DROP TABLE den.profiles; --')), '42501', '… so that he may no more');
SELECT throws_ok($q$ SELECT * FROM authsync.grant_access('nobody at all', 'reader') $q$, '42704', NULL, 'a role that there is not');
SELECT throws_ok($q$ SELECT * FROM authsync.grant_access('tap_mallory', 'king') $q$, '22023', NULL, 'a level that there is not');
SELECT throws_ok($q$ SELECT * FROM authsync.grant_access('tap_mallory', NULL) $q$, '22004', NULL, 'no level');

-- A binding that turns bad behind our back: the table is handed on, swapped, or is somebody's trap.
SET ROLE tap_mallory;
CREATE TABLE den.trap (id uuid PRIMARY KEY, email text);
RESET ROLE;
ALTER TABLE den.profiles RENAME TO gone;
ALTER TABLE den.trap RENAME TO profiles;
SET ROLE tap_mallory;
CREATE TRIGGER b AFTER INSERT ON den.profiles FOR EACH ROW EXECUTE FUNCTION den.on_row();
RESET ROLE;
TRUNCATE den.loot;
INSERT INTO auth.users (id, email) VALUES (tap.id(50), 'u50@example.com');
\set got :SQLSTATE
SELECT is(:'got'::text, '00000', 'another table under the bound name: the sign-up goes through');
SELECT is((SELECT count(*) FROM den.loot WHERE who <> 'tap_mallory' OR super), 0::bigint, '… its trigger runs as its owner, if at all');
SELECT is((SELECT string_agg(rolname, ',') FROM pg_roles WHERE rolname ~ '^tap' AND (rolsuper OR rolcreaterole OR rolbypassrls)), NULL, 'to the end, nobody is more than he was');

SELECT * FROM finish();
DROP EXTENSION authsync CASCADE;
DROP OWNED BY tap_mallory, "tap ""x"" 'y' \ $$", "tap; DROP TABLE den.profiles; --" CASCADE;
DROP ROLE tap_mallory, "tap ""x"" 'y' \ $$", "tap; DROP TABLE den.profiles; --";
