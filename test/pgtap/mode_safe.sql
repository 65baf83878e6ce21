-- Mode safe: nothing that the profile does fails a sign-up or a login; what fails waits in quarantine with its reason.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;
\set ON_ERROR_STOP off
\set auth 'SET ROLE supabase_auth_admin; SET search_path = auth;'
\set me 'RESET ROLE; SET search_path = public, tap;'

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.reason(n integer) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT concat_ws(' ', sqlstate, constraint_name, column_name) FROM authsync.quarantine WHERE user_id = tap.id(n) $$;
-- A sign-up and a login as the auth server makes them; the SQLSTATEs of both, then the reason in quarantine.
CREATE FUNCTION tap.sign_up(n integer, meta jsonb DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text := '';
BEGIN
    SET LOCAL ROLE supabase_auth_admin;
    SET LOCAL search_path = auth;
    BEGIN
        INSERT INTO users (id, email, raw_user_meta_data, created_at) VALUES (tap.id(n), 'u' || n || '@example.com', meta, now());
        answer := 'in';
    EXCEPTION WHEN OTHERS THEN answer := SQLSTATE;
    END;
    BEGIN
        UPDATE users SET last_sign_in_at = now(), updated_at = now() WHERE id = tap.id(n);
        answer := answer || ' login';
    EXCEPTION WHEN OTHERS THEN answer := answer || ' ' || SQLSTATE;
    END;
    BEGIN
        UPDATE users SET email = 'changed.' || email WHERE id = tap.id(n);
        answer := answer || ' change';
    EXCEPTION WHEN OTHERS THEN answer := answer || ' ' || SQLSTATE;
    END;
    RESET ROLE;
    SET LOCAL search_path = public, tap;
    RETURN answer || ': ' || coalesce(tap.reason(n), 'no row');
END
$$;
GRANT USAGE ON SCHEMA tap TO supabase_auth_admin;

SELECT plan(59);

-- Each kind of constraint.
BEGIN;
ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
SELECT is(tap.sign_up(1, '{"display_name": "Bad"}'), 'in login change: 23514 nice_name', 'CHECK');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(1) AND event_type = 'profile_bootstrap_ok'), 0::bigint, '… no event of success');
SELECT is((SELECT details ->> 'sqlstate' FROM user_events WHERE user_id = tap.id(1) AND event_type = 'profile_bootstrap_error' ORDER BY id LIMIT 1), '23514', '… but one of the failure, with the SQLSTATE');
SELECT is((SELECT details ->> 'constraint' FROM user_events WHERE user_id = tap.id(1) AND event_type = 'profile_bootstrap_error' ORDER BY id LIMIT 1), 'nice_name', '… and the constraint');
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ '@|Bad'), 0::bigint, '… and none of the values');
SELECT is((SELECT count(*) FROM authsync.quarantine WHERE message ~ '@' OR message ~ 'Bad'), 0::bigint, '… nor in the quarantine''s message');
SELECT is((SELECT target FROM authsync.quarantine WHERE user_id = tap.id(1)), 'public.profiles'::regclass, '… whose target is the table');
SELECT ok((SELECT attempts >= 1 AND first_seen IS NOT NULL AND next_retry > first_seen FROM authsync.quarantine WHERE user_id = tap.id(1)), '… and which says when it tries again');
ROLLBACK;
BEGIN;
ALTER TABLE profiles ADD COLUMN tax_id text NOT NULL;
SELECT is(tap.sign_up(2), 'in login change: 23502 tax_id', 'a NOT NULL column that nothing fills');
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX one_name ON profiles (display_name);
INSERT INTO auth.users (id, raw_user_meta_data) VALUES (tap.id(3), '{"display_name": "Ada"}');
SELECT is(tap.sign_up(4, '{"display_name": "Ada"}'), 'in login change: 23505 one_name', 'UNIQUE');
SELECT is(tap.sign_up(5, '{"display_name": "Bob"}'), 'in login change: no row', '… the next one is none the worse');
ROLLBACK;
BEGIN;
CREATE TABLE account_types (name text PRIMARY KEY);
INSERT INTO account_types VALUES ('individual');
ALTER TABLE profiles ADD CONSTRAINT known_type FOREIGN KEY (account_type) REFERENCES account_types;
SELECT is(tap.sign_up(6, '{"account_type": "alien"}'), 'in login change: 23503 known_type', 'FOREIGN KEY');
SELECT is(tap.sign_up(7, '{"account_type": "individual"}'), 'in login change: no row', '… kept by another');
ROLLBACK;
BEGIN;
ALTER TABLE profiles ADD CONSTRAINT not_alike EXCLUDE USING btree (avatar_url WITH =);
INSERT INTO auth.users (id, raw_user_meta_data) VALUES (tap.id(8), '{"avatar_url": "a"}');
SELECT is(tap.sign_up(9, '{"avatar_url": "a"}'), 'in login change: 23P01 not_alike', 'EXCLUDE');
ROLLBACK;
BEGIN;
CREATE DOMAIN short AS text CONSTRAINT is_short CHECK (length(VALUE) < 5);
ALTER TABLE profiles ALTER display_name TYPE short;
SELECT is(tap.sign_up(10, '{"display_name": "Rumpelstiltskin"}'), 'in login change: 23514 is_short', 'a domain''s CHECK');
ROLLBACK;
BEGIN;
ALTER TABLE profiles ALTER display_name TYPE varchar(5);
SELECT matches(tap.sign_up(11, '{"display_name": "Rumpelstiltskin"}'), '^in login change: 22001', 'varchar(n) too short for the value');
ROLLBACK;
BEGIN;
CREATE TYPE kind AS ENUM ('individual', 'business');
ALTER TABLE profiles ALTER account_type DROP DEFAULT, ALTER account_type TYPE kind USING account_type::kind, ALTER account_type SET DEFAULT 'individual';
SELECT matches(tap.sign_up(12, '{"account_type": "alien"}'), '^in login change: 22P02', 'a value that the enum lacks');
SELECT is(tap.sign_up(13, '{"account_type": "business"}'), 'in login change: no row', '… one that it has');
ROLLBACK;

