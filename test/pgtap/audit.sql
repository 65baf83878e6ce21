-- The audit log as the auth server writes it, and as nobody should.
\i test/fixture/contract.sql
SELECT plan(59);

CREATE FUNCTION tap.entry(entry uuid) RETURNS text LANGUAGE sql AS
    $$ SELECT concat_ws('|', right(user_id::text, 2), email, action, right(actor_id::text, 2), ip_address) FROM public.signup_audit_summary WHERE audit_id = entry $$;

-- Self sign-up, confirmed.
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_name":"Ada L","actor_username":"ada@example.com","actor_via_sso":false,"log_type":"team","traits":{"provider":"email"}}', tap.id(11))::json, '5 hours', '203.0.113.9') AS entry \gset
SELECT is(tap.entry(:'entry'), '11|ada@example.com|user_signedup|11|203.0.113.9', 'self sign-up, confirmed');
SELECT is((SELECT created_at FROM signup_audit_summary WHERE audit_id = :'entry'), (SELECT created_at FROM auth.audit_log_entries WHERE id = :'entry'), '… created_at is the column''s');
-- Awaiting confirmation.
SELECT tap.log(format('{"action":"user_confirmation_requested","actor_id":"%s","actor_username":"bo@example.com","actor_via_sso":false,"log_type":"user","traits":{"provider":"email"}}', tap.id(12))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '12|bo@example.com|user_confirmation_requested|12|', 'awaiting confirmation');
-- … sent again: no traits.
SELECT tap.log(format('{"action":"user_confirmation_requested","actor_id":"%s","actor_username":"bo@example.com","actor_via_sso":false,"log_type":"user"}', tap.id(12))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '12|bo@example.com|user_confirmation_requested|12|', '… without traits');
-- Invited: the actor is nobody, the subject is in the traits.
SELECT tap.log(format('{"action":"user_invited","actor_id":"00000000-0000-0000-0000-000000000000","actor_username":"service_role","actor_via_sso":false,"log_type":"team","traits":{"user_email":"cy@example.com","user_id":"%s"}}', tap.id(13))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '13|cy@example.com|user_invited|00|', 'invited');
-- Created by an administrator.
SELECT tap.log(format('{"action":"user_signedup","actor_id":"00000000-0000-0000-0000-000000000000","actor_username":"service_role","actor_via_sso":false,"log_type":"team","traits":{"provider":"email","user_email":"di@example.com","user_id":"%s","user_phone":""}}', tap.id(14))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '14|di@example.com|user_signedup|00|', 'created by an administrator');
-- Invited by somebody: traits before actor.
SELECT tap.log(format('{"action":"user_invited","actor_id":"%s","actor_username":"boss@example.com","actor_via_sso":false,"log_type":"team","traits":{"user_email":"ed@example.com","user_id":"%s"}}', tap.id(11), tap.id(15))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '15|ed@example.com|user_invited|11|', 'traits.user_id comes before actor_id');
-- By phone: actor_username holds no e-mail.
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"4915112345678","actor_via_sso":false,"log_type":"team","traits":{"channel":"sms","provider":"phone"}}', tap.id(16))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '16|user_signedup|16|', 'by phone: no e-mail');
SELECT is((SELECT email FROM signup_audit_summary WHERE audit_id = :'entry'), NULL, '… NULL, not the number');
SELECT tap.log(format('{"action":"user_signedup","actor_id":"00000000-0000-0000-0000-000000000000","actor_username":"service_role","log_type":"team","traits":{"user_email":"","user_id":"%s","user_phone":"4915199"}}', tap.id(17))::json) AS entry \gset
SELECT is((SELECT email FROM signup_audit_summary WHERE audit_id = :'entry' AND user_id = tap.id(17)), NULL, '… nor service_role, nor an empty one');

-- Everything else that the log holds is no sign-up.
SELECT count(tap.log(format('{"action":"%s","actor_id":"%s","actor_username":"ada@example.com","actor_via_sso":false,"log_type":"account"}', action, tap.id(50))::json)) AS n
  FROM unnest(ARRAY['login', 'logout', 'token_refreshed', 'token_revoked', 'user_deleted', 'user_modified', 'user_updated_password', 'user_repeated_signup', 'user_recovery_requested',
                    'user_reauthenticate_requested', 'invite_accepted', 'identity_unlinked', 'factor_in_progress', 'user_signedup_not', 'not_user_signedup', 'USER_SIGNEDUP']) AS action \gset
SELECT is((SELECT count(*) FROM signup_audit_summary WHERE user_id = tap.id(50)), 0::bigint, 'no other action is one');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE user_id = tap.id(50)), 0::bigint, '… nor makes a user known');
-- The words elsewhere in an entry do not count.
SELECT tap.log(format('{"action":"login","actor_id":"%s","actor_name":"user_signedup","actor_username":"user_invited@example.com","log_type":"account","traits":{"action":"user_signedup"}}', tap.id(51))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), NULL, 'the word in a name or in the traits is no sign-up');

