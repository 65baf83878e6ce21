-- Readers and operators: what grant_access opens, and what stays shut.
\i test/fixture/contract.sql
SELECT plan(211);

DO $$
DECLARE r text;
BEGIN
    FOREACH r IN ARRAY ARRAY['tap_reader', 'tap_operator', 'tap_outsider', 'tap_reader_bypass'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) THEN EXECUTE format('CREATE ROLE %I', r); END IF;
    END LOOP;
    ALTER ROLE tap_reader_bypass BYPASSRLS;
END $$;
GRANT USAGE ON SCHEMA public TO tap_reader, tap_operator, tap_outsider, tap_reader_bypass;

SELECT tap.add_user(1, 'one@example.com'), tap.add_user(2, 'two@example.com', drift => true), tap.log_self(1, 'user_signedup', 'one@example.com'),
       tap.log_self(3, 'user_signedup', 'three@example.com');

CREATE TABLE tap.looking AS SELECT unnest(ARRAY['diagnose_auth_profile_consistency()', 'get_auth_profile_mismatches()', 'check_recent_signup_issues()',
    'get_user_signup_events(tap.id(1))', 'monitor_signup_health()', 'verify_profile_completeness()', 'get_registration_stats()', 'authsync.lint()',
    'user_events', 'authsync.quarantine', 'authsync.progress', 'authsync.plans']) AS thing;
CREATE TABLE tap.acting AS SELECT unnest(ARRAY['backfill_user_profile(tap.id(2))', 'backfill_all_missing_profiles()', 'backfill_all_missing_profiles(dry_run => false)',
    'ensure_profile_exists(tap.id(2))', 'resync_profiles()', 'resync_profiles(dry_run => false)', $$track_user_event(tap.id(1), 'app_thing')$$]) AS thing;
