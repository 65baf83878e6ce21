-- CREATE EXTENSION where nothing is there yet, in odd schemas, where names are taken; DROP EXTENSION and back.

-- In a database with neither auth.users nor profiles.
SET client_min_messages = warning;
\set ON_ERROR_STOP off
CREATE EXTENSION authsync;
\set created :SQLSTATE
SELECT * FROM auth_profile_mismatch;
\set mismatch :SQLSTATE
SELECT * FROM signup_audit_summary;
\set summary :SQLSTATE
SELECT count(*) AS events FROM user_events \gset
\set without_authsync yes
\i test/fixture/contract.sql
SELECT plan(110);
SELECT is(:'created'::text, '00000', 'CREATE EXTENSION where there is nothing');
SELECT is(:'mismatch'::text, '55000', 'auth_profile_mismatch, unbound');
SELECT is(:'summary'::text, '55000', 'signup_audit_summary, unbound');
SELECT is((SELECT nspname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = relnamespace WHERE c.oid = 'user_events'::regclass), 'public', 'the face goes into the first schema of search_path');

-- The tables are there by now, but nobody has said so.
SELECT alike((tap.said('SELECT * FROM ' || thing)).hint, '%SELECT * FROM authsync.setup()%', 'unbound, the hint says how to go on: ' || thing) FROM unnest(ARRAY['auth_profile_mismatch', 'signup_audit_summary']) AS thing;
SELECT is(tap.state('SELECT * FROM ' || thing), '55000', 'unbound: ' || thing) FROM unnest(ARRAY['diagnose_auth_profile_consistency()', 'get_auth_profile_mismatches()', 'check_recent_signup_issues()',
    'monitor_signup_health()', 'verify_profile_completeness()', 'backfill_all_missing_profiles()', 'resync_profiles()', 'ensure_profile_exists(tap.id(1))', 'backfill_user_profile(tap.id(1))', 'get_registration_stats()']) AS thing;
SELECT is(tap.state('SELECT * FROM ' || thing), '00000', 'unbound, but answers: ' || thing) FROM unnest(ARRAY['user_events', 'authsync.quarantine', 'authsync.progress', 'authsync.lint()', 'authsync.setup(dry_run => true)']) AS thing;
SELECT tap.add_user(1, 'one@example.com');
SELECT is((SELECT count(*) FROM profiles), 0::bigint, 'a sign-up before setup() works, without profile');
SELECT is((SELECT count(*) FROM authsync.setup(dry_run => true) WHERE action IN ('created', 'changed')), 0::bigint, 'a dry setup only would');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal), 0::bigint, '… and has not');
SELECT cmp_ok((SELECT count(*) FROM authsync.setup() WHERE action = 'created'), '>', 0::bigint, 'setup()');
SELECT is((SELECT string_agg(status, ',') FROM auth_profile_mismatch), 'auth_only', 'who came before setup() is found');
SELECT tap.add_user(2, 'two@example.com');
SELECT is((SELECT email FROM profiles), 'two@example.com', 'who comes after it gets his profile');
SELECT is(backfill_all_missing_profiles(dry_run => false) ->> 'successful', '1', 'and the first one too, by backfill');

