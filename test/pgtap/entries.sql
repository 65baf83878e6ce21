-- What an entry of the audit log says is read by C: the same that PostgreSQL's operators would say of every payload. And the extract, which a
-- trigger keeps, is what the log says, in whatever way an entry comes in.
\i test/fixture/contract.sql
SELECT plan(32);

-- What the extract has and the SQL would not have written, and the other way round; the log is read again by UPDATE.
CREATE FUNCTION tap.disagreement() RETURNS TABLE (kept text, read text) LANGUAGE plpgsql AS $$
BEGIN
    CREATE TEMP TABLE was ON COMMIT DROP AS SELECT x.audit_id, x::text AS line FROM authsync.signups AS x;
    UPDATE auth.audit_log_entries SET created_at = created_at;
    RETURN QUERY SELECT w.line, x::text FROM was AS w FULL JOIN authsync.signups AS x ON x.audit_id = w.audit_id WHERE w.line IS DISTINCT FROM x::text;
    DROP TABLE was;
END $$;
CREATE FUNCTION tap.agreed(why text) RETURNS text LANGUAGE sql AS
    $$ SELECT tap.is((SELECT string_agg(concat_ws(' <> ', coalesce(d.kept, '-'), coalesce(d.read, '-')), E'\n') FROM (SELECT * FROM tap.disagreement() LIMIT 5) AS d), NULL, why) $$;
-- … and the journal's sum is what there is.
CREATE FUNCTION tap.counted(why text) RETURNS text LANGUAGE sql AS
    $$ SELECT tap.is((SELECT sum(signups) FROM authsync.changes)::bigint, (SELECT count(*) FROM authsync.signups WHERE action = 'user_signedup'), why) $$;

