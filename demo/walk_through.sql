\pset pager off
\pset null '-'

\echo
\echo '1. Install. authsync finds auth.users and public.profiles, and attaches its triggers.'
\echo
CREATE EXTENSION authsync;
SELECT step, object, action FROM authsync.setup();

\echo '2. How well do users and profiles agree?'
\echo
SELECT * FROM diagnose_auth_profile_consistency();

\echo '3. And in the last hour? A job that asks this every few minutes would have called somebody.'
\echo
\x on
SELECT * FROM monitor_signup_health();
\x off
SELECT * FROM check_recent_signup_issues('1 hour');

\echo '4. Who is it? Newest first; audit_only is history: people who signed up and are gone.'
\echo
SELECT user_id, status, auth_email, profile_email, user_created_at::date FROM get_auth_profile_mismatches(8);
SELECT status, count(*) FROM auth_profile_mismatch WHERE status <> 'healthy' GROUP BY status ORDER BY status;

\echo '5. What stands in the way of being in step: three checks.'
\echo
SELECT * FROM verify_profile_completeness();

\echo '6. Make the missing profiles. First see what would happen: nothing is changed.'
\echo
SELECT backfill_all_missing_profiles();

\echo '   Then do it. Each batch is committed by itself; a profile that cannot be written costs only itself.'
\echo
CALL backfill_missing_profiles(batch_size => 50);

\echo '7. Those that could not be written wait in quarantine, each with its reason.'
\echo
SELECT user_id, sqlstate, constraint_name, message FROM authsync.quarantine;

\echo '8. Users who changed their address, and whose profile did not follow.'
\echo
SELECT resync_profiles();
SELECT resync_profiles(dry_run => false);

\echo '9. Check again. What still fails: the five in quarantine, whose user names the application refuses, and the profiles'
\echo '   of deleted users, which are never removed unasked.'
\echo
SELECT * FROM verify_profile_completeness();

\echo '10. A new sign-up, just as the auth server does it: as its own role, confirmation and metadata by later UPDATEs.'
\echo
\connect - supabase_auth_admin
BEGIN;
INSERT INTO users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
                   email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'c0ffee00-0000-4000-8000-000000000001', 'authenticated', '', 'noor@example.test', '', '', '',
        '', '', '{"provider": "email", "providers": ["email"]}', '{"display_name": "Noor Haddad", "username": "noor"}', now(), now());
INSERT INTO audit_log_entries (instance_id, id, payload, created_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'c0ffee00-0000-4000-8000-00000000000a',
        '{"action":"user_signedup","actor_id":"c0ffee00-0000-4000-8000-000000000001","actor_username":"noor@example.test","actor_via_sso":false,"log_type":"team","traits":{"provider":"email"}}', now());
UPDATE users SET role = 'authenticated', email_confirmed_at = now(), updated_at = now() WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
UPDATE users SET raw_app_meta_data = raw_app_meta_data || '{"account_type": "business"}' WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
COMMIT;

\echo '    The profile is there, as if everything had been known at the INSERT; and what happened can be read.'
\echo
\connect - postgres
SELECT id, email, display_name, username, account_type FROM profiles WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
SELECT * FROM get_user_signup_events('c0ffee00-0000-4000-8000-000000000001');

\echo '11. A sign-up whose profile cannot be written: the user name is taken. The sign-up goes through all the same.'
\echo
\connect - supabase_auth_admin
INSERT INTO users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
                   email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'c0ffee00-0000-4000-8000-000000000002', 'authenticated', 'authenticated', 'noor@mail.example', '', '', '',
        '', '', '{"provider": "email", "providers": ["email"]}', '{"display_name": "Noor Okafor", "username": "noor"}', now(), now());
\connect - postgres
SELECT id, email, created_at FROM auth.users WHERE id = 'c0ffee00-0000-4000-8000-000000000002';
SELECT user_id, sqlstate, constraint_name, message, attempts, next_retry - now() < '10 minutes' AS soon
  FROM authsync.quarantine WHERE user_id = 'c0ffee00-0000-4000-8000-000000000002';
SELECT user_id, issue, last_error FROM check_recent_signup_issues() WHERE issue = 'profile_failed';

\echo '12. Mend the cause: that user chooses another name, and short names are allowed from now on.'
\echo '    Then let authsync try again what waits in quarantine.'
\echo
UPDATE auth.users SET raw_user_meta_data = raw_user_meta_data || '{"username": "noor.okafor"}' WHERE id = 'c0ffee00-0000-4000-8000-000000000002';
ALTER TABLE profiles DROP CONSTRAINT profiles_username_length;
SELECT backfill_all_missing_profiles(dry_run => false);
SELECT user_id, sqlstate, constraint_name FROM authsync.quarantine;
SELECT id, email, username FROM profiles WHERE id = 'c0ffee00-0000-4000-8000-000000000002';

\echo '13. The last three: their user name belongs to somebody else. They get none, and are in step.'
\echo
UPDATE auth.users SET raw_user_meta_data = raw_user_meta_data - 'username' WHERE id IN (SELECT user_id FROM authsync.quarantine);
SELECT backfill_all_missing_profiles(dry_run => false);
SELECT * FROM verify_profile_completeness();