-- The views' own answers, to compare with.
CREATE FUNCTION tap.answer(role name, thing text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE whole text; back name := current_user;
BEGIN
    EXECUTE format('SET LOCAL ROLE %I', role);
    EXECUTE format('SELECT jsonb_agg(to_jsonb(t) ORDER BY to_jsonb(t))::text FROM %s AS t', thing) INTO whole;
    EXECUTE format('SET LOCAL ROLE %I', back);
    RETURN whole;
EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE;
END $$;

-- Before
SELECT is(tap.state('SELECT * FROM ' || thing, 'tap_reader'), '42501', 'not let in: ' || thing) FROM tap.looking;
SELECT is(tap.state('SELECT ' || thing, 'tap_operator'), '42501', 'not let in: ' || thing) FROM tap.acting;

-- Reader
SELECT set_eq($$SELECT pg_typeof(object)::text || pg_typeof(missing_grant) FROM authsync.grant_access('tap_reader', 'reader')$$, ARRAY['texttext'], 'a reader is told what the views lack');
SELECT ok(NOT has_schema_privilege('tap_reader', 'auth', 'USAGE'), 'a reader gets no right on schema auth');
SELECT ok(NOT has_any_column_privilege('tap_reader', 'auth.users', 'SELECT') AND NOT has_any_column_privilege('tap_reader', 'public.profiles', 'SELECT'), '… nor on users or profiles');
SELECT is(tap.state('SELECT * FROM ' || thing, 'tap_reader'), '00000', 'reader looks: ' || thing) FROM tap.looking;
SELECT is(tap.answer('tap_reader', thing), tap.answer(current_user, thing), 'reader sees all of it: ' || thing)
  FROM tap.looking WHERE thing !~ 'monitor|lint|progress';
SELECT is(tap.state('SET TRANSACTION READ ONLY; SELECT * FROM ' || thing, 'tap_reader'), '00000', 'reader looks READ ONLY: ' || thing) FROM tap.looking;
SELECT is(tap.state('SELECT ' || thing, 'tap_reader'), '42501', 'reader does not act: ' || thing) FROM tap.acting;
SELECT is(tap.state(statement, 'tap_reader'), '42501', 'reader may not: ' || statement)
  FROM unnest(ARRAY['CALL backfill_missing_profiles()', 'CALL authsync.maintain()', $$SELECT * FROM authsync.setup(mode => 'off')$$, 'SELECT * FROM authsync.probe()',
      $$SELECT * FROM authsync.grant_access('tap_reader', 'operator')$$, $$SELECT authsync.revoke_access('service_role')$$,
      $$INSERT INTO user_events (user_id, event_type) VALUES (tap.id(1), 'x')$$, $$UPDATE user_events SET event_type = 'x'$$, 'DELETE FROM user_events', 'TRUNCATE user_events',
      $$UPDATE authsync.bindings SET mode = 'off'$$, 'DELETE FROM authsync.quarantine_rows', $$DELETE FROM authsync.plans$$]) AS statement;

-- The views read as their caller: 42501 until the GRANTs are there, and never a part of the answer.
SELECT is(tap.state('SELECT * FROM ' || name, 'tap_reader'), '42501', 'reader without rights on the tables: ' || name) FROM unnest(ARRAY['signup_audit_summary', 'auth_profile_mismatch']) AS name;
SELECT is(tap.state('SELECT count(*) FROM ' || name, 'tap_reader'), '42501', '… nor count ' || name) FROM unnest(ARRAY['signup_audit_summary', 'auth_profile_mismatch']) AS name;
CREATE TABLE tap.missing AS SELECT * FROM authsync.grant_access('tap_reader_bypass', 'reader');
SELECT cmp_ok((SELECT count(*) FROM tap.missing WHERE missing_grant ILIKE 'GRANT %'), '>', 0::bigint, 'grant_access lists what is missing');
SELECT is(tap.state('SELECT * FROM auth_profile_mismatch', 'tap_reader_bypass'), '42501', 'BYPASSRLS alone is no right');
SELECT is((SELECT string_agg(missing_grant, ' ') FROM tap.missing WHERE tap.state(missing_grant) <> '00000'), NULL, 'each line can be pasted');
SELECT string_agg(rtrim(missing_grant, ';'), ';') AS paste FROM tap.missing \gset
:paste ;
SELECT is(tap.answer('tap_reader_bypass', name), tap.answer(current_user, name), 'with what was listed, whole answers: ' || name) FROM unnest(ARRAY['signup_audit_summary', 'auth_profile_mismatch']) AS name;
SELECT is((SELECT count(*) FROM authsync.grant_access('tap_reader_bypass', 'reader')), 0::bigint, '… and nothing is missing any more');
SELECT ok(NOT has_column_privilege('tap_reader_bypass', 'auth.users', 'encrypted_password', 'SELECT'), '… without a look at passwords');
SELECT is((SELECT count(*) FROM tap.missing WHERE missing_grant ~* '\m(INSERT|UPDATE|DELETE|ALL)\M'), 0::bigint, '… nor any right to write');
-- Row security in his way.
SELECT replace(:'paste', 'tap_reader_bypass', 'tap_reader') AS paste \gset
:paste ;
SELECT is(tap.state('SELECT * FROM ' || name, 'tap_reader'), '42501', 'all rights, but row security: ' || name) FROM unnest(ARRAY['signup_audit_summary', 'auth_profile_mismatch']) AS name;
SELECT is(tap.state(format('SELECT * FROM auth_profile_mismatch WHERE status = %L', status), 'tap_reader'), '42501', '… ' || status) FROM unnest(ARRAY['healthy', 'auth_only', 'profile_only', 'email_mismatch', 'audit_only']) AS status;
SELECT is(tap.state(statement, 'tap_reader'), '42501', '… ' || statement) FROM unnest(ARRAY[$$SELECT * FROM auth_profile_mismatch WHERE user_id = tap.id(1)$$, 'SELECT * FROM auth_profile_mismatch LIMIT 1',
    'SELECT count(*) FROM auth_profile_mismatch', 'SELECT EXISTS (SELECT FROM auth_profile_mismatch)', $$SELECT * FROM auth_profile_mismatch WHERE status <> 'healthy' ORDER BY user_created_at DESC LIMIT 5$$,
    $$SELECT status FROM auth_profile_mismatch GROUP BY status$$, $$SELECT * FROM auth_profile_mismatch WHERE profile_email = 'one@example.com'$$, $$SELECT * FROM auth_profile_mismatch WHERE auth_email IS NULL$$,
    $$SELECT * FROM auth_profile_mismatch WHERE status IN ('profile_only', 'email_mismatch')$$, $$SELECT * FROM auth_profile_mismatch WHERE status = 'email_mismatch' AND user_id = tap.id(1)$$,
    $$SELECT * FROM signup_audit_summary WHERE user_id = tap.id(1)$$, $$SELECT * FROM signup_audit_summary WHERE action = 'user_invited'$$, 'SELECT count(*) FROM signup_audit_summary',
    'SELECT * FROM signup_audit_summary ORDER BY created_at DESC LIMIT 1']) AS statement;
-- One plan, two roles; and views of others' in between.
PREPARE looked AS SELECT count(*) FROM auth_profile_mismatch WHERE status = 'profile_only';
EXECUTE looked;
\set owner :SQLSTATE
SET ROLE tap_reader;
EXECUTE looked;
\set reader :SQLSTATE
RESET ROLE;
SELECT is(:'owner'::text || ' ' || :'reader'::text, '00000 42501', 'a prepared statement does not remember who was allowed');
CREATE VIEW public.around WITH (security_barrier) AS SELECT * FROM auth_profile_mismatch;
GRANT SELECT ON public.around TO tap_reader;
SELECT is(tap.state('SELECT * FROM around', 'tap_reader'), '42501', 'a view around the view lends no eyes');
SELECT is(tap.state('SET LOCAL row_security = off; SELECT * FROM auth_profile_mismatch', 'tap_reader'), '42501', 'nor does row_security = off');
CREATE POLICY a_few ON auth.users FOR SELECT TO tap_reader USING (email LIKE 'one%');
CREATE POLICY a_few ON public.profiles FOR SELECT TO tap_reader USING (true);
CREATE POLICY a_few ON auth.audit_log_entries FOR SELECT TO tap_reader USING (true);
SELECT is(tap.state('SELECT * FROM auth_profile_mismatch', 'tap_reader'), '42501', 'a policy that shows some rows is row security too');
ALTER TABLE auth.users DISABLE ROW LEVEL SECURITY;
ALTER TABLE public.profiles DISABLE ROW LEVEL SECURITY;
ALTER TABLE auth.audit_log_entries DISABLE ROW LEVEL SECURITY;
SELECT is(tap.answer('tap_reader', name), tap.answer(current_user, name), 'without row security, whole answers: ' || name) FROM unnest(ARRAY['signup_audit_summary', 'auth_profile_mismatch']) AS name;
-- One column short.
SELECT has_table_privilege('tap_reader', 'auth.users', 'SELECT') AS whole_table \gset
\if :whole_table
REVOKE SELECT ON auth.users FROM tap_reader;
\else
REVOKE SELECT (email) ON auth.users FROM tap_reader;
\endif
SELECT is(tap.state('SELECT * FROM auth_profile_mismatch', 'tap_reader'), '42501', 'one column short');
SELECT isnt((SELECT string_agg(missing_grant, ' ') FROM authsync.grant_access('tap_reader', 'reader')), NULL, '… which grant_access names');
-- The definer functions did not care about any of that.
SELECT is(tap.state('SELECT * FROM get_auth_profile_mismatches()', 'tap_reader'), '00000', 'the functions need no such right');

-- user_events
SELECT is((SELECT count(*) FROM pg_policy WHERE polrelid = 'user_events'::regclass), 1::bigint, 'user_events has one policy');
SELECT is((SELECT polcmd::text FROM pg_policy WHERE polrelid = 'user_events'::regclass), 'r', '… for SELECT');
SELECT ok((SELECT relrowsecurity FROM pg_class WHERE oid = 'user_events'::regclass), '… and row security on');
GRANT SELECT ON user_events TO tap_outsider;
SELECT is(tap.answer('tap_outsider', 'user_events'), NULL, 'the policy admits readers and operators: one with a stray privilege sees no row');
REVOKE SELECT ON user_events FROM tap_outsider;
SELECT is(tap.state('SELECT * FROM user_events', 'tap_outsider'), '42501', '… and without it 42501');

-- Operator
SELECT tap.state('SELECT 1') AS ok, count(*) AS n FROM authsync.grant_access('tap_operator', 'operator') \gset
SELECT is(tap.state('SELECT * FROM ' || thing, 'tap_operator'), '00000', 'operator looks: ' || thing) FROM tap.looking;
SELECT is(tap.state('SELECT ' || thing, 'tap_operator'), '00000', 'operator acts: ' || thing) FROM tap.acting;
SELECT is(tap.state('SELECT * FROM authsync.probe()', 'tap_operator'), '00000', 'operator probes');
SELECT is(tap.state($$INSERT INTO public.profiles (id) VALUES (tap.id(9))$$, 'tap_operator'), '42501', 'operator has no right on profiles of his own');
SELECT is(tap.state($$DELETE FROM user_events$$, 'tap_operator'), '42501', '… nor a hand in the events');
SELECT is(tap.state($$INSERT INTO authsync.bindings (users_schema, users_table) VALUES ('pg_catalog', 'pg_authid')$$, 'tap_operator'), '42501', '… nor in the binding');
SET ROLE tap_operator;
CALL backfill_missing_profiles();
\set called :SQLSTATE
CALL authsync.maintain();
\set maintained :SQLSTATE
RESET ROLE;
SELECT is(:'called'::text, '00000', 'operator calls backfill_missing_profiles');
SELECT is((SELECT count(*) FROM profiles), 2::bigint, '… which made the profile');
SELECT is(:'maintained'::text, '00000', 'operator calls maintain');
SELECT is(tap.state('SELECT * FROM diagnose_auth_profile_consistency()', 'service_role'), '00000', 'service_role is operator from the start');
SELECT is(tap.state('SELECT backfill_all_missing_profiles(dry_run => false)', 'service_role'), '00000', '… and acts');

-- Revoked
SELECT is(pg_typeof(authsync.revoke_access('tap_operator'))::text, 'boolean', 'revoke_access');
SELECT is((SELECT count(*) FROM (SELECT authsync.revoke_access('tap_reader'), authsync.revoke_access('service_role')) AS r), 1::bigint, '… of a reader and of service_role');
SELECT is(tap.state('SELECT * FROM ' || thing, role), '42501', role || ' is out again: ' || thing) FROM tap.looking, unnest(ARRAY['tap_reader', 'tap_operator', 'service_role']) AS role;
SELECT is(tap.state('SELECT ' || thing, role), '42501', role || ' is out again: ' || thing) FROM tap.acting, unnest(ARRAY['tap_operator', 'service_role']) AS role;
SELECT is(tap.state('SELECT * FROM diagnose_auth_profile_consistency()', 'tap_reader_bypass'), '00000', 'others stay in');
SELECT is(authsync.revoke_access('tap_outsider'), false, 'one who was never in');

-- Bad arguments
SELECT tap.refused(statement, wanted, statement) FROM (VALUES
    ($$SELECT * FROM authsync.grant_access(NULL, 'reader')$$, '22004'), ($$SELECT * FROM authsync.grant_access('tap_reader', NULL)$$, '22004'),
    ($$SELECT * FROM authsync.grant_access('tap_reader', 'admin')$$, '22023'), ($$SELECT * FROM authsync.grant_access('tap_reader', '')$$, '22023'),
    ($$SELECT * FROM authsync.grant_access('tap_nobody_of_that_name', 'reader')$$, '42704'), ($$SELECT authsync.revoke_access(NULL)$$, '22004'),
    ($$SELECT authsync.revoke_access('tap_nobody_of_that_name')$$, '42704')) AS t (statement, wanted);

DROP OWNED BY tap_reader, tap_operator, tap_outsider, tap_reader_bypass;
DROP ROLE tap_reader, tap_operator, tap_outsider, tap_reader_bypass;
SELECT * FROM finish();
