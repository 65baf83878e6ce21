-- authsync.setup(): its arguments, what it says, what it refuses, who may call it.
\i test/fixture/auth_schema.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
\set ON_ERROR_STOP off
CREATE EXTENSION authsync SCHEMA public;
\set got :SQLSTATE
SET search_path = public, tap;
SELECT plan(79);

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
-- Everything of the catalogs and of authsync that a dry run must not touch, as one hash.
CREATE FUNCTION tap.image() RETURNS text LANGUAGE sql AS $$
    SELECT md5(concat_ws('|',
        (SELECT string_agg(c::text || c.xmin, ',' ORDER BY oid) FROM pg_class AS c WHERE relnamespace IN ('auth'::regnamespace, 'public'::regnamespace, 'authsync'::regnamespace) AND relkind IN ('r', 'v', 'S')),
        (SELECT string_agg(t::text, ',' ORDER BY oid) FROM pg_trigger AS t), (SELECT string_agg(p::text, ',' ORDER BY oid) FROM pg_policy AS p),
        (SELECT string_agg(md5(f::text), ',' ORDER BY oid) FROM pg_proc AS f WHERE pronamespace = 'authsync'::regnamespace),
        (SELECT string_agg(b::text, ',') FROM authsync.bindings AS b), (SELECT string_agg(a::text, ',' ORDER BY attrelid, attnum) FROM pg_attribute AS a WHERE attacl IS NOT NULL),
        (SELECT string_agg(s::text, ',' ORDER BY seqrelid) FROM pg_sequence AS s)))
$$;
CREATE FUNCTION tap.actions(VARIADIC arguments text[] DEFAULT '{}') RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    EXECUTE 'SELECT string_agg(DISTINCT action, '', '' ORDER BY action) FROM authsync.setup(' || array_to_string(arguments, ', ') || ')' INTO answer;
    RETURN answer;
