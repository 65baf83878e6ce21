-- Rules over all objects of the extension, so that a new one cannot slip through. Supabase's default privileges are in place,
-- and the project's owner and a stranger have default privileges of their own.
\set without_authsync yes
\i test/fixture/contract.sql
ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon, authenticated, dashboard_user;
ALTER DEFAULT PRIVILEGES GRANT ALL ON FUNCTIONS TO anon, authenticated, dashboard_user;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO anon, authenticated, dashboard_user;
ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO anon, authenticated, dashboard_user;
ALTER DEFAULT PRIVILEGES GRANT ALL ON TYPES TO anon, authenticated, dashboard_user;
CREATE EXTENSION authsync SCHEMA public;
SELECT plan(79);

CREATE VIEW tap.members AS
    SELECT classid, objid FROM pg_depend WHERE refclassid = 'pg_extension'::regclass AND deptype = 'e'
       AND refobjid = (SELECT oid FROM pg_extension WHERE extname = 'authsync');
CREATE VIEW tap.functions AS SELECT p.*, p.oid::regprocedure::text AS name FROM pg_proc AS p WHERE oid IN (SELECT objid FROM tap.members WHERE classid = 'pg_proc'::regclass);
-- Tables, views, and the sequences and indexes that come with them.
CREATE VIEW tap.relations AS SELECT c.*, c.oid::regclass::text AS name FROM pg_class AS c
    WHERE oid IN (SELECT objid FROM tap.members WHERE classid = 'pg_class'::regclass)
       OR relkind = 'S' AND oid IN (SELECT objid FROM pg_depend WHERE classid = 'pg_class'::regclass AND refclassid = 'pg_class'::regclass
                                       AND refobjid IN (SELECT objid FROM tap.members WHERE classid = 'pg_class'::regclass));

SELECT cmp_ok((SELECT count(*) FROM tap.functions), '>', 20::bigint, 'the functions are found');
SELECT cmp_ok((SELECT count(*) FROM tap.relations), '>', 7::bigint, 'the relations are found');
SELECT is((SELECT string_agg(oid::regclass::text, ', ') FROM pg_class WHERE relnamespace = 'authsync'::regnamespace AND relkind IN ('r', 'v', 'm', 'S', 'f', 'p') AND oid NOT IN (SELECT oid FROM tap.relations)),
    NULL, 'all relations of schema authsync belong to the extension');
SELECT is((SELECT string_agg(oid::regprocedure::text, ', ') FROM pg_proc WHERE pronamespace = 'authsync'::regnamespace AND oid NOT IN (SELECT oid FROM tap.functions)), NULL, '… and all functions');

-- Rights: the owner, and service_role as operator. Nobody else, whatever the default privileges say.
CREATE FUNCTION tap.holders(acl aclitem[]) RETURNS TABLE (holder text, privilege text) LANGUAGE sql AS
    $$ SELECT CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END, privilege_type FROM aclexplode(acl) $$;
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', name, holder, privilege), ', ') FROM tap.functions, tap.holders(coalesce(proacl, acldefault('f', proowner)))
            WHERE holder NOT IN (proowner::regrole::text, 'service_role') AND (name, holder, privilege) <> ('authsync.uid()', 'PUBLIC', 'EXECUTE')),
    NULL, 'EXECUTE for nobody, save uid() for PUBLIC');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE has_function_privilege(role, oid, 'EXECUTE') AND name <> 'authsync.uid()'), NULL, '… nor for ' || role)
  FROM unnest(ARRAY['anon', 'authenticated', 'authenticator', 'dashboard_user', 'supabase_auth_admin']) AS role WHERE role <> 'authenticator';
SELECT is((SELECT string_agg(DISTINCT concat_ws(' ', name, holder, privilege), ', ') FROM tap.relations, tap.holders(coalesce(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)))
            WHERE holder NOT IN (relowner::regrole::text, 'service_role')), NULL, 'no privilege on a table, view or sequence');