-- Views of the user's own on top of ours, and tables that change below them.
CREATE VIEW tap.mine AS SELECT status, count(*) FROM auth_profile_mismatch GROUP BY 1;
SELECT is((SELECT string_agg(status || count, ',') FROM tap.mine), 'healthy2', 'a view on the view');
ALTER TABLE auth.users ALTER COLUMN email TYPE text, ADD COLUMN new_thing integer;
ALTER TABLE auth.users ALTER COLUMN phone TYPE varchar(100), DROP COLUMN is_super_admin;
ALTER TABLE auth.audit_log_entries ALTER COLUMN payload TYPE jsonb USING payload::jsonb;
SELECT is((SELECT string_agg(status || count, ',') FROM tap.mine), 'healthy2', 'after changes of the auth server''s columns');
ALTER TABLE profiles ADD COLUMN nickname text, ALTER COLUMN email TYPE varchar(300);
SELECT is((SELECT string_agg(status || count, ',') FROM tap.mine), 'healthy2', '… and of the profiles''');
SELECT count(*) AS steps FROM authsync.setup() \gset
SELECT is((SELECT string_agg(status || count, ',') FROM tap.mine), 'healthy2', '… after setup()');
DROP TABLE profiles;
SELECT isnt(tap.state('SELECT * FROM auth_profile_mismatch'), '00000', 'profiles dropped: an error, never a wrong answer');
SELECT tap.add_user(3, 'three@example.com');
SELECT is((SELECT count(*) FROM auth.users), 3::bigint, '… and a sign-up still goes through');
\i test/fixture/profiles.sql
SELECT is(tap.state('SELECT * FROM auth_profile_mismatch'), '00000', 'profiles made anew: the view is there');
SELECT is((SELECT string_agg(status || count, ',') FROM tap.mine), 'auth_only3', '… with fresh data');
SELECT is(backfill_all_missing_profiles(dry_run => false) ->> 'successful', '3', '… backfilled');
SELECT tap.add_user(4, 'four@example.com');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(4)), 'four@example.com', '… and sign-ups have profiles');

-- DROP EXTENSION: refused while something of the user's depends on it, else it goes and leaves everything working.
SELECT is(tap.state('DROP EXTENSION authsync'), '2BP01', 'DROP EXTENSION is refused while a view of the user''s depends on it');
SELECT alike((tap.said('DROP EXTENSION authsync')).detail, '%view mine depends%', '… and lists it');
DROP VIEW tap.mine;
DROP EXTENSION authsync;
SELECT is((SELECT count(*) FROM pg_extension WHERE extname = 'authsync'), 0::bigint, 'DROP EXTENSION');
SELECT is((SELECT count(*) FROM pg_namespace WHERE nspname = 'authsync'), 0::bigint, '… takes its schema along');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('auth.users'::regclass, 'public.profiles'::regclass, 'auth.audit_log_entries'::regclass) AND NOT tgisinternal), 0::bigint, '… and all triggers');
SELECT is((SELECT count(*) FROM auth.users) + (SELECT count(*) FROM profiles), 8::bigint, '… leaves users and profiles');
SELECT tap.add_user(5, 'five@example.com');
UPDATE auth.users SET email = 'five.new@example.com' WHERE id = tap.id(5);
DELETE FROM auth.users WHERE id = tap.id(4);
SELECT is((SELECT count(*) FROM auth.users), 4::bigint, '… who still sign up, change and go');
CREATE EXTENSION authsync;
SELECT is((SELECT string_agg(right(user_id::text, 2), ',') FROM auth_profile_mismatch WHERE status = 'auth_only'), '05', 'CREATE EXTENSION again finds the tables, and who came in between');
SELECT is(backfill_all_missing_profiles(dry_run => false) ->> 'successful', '1', '… to be backfilled');
SELECT tap.add_user(6, 'six@example.com');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(6)), 'six@example.com', '… and sign-ups have profiles');
DROP EXTENSION authsync CASCADE;
SELECT is((SELECT count(*) FROM auth.users) || '/' || (SELECT count(*) FROM profiles), '5/5', 'CASCADE leaves users and profiles too');

