-- authsync.lint(): nothing on a sound database; then each finding, absent before and there after what brings it about,
-- and gone again when its own hint has been run.
\i test/fixture/findings.sql

SELECT no_plan();

-- The first fill; until then lint() says that answers are slow.
SELECT is(string_agg(severity || ' ' || check_name || ' ' || object, ', ' ORDER BY object), 'info bookkeeping_untrusted sign-ups, info bookkeeping_untrusted users and profiles', 'not filled yet')
  FROM authsync.lint() WHERE check_name = 'bookkeeping_untrusted';
CALL authsync.maintain();

-- Sound, to whoever looks and however.
SELECT is_empty($$SELECT * FROM authsync.lint() WHERE severity <> 'info'$$, 'a sound database: no warning, no error');
SELECT is_empty($$SELECT * FROM authsync.lint()$$, '… and nothing to say at all');
BEGIN READ ONLY;
SELECT is((SELECT json_agg(l) FROM authsync.lint() AS l)::text, NULL, 'in a READ ONLY transaction');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
SELECT is((SELECT count(*) FROM authsync.lint()), 0::bigint, '… a serializable, deferrable one');
COMMIT;
BEGIN;
CREATE ROLE lint_reader;
GRANT USAGE ON SCHEMA tap TO lint_reader;
SELECT lives_ok($$SELECT * FROM authsync.grant_access('lint_reader', 'reader')$$);
SET LOCAL ROLE lint_reader;
SELECT is((SELECT count(*) FROM authsync.lint()), 0::bigint, 'to a reader, who has no right on the tables');
ROLLBACK;
SELECT throws_ok('SET LOCAL ROLE anon; SELECT * FROM authsync.lint()', '42501', NULL, 'not to strangers');
BEGIN;
INSERT INTO authsync.bindings (users_schema, users_table, bound_at) VALUES ('auth', 'nowhere', now() + '1 day');
SELECT results_eq($$SELECT severity, check_name, object, hint FROM authsync.lint() WHERE severity = 'error'$$,
    $$VALUES ('error', 'binding', 'auth.nowhere', 'SELECT * FROM authsync.setup();')$$, 'bound to a users table that is not there: a row, no error');
SELECT ok((SELECT count(*) > 0 FROM authsync.lint()) AND set_config('log_statement', 'all', true) = 'all'
    AND (SELECT count(*) = 1 FROM authsync.lint() WHERE check_name = 'log_shows_parameters'), '… and what needs no tables is still looked at');
ROLLBACK;

-- The bookkeeping.
SELECT is(tap.try('watch_missing', 'watch_profile on public.profiles', 'DROP TRIGGER authsync_watched ON profiles', false), 'absent, warning', 'a trigger that keeps the books is gone');
SELECT is(tap.try('watch_missing', 'watch_profile on public.profiles', 'ALTER TABLE profiles ENABLE TRIGGER authsync_watched', false), 'absent, warning', '… or not ALWAYS');
SELECT is(tap.try('watch_missing', 'signups_kept on auth.audit_log_entries', 'ALTER TABLE auth.audit_log_entries DISABLE TRIGGER authsync_signups_kept', false), 'absent, warning', '… or disabled');
SELECT is(tap.try('watch_elsewhere', 'mine on public.clients', $$CREATE TABLE clients (id uuid);
    CREATE TRIGGER mine AFTER INSERT ON clients FOR EACH ROW EXECUTE FUNCTION authsync.watch_profile()$$), 'absent, warning, mended', 'on a table that is not bound');
SELECT is(tap.try('bookkeeping_untrusted', 'users and profiles', 'TRUNCATE profiles', false), 'absent, warning', 'a TRUNCATE disturbs the books');
SELECT is(tap.try('bookkeeping_untrusted', 'users and profiles', 'ALTER TABLE profiles DISABLE TRIGGER authsync_watched; ALTER TABLE profiles ENABLE ALWAYS TRIGGER authsync_watched', false), 'absent, warning', '… a trigger off and on again');
SELECT is(tap.try('bookkeeping_impossible', 'users and profiles', 'ALTER TABLE profiles DROP CONSTRAINT profiles_pkey', false), 'absent, info', 'a key that is not unique: no books');
SELECT is(tap.try('bookkeeping_long', 'authsync.suspects', $$INSERT INTO authsync.suspects SELECT gen_random_uuid() FROM generate_series(1, 450000)$$, false), 'absent, info', 'a journal that nobody folds');

-- The binding.
SELECT is(tap.try('binding', 'authsync', 'DELETE FROM authsync.bindings'), 'absent, error, mended', 'unbound');
SELECT is(tap.try('binding', 'auth.users', 'ALTER TABLE auth.users RENAME TO people', false), 'absent, error', 'users gone');
SELECT is(tap.try('binding', 'public.clients', $$CREATE TABLE clients (id text); UPDATE authsync.bindings SET users_schema = 'public', users_table = 'clients'$$, false),
    'absent, error', 'users without a uuid');
