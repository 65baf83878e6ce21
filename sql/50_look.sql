-- The functions that only look. They run as the extension's owner, so that a
-- reader needs no right of its own on the tables.

CREATE OR REPLACE FUNCTION @extschema@.diagnose_auth_profile_consistency()
    RETURNS TABLE (metric text, count bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_diagnose'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.diagnose_auth_profile_consistency() IS 'counts over sign-up audit, users and profiles';

CREATE OR REPLACE FUNCTION @extschema@.get_auth_profile_mismatches(max_rows integer DEFAULT 100)
    RETURNS TABLE (user_id uuid, audit_email text, auth_email text, profile_email text, status text,
                   signed_up_at timestamptz, user_created_at timestamptz, profile_created_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_mismatches'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.get_auth_profile_mismatches(integer) IS
    'what is out of step, newest first, audit_only last; max_rows 1 to 1000000, NULL = all; else 22023';

CREATE OR REPLACE FUNCTION @extschema@.check_recent_signup_issues(since interval DEFAULT '10 minutes')
    RETURNS TABLE (user_id uuid, email text, signed_up_at timestamptz, issue text, last_error text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_recent_issues'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.check_recent_signup_issues(interval) IS
    'sign-ups within the interval that went wrong: no_profile, profile_failed, no_user, email_mismatch; no row = all good';

CREATE OR REPLACE FUNCTION @extschema@.get_user_signup_events(user_id uuid)
    RETURNS TABLE (occurred_at timestamptz, source text, event text, details jsonb)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_user_signup_events'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.get_user_signup_events(uuid) IS
    'one user''s history in time order: his sign-up and deletion entries of the audit log, and his user_events';

CREATE OR REPLACE FUNCTION @extschema@.monitor_signup_health(since interval DEFAULT '1 hour')
    RETURNS TABLE (checked_at timestamptz, recent_signups_count bigint, signups_missing_profiles bigint, health_percentage numeric,
                   errors_count bigint, oldest_drift interval, trigger_enabled boolean, worker_running boolean,
                   drift_total bigint, quarantined bigint, intents_pending bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_monitor'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.monitor_signup_health(interval) IS
    'one row for an alert: health_percentage is of the sign-ups within the interval, cut to two decimals; drift_total is of all users';

CREATE OR REPLACE FUNCTION @extschema@.verify_profile_completeness()
    RETURNS TABLE (check_name text, status text, count bigint, details text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_verify'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.verify_profile_completeness() IS 'PASS or FAIL: users without profiles, profiles without users, e-mails that differ';

CREATE OR REPLACE FUNCTION @extschema@.get_registration_stats(days integer DEFAULT 30)
    RETURNS TABLE (date date, registrations bigint)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_registration_stats'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.get_registration_stats(integer) IS 'users created a day, newest first, empty days as 0; days 1 to 1000000';

-- Called by policies for each row; it looks no name up.
CREATE OR REPLACE FUNCTION authsync.uid() RETURNS uuid
    LANGUAGE c STABLE PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_uid';
COMMENT ON FUNCTION authsync.uid() IS 'the subject of request.jwt.claims; NULL without; for policies, so everybody may call it';
