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
