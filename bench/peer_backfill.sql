-- Profiles for those who have none, as it is written by hand.

-- One after the other, each in a block of its own, with an event each.
CREATE FUNCTION app.backfill_one_by_one() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    missing record;
    made bigint := 0;
BEGIN
    FOR missing IN
        SELECT u.id, u.email, u.raw_user_meta_data AS m
          FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL
    LOOP
        BEGIN
            INSERT INTO public.profiles (id, email, display_name, account_type, avatar_url, onboarding_completed)
            VALUES (missing.id, missing.email, missing.m ->> 'display_name', coalesce(missing.m ->> 'account_type', 'individual'),
                    missing.m ->> 'avatar_url', coalesce((missing.m ->> 'onboarding_completed')::boolean, false))
            ON CONFLICT (id) DO NOTHING;
            INSERT INTO app.user_events (user_id, event_type) VALUES (missing.id, 'profile_backfilled');
            made := made + 1;
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO app.user_events (user_id, event_type, details)
            VALUES (missing.id, 'profile_backfill_error', jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM));
        END;
    END LOOP;
    RETURN made;
END
$$;

-- The best there is in SQL: windows of the primary key, one statement each, committed each. The joins are told not to loop:
-- before 16 the planner takes a range of uuids for one row, and would scan the window once for each of its users.
CREATE PROCEDURE app.backfill_by_windows(width integer) LANGUAGE plpgsql AS $$
DECLARE
    below uuid := '00000000-0000-0000-0000-000000000000';
    upto uuid;
BEGIN
    LOOP
        PERFORM set_config('enable_nestloop', 'off', true);
        upto := (SELECT w.id FROM (SELECT u.id FROM auth.users AS u WHERE u.id > below ORDER BY u.id LIMIT width) AS w ORDER BY w.id DESC LIMIT 1);
        EXIT WHEN upto IS NULL;
        WITH made AS (
            INSERT INTO public.profiles (id, email, display_name, account_type, avatar_url, onboarding_completed)
            SELECT u.id, u.email, u.raw_user_meta_data ->> 'display_name', coalesce(u.raw_user_meta_data ->> 'account_type', 'individual'),
                   u.raw_user_meta_data ->> 'avatar_url', coalesce((u.raw_user_meta_data ->> 'onboarding_completed')::boolean, false)
              FROM auth.users AS u
             WHERE u.id > below AND u.id <= upto
               AND NOT EXISTS (SELECT FROM public.profiles AS p WHERE p.id = u.id AND p.id > below AND p.id <= upto)
             ORDER BY u.id
            ON CONFLICT (id) DO NOTHING RETURNING id)
        INSERT INTO app.user_events (user_id, event_type) SELECT m.id, 'profile_backfilled' FROM made AS m;
        COMMIT;
        below := upto;
    END LOOP;
END
$$;

-- As tutorials have it: counts them all, then makes a batch.
CREATE FUNCTION app.backfill_batch(batch integer, dry_run boolean) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    missing record;
    total bigint;
    made bigint := 0;
BEGIN
    SELECT count(*) INTO total FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL;
    IF NOT dry_run THEN
        FOR missing IN
            SELECT u.id, u.email, u.raw_user_meta_data AS m
              FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL LIMIT batch
        LOOP
            INSERT INTO public.profiles (id, email, display_name, account_type) VALUES
                (missing.id, missing.email, missing.m ->> 'display_name', coalesce(missing.m ->> 'account_type', 'individual'));
            INSERT INTO app.user_events (user_id, event_type) VALUES (missing.id, 'profile_backfilled');
            made := made + 1;
        END LOOP;
    END IF;
    RETURN jsonb_build_object('missing', total, 'made', made);
END
$$;
