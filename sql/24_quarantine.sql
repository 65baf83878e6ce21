-- One row a user: a profile that could not be written, until its retry works.
CREATE TABLE authsync.quarantine_rows (
    user_id         uuid NOT NULL,
    target          text NOT NULL,
    sqlstate        text NOT NULL,
    constraint_name text,
    column_name     text,
    message         text NOT NULL,
    attempts        integer NOT NULL DEFAULT 1,
    first_seen      timestamptz NOT NULL DEFAULT pg_catalog.now(),
    next_retry      timestamptz NOT NULL,
    CONSTRAINT quarantine_rows_pkey PRIMARY KEY (user_id)
);
COMMENT ON TABLE authsync.quarantine_rows IS 'behind the view authsync.quarantine';
SELECT pg_catalog.pg_extension_config_dump('authsync.quarantine_rows', '');

CREATE OR REPLACE VIEW authsync.quarantine AS
    SELECT q.user_id, pg_catalog.to_regclass(q.target) AS target, q.sqlstate, q.constraint_name, q.column_name,
           q.message, q.attempts, q.first_seen, q.next_retry
      FROM authsync.quarantine_rows AS q;
COMMENT ON VIEW authsync.quarantine IS 'profiles that could not be written, with the reason; retried by CALL authsync.maintain() and by every backfill';
