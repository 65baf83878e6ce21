-- Which tables are users and profiles, and how columns map. Names, not OIDs:
-- the row is dumped and must mean the same in another database. No unique key:
-- a restore into a database that is already bound must not fail; the newest
-- row counts.
CREATE TABLE authsync.bindings (
    users_schema    text NOT NULL,
    users_table     text NOT NULL,
    profiles_schema text,
    profiles_table  text,
    key_column      text,
    audit_schema    text,
    audit_table     text,
    mode            text NOT NULL DEFAULT 'safe',
    columns         jsonb NOT NULL DEFAULT '{}',
    bound_at        timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    CONSTRAINT bindings_mode_check CHECK (mode IN ('safe', 'strict', 'off')),
    CONSTRAINT bindings_columns_check CHECK (pg_catalog.jsonb_typeof(columns) = 'object')
);
COMMENT ON TABLE authsync.bindings IS 'which tables are users and profiles, and the mapping of columns between them; written by authsync.setup()';
COMMENT ON COLUMN authsync.bindings.key_column IS 'column of profiles that holds the user''s id';
COMMENT ON COLUMN authsync.bindings.columns IS 'the part of the mapping that was said by hand, as given to authsync.setup(columns => ...)';
SELECT pg_catalog.pg_extension_config_dump('authsync.bindings', '');

CREATE OR REPLACE FUNCTION authsync.binding_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_binding_changed'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.binding_changed() IS 'rewrites the bodies behind the views when the binding changes, in a restore too';

-- ENABLE ALWAYS: a restore that disables triggers must still bind itself.
CREATE TRIGGER binding_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON authsync.bindings
    FOR EACH STATEMENT EXECUTE FUNCTION authsync.binding_changed();
ALTER TABLE authsync.bindings ENABLE ALWAYS TRIGGER binding_changed;