SELECT is((SELECT string_agg(attrelid::regclass || '.' || attname, ', ') FROM pg_attribute WHERE attrelid IN (SELECT oid FROM tap.relations) AND attacl IS NOT NULL), NULL, '… nor on a column');
SELECT is((SELECT string_agg(DISTINCT name || ' ' || privilege, ', ') FROM tap.relations, tap.holders(relacl) WHERE holder = 'service_role' AND privilege <> 'SELECT'), 'authsync.new_secret INSERT', 'an operator only reads tables and views, save that he may give a secret');
SELECT is((SELECT array_agg(concat_ws(' ', holder, privilege)) FROM pg_namespace, tap.holders(nspacl) WHERE nspname = 'authsync' AND holder <> nspowner::regrole::text AND holder <> 'service_role'),
    ARRAY['PUBLIC USAGE'], 'schema authsync: USAGE for all, CREATE for nobody');
SELECT is((SELECT string_agg(t.oid::regtype || ' ' || holder, ', ') FROM pg_type AS t, tap.holders(typacl) WHERE t.oid IN (SELECT objid FROM tap.members WHERE classid = 'pg_type'::regclass)
             AND holder IN ('anon', 'authenticated', 'dashboard_user')), NULL, 'no privilege on a type');

-- Functions
CREATE VIEW tap.pins_itself AS SELECT * FROM tap.functions WHERE name ~ '^authsync\.(watch_|handle_new_user\(|handle_updated_users?\(|signups_(kept|changed|deleted))';
CREATE VIEW tap.looks_nothing_up AS SELECT * FROM tap.functions WHERE name IN ('authsync.read_entry(json)', 'authsync.to_user_id(text)', 'authsync.clean_json(json)', 'authsync.uid()', 'authsync.fdw_handler()', 'authsync.fdw_validator(text[],oid)');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions
            WHERE 'search_path=pg_catalog, pg_temp' = ANY (coalesce(proconfig, '{}')) IS NOT TRUE AND prokind <> 'p'
              AND name NOT IN ('authsync.signup_entries()', 'authsync.mismatch_entries()') AND oid NOT IN (SELECT oid FROM tap.pins_itself UNION SELECT oid FROM tap.looks_nothing_up)), NULL,
    'search_path is pinned to pg_catalog, pg_temp, save in inlined bodies, procedures that commit, triggers that pin it where they run SQL, and C functions that look no name up');
SELECT is((SELECT string_agg(name, ', ') FROM tap.pins_itself WHERE prosecdef), NULL, '… the triggers are no definers: they become the owner where they have to');
SELECT is((SELECT string_agg(name, ', ') FROM tap.looks_nothing_up WHERE prosecdef OR (SELECT lanname FROM pg_language WHERE oid = prolang) <> 'c'), NULL, '… the others are C, no definers');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE prokind = 'p' AND (prosecdef OR proconfig IS NOT NULL OR (SELECT lanname FROM pg_language WHERE oid = prolang) <> 'c')), NULL,
    'procedures are C, no definers, without settings: else they could not commit');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE name IN ('authsync.signup_entries()', 'authsync.mismatch_entries()')
             AND (prosecdef OR proconfig IS NOT NULL OR proisstrict OR provolatile <> 's' OR (SELECT lanname FROM pg_language WHERE oid = prolang) <> 'sql')), NULL, 'the inlined bodies can be inlined');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE proname IN ('diagnose_auth_profile_consistency', 'get_auth_profile_mismatches', 'check_recent_signup_issues', 'get_user_signup_events',
             'monitor_signup_health', 'verify_profile_completeness', 'get_registration_stats', 'lint', 'uid') AND provolatile <> 's'), NULL, 'what looks is STABLE');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE proretset AND NOT ('t' = ANY (coalesce(proargmodes, '{}')))), NULL, 'rows are RETURNS TABLE');
SELECT is((SELECT string_agg(proname, ', ') FROM (SELECT proname FROM tap.functions GROUP BY pronamespace, proname HAVING count(*) > 1) AS o), NULL, 'nothing is overloaded');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE pronargs > 0 AND pronamespace = 'public'::regnamespace AND (proargnames IS NULL OR '' = ANY (proargnames))), NULL, 'every argument of the face has a name');
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE proargdefaults IS NOT NULL AND pg_get_function_arguments(oid) ~ 'dry_run boolean DEFAULT false' AND name !~ '^authsync.setup'), NULL, 'dry_run is true by default, save in setup');

