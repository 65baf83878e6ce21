-- Pieces that the views' bodies are made of. They run as their caller.

-- The first three are called for each entry of the audit log or each profile, and look no
-- name up: a pinned path would protect nothing, and cost most of a comparison.
CREATE OR REPLACE FUNCTION authsync.read_entry(entry json, OUT user_id uuid, OUT email text, OUT action text, OUT actor_id uuid)
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_read_entry';
COMMENT ON FUNCTION authsync.read_entry(json) IS 'what an entry of the audit log says of somebody coming or going; NULLs if it says nothing of it';

CREATE OR REPLACE FUNCTION authsync.to_user_id(text) RETURNS uuid
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_to_user_id';
COMMENT ON FUNCTION authsync.to_user_id(text) IS 'the uuid, or NULL if the text is none or the nil uuid, which stands for nobody';

CREATE OR REPLACE FUNCTION authsync.clean_json(json) RETURNS json
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_clean_json';
COMMENT ON FUNCTION authsync.clean_json(json) IS 'the document with escapes that cannot become text (NUL, half a surrogate pair) replaced by U+FFFD; for queries of one''s own';

CREATE OR REPLACE FUNCTION authsync.canonical(value text, type regtype, typmod integer) RETURNS text
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_canonical'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.canonical(text, regtype, integer) IS 'the value as the type writes it, or unchanged where the type does not take it';

CREATE OR REPLACE FUNCTION authsync.row_hash(record) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_row_hash'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.row_hash(record) IS '16 hex digits of a row as it is stored, whatever the session''s settings: whether anybody has changed it since';

CREATE OR REPLACE FUNCTION authsync.signup_guard(VARIADIC tables regclass[])
    RETURNS TABLE (audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamptz)
    LANGUAGE c STABLE STRICT ROWS 1 AS 'MODULE_PATHNAME', 'authsync_guard_rows'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.signup_guard(regclass[]) IS 'no rows, or error 42501 where row security hides rows of a table from the caller';

CREATE OR REPLACE FUNCTION authsync.mismatch_guard(VARIADIC tables regclass[])
    RETURNS TABLE (user_id uuid, audit_email text, auth_email text, profile_email text, status text,
                   signed_up_at timestamptz, user_created_at timestamptz, profile_created_at timestamptz)
    LANGUAGE c STABLE STRICT ROWS 1 AS 'MODULE_PATHNAME', 'authsync_guard_rows'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.mismatch_guard(regclass[]) IS 'no rows, or error 42501 where row security hides rows of a table from the caller';

CREATE OR REPLACE FUNCTION authsync.signup_rows()
    RETURNS TABLE (audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_signup_rows'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.signup_rows() IS 'the rows of signup_audit_summary, found by the binding at run time, as the caller';

CREATE OR REPLACE FUNCTION authsync.mismatch_rows()
    RETURNS TABLE (user_id uuid, audit_email text, auth_email text, profile_email text, status text,
                   signed_up_at timestamptz, user_created_at timestamptz, profile_created_at timestamptz)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_mismatch_rows'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.mismatch_rows() IS 'the rows of auth_profile_mismatch, found by the binding at run time, as the caller';

-- What the views stand on. setup() writes the bound tables into these bodies,
-- so that the planner inlines them; as shipped they ask the binding at run time.
CREATE OR REPLACE FUNCTION authsync.signup_entries()
    RETURNS TABLE (audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamptz)
    LANGUAGE sql STABLE AS $$ SELECT * FROM authsync.signup_rows() $$;
COMMENT ON FUNCTION authsync.signup_entries() IS 'body of the view signup_audit_summary; rewritten by setup()';

CREATE OR REPLACE FUNCTION authsync.mismatch_entries()
    RETURNS TABLE (user_id uuid, audit_email text, auth_email text, profile_email text, status text,
                   signed_up_at timestamptz, user_created_at timestamptz, profile_created_at timestamptz)
    LANGUAGE sql STABLE AS $$ SELECT * FROM authsync.mismatch_rows() $$;
COMMENT ON FUNCTION authsync.mismatch_entries() IS 'body of the view auth_profile_mismatch; rewritten by setup()';

CREATE OR REPLACE VIEW @extschema@.signup_audit_summary AS
    SELECT e.audit_id, e.user_id, e.email, e.action, e.actor_id, e.ip_address, e.created_at
      FROM authsync.signup_entries() AS e;
COMMENT ON VIEW @extschema@.signup_audit_summary IS
    'entries of the audit log in which somebody comes into being: signed up, invited, confirmation requested. Reads as its caller.';
COMMENT ON COLUMN @extschema@.signup_audit_summary.user_id IS 'whom the entry is about: traits.user_id, else actor_id';
COMMENT ON COLUMN @extschema@.signup_audit_summary.actor_id IS 'who did it; the nil uuid is an administrator''s key';

CREATE OR REPLACE VIEW @extschema@.auth_profile_mismatch AS
    SELECT e.user_id, e.audit_email, e.auth_email, e.profile_email, e.status, e.signed_up_at, e.user_created_at, e.profile_created_at
      FROM authsync.mismatch_entries() AS e;
COMMENT ON VIEW @extschema@.auth_profile_mismatch IS
    'one row a user known from audit log, users or profiles. Reads as its caller, wholly or not at all (42501).';
COMMENT ON COLUMN @extschema@.auth_profile_mismatch.status IS
    'healthy, auth_only (owes a profile, has none), profile_only (profile without user), email_mismatch, audit_only (history: neither user nor profile now)';