-- Other schemas
CREATE SCHEMA "Weird; Schéma (1)";
SELECT is(current_schema()::text, 'public', 'about to install elsewhere');
CREATE EXTENSION authsync SCHEMA "Weird; Schéma (1)";
SELECT is((SELECT count(*) FROM "Weird; Schéma (1)".auth_profile_mismatch WHERE status = 'healthy'), 5::bigint, 'a schema whose name needs quotes');
SELECT is((SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname = 'diagnose_auth_profile_consistency'), 0::bigint, '… and nothing in public');
SELECT tap.add_user(7, 'seven@example.com'), tap.add_user(8, 'eight@example.com', drift => true);
SELECT is((SELECT count(*) FROM "Weird; Schéma (1)".user_events WHERE user_id = tap.id(7)), 2::bigint, '… events are there');
SELECT is((SELECT count FROM "Weird; Schéma (1)".diagnose_auth_profile_consistency() WHERE metric = 'Auth Only (Missing Profile)'), 1::bigint, '… diagnose');
SELECT is("Weird; Schéma (1)".backfill_all_missing_profiles(dry_run => false) ->> 'successful', '1', '… backfill');
SELECT is(tap.state('SELECT * FROM "Weird; Schéma (1)".' || thing), '00000', '… ' || thing) FROM unnest(ARRAY['signup_audit_summary', 'get_auth_profile_mismatches()', 'check_recent_signup_issues()', 'monitor_signup_health()',
    'verify_profile_completeness()', 'get_registration_stats()', 'get_user_signup_events(tap.id(7))', 'resync_profiles()', 'ensure_profile_exists(tap.id(7))', 'track_user_event(tap.id(7), ''app_thing'')']) AS thing;
SELECT is(tap.state('SELECT * FROM authsync.' || thing), '00000', '… authsync.' || thing) FROM unnest(ARRAY['lint()', 'setup()', 'probe()', 'grant_access(''service_role'', ''operator'')']) AS thing;
CALL "Weird; Schéma (1)".backfill_missing_profiles();
SELECT is(:'SQLSTATE'::text, '00000', '… CALL');
SELECT is(tap.state('SELECT * FROM "Weird; Schéma (1)".user_events', 'anon'), '42501', '… closed to anon');
CREATE ROLE tap_install_reader;
GRANT USAGE ON SCHEMA "Weird; Schéma (1)" TO tap_install_reader;
SELECT count(*) AS missing FROM authsync.grant_access('tap_install_reader', 'reader') \gset
ALTER SCHEMA "Weird; Schéma (1)" RENAME TO "Renamed";
SELECT is(tap.state('SELECT * FROM "Renamed".user_events', 'tap_install_reader'), '00000', '… renamed: a reader reads the events');
SELECT is(tap.state('SELECT * FROM "Renamed".get_auth_profile_mismatches()', 'tap_install_reader'), '00000', '… and calls the functions');
SELECT is(authsync.revoke_access('tap_install_reader'), true, '… and is put out');
SELECT is(tap.state('SELECT * FROM "Renamed".user_events', 'tap_install_reader'), '42501', '… again');
DROP OWNED BY tap_install_reader;
DROP ROLE tap_install_reader;
SELECT is((SELECT count(*) FROM "Renamed".auth_profile_mismatch), 7::bigint, '… renamed: the view');
SELECT tap.add_user(9, 'nine@example.com');
SELECT is((SELECT count(*) FROM "Renamed".user_events WHERE user_id = tap.id(9)), 2::bigint, '… renamed: events');
SELECT is(tap.state('SELECT * FROM "Renamed".monitor_signup_health()'), '00000', '… renamed: functions');
DROP EXTENSION authsync;
DROP SCHEMA "Renamed";
SELECT is((SELECT state || CASE WHEN detail = '' THEN ', no detail' ELSE '' END || CASE WHEN hint = '' THEN ', no hint' ELSE '' END FROM tap.said('CREATE EXTENSION authsync SCHEMA ' || name)), '55000', 'refused in ' || name)
  FROM unnest(ARRAY['auth', 'pg_catalog']) AS name;
SELECT is((SELECT count(*) FROM pg_extension WHERE extname = 'authsync') + (SELECT count(*) FROM pg_namespace WHERE nspname = 'authsync'), 0::bigint, '… leaving nothing');
SET search_path = auth, tap;
SELECT tap.is(tap.state('CREATE EXTENSION authsync'), '55000', 'refused where search_path would put it into auth');
SET search_path = public, tap;

