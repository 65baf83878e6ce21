-- Diagnostics in plain views and functions, over the audit log as it is: json, and nothing in it indexed.

CREATE VIEW app.signups AS
SELECT DISTINCT coalesce(e.payload -> 'traits' ->> 'user_id', e.payload ->> 'actor_id')::uuid AS user_id,
       coalesce(e.payload -> 'traits' ->> 'user_email', e.payload ->> 'actor_username') AS email, e.payload ->> 'action' AS action, e.created_at
  FROM auth.audit_log_entries AS e
 WHERE e.payload ->> 'action' IN ('user_signedup', 'user_invited', 'user_confirmation_requested');

CREATE VIEW app.mismatches AS
SELECT s.user_id, s.email AS audit_email, u.email AS auth_email, p.email AS profile_email, s.created_at AS signed_up_at,
       u.created_at AS user_created_at, p.created_at AS profile_created_at,
       CASE WHEN u.id IS NOT NULL AND p.id IS NOT NULL THEN 'healthy' WHEN u.id IS NOT NULL THEN 'auth_only' ELSE 'audit_only' END AS status
  FROM app.signups AS s LEFT JOIN auth.users AS u ON u.id = s.user_id LEFT JOIN public.profiles AS p ON p.id = s.user_id
 ORDER BY s.created_at DESC;

CREATE FUNCTION app.list_mismatches(max_rows integer) RETURNS SETOF app.mismatches LANGUAGE sql STABLE AS $$
    SELECT * FROM app.mismatches AS m WHERE m.status IN ('auth_only', 'audit_only') ORDER BY m.signed_up_at DESC LIMIT max_rows
$$;

-- Each figure its own question, as it grows over time.
CREATE FUNCTION app.diagnose() RETURNS TABLE (metric text, n bigint) LANGUAGE sql STABLE AS $$
    SELECT 'sign-ups', count(*) FROM app.signups UNION ALL
    SELECT 'healthy', count(*) FROM app.mismatches AS m WHERE m.status = 'healthy' UNION ALL
    SELECT 'auth only', count(*) FROM app.mismatches AS m WHERE m.status = 'auth_only' UNION ALL
    SELECT 'audit only', count(*) FROM app.mismatches AS m WHERE m.status = 'audit_only' UNION ALL
    SELECT 'users', count(*) FROM auth.users UNION ALL
    SELECT 'profiles', count(*) FROM public.profiles UNION ALL
    SELECT 'without profile', count(*) FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL
$$;

-- The same from one pass over the audit log and one join of users and profiles.
CREATE FUNCTION app.diagnose_in_one_pass() RETURNS TABLE (metric text, n bigint) LANGUAGE sql STABLE AS $$
    WITH log AS MATERIALIZED (
        SELECT count(*) AS entries, count(*) FILTER (WHERE m.status = 'healthy') AS healthy,
               count(*) FILTER (WHERE m.status = 'auth_only') AS auth_only, count(*) FILTER (WHERE m.status = 'audit_only') AS audit_only
          FROM app.mismatches AS m),
    people AS MATERIALIZED (
        SELECT count(u.id) AS users, count(p.id) AS profiles, count(*) FILTER (WHERE p.id IS NULL) AS without
          FROM auth.users AS u FULL JOIN public.profiles AS p ON p.id = u.id)
    SELECT v.* FROM log, people, LATERAL (VALUES ('sign-ups', entries), ('healthy', healthy), ('auth only', auth_only), ('audit only', audit_only),
        ('users', users), ('profiles', profiles), ('without profile', without)) AS v
$$;

CREATE FUNCTION app.verify() RETURNS TABLE (metric text, n bigint) LANGUAGE sql STABLE AS $$
    SELECT 'without profile', count(*) FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL UNION ALL
    SELECT 'without user', count(*) FROM public.profiles AS p LEFT JOIN auth.users AS u ON u.id = p.id WHERE u.id IS NULL UNION ALL
    SELECT 'e-mails differ', count(*) FROM auth.users AS u JOIN public.profiles AS p ON p.id = u.id WHERE u.email <> p.email
$$;

CREATE FUNCTION app.monitor(since interval) RETURNS TABLE (signed_up bigint, missing bigint) LANGUAGE sql STABLE AS $$
    SELECT count(*), count(*) FILTER (WHERE p.id IS NULL)
      FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE u.created_at > now() - since
$$;

CREATE FUNCTION app.recent_issues(since interval) RETURNS TABLE (user_id uuid, email text, at timestamptz) LANGUAGE sql STABLE AS $$
    SELECT m.user_id, m.audit_email, m.signed_up_at FROM app.mismatches AS m WHERE m.status <> 'healthy' AND m.signed_up_at > now() - since
$$;

CREATE FUNCTION app.history(person uuid) RETURNS TABLE (at timestamptz, what text, details text) LANGUAGE sql STABLE AS $$
    SELECT e.created_at, e.event_type, e.details::text FROM app.user_events AS e WHERE e.user_id = person
    UNION ALL
    SELECT e.created_at, e.payload ->> 'action', e.payload::text FROM auth.audit_log_entries AS e
     WHERE e.payload ->> 'action' IN ('user_signedup', 'user_invited', 'user_confirmation_requested', 'user_deleted')
       AND e.payload ->> 'actor_id' = person::text
    ORDER BY 1
$$;
