-- The functions that change profiles, and the triggers' functions.

CREATE OR REPLACE FUNCTION @extschema@.backfill_user_profile(user_id uuid, email text DEFAULT NULL, account_type text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_backfill_user'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.backfill_user_profile(uuid, text, text) IS
    'makes one user''s profile: {"user_id", "status": created|exists|failed, "sqlstate", "message"}; unknown user 42704, deleted user 22023';

-- Without workers: one process has merged the keys of users and profiles before
-- several have started and shared a hash table, for which the planner would go.
CREATE OR REPLACE FUNCTION @extschema@.backfill_all_missing_profiles(batch_size integer DEFAULT 100, dry_run boolean DEFAULT true)
    RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_backfill_all'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET max_parallel_workers_per_gather = 0;
COMMENT ON FUNCTION @extschema@.backfill_all_missing_profiles(integer, boolean) IS
    'makes every profile that is owed, in one transaction, batch_size (1 to 1000000) a statement; a dry run by default';

CREATE OR REPLACE PROCEDURE @extschema@.backfill_missing_profiles(batch_size integer DEFAULT 1000, max_users integer DEFAULT NULL, INOUT result jsonb DEFAULT NULL)
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_backfill_procedure';
COMMENT ON PROCEDURE @extschema@.backfill_missing_profiles(integer, integer, jsonb) IS
    'the same, committing each batch; not inside a transaction block (2D000); progress in authsync.progress';

CREATE OR REPLACE FUNCTION @extschema@.ensure_profile_exists(user_id uuid) RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_ensure'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.ensure_profile_exists(uuid) IS
    'whether the profile was created now; raises the row''s own error where it cannot be';

CREATE OR REPLACE FUNCTION @extschema@.resync_profiles(batch_size integer DEFAULT 100, dry_run boolean DEFAULT true) RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_resync'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.resync_profiles(integer, boolean) IS
    'rewrites the columns that are kept equal (sync: always) where they differ; a dry run by default';

CREATE OR REPLACE FUNCTION @extschema@.track_user_event(user_id uuid, event_type text, details jsonb DEFAULT '{}') RETURNS bigint
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_track_event'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION @extschema@.track_user_event(uuid, text, jsonb) IS
    'adds an application''s own event to user_events and returns its id; authsync''s own types are refused (22023)';

CREATE OR REPLACE FUNCTION authsync.apply(plan_id bigint, override_brake boolean DEFAULT false, password text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_apply'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.apply(bigint, boolean, text) IS
    'applies just the items of an open plan; what changed since is stale and left; a braked plan only with override_brake; unknown plan 42704';

CREATE OR REPLACE FUNCTION authsync.cancel(plan_id bigint) RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_cancel'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.cancel(bigint) IS 'drops a plan that was not applied; false where it was, or is cancelled already; unknown plan 42704';

CREATE OR REPLACE FUNCTION authsync.undo(plan_id bigint, dry_run boolean DEFAULT true) RETURNS jsonb
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_undo'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.undo(bigint, boolean) IS
    'the inverse of an applied plan, as a plan of its own; of a backfill: the profiles that it made and nobody changed since; a dry run by default';

CREATE OR REPLACE PROCEDURE authsync.maintain()
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_maintain';
COMMENT ON PROCEDURE authsync.maintain() IS 'quarantine retries that are due, the bookkeeping, retention; commits as it goes; by hand or from pg_cron';

-- No definer, and without a setting of its own: the usual sign-up looks no name
-- up, and where one is, the function becomes the extension's owner and pins the path itself.
CREATE OR REPLACE FUNCTION authsync.handle_new_user() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_handle_new_user';
COMMENT ON FUNCTION authsync.handle_new_user() IS 'trigger on the users: makes the profiles of a statement''s new users';

-- These two likewise: they are called at every login, run no SQL unless
-- something that matters changed, and then as the owner, under a path that they pin.
CREATE OR REPLACE FUNCTION authsync.handle_updated_user() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_handle_updated_user';
COMMENT ON FUNCTION authsync.handle_updated_user() IS 'trigger on the users: sees whether an update changes what matters';

CREATE OR REPLACE FUNCTION authsync.handle_updated_users() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_handle_updated_users';
COMMENT ON FUNCTION authsync.handle_updated_users() IS 'trigger on the users: brings profiles in step with a statement''s changed users';

CREATE OR REPLACE FUNCTION authsync.handle_deleted_users() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_handle_deleted_users'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.handle_deleted_users() IS 'trigger on the users: writes down deletions; never touches a profile';

-- Not a definer: it asks who the caller is.
CREATE OR REPLACE FUNCTION authsync.guard_profile() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_guard_profile'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.guard_profile() IS 'trigger on profiles: lets only authsync and operators change guarded columns (42501)';
