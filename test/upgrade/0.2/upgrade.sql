-- What a real upgrade looks like: first the tables, then the functions and views with
-- their comments, as they are in the new version; last the rights of what is new.
\echo Use "ALTER EXTENSION authsync UPDATE TO '0.2'" to load this file. \quit

ALTER TABLE authsync.quarantine_rows ADD COLUMN noticed_by text NOT NULL DEFAULT 'authsync';
ALTER TABLE authsync.quarantine_rows ADD CONSTRAINT quarantine_rows_noticed_by_check CHECK (noticed_by <> '');

CREATE OR REPLACE FUNCTION authsync.is_running(pid integer, started_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity($1) AS a WHERE a.query_start >= $2 AND a.state = 'active') $$;

CREATE FUNCTION @extschema@.quarantined_rows() RETURNS bigint
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pg_catalog.count(*) FROM authsync.quarantine_rows $$;
COMMENT ON FUNCTION @extschema@.quarantined_rows() IS 'how many profiles wait in quarantine';

CREATE OR REPLACE VIEW authsync.quarantine AS
    SELECT q.user_id, pg_catalog.to_regclass(q.target) AS target, q.sqlstate, q.constraint_name, q.column_name,
           q.message, q.attempts, q.first_seen, q.next_retry, q.noticed_by
      FROM authsync.quarantine_rows AS q;

SELECT authsync.close_rights();
