-- What was intended and done, a row for each mass change.
CREATE TABLE authsync.plans (
    plan_id    bigint GENERATED ALWAYS AS IDENTITY,
    kind       text NOT NULL,
    source     text,
    target     text,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_by name NOT NULL DEFAULT SESSION_USER,
    state      text NOT NULL,
    counts     jsonb NOT NULL DEFAULT '{}',
    brake      text,
    applied_at timestamptz,
    CONSTRAINT plans_pkey PRIMARY KEY (plan_id),
    CONSTRAINT plans_state_check CHECK (state IN ('open', 'applying', 'applied', 'partly_applied', 'cancelled', 'braked'))
);
COMMENT ON TABLE authsync.plans IS 'every mass change: what was intended and what was done';
COMMENT ON COLUMN authsync.plans.state IS 'open, applying, applied, partly_applied, cancelled, braked';
COMMENT ON COLUMN authsync.plans.counts IS 'what was intended, by action, and what became of it';
COMMENT ON COLUMN authsync.plans.brake IS 'why the plan was stopped before its first write';
SELECT pg_catalog.pg_extension_config_dump('authsync.plans', '');
SELECT pg_catalog.pg_extension_config_dump(pg_catalog.pg_get_serial_sequence('authsync.plans', 'plan_id')::regclass, '');

-- What a plan is about, one by one: of a plan that is listed every change, of
-- one by rule (backfill) only what could not be done.
CREATE TABLE authsync.plan_items (
    plan_id   bigint NOT NULL,
    item      bigint NOT NULL,
    action    text NOT NULL,
    situation text,
    user_id   uuid,
    subject   text,
    changes   jsonb NOT NULL DEFAULT '{}',
    state     text NOT NULL DEFAULT 'open',
    sqlstate  text,
    message   text,
    CONSTRAINT plan_items_pkey PRIMARY KEY (plan_id, item),
    CONSTRAINT plan_items_action_check CHECK (action IN ('create', 'update', 'disable', 'delete', 'link', 'skip')),
    CONSTRAINT plan_items_state_check CHECK (state IN ('open', 'done', 'failed', 'stale', 'skipped'))
);
COMMENT ON TABLE authsync.plan_items IS 'the changes of a plan, or those of them that could not be made';
COMMENT ON COLUMN authsync.plan_items.item IS 'the order in which they are applied';
COMMENT ON COLUMN authsync.plan_items.situation IS 'why the action, or why none';
COMMENT ON COLUMN authsync.plan_items.changes IS '{"field": [old, new]}; never a password';
COMMENT ON COLUMN authsync.plan_items.state IS 'open, done, failed (sqlstate and message say why) stale (changed since the plan was made, and left) or skipped';
SELECT pg_catalog.pg_extension_config_dump('authsync.plan_items', '');

-- Long work tells of itself here, at each commit. A row whose statement does
-- not run any more (it was killed) is not shown.
CREATE TABLE authsync.progress_rows (
    pid        integer NOT NULL,
    command    text NOT NULL,
    phase      text NOT NULL,
    done       bigint NOT NULL,
    total      bigint NOT NULL,
    started_at timestamptz NOT NULL,
    CONSTRAINT progress_rows_pkey PRIMARY KEY (pid)
);
COMMENT ON TABLE authsync.progress_rows IS 'behind the view authsync.progress';

-- Others' activity is hidden from ordinary roles, hence the definer.
CREATE OR REPLACE FUNCTION authsync.is_running(pid integer, started_at timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$ SELECT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity($1) AS a WHERE a.query_start = $2 AND a.state = 'active') $$;
COMMENT ON FUNCTION authsync.is_running(integer, timestamptz) IS 'whether the statement that the process started then still runs';

CREATE OR REPLACE VIEW authsync.progress AS
    SELECT p.pid, p.command, p.phase, p.done, p.total, p.started_at,
           pg_catalog.round(p.done / GREATEST(EXTRACT(epoch FROM pg_catalog.clock_timestamp() - p.started_at), 0.001), 1) AS rate
      FROM authsync.progress_rows AS p
     WHERE authsync.is_running(p.pid, p.started_at);
COMMENT ON VIEW authsync.progress IS 'long work under way in this database: rows done, rows in all, and rows a second';