-- Tables that changed under it.
BEGIN;
ALTER TABLE profiles DROP COLUMN avatar_url;
SELECT is(tap.sign_up(20, '{"avatar_url": "x"}'), 'in login change: no row', 'a column found by name that is gone: the rest is made');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(20)), 'changed.u20@example.com', '… with the address');
ROLLBACK;
BEGIN;
SELECT * FROM authsync.setup(columns => '{"avatar_url": "user_metadata.picture"}') \g /dev/null
ALTER TABLE profiles RENAME COLUMN avatar_url TO portrait;
SELECT matches(tap.sign_up(21), '^in login change:', 'a column mapped by hand that is gone');
SELECT ok(EXISTS (SELECT FROM profiles WHERE id = tap.id(21)) OR tap.reason(21) LIKE '42703%', '… either the rest is made, or it waits with 42703');
ROLLBACK;
BEGIN;
ALTER TABLE profiles DROP COLUMN id CASCADE;
SELECT matches(tap.sign_up(22), '^in login change: \w{5}', 'the key column is gone: the users wait in quarantine');
ROLLBACK;
BEGIN;
DROP TABLE profiles;
SELECT is(tap.sign_up(23), 'in login change: 42P01', 'the table is gone');
ROLLBACK;
BEGIN;
ALTER TABLE profiles RENAME TO people;
SELECT matches(tap.sign_up(24), '^in login change: ', 'the table is renamed');
SELECT ok(EXISTS (SELECT FROM people WHERE id = tap.id(24)) OR tap.reason(24) = '42P01', '… then it is followed, or waits');
ROLLBACK;
BEGIN;
ALTER TABLE profiles ALTER email TYPE integer USING NULL;
SELECT matches(tap.sign_up(25), '^in login change: 22P02', 'the type of the address is one that takes none');
ROLLBACK;
BEGIN;
ALTER TABLE profiles RENAME TO profiles_table;
CREATE VIEW profiles AS SELECT * FROM profiles_table WHERE false;
SELECT matches(tap.sign_up(26), '^in login change:', 'the table became a view');
ROLLBACK;

-- Rights and row security.
BEGIN;
ALTER TABLE profiles OWNER TO dashboard_user;
REVOKE ALL ON profiles FROM dashboard_user;
SELECT is(tap.sign_up(30), 'in login change: 42501', 'an owner who took INSERT from himself');
ROLLBACK;
BEGIN;
ALTER TABLE profiles OWNER TO dashboard_user;
SELECT is(tap.sign_up(31), 'in login change: no row', 'an owner who is no superuser writes his own table');
ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
SELECT is(tap.sign_up(32), 'in login change: 42501', '… but not under forced row security without a policy for him');
CREATE POLICY all_of_it ON profiles TO dashboard_user USING (true) WITH CHECK (true);
SELECT is(tap.sign_up(33), 'in login change: no row', '… with one he does');
ROLLBACK;

-- Triggers of the application.
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.display_name = 'Bad' THEN
        RAISE EXCEPTION 'no %', NEW.email USING ERRCODE = 'AB123', CONSTRAINT = 'house_rule', COLUMN = 'display_name';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT is(tap.sign_up(40, '{"display_name": "Bad"}'), 'in login change: AB123 house_rule display_name', 'a BEFORE trigger that raises');