-- An entry, spelled out.
CREATE FUNCTION tap.uuid(x text) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT CASE WHEN x ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' THEN x::uuid END $$;
CREATE VIEW tap.spelled_out AS SELECT a.id, a.ip_address, a.created_at, e ->> 'action' AS action, tap.uuid(e ->> 'actor_id') AS actor_id,
    coalesce(nullif(tap.uuid(e #>> '{traits,user_id}'), '00000000-0000-0000-0000-000000000000'), nullif(tap.uuid(e ->> 'actor_id'), '00000000-0000-0000-0000-000000000000')) AS user_id,
    coalesce(nullif(e #>> '{traits,user_email}', ''), CASE WHEN strpos(e ->> 'actor_username', '@') > 0 AND e ->> 'action' <> 'user_deleted' THEN e ->> 'actor_username' END) AS email
  FROM auth.audit_log_entries AS a, LATERAL (SELECT authsync.clean_json(a.payload::json) AS e OFFSET 0) AS c
 WHERE strpos(a.payload::text, '"user_') > 0 AND e ->> 'action' IN ('user_signedup', 'user_invited', 'user_confirmation_requested', 'user_deleted');

-- Every combination of what a key of the entry may hold, in both orders, with keys twice and escaped, nested and where they do not belong.
CREATE TEMP TABLE piece (key text, json text);
INSERT INTO piece VALUES
    ('action', '"action":"user_signedup"'), ('action', '"action":"user_invited"'), ('action', '"action":"user_confirmation_requested"'), ('action', '"action":"user_deleted"'),
    ('action', '"action":"token_refreshed"'), ('action', '"action":"user_signedup_not"'), ('action', '"action":"user_modified"'), ('action', '"action":"user_signed\u0075p"'),
    ('action', '"action":"\u0075ser_deleted"'), ('action', '"\u0061ction":"user_signedup"'), ('action', '"action":"user_signedup","action":"user_deleted"'), ('action', '"action":"user_signedup","action":null'),
    ('action', '"action":null,"action":"user_signedup"'), ('action', '"action":["user_signedup"]'), ('action', '"action":"user_signedup\n"'), ('action', '"x":"user_signedup"'),
    ('action', ' "action" : "user_signedup" '), ('action', '"action":"user_signedup\u0000"'),
    ('actor', '"x":1'), ('actor', '"actor_id":"00000000-0000-4000-8000-000000000001"'), ('actor', '"actor_id":"ABCDEF00-0000-4000-8000-000000000002"'),
    ('actor', '"actor_id":"00000000-0000-0000-0000-000000000000"'), ('actor', '"actor_id":null'), ('actor', '"actor_id":17'), ('actor', '"actor_id":""'), ('actor', '"actor_id":"00000000-0000-4000-8000-00000000000g"'),
    ('actor', '"actor_id":"00000000-0000-4000-8000-000000000001","actor_id":"00000000-0000-4000-8000-000000000003"'), ('actor', '"actor_id":"00000000-0000-4000-8000-00000000000\u0034"'),
    ('name', '"y":{}'), ('name', '"actor_username":"ada@example.com"'), ('name', '"actor_username":"\u0061d\u00e4\ud83d\ude00@example.com"'), ('name', '"actor_username":"half\ud83d@example.com\udc00"'), ('name', '"actor_username":"4915112345678"'),
    ('name', '"actor_username":null'), ('name', '"actor_username":["a@b", {"actor_id":"x"}]'), ('name', '"actor_username":{"a":"@","action":"user_invited"}'), ('name', '"actor_username":"a@b","actor_username":1'), ('name', '"actor_username":"back\\\\u0000\"@"'),
    ('traits', '"traits":{}'), ('traits', '"traits":{"user_id":"00000000-0000-4000-8000-000000000005","user_email":"bo@example.com"}'), ('traits', '"traits":{"user_email":""}'),
    ('traits', '"traits":{"user_email":{"a" : [1, 2]},"user_id":{"user_id":"00000000-0000-4000-8000-000000000006"}}'), ('traits', '"traits":null'), ('traits', '"traits":"user_id"'),
    ('traits', '"traits":[{"user_id":"00000000-0000-4000-8000-000000000007"}]'), ('traits', '"traits":{"traits":{"user_id":"00000000-0000-4000-8000-000000000008"}}'),
    ('traits', '"traits":{"user_id":"00000000-0000-4000-8000-000000000009"},"traits":{"user_email":"twice@example.com"}'), ('traits', '"traits":{"user_id":"00000000-0000-4000-8000-000000000009","user_id":null},"traits":{"user_id":"x"}'),
    ('traits', '"user_id":"00000000-0000-4000-8000-000000000010","user_email":"lost@example.com"'), ('traits', '"tr\u0061its":{"user_\u0069d":"00000000-0000-4000-8000-000000000011","user_email":17}'),
    ('traits', '"traits":{"x":{"user_email":"deep@example.com"},"actor_id":"00000000-0000-4000-8000-000000000012","action":"user_deleted","user_email":true}');
INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
    SELECT NULL, gen_random_uuid(), format(CASE WHEN o THEN '{%1$s,%2$s,%3$s,%4$s}' ELSE '{ %4$s , %3$s, %2$s, %1$s }' END, a.json, i.json, n.json, t.json)::json, CASE WHEN o THEN now() END, n.key || length(n.json)
      FROM piece AS a, piece AS i, piece AS n, piece AS t, (VALUES (true), (false)) AS v(o)
     WHERE a.key = 'action' AND i.key = 'actor' AND n.key = 'name' AND t.key = 'traits';
SELECT cmp_ok((SELECT count(*) FROM auth.audit_log_entries), '>', 40000::bigint, 'many payloads');
SELECT cmp_ok((SELECT count(*) FROM authsync.signups), '>', 20000::bigint, '… half of them kept');
SELECT is((SELECT count(*) FROM authsync.signups), (SELECT count(*) FROM tap.spelled_out), '… those that are to be');
SELECT is((SELECT string_agg(concat(s, ' <> ', o), E'\n') FROM (SELECT s, o FROM authsync.signups AS s FULL JOIN tap.spelled_out AS o ON o.id = s.audit_id
    WHERE (s.user_id, s.email, s.action, s.actor_id, s.ip_address, s.created_at) IS DISTINCT FROM (o.user_id, o.email, o.action, o.actor_id, o.ip_address::text, o.created_at) LIMIT 5) AS d), NULL, '… as the operators of json would say it');
SELECT cmp_ok((SELECT count(DISTINCT (user_id, email, action, actor_id)) FROM authsync.signups), '>', 250::bigint, '… of many kinds');
SELECT tap.agreed('all of them read alike');
SELECT tap.counted('… and counted');
SELECT is((SELECT count(*) FROM authsync.suspects AS s WHERE user_id = tap.id(5)) > 0, true, 'whoever they speak of is a suspect');
TRUNCATE auth.audit_log_entries;
CALL authsync.maintain();
SELECT is((SELECT count(*) FROM authsync.signups), 0::bigint, 'truncated and read again');

-- No objects at all, long ones, deep ones.
SELECT count(tap.log(payload::json)) AS n FROM unnest(ARRAY['null', '17', '"user_signedup"', '[]', '["user_signedup"]', '[{"action":"user_signedup"}]', '{}', '{"action":{"action":"user_signedup"}}',
    format('{"pad":"%s","action":"user_signedup","actor_username":"%s@x"}', repeat('x', 100000), repeat('y', 3000)), format('{"deep":%s1%s,"action":"user_signedup"}', repeat('[', 900), repeat(']', 900))]) AS payload \gset
SELECT is((SELECT count(*) FROM authsync.signups), 2::bigint, 'long and deep');
SELECT tap.agreed('… read alike');

-- Ways to come in. Each leaves in the extract what the log has.
CREATE FUNCTION tap.one(n integer, action text DEFAULT 'user_signedup') RETURNS json LANGUAGE sql AS $$ SELECT json_build_object('action', action, 'actor_id', tap.id(n), 'actor_username', n || '@example.com') $$;
DELETE FROM auth.audit_log_entries;
INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(100), tap.one(100)), (tap.id(101), tap.one(101, 'login')), (tap.id(102), tap.one(102));
WITH gone AS (DELETE FROM auth.audit_log_entries RETURNING id)
    INSERT INTO auth.audit_log_entries (id, payload) SELECT id, tap.one(103, CASE WHEN id = tap.id(102) THEN 'login' ELSE 'user_invited' END) FROM gone;
SELECT is((SELECT string_agg(concat_ws(' ', audit_id, user_id, action), ', ' ORDER BY audit_id) FROM authsync.signups),
    concat_ws(', ', concat_ws(' ', tap.id(100), tap.id(103), 'user_invited'), concat_ws(' ', tap.id(101), tap.id(103), 'user_invited')), 'deleted and inserted anew in one statement');
SELECT tap.agreed('… agreed');
WITH moved AS (UPDATE auth.audit_log_entries SET id = tap.id(200) WHERE id = tap.id(100) RETURNING 1)
    INSERT INTO auth.audit_log_entries (id, payload) SELECT tap.id(100), tap.one(104, 'user_deleted') FROM moved;
SELECT is((SELECT string_agg(right(audit_id::text, 3) || ' ' || right(user_id::text, 3) || ' ' || action, ', ' ORDER BY audit_id) FROM authsync.signups), '100 104 user_deleted, 101 103 user_invited, 200 103 user_invited',
    'an id given to another in the statement that takes it from one');
SELECT tap.agreed('… agreed');
INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(101), tap.one(105)), (tap.id(106), tap.one(106)) ON CONFLICT DO NOTHING;
SELECT is((SELECT count(*) FROM authsync.signups WHERE user_id IN (tap.id(105), tap.id(106))), 1::bigint, 'ON CONFLICT DO NOTHING');
INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(101), tap.one(105)), (tap.id(107), tap.one(107)) ON CONFLICT (id) DO UPDATE SET payload = excluded.payload;
SELECT is((SELECT count(*) FROM authsync.signups WHERE user_id IN (tap.id(105), tap.id(107))), 2::bigint, 'ON CONFLICT DO UPDATE');
BEGIN;
SAVEPOINT s;
INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(108), tap.one(108));
ROLLBACK TO s;
INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(108), tap.one(109));
COMMIT;
SELECT is((SELECT user_id FROM authsync.signups WHERE audit_id = tap.id(108)), tap.id(109), 'an id used again after ROLLBACK TO');
SELECT tap.agreed('… agreed');
SELECT tap.counted('… and counted');

