-- A profile that a sign-up or a batch inserts without a statement is the profile that a statement would have made.
-- Each shape of table is tried three times with the same people: one by one through the trigger, all in one statement,
-- and one by one by backfill_user_profile(), which always uses a statement.
\i test/fixture/contract.sql
SELECT no_plan();
DROP INDEX auth.users_email_partial_key;	-- several of the people have an empty address

CREATE TABLE tap.people (n integer, email text, meta jsonb, app jsonb);
INSERT INTO tap.people VALUES
    (1, 'one@example.com', '{"display_name": "One", "full_name": "One Person", "nick": "o"}', '{"tier": "gold", "seats": "3"}'),
    (2, NULL, NULL, NULL),
    (3, '', '{}', '{}'),
    (4, 'FOUR@Example.com', '{"display_name": "", "full_name": "   ", "seats": 4}', '{"tier": null, "seats": ""}'),
    (5, 'five@example.com', '{"display_name": "Fünf ☃", "full_name": "x", "tags": ["a", "b"]}', '{"tier": "silver", "seats": "many"}'),
    (6, 'six@example.com', jsonb_build_object('display_name', repeat('long ', 3000), 'full_name', repeat('y', 60)), '{"tier": "bronze"}'),
    (7, 'seven@example.com', '["not", "an", "object"]', '"text"');

-- What became of the people of a run: their profiles without what differs by run, and who waits, with which error.
CREATE FUNCTION tap.outcome(run integer) RETURNS text LANGUAGE plpgsql AS $$
DECLARE made text; waits text;
BEGIN
    SELECT string_agg(right(j ->> 'id', 4)::int % 10 || ' ' || (replace(j::text, lpad((run * 10 + right(j ->> 'id', 4)::int % 10)::text, 12, '0'), 'N')::jsonb - '{id,created_at,made_at,serial,uid}'::text[])::text, E'\n' ORDER BY j ->> 'id')
      INTO made FROM (SELECT to_jsonb(p) AS j FROM public.profiles AS p) AS x WHERE (j ->> 'id') LIKE '%0' || run || '_';
    SELECT string_agg(right(user_id::text, 1) || ' ' || sqlstate || ' ' || coalesce(constraint_name, '') || coalesce(column_name, ''), ', ' ORDER BY user_id)
      INTO waits FROM authsync.quarantine WHERE user_id::text LIKE '%0' || run || '_';
    RETURN concat_ws(E'\n', made, 'waiting: ' || waits);
END $$;
CREATE FUNCTION tap.insert_person(p tap.people, run integer) RETURNS void LANGUAGE sql AS
    $$ INSERT INTO auth.users (id, email, raw_user_meta_data, raw_app_meta_data, created_at)
       VALUES (tap.id(run * 10 + p.n), CASE WHEN p.email <> '' THEN run || p.email ELSE p.email END, p.meta, p.app, '2026-01-01') $$;
