-- authsync.lint() on columns, keys, rights, rows and settings: see lint.sql.
\i test/fixture/findings.sql

SELECT no_plan();

-- Columns that stay empty.
SELECT is(tap.try('column_unfilled', 'public.profiles.tax_id', 'DELETE FROM profiles; ALTER TABLE profiles ADD tax_id uuid NOT NULL'), 'absent, error, mended', 'a NOT NULL column that nothing fills');
SELECT is(tap.try('column_unfilled', 'public.profiles."Tax; Id"', 'DELETE FROM profiles; ALTER TABLE profiles ADD "Tax; Id" uuid NOT NULL'), 'absent, error, mended', '… with an odd name');
SELECT is(tap.said('object', 'column_unfilled', 'ALTER TABLE profiles ADD a uuid NOT NULL DEFAULT gen_random_uuid(), ADD b bigint GENERATED ALWAYS AS IDENTITY,
    ADD c text NOT NULL GENERATED ALWAYS AS (coalesce(email, '''')) STORED'), NULL, '… but by a default, an identity, an expression');
SELECT is(tap.try('column_left_to_trigger', 'public.profiles.tax_id', 'DELETE FROM profiles; ALTER TABLE profiles ADD tax_id uuid NOT NULL;
    CREATE FUNCTION fill() RETURNS trigger LANGUAGE plpgsql AS ''BEGIN new.tax_id := gen_random_uuid(); RETURN new; END'';
    CREATE TRIGGER fill BEFORE INSERT ON profiles FOR EACH ROW EXECUTE FUNCTION fill()'), 'absent, info, mended', '… left to a trigger');
SELECT is(tap.try('column_may_lack', 'public.profiles.nickname', 'DELETE FROM profiles; ALTER TABLE profiles ADD nickname text NOT NULL'), 'absent, warning, mended', 'a NOT NULL column filled from what some users lack');
SELECT is(tap.try('column_may_lack', 'public.profiles.filled', $$DELETE FROM profiles; CREATE DOMAIN full_uuid AS uuid NOT NULL; ALTER TABLE profiles ADD filled full_uuid$$), 'absent, warning, mended', '… by its type');
SELECT is(tap.said('object', 'column_may_lack', 'ALTER TABLE profiles ADD nickname text NOT NULL DEFAULT ''?'''), NULL, '… but by a default');

-- The mapping said by hand.
SELECT is(tap.try('column_gone', 'public.profiles.motto', $$ALTER TABLE profiles ADD motto text; SELECT authsync.setup(columns => '{"motto": "user_metadata.motto", "display_name": "name"}');
    ALTER TABLE profiles DROP motto$$), 'absent, warning, mended', 'a mapped column that has disappeared');
SELECT is(tap.said('hint', 'column_gone', $$ALTER TABLE profiles ADD motto text; SELECT authsync.setup(columns => '{"motto": "user_metadata.motto", "display_name": "name"}');
    ALTER TABLE profiles DROP motto$$), $$SELECT * FROM authsync.setup(columns => '{"display_name": "name"}');$$, '… the rest of the mapping is kept');
SELECT is(tap.try('column_generated', 'public.profiles.motto', $$ALTER TABLE profiles ADD motto text GENERATED ALWAYS AS (lower(email)) STORED; SELECT authsync.setup(columns => '{"motto": "user_metadata.motto"}')$$),
    'absent, warning, mended', 'a mapped column that is generated');
SELECT is(tap.try('source_missing', 'public.profiles.display_name', $$SELECT authsync.setup(columns => '{"display_name": "user_metadata.called"}'); ALTER TABLE auth.users DROP raw_user_meta_data$$),
    'absent, warning, mended', 'a source that the users do not have');
SELECT is(tap.try('column_grants', 'public.profiles.tier', $$ALTER TABLE profiles ADD tier text; SELECT authsync.setup(columns => '{"tier": {"from": "user_metadata.tier", "sync": "always", "allow": ["free", "pro"]}}')$$),
    'absent, warning, mended', 'a column that grants, filled from user_metadata');
SELECT is(tap.said('hint', 'column_grants', $$ALTER TABLE profiles ADD tier text; SELECT authsync.setup(columns => '{"tier": {"from": "user_metadata.tier", "sync": "always"}}')$$),
    $$SELECT * FROM authsync.setup(columns => '{"tier": {"from": "app_metadata.tier", "sync": "always"}}');$$, '… moved to app_metadata, all else kept');
SELECT is(tap.said('object', 'column_grants', 'ALTER TABLE profiles ADD role text, ADD plan text'), NULL, '… found by name none is');
SELECT is(tap.said('object', 'column_grants', $$ALTER TABLE profiles ADD role text; SELECT authsync.setup(columns => '{"role": "app_metadata.role"}')$$), NULL, '… nor from app_metadata');
SELECT is(tap.try('column_grants', 'public.profiles.account_type', $$SELECT authsync.setup(columns => '{"account_type": "user_metadata.kind"}')$$), 'absent, warning, mended', 'account_type, mapped by hand');
SELECT is(tap.said('object', 'column_grants', $$SELECT authsync.setup(columns => '{"account_type": {"from": "user_metadata.kind", "allow": ["individual", "business"]}}')$$), NULL, '… with allow');

-- Unique keys.
SELECT is(tap.try('unique_constant', 'public.profiles.handle', $$DELETE FROM profiles WHERE id = tap.id(2); ALTER TABLE profiles ADD handle integer NOT NULL DEFAULT 0 UNIQUE$$), 'absent, error, mended', 'a unique column, the same for all');
SELECT is(tap.try('unique_constant', 'public.profiles.handle', $$DELETE FROM profiles WHERE id = tap.id(2); ALTER TABLE profiles ADD handle varchar(20) DEFAULT 'it''s (me)' UNIQUE;
    SELECT authsync.setup(columns => '{"handle": {"default": "me"}}')$$), 'absent, error, mended', '… by the mapping');
SELECT is(tap.said('hint', 'unique_constant', $$ALTER TABLE profiles ADD handle text UNIQUE; SELECT authsync.setup(columns => '{"handle": {"from": "user_metadata.handle", "default": "me", "allow": ["me"]}}')$$),
    $$SELECT * FROM authsync.setup(columns => '{"handle": {"from": "user_metadata.handle", "allow": ["me"]}}');$$, '… which loses its default alone');
SELECT is(tap.said('object', 'unique_constant', 'ALTER TABLE profiles ADD handle uuid DEFAULT gen_random_uuid() UNIQUE, ADD place bigserial UNIQUE, ADD UNIQUE (id, account_type)'), NULL, '… but made anew for each, or along with the key');
SELECT is(tap.try('unique_from_users', 'public.profiles_name_key', 'ALTER TABLE profiles ADD CONSTRAINT profiles_name_key UNIQUE (display_name)'), 'absent, warning, mended', 'a unique column that users fill');
SELECT is(tap.try('unique_from_users', 'public.folded', 'CREATE UNIQUE INDEX folded ON profiles (lower(display_name))'), 'absent, warning, mended', '… over an expression');
SELECT is(tap.said('object', 'unique_from_users', 'ALTER TABLE profiles ADD UNIQUE (email), ADD UNIQUE (id, display_name)'), NULL, '… e-mail is the auth server''s to keep unique');
SELECT is(tap.try('unique_collision', 'public.name_key', $$UPDATE profiles SET display_name = 'Three' WHERE id = tap.id(1); ALTER TABLE profiles ADD CONSTRAINT name_key UNIQUE (display_name);
    CALL tap.sign_up(3, '{"display_name": "Three"}'); CALL tap.sign_up(4, '{"display_name": "four"}')$$, false), 'absent, warning', 'a value that a profile has already');
SELECT matches(tap.said('detail', 'unique_collision', $$SET LOCAL session_replication_role = replica; CREATE UNIQUE INDEX folded ON profiles (lower(display_name));
    CALL tap.sign_up(3, '{"display_name": "Three"}'); CALL tap.sign_up(4, '{"display_name": "THREE"}'); CALL tap.sign_up(5, '{"display_name": "five"}')$$), '^2 users .*display_name$', '… or another user, in other case');
SELECT is(tap.said('object', 'unique_collision', $$SET LOCAL session_replication_role = replica; CREATE UNIQUE INDEX exact ON profiles (display_name);
    CALL tap.sign_up(3, '{"display_name": "Three"}'); CALL tap.sign_up(4, '{"display_name": "THREE"}'); CALL tap.sign_up(5)$$), NULL, '… where case counts these do not collide');
SELECT is(tap.said('object', 'unique_collision', $$CREATE FUNCTION spy() RETURNS boolean LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''%'', current_user; END';
    SET LOCAL session_replication_role = replica; DELETE FROM profiles; CREATE DOMAIN spied AS text; ALTER TABLE profiles ADD motto spied UNIQUE;
    CALL tap.sign_up(3, '{"motto": "same"}'); CALL tap.sign_up(4, '{"motto": "same"}'); ALTER DOMAIN spied ADD CHECK (spy()) NOT VALID$$), 'public.profiles_motto_key', '… looked at without running the column''s own code');

-- Keys, indexes, constraints.
SELECT is(tap.try('key_not_unique', 'public.profiles.id', 'ALTER TABLE profiles DROP CONSTRAINT profiles_pkey', false), 'absent, warning', 'the key without a unique index');
SELECT is(tap.said('hint', 'key_not_unique', 'ALTER TABLE profiles DROP CONSTRAINT profiles_pkey'), 'CREATE UNIQUE INDEX CONCURRENTLY ON public.profiles (id);', '… the line to paste');
SELECT is(tap.said('object', 'key_not_unique', 'ALTER TABLE profiles DROP CONSTRAINT profiles_pkey, ADD CONSTRAINT later UNIQUE (id) DEFERRABLE'), 'public.profiles.id', '… a deferrable one is none');
SELECT is(tap.said('object', 'key_not_unique', 'ALTER TABLE profiles DROP CONSTRAINT profiles_pkey; CREATE UNIQUE INDEX ON profiles (id) WHERE account_type = ''individual'''), 'public.profiles.id', '… nor is one of a part');
SELECT is(tap.try('users_not_unique', 'auth.users.id', 'ALTER TABLE auth.users DROP CONSTRAINT users_pkey CASCADE', false), 'absent, warning', 'users without an index on their id');
SELECT is(tap.try('index_invalid', 'auth.users_phone_key', $$SET LOCAL allow_system_table_mods = on; UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'auth.users_phone_key'::regclass$$, false), 'absent, warning', 'an index left invalid');
SELECT is(tap.try('unlogged', 'public.profiles', 'ALTER TABLE profiles SET UNLOGGED'), 'absent, warning, mended', 'UNLOGGED');
SELECT is(tap.try('foreign_key_blocks', 'profiles_id_fkey on public.profiles', 'ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey, ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users'),
    'absent, warning, mended', 'a foreign key without ON DELETE');
SELECT is(tap.said('hint', 'foreign_key_blocks', 'ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey, ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users'),
    'ALTER TABLE public.profiles DROP CONSTRAINT profiles_id_fkey, ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES auth.users(id) ON DELETE CASCADE;', '… the line to paste');
SELECT is(tap.try('foreign_key_blocks', '"Owner; 1" on public.notes', $$CREATE TABLE notes (owner uuid, CONSTRAINT "Owner; 1" FOREIGN KEY (owner) REFERENCES auth.users MATCH FULL ON UPDATE CASCADE ON DELETE RESTRICT DEFERRABLE INITIALLY DEFERRED)$$),
    'absent, warning, mended', '… RESTRICT, of another table, deferrable');
SELECT is(tap.try('foreign_key_blocks', 'notes_owner_fkey on public.notes', 'CREATE TABLE notes (owner uuid NOT NULL REFERENCES auth.users ON DELETE SET NULL)'), 'absent, warning, mended', '… SET NULL of what is NOT NULL');
SELECT is(tap.said('object', 'foreign_key_blocks', 'CREATE TABLE notes (owner uuid REFERENCES auth.users ON DELETE SET NULL, by uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE)'), NULL, '… SET NULL and CASCADE let go');
SELECT is(tap.try('foreign_key_holds', 'notes_owner_fkey on public.notes', 'CREATE TABLE notes (owner uuid NOT NULL REFERENCES profiles)'), 'absent, info, mended', 'a table that holds on to profiles');
SELECT is(tap.try('foreign_key_unindexed', 'notes_owner_fkey on public.notes', 'CREATE TABLE notes (owner uuid NOT NULL REFERENCES auth.users ON DELETE CASCADE)', false), 'absent, info', 'a foreign key without index');
SELECT is(tap.said('object', 'foreign_key_unindexed', 'CREATE TABLE notes (owner uuid NOT NULL PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE)'), NULL, '… with one');
SELECT is(tap.try('foreign_key_missing', 'public.profiles.id', 'ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey'), 'absent, info, mended', 'no foreign key');
SELECT is(tap.try('deferrable_namesake', 'of_type on public.notes', $$CREATE TABLE types (name text PRIMARY KEY); INSERT INTO types VALUES ('individual');
    CREATE TABLE notes (type text, CONSTRAINT of_type FOREIGN KEY (type) REFERENCES types DEFERRABLE);
    ALTER TABLE profiles ADD CONSTRAINT of_type FOREIGN KEY (account_type) REFERENCES types DEFERRABLE$$), 'absent, warning, mended', 'a deferrable constraint''s namesake');

-- Rights on profiles.
SELECT is(tap.try('owner_right', 'public.profiles', 'CREATE ROLE lint_owner; ALTER TABLE profiles OWNER TO lint_owner; GRANT USAGE ON SCHEMA public TO lint_owner; REVOKE INSERT ON profiles FROM lint_owner'), 'absent, error, mended', 'the owner may not INSERT');
SELECT is(tap.try('owner_schema', 'public', 'CREATE ROLE lint_owner; ALTER TABLE profiles OWNER TO lint_owner'), 'absent, error, mended', '… nor use the schema');
SELECT is(tap.try('rls_forced', 'public.profiles', 'CREATE ROLE lint_owner; GRANT USAGE ON SCHEMA public TO lint_owner; ALTER TABLE profiles OWNER TO lint_owner; ALTER TABLE profiles FORCE ROW LEVEL SECURITY'),
    'absent, error, mended', 'row security forced on the owner');
SELECT is(tap.said('object', 'rls_forced', 'CREATE ROLE lint_owner; GRANT USAGE ON SCHEMA public TO lint_owner; ALTER TABLE profiles OWNER TO lint_owner; ALTER TABLE profiles FORCE ROW LEVEL SECURITY;
    CREATE POLICY owner_writes ON profiles TO lint_owner USING (true)'), NULL, '… with a policy that lets him');
SELECT is(tap.said('object', 'rls_forced', 'ALTER TABLE profiles FORCE ROW LEVEL SECURITY'), NULL, '… a superuser is bound by none');
SELECT is(tap.try('extension_owner', 'auth.users', 'DROP EXTENSION authsync; CREATE ROLE lint_owner SUPERUSER; SET LOCAL ROLE lint_owner; CREATE EXTENSION authsync SCHEMA public; RESET ROLE;
    ALTER ROLE lint_owner NOSUPERUSER; GRANT USAGE ON SCHEMA auth TO lint_owner'), 'absent, error, mended', 'the extension''s owner is superuser no more');
SELECT is(tap.try('profiles_without_rls', 'public.profiles', 'ALTER TABLE profiles DISABLE ROW LEVEL SECURITY'), 'absent, warning, mended', 'profiles without row security');
SELECT is(tap.try('profiles_rls_off', 'public.profiles', 'ALTER TABLE profiles DISABLE ROW LEVEL SECURITY; REVOKE ALL ON profiles FROM authenticated'), 'absent, info, mended', '… where nobody has a right');
SELECT is(tap.try('profiles_readable_by_anon', 'public.profiles', 'GRANT SELECT (email) ON profiles TO anon; CREATE POLICY everybody ON profiles FOR SELECT USING (true)'), 'absent, warning, mended', 'readable by anon');
SELECT is(tap.said('detail', 'profiles_readable_by_anon', 'GRANT SELECT ON profiles TO PUBLIC; ALTER TABLE profiles DISABLE ROW LEVEL SECURITY'), 'PUBLIC reads every row, without signing in', '… or by everybody');
SELECT is(tap.try('profiles_granted_to_anon', 'public.profiles', 'GRANT ALL ON profiles TO anon'), 'absent, info, mended', 'granted to anon, held back by policies');
SELECT is(tap.said('object', 'profiles_readable_by_anon', 'GRANT ALL ON profiles TO anon; CREATE POLICY own ON profiles FOR SELECT USING (auth.uid() = id)'), NULL, '… is not readable');
SELECT is(tap.try('column_updatable', 'public.profiles.role', 'ALTER TABLE profiles ADD role text; GRANT UPDATE ON profiles TO authenticated'), 'absent, warning, mended', 'users grant themselves a role');
SELECT is(tap.said('hint', 'column_updatable', 'ALTER TABLE profiles ADD role text; GRANT UPDATE (role) ON profiles TO authenticated'),
    'REVOKE UPDATE ON public.profiles FROM authenticated; GRANT UPDATE (display_name, avatar_url, onboarding_completed) ON public.profiles TO authenticated;', '… the line to paste leaves the rest');
SELECT is(tap.said('object', 'column_updatable', $$ALTER TABLE profiles ADD role text; GRANT UPDATE ON profiles TO authenticated; SELECT authsync.setup(columns => '{"role": {"from": "app_metadata.role", "guard": true}}')$$), NULL, '… but under guard');
SELECT is(tap.said('object', 'column_updatable', 'ALTER TABLE profiles ADD role text; GRANT UPDATE ON profiles TO authenticated; DROP POLICY profiles_update_own ON profiles'), NULL, '… but without a policy');

-- Rights on what is ours.
SELECT is(tap.try('open_right', 'ROUTINE public.diagnose_auth_profile_consistency()', 'GRANT EXECUTE ON FUNCTION diagnose_auth_profile_consistency() TO anon'), 'absent, error, mended', 'a function open to anon');
SELECT is(tap.try('open_right', 'ROUTINE public.backfill_missing_profiles(integer,integer,jsonb)', 'GRANT EXECUTE ON PROCEDURE backfill_missing_profiles TO PUBLIC'), 'absent, error, mended', '… to everybody');
SELECT is(tap.try('open_right', 'TABLE public.user_events', 'GRANT SELECT ON user_events TO authenticated'), 'absent, error, mended', '… a table');
SELECT is(tap.try('open_right', 'TABLE public.auth_profile_mismatch', 'GRANT SELECT (auth_email) ON auth_profile_mismatch TO anon'), 'absent, error, mended', '… a column of a view');
SELECT is(tap.try('open_right', 'SEQUENCE public.user_events_id_seq', 'GRANT USAGE ON SEQUENCE user_events_id_seq TO anon'), 'absent, error, mended', '… a sequence');
SELECT is(tap.try('open_right', 'SCHEMA authsync', 'GRANT CREATE ON SCHEMA authsync TO PUBLIC'), 'absent, error, mended', '… the schema');
SELECT is(tap.said('object', 'open_right', 'CREATE ROLE lint_reader; SELECT authsync.grant_access(''lint_reader'', ''operator'')'), NULL, '… an operator is let in');

-- Rows that break the auth server's listing.
SELECT is((SELECT array_agg(answer ORDER BY c) FROM (SELECT c, tap.try('user_null', 'auth.users.' || c, format('UPDATE auth.users SET %I = NULL', c)) AS answer
    FROM unnest('{aud,role,confirmation_token,recovery_token,email_change,email_change_token_new,email_change_token_current,phone_change,phone_change_token,reauthentication_token,created_at,updated_at}'::text[]) AS c) AS t),
    array_fill('absent, warning, mended'::text, '{12}'), 'NULL in each column that has to be filled');
SELECT is(tap.try('user_null', 'auth.users.aud', 'UPDATE auth.users SET aud = NULL'), 'absent, warning, mended', 'NULL in aud');
SELECT is(tap.said('detail', 'user_null', 'UPDATE auth.users SET recovery_token = NULL WHERE id = tap.id(1)'), '1 of 2 users have NULL there, which the auth server cannot read: listing users and logging in fail', '… counted');
SELECT is(tap.try('user_hidden', 'auth.users', 'UPDATE auth.users SET instance_id = NULL'), 'absent, warning, mended', 'instance_id');
SELECT is(tap.try('user_audience', 'auth.users', $$UPDATE auth.users SET aud = 'Authenticated' WHERE id = tap.id(1)$$), 'absent, warning, mended', 'aud');
SELECT is(tap.try('user_metadata_kind', 'auth.users', $$UPDATE auth.users SET raw_user_meta_data = '["a"]' WHERE id = tap.id(1)$$, false), 'absent, warning', 'user_metadata that is no object');
SELECT is(tap.try('app_metadata_kind', 'auth.users', $$UPDATE auth.users SET raw_app_meta_data = '"a"' WHERE id = tap.id(1)$$, false), 'absent, warning', 'app_metadata that is no object');
SELECT is(tap.try('user_email_case', 'auth.users', $$UPDATE auth.users SET email = 'Ada@example.com' WHERE id = tap.id(1)$$), 'absent, warning, mended', 'an e-mail not in lower case');
SELECT is(tap.said('object', 'user_email_case', $$UPDATE auth.users SET email = 'Qm9', deleted_at = now() WHERE id = tap.id(1)$$), NULL, '… a deleted user''s is a hash');
SELECT is(tap.try('identity_null', 'auth.identities.created_at', 'UPDATE auth.identities SET created_at = NULL'), 'absent, warning, mended', 'an identity with NULL');
SELECT is(tap.try('identity_missing', 'auth.users', 'DELETE FROM auth.identities'), 'absent, warning, mended', 'users without identity');
SELECT is(tap.said('object', 'identity_missing', 'DELETE FROM auth.identities; UPDATE auth.users SET is_anonymous = true'), NULL, '… anonymous ones have none');
SELECT is(tap.try('user_metadata_large', 'auth.users', $$UPDATE auth.users SET raw_user_meta_data = jsonb_build_object('bio', repeat('x', 1100))$$, false), 'absent, warning', 'user_metadata over 1 kB');
SELECT is(tap.said('object', 'user_metadata_large', $$UPDATE auth.users SET raw_user_meta_data = jsonb_build_object('bio', repeat('x', 900))$$), NULL, '… not under');
SELECT is(tap.try('users_unconfirmed', 'auth.users', 'UPDATE auth.users SET email_confirmed_at = NULL', false), 'absent, info', 'unconfirmed');
SELECT is(tap.try('users_banned', 'auth.users', $$UPDATE auth.users SET banned_until = now() + '1 day'$$, false), 'absent, info', 'banned');
SELECT is(tap.said('object', 'users_banned', $$UPDATE auth.users SET banned_until = now() - interval '1 day'$$), NULL, '… no more');
SELECT is(tap.try('link_ambiguous', 'public.people', $$CREATE TABLE people (user_id uuid UNIQUE, email text); INSERT INTO people (email) VALUES ('u1@example.com'), ('U1@example.com');
    SELECT authsync.setup(profiles => 'people')$$, false), 'absent, warning', 'profiles that wait for the same user');

-- Settings.
SELECT is(tap.try('log_shows_parameters', 'log_parameter_max_length', 'SET LOCAL log_statement = ''mod''', false), 'absent, warning', 'log_statement');
SELECT is(tap.try('log_shows_parameters', 'log_parameter_max_length', 'SET LOCAL log_min_duration_statement = 0', false), 'absent, warning', 'log_min_duration_statement = 0');
SELECT is(tap.said('object', 'log_shows_parameters', 'SET LOCAL log_statement = ''all''; SET LOCAL log_parameter_max_length = 0'), NULL, '… without parameters');
SELECT is(tap.try('log_shows_slow', 'log_parameter_max_length', 'SET LOCAL log_min_duration_statement = 500', false), 'absent, info', 'slow statements');
SELECT is(tap.try('log_shows_errors', 'log_parameter_max_length_on_error', 'SET LOCAL log_parameter_max_length_on_error = -1', false), 'absent, warning', 'statements that fail');
SELECT is(tap.try('log_shows_ddl', 'log_statement', 'SET LOCAL log_statement = ''ddl''', false), 'absent, info', 'DDL');
SELECT is(tap.try('replication_role', 'session_replication_role', 'SET LOCAL session_replication_role = replica', false), 'absent, warning', 'session_replication_role');
SELECT is(tap.try('replication_role_kept', current_database(), format('ALTER DATABASE %I SET session_replication_role = replica', current_database())), 'absent, error, mended', '… of the database');
SELECT is(tap.try('replication_role_kept', 'lint_loader', 'CREATE ROLE lint_loader; ALTER ROLE lint_loader SET session_replication_role = replica'), 'absent, error, mended', '… of a role');
SELECT is(tap.try('lock_unbounded', 'authsync.profile_lock_timeout', 'SET LOCAL authsync.profile_lock_timeout = 0', false), 'absent, warning', 'waits without limit');
-- A setting of the whole server, so put back at once.
ALTER SYSTEM SET authsync.enabled = off;
SELECT pg_reload_conf() AS reloaded \gset
SELECT pg_sleep(0.2) AS slept \gset
SELECT severity AS enabled_off, hint AS enabled_hint FROM authsync.lint() WHERE check_name = 'enabled_off' \gset
ALTER SYSTEM RESET authsync.enabled;
SELECT pg_reload_conf() AS reloaded \gset
SELECT pg_sleep(0.2) AS slept \gset
SELECT is(tap.said('object', 'enabled_off', 'SELECT'), NULL, 'authsync.enabled is on');
SELECT is(:'enabled_off' || ' ' || :'enabled_hint', 'error ALTER SYSTEM SET authsync.enabled = on; -- then SELECT pg_reload_conf();', 'authsync.enabled = off');

-- One check that fails is a finding, and the others go on.
SELECT is(tap.said('detail', 'users_counted', 'ALTER TABLE auth.users ALTER raw_app_meta_data TYPE text'), 'this could not be looked at: function pg_catalog.jsonb_typeof(text) does not exist', 'a check that fails');
SELECT is(tap.said('object', 'foreign_key_missing', 'ALTER TABLE auth.users ALTER raw_app_meta_data TYPE text; ALTER TABLE profiles DROP CONSTRAINT profiles_id_fkey'), 'public.profiles.id', '… the others answer');

-- Users of an application's own, with odd names and none of the auth server's columns.
CREATE SCHEMA "My ""Auth";
CREATE TABLE "My ""Auth"."Us;ers" (id uuid PRIMARY KEY, email text, role text, aud text, updated_at timestamptz, last_sign_in_at timestamptz);
CREATE TABLE "My ""Auth"."Pro'files" ("User Id" uuid REFERENCES "My ""Auth"."Us;ers", "E mail" text);
CREATE UNIQUE INDEX ON "My ""Auth"."Pro'files" ("User Id");
SELECT lives_ok($$SELECT * FROM authsync.setup('"My ""Auth"."Us;ers"', '"My ""Auth"."Pro''files"', '{"User Id": {"from": "user_id", "key": true}, "E mail": "email"}')$$, 'bound to odd names');
INSERT INTO "My ""Auth"."Us;ers" VALUES (tap.id(1), 'One@example.com');
SELECT results_eq($$SELECT severity, check_name, object FROM authsync.lint() WHERE check_name <> 'bookkeeping_untrusted' ORDER BY 2$$, $$VALUES ('info', 'audit_log_missing', '"My ""Auth"."Us;ers"'),
    ('warning', 'foreign_key_blocks', '"Pro''files_User Id_fkey" on "My ""Auth"."Pro''files"'), ('info', 'profiles_rls_off', '"My ""Auth"."Pro''files"')$$, '… found is what is, and no check fails');
SELECT is(tap.try('key_not_unique', '"My ""Auth"."Pro''files"."User Id"', $$DROP INDEX "My ""Auth"."Pro'files_User Id_idx"$$, false), 'absent, warning', '… a key without index');
SELECT is(tap.try('column_may_lack', '"My ""Auth"."Pro''files"."N;x"', $$DELETE FROM "My ""Auth"."Pro'files"; ALTER TABLE "My ""Auth"."Pro'files" ADD "N;x" text NOT NULL;
    ALTER TABLE "My ""Auth"."Us;ers" ADD raw_user_meta_data jsonb; SELECT authsync.setup(columns => '{"User Id": {"from": "user_id", "key": true}, "E mail": "email", "N;x": "user_metadata.n"}')$$),
    'absent, warning, mended', '… a column');
SELECT is(tap.try('trigger_disabled', 'on_auth_user_created on "My ""Auth"."Us;ers"', 'ALTER TABLE "My ""Auth"."Us;ers" DISABLE TRIGGER on_auth_user_created'), 'absent, error, mended', '… a trigger');
SELECT is(tap.try('unique_collision', '"My ""Auth"."Mail""s"', $$SET LOCAL session_replication_role = replica; CREATE UNIQUE INDEX "Mail""s" ON "My ""Auth"."Pro'files" (lower("E mail"));
    INSERT INTO "My ""Auth"."Us;ers" VALUES (tap.id(2), 'ONE@example.com')$$, false), 'absent, warning', '… a collision');

-- Every finding has its row in doc/lint.md, with its severity, and its test here, in lint.sql or, of foreign tables, in test/t/120_foreign.pl.
\set in_code `sed -nE 's/^.*(\{|&r, )"([a-z_]+)", "(error|warning|info)", .*/\2 \3/p' src/sync/lint_*.c | LC_ALL=C sort -u | tr '\n' ' '`
\set in_doc `sed -nE 's/^\| .([a-z_]+). \| (error|warning|info) \| .*/\1 \2/p' doc/lint.md | LC_ALL=C sort -u | tr '\n' ' '`
\set tested `{ sed -nE "s/^SELECT .*(tap\.try\(|check_name = )'([a-z_]+)'.*/\2/p" test/pgtap/lint*.sql; sed -nE "s/^is\(lint\('severity', '([a-z_]+)'.*/\1/p" test/t/120_foreign.pl; } | LC_ALL=C sort -u | tr '\n' ' '`
SELECT cmp_ok(array_length(string_to_array(trim(:'in_code'::text), ' '), 1), '>', 80, 'the checks are read from the source');
SELECT is(:'in_doc'::text, :'in_code'::text, 'doc/lint.md has every check, with its severity, and no other');
SELECT is(:'tested'::text, (SELECT string_agg(w, ' ' ORDER BY o) || ' ' FROM string_to_table(:'in_code'::text, ' ') WITH ORDINALITY AS t(w, o) WHERE o % 2 = 1 AND w NOT IN ('', 'users_counted')), 'each is tested (users_counted is what user_null and its kin are read by)');

SELECT * FROM finish();
