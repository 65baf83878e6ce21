CREATE OR REPLACE VIEW authsync.quarantine AS
    SELECT q.user_id, pg_catalog.to_regclass(q.target) AS target, q.sqlstate, q.constraint_name, q.column_name,
           q.message, q.attempts, q.first_seen, q.next_retry, q.noticed_by
      FROM authsync.quarantine_rows AS q;
