-- Where a profile waits that could not be written, and how it gets out: backfill, maintain, deletion, somebody else's repair.
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
CREATE SCHEMA tap;
CREATE EXTENSION pgtap SCHEMA tap;
CREATE EXTENSION authsync SCHEMA public;
SET search_path = public, tap;
\set ON_ERROR_STOP off

CREATE FUNCTION tap.id(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid $$;
CREATE FUNCTION tap.waiting() RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT coalesce(string_agg(right(user_id::text, 3) || ':' || attempts, ' ' ORDER BY user_id), 'nobody') FROM authsync.quarantine $$;
CREATE FUNCTION tap.sign_up(VARIADIC n integer[]) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO auth.users (id, email, raw_user_meta_data, created_at)
       SELECT tap.id(i), 'u' || i || '@example.com', jsonb_build_object('display_name', 'Bad'), now() FROM unnest(n) AS i $$;
-- What next_retry says, brought near.
CREATE FUNCTION tap.make_due() RETURNS void LANGUAGE sql AS $$ UPDATE authsync.quarantine_rows SET next_retry = now() - interval '1 second' $$;

SELECT plan(53);

ALTER TABLE profiles ADD CONSTRAINT nice_name CHECK (display_name <> 'Bad');
SELECT tap.sign_up(1, 2, 3, 4, 5, 6) \g /dev/null
SELECT is(tap.waiting(), '001:1 002:1 003:1 004:1 005:1 006:1', 'six could not be written, each tried once');
SELECT columns_are('authsync', 'quarantine', ARRAY['user_id', 'target', 'sqlstate', 'constraint_name', 'column_name', 'message', 'attempts', 'first_seen', 'next_retry']);
SELECT is((SELECT quarantined FROM monitor_signup_health()), 6::bigint, 'the monitor counts them');
SELECT is((SELECT errors_count FROM monitor_signup_health()), 6::bigint, '… and the errors');
SELECT is((SELECT array_agg(DISTINCT issue) FROM check_recent_signup_issues()), ARRAY['profile_failed'], 'the check of the last minutes calls them profile_failed');
SELECT ok((SELECT bool_and(last_error ~ '23514|nice_name') FROM check_recent_signup_issues()), '… and says why');

-- maintain(): only what is due.
SELECT (SELECT next_retry - first_seen FROM authsync.quarantine WHERE user_id = tap.id(1)) AS first_wait \gset
SELECT cmp_ok(:'first_wait'::interval, '<=', interval '1 minute', 'the first retry comes soon');
CALL authsync.maintain();
SELECT is(tap.waiting(), '001:1 002:1 003:1 004:1 005:1 006:1', 'maintain() leaves alone what is not due');
SELECT tap.make_due() \g /dev/null
SELECT first_seen AS seen FROM authsync.quarantine WHERE user_id = tap.id(1) \gset
CALL authsync.maintain();
SELECT is(tap.waiting(), '001:2 002:2 003:2 004:2 005:2 006:2', 'what is due is tried again, and counted');
SELECT ok((SELECT bool_and(next_retry > now()) FROM authsync.quarantine), '… and put off again');
SELECT cmp_ok((SELECT max(next_retry) - now() FROM authsync.quarantine), '>', :'first_wait'::interval, '… longer than before');
SELECT is((SELECT first_seen FROM authsync.quarantine WHERE user_id = tap.id(1)), :'seen'::timestamptz, '… first_seen stays');

-- A row mended in the user is made when due.
UPDATE auth.users SET raw_user_meta_data = '{"display_name": "Good"}' WHERE id = tap.id(1);
SELECT tap.make_due() \g /dev/null
CALL authsync.maintain();
SELECT is((SELECT display_name FROM profiles WHERE id = tap.id(1)), 'Good', 'mended at its source, it is made when its time comes');
SELECT is(tap.waiting(), '002:3 003:3 004:3 005:3 006:3', '… and out of quarantine; the others have tried three times');
SELECT ok(EXISTS (SELECT FROM user_events WHERE user_id = tap.id(1) AND event_type IN ('profile_backfilled', 'profile_bootstrap_ok')), '… with an event');

-- The user goes, or the profile comes.
DELETE FROM auth.users WHERE id = tap.id(2);
SELECT is(tap.waiting(), '003:3 004:3 005:3 006:3', 'a deleted user waits no more');
UPDATE auth.users SET deleted_at = now() WHERE id = tap.id(3);
CALL authsync.maintain();
SELECT is(tap.waiting(), '004:3 005:3 006:3', '… nor one deleted softly');
INSERT INTO profiles (id, email) VALUES (tap.id(4), 'u4@example.com');
SELECT tap.make_due() \g /dev/null
CALL authsync.maintain();
SELECT is(tap.waiting(), '005:4 006:4', '… nor one whose profile somebody else has made');
UPDATE auth.users SET raw_user_meta_data = '{}' WHERE id = tap.id(5);
SELECT matches(backfill_user_profile(tap.id(5)) ->> 'status', '^(created|exists)$', 'backfill_user_profile() waits for nothing');
SELECT is(tap.waiting(), '006:4', '… and releases');
INSERT INTO profiles (id, email) VALUES (tap.id(6), 'u6@example.com');
SELECT is(backfill_user_profile(tap.id(6)) ->> 'status', 'exists', 'a profile made by hand exists');
SELECT is(tap.waiting(), 'nobody', '… which releases too');

-- backfill_user_profile and ensure_profile_exists on a bad row.
SELECT tap.sign_up(10, 11, 12) \g /dev/null
SELECT is(backfill_user_profile(tap.id(10)) - 'message', jsonb_build_object('user_id', tap.id(10), 'status', 'failed', 'sqlstate', '23514'), 'backfill_user_profile() says failed, and why');
SELECT ok((SELECT attempts = 2 FROM authsync.quarantine WHERE user_id = tap.id(10)), '… and counts the attempt');
SELECT throws_ok($$ SELECT ensure_profile_exists(tap.id(10)) $$, '23514', NULL, 'ensure_profile_exists() raises the row''s own error');

-- backfill_all: everything, due or not; one bad row costs only itself.
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
INSERT INTO auth.users (id, email, raw_user_meta_data, created_at)
    SELECT tap.id(n), 'u' || n || '@example.com', CASE WHEN n % 100 = 7 THEN '{"display_name": "Bad"}' ELSE '{}' END::jsonb, now() FROM generate_series(201, 700) AS n;
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
SELECT is(backfill_all_missing_profiles(), '{"dry_run": true, "total_missing": 503, "message": "Would backfill 503 profiles"}', 'a dry run counts');
SELECT is(tap.waiting(), '010:2 011:1 012:1', '… and changes nothing');
SELECT backfill_all_missing_profiles(50, false) AS answer \gset
SELECT is(:'answer'::jsonb - 'plan_id', '{"dry_run": false, "processed": 503, "successful": 495, "failed": 8, "quarantined": 8, "remaining": 8}', 'the backfill makes all but the eight bad ones');
SELECT is(jsonb_typeof(:'answer'::jsonb -> 'plan_id'), 'number', '… and names its plan');
SELECT is(tap.waiting(), '010:3 011:2 012:2 207:1 307:1 407:1 507:1 607:1', '… which wait');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_backfilled' AND details ->> 'plan_id' = :'answer'::jsonb ->> 'plan_id'), 495::bigint, 'events carry the plan');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_backfilled' AND details ->> 'plan_id' = :'answer'::jsonb ->> 'plan_id' AND EXISTS (
    SELECT FROM jsonb_each_text(details) AS d WHERE d.key <> 'plan_id' AND d.value ~ '^[0-9a-f]{16}$')), 495::bigint, '… and a hash of the row');