-- Somebody has been here before.
CREATE SCHEMA authsync;
CREATE FUNCTION authsync.uid() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid';
SELECT isnt(tap.state('CREATE EXTENSION authsync'), '00000', 'a schema authsync that somebody made is not taken over');
DROP SCHEMA authsync CASCADE;

-- Taken names: all are told, and both ways out work.
CREATE TABLE public.user_events (id bigserial CONSTRAINT user_events_pkey PRIMARY KEY, what text);
CREATE VIEW public.signup_audit_summary AS SELECT 1 AS one;
CREATE MATERIALIZED VIEW public.auth_profile_mismatch AS SELECT 1 AS one;
CREATE FUNCTION public.ensure_profile_exists(uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE FUNCTION public.ensure_profile_exists(who text, VARIADIC more integer[]) RETURNS boolean LANGUAGE sql AS 'SELECT true';
CREATE PROCEDURE public.backfill_missing_profiles(INOUT n integer) LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE public.track_user_event(integer) (SFUNC = int4pl, STYPE = integer);
CREATE TYPE public."Odd Type" AS ENUM ('a');
CREATE FUNCTION public.get_registration_stats(public."Odd Type" DEFAULT 'a', OUT x integer) LANGUAGE sql AS 'SELECT 1';
CREATE FUNCTION public.monitor_signup_health() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO tap.fired DEFAULT VALUES; RETURN NEW; END $$;
CREATE TABLE tap.fired (at timestamptz DEFAULT now());
GRANT ALL ON tap.fired TO PUBLIC;
CREATE TRIGGER theirs AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.monitor_signup_health();
CREATE TABLE tap.told AS SELECT * FROM tap.said('CREATE EXTENSION authsync');
SELECT is((SELECT state FROM tap.told), '42710', 'taken names');
SELECT is((SELECT string_agg(name, ', ') FROM tap.told, unnest(ARRAY['user_events', 'user_events_pkey', 'signup_audit_summary', 'auth_profile_mismatch', 'ensure_profile_exists', 'backfill_missing_profiles', 'track_user_event',
    'get_registration_stats', 'monitor_signup_health']) AS name WHERE strpos(detail, name) = 0), NULL, '… all of them in the detail');
SELECT unalike((SELECT detail FROM tap.told), '%verify_profile_completeness%', '… and only them');
SELECT alike((SELECT hint FROM tap.told), '%CREATE EXTENSION authsync SCHEMA %', '… one way out: another schema');
SELECT is((SELECT count(*) FROM pg_extension WHERE extname = 'authsync') + (SELECT count(*) FROM pg_namespace WHERE nspname = 'authsync'), 0::bigint, '… nothing was made');
CREATE SCHEMA other;
SELECT is(tap.state('CREATE EXTENSION authsync SCHEMA other'), '00000', '… which works');
-- Each line of the hint, as a user pastes it.
CREATE TABLE tap.lines AS SELECT m[1] AS line FROM tap.told, regexp_matches(hint, 'ALTER [^;]*;', 'g') AS m;
SELECT is((SELECT count(*) FROM tap.lines), 10::bigint, '… the other: ten ALTER lines');
SELECT line FROM tap.lines \gexec
SELECT is(tap.state('CREATE EXTENSION authsync'), '00000', '… which make room');
SELECT is((SELECT count(*) FROM pg_proc WHERE proname LIKE '%\_before\_authsync') + (SELECT count(*) FROM pg_class WHERE relkind IN ('r', 'v', 'm') AND relname LIKE '%\_before\_authsync'), 9::bigint, '… by the names told');
SELECT tap.add_user(10, 'ten@example.com');
SELECT is((SELECT count(*) FROM tap.fired), 1::bigint, 'a renamed trigger function goes on working');
INSERT INTO public.user_events_before_authsync (what) VALUES ('still mine');
SELECT is(:'SQLSTATE'::text, '00000', 'so does a renamed table');
CREATE EXTENSION authsync;
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'), 1::bigint, 'installed beside them');
DROP EXTENSION authsync;
DROP TRIGGER theirs ON auth.users;

-- The tutorial's own function and trigger.
ALTER TABLE profiles ADD COLUMN full_name text;
CREATE FUNCTION public.handle_new_user() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO public.profiles (id, full_name, avatar_url) VALUES (NEW.id, NEW.raw_user_meta_data ->> 'full_name', NEW.raw_user_meta_data ->> 'avatar_url');
    RETURN NEW;
END $$;
CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE PROCEDURE public.handle_new_user();
SELECT is(tap.state('CREATE EXTENSION authsync'), '00000', 'the tutorial''s function and trigger are no obstacle');
CREATE EXTENSION authsync;
SELECT is((SELECT tgfoid::regprocedure::text FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND tgname = 'on_auth_user_created'), 'handle_new_user()', '… they stay');
SELECT is((SELECT tgfoid::regprocedure::text FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND tgname = 'on_auth_user_created_authsync'), 'authsync.handle_new_user()', '… ours is on_auth_user_created_authsync');
SELECT tap.add_user(11, 'eleven@example.com', meta => '{"full_name": "Eleven", "avatar_url": "https://pictures.example/11.png"}');
SELECT is((SELECT concat_ws('|', full_name, avatar_url) FROM profiles WHERE id = tap.id(11)), 'Eleven|https://pictures.example/11.png', '… a sign-up has the profile that the old one made');
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(11) AND event_type = 'profile_bootstrap_error'), 0::bigint, '… found by ours, without an error');
SELECT is((SELECT count(*) FROM authsync.quarantine), 0::bigint, '… nor a quarantine');
SELECT alike((SELECT string_agg(hint, ' ') FROM authsync.lint()), '%ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created;%', 'lint gives the DISABLE TRIGGER line');
SELECT string_agg(line, ' ') AS line FROM (SELECT DISTINCT substring(hint FROM 'ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created;') AS line FROM authsync.lint()) AS l \gset
:line
SELECT tap.add_user(12, 'twelve@example.com', meta => '{"full_name": "Twelve"}');
SELECT is((SELECT concat_ws('|', email, full_name) FROM profiles WHERE id = tap.id(12)), 'twelve@example.com|Twelve', '… after which ours makes the profile');
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), true, '… and is the one that monitor looks at');
DROP EXTENSION authsync;
SELECT is((SELECT string_agg(tgname, ',') FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal), 'on_auth_user_created', 'DROP EXTENSION leaves the tutorial''s trigger');