-- Sign-up by an administrator: the user is found, by whom it was is not taken for him.
SELECT tap.add_user(14, 'di@example.com', drift => true);
SELECT is((SELECT status || ' ' || audit_email FROM auth_profile_mismatch WHERE user_id = tap.id(14)), 'auth_only di@example.com', 'the entry of an administrator''s user belongs to him');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE user_id = '00000000-0000-0000-0000-000000000000' OR user_id IS NULL), 0::bigint, 'the nil uuid is nobody');
SELECT is((SELECT array_agg(event) FROM get_user_signup_events(tap.id(14))), ARRAY['user_signedup'], 'his history has it');
SELECT is((SELECT count(*) FROM get_user_signup_events('00000000-0000-0000-0000-000000000000')), 0::bigint, 'the nil uuid has none');

SELECT count(*) AS sound FROM signup_audit_summary \gset
SELECT count FROM diagnose_auth_profile_consistency() WHERE metric = 'Total Signup Audit Entries' \gset

-- Poison. None of it may stop anything.
CREATE TABLE tap.poison (n integer GENERATED ALWAYS AS IDENTITY, payload text);
INSERT INTO tap.poison (payload) VALUES
    (NULL), ('null'), ('true'), ('17'), ('"user_signedup"'), ('[]'), ('["user_signedup"]'), ('[{"action":"user_signedup"}]'), ('{}'),
    ('{"action":null}'), ('{"action":["user_signedup"]}'), ('{"action":{"user_signedup":1}}'), ('{"action":1e999999}'),
    ('{"action":"user_signedup\u0000"}'), ('{"action":"\ud800user_signedup"}');
SELECT count(tap.log(payload::json)) AS n FROM tap.poison \gset
SELECT is((SELECT count(*) FROM signup_audit_summary), :sound::bigint, 'entries without such an action, however odd, are none');
TRUNCATE tap.poison;
-- Sign-ups with odd values: rows, as far as they can be told.
INSERT INTO tap.poison (payload) VALUES
    ('{"action":"user_signedup"}'), ('{"action":"user_signedup","actor_id":null,"traits":null}'), ('{"action":"user_signedup","actor_id":"not-a-uuid"}'), ('{"action":"user_signedup","actor_id":""}'),
    ('{"action":"user_signedup","actor_id":17,"traits":[1,2]}'), ('{"action":"user_signedup","actor_id":{"a":1},"traits":"x"}'), ('{"action":"user_signedup","traits":{"user_id":"00000000-0000-0000-0000-000000000000"}}'),
    ('{"action":"user_signedup","actor_id":"00000000-0000-0000-0000-000000000000","traits":{"user_id":""}}'), ('{"action":"user_signedup","x":1e400000,"y":-123456789012345678901234567890}');
SELECT count(tap.log(payload::json)) AS odd FROM tap.poison \gset
SELECT is((SELECT count(*) FROM signup_audit_summary WHERE user_id IS NULL), :odd::bigint, 'sign-ups of nobody we could name are shown, without a user');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE user_id IS NULL), 0::bigint, '… and are nobody in the mismatches');
SELECT is((SELECT count FROM diagnose_auth_profile_consistency() WHERE metric = 'Total Signup Audit Entries'), :count::bigint + :odd, '… but count as entries');

SELECT tap.log(format($p${"action":"user_signedup","actor_id":"%s","actor_name":"N\u0000UL","actor_username":"nul\u0000@example.com","traits":{"provider":"\u0000"}}$p$, tap.id(61))::json) AS entry \gset
SELECT is((SELECT right(user_id::text, 2) FROM signup_audit_summary WHERE audit_id = :'entry'), '61', 'NUL escapes in a name, an e-mail and the traits');
SELECT matches((SELECT email FROM signup_audit_summary WHERE audit_id = :'entry'), '^nul.*@example.com$', '… the rest of the e-mail can be read');
SELECT tap.log(format($p${"action":"user_signedup","actor_id":"%s","actor_name":"\ud83d","actor_username":"half\udc00@example.com"}$p$, tap.id(62))::json) AS entry \gset
SELECT is((SELECT right(user_id::text, 2) FROM signup_audit_summary WHERE audit_id = :'entry'), '62', 'half a surrogate pair');
SELECT tap.log(format($p${"action":"user_signedup","actor_id":"%s","actor_name":"\ud83d\ude00","actor_username":"emoji\ud83d\ude00@example.com"}$p$, tap.id(63))::json) AS entry \gset
SELECT is((SELECT email FROM signup_audit_summary WHERE audit_id = :'entry'), 'emoji😀@example.com', 'a whole one is what it is');
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"%s@example.com"}', tap.id(64), repeat('x', 10000))::json) AS entry \gset
SELECT is((SELECT length(email) FROM signup_audit_summary WHERE audit_id = :'entry'), 10012, '10 kB of e-mail');
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"x\\u0000@example.com"}', tap.id(65))::json) AS entry \gset
SELECT is((SELECT email FROM signup_audit_summary WHERE audit_id = :'entry'), 'x\u0000@example.com', 'an escaped backslash before u0000 is text, not NUL');
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"dup@example.com","deep":%s1%s}', tap.id(66), repeat('[', 900), repeat(']', 900))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '66|dup@example.com|user_signedup|66|', 'deep nesting');
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"up@example.com"}', upper('abcdef00-0000-4000-8000-000000000067'))::json) AS entry \gset
SELECT is(tap.entry(:'entry'), '67|up@example.com|user_signedup|67|', 'a uuid in capitals is one');
-- Without a time: shown, and in nobody's way.
SELECT tap.log(format('{"action":"user_signedup","actor_id":"%s","actor_username":"untimed@example.com"}', tap.id(68))::json, NULL) AS entry \gset
SELECT is(tap.entry(:'entry'), '68|untimed@example.com|user_signedup|68|', 'an entry without created_at');

