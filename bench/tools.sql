-- What the bench itself needs, in every database.

CREATE SCHEMA bench;

-- Microseconds that this backend has spent on a processor: by the scheduler's count, else by that of ticks (10 ms).
CREATE FUNCTION bench.cpu() RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    RETURN split_part(pg_read_file('/proc/self/schedstat', 0, 200), ' ', 1)::float8 / 1000;
EXCEPTION WHEN undefined_file OR insufficient_privilege THEN
    RETURN (SELECT (f[1]::float8 + f[2]::float8) * 10000
              FROM regexp_split_to_array(regexp_replace(pg_read_file('/proc/self/stat', 0, 1000), '^.*\) ([^ ]+ ){11}', ''), ' ') AS f);
END
$$;

-- Ids are hashes: the same at every run, and in no order.
CREATE FUNCTION bench.id(n bigint, what text) RETURNS uuid LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT md5(what || n)::uuid $$;

-- Sign-ups as the auth server writes them: a statement and a transaction each.
CREATE PROCEDURE bench.sign_up(times integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. times LOOP
        INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, confirmation_token, recovery_token,
                                email_change_token_new, email_change, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
        VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(), 'authenticated', 'authenticated',
                gen_random_uuid() || '@mail.example', '$2a$10$7EqJtq98hPqEX7fNZaFWoOa8yYQ1h4kq0yKkq1x8B3V9YdF0e5b6u', '', '', '', '',
                '{"provider": "email", "providers": ["email"]}',
                '{"display_name": "Ada Person", "account_type": "business", "avatar_url": "https://pictures.example/ada.png", "email_verified": false}',
                now(), now());
        COMMIT;
    END LOOP;
END
$$;

-- Logins: the last sign-in of a thousand users who are here and there in the table, again and again.
CREATE PROCEDURE bench.log_in(rounds integer) LANGUAGE plpgsql AS $$
DECLARE
    those uuid[] := (SELECT array_agg(u.id) FROM (SELECT id FROM auth.users ORDER BY id LIMIT 1000) AS u);
    this uuid;
BEGIN
    FOR i IN 1 .. rounds LOOP
        FOREACH this IN ARRAY those LOOP
            UPDATE auth.users SET last_sign_in_at = now(), updated_at = now() WHERE id = this;
        END LOOP;
        COMMIT;
    END LOOP;
END
$$;

-- Entries of the audit log, one a statement; of every "one_in" of them one is a sign-up (0: none).
CREATE PROCEDURE bench.audit(times integer, one_in integer) LANGUAGE plpgsql AS $$
BEGIN
    FOR i IN 1 .. times LOOP
        INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
        VALUES ('00000000-0000-0000-0000-000000000000', gen_random_uuid(),
                CASE WHEN one_in > 0 AND i % greatest(one_in, 1) = 0
                     THEN '{"action":"user_signedup","actor_id":"' || gen_random_uuid() || '","actor_username":"new' || i || '@mail.example","actor_via_sso":false,"log_type":"team","traits":{"provider":"email"}}'
                     ELSE '{"action":"token_refreshed","actor_id":"' || gen_random_uuid() || '","actor_username":"new' || i || '@mail.example","actor_via_sso":false,"log_type":"token"}'
                END::json, now(), '192.0.2.1');
        IF i % 1000 = 0 THEN
            COMMIT;
        END IF;
    END LOOP;
END
$$;

-- The longest time for which a lock that stops sign-ups was held on the users while somebody held advisory lock 42, in milliseconds:
-- at most so long, for it is counted from the last look that did not find it.
CREATE FUNCTION bench.watch_locks() RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
    users oid := 'auth.users'::regclass;
    since timestamptz := clock_timestamp();
    longest float8 := 0;
    held boolean;
    going boolean;
    began boolean := false;
BEGIN
    LOOP
        SELECT coalesce(bool_or(l.relation = users AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')), false),
               coalesce(bool_or(l.locktype = 'advisory' AND l.objid = 42), false)
          INTO held, going FROM pg_locks AS l WHERE l.granted;
        began := began OR going;
        EXIT WHEN began AND NOT going;
        IF held THEN
            longest := greatest(longest, extract(epoch FROM clock_timestamp() - since) * 1000);
        ELSE
            since := clock_timestamp();
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
    RETURN longest;
END
$$;
