-- Names, arguments, defaults, columns and types that people's programs call, word by word.
\i test/fixture/contract.sql
SELECT plan(83);

CREATE FUNCTION tap.call(name text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(concat_ws(' ', CASE prokind WHEN 'p' THEN 'procedure' ELSE 'function' END,
                      '(' || pg_get_function_arguments(oid) || ')', CASE prokind WHEN 'f' THEN pg_get_function_result(oid) END), ' and ')
      FROM pg_proc WHERE pronamespace = (string_to_array(name, '.'))[1]::regnamespace AND proname = (string_to_array(name, '.'))[2] $$;
CREATE FUNCTION tap.columns(name regclass) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(attname || ' ' || format_type(atttypid, atttypmod), ', ' ORDER BY attnum)
      FROM pg_attribute WHERE attrelid = name AND attnum > 0 AND NOT attisdropped $$;

-- Functions
SELECT is(tap.call('public.diagnose_auth_profile_consistency'), 'function () TABLE(metric text, count bigint)', 'diagnose_auth_profile_consistency');
SELECT is(tap.call('public.get_auth_profile_mismatches'),
    'function (max_rows integer DEFAULT 100) TABLE(user_id uuid, audit_email text, auth_email text, profile_email text, status text, signed_up_at timestamp with time zone, user_created_at timestamp with time zone, profile_created_at timestamp with time zone)',
    'get_auth_profile_mismatches');
SELECT is(tap.call('public.check_recent_signup_issues'),
    'function (since interval DEFAULT ''00:10:00''::interval) TABLE(user_id uuid, email text, signed_up_at timestamp with time zone, issue text, last_error text)',
    'check_recent_signup_issues');
SELECT is(tap.call('public.get_user_signup_events'), 'function (user_id uuid) TABLE(occurred_at timestamp with time zone, source text, event text, details jsonb)', 'get_user_signup_events');
SELECT is(tap.call('public.monitor_signup_health'),
    'function (since interval DEFAULT ''01:00:00''::interval) TABLE(checked_at timestamp with time zone, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric, errors_count bigint, oldest_drift interval, trigger_enabled boolean, worker_running boolean, drift_total bigint, quarantined bigint, intents_pending bigint)',
    'monitor_signup_health');
SELECT is(tap.call('public.backfill_user_profile'), 'function (user_id uuid, email text DEFAULT NULL::text, account_type text DEFAULT NULL::text) jsonb', 'backfill_user_profile');
SELECT is(tap.call('public.backfill_all_missing_profiles'), 'function (batch_size integer DEFAULT 100, dry_run boolean DEFAULT true) jsonb', 'backfill_all_missing_profiles');
SELECT is(tap.call('public.backfill_missing_profiles'),
    'procedure (IN batch_size integer DEFAULT 1000, IN max_users integer DEFAULT NULL::integer, INOUT result jsonb DEFAULT NULL::jsonb)', 'backfill_missing_profiles');
SELECT is(tap.call('public.verify_profile_completeness'), 'function () TABLE(check_name text, status text, count bigint, details text)', 'verify_profile_completeness');
SELECT is(tap.call('public.ensure_profile_exists'), 'function (user_id uuid) boolean', 'ensure_profile_exists');
SELECT is(tap.call('public.resync_profiles'), 'function (batch_size integer DEFAULT 100, dry_run boolean DEFAULT true) jsonb', 'resync_profiles');
SELECT is(tap.call('public.track_user_event'), 'function (user_id uuid, event_type text, details jsonb DEFAULT ''{}''::jsonb) bigint', 'track_user_event');
SELECT is(tap.call('public.get_registration_stats'), 'function (days integer DEFAULT 30) TABLE(date date, registrations bigint)', 'get_registration_stats');
SELECT is(tap.call('authsync.handle_new_user'), 'function () trigger', 'authsync.handle_new_user');
SELECT is(tap.call('authsync.setup'),
    'function (users regclass DEFAULT NULL::regclass, profiles regclass DEFAULT NULL::regclass, columns jsonb DEFAULT NULL::jsonb, mode text DEFAULT NULL::text, dry_run boolean DEFAULT false) TABLE(step text, object text, action text, detail text)',
    'authsync.setup');
SELECT is(tap.call('authsync.lint'), 'function () TABLE(severity text, check_name text, object text, detail text, hint text)', 'authsync.lint');
SELECT is(tap.call('authsync.probe'), 'function () TABLE(ok boolean, sqlstate text, message text, detail text, hint text, duration_ms numeric)', 'authsync.probe');
SELECT is(tap.call('authsync.maintain'), 'procedure ()', 'authsync.maintain');
SELECT is(tap.call('authsync.uid'), 'function () uuid', 'authsync.uid');
SELECT is(tap.call('authsync.grant_access'), 'function (role name, level text) TABLE(object text, missing_grant text)', 'authsync.grant_access');
SELECT matches(tap.call('authsync.revoke_access'), '^function \(role name\) ', 'authsync.revoke_access');

SELECT is((SELECT l.lanname FROM pg_proc AS p JOIN pg_language AS l ON l.oid = prolang WHERE p.oid = 'authsync.handle_new_user()'::regprocedure),
    'c', 'handle_new_user is C');

-- Tables and views
SELECT is(tap.columns('public.user_events'),
    'id bigint, user_id uuid, event_type text, provider text, subject text, details jsonb, created_at timestamp with time zone', 'user_events');
SELECT is((SELECT relkind::text FROM pg_class WHERE oid = 'public.user_events'::regclass), 'r', '… a table');
SELECT isnt((SELECT attidentity::text FROM pg_attribute WHERE attrelid = 'public.user_events'::regclass AND attname = 'id'), '', '… with an identity key');
SELECT col_is_pk('public', 'user_events', 'id', '… as its primary key');
SELECT is(tap.columns('public.signup_audit_summary'),
    'audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamp with time zone', 'signup_audit_summary');
SELECT is(tap.columns('public.auth_profile_mismatch'),
    'user_id uuid, audit_email text, auth_email text, profile_email text, status text, signed_up_at timestamp with time zone, user_created_at timestamp with time zone, profile_created_at timestamp with time zone',
    'auth_profile_mismatch');
SELECT is(tap.columns('authsync.quarantine'),
    'user_id uuid, target regclass, sqlstate text, constraint_name text, column_name text, message text, attempts integer, first_seen timestamp with time zone, next_retry timestamp with time zone',
    'authsync.quarantine');
SELECT is(tap.columns('authsync.progress'), 'pid integer, command text, phase text, done bigint, total bigint, started_at timestamp with time zone, rate numeric', 'authsync.progress');
SELECT is(relkind::text, 'v', oid::regclass || ' is a view') FROM pg_class
 WHERE oid IN ('public.signup_audit_summary'::regclass, 'public.auth_profile_mismatch'::regclass, 'authsync.quarantine'::regclass, 'authsync.progress'::regclass);

-- Triggers
SELECT is((SELECT tgfoid::regprocedure::text || CASE tgtype & 1 WHEN 0 THEN ' statement' ELSE ' row' END
             FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND tgname = 'on_auth_user_created'),
    'authsync.handle_new_user() statement', 'trigger on_auth_user_created calls handle_new_user, once a statement');
SELECT cmp_ok((SELECT count(*)::integer FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal), '>=', 3, '… and has kin for updates and deletes');
SELECT is((SELECT string_agg(tgname, ', ') FROM pg_trigger WHERE tgrelid = 'auth.users'::regclass AND NOT tgisinternal AND (tgqual IS NOT NULL OR cardinality(tgattr::int2[]) > 0)),
    NULL, 'no trigger with WHEN or UPDATE OF: both stop the auth server''s migrations');

-- No function of the face is overloaded; what only looks is STABLE; rows are RETURNS TABLE.
SELECT is((SELECT string_agg(proname, ', ') FROM (SELECT proname FROM pg_proc AS p JOIN pg_depend AS d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
             JOIN pg_extension AS e ON d.refobjid = e.oid AND extname = 'authsync' WHERE pronamespace = 'public'::regnamespace GROUP BY 1 HAVING count(*) > 1) AS twice),
    NULL, 'nothing is overloaded');
SELECT is((SELECT provolatile::text FROM pg_proc WHERE oid = name::regproc), 's', name || ' is STABLE')
  FROM unnest(ARRAY['diagnose_auth_profile_consistency', 'get_auth_profile_mismatches', 'check_recent_signup_issues', 'get_user_signup_events',
                    'monitor_signup_health', 'verify_profile_completeness', 'get_registration_stats', 'authsync.lint', 'authsync.uid']) AS name;
SELECT is((SELECT provolatile::text FROM pg_proc WHERE oid = name::regproc), 'v', name || ' is VOLATILE')
  FROM unnest(ARRAY['backfill_user_profile', 'backfill_all_missing_profiles', 'ensure_profile_exists', 'resync_profiles', 'track_user_event',
                    'authsync.setup', 'authsync.probe', 'authsync.grant_access', 'authsync.revoke_access']) AS name;

-- The default profiles table, which setup() makes where there is none.
DROP TABLE public.profiles;
CREATE TEMPORARY TABLE steps AS SELECT * FROM authsync.setup();
SELECT is(tap.columns('public.profiles'),
    'id uuid, email text, display_name text, account_type text, onboarding_completed boolean, industry text, job_title text, email_consent boolean, avatar_url text, created_at timestamp with time zone, updated_at timestamp with time zone',
    'setup makes the default profiles table');
SELECT is((SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'public.profiles'::regclass AND attnum > 0 AND attnotnull),
    'id account_type onboarding_completed email_consent', '… NOT NULL where said');
SELECT is((SELECT string_agg(attname || '=' || pg_get_expr(adbin, adrelid), ' ' ORDER BY adnum) FROM pg_attrdef JOIN pg_attribute ON attrelid = adrelid AND attnum = adnum
            WHERE adrelid = 'public.profiles'::regclass AND attname NOT IN ('created_at', 'updated_at')),
    'account_type=''individual''::text onboarding_completed=false email_consent=false', '… with the defaults');
SELECT is((SELECT confdeltype::text || confrelid::regclass FROM pg_constraint WHERE conrelid = 'public.profiles'::regclass AND contype = 'f'), 'cauth.users', '… foreign key ON DELETE CASCADE');
SELECT col_is_pk('public', 'profiles', 'id', '… primary key id');
SELECT ok((SELECT relrowsecurity FROM pg_class WHERE oid = 'public.profiles'::regclass), '… row security');
SELECT policies_are('public', 'profiles', ARRAY['profiles_select_own', 'profiles_update_own'], '… the two policies');
SELECT is((SELECT count(*) FROM pg_policy WHERE polrelid = 'public.profiles'::regclass AND pg_get_expr(polqual, polrelid) ~ 'authsync'), 0::bigint, '… which do not need the extension');
SELECT ok(has_table_privilege('authenticated', 'public.profiles', 'SELECT') AND NOT has_table_privilege('authenticated', 'public.profiles', 'UPDATE')
      AND NOT has_table_privilege('authenticated', 'public.profiles', 'INSERT, DELETE, TRUNCATE, REFERENCES, TRIGGER'), '… authenticated: SELECT, no UPDATE of the whole');
SELECT ok(has_column_privilege('authenticated', 'public.profiles', 'display_name', 'UPDATE'), '… UPDATE of display_name');
SELECT ok(NOT has_column_privilege('authenticated', 'public.profiles', column_name, 'UPDATE'), '… not of ' || column_name)
  FROM unnest(ARRAY['id', 'email', 'account_type', 'created_at']) AS column_name;
SELECT ok(has_table_privilege('service_role', 'public.profiles', p), '… service_role: ' || p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS p;
SELECT ok(NOT has_any_column_privilege('anon', 'public.profiles', 'SELECT, INSERT, UPDATE, REFERENCES')
      AND NOT has_table_privilege('anon', 'public.profiles', 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER'), '… anon: nothing');

-- setup() is idempotent, and a dry run changes nothing.
SELECT is((SELECT count(*) FROM authsync.setup() WHERE action NOT IN ('kept')), 0::bigint, 'a second setup keeps all');
SELECT tap.add_user(1, 'one@example.com');
SELECT is((SELECT email FROM profiles), 'one@example.com', 'a sign-up reaches the new table');
SELECT set_config('request.jwt.claims', json_build_object('sub', tap.id(1), 'role', 'authenticated')::text, false) IS NOT NULL AS ok \gset
SET ROLE authenticated;
SELECT count(*) AS mine FROM profiles \gset
SELECT authsync.uid() AS me \gset
RESET ROLE;
SELECT is(:'mine'::text, '1', 'the user sees his own profile');
SELECT is(:'me'::uuid, tap.id(1), 'uid() is the subject of the claims');
SELECT set_config('request.jwt.claims', json_build_object('sub', tap.id(2))::text, false) IS NOT NULL AS ok \gset
SET ROLE authenticated;
SELECT count(*) AS mine FROM profiles \gset
RESET ROLE;
SELECT is(:'mine'::text, '0', '… and nobody else''s');
SELECT is((SELECT authsync.uid() FROM set_config('request.jwt.claims', '', false)), NULL, 'uid() without claims');
SELECT is((SELECT authsync.uid() FROM set_config('request.jwt.claims', '{"role": "anon"}', false)), NULL, 'uid() without subject');
RESET request.jwt.claims;
SELECT is(authsync.uid(), NULL, 'uid() outside a request');

SELECT * FROM finish();
