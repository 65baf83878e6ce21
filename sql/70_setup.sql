-- Not a definer: it checks the caller's rights on the tables it is told.
CREATE OR REPLACE FUNCTION authsync.setup(users regclass DEFAULT NULL, profiles regclass DEFAULT NULL, columns jsonb DEFAULT NULL,
                                          mode text DEFAULT NULL, dry_run boolean DEFAULT false)
    RETURNS TABLE (step text, object text, action text, detail text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_setup'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.setup(regclass, regclass, jsonb, text, boolean) IS
    'says which tables are users and profiles and attaches the triggers; what is left out is kept, at first found; idempotent';

CREATE OR REPLACE FUNCTION authsync.attach() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_attach'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.attach() IS 'the end of CREATE EXTENSION: binds what is there, says what is not';

CREATE OR REPLACE FUNCTION authsync.lint()
    RETURNS TABLE (severity text, check_name text, object text, detail text, hint text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_lint'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.lint() IS 'why a sign-up would fail, go unnoticed or leak; hint is a line to paste';

CREATE OR REPLACE FUNCTION authsync.probe()
    RETURNS TABLE (ok boolean, sqlstate text, message text, detail text, hint text, duration_ms numeric)
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_probe'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.probe() IS 'inserts a made-up user as the owner of the users, lets every trigger run, and rolls it all back';

CREATE OR REPLACE FUNCTION authsync.grant_access(role name, level text)
    RETURNS TABLE (object text, missing_grant text)
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_grant_access'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.grant_access(name, text) IS
    'lets a role in: reader (look) or operator (change); returns the GRANTs that the two views still need of the tables'' owners';

CREATE OR REPLACE FUNCTION authsync.revoke_access(role name) RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_revoke_access'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.revoke_access(name) IS 'takes back what grant_access gave; whether there was anything';

CREATE OR REPLACE FUNCTION authsync.close_rights() RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_close_rights'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.close_rights() IS 'takes every right on authsync''s objects from everybody but their owner, save those grant_access gave; run at the end of install and upgrade';
