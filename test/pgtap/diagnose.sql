-- Definitions and counts on a population made by hand: everybody is here for one reason.
\i test/fixture/contract.sql
SELECT plan(94);

SELECT set_config('role', current_user, false) IS NOT NULL AS ok \gset
CREATE FUNCTION tap.add_profile(n integer, email text, ago interval DEFAULT '0') RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    INSERT INTO public.profiles (id, email, created_at) VALUES (tap.id(n), email, now() - ago);
    PERFORM set_config('session_replication_role', 'origin', true);
END $$;
CREATE FUNCTION tap.status(n integer) RETURNS text LANGUAGE sql AS
    $$ SELECT string_agg(status, ',') FROM public.auth_profile_mismatch WHERE user_id = tap.id(n) $$;

-- Nobody at all.
SELECT is((SELECT array_agg(metric || '=' || count) FROM diagnose_auth_profile_consistency()),
    ARRAY['Total Signup Audit Entries=0', 'Healthy (Auth + Profile)=0', 'Auth Only (Missing Profile)=0', 'Audit Only (Deleted)=0', 'Total auth.users=0',
          'Total public.profiles=0', 'Users without Profiles=0', 'Profiles without Users=0', 'Email Mismatches=0'], 'diagnose: nine metrics in order, nobody there');
SELECT is((SELECT health_percentage::text FROM monitor_signup_health()), '100', 'no sign-up within the hour: 100')
 WHERE (SELECT health_percentage FROM monitor_signup_health()) = 100;
SELECT is((SELECT oldest_drift FROM monitor_signup_health()), NULL, 'no drift, no oldest drift');
SELECT is((SELECT array_agg(check_name || '|' || status || '|' || count || '|' || details) FROM verify_profile_completeness()),
    ARRAY['Auth users without profiles|PASS|0|0 users missing profiles', 'Profiles without auth users|PASS|0|0 profiles orphaned',
          'Email consistency|PASS|0|0 mismatched emails'], 'verify: three checks in order');
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches()) + (SELECT count(*) FROM check_recent_signup_issues()), 0::bigint, 'no mismatch and no issue are no row');

-- In step.
SELECT tap.add_user(1, 'one@example.com', '1 day', drift => true), tap.add_profile(1, 'one@example.com');
SELECT tap.add_user(2, 'Two@Example.com', '1 day', drift => true), tap.add_profile(2, 'two@example.COM');
SELECT tap.add_user(3, NULL, '1 day', drift => true), tap.add_profile(3, '');
SELECT tap.add_user(4, NULL, '1 day', drift => true), tap.add_profile(4, tap.id(4) || '@users.invalid');
SELECT tap.add_user(5, '', '1 day', drift => true), tap.add_profile(5, NULL);
-- No profile, though owed.
SELECT tap.add_user(6, 'six@example.com', '3 days', drift => true);
SELECT tap.add_user(7, NULL, '2 days', drift => true);
SELECT tap.add_user(17, 'seventeen@corp.example', '1 day', sso => true, drift => true);
-- E-mails that differ.
SELECT tap.add_user(8, 'eight@example.com', '10 days', drift => true), tap.add_profile(8, 'old.eight@example.com');
SELECT tap.add_user(9, NULL, '11 days', drift => true), tap.add_profile(9, 'nine@example.com');
SELECT tap.add_user(10, 'ten@example.com', '12 days', drift => true), tap.add_profile(10, NULL);
SELECT tap.add_user(11, 'eleven@example.com', '13 days', drift => true), tap.add_profile(11, tap.id(11) || '@users.invalid');
-- Profiles that nobody has.
SELECT tap.add_profile(12, 'twelve@example.com', '20 days'), tap.add_profile(13, NULL, '21 days'), tap.add_profile(22, 'twentytwo@example.com', '22 days');
-- Nothing owed, whether there is one or not.
SELECT tap.add_user(14, 'fourteen@example.com', '1 day', deleted => true, drift => true);
SELECT tap.add_user(15, NULL, '1 day', anonymous => true, drift => true);
SELECT tap.add_user(16, NULL, '1 day', sso => true, drift => true);
SELECT tap.add_user(23, '', '1 day', sso => true, drift => true);
SELECT tap.add_user(18, 'eighteen@example.com', '1 day', deleted => true, drift => true), tap.add_profile(18, 'other@example.com');
SELECT tap.add_user(19, NULL, '1 day', anonymous => true, drift => true), tap.add_profile(19, 'nineteen@example.com');
-- Signed up, and nothing left of them.
SELECT tap.log_self(20, 'user_signedup', 'twenty@example.com', '40 days');
SELECT tap.log_admin(21, 'user_invited', 'twentyone@example.com', '41 days'), tap.log_admin(21, 'user_deleted', 'twentyone@example.com', '1 minute');
-- And entries of some of the others; none of them moves a status.
SELECT tap.log_self(1, 'user_confirmation_requested', 'one@example.com', '2 days'), tap.log_self(1, 'user_signedup', 'renamed@example.com', '1 day');
SELECT tap.log_admin(6, 'user_signedup', 'audit.six@example.com', '3 days'), tap.log_self(22, 'user_signedup', 'twentytwo@example.com', '22 days');
SELECT tap.log_self(14, 'user_signedup', 'fourteen@example.com', '1 day'), tap.log_self(1, 'login', 'one@example.com'), tap.log_self(99, 'login', 'ghost@example.com');

