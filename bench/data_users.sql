-- Users with their profiles, a year's worth of them. psql variables: users, missing (profiles), differing (e-mails of profiles).

SET session_replication_role = replica;
SET synchronous_commit = off;

INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at, confirmation_token, recovery_token,
                        email_change_token_new, email_change, last_sign_in_at, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
SELECT '00000000-0000-0000-0000-000000000000', bench.id(n, 'user'), 'authenticated', 'authenticated', 'person' || n || '@mail.example',
       '$2a$10$7EqJtq98hPqEX7fNZaFWoOa8yYQ1h4kq0yKkq1x8B3V9YdF0e5b6u', at, '', '', '', '', at,
       '{"provider": "email", "providers": ["email"]}',
       jsonb_build_object('display_name', 'Person ' || n, 'account_type', CASE n % 4 WHEN 0 THEN 'business' ELSE 'individual' END,
                          'avatar_url', 'https://pictures.example/' || n || '.png', 'email_verified', true), at, at
  FROM (SELECT n, now() - (:users - n) * (interval '365 days' / :users) AS at FROM generate_series(1, :users) AS n) AS person;

-- The last ones but the very last are those that have drifted, so that those who look at a recent hour see some of them.
INSERT INTO public.profiles (id, email, display_name, account_type, avatar_url, created_at)
SELECT bench.id(n, 'user'),
       CASE WHEN n > :users - 20 - :differing AND n <= :users - 20 THEN 'before' || n || '@mail.example' ELSE 'person' || n || '@mail.example' END,
       'Person ' || n, CASE n % 4 WHEN 0 THEN 'business' ELSE 'individual' END, 'https://pictures.example/' || n || '.png',
       now() - (:users - n) * (interval '365 days' / :users)
  FROM generate_series(1, :users) AS n
 WHERE NOT (n > :users - 20 - :differing - :missing AND n <= :users - 20 - :differing);

RESET session_replication_role;
VACUUM (ANALYZE, FREEZE) auth.users;
VACUUM (ANALYZE, FREEZE) public.profiles;
