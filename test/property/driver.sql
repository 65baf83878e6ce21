-- Random histories of interleaved transactions, and the question after each
-- step: do the books say what the full comparison says?
--
--   SELECT * FROM property.run(first_seed, histories, steps);
--
-- A history is told by its seed alone, as far as its steps go; who gets a lock
-- first is up to the server. What went wrong is raised, with all steps.
CREATE EXTENSION IF NOT EXISTS dblink;
CREATE SCHEMA property;

CREATE FUNCTION property.uid(n integer) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$ SELECT lpad(n::text, 32, '0')::uuid $$;

-- Everything that people can ask, as text.
CREATE FUNCTION property.answers() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    question text;
    answer   text;
    result   text := '';
BEGIN
    FOREACH question IN ARRAY ARRAY[
        'SELECT * FROM auth_profile_mismatch', 'SELECT * FROM auth_profile_mismatch WHERE status <> ''healthy''',
        'SELECT * FROM get_auth_profile_mismatches(NULL)', 'SELECT * FROM get_auth_profile_mismatches(2)',
        'SELECT * FROM diagnose_auth_profile_consistency()', 'SELECT * FROM verify_profile_completeness()',
        'SELECT * FROM monitor_signup_health(''1 hour'')', 'SELECT * FROM check_recent_signup_issues(''1 hour'')',
        'SELECT * FROM get_registration_stats(3)', 'SELECT * FROM signup_audit_summary',
        'SELECT backfill_all_missing_profiles()',
        'SELECT n, e.* FROM generate_series(1, 4) AS n, get_user_signup_events(property.uid(n)) AS e'] LOOP
        EXECUTE format('SELECT coalesce(string_agg(q::text, E''\n'' ORDER BY q::text), '''') FROM (%s) AS q', question) INTO answer;
        result := result || question || E'\n' || answer || E'\n';
    END LOOP;
    RETURN result;
END $$;

-- The first difference between both ways to answer, or ''. trusted: whether the books were used at all.
CREATE FUNCTION property.difference(OUT trusted boolean, OUT difference text) LANGUAGE plpgsql AS $$
DECLARE
    compared text;
    kept     text;
BEGIN
    trusted := authsync.bookkeeping_is_trusted('history');
    PERFORM set_config('authsync.trust_bookkeeping', 'off', true);
    compared := property.answers();
    PERFORM set_config('authsync.trust_bookkeeping', 'on', true);
    kept := property.answers();
    difference := '';
    IF compared <> kept THEN
        SELECT string_agg(d.line, E'\n') INTO difference FROM (
            (SELECT 'compared: ' || line AS line FROM regexp_split_to_table(compared, E'\n') AS line EXCEPT ALL SELECT 'compared: ' || line FROM regexp_split_to_table(kept, E'\n') AS line)
            UNION ALL
            (SELECT 'kept:     ' || line FROM regexp_split_to_table(kept, E'\n') AS line EXCEPT ALL SELECT 'kept:     ' || line FROM regexp_split_to_table(compared, E'\n') AS line)) AS d;
    END IF;
END $$;

-- A number below n; one of several.
CREATE FUNCTION property.below(n integer) RETURNS integer LANGUAGE sql AS $$ SELECT least(floor(random() * n)::integer, n - 1) $$;
CREATE FUNCTION property.one(VARIADIC choices text[]) RETURNS text LANGUAGE sql AS $$ SELECT choices[1 + property.below(cardinality(choices))] $$;

CREATE FUNCTION property.entry() RETURNS text LANGUAGE sql AS $$
    SELECT format('{"action": "%s", "actor_id": "%s", "actor_username": "%s@example.test", "traits": {"user_id": "%s"}}',
        property.one('user_signedup', 'user_signedup', 'user_deleted', 'user_invited', 'token_refreshed', 'login'),
        property.uid(1 + property.below(4)), property.one('a', 'b'), property.uid(1 + property.below(4))) $$;

-- A random change. :key is the column of profiles that holds the user's id, :email whether profiles have one.
CREATE TABLE property.shape (key name, email boolean, identity text);
CREATE FUNCTION property.change() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    s   property.shape;
    u   text := quote_literal(property.uid(1 + property.below(4)));
    v   text := quote_literal(property.uid(1 + property.below(4)));
    e   text := quote_literal(property.one('a@example.test', 'b@example.test', 'A@example.test', ''));
    p   text;
    n   integer := property.below(100);
BEGIN
    SELECT * INTO s FROM property.shape;
    p := format('profiles WHERE %I = %s', s.key, u);
    RETURN CASE
        WHEN n < 14 THEN format('INSERT INTO auth.users (id, email, is_anonymous, created_at) VALUES (%s, nullif(%s, ''''), %s, now() - interval %L)', u, e, property.one('true', 'false', 'false', 'false'), property.one('1 minute', '1 minute', '3 hours', '40 days'))
        WHEN n < 18 THEN format('INSERT INTO auth.users (id, email) SELECT lpad(n::text, 32, ''0'')::uuid, n || ''@example.test'' FROM generate_series(1, 4) AS n ON CONFLICT DO NOTHING')
        WHEN n < 27 THEN format('DELETE FROM auth.users WHERE id = %s', u)
        WHEN n < 35 THEN format('UPDATE auth.users SET email = %s WHERE id = %s', e, u)
        WHEN n < 38 THEN format('UPDATE auth.users SET deleted_at = %s WHERE id = %s', property.one('now()', 'NULL'), u)
        WHEN n < 40 THEN format('UPDATE auth.users SET is_anonymous = NOT is_anonymous WHERE id = %s', u)
        WHEN n < 42 THEN format('UPDATE auth.users SET id = %s WHERE id = %s', v, u)
        WHEN n < 44 THEN format('UPDATE auth.users SET created_at = now() - interval %L, last_sign_in_at = now() WHERE id = %s', property.one('1 minute', '2 hours', '50 days'), u)
        WHEN n < 52 THEN CASE WHEN s.email THEN format('INSERT INTO profiles (%I, email) VALUES (%s, %s)', s.key, property.one(u, u, u, 'NULL'), e)
                              ELSE format('INSERT INTO profiles (%I) VALUES (%s)', s.key, u) END
        WHEN n < 55 THEN format('INSERT INTO profiles (%I) VALUES (%s) ON CONFLICT (%I) DO UPDATE SET display_name = ''again''', s.key, u, s.key)
        WHEN n < 62 THEN 'DELETE FROM ' || p
        WHEN n < 68 AND s.email THEN format('UPDATE profiles SET email = %s WHERE %I = %s', e, s.key, u)
        WHEN n < 70 THEN format('UPDATE profiles SET %I = %s WHERE %I = %s', s.key, v, s.key, u)
        WHEN n < 71 THEN 'TRUNCATE profiles'
        WHEN n < 79 THEN format('INSERT INTO auth.audit_log_entries (id, payload, created_at) VALUES (gen_random_uuid(), %L, now() - interval %L)', property.entry(), property.one('1 minute', '1 day'))
        WHEN n < 81 THEN 'DELETE FROM auth.audit_log_entries WHERE ctid IN (SELECT ctid FROM auth.audit_log_entries ORDER BY id LIMIT 1)'
        WHEN n < 83 THEN format('UPDATE auth.audit_log_entries SET payload = %L WHERE ctid IN (SELECT ctid FROM auth.audit_log_entries ORDER BY id DESC LIMIT 1)', property.entry())
        WHEN n < 84 THEN 'TRUNCATE auth.audit_log_entries'
        WHEN n < 88 THEN 'SELECT backfill_all_missing_profiles(2, false)::text'
        WHEN n < 91 THEN format('SELECT backfill_user_profile(%s)::text', u)
        WHEN n < 93 THEN format('SELECT ensure_profile_exists(%s)::text', u)
        WHEN n < 95 THEN 'SELECT resync_profiles(3, false)::text'
        WHEN n < 98 THEN 'SELECT set_config(''session_replication_role'', ''replica'', true)'
        ELSE format('ALTER TABLE %s TRIGGER %s', property.one('profiles DISABLE', 'profiles ENABLE ALWAYS'), 'authsync_watched') END;
