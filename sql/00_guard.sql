\echo Use "CREATE EXTENSION authsync" to load this file. \quit

-- The names of the face are what people and their programs call, so they are
-- never taken over and never created conditionally: if one is taken, stop
-- before anything is made and say both ways out.
DO $guard$
DECLARE
    face      CONSTANT pg_catalog.oid := pg_catalog.to_regnamespace('@extschema@');
    face_name CONSTANT pg_catalog.text := (SELECT nspname FROM pg_catalog.pg_namespace WHERE oid = face);
    relations CONSTANT pg_catalog.text[] := ARRAY[
        'user_events', 'user_events_pkey', 'user_events_user_id_idx', 'user_events_created_at_idx',
        'signup_audit_summary', 'auth_profile_mismatch'];
    calls     CONSTANT pg_catalog.text[] := ARRAY[
        'diagnose_auth_profile_consistency', 'get_auth_profile_mismatches', 'check_recent_signup_issues',
        'get_user_signup_events', 'monitor_signup_health', 'verify_profile_completeness',
        'backfill_user_profile', 'backfill_all_missing_profiles', 'backfill_missing_profiles',
        'ensure_profile_exists', 'resync_profiles', 'track_user_event', 'get_registration_stats'];
    taken     pg_catalog.text;
    renames   pg_catalog.text;
BEGIN
    IF face_name IN ('auth', 'pg_catalog') THEN
        RAISE EXCEPTION 'authsync cannot live in schema "%"', face_name
            USING ERRCODE = 'object_not_in_prerequisite_state',
                  DETAIL = 'That schema belongs to the auth server or to PostgreSQL itself.',
                  HINT = 'CREATE EXTENSION authsync SCHEMA public;';
    END IF;

    SELECT pg_catalog.string_agg(t.name, ', ' ORDER BY t.name), pg_catalog.string_agg(t.rename, ' ' ORDER BY t.name)
      INTO taken, renames
      FROM (SELECT c.relname::pg_catalog.text AS name,
                   pg_catalog.format('ALTER %s %I.%I RENAME TO %I;',
                       CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
                            WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' WHEN 'f' THEN 'FOREIGN TABLE' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END,
                       face_name, c.relname, c.relname || '_before_authsync') AS rename
              FROM pg_catalog.pg_class AS c
             WHERE c.relnamespace = face AND c.relname = ANY (relations)
            UNION ALL
            SELECT t.typname, pg_catalog.format('ALTER TYPE %I.%I RENAME TO %I;', face_name, t.typname, t.typname || '_before_authsync')
              FROM pg_catalog.pg_type AS t
             WHERE t.typnamespace = face AND t.typname = ANY (relations) AND t.typrelid = 0
            UNION ALL
            SELECT pg_catalog.format('%s(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),
                   pg_catalog.format('ALTER ROUTINE %I.%I(%s) RENAME TO %I;', face_name, p.proname,
                       pg_catalog.pg_get_function_identity_arguments(p.oid), p.proname || '_before_authsync')
              FROM pg_catalog.pg_proc AS p
             WHERE p.pronamespace = face AND p.proname = ANY (calls)) AS t;

    IF taken IS NOT NULL THEN
        RAISE EXCEPTION 'names that authsync needs are taken in schema "%"', face_name
            USING ERRCODE = 'duplicate_object',
                  DETAIL = pg_catalog.format('Taken: %s.', taken),
                  HINT = pg_catalog.format('Either CREATE EXTENSION authsync SCHEMA other; or make room first: %s', renames);
    END IF;
END
$guard$;
