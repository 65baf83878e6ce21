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

\echo '9. Check again. What still fails: the five in quarantine, until their cause is mended; and the profiles left behind by'
\echo '   deleted users, which are never removed unasked (clean_orphans, of a later version, will ask).'
\echo
SELECT * FROM verify_profile_completeness();

\echo '10. A new sign-up, just as the auth server does it: as its own role, with no right on public, confirmation and'
\echo '    metadata by later UPDATEs.'
\echo
\connect - supabase_auth_admin
SELECT current_user, current_schemas(false);
BEGIN;
INSERT INTO users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
                   email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'c0ffee00-0000-4000-8000-000000000001', 'authenticated', '',
        'noor@example.test', '', '', '', '', '', '{"provider": "email", "providers": ["email"]}',
        '{"display_name": "Noor Haddad", "username": "noor"}', now(), now());
INSERT INTO identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
VALUES ('c0ffee00-0000-4000-8000-000000000001', 'c0ffee00-0000-4000-8000-000000000001',
        '{"sub": "c0ffee00-0000-4000-8000-000000000001", "email": "noor@example.test"}', 'email', now(), now());
INSERT INTO audit_log_entries (instance_id, id, payload, created_at)
VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(),
        '{"action":"user_signedup","actor_id":"c0ffee00-0000-4000-8000-000000000001","actor_username":"noor@example.test","actor_via_sso":false,"log_type":"team","traits":{"provider":"email"}}',
        now());
UPDATE users SET role = 'authenticated' WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
UPDATE users SET raw_app_meta_data = raw_app_meta_data || '{"account_type": "business"}' WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
UPDATE users SET email_confirmed_at = now() WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
COMMIT;

\echo '    The profile is there, as if everything had been known at the INSERT; and what happened can be read.'
\echo
\connect - postgres
SELECT id, email, display_name, username, account_type FROM profiles WHERE id = 'c0ffee00-0000-4000-8000-000000000001';
SELECT occurred_at, source, event FROM get_user_signup_events('c0ffee00-0000-4000-8000-000000000001');

\echo '11. A sign-up whose profile cannot be written: the user name is taken. In mode safe it goes through all the same.'
\echo
\connect - supabase_auth_admin
INSERT INTO users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
                   email_change, email_change_token_new, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
VALUES ('00000000-0000-0000-0000-000000000000', 'c0ffee00-0000-4000-8000-000000000002', 'authenticated', 'authenticated',
        'noor@mail.example', '', '', '', '', '', '{"provider": "email", "providers": ["email"]}',
        '{"display_name": "Noor Okafor", "username": "noor"}', now(), now());
INSERT INTO identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
VALUES ('c0ffee00-0000-4000-8000-000000000002', 'c0ffee00-0000-4000-8000-000000000002',
        '{"sub": "c0ffee00-0000-4000-8000-000000000002", "email": "noor@mail.example"}', 'email', now(), now());
\connect - postgres
SELECT id, email, created_at FROM auth.users WHERE id = 'c0ffee00-0000-4000-8000-000000000002';

\echo '    Nobody has to find out by chance.'
\echo
SELECT user_id, issue, last_error FROM check_recent_signup_issues() WHERE issue = 'profile_failed';
SELECT sqlstate, constraint_name, attempts, first_seen, next_retry FROM authsync.quarantine
 WHERE user_id = 'c0ffee00-0000-4000-8000-000000000002';

\echo '12. Mend the causes. Users whose name is taken choose another, and have their profile with that very UPDATE.'
\echo
UPDATE auth.users SET raw_user_meta_data = raw_user_meta_data || '{"username": "noor.okafor"}'
 WHERE id = 'c0ffee00-0000-4000-8000-000000000002';
SELECT id, email, display_name, username FROM profiles WHERE id = 'c0ffee00-0000-4000-8000-000000000002';
UPDATE auth.users SET raw_user_meta_data = raw_user_meta_data || jsonb_build_object('username', raw_user_meta_data ->> 'username' || '.2')
 WHERE id IN (SELECT user_id FROM authsync.quarantine WHERE sqlstate = '23505');

\echo '    Short names are allowed from now on; no user is touched by that, so the backfill tries those again.'
\echo
ALTER TABLE profiles DROP CONSTRAINT profiles_username_length;
SELECT user_id, sqlstate, constraint_name FROM authsync.quarantine;
SELECT backfill_all_missing_profiles(dry_run => false);

\echo '13. In step again, save the profiles left behind. And all that was done can be read.'
\echo
SELECT * FROM verify_profile_completeness();
SELECT event_type, count(*) FROM user_events GROUP BY event_type ORDER BY count(*) DESC;
SELECT count(*) AS in_quarantine FROM authsync.quarantine;

\echo '14. What else deserves a look in this database, each with the line that mends it.'
\echo
\x on
SELECT severity, check_name, object, detail, hint FROM authsync.lint();