SELECT is(tap.try('binding', 'authsync.bindings', $$UPDATE authsync.bindings SET columns = '{"email": {"from": "nonsense"}}'$$), 'absent, error, mended', 'a mapping that nobody understands');
SELECT is(tap.try('profiles_missing', 'public.profiles', 'ALTER TABLE profiles RENAME TO people'), 'absent, error, mended', 'profiles gone');
SELECT is(tap.try('profiles_missing', 'public.profiles', $$ALTER TABLE profiles RENAME TO people; CREATE FUNCTION mine(uuid) RETURNS uuid LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''run as %'', current_user; END';
    CREATE VIEW profiles AS SELECT mine(id) AS id FROM people$$, false), 'absent, error', 'a view in their place, which is not read');
SELECT is(tap.try('profiles_missing', 'auth.users', 'UPDATE authsync.bindings SET profiles_schema = NULL, profiles_table = NULL'), 'absent, error, mended', 'profiles never set');
SELECT is(tap.try('key_missing', 'public.profiles', $$UPDATE authsync.bindings SET key_column = 'gone'$$), 'absent, error, mended', 'the key gone');
SELECT is(tap.try('mode_off', 'auth.users', $$SELECT authsync.setup(mode => 'off')$$), 'absent, warning, mended', 'mode off');
SELECT is(tap.said('object', 'trigger_missing', $$SELECT authsync.setup(mode => 'off')$$), NULL, '… whose triggers nobody misses');
SELECT is(tap.try('mode_strict', 'auth.users', $$SELECT authsync.setup(mode => 'strict')$$), 'absent, info, mended', 'mode strict');
SELECT is(tap.try('views_stale', 'auth_profile_mismatch', $$CREATE OR REPLACE FUNCTION authsync.signup_entries()
    RETURNS TABLE (audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamptz)
    LANGUAGE sql STABLE AS 'SELECT * FROM authsync.signup_rows() WHERE false'$$), 'absent, error, mended', 'bodies of the views out of date');
SELECT is(tap.try('version', 'authsync', $$SET LOCAL allow_system_table_mods = on; UPDATE pg_extension SET extversion = '0.0' WHERE extname = 'authsync'$$, false),
    'absent, warning', 'another version than the server''s');

-- The audit log, quarantine, users past the triggers.
SELECT is(tap.try('audit_log_missing', 'auth.users', 'ALTER TABLE auth.audit_log_entries RENAME TO journal'), 'absent, info, still there', 'no audit log');
SELECT is(tap.try('audit_log_off', 'auth.audit_log_entries', 'DELETE FROM auth.audit_log_entries', false), 'absent, warning', 'audit log empty though people sign in');
SELECT is(tap.try('audit_log_off', 'auth.audit_log_entries', $$UPDATE auth.audit_log_entries SET created_at = created_at - interval '1 day'$$, false), 'absent, warning', 'audit log older than the last sign-in');
SELECT is(tap.said('object', 'audit_log_off', 'DELETE FROM auth.audit_log_entries; UPDATE auth.users SET last_sign_in_at = NULL'), NULL, '… empty before anybody signs in is sound');
SELECT is(tap.said('object', 'audit_log_off', $$UPDATE auth.audit_log_entries SET created_at = created_at - interval '30 minutes'$$), NULL, '… an hour''s grace');
SELECT is(tap.said('object', 'audit_log_off', $$UPDATE auth.audit_log_entries SET created_at = created_at - interval '1 day'; UPDATE auth.users SET is_anonymous = true$$),
    NULL, '… anonymous users leave no entry');
SELECT is(tap.try('quarantine', 'authsync.quarantine', $$ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (false) NOT VALID; CALL tap.sign_up(3)$$, false), 'absent, warning', 'a row in quarantine');
SELECT matches(tap.said('detail', 'quarantine', $$ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (false) NOT VALID; CALL tap.sign_up(3); CALL tap.sign_up(4)$$),
    '^2 profiles .*23514, constraint nobody$', '… as many as there are, and why');
SELECT is(tap.said('hint', 'quarantine', $$ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (false) NOT VALID; CALL tap.sign_up(3)$$), 'CALL public.backfill_missing_profiles();', '… with what tries again');
SELECT is(tap.said('object', 'profiles_owed', $$ALTER TABLE profiles ADD CONSTRAINT nobody CHECK (false) NOT VALID; CALL tap.sign_up(3)$$), NULL, '… and not told twice');
SELECT is(tap.try('profiles_owed', 'auth.users', $$SET LOCAL session_replication_role = replica; CALL tap.sign_up(3)$$, false), 'absent, warning', 'users loaded past the triggers');
SELECT matches(tap.said('hint', 'profiles_owed', $$SET LOCAL session_replication_role = replica; CALL tap.sign_up(3)$$), 'CALL authsync\.maintain\(\);', '… asks for maintain()');