SELECT is((SELECT count(*) FROM user_events WHERE details::text ~ '@|Bad'), 0::bigint, '… and nobody''s data');
SELECT ok((SELECT kind = 'backfill' AND state IN ('applied', 'partly_applied') FROM authsync.plans WHERE plan_id = (:'answer'::jsonb ->> 'plan_id')::bigint), 'the plan is kept');
SELECT is((backfill_all_missing_profiles(1000000, false) - 'plan_id'), '{"dry_run": false, "processed": 8, "successful": 0, "failed": 8, "quarantined": 8, "remaining": 8}', 'again: the eight are tried again');
SELECT is(tap.waiting(), '010:4 011:3 012:3 207:2 307:2 407:2 507:2 607:2', '… and counted');

-- The same by CALL.
UPDATE auth.users SET raw_user_meta_data = '{}' WHERE id IN (tap.id(10), tap.id(11), tap.id(12));
CALL backfill_missing_profiles(2, 3) \g /dev/null
SELECT is((SELECT count(*) FROM auth.users AS u WHERE NOT EXISTS (SELECT FROM profiles AS p WHERE p.id = u.id) AND u.deleted_at IS NULL), 5::bigint, 'CALL … (2, 3) tries again too: those that are mended are made');
CALL backfill_missing_profiles() \g /dev/null
SELECT is(tap.waiting() ~ '^207:\d+ 307:\d+ 407:\d+ 507:\d+ 607:\d+$', true, '… and the five stay, after a whole CALL');
BEGIN;
CALL backfill_missing_profiles();
\set got :SQLSTATE
ROLLBACK;
SELECT is(:'got'::text, '2D000', 'CALL in a transaction block is 2D000');
ALTER TABLE profiles DROP CONSTRAINT nice_name;
SELECT tap.make_due() \g /dev/null
CALL authsync.maintain();
SELECT is(tap.waiting(), 'nobody', 'the constraint gone, maintain() makes the rest');
SELECT is((SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'), 0::bigint, '… nobody lacks a profile');

-- All bad: the profile table has changed. One and the same reason, counts exact.
SELECT count(*) FROM authsync.setup(mode => 'off') \g /dev/null
INSERT INTO auth.users (id, email, created_at) SELECT tap.id(n), 'u' || n || '@example.com', now() FROM generate_series(1001, 1200) AS n;
SELECT count(*) FROM authsync.setup(mode => 'safe') \g /dev/null
ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (false) NOT VALID;
SELECT is(backfill_all_missing_profiles(100, false) - 'plan_id' - 'quarantined' - 'processed' - 'failed', '{"dry_run": false, "successful": 0, "remaining": 200}', 'two hundred bad rows: none made, all remain');
SELECT cmp_ok((SELECT count(*) FROM authsync.quarantine WHERE constraint_name = 'nobody'), '>', 0::bigint, '… with the reason in quarantine');
ALTER TABLE profiles DROP CONSTRAINT nobody;
SELECT is(backfill_all_missing_profiles(100, false) - 'plan_id', '{"dry_run": false, "processed": 200, "successful": 200, "failed": 0, "quarantined": 0, "remaining": 0}', '… mended: all made');
SELECT is(tap.waiting(), 'nobody', '… nobody waits');

-- A backfill that is cut off leaves nothing behind, half of it or more.
SELECT tap.sign_up(20) \g /dev/null
DELETE FROM profiles WHERE id = tap.id(20);
SELECT count(*) AS events FROM user_events \gset
BEGIN;
SELECT backfill_all_missing_profiles(100, false) \g /dev/null
ROLLBACK;
SELECT is((SELECT count(*) FROM user_events), :events::bigint, 'rolled back: no event');
SELECT is((SELECT count(*) FROM profiles WHERE id = tap.id(20)), 0::bigint, '… no profile');

-- Bad arguments.
SELECT throws_ok('SELECT backfill_all_missing_profiles(0)', '22023', NULL, 'batch_size 0');
SELECT throws_ok('SELECT backfill_all_missing_profiles(2000000000)', '22023', NULL, 'batch_size of 2 billion');
SELECT throws_ok('SELECT backfill_all_missing_profiles(100, NULL)', '22004', NULL, 'dry_run NULL');
SELECT throws_ok('SELECT backfill_user_profile(NULL)', '22004', NULL, 'user_id NULL');
SELECT throws_ok($$ SELECT backfill_user_profile(tap.id(99999)) $$, '42704', NULL, 'an unknown user');
SELECT throws_ok($$ SELECT ensure_profile_exists(tap.id(3)) $$, '22023', NULL, 'a deleted user');

SELECT * FROM finish();
