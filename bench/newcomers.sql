-- Those who are imported. psql variable: rows.

CREATE UNLOGGED TABLE bench.newcomers AS
SELECT '00000000-0000-0000-0000-000000000000'::uuid AS instance_id, bench.id(n, 'newcomer') AS id, 'authenticated' AS aud, 'authenticated' AS role,
       'newcomer' || n || '@mail.example' AS email, '$2a$10$7EqJtq98hPqEX7fNZaFWoOa8yYQ1h4kq0yKkq1x8B3V9YdF0e5b6u' AS encrypted_password,
       '{"provider": "email", "providers": ["email"]}'::jsonb AS raw_app_meta_data,
       jsonb_build_object('display_name', 'Newcomer ' || n, 'account_type', 'individual') AS raw_user_meta_data, now() AS created_at, now() AS updated_at
  FROM generate_series(1, :rows) AS n;
VACUUM ANALYZE bench.newcomers;
