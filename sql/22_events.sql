CREATE TABLE @extschema@.user_events (
    id         bigint GENERATED ALWAYS AS IDENTITY,
    user_id    uuid,
    event_type text NOT NULL,
    provider   text NOT NULL DEFAULT 'local',
    subject    text,
    details    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    CONSTRAINT user_events_pkey PRIMARY KEY (id)
);
CREATE INDEX user_events_user_id_idx ON @extschema@.user_events (user_id, created_at);
-- Events come in the order of time: a BRIN index answers by time and costs a sign-up nothing.
CREATE INDEX user_events_created_at_idx ON @extschema@.user_events USING brin (created_at) WITH (pages_per_range = 32, autosummarize = on);
COMMENT ON TABLE @extschema@.user_events IS 'what happened to users and profiles; written by authsync, an application adds its own by track_user_event()';
COMMENT ON COLUMN @extschema@.user_events.provider IS 'the provider''s name; local for this database''s own users table';
COMMENT ON COLUMN @extschema@.user_events.subject IS 'the user''s id as the provider writes it';
COMMENT ON COLUMN @extschema@.user_events.details IS 'never a password, token or e-mail address';
SELECT pg_catalog.pg_extension_config_dump('@extschema@.user_events', '');
SELECT pg_catalog.pg_extension_config_dump(pg_catalog.pg_get_serial_sequence('@extschema@.user_events', 'id')::regclass, '');

ALTER TABLE @extschema@.user_events ENABLE ROW LEVEL SECURITY;