-- Other people's triggers.
CREATE FUNCTION tap.meddle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    CASE TG_ARGV[0]
        WHEN 'discard' THEN RETURN NULL;
        WHEN 'change' THEN NEW.payload := tap.one(111, 'user_invited');
        WHEN 'update' THEN UPDATE auth.audit_log_entries SET payload = tap.one(112, 'user_invited') WHERE id = NEW.id;
        WHEN 'delete' THEN DELETE FROM auth.audit_log_entries WHERE id = NEW.id;
        WHEN 'again' THEN
            DELETE FROM auth.audit_log_entries WHERE id = NEW.id;
            IF pg_trigger_depth() = 1 THEN
                INSERT INTO auth.audit_log_entries (id, payload) VALUES (NEW.id, tap.one(113, 'user_invited'));
            END IF;
    END CASE;
    RETURN NEW;
END $$;
CREATE FUNCTION tap.met(timing text, name text, what text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER %I %s INSERT ON auth.audit_log_entries FOR EACH ROW EXECUTE FUNCTION tap.meddle(%L)', name, timing, what);
    INSERT INTO auth.audit_log_entries (id, payload) VALUES (tap.id(110), tap.one(110));
    RETURN (SELECT string_agg(right(user_id::text, 3), ',') FROM authsync.signups WHERE audit_id = tap.id(110));
END $$;
BEGIN;
SELECT is(tap.met('BEFORE', 'zz', 'discard'), NULL, 'discarded by a later trigger');
ROLLBACK;
BEGIN;
SELECT is(tap.met('BEFORE', 'zz', 'change'), '111', 'changed by one');
ROLLBACK;
BEGIN;
SELECT is(tap.met('AFTER', 'aa', 'update'), '112', 'updated before us');
ROLLBACK;
BEGIN;
SELECT is(tap.met('AFTER', 'zz', 'update'), '112', '… after us');
ROLLBACK;
BEGIN;
SELECT is(tap.met('AFTER', 'aa', 'delete'), NULL, 'deleted before us');
ROLLBACK;
BEGIN;
SELECT is(tap.met('AFTER', 'zz', 'delete'), NULL, '… after us');
ROLLBACK;
BEGIN;
SELECT is(tap.met('AFTER', 'aa', 'again'), NULL, 'deleted, inserted again and deleted');
ROLLBACK;

-- An entry too long for a page is toasted on its way into the extract, one among many: the extract's indexes have it like the others.
BEGIN;
INSERT INTO auth.audit_log_entries (id, payload, created_at)
    SELECT gen_random_uuid(), json_build_object('action', 'user_signedup', 'actor_id', format('0000000a-0000-4000-8000-%s', lpad(n::text, 12, '0')), 'actor_username',
               CASE WHEN n % 10 = 5 THEN (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) AS i) ELSE 'someone' END || '@example.com'), now()
      FROM generate_series(1, 40) AS n;