SELECT is(tap.status(n), wanted, why) FROM (VALUES
    (1, 'healthy', 'e-mails equal'), (2, 'healthy', 'e-mails equal case-folded'), (3, 'healthy', 'NULL and '''' are equal'),
    (4, 'healthy', 'NULL and the fallback are equal'), (5, 'healthy', ''''' and NULL are equal'),
    (6, 'auth_only', 'a user without profile'), (7, 'auth_only', 'a user without e-mail owes one too'), (17, 'auth_only', 'an sso user with e-mail owes one'),
    (8, 'email_mismatch', 'e-mails differ'), (9, 'email_mismatch', 'only the profile has an e-mail'), (10, 'email_mismatch', 'only the user has an e-mail'),
    (11, 'email_mismatch', 'the fallback, where the user has an e-mail'),
    (12, 'profile_only', 'a profile without user'), (13, 'profile_only', '… without e-mail'), (22, 'profile_only', '… of somebody who signed up'),
    (14, 'healthy', 'a deleted user owes no profile'), (15, 'healthy', 'nor an anonymous one'), (16, 'healthy', 'nor an sso one without e-mail'),
    (23, 'healthy', '… or with an empty one'), (18, 'healthy', 'e-mails of one who owes none are not compared'), (19, 'healthy', '… nor of an anonymous one'),
    (20, 'audit_only', 'signed up, nothing left'), (21, 'audit_only', 'invited and deleted'),
    (99, NULL, 'a login is no sign-up')) AS t (n, wanted, why);
SELECT is((SELECT count(*) FROM auth_profile_mismatch), 23::bigint, 'one row a user known from any of the three places');
SELECT is((SELECT count(DISTINCT user_id) FROM auth_profile_mismatch), 23::bigint, '… and only one');

SELECT is((SELECT array_agg(metric || '=' || count) FROM diagnose_auth_profile_consistency()),
    ARRAY['Total Signup Audit Entries=5', 'Healthy (Auth + Profile)=5', 'Auth Only (Missing Profile)=3', 'Audit Only (Deleted)=2', 'Total auth.users=18',
          'Total public.profiles=14', 'Users without Profiles=3', 'Profiles without Users=3', 'Email Mismatches=4'], 'diagnose: counts');
SELECT is((SELECT array_agg(check_name || '|' || status || '|' || count || '|' || details) FROM verify_profile_completeness()),
    ARRAY['Auth users without profiles|FAIL|3|3 users missing profiles', 'Profiles without auth users|FAIL|3|3 profiles orphaned',
          'Email consistency|FAIL|4|4 mismatched emails'], 'verify: counts');
SELECT is((SELECT drift_total FROM monitor_signup_health()), 10::bigint, 'drift_total = auth_only + profile_only + email_mismatch');
SELECT is((SELECT date_trunc('minute', oldest_drift) FROM monitor_signup_health()), interval '3 days', 'oldest_drift: the oldest user without profile');

-- The view's columns
SELECT row_eq($$SELECT * FROM auth_profile_mismatch WHERE user_id = tap.id(1)$$,
    (SELECT ROW(tap.id(1), 'one@example.com', 'one@example.com', 'one@example.com', 'healthy', min(l.created_at), u.created_at, p.created_at)::auth_profile_mismatch
       FROM auth.audit_log_entries AS l, auth.users AS u, profiles AS p WHERE l.payload ->> 'actor_id' = tap.id(1)::text AND u.id = tap.id(1) AND p.id = tap.id(1)
        AND payload ->> 'action' <> 'login' GROUP BY u.created_at, p.created_at), 'signed_up_at and audit_email are the earliest entry''s');
SELECT is((SELECT concat_ws('|', audit_email, auth_email, profile_email, user_created_at IS NULL, profile_created_at IS NULL) FROM auth_profile_mismatch WHERE user_id = tap.id(21)),
    'twentyone@example.com|t|t', 'audit_only: only what the log knows');
SELECT is((SELECT concat_ws('|', audit_email, auth_email) FROM auth_profile_mismatch WHERE user_id = tap.id(6)), 'audit.six@example.com|six@example.com', 'audit_email is not compared');
SELECT is((SELECT auth_email FROM auth_profile_mismatch WHERE user_id = tap.id(2)), 'Two@Example.com', 'e-mails as they stand');

-- get_auth_profile_mismatches
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches(NULL)), 12::bigint, 'mismatches: all that is unhealthy');
SELECT is((SELECT count(*) FROM get_auth_profile_mismatches() WHERE status = 'healthy'), 0::bigint, '… nothing healthy');
SELECT is((SELECT array_agg(status ORDER BY ordinality) FROM get_auth_profile_mismatches() WITH ORDINALITY)::text[] @> ARRAY['audit_only'], true, '… audit_only too');
SELECT is((SELECT array_agg(right(user_id::text, 2)::integer ORDER BY ordinality) FROM get_auth_profile_mismatches() WITH ORDINALITY WHERE status IN ('auth_only', 'email_mismatch')),
    ARRAY[17, 7, 6, 8, 9, 10, 11], '… users newest first');
