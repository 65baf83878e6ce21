-- A sign-up as a careful application does it: a row trigger, one block with EXCEPTION, so that whatever fails is an event
-- and never the sign-up. It fills what authsync fills.

CREATE FUNCTION app.make_profile() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO app.user_events (user_id, event_type) VALUES (NEW.id, 'auth_user_created');
    INSERT INTO public.profiles (id, email, display_name, account_type, avatar_url, onboarding_completed)
    VALUES (NEW.id, NEW.email, NEW.raw_user_meta_data ->> 'display_name',
            coalesce(NEW.raw_user_meta_data ->> 'account_type', 'individual'), NEW.raw_user_meta_data ->> 'avatar_url',
            coalesce((NEW.raw_user_meta_data ->> 'onboarding_completed')::boolean, false))
    ON CONFLICT (id) DO NOTHING;
    INSERT INTO app.user_events (user_id, event_type) VALUES (NEW.id, 'profile_bootstrap_ok');
    RETURN NULL;
EXCEPTION WHEN OTHERS THEN
    INSERT INTO app.user_events (user_id, event_type, details)
    VALUES (NEW.id, 'profile_bootstrap_error', jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM));
    RETURN NULL;
END
$$;
CREATE TRIGGER make_profile AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION app.make_profile();
