CREATE OR REPLACE FUNCTION authsync.is_running(pid integer, started_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity($1) AS a WHERE a.query_start >= $2 AND a.state = 'active') $$;
