-- Every function of the face called as PostgREST calls it: by name, in a transaction of its own with the claims set, as
-- service_role; what looks by GET (READ ONLY), what acts by POST. And the checks that a monitor makes of the answers.
\i test/fixture/contract.sql
SELECT plan(94);

-- rows(FUNCTION) answers an array, value(FUNCTION) what the function returns; :look and :act are the transactions.
\set look 'BEGIN ISOLATION LEVEL READ COMMITTED READ ONLY; SET LOCAL search_path = public, extensions; SET LOCAL ROLE service_role;'
\set act 'BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL search_path = public, extensions; SET LOCAL ROLE service_role;'
\set claims 'SELECT set_config(''request.jwt.claims'', ''{"role": "service_role", "iss": "supabase"}'', true) AS given, set_config(''request.method'', ''POST'', true) AS how'

SELECT tap.add_user(1, 'one@example.com', '1 minute'), tap.add_user(2, 'two@example.com', '2 minutes', drift => true),
       tap.add_user(3, 'three@example.com', '3 minutes', drift => true), tap.log_self(2, 'user_signedup', 'two@example.com', '2 minutes'),
       tap.log_self(3, 'user_signedup', 'three@example.com', '3 minutes'), tap.log_self(4, 'user_signedup', 'four@example.com', '4 minutes'),
       tap.log_self(1, 'user_signedup', 'one@example.com', '1 minute');

-- Looking
\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM diagnose_auth_profile_consistency()) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 9, 'diagnose_auth_profile_consistency: an array of nine');
SELECT is(:'data'::json -> 2 ->> 'metric', 'Auth Only (Missing Profile)', '… metric');
SELECT is(:'data'::json -> 2 ->> 'count', '2', '… count');
SELECT is(json_typeof(:'data'::json -> 2 -> 'count'), 'number', '… as a number');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM get_auth_profile_mismatches(max_rows => 100)) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 3, 'get_auth_profile_mismatches: data.length');
SELECT is(:'data'::json -> 0 ->> 'status', 'auth_only', '… status');
SELECT is(:'data'::json -> 0 ->> 'auth_email', 'two@example.com', '… newest first');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM check_recent_signup_issues(since => '10 minutes')) t \gset
COMMIT;
SELECT ok(json_array_length(:'data') > 0, 'check_recent_signup_issues: data.length > 0 where there are issues');
SELECT is((SELECT string_agg(j ->> 'issue', ' ' ORDER BY j ->> 'user_id') FROM json_array_elements(:'data') AS j), 'no_profile no_profile no_user', '… issue');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM get_user_signup_events(user_id => '00000000-0000-4000-8000-000000000001')) t \gset
COMMIT;
SELECT ok(json_array_length(:'data') >= 3, 'get_user_signup_events: entries and events');
SELECT is((SELECT array_agg(k) FROM json_object_keys(:'data'::json -> 0) AS k), ARRAY['occurred_at', 'source', 'event', 'details'], '… columns');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM monitor_signup_health(since => '1 hour')) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 1, 'monitor_signup_health: one row, in an array');
SELECT is(json_typeof(:'data'::json -> 0 -> 'health_percentage'), 'number', '… data[0].health_percentage is a number');
SELECT ok((:'data'::json -> 0 ->> 'health_percentage')::float < 100, '… data[0].health_percentage < 100');
SELECT is(:'data'::json -> 0 ->> 'health_percentage', '33.33', '… one of three, cut');
SELECT is(:'data'::json -> 0 ->> 'trigger_enabled', 'true', '… data[0].trigger_enabled');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM verify_profile_completeness()) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 3, 'verify_profile_completeness: three checks');
SELECT is(:'data'::json -> 0 ->> 'status', 'FAIL', '… the first fails');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM get_registration_stats(days => 7)) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 7, 'get_registration_stats: seven days');
SELECT is((SELECT sum((j ->> 'registrations')::int) FROM json_array_elements(:'data') AS j), 3::bigint, '… registrations');

\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM user_events ORDER BY id) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 2, 'user_events, read as a table by service_role');

-- Acting ones by GET are refused for what they are.
SELECT is(tap.state('SET TRANSACTION READ ONLY; SELECT ' || call, 'service_role'), '25006', call || ' in a READ ONLY transaction')
  FROM unnest(ARRAY[$$backfill_user_profile(user_id => tap.id(2))$$, 'ensure_profile_exists(user_id => tap.id(2))',
                    $$track_user_event(user_id => tap.id(1), event_type => 'app_thing')$$, 'backfill_all_missing_profiles(dry_run => false)',
                    'resync_profiles(dry_run => false)']) AS call;

-- Acting
\set data null
:act :claims \gset
SELECT backfill_all_missing_profiles(batch_size => 100, dry_run => true) AS data \gset
COMMIT;
SELECT is(:'data'::jsonb, '{"dry_run": true, "total_missing": 2, "message": "Would backfill 2 profiles"}', 'backfill_all_missing_profiles, dry');
SELECT is((SELECT count(*) FROM profiles), 1::bigint, '… which did nothing');

