-- Events older than authsync.event_retention go with CALL authsync.maintain(); no others.
\i test/fixture/contract.sql
SELECT plan(10);

INSERT INTO user_events (event_type, created_at) SELECT 'old', now() - interval '91 days' FROM generate_series(1, 25000);
INSERT INTO user_events (event_type, created_at) SELECT 'young', now() - interval '89 days' FROM generate_series(1, 20);
LOAD 'authsync';
SELECT is(current_setting('authsync.event_retention'), '90 days', '90 days by default');

SET authsync.event_retention = '0';
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'old'), 25000::bigint, '0 keeps all');
RESET authsync.event_retention;
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'old'), 0::bigint, 'the old ones go, more than a batch of them');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'young'), 20::bigint, '… and nobody else');
SET authsync.event_retention = '1 month 2 weeks';
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'young'), 0::bigint, 'a shorter time');

SELECT throws_ok($$SET authsync.event_retention = 'a while'$$, '22023', NULL, 'no interval: refused');
SELECT throws_ok($$SET authsync.event_retention = '-1 day'$$, '22023', NULL, '… nor a negative one');
SELECT throws_ok($$SET authsync.event_retention = ''$$, '22023', NULL, '… nor nothing');
SELECT is(current_setting('authsync.event_retention'), '1 month 2 weeks', '… and what was set stays');
SET ROLE authenticated;
SELECT throws_ok($$SET authsync.event_retention = '1 day'$$, '42501', NULL, 'not by everybody');
RESET ROLE;
SELECT * FROM finish();