CREATE FUNCTION tap.same(what text, columns jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE p tap.people; one text; many text; statement text;
BEGIN
    SET LOCAL client_min_messages = error;
    PERFORM count(*) FROM authsync.setup(profiles => 'public.profiles', columns => columns);
    FOR p IN SELECT * FROM tap.people ORDER BY n LOOP PERFORM tap.insert_person(p, 1); END LOOP;
    INSERT INTO auth.users (id, email, raw_user_meta_data, raw_app_meta_data, created_at)
    SELECT tap.id(20 + x.n), CASE WHEN x.email <> '' THEN '2' || x.email ELSE x.email END, x.meta, x.app, '2026-01-01' FROM tap.people AS x;
    SET LOCAL session_replication_role = replica;
    FOR p IN SELECT * FROM tap.people ORDER BY n LOOP PERFORM tap.insert_person(p, 3); END LOOP;
    SET LOCAL session_replication_role = origin;
    FOR p IN SELECT * FROM tap.people ORDER BY n LOOP PERFORM backfill_user_profile(tap.id(30 + p.n)); END LOOP;
    one := replace(tap.outcome(1), '"1', '"');
    many := replace(tap.outcome(2), '"2', '"');
    statement := replace(tap.outcome(3), '"3', '"');
    RETURN NEXT isnt(statement, '', what || ': somebody was made, or waits');
    RETURN NEXT is(one, statement, what || ': one by one');
    RETURN NEXT is(many, statement, what || ': many at once');
    RETURN NEXT is((SELECT count(*) FROM auth_profile_mismatch WHERE status IN ('profile_only', 'email_mismatch')), 0::bigint, what || ': nothing is out of step but who waits');
    DELETE FROM auth.users;
    PERFORM count(*) FROM authsync.setup(mode => 'off');
    PERFORM count(*) FROM authsync.setup(mode => 'safe');
END $$;
-- Another table in the place of profiles.
CREATE FUNCTION tap.shape(columns text, VARIADIC more text[] DEFAULT '{}') RETURNS void LANGUAGE plpgsql AS $$
DECLARE x text;
BEGIN
    SET LOCAL client_min_messages = error;
    DROP TABLE IF EXISTS public.profiles CASCADE;
    EXECUTE 'CREATE TABLE public.profiles (' || columns || ')';
    FOREACH x IN ARRAY more LOOP EXECUTE x; END LOOP;
END $$;

SELECT tap.same('the usual table');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email varchar(20), full_name varchar(8), display_name char(12), nick name');
SELECT tap.same('lengths that a value may break');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text NOT NULL UNIQUE, seats int NOT NULL DEFAULT 1, tier text NOT NULL DEFAULT ''none''');
SELECT tap.same('NOT NULL, a number that is none', '{"seats": "app_metadata.seats", "tier": "app_metadata.tier"}');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, tier text', 'CREATE TYPE public.tier AS ENUM (''gold'', ''silver'')',
    'ALTER TABLE public.profiles ALTER tier TYPE public.tier USING tier::public.tier');
SELECT tap.same('an enum that lacks a value', '{"tier": "app_metadata.tier"}');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, tier text CHECK (tier <> ''silver''), made_at timestamptz DEFAULT clock_timestamp(), serial bigserial, uid uuid DEFAULT gen_random_uuid(), gone int, twice text GENERATED ALWAYS AS (tier || tier) STORED',
    'ALTER TABLE public.profiles DROP COLUMN gone', 'ALTER TABLE public.profiles ADD late int DEFAULT 7', 'CREATE INDEX ON public.profiles (lower(email)) WHERE tier IS NOT NULL');
SELECT tap.same('checks, sequences, generated and dropped columns, an index of an expression', '{"tier": {"from": "app_metadata.tier", "default": "none"}}');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, n int GENERATED BY DEFAULT AS IDENTITY, email text, tags text[], all_meta jsonb',
    'ALTER TABLE public.profiles RENAME n TO serial');
SELECT tap.same('identity, an array, jsonb', '{"tags": "user_metadata.tags", "all_meta": "user_metadata.full_name"}');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, tier text', 'CREATE DOMAIN public.metal AS text CHECK (VALUE <> ''gold'')',
    'ALTER TABLE public.profiles ALTER tier TYPE public.metal');
SELECT tap.same('a domain', '{"tier": "app_metadata.tier"}');
CREATE TABLE tap.tiers (name text PRIMARY KEY);
INSERT INTO tap.tiers VALUES ('gold');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, tier text REFERENCES tap.tiers');
SELECT tap.same('a foreign key to another table', '{"tier": "app_metadata.tier"}');
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED, email text');
SELECT tap.same('a deferred foreign key');
SELECT tap.shape('id text PRIMARY KEY, email text, tier text');
SELECT tap.same('a text key, no foreign key', '{"id": {"from": "user_id", "key": true}, "tier": {"from": "app_metadata.tier", "allow": ["gold"], "default": "none"}}');
DELETE FROM public.profiles;
CREATE FUNCTION tap.touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF TG_WHEN = 'BEFORE' THEN NEW.tier := coalesce(NEW.tier, 'untold') || length(current_setting('search_path')); IF NEW.email ~ 'five' THEN RETURN NULL; END IF; END IF;
    IF TG_WHEN = 'AFTER' THEN INSERT INTO tap.fired VALUES (NEW.id, current_user, current_setting('search_path')); END IF;
    RETURN NEW;
END $$;
CREATE TABLE tap.fired (id uuid, who name, path text);
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, tier text',
    'CREATE TRIGGER b BEFORE INSERT ON public.profiles FOR EACH ROW EXECUTE FUNCTION tap.touch()', 'CREATE TRIGGER a AFTER INSERT ON public.profiles FOR EACH ROW EXECUTE FUNCTION tap.touch()');
SELECT tap.same('triggers before and after, one that discards', '{"tier": "app_metadata.tier"}');
SELECT is((SELECT array_agg(DISTINCT n) FROM (SELECT count(*) AS n FROM tap.fired GROUP BY id) AS x), ARRAY[1::bigint], '… each fired once for each');
SELECT is((SELECT count(*) FROM tap.fired), 18::bigint, '… for all that were made');
SELECT is((SELECT array_agg(DISTINCT path) FROM tap.fired), ARRAY['pg_catalog, pg_temp'], '… under the pinned path');
SELECT tap.shape('id uuid PRIMARY KEY, email text, n int', 'CREATE FUNCTION tap.count_all() RETURNS trigger LANGUAGE plpgsql AS $f$ BEGIN UPDATE public.profiles SET n = 1; RETURN NULL; END $f$',
    'CREATE TRIGGER s AFTER INSERT ON public.profiles FOR EACH STATEMENT EXECUTE FUNCTION tap.count_all()');
SELECT tap.same('a trigger of the statement');
SELECT is((SELECT count(*) FROM public.profiles WHERE n IS NULL), 0::bigint, '… which fired');
DELETE FROM public.profiles;

-- ---- what the direct way leaves out is proven, or not left out
SELECT tap.shape('id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text');
SELECT count(*) FROM authsync.setup(columns => '{}') \g /dev/null
CALL authsync.maintain();
INSERT INTO auth.users (id, email) VALUES (tap.id(1), 'a@example.com'), (tap.id(2), 'b@example.com');
SELECT is((SELECT count(*) FROM pg_locks WHERE relation = 'auth.users'::regclass AND mode = 'RowShareLock' AND pid = pg_backend_pid()), 0::bigint, 'no look-up of the users');
DELETE FROM auth.users WHERE id = tap.id(1);
SELECT is((SELECT array_agg(id) FROM profiles), ARRAY[tap.id(2)], 'the foreign key cascades as ever');
-- A BEFORE trigger that puts another key into the row: the key is checked.
CREATE FUNCTION tap.stray() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := tap.id(999); RETURN NEW; END $$;
CREATE TRIGGER stray BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION tap.stray();
SET client_min_messages = error;
INSERT INTO auth.users (id, email) VALUES (tap.id(3), 'c@example.com');
RESET client_min_messages;
SELECT is((SELECT count(*) FROM profiles AS p WHERE NOT EXISTS (SELECT FROM auth.users AS u WHERE u.id = p.id)), 0::bigint, 'no profile without user, whatever a trigger puts into the row');
SELECT is((SELECT sqlstate FROM authsync.quarantine WHERE user_id = tap.id(3)), '23503', '… who was to have it waits');
DROP TRIGGER stray ON profiles;
-- Somebody who has one already, by an import.
ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey;
INSERT INTO profiles VALUES (tap.id(4), 'old@example.com');
INSERT INTO auth.users (id, email) VALUES (tap.id(4), 'd@example.com'), (tap.id(5), 'e@example.com');
SELECT results_eq($$ SELECT id, email FROM profiles WHERE id IN (tap.id(4), tap.id(5)) ORDER BY id $$, $$ VALUES (tap.id(4), 'd@example.com'), (tap.id(5), 'e@example.com') $$, 'one of two had a profile: kept, and in step');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_bootstrap_ok' AND user_id = tap.id(4)), 0::bigint, '… and was not called made');
SELECT is((SELECT drift_total FROM monitor_signup_health()), (SELECT count(*) FROM auth_profile_mismatch WHERE status NOT IN ('healthy', 'audit_only')), 'the books agree');
-- An owner who may not.
SELECT has_table_privilege('profiles', 'INSERT') AS may \gset
CREATE ROLE direct_owner NOLOGIN;
GRANT USAGE, CREATE ON SCHEMA public TO direct_owner;
ALTER TABLE profiles OWNER TO direct_owner;
REVOKE INSERT ON profiles FROM direct_owner;
SET client_min_messages = error;
INSERT INTO auth.users (id, email) VALUES (tap.id(6), 'f@example.com');
RESET client_min_messages;
SELECT is((SELECT sqlstate FROM authsync.quarantine WHERE user_id = tap.id(6)), '42501', 'an owner without INSERT is refused as by any statement');
GRANT INSERT ON profiles TO direct_owner;
ALTER TABLE profiles ENABLE ROW LEVEL SECURITY;
ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
SET client_min_messages = error;
INSERT INTO auth.users (id, email) VALUES (tap.id(7), 'g@example.com');
RESET client_min_messages;
SELECT is((SELECT sqlstate FROM authsync.quarantine WHERE user_id = tap.id(7)), '42501', '… and by forced row security');
ALTER TABLE profiles NO FORCE ROW LEVEL SECURITY;
-- The lock timeout of the session is what it was, whatever happened in between.
SET lock_timeout = '7s';
INSERT INTO auth.users (id, email) VALUES (tap.id(8), 'h@example.com');
SELECT is(current_setting('lock_timeout'), '7s', 'lock_timeout after a sign-up');
ALTER TABLE profiles ADD CONSTRAINT never CHECK (email <> 'i@example.com');
SET client_min_messages = error;
INSERT INTO auth.users (id, email) VALUES (tap.id(9), 'i@example.com');
RESET client_min_messages;
SELECT is(current_setting('lock_timeout'), '7s', '… and after one that failed');
RESET lock_timeout;
SELECT is(current_setting('lock_timeout'), '0', '… and reset');

-- ---- many: more than are held at once, from a file
SET work_mem = '64kB';
INSERT INTO auth.users (id, email) SELECT tap.id(n), 'many' || n || '@example.com' FROM generate_series(100000, 170000) AS n;
RESET work_mem;
SELECT is((SELECT count(*) FROM profiles WHERE email LIKE 'many%'), 70001::bigint, '70,001 users in one statement');
SELECT is((SELECT count(*) FROM user_events WHERE event_type = 'profile_bootstrap_ok' AND user_id >= tap.id(100000)), 70001::bigint, '… with an event for each');
SELECT is((SELECT sum(users) - (SELECT count(*) FROM auth.users) FROM authsync.changes), 0::numeric, '… and the totals are right');
DELETE FROM auth.users WHERE id >= tap.id(100000);
DELETE FROM profiles WHERE id >= tap.id(100000);
SELECT is((SELECT sum(profiles) - (SELECT count(*) FROM profiles) FROM authsync.changes), 0::numeric, '… also of profiles');

SELECT * FROM finish();
DROP OWNED BY direct_owner CASCADE;
DROP ROLE direct_owner;