SELECT is((SELECT array_agg(status ORDER BY ordinality) FROM get_auth_profile_mismatches() WITH ORDINALITY WHERE ordinality > 10), ARRAY['audit_only', 'audit_only'], '… audit_only last');
SELECT is((SELECT array_agg(right(user_id::text, 2)::integer ORDER BY ordinality) FROM get_auth_profile_mismatches() WITH ORDINALITY WHERE status = 'audit_only'),
    ARRAY[20, 21], '… newest first as well');
SELECT is((SELECT array_agg(right(user_id::text, 2)::integer ORDER BY ordinality) FROM get_auth_profile_mismatches(2) WITH ORDINALITY), ARRAY[17, 7], '… max_rows => 2: the two newest');
SELECT set_eq('SELECT * FROM get_auth_profile_mismatches(NULL)', $$SELECT * FROM auth_profile_mismatch WHERE status <> 'healthy'$$, '… the view''s own rows');

-- monitor: the sign-ups within `since` that owe a profile
SELECT is((SELECT health_percentage FROM monitor_signup_health()), 100::numeric, 'none within the hour: 100');
SELECT is((SELECT recent_signups_count || '/' || signups_missing_profiles FROM monitor_signup_health('36 hours')), '6/1', 'recent sign-ups owe a profile');
SELECT is((SELECT health_percentage::text FROM monitor_signup_health('36 hours')), '83.33', 'five of six');
SELECT tap.add_user(31, 'a31@example.com', '1 minute'), tap.add_user(32, 'a32@example.com', '1 minute'), tap.add_user(33, 'a33@example.com', '1 minute', drift => true),
       tap.add_user(34, NULL, '1 minute', anonymous => true), tap.add_user(35, 'a35@example.com', '1 minute', deleted => true);
SELECT is((SELECT recent_signups_count || '/' || signups_missing_profiles FROM monitor_signup_health()), '3/1', 'three of five sign-ups owe a profile, one lacks it');
SELECT is((SELECT health_percentage::text FROM monitor_signup_health()), '66.66', 'two of three is 66.66, never rounded up');
SELECT is((SELECT array_agg(k ORDER BY o) FROM (SELECT * FROM monitor_signup_health()) AS t, json_object_keys(to_json(t)) WITH ORDINALITY AS j (k, o)),
    ARRAY['checked_at', 'recent_signups_count', 'signups_missing_profiles', 'health_percentage', 'errors_count', 'oldest_drift', 'trigger_enabled', 'worker_running',
          'drift_total', 'quarantined', 'intents_pending'], 'monitor: columns as JSON');
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), true, 'trigger enabled');
ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created;
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), false, 'trigger disabled');
ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created;
ALTER TABLE auth.users ENABLE REPLICA TRIGGER on_auth_user_created;
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), false, 'trigger for replicas only');
ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created;
SELECT count(*) AS steps FROM authsync.setup(mode => 'off') \gset
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), false, 'mode off: no trigger');
SELECT is((SELECT drift_total FROM monitor_signup_health()), 11::bigint, '… all else stays');
SELECT count(*) AS steps FROM authsync.setup(mode => 'safe') \gset
SELECT is((SELECT trigger_enabled FROM monitor_signup_health()), true, 'mode safe: back again');
SELECT isnt((SELECT worker_running FROM monitor_signup_health()), NULL, 'worker_running is known');
SELECT is((SELECT concat_ws('/', errors_count, quarantined, intents_pending) FROM monitor_signup_health()), '0/0/0', 'no errors, nothing waiting');
ALTER TABLE profiles ADD CONSTRAINT no_bad CHECK (email IS DISTINCT FROM 'bad@example.com');
SELECT tap.add_user(36, 'bad@example.com', '1 minute');
SELECT is((SELECT concat_ws('/', errors_count, quarantined) FROM monitor_signup_health()), '1/1', 'a profile that could not be written is an error and waits');
SELECT is((SELECT errors_count FROM monitor_signup_health('0')), 0::bigint, '… within no time there is none')
 WHERE tap.state($$SELECT * FROM monitor_signup_health('0')$$) = '00000';

