-- New objects belong to nobody but their owner, whatever the database's
-- default privileges say; these read only the caller's own claims.
SELECT authsync.close_rights();
GRANT USAGE ON SCHEMA authsync TO PUBLIC;
GRANT EXECUTE ON FUNCTION authsync.uid() TO PUBLIC;

DO $grants$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_roles AS r WHERE r.rolname = 'service_role') THEN
        PERFORM authsync.grant_access('service_role', 'operator');
    END IF;
END
$grants$;

-- Events show to readers and operators, whom grant_access() let in; a stray
-- GRANT on the table alone shows nothing.
CREATE POLICY user_events_read ON @extschema@.user_events FOR SELECT
    USING (pg_catalog.has_function_privilege('@extschema@.diagnose_auth_profile_consistency()'::pg_catalog.regprocedure, 'EXECUTE'));
