-- The audit log of those users, in the order of time. psql variables: users, entries (in all), gone (sign-ups of whom nothing is left).

SET synchronous_commit = off;
SET work_mem = '512MB';

INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
SELECT '00000000-0000-0000-0000-000000000000', bench.id(k, what),
       ('{"action":"' || what || '","actor_id":"' || who || '","actor_username":"person' || n
        || '@mail.example","actor_via_sso":false,"log_type":"' || kind || '","traits":{"provider":"email"}}')::json, at, '192.0.2.1'
  FROM (SELECT n AS k, n, 'user_signedup' AS what, 'team' AS kind,
               bench.id(n, CASE WHEN n % greatest(:users / greatest(:gone, 1), 1) = 0 AND n / greatest(:users / greatest(:gone, 1), 1) <= :gone
                                THEN 'gone' ELSE 'user' END) AS who,
               now() - (:users - n) * (interval '365 days' / :users) AS at
          FROM generate_series(1, :users) AS n
        UNION ALL
        SELECT k, n, CASE k % 3 WHEN 0 THEN 'login' ELSE 'token_refreshed' END, CASE k % 3 WHEN 0 THEN 'account' ELSE 'token' END,
               bench.id(n, 'user'), now() - (:entries - :users - k) * (interval '365 days' / (:entries - :users))
          FROM (SELECT k, 1 + k * 7919 % :users AS n FROM generate_series(1::bigint, :entries - :users) AS k) AS others) AS entries
 ORDER BY at;

VACUUM (ANALYZE, FREEZE) auth.audit_log_entries;