-- check_recent_signup_issues
SELECT tap.log_self(33, 'user_signedup', 'a33@example.com', '1 minute'), tap.log_self(36, 'user_signedup', 'bad@example.com', '1 minute'),
       tap.log_self(41, 'user_signedup', 'gone@example.com', '2 minutes'),
       tap.log_self(42, 'user_signedup', 'gone42@example.com', '3 minutes'), tap.log_admin(42, 'user_deleted', 'gone42@example.com', '1 minute'),
       tap.log_self(31, 'user_signedup', 'a31@example.com', '1 minute'), tap.log_self(43, 'user_confirmation_requested', 'gone43@example.com', '4 minutes');
SELECT tap.log_admin(44, 'user_deleted', 'again@example.com', '5 minutes'), tap.log_self(44, 'user_signedup', 'again@example.com', '2 minutes');
SELECT tap.add_user(45, 'new45@example.com', '1 minute', drift => true), tap.add_profile(45, 'old45@example.com'), tap.log_self(45, 'user_signedup', 'new45@example.com', '1 minute');
SELECT is((SELECT array_agg(right(user_id::text, 2) || ' ' || issue ORDER BY user_id) FROM check_recent_signup_issues()),
    ARRAY['33 no_profile', '36 profile_failed', '41 no_user', '43 no_user', '44 no_user', '45 email_mismatch'], 'the four issues; one who was deleted since is none');
SELECT is((SELECT email FROM check_recent_signup_issues() WHERE user_id = tap.id(41)), 'gone@example.com', '… e-mail of one who is gone, from the log');
SELECT matches((SELECT last_error FROM check_recent_signup_issues() WHERE user_id = tap.id(36)), '23514|no_bad', '… last_error of a failed profile');
SELECT is((SELECT count(*) FROM check_recent_signup_issues() WHERE last_error IS NULL AND issue <> 'profile_failed'), 5::bigint, '… and of nobody else');
SELECT is((SELECT count(*) FROM check_recent_signup_issues() WHERE signed_up_at > now() - interval '10 minutes'), 6::bigint, '… signed_up_at is there and recent');
SELECT is((SELECT count(*) FROM check_recent_signup_issues(interval '1 second') WHERE issue <> 'x'), 0::bigint, '… an old sign-up is not recent');
SELECT cmp_ok((SELECT count(*) FROM check_recent_signup_issues('100 days')), '>', 6::bigint, '… but is in a longer interval');
SELECT tap.log_self(46, 'user_signedup', 'was46@example.com', '200 days');
-- Who owes no profile is no issue; who was made behind the auth server's back is one.
SELECT tap.add_user(47, 'deleted47@example.com', '1 minute', deleted => true, drift => true), tap.log_self(47, 'user_signedup', 'deleted47@example.com', '1 minute'),
       tap.add_user(48, NULL, '1 minute', anonymous => true, drift => true), tap.log_self(48, 'user_signedup', '', '1 minute'),
       tap.add_user(49, 'unlogged49@example.com', '1 minute', drift => true);
SELECT is((SELECT array_agg(right(user_id::text, 2) || ' ' || issue ORDER BY user_id) FROM check_recent_signup_issues() WHERE user_id >= tap.id(46)), ARRAY['49 no_profile'],
    '… none of one who owes no profile; one of a user whom the log does not know');
DELETE FROM auth.users WHERE id IN (tap.id(47), tap.id(48), tap.id(49));
SELECT is((SELECT issue FROM check_recent_signup_issues('100 days') WHERE user_id = tap.id(46)), NULL, '… which has its own end');