SELECT is(tap.sign_up(41, '{"display_name": "Good"}'), 'in login change: no row', '… not at others');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'never' USING ERRCODE = 'P0001'; END $$;
CREATE CONSTRAINT TRIGGER raise AFTER INSERT ON profiles DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT is(tap.sign_up(42), 'in login change: P0001', 'a deferred constraint trigger that raises does so before the sign-up ends');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT matches(tap.sign_up(43), '^in login change: ', 'a BEFORE trigger that returns NULL: the sign-up goes through');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(43) AND event_type = 'profile_bootstrap_ok'), 0::bigint, '… and nobody says that there is a profile');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'assertion' USING ERRCODE = 'assert_failure'; END $$;
CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT is(tap.sign_up(44), 'in login change: P0004', 'an assertion, which WHEN OTHERS does not catch');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM tap.raise_deep(1); RETURN NEW; END $$;
CREATE FUNCTION tap.raise_deep(n integer) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN tap.raise_deep(n + 1); END $$;
CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT is(tap.sign_up(45), 'in login change: 54001', 'a trigger that recurses without end');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
    $$ BEGIN UPDATE auth.users SET email = substr('x' || email, 1, 100) WHERE id = NEW.id; PERFORM nextval('public.turns'); RETURN NEW; END $$;
CREATE SEQUENCE turns;
CREATE TRIGGER raise BEFORE INSERT OR UPDATE ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT matches(tap.sign_up(46), '^in login', 'a trigger on profiles that changes the user again does not stop the sign-up');
SELECT cmp_ok((SELECT last_value FROM turns), '<', 20::bigint, '… and does not go round in circles');
ROLLBACK;
BEGIN;
CREATE FUNCTION tap.raise() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM public.backfill_all_missing_profiles(100, false); RETURN NEW; END $$;
CREATE TRIGGER raise BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.raise();
SELECT matches(tap.sign_up(47), '^in login change: ', 'a trigger on profiles that calls authsync back does not either');
ROLLBACK;
BEGIN;
CREATE RULE lost AS ON INSERT TO profiles DO INSTEAD NOTHING;
SELECT matches(tap.sign_up(48), '^in login change: ', 'a rule that does something else instead');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(48) AND event_type = 'profile_bootstrap_ok'), 0::bigint, '… and nobody says that there is a profile');
ROLLBACK;

-- Metadata of every shape.
BEGIN;
SELECT is(tap.sign_up(50, '[1, 2]'), 'in login change: no row', 'metadata that is an array');
SELECT is(tap.sign_up(51, '"text"'), 'in login change: no row', '… a string');
SELECT is(tap.sign_up(52, 'null'), 'in login change: no row', '… null');
SELECT is(tap.sign_up(53, NULL), 'in login change: no row', '… NULL');
SELECT is(tap.sign_up(54, '{"display_name": {"first": "Ada"}, "account_type": null, "avatar_url": 17}'), 'in login change: no row', '… with values of another kind');
SELECT is((SELECT account_type FROM profiles WHERE id = tap.id(54)), 'individual', '… where null means the column''s default');
SELECT is(tap.sign_up(55, jsonb_build_object('display_name', $$'; DROP TABLE profiles; --$$)), 'in login change: no row', '… with SQL in it');
SELECT is((SELECT display_name FROM profiles WHERE id = tap.id(55)), $$'; DROP TABLE profiles; --$$, '… which stays what it is');
SELECT is(tap.sign_up(56, jsonb_build_object('display_name', repeat('ж', 100000))), 'in login change: no row', '… 200 kB long');
SELECT is((SELECT count(*) FROM profiles WHERE id BETWEEN tap.id(50) AND tap.id(56)), 7::bigint, 'each of these has a profile');
ROLLBACK;

-- All at once: three bad ones among a thousand.
CREATE UNIQUE INDEX one_email ON profiles (email);
ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
INSERT INTO auth.users (id, email, is_sso_user) VALUES (tap.id(5000), 'u1500@example.com', true);
:auth
INSERT INTO users (id, email, raw_user_meta_data)
    SELECT tap.id(n), 'u' || n || '@example.com', CASE n WHEN 1001 THEN '{"display_name": "Bad"}' WHEN 2000 THEN '{"account_type": null, "display_name": "Bad"}' ELSE '{}' END::jsonb
      FROM generate_series(1001, 2000) AS n;
:me
SELECT results_eq($$ SELECT user_id, sqlstate, constraint_name FROM authsync.quarantine ORDER BY user_id $$,
    $$ VALUES (tap.id(1001), '23514', 'nice_name'), (tap.id(1500), '23505', 'one_email'), (tap.id(2000), '23514', 'nice_name') $$,
    'of a thousand users in one INSERT exactly the three bad ones are quarantined');
SELECT is((SELECT count(*) FROM profiles WHERE id BETWEEN tap.id(1001) AND tap.id(2000)), 997::bigint, '… and 997 profiles made');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'auth_user_created' AND user_id <> tap.id(5000)), 1000::bigint, '… a thousand created');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_bootstrap_ok' AND user_id <> tap.id(5000)), 997::bigint, '… 997 well');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_bootstrap_error'), 3::bigint, '… three not');

SELECT * FROM finish();