SELECT is(tap.state('SELECT * FROM ' || thing), '00000', 'with all that in the log: ' || thing)
  FROM unnest(ARRAY['auth_profile_mismatch', 'diagnose_auth_profile_consistency()', 'get_auth_profile_mismatches(NULL)', 'check_recent_signup_issues()', $$check_recent_signup_issues('10 years')$$,
    'monitor_signup_health()', 'verify_profile_completeness()', 'get_registration_stats()', 'authsync.lint()', 'get_user_signup_events(tap.id(61))',
    'get_user_signup_events(tap.id(62))', 'get_user_signup_events(tap.id(64))', 'get_user_signup_events(tap.id(68))']) AS thing;
SELECT is((SELECT status FROM auth_profile_mismatch WHERE user_id = tap.id(61)), 'audit_only', 'poisoned, but audit_only as any');
SELECT is((SELECT count(*) FROM get_user_signup_events(tap.id(61))), 1::bigint, '… with a history');
SELECT is((SELECT drift_total FROM monitor_signup_health()), 1::bigint, 'none of them is drift');

-- A poisoned deletion.
SELECT tap.log(format($p${"action":"user_deleted","actor_id":"00000000-0000-0000-0000-000000000000","actor_username":"service_role","actor_name":"\u0000","traits":{"user_email":"nul\u0000@example.com","user_id":"%s"}}$p$, tap.id(61))::json) AS entry \gset
SELECT is((SELECT array_agg(event ORDER BY occurred_at, event DESC) FROM get_user_signup_events(tap.id(61))), ARRAY['user_signedup', 'user_deleted'], 'a poisoned deletion is in the history');
SELECT is((SELECT issue FROM check_recent_signup_issues() WHERE user_id = tap.id(61)), NULL, '… and a deleted one is no issue')
 WHERE (SELECT max(occurred_at) > min(occurred_at) FROM get_user_signup_events(tap.id(61)));

-- The earliest entry counts.
SELECT tap.log_self(70, 'user_confirmation_requested', 'first@example.com', '3 days'), tap.log_self(70, 'user_signedup', 'later@example.com', '2 days'), tap.log_admin(70, 'user_invited', 'earliest@example.com', '4 days');
SELECT is((SELECT audit_email FROM auth_profile_mismatch WHERE user_id = tap.id(70)), 'earliest@example.com', 'audit_email is the earliest entry''s');
SELECT is((SELECT signed_up_at FROM auth_profile_mismatch WHERE user_id = tap.id(70)), (SELECT min(created_at) FROM signup_audit_summary WHERE user_id = tap.id(70)), '… so is signed_up_at');
-- What is deleted from the log leaves the view.
DELETE FROM auth.audit_log_entries WHERE payload::text LIKE '%earliest@example.com%';
SELECT is((SELECT audit_email FROM auth_profile_mismatch WHERE user_id = tap.id(70)), 'first@example.com', 'deleted from the log, gone from the view');
TRUNCATE auth.audit_log_entries;
SELECT is((SELECT count(*) FROM signup_audit_summary), 0::bigint, '… all of it');
SELECT is((SELECT count(*) FROM auth_profile_mismatch), 1::bigint, '… the user stays');

-- Bound, but without an audit log: empty, and lint says so.
DROP TABLE auth.audit_log_entries;
SELECT count(*) AS steps FROM authsync.setup() \gset
SELECT is(tap.state('SELECT * FROM signup_audit_summary'), '00000', 'no audit log: no error');
SELECT is((SELECT count(*) FROM signup_audit_summary), 0::bigint, '… no row');
SELECT is((SELECT string_agg(status, ',') FROM auth_profile_mismatch), 'auth_only', '… and the rest works');
SELECT is((SELECT count(*) FROM diagnose_auth_profile_consistency()), 9::bigint, '… diagnose too');
SELECT is(tap.state('SELECT * FROM check_recent_signup_issues()'), '00000', '… and check_recent_signup_issues');
SELECT isnt((SELECT string_agg(check_name, ',') FROM authsync.lint() WHERE concat_ws(' ', check_name, object, detail) ~* 'audit'), NULL, 'lint says that there is no audit log');

SELECT * FROM finish();