-- Comments
SELECT is((SELECT string_agg(name, ', ') FROM tap.functions WHERE obj_description(oid, 'pg_proc') IS NULL), NULL, 'every function has a comment');
SELECT is((SELECT string_agg(name, ', ') FROM tap.relations WHERE relkind IN ('r', 'v', 'm', 'f', 'p') AND obj_description(oid, 'pg_class') IS NULL), NULL, 'every table and view has one');
SELECT isnt(obj_description('authsync'::regnamespace, 'pg_namespace'), NULL, 'the schema has one');
SELECT isnt((SELECT obj_description(oid, 'pg_extension') FROM pg_extension WHERE extname = 'authsync'), NULL, 'the extension has one');

-- What pg_dump takes along: all tables but what is worth nothing elsewhere, with their sequences.
SELECT is((SELECT string_agg(tap.relations.name, ', ') FROM tap.relations, pg_extension WHERE extname = 'authsync' AND relkind IN ('r', 'p') AND NOT tap.relations.oid = ANY (extconfig) AND name <> 'authsync.progress_rows'
             AND name NOT IN ('authsync.suspects', 'authsync.departed', 'authsync.gaps', 'authsync.changes', 'authsync.arrivals', 'authsync.signups', 'authsync.bookkeeping', 'authsync.secrets')),
    NULL, 'every table is dumped, save the books, which a copy has to make for itself, and secrets');
SELECT is((SELECT string_agg(name, ', ') FROM tap.relations AS s JOIN pg_depend AS d ON d.classid = 'pg_class'::regclass AND d.objid = s.oid AND d.deptype IN ('a', 'i'), pg_extension AS e
            WHERE extname = 'authsync' AND relkind = 'S' AND d.refobjid = ANY (extconfig) AND NOT s.oid = ANY (extconfig)), NULL, '… with its sequence');
SELECT is((SELECT string_agg(attrelid::regclass || '.' || attname, ', ') FROM pg_attribute WHERE attrelid IN (SELECT oid FROM tap.relations WHERE relkind IN ('r', 'p')) AND attnum > 0
             AND atttypid IN (SELECT oid FROM pg_type WHERE typname ~ '^_?reg')), NULL, 'no table holds reg* values: pg_upgrade refuses them, a dump loses them');

-- Nothing of ours hangs on the auth server's tables or columns, nothing of the user's on us.
SELECT is((SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ') FROM pg_depend
            WHERE refclassid = 'pg_class'::regclass AND refobjid IN ('auth.users'::regclass, 'auth.audit_log_entries'::regclass) AND deptype = 'n'
              AND (classid, objid) IN (SELECT classid, objid FROM tap.members)), NULL, 'no member depends on a table of the auth server');
SELECT is((SELECT string_agg(pg_describe_object(classid, objid, objsubid), ', ') FROM pg_depend AS d WHERE refclassid = 'pg_class'::regclass AND refobjsubid > 0
              AND refobjid IN ('auth.users'::regclass, 'auth.audit_log_entries'::regclass) AND classid = 'pg_trigger'::regclass
              AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.oid = d.objid AND NOT tgisinternal)), NULL, 'no trigger depends on a column');
SELECT is((SELECT string_agg(tgname, ', ') FROM pg_trigger AS t WHERE tgfoid IN (SELECT oid FROM tap.functions) AND tgrelid NOT IN (SELECT oid FROM tap.relations)
              AND NOT EXISTS (SELECT FROM pg_depend WHERE classid = 'pg_trigger'::regclass AND objid = t.oid AND deptype = 'x')), NULL, 'every trigger on a user''s table goes with the extension');
SELECT is((SELECT string_agg(conname, ', ') FROM pg_constraint WHERE contype = 'f' AND (confrelid IN (SELECT oid FROM tap.relations) OR conrelid IN (SELECT oid FROM tap.relations))), NULL, 'no foreign key to or from us');
SELECT is((SELECT count(*) FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal AND tgfoid NOT IN (SELECT oid FROM tap.functions)), 0::bigint, 'the users have no triggers but ours');