END $$;
CREATE FUNCTION tap.attempt(statement text, as_role name DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE d text; h text;
BEGIN
    IF as_role IS NOT NULL THEN EXECUTE format('SET LOCAL ROLE %I', as_role); END IF;
    EXECUTE statement;
    RESET ROLE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL, h = PG_EXCEPTION_HINT;
    RETURN SQLSTATE || CASE WHEN d = '' THEN '' ELSE ' detail' END || CASE WHEN h = '' THEN '' ELSE ' hint' END;
END $$;
CREATE FUNCTION tap.ours(relation regclass) RETURNS bigint LANGUAGE sql AS
    $$ SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = tgfoid WHERE tgrelid = relation AND pronamespace = 'authsync'::regnamespace $$;

-- Signature.
SELECT is(:'got'::text, '00000', 'CREATE EXTENSION works where there is no profiles table');
SELECT is((SELECT pg_get_function_arguments('authsync.setup'::regproc)),
    'users regclass DEFAULT NULL::regclass, profiles regclass DEFAULT NULL::regclass, columns jsonb DEFAULT NULL::jsonb, mode text DEFAULT NULL::text, dry_run boolean DEFAULT false',
    'setup() takes what the contract says');
SELECT is((SELECT pg_get_function_result('authsync.setup'::regproc)), 'TABLE(step text, object text, action text, detail text)', '… and answers so');
SELECT hasnt_table('public', 'profiles', 'CREATE EXTENSION makes no profiles table');

-- A dry run on a database without profiles.
SELECT tap.image() AS before \gset
SELECT is((SELECT array_agg(DISTINCT split_part(action, ' ', 1)) FROM authsync.setup(dry_run => true) WHERE action <> 'kept'), ARRAY['would'], 'a dry run says what it would do');
SELECT ok(EXISTS (SELECT FROM authsync.setup(dry_run => true) WHERE object ~ 'profiles' AND action = 'would create'), '… the profiles table among it');
SELECT is(tap.image(), :'before'::text, '… and changes nothing at all');
SELECT throws_ok('SELECT * FROM authsync.setup(dry_run => NULL)', '22004', NULL, 'dry_run NULL is no answer');
SELECT is(tap.image(), :'before'::text, '… nor a change');

-- For real; twice.
SELECT * FROM authsync.setup(dry_run => true) \g /dev/null
CREATE TEMP TABLE told AS SELECT * FROM authsync.setup();
SELECT ok(EXISTS (SELECT FROM told WHERE object ~ 'profiles' AND action = 'created'), 'setup() makes the profiles table');
SELECT is((SELECT count(*) FROM told WHERE step = 'trigger' AND action = 'created' OR step = 'trigger' AND action = 'kept'), tap.ours('auth.users') + tap.ours('public.profiles') + tap.ours('auth.audit_log_entries'), '… and lists every trigger');
SELECT is(tap.actions(), 'kept', 'a second call keeps everything');
SELECT tap.image() AS before \gset
SELECT is(tap.actions(), 'kept', '… and a third');
SELECT is(tap.image(), :'before'::text, '… without a trace');
SELECT is(tap.actions('dry_run => true'), 'kept', 'a dry run has nothing to do');
SELECT is((SELECT count(*) FROM pg_class WHERE relname = 'profiles' AND relnamespace = 'public'::regnamespace), 1::bigint, '… one table');

-- The default profiles table.
SELECT columns_are('public', 'profiles', ARRAY['id', 'email', 'display_name', 'account_type', 'onboarding_completed', 'industry', 'job_title', 'email_consent', 'avatar_url', 'created_at', 'updated_at']);
SELECT results_eq($$ SELECT attname::text COLLATE "default", format_type(atttypid, atttypmod), attnotnull, pg_get_expr(adbin, adrelid) COLLATE "default" FROM pg_attribute LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
      WHERE attrelid = 'public.profiles'::regclass AND attnum > 0 AND attname NOT IN ('created_at', 'updated_at') ORDER BY attnum $$,
    $$ VALUES ('id', 'uuid', true, NULL), ('email', 'text', false, NULL), ('display_name', 'text', false, NULL), ('account_type', 'text', true, '''individual''::text'),
       ('onboarding_completed', 'boolean', true, 'false'), ('industry', 'text', false, NULL), ('job_title', 'text', false, NULL), ('email_consent', 'boolean', true, 'false'), ('avatar_url', 'text', false, NULL) $$,
    'the default profiles table: columns, types, NOT NULL, defaults, in order');
SELECT results_eq($$ SELECT attname::text COLLATE "default", format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = 'public.profiles'::regclass AND attname IN ('created_at', 'updated_at') ORDER BY attnum $$,
    $$ VALUES ('created_at', 'timestamp with time zone'), ('updated_at', 'timestamp with time zone') $$, '… and the two times');
SELECT col_is_pk('public', 'profiles', 'id', '… primary key id');
SELECT is((SELECT confdeltype::text || ' ' || confrelid::regclass FROM pg_constraint WHERE conrelid = 'public.profiles'::regclass AND contype = 'f'), 'c auth.users', '… foreign key to the users, ON DELETE CASCADE');
SELECT table_owner_is('public', 'profiles', current_user, '… owned by its caller');
SELECT ok((SELECT relrowsecurity FROM pg_class WHERE oid = 'public.profiles'::regclass), '… row security on');
SELECT policies_are('public', 'profiles', ARRAY['profiles_select_own', 'profiles_update_own']);
SELECT policy_roles_are('public', 'profiles', 'profiles_select_own', ARRAY['authenticated']);
SELECT policy_roles_are('public', 'profiles', 'profiles_update_own', ARRAY['authenticated']);
SELECT policy_cmd_is('public'::name, 'profiles'::name, 'profiles_select_own'::name, 'select'::text);
SELECT policy_cmd_is('public'::name, 'profiles'::name, 'profiles_update_own'::name, 'update'::text);
SELECT is((SELECT count(*) FROM pg_depend AS d JOIN pg_proc AS p ON d.refobjid = p.oid AND d.refclassid = 'pg_proc'::regclass JOIN pg_policy AS l ON l.oid = d.objid AND l.polrelid = 'public.profiles'::regclass WHERE d.classid = 'pg_policy'::regclass AND pronamespace IN ('authsync'::regnamespace, 'public'::regnamespace)), 0::bigint, '… no policy hangs on the extension');
SELECT table_privs_are('public', 'profiles', 'authenticated', ARRAY['SELECT']);
SELECT is((SELECT array_agg(attname::text ORDER BY attname) FROM pg_attribute WHERE attrelid = 'public.profiles'::regclass AND attnum > 0 AND has_column_privilege('authenticated', attrelid, attnum, 'UPDATE')),
    ARRAY['avatar_url', 'display_name', 'email_consent', 'industry', 'job_title', 'onboarding_completed'], '… authenticated may update what a user may write: not id, email, account_type, times');
SELECT table_privs_are('public', 'profiles', 'anon', '{}'::text[]);
SELECT is((SELECT count(*) FROM pg_attribute WHERE attrelid = 'public.profiles'::regclass AND attnum > 0 AND has_column_privilege('anon', attrelid, attnum, 'SELECT, INSERT, UPDATE, REFERENCES')), 0::bigint, '… nor anything for anon on a column');
SELECT table_privs_are('public', 'profiles', 'service_role', ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']);
SELECT is((SELECT count(*) FROM pg_depend WHERE objid = 'public.profiles'::regclass AND refclassid = 'pg_extension'::regclass), 0::bigint, '… an ordinary table, no member of the extension');
-- It works for those it is for.
INSERT INTO auth.users (id, email, created_at) VALUES (tap.id(1), 'u1@example.com', now()), (tap.id(2), 'u2@example.com', now());
SELECT is((SELECT count(*) FROM profiles), 2::bigint, 'sign-ups make profiles in it');
BEGIN;
SELECT set_config('request.jwt.claims', json_build_object('sub', tap.id(1), 'role', 'authenticated')::text, true) \g /dev/null
SET LOCAL ROLE authenticated;
SELECT string_agg(email, ' ') AS seen FROM public.profiles \gset
UPDATE public.profiles SET display_name = 'Me';
RESET ROLE;
SELECT is(:'seen'::text, 'u1@example.com', 'a user sees his own profile and no other');
SELECT is((SELECT string_agg(email, ' ') FROM profiles WHERE display_name = 'Me'), 'u1@example.com', '… and changes it and no other');
SELECT is(tap.attempt($$ UPDATE public.profiles SET account_type = 'admin' $$, 'authenticated'), '42501', '… but not what grants something');
SELECT is(tap.attempt($$ INSERT INTO public.profiles (id) VALUES (gen_random_uuid()) $$, 'authenticated'), '42501', '… nor makes new ones');
SELECT is(tap.attempt($$ DELETE FROM public.profiles $$, 'authenticated'), '42501', '… nor deletes');
SELECT is(tap.attempt($$ SELECT FROM public.profiles $$, 'anon'), '42501', 'anon sees nothing');
ROLLBACK;
DELETE FROM auth.users WHERE id = tap.id(2);
SELECT is((SELECT count(*) FROM profiles), 1::bigint, 'a deleted user''s profile goes by the foreign key');
BEGIN;
UPDATE profiles SET display_name = 'x' WHERE id = tap.id(1);
DROP EXTENSION authsync;
SELECT is((SELECT count(*) FROM public.profiles), 1::bigint, 'DROP EXTENSION without CASCADE leaves the table and its rows');
INSERT INTO auth.users (id, email) VALUES (tap.id(3), 'u3@example.com');
UPDATE public.profiles SET display_name = 'y';
SELECT pass('… and the database working');
ROLLBACK;

-- mode and columns: said once, kept.
SELECT is((SELECT action || ' ' || object FROM authsync.setup(mode => 'strict') WHERE step = 'mode'), 'changed strict', 'mode is changed');
SELECT is((SELECT action || ' ' || object FROM authsync.setup() WHERE step = 'mode'), 'kept strict', '… and kept');
SELECT is((SELECT action || ' ' || object FROM authsync.setup(mode => 'safe', dry_run => true) WHERE step = 'mode'), 'would change safe', '… a dry run says would change');
SELECT is((SELECT action || ' ' || object FROM authsync.setup() WHERE step = 'mode'), 'kept strict', '… and does not');
SELECT is(tap.actions($$mode => 'safe'$$), 'changed, kept', '… back again');
SELECT tap.image() AS before \gset
SELECT results_eq($$ SELECT action FROM authsync.setup(columns => '{"industry": {"from": "user_metadata.work.branch", "guard": true}}', dry_run => true) WHERE object ~ 'industry' $$,
    $$ VALUES ('would change') $$, 'a mapping: a dry run names the column');
SELECT ok(EXISTS (SELECT FROM authsync.setup(columns => '{"industry": {"from": "user_metadata.work.branch", "guard": true}}', dry_run => true) WHERE step = 'trigger' AND action = 'would create'), '… and the guard''s trigger');
SELECT is(tap.image(), :'before'::text, '… and changes nothing');
SELECT results_eq($$ SELECT object FROM authsync.setup(columns => '{"industry": {"from": "user_metadata.work.branch"}}') WHERE step = 'column' AND action <> 'kept' $$,
    $$ VALUES ('public.profiles.industry') $$, 'for real: that column is changed, the others kept');
SELECT is(tap.actions(), 'kept', '… and stays so');
SELECT is(tap.actions($$columns => '{"industry": {"from": "user_metadata.work.branch"}}'$$), 'kept', '… said again, too');
INSERT INTO auth.users (id, email, raw_user_meta_data) VALUES (tap.id(4), 'u4@example.com', '{"work": {"branch": "music"}, "industry": "wrong"}');
SELECT is((SELECT industry FROM profiles WHERE id = tap.id(4)), 'music', '… and counts');

-- What it refuses, with a reason and a way out.
SELECT tap.image() AS before \gset
CREATE VIEW some_view AS SELECT id, email FROM auth.users;
CREATE MATERIALIZED VIEW some_matview AS SELECT id FROM auth.users;
CREATE SEQUENCE some_sequence;
CREATE TEMP TABLE some_temp (id uuid PRIMARY KEY, email text);
CREATE TYPE some_type AS (id uuid);
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'pg_catalog.pg_class') $$), '^(42501|42809|22023|55000|0A000)', 'profiles: a catalog is refused');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'information_schema.sql_parts') $$), '^(42501|42809|22023|55000|0A000)', '… information_schema');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'public.user_events') $$), '^(42501|42809|22023|55000|0A000)', '… a member of an extension');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'some_temp') $$), '^(42501|42809|22023|55000|0A000|42P16)', '… a temporary table');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'some_view') $$), '^(42809|0A000|22023)', '… a view');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'some_matview') $$), '^(42809|0A000|22023)', '… a materialized view');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'some_sequence') $$), '^(42809|0A000|22023)', '… a sequence');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 'some_temp') $$), '^(42501|42809|22023|55000|0A000|42P16)', 'users: a temporary table');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 'pg_catalog.pg_authid') $$), '^(42501|42809|22023|55000|0A000)', '… a catalog');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 'auth.users', profiles => 'auth.users') $$), '^(42809|22023|42P17|0A000)', 'users and profiles that are one table');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(mode => 'SAFE ') $$), '^22023.* hint$', 'a mode that there is not, with a hint');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 99999999::oid::regclass) $$), '^(42P01|42704)', 'a table that there is not');
DROP VIEW some_view; DROP MATERIALIZED VIEW some_matview; DROP SEQUENCE some_sequence; DROP TYPE some_type;
SELECT is(tap.image(), :'before'::text, 'none of these changed anything');

-- Who may: profiles by ownership or membership, users by TRIGGER and SELECT, on top of being operator.
CREATE ROLE "tap; owner";
CREATE ROLE "tap member" IN ROLE "tap; owner";
CREATE SCHEMA shop AUTHORIZATION "tap; owner";
SELECT count(*) FROM authsync.grant_access('tap; owner', 'operator') AS a, authsync.grant_access('tap member', 'operator') AS b \g /dev/null
GRANT USAGE ON SCHEMA auth TO "tap; owner";
SET ROLE "tap; owner";
CREATE TABLE shop.profiles (id uuid PRIMARY KEY, email text);
RESET ROLE;
SELECT is(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'shop.profiles', columns => '{}') $$, 'anon'), '42501', 'anon may not even call it');
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 'auth.users', profiles => 'shop.profiles', columns => '{}') $$, 'tap; owner'), '^42501', 'an operator without TRIGGER and SELECT on the users may not');
GRANT SELECT ON auth.users TO "tap; owner";
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(users => 'auth.users', profiles => 'shop.profiles', columns => '{}') $$, 'tap; owner'), '^42501', '… SELECT alone is not enough');
GRANT TRIGGER ON auth.users TO "tap; owner";
SELECT matches(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'public.profiles') $$, 'tap; owner'), '^42501', '… nor are both for a profiles table of another');
SELECT is(tap.attempt($$ SELECT * FROM authsync.setup(users => 'auth.users', profiles => 'shop.profiles', columns => '{}') $$, 'tap; owner'), 'done', '… for his own they are');
INSERT INTO auth.users (id, email) VALUES (tap.id(5), 'u5@example.com');
SELECT is((SELECT count(*) FROM shop.profiles), 1::bigint, '… and it works');
SELECT is(tap.ours('public.profiles'), 0::bigint, '… nothing of ours is left on the old table');
SELECT is(tap.attempt($$ SELECT * FROM authsync.setup(profiles => 'shop.profiles', mode => 'strict') $$, 'tap member'), 'done', 'a member of the owner may too');
SELECT count(*) FROM authsync.revoke_access('tap; owner') AS a, authsync.revoke_access('tap member') AS b \g /dev/null
SELECT is(tap.attempt($$ SELECT * FROM authsync.setup() $$, 'tap; owner'), '42501', 'he who is let out, no more');
SELECT * FROM authsync.setup(profiles => 'public.profiles') \g /dev/null
SELECT * FROM finish();
DROP OWNED BY "tap; owner" CASCADE;
DROP ROLE "tap member", "tap; owner";