-- Our triggers.
SELECT is(tap.try('trigger_missing', 'on_auth_user_created on auth.users', 'DROP TRIGGER on_auth_user_created ON auth.users'), 'absent, error, mended', 'INSERT trigger gone');
SELECT is(tap.try('trigger_missing', 'on_auth_user_deleted on auth.users', 'DROP TRIGGER on_auth_user_deleted ON auth.users'), 'absent, error, mended', 'DELETE trigger gone');
SELECT is(tap.try('trigger_disabled', 'on_auth_user_created on auth.users', 'ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created'), 'absent, error, mended', 'INSERT trigger disabled');
SELECT is(tap.said('hint', 'trigger_disabled', 'ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created'), 'ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created;', '… the line to paste');
SELECT is(tap.said('object', 'trigger_disabled', 'ALTER TABLE auth.users DISABLE TRIGGER USER'),
    E'on_auth_user_created on auth.users\non_auth_user_deleted on auth.users\non_auth_user_updated on auth.users\non_auth_users_updated on auth.users', '… each of them');
SELECT is(tap.try('trigger_replica_only', 'on_auth_user_updated on auth.users', 'ALTER TABLE auth.users ENABLE REPLICA TRIGGER on_auth_user_updated'), 'absent, error, mended', 'for replicas only');
SELECT is(tap.said('object', 'trigger_disabled', 'ALTER TABLE auth.users ENABLE ALWAYS TRIGGER on_auth_user_updated'), NULL, '… ALWAYS is no defect');
SELECT is(tap.try('trigger_wrong', 'mine on auth.users', 'CREATE TRIGGER mine AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION authsync.handle_new_user()'),
    'absent, error, mended', 'made by hand in the tutorial''s way');
SELECT throws_ok('CREATE TRIGGER mine AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION authsync.handle_new_user(); CALL tap.sign_up(9)', '39P01', NULL, '… which really stops sign-ups');
SELECT is(tap.try('trigger_wrong', 'on_auth_user_updated on auth.users', $$DROP TRIGGER on_auth_user_updated ON auth.users;
    CREATE TRIGGER on_auth_user_updated AFTER UPDATE OF email ON auth.users FOR EACH ROW EXECUTE FUNCTION authsync.handle_updated_user()$$), 'absent, error, mended', 'with a column list');
SELECT is(tap.try('trigger_doubled', 'again on auth.users', 'CREATE TRIGGER again AFTER UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION authsync.handle_updated_user()'),
    'absent, warning, mended', 'twice');
SELECT is(tap.try('trigger_elsewhere', 'mine on public.clients', $$CREATE TABLE clients (id uuid);
    CREATE TRIGGER mine AFTER UPDATE ON clients FOR EACH ROW EXECUTE FUNCTION authsync.handle_updated_user()$$), 'absent, warning, mended', 'on a table that is not bound');
SELECT is(tap.try('guard_missing', 'authsync_guard on public.profiles', $$SELECT authsync.setup(columns => '{"account_type": {"from": "app_metadata.type", "guard": true}}');
    DROP TRIGGER authsync_guard ON profiles$$), 'absent, error, mended', 'the guard gone');
SELECT is(tap.try('trigger_disabled', 'authsync_guard on public.profiles', $$SELECT authsync.setup(columns => '{"account_type": {"from": "app_metadata.type", "guard": true}}');
    ALTER TABLE profiles DISABLE TRIGGER authsync_guard$$), 'absent, error, mended', 'the guard disabled');
SELECT is(tap.try('users_replicated', 'auth.users', $$SET LOCAL client_min_messages = error; CREATE SUBSCRIPTION lint_sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE, enabled = false);
    SET LOCAL allow_system_table_mods = on; INSERT INTO pg_subscription_rel SELECT oid, 'auth.users'::regclass, 'r', NULL FROM pg_subscription WHERE subname = 'lint_sub'$$),
    'absent, warning, mended', 'users that come by a subscription');

-- Other people's triggers.
CREATE FUNCTION public.handle_new_user_before_authsync() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = '' AS $$
BEGIN
    INSERT INTO public.profiles (id) VALUES (new.id) ON CONFLICT DO NOTHING;
    RETURN new;
END $$;
CREATE FUNCTION public.careful() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RETURN new;
EXCEPTION
    WHEN OTHERS THEN RETURN new;