-- Row security
SELECT is((SELECT string_agg(polname || ' ' || polcmd::text, ', ') FROM pg_policy WHERE polrelid IN (SELECT oid FROM tap.relations)), 'user_events_read r', 'one policy: reading user_events');

-- A hostile search_path fools nobody: these stand in front of pg_catalog.
SELECT tap.add_user(1, 'one@example.com'), tap.add_user(2, 'two@example.com', drift => true), tap.add_user(3, 'three@example.com', drift => true), tap.log_self(1, 'user_signedup', 'one@example.com');
CREATE SCHEMA evil;
CREATE FUNCTION evil.trap(anyelement) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.equal(uuid, uuid) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.equal(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.get(json, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.get(jsonb, text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.lower(text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.length(text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.strpos(text, text) RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.current_setting(text, boolean) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'trapped' USING ERRCODE = 'ZZ001'; END $$;
CREATE FUNCTION evil.jsonb_build_object(VARIADIC "any") RETURNS jsonb LANGUAGE internal AS 'jsonb_build_object';
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = uuid, RIGHTARG = uuid);
CREATE OPERATOR evil.= (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.<> (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.~~ (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.~ (FUNCTION = evil.equal, LEFTARG = text, RIGHTARG = text);
CREATE OPERATOR evil.->> (FUNCTION = evil.get, LEFTARG = json, RIGHTARG = text);
CREATE OPERATOR evil.->> (FUNCTION = evil.get, LEFTARG = jsonb, RIGHTARG = text);
CREATE DOMAIN evil.uuid AS pg_catalog.text;
CREATE DOMAIN evil.text AS pg_catalog.bytea;
CREATE TABLE evil.profiles (id integer);
CREATE TABLE evil.users (id integer);
CREATE FUNCTION tap.under_attack(statement pg_catalog.text) RETURNS pg_catalog.text LANGUAGE plpgsql SET search_path = evil, pg_catalog AS $$
BEGIN
    EXECUTE statement;
    RETURN '00000';
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;
SELECT is(tap.under_attack('SELECT evil.now()'), 'ZZ001', 'the traps work');
SELECT is(tap.under_attack('SELECT * FROM ' || thing), '00000', 'under attack: ' || thing)
  FROM unnest(ARRAY['public.signup_audit_summary', 'public.auth_profile_mismatch', 'public.diagnose_auth_profile_consistency()', 'public.get_auth_profile_mismatches()', 'public.check_recent_signup_issues()',
    'public.get_user_signup_events(''00000000-0000-4000-8000-000000000001'')', 'public.monitor_signup_health()', 'public.verify_profile_completeness()', 'public.get_registration_stats()',
    'authsync.lint()', 'authsync.probe()', 'authsync.setup()', 'authsync.quarantine', 'authsync.progress', 'authsync.uid()',
    'public.backfill_user_profile(''00000000-0000-4000-8000-000000000002'')', 'public.ensure_profile_exists(''00000000-0000-4000-8000-000000000002'')', 'public.backfill_all_missing_profiles(dry_run => false)',
    'public.resync_profiles(dry_run => false)', 'public.track_user_event(''00000000-0000-4000-8000-000000000001'', ''app_thing'')', 'authsync.grant_access(''service_role'', ''operator'')']) AS thing;
SELECT is(tap.under_attack($$INSERT INTO auth.users (id, email) VALUES ('00000000-0000-4000-8000-000000000009', 'nine@example.com')$$), '00000', 'under attack: a sign-up');
SELECT is(tap.under_attack($$UPDATE auth.users SET email = 'nine.new@example.com' WHERE id OPERATOR(pg_catalog.=) '00000000-0000-4000-8000-000000000009'$$), '00000', '… its change of e-mail');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(9)), 'nine.new@example.com', '… which reached the profile');
SELECT is(tap.under_attack($$DELETE FROM auth.users WHERE id OPERATOR(pg_catalog.=) '00000000-0000-4000-8000-000000000009'$$), '00000', '… and its deletion');
SELECT is(tap.under_attack($$INSERT INTO auth.audit_log_entries (id, payload) VALUES ('00000000-0000-4000-8000-000000000041', '{"action":"user_signedup","actor_id":"00000000-0000-4000-8000-000000000009"}'::pg_catalog.json)$$), '00000', 'under attack: an entry of the audit log');
SELECT is(tap.under_attack($$UPDATE auth.audit_log_entries SET ip_address = 'changed'$$), '00000', '… and its change');
SELECT is((SELECT count(*) FROM authsync.signups WHERE ip_address = 'changed'), 2::bigint, '… which the extract has');
SELECT is((SELECT count(*) FROM profiles), 3::bigint, 'the profiles are where they belong');
SELECT is((SELECT count(*) FROM public.user_events WHERE event_type = 'profile_bootstrap_error'), 0::bigint, 'nothing failed');

-- A temporary table of the name does not catch anything either.
CREATE TEMPORARY TABLE profiles (LIKE public.profiles);
CREATE TEMPORARY TABLE users (LIKE auth.users);
CREATE TEMPORARY TABLE user_events (LIKE public.user_events);
SELECT tap.add_user(10, 'ten@example.com');
SELECT is((SELECT count(*) FROM pg_temp.profiles) + (SELECT count(*) FROM pg_temp.user_events), 0::bigint, 'temporary tables catch nothing');
SELECT is((SELECT email FROM public.profiles WHERE id = tap.id(10)), 'ten@example.com', '… the profile is in the real one');

-- The views: a constant status reads one branch, a user is found by the keys.
INSERT INTO auth.users (id, email, created_at) SELECT tap.id(n), 'u' || n || '@example.com', now() FROM generate_series(1000, 4999) AS n;
ANALYZE auth.users;
ANALYZE public.profiles;
CREATE FUNCTION tap.plan_of(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE line text; plan text := '';
BEGIN
    FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || statement LOOP plan := plan || line || E'\n'; END LOOP;
    RETURN plan;
END $$;
SELECT unalike(tap.plan_of('SELECT * FROM public.auth_profile_mismatch WHERE user_id = tap.id(1234)'), '%Seq Scan on users%', 'one user: no scan of the users');
SELECT unalike(tap.plan_of('SELECT * FROM public.auth_profile_mismatch WHERE user_id = tap.id(1234)'), '%Seq Scan on profiles%', '… nor of the profiles');
SELECT alike(tap.plan_of('SELECT * FROM public.auth_profile_mismatch WHERE user_id = tap.id(1234)'), '%users_pkey%', '… but the users'' key');
SELECT alike(tap.plan_of('SELECT * FROM public.auth_profile_mismatch WHERE user_id = tap.id(1234)'), '%profiles_pkey%', '… and the profiles''');
SELECT unalike(tap.plan_of('SELECT * FROM public.auth_profile_mismatch'), '%Function Scan on mismatch_entries%', 'the body of auth_profile_mismatch is inlined');
SELECT unalike(tap.plan_of('SELECT * FROM public.signup_audit_summary'), '%Function Scan on signup_entries%', '… and that of signup_audit_summary');
SELECT cmp_ok(regexp_count, '=', 2, 'status = ''auth_only'': the users are read in one branch, or by the books; others are pruned') FROM (SELECT count(*)::integer AS regexp_count
  FROM regexp_matches(tap.plan_of($$SELECT * FROM public.auth_profile_mismatch WHERE status = 'auth_only'$$), ' on users', 'g')) AS t;
SELECT is((SELECT count(*) FROM regexp_matches(tap.plan_of($$SELECT * FROM public.auth_profile_mismatch WHERE status = 'auth_only'$$), ' on profiles', 'g')), 2::bigint, '… the profiles too');
SELECT cmp_ok((SELECT count(*)::integer FROM regexp_matches(tap.plan_of('SELECT * FROM public.auth_profile_mismatch'), ' on users', 'g')), '>', 3, '… while all of it reads them in every branch');

SELECT * FROM finish();