\set data null
:act :claims \gset
SELECT backfill_user_profile(user_id => '00000000-0000-4000-8000-000000000002', email => 'given@example.com', account_type => 'business') AS data \gset
COMMIT;
SELECT is(:'data'::jsonb, jsonb_build_object('user_id', tap.id(2), 'status', 'created', 'sqlstate', NULL, 'message', :'data'::jsonb -> 'message'), 'backfill_user_profile');
SELECT is((SELECT email || ' ' || account_type FROM profiles WHERE id = tap.id(2)), 'given@example.com business', '… with the e-mail and the account type given');
\set data null
:act :claims \gset
SELECT backfill_user_profile(user_id => '00000000-0000-4000-8000-000000000002') AS data \gset
COMMIT;
SELECT is(:'data'::jsonb ->> 'status', 'exists', '… again: exists');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(2)), 'given@example.com', '… and stays as it was');

\set data null
:act :claims \gset
SELECT resync_profiles(batch_size => 100, dry_run => false) AS data \gset
COMMIT;
SELECT is(:'data'::jsonb ->> 'successful', '1', 'resync_profiles mends the e-mail given by hand');
SELECT is((SELECT email FROM profiles WHERE id = tap.id(2)), 'two@example.com', '… which follows the user''s');

\set data null
:act :claims \gset
SELECT ensure_profile_exists(user_id => '00000000-0000-4000-8000-000000000002') AS data \gset
COMMIT;
SELECT is(:'data'::text, 'f', 'ensure_profile_exists: there is one');
\set data null
:act :claims \gset
SELECT backfill_all_missing_profiles(batch_size => 100, dry_run => false) AS data \gset
COMMIT;
SELECT is(:'data'::jsonb - 'plan_id', '{"dry_run": false, "processed": 1, "successful": 1, "failed": 0, "quarantined": 0, "remaining": 0}', 'backfill_all_missing_profiles');
SELECT is(jsonb_typeof(:'data'::jsonb -> 'plan_id'), 'number', '… with a plan_id');

\set data null
:act :claims \gset
SELECT track_user_event(user_id => '00000000-0000-4000-8000-000000000001', event_type => 'tour_finished', details => '{"step": 3}') AS data \gset
COMMIT;
SELECT is((SELECT concat_ws(' ', user_id, event_type, provider, subject, details) FROM user_events WHERE id = :data),
    concat_ws(' ', tap.id(1), 'tour_finished', 'local', tap.id(1), '{"step": 3}'), 'track_user_event returns the event''s id');

-- All is well: a monitor sees no issue.
DELETE FROM auth.audit_log_entries WHERE payload ->> 'actor_id' = tap.id(4)::text;
\set data null
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM check_recent_signup_issues()) t \gset
COMMIT;
SELECT is(json_array_length(:'data'), 0, 'no issue: data.length = 0');
:look :claims \gset
SELECT coalesce(json_agg(t), '[]') AS data FROM (SELECT * FROM monitor_signup_health()) t \gset
COMMIT;
SELECT is((:'data'::json -> 0 ->> 'health_percentage')::numeric, 100::numeric, 'health is 100');

-- Who has no business here.
SELECT is(tap.state(statement, role), '42501', role || ': ' || statement)
  FROM unnest(ARRAY['anon', 'authenticated']) AS role,
       unnest(ARRAY['SELECT * FROM diagnose_auth_profile_consistency()', 'SELECT * FROM get_auth_profile_mismatches()', 'SELECT * FROM check_recent_signup_issues()',
                    'SELECT * FROM get_user_signup_events(user_id => tap.id(1))', 'SELECT * FROM monitor_signup_health()', 'SELECT * FROM verify_profile_completeness()',
                    'SELECT * FROM get_registration_stats()', 'SELECT backfill_user_profile(user_id => tap.id(1))', 'SELECT backfill_all_missing_profiles()',
                    'CALL backfill_missing_profiles()', 'SELECT ensure_profile_exists(user_id => tap.id(1))', 'SELECT resync_profiles()',
                    $$SELECT track_user_event(user_id => tap.id(1), event_type => 'x')$$, 'SELECT * FROM user_events', 'SELECT * FROM signup_audit_summary',
                    'SELECT * FROM auth_profile_mismatch', 'SELECT * FROM authsync.quarantine', 'SELECT * FROM authsync.progress', 'SELECT * FROM authsync.plans',
                    'SELECT * FROM authsync.bindings', 'SELECT * FROM authsync.lint()', 'SELECT * FROM authsync.probe()', 'SELECT * FROM authsync.setup()',
                    'CALL authsync.maintain()', $$SELECT * FROM authsync.grant_access('anon', 'operator')$$, $$SELECT authsync.revoke_access('service_role')$$]) AS statement;
SELECT is(tap.state('SELECT authsync.uid()', role), '00000', role || ' may ask for uid()') FROM unnest(ARRAY['anon', 'authenticated']) AS role;

SELECT * FROM finish();