-- Every name that ours would have is taken.
CREATE FUNCTION public.theirs() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER on_auth_user_created_authsync AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.theirs();
CREATE TRIGGER on_auth_user_updated AFTER UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.theirs();
CREATE TRIGGER on_auth_users_updated AFTER UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.theirs();
CREATE TRIGGER on_auth_user_deleted AFTER DELETE ON auth.users FOR EACH ROW EXECUTE FUNCTION public.theirs();
CREATE EXTENSION authsync;
SELECT tap.add_user(13, 'thirteen@example.com');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(13)), 'thirteen@example.com', 'all trigger names taken: a sign-up has its profile');
UPDATE auth.users SET email = 'thirteen.new@example.com' WHERE id = tap.id(13);
SELECT is((SELECT email FROM profiles WHERE id = tap.id(13)), 'thirteen.new@example.com', '… a change reaches it');
DELETE FROM auth.users WHERE id = tap.id(13);
SELECT is((SELECT count(*) FROM user_events WHERE user_id = tap.id(13) AND event_type = 'auth_user_deleted'), 1::bigint, '… a deletion is written down');
SELECT is((SELECT string_agg(DISTINCT action, ',') FROM authsync.setup()), 'kept', '… setup() finds its own again');
DROP EXTENSION authsync;
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal), 5::bigint, '… DROP EXTENSION takes ours, and leaves theirs');

SELECT * FROM finish();