END $$;
SELECT is(tap.try('foreign_trigger', 'tutorial on auth.users', 'CREATE TRIGGER tutorial AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync()'),
    'absent, warning, mended', 'somebody else''s trigger');
SELECT is(tap.said('hint', 'foreign_trigger', 'CREATE TRIGGER tutorial AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync()'),
    'ALTER TABLE auth.users DISABLE TRIGGER tutorial;', '… the line to paste');
SELECT matches(tap.said('detail', 'foreign_trigger', 'CREATE TRIGGER tutorial AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync()'),
    'AFTER row trigger, calls public\.handle_new_user_before_authsync\(\): if that fails, so does the sign-up; .*renamed, the function goes on working', '… stops sign-ups when it fails; renamed it works');
SELECT matches(tap.said('detail', 'foreign_trigger', $$CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';
    CREATE TRIGGER stamp BEFORE UPDATE ON auth.users FOR EACH ROW EXECUTE FUNCTION stamp()$$), 'BEFORE row trigger.*logging in too; not SECURITY DEFINER', '… or log-ins; and not with whose rights it needs');
SELECT matches(tap.said('detail', 'foreign_trigger', $$CREATE FUNCTION lost() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER lost AFTER DELETE ON auth.users FOR EACH STATEMENT EXECUTE FUNCTION lost()$$), 'AFTER statement trigger.*the deletion of the user; it sets no search_path', '… or deletions; nor a search_path');
SELECT is(tap.said('object', 'foreign_trigger', 'CREATE TRIGGER tutorial AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync();
    ALTER TABLE auth.users DISABLE TRIGGER tutorial'), NULL, '… disabled it stops nothing');
SELECT is(tap.try('foreign_trigger_caught', 'careful on auth.users', 'CREATE TRIGGER careful AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION careful()'), 'absent, info, mended', 'one that catches its errors');
SELECT is(tap.said('object', 'foreign_trigger', 'CREATE TRIGGER careful AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION careful()'), NULL, '… stops no sign-up');
SELECT is(tap.try('trigger_renamed', 'on_auth_user_created_authsync on auth.users', $$DROP TRIGGER on_auth_user_created ON auth.users;
    CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync(); SELECT authsync.setup()$$), 'absent, info', 'the name was taken');
SELECT is(tap.try('foreign_trigger', 'on_auth_user_created on auth.users', $$DROP TRIGGER on_auth_user_created ON auth.users;
    CREATE TRIGGER on_auth_user_created AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION handle_new_user_before_authsync(); SELECT authsync.setup()$$), 'absent, warning, mended', '… by one that may fail');
SELECT is(tap.try('profile_trigger', 'careful on public.profiles', 'CREATE TRIGGER careful BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION careful()'), 'absent, info, mended', 'a trigger of profiles');

-- Providers.
SELECT is(tap.try('provider_without_secret', 'server "my ""auth"', $$CREATE SERVER "my ""auth" FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://auth.example.com')$$, false), 'absent, warning', 'a provider for which nobody has given a secret');
SELECT is(tap.said('object', 'provider_without_secret', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://auth.example.com');
    SELECT authsync.set_secret('auth1', 'service_key', 'a secret')$$), NULL, '… not with one that is stored');
SELECT is(tap.said('object', 'provider_without_secret', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://auth.example.com');
    CREATE USER MAPPING FOR PUBLIC SERVER auth1 OPTIONS (service_key_file '/etc/key')$$), NULL, '… nor with a mapping that says where it is');
SELECT is(tap.try('secret_for_elsewhere', 'server auth1', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://Auth.example.com/x');
    SELECT authsync.set_secret('auth1', 'service_key', 'a secret'); ALTER SERVER auth1 OPTIONS (SET url 'https://auth.example.com:8443')$$, false), 'absent, warning', 'a secret that was given for another address');
SELECT is(tap.said('object', 'secret_for_elsewhere', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://Auth.example.com/x');
    SELECT authsync.set_secret('auth1', 'service_key', 'a secret'); ALTER SERVER auth1 OPTIONS (SET url 'https://auth.example.com:443/y')$$), NULL, '… another path is none');
SELECT is(tap.try('secret_left_behind', 'secret service_key of auth1', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://auth.example.com');
    SELECT authsync.set_secret('auth1', 'service_key', 'a secret'); DROP SERVER auth1$$), 'absent, info, mended', 'a secret whose server is gone');
SELECT is(tap.try('copy_not_armed', 'authsync.copies', $$CREATE SERVER auth1 FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://auth.example.com');
    INSERT INTO authsync.copies VALUES (1, 1)$$), 'absent, warning, mended', 'a copy that was restored from another database');

SELECT * FROM finish();