-- get_user_signup_events
SELECT is((SELECT count(*) FROM get_user_signup_events(tap.id(4711))), 0::bigint, 'no row for an unknown user');
SELECT is((SELECT array_agg(event ORDER BY ordinality) FROM get_user_signup_events(tap.id(21)) WITH ORDINALITY), ARRAY['user_invited', 'user_deleted'], 'sign-up and deletion entries');
SELECT is((SELECT array_agg(event ORDER BY ordinality) FROM get_user_signup_events(tap.id(1)) WITH ORDINALITY), ARRAY['user_confirmation_requested', 'user_signedup'], '… in time order, without logins');
SELECT is((SELECT array_agg(event ORDER BY ordinality) FROM get_user_signup_events(tap.id(31)) WITH ORDINALITY WHERE event LIKE 'user_%'), ARRAY['user_signedup'], '… with his user_events:');
SELECT is((SELECT count(*) FROM get_user_signup_events(tap.id(31)) WHERE event IN ('auth_user_created', 'profile_bootstrap_ok')), 2::bigint, '… created and bootstrapped');
SELECT is((SELECT count(DISTINCT source) FROM get_user_signup_events(tap.id(31))), 2::bigint, '… the source tells them apart');
SELECT is((SELECT bool_and(occurred_at >= before) FROM (SELECT occurred_at, lag(occurred_at, 1, occurred_at) OVER (ORDER BY ordinality) AS before
             FROM get_user_signup_events(tap.id(31)) WITH ORDINALITY) AS t), true, '… in time order');
SELECT is((SELECT count(*) FROM get_user_signup_events(tap.id(36)) WHERE event = 'profile_bootstrap_error'), 1::bigint, '… errors too');

-- user_events hold no personal data.
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~* '@|password|token'), 0::bigint, 'no e-mail address, password or token in details');

-- get_registration_stats
SELECT is((SELECT count(*) FROM get_registration_stats()), 30::bigint, 'thirty days');
SELECT is((SELECT array_agg(date ORDER BY ordinality) FROM get_registration_stats(5) WITH ORDINALITY),
    (SELECT array_agg(current_date - n ORDER BY n) FROM generate_series(0, 4) AS n), '… newest first, none left out');
SELECT is((SELECT sum(registrations) FROM get_registration_stats(30)), (SELECT count(*) FROM auth.users) + (SELECT sum(departed) FROM authsync.registrations), '… all users are counted, and those who have left');
SELECT is((SELECT registrations FROM get_registration_stats() WHERE date = (now() - interval '10 days')::date), 1::bigint, '… on their day');
SELECT is((SELECT registrations FROM get_registration_stats() WHERE date = (now() - interval '20 days')::date), 0::bigint, '… an empty day is 0');

-- Where profiles has no e-mail column nothing can differ.
ALTER TABLE profiles DROP COLUMN email CASCADE;
SELECT count(*) AS changed FROM authsync.setup() \gset
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status = 'email_mismatch'), 0::bigint, 'no e-mail column, no mismatch');
SELECT is((SELECT profile_email FROM auth_profile_mismatch WHERE user_id = tap.id(1)), NULL, '… and no profile_email');
SELECT is(tap.status(8), 'healthy', '… the profile is enough');
SELECT is((SELECT string_agg(details, '; ') FROM verify_profile_completeness() WHERE check_name = 'Email consistency'), '0 mismatched emails', '… verify passes');

-- A profile that must have an e-mail gets one that cannot be mailed; whatever its case, it is no mismatch.
ALTER TABLE profiles ADD COLUMN email text UNIQUE;
UPDATE profiles SET email = u.email FROM auth.users AS u WHERE u.id = profiles.id;
UPDATE profiles SET email = id || '@users.invalid' WHERE email IS NULL OR email = '';
ALTER TABLE profiles ALTER COLUMN email SET NOT NULL;
SELECT count(*) AS steps FROM authsync.setup() \gset
SELECT tap.add_user(51, NULL), tap.add_user(52, NULL);
SELECT is((SELECT array_agg(email = id || '@users.invalid') FROM profiles WHERE id IN (tap.id(51), tap.id(52))), ARRAY[true, true], 'the fallback e-mail');
SELECT is(tap.status(51) || tap.status(52), 'healthyhealthy', '… is no mismatch');
UPDATE profiles SET email = upper(email) WHERE id = tap.id(51);
SELECT is(tap.status(51), 'healthy', '… in capitals');
UPDATE profiles SET email = tap.id(53) || '@users.invalid' WHERE id = tap.id(51);
SELECT is(tap.status(51), 'email_mismatch', 'another user''s fallback is one');

SELECT * FROM finish();