END $$;

-- What a connection does next: it has a transaction or not.
CREATE FUNCTION property.next_step(in_transaction boolean, failed boolean) RETURNS text LANGUAGE sql AS $$
    SELECT CASE
        WHEN failed THEN property.one('ROLLBACK', 'ROLLBACK', 'ROLLBACK TO s')
        WHEN NOT in_transaction THEN property.one('BEGIN', 'BEGIN', 'BEGIN', 'BEGIN ISOLATION LEVEL REPEATABLE READ', 'BEGIN ISOLATION LEVEL SERIALIZABLE', property.change())
        ELSE property.one('COMMIT', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s', property.change(), property.change(), property.change(), property.change(), property.change()) END $$;

-- Sends the statement and waits until it has ended (true) or waits for a lock itself (false).
CREATE FUNCTION property.settled(connection text, pid integer) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    FOR attempt IN 1..20000 LOOP
        IF dblink_is_busy(connection) = 0 THEN
            RETURN true;
        END IF;
        IF attempt > 3 THEN
            PERFORM pg_sleep(0.0005);
            IF attempt > 10 AND EXISTS (SELECT FROM pg_locks AS l WHERE l.pid = settled.pid AND NOT l.granted) THEN
                RETURN false;
            END IF;
        END IF;
    END LOOP;
    RAISE 'connection % does not answer', connection;
END $$;

-- Reads the result; whether it was an error.
CREATE FUNCTION property.taken(connection text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    failed boolean;
BEGIN
    PERFORM * FROM dblink_get_result(connection, false) AS t(r text);
    failed := dblink_error_message(connection) <> 'OK';
    PERFORM * FROM dblink_get_result(connection, false) AS t(r text);
    RETURN failed;
END $$;

CREATE PROCEDURE property.ask(history text[], INOUT compared integer, INOUT trusted integer) LANGUAGE plpgsql AS $$
DECLARE
    d record;
BEGIN
    -- TRUNCATE is not MVCC-safe: who compares while one goes through sees the table empty in an older snapshot.
    IF EXISTS (SELECT FROM pg_stat_get_activity(NULL) AS a WHERE a.state = 'active' AND a.query ~ '^TRUNCATE') THEN
        RETURN;
    END IF;
    PERFORM dblink_exec('control', 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY');
    SELECT * INTO d FROM dblink('control', 'SELECT * FROM property.difference()', false) AS t(trusted boolean, difference text);
    PERFORM dblink_exec('control', 'COMMIT');
    IF NOT FOUND OR d.trusted IS NULL THEN
        RETURN;     -- a table is locked by a TRUNCATE, say: another time
    END IF;
    compared := compared + 1;
    trusted := trusted + d.trusted::integer;
    IF d.difference <> '' THEN
        RAISE 'the books say something else' USING DETAIL = d.difference, HINT = array_to_string(history, E'\n');
    END IF;
END $$;

CREATE FUNCTION property.run(first_seed integer, histories integer, steps integer DEFAULT 30)
    RETURNS TABLE (compared integer, trusted integer, waited integer, failed integer) LANGUAGE plpgsql AS $$
DECLARE
    connections constant text[] := ARRAY['one', 'two', 'three'];
    pids     integer[] := '{}';
    busy     boolean[];
    inside   boolean[];
    broken   boolean[];
    history  text[];
    target   constant text := format('host=%s port=%s dbname=%s', split_part(current_setting('unix_socket_directories'), ',', 1), current_setting('port'), quote_ident(current_database()));
    c        text;
    i        integer;
    statement text;
    error    boolean;
BEGIN
    compared := 0; trusted := 0; waited := 0; failed := 0;
    FOREACH c IN ARRAY connections || ARRAY['keeper', 'control'] LOOP
        PERFORM dblink_connect(c, target);
        PERFORM dblink_exec(c, 'SET client_min_messages = error; SET statement_timeout = ''20s''; SET lock_timeout = ' || CASE c WHEN 'control' THEN '''50ms''' ELSE '0' END);
        SELECT pids || t.pid INTO pids FROM dblink(c, 'SELECT pg_backend_pid()') AS t(pid integer);
    END LOOP;
    FOR seed IN first_seed .. first_seed + histories - 1 LOOP
        PERFORM setseed((seed % 100003) / 100003.0);
        history := ARRAY['seed ' || seed];
        busy := ARRAY[false, false, false]; inside := busy; broken := busy;
        PERFORM dblink_exec('control', 'DELETE FROM profiles; DELETE FROM auth.users; DELETE FROM auth.audit_log_entries; DELETE FROM user_events');
        PERFORM dblink_exec('control', 'ALTER TABLE profiles ENABLE ALWAYS TRIGGER authsync_watched');
        PERFORM dblink_exec('keeper', 'CALL authsync.maintain()');
        FOR step IN 1 .. steps + 1000 LOOP
            -- Who had to wait may be through.
            FOR i IN 1 .. 3 LOOP
                IF busy[i] AND property.settled(connections[i], pids[i]) THEN
                    busy[i] := false;
                    error := property.taken(connections[i]);
                    broken[i] := error AND inside[i];
                    history := history || format('%s goes on%s', connections[i], CASE WHEN error THEN ', fails' ELSE '' END);
                END IF;
            END LOOP;
            EXIT WHEN step > steps AND NOT (true = ANY (busy) OR true = ANY (inside));
            IF step <= steps AND property.below(12) = 0 THEN
                statement := CASE WHEN property.below(5) = 0 THEN 'CALL backfill_missing_profiles(2)' ELSE 'CALL authsync.maintain()' END;
                history := history || statement;
                PERFORM dblink_send_query('keeper', statement);
                IF NOT property.settled('keeper', pids[4]) THEN
                    history := history || 'which has to wait: cancelled'::text;
                    PERFORM dblink_cancel_query('keeper');
                END IF;
                PERFORM property.taken('keeper');
                CALL property.ask(history, compared, trusted);
                CONTINUE;
            END IF;
            i := 1 + property.below(3);
            CONTINUE WHEN busy[i];
            statement := CASE WHEN step > steps THEN CASE WHEN inside[i] THEN property.one('COMMIT', 'ROLLBACK') END
                              ELSE property.next_step(inside[i], broken[i]) END;
            CONTINUE WHEN statement IS NULL OR (statement ~ '^ALTER|^TRUNCATE' AND property.below(3) > 0);
            history := history || (connections[i] || ': ' || statement);
            PERFORM dblink_send_query(connections[i], statement);
            IF statement ~ '^BEGIN' THEN inside[i] := true; END IF;
            IF statement ~ '^(COMMIT|ROLLBACK)$' THEN inside[i] := false; END IF;
            busy[i] := NOT property.settled(connections[i], pids[i]);
            IF busy[i] THEN
                waited := waited + 1;
                history := history || (connections[i] || ' waits');
                CONTINUE;
            END IF;
            error := property.taken(connections[i]);
            failed := failed + error::integer;
            broken[i] := CASE WHEN NOT inside[i] THEN false WHEN error THEN true WHEN statement = 'ROLLBACK TO s' THEN false ELSE broken[i] END;
            IF error THEN history := history || '  fails'::text; END IF;
            IF statement ~ '^(COMMIT|ROLLBACK)$' OR NOT inside[i] THEN
                CALL property.ask(history, compared, trusted);
            END IF;
        END LOOP;
    END LOOP;
    FOREACH c IN ARRAY connections || ARRAY['keeper', 'control'] LOOP
        PERFORM dblink_disconnect(c);
    END LOOP;
    RETURN NEXT;
END $$;
