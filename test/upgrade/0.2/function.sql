CREATE OR REPLACE FUNCTION @extschema@.quarantined_rows() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pg_catalog.count(*) FROM authsync.quarantine_rows $$;
COMMENT ON FUNCTION @extschema@.quarantined_rows() IS 'how many profiles wait in quarantine';
