-- The events table of an application that does without authsync: looked at by user and by kind.

CREATE SCHEMA app;
CREATE TABLE app.user_events (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id    uuid,
    event_type text NOT NULL,
    details    jsonb NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX user_events_by_user ON app.user_events (user_id, created_at);
CREATE INDEX user_events_by_kind ON app.user_events (event_type, created_at);