SET LOCAL enable_seqscan = off;
SELECT is((SELECT count(*) FROM authsync.signups WHERE user_id = '0000000a-0000-4000-8000-000000000005'), 1::bigint, 'a toasted entry is found by its user');
SELECT is((SELECT count(*) FROM generate_series(1, 40) AS n, LATERAL (SELECT FROM authsync.signups AS s
            WHERE s.user_id = format('0000000a-0000-4000-8000-%s', lpad(n::text, 12, '0'))::uuid) AS f), 40::bigint, '… and so are those around it');
SELECT is((SELECT max(length(email)) FROM signup_audit_summary), 9612, '… in full');
ROLLBACK;

-- A log of other types goes the long way to the same end.
DELETE FROM auth.audit_log_entries;
ALTER TABLE auth.audit_log_entries ALTER COLUMN payload TYPE jsonb USING payload::jsonb, ALTER COLUMN created_at TYPE timestamp;
SET client_min_messages = error;
SELECT count(*) AS steps FROM authsync.setup() \gset
CALL authsync.maintain();
INSERT INTO auth.audit_log_entries (id, payload, created_at) SELECT gen_random_uuid(), format('{%s,%s,%s}', a.json, n.json, t.json)::jsonb, now() FROM piece AS a, piece AS n, piece AS t
    WHERE a.key = 'action' AND n.key = 'name' AND t.key = 'traits' AND concat(a.json, n.json, t.json) !~ '\\u0000|ud83d@|udc00"';
SELECT cmp_ok((SELECT count(*) FROM authsync.signups), '>', 500::bigint, 'jsonb and timestamp');
SELECT tap.agreed('… read alike');

SELECT * FROM finish();
