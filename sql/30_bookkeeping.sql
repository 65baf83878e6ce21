-- What is kept so that looking costs in proportion to what is out of step, and
-- not to the number of users. All of it can be made again from the tables it
-- speaks of (CALL authsync.maintain()), so none of it is dumped, save the
-- roll-up of those who have left. doc/architecture.md tells why it is right.

-- Append-only: whoever changed on either side, in the transaction that changed
-- him. A suspect is not a verdict: readers look at both tables, in one snapshot.
CREATE TABLE authsync.suspects (
    user_id uuid NOT NULL
);
COMMENT ON TABLE authsync.suspects IS 'users who may be out of step, among them all who are; append-only, pruned by CALL authsync.maintain()';

CREATE TABLE authsync.departed (
    user_id uuid NOT NULL
);
COMMENT ON TABLE authsync.departed IS 'users of the sign-up log who were found neither among the users nor among the profiles';

CREATE TABLE authsync.gaps (
    part   text NOT NULL,
    reason text NOT NULL,
    CONSTRAINT gaps_part_check CHECK (part IN ('drift', 'signups'))
);
COMMENT ON TABLE authsync.gaps IS 'what happened unfollowed: while a row stands here, answers come from the full comparison';

-- What each statement did to the totals, and who arrived by it.
CREATE TABLE authsync.changes (
    user_id    uuid,
    created_at timestamptz,
    users      bigint NOT NULL,
    owing      bigint NOT NULL,
    profiles   bigint NOT NULL,
    signups    bigint NOT NULL
);
COMMENT ON TABLE authsync.changes IS 'journal of the totals; the sums are the totals; folded by CALL authsync.maintain()';
COMMENT ON COLUMN authsync.changes.owing IS 'users that owe a profile';
COMMENT ON COLUMN authsync.changes.signups IS 'entries user_signedup of authsync.signups';

CREATE TABLE authsync.arrivals (
    user_id    uuid NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE INDEX arrivals_created_at_idx ON authsync.arrivals (created_at);
COMMENT ON TABLE authsync.arrivals IS 'users created lately, and perhaps others: those who are asked about are looked up';

-- The entries of the audit log that tell of somebody coming or going.
CREATE TABLE authsync.signups (
    audit_id   uuid NOT NULL,
    user_id    uuid,
    email      text,
    action     text NOT NULL,
    actor_id   uuid,
    ip_address text,
    created_at timestamptz,
    CONSTRAINT signups_pkey PRIMARY KEY (audit_id)
);
CREATE INDEX signups_user_id_idx ON authsync.signups (user_id, created_at);
CREATE INDEX signups_created_at_idx ON authsync.signups (created_at);
COMMENT ON TABLE authsync.signups IS 'typed extract of the audit log: sign-ups, invitations, confirmation requests, deletions';

CREATE TABLE authsync.registrations (
    quarter  timestamptz NOT NULL,
    departed bigint NOT NULL
);
COMMENT ON TABLE authsync.registrations IS 'users deleted since, by the quarter of an hour in which they were created (every time zone''s days are made of those)';
SELECT pg_catalog.pg_extension_config_dump('authsync.registrations', '');

CREATE TABLE authsync.bookkeeping (
    part        text NOT NULL,
    fingerprint text NOT NULL,
    filled_at   timestamptz,
    next_block  bigint NOT NULL DEFAULT 0,
    end_block   bigint NOT NULL DEFAULT 0,
    horizon     timestamptz,
    CONSTRAINT bookkeeping_pkey PRIMARY KEY (part),
    CONSTRAINT bookkeeping_part_check CHECK (part IN ('drift', 'signups', 'history'))
);
COMMENT ON TABLE authsync.bookkeeping IS 'what the books were filled from, and how far: they are used while that is still so';
COMMENT ON COLUMN authsync.bookkeeping.fingerprint IS 'tables, mapping and triggers at the time; compared with what is there now';
COMMENT ON COLUMN authsync.bookkeeping.next_block IS 'signups: where in the audit log the first fill goes on';
COMMENT ON COLUMN authsync.bookkeeping.horizon IS 'drift: arrivals hold every user created since';

CREATE OR REPLACE FUNCTION authsync.bookkeeping_is_trusted(part text DEFAULT 'drift') RETURNS boolean
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_bookkeeping_is_trusted'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.bookkeeping_is_trusted(text) IS
    'whether the books of that part (drift, signups, history) are complete and undisturbed; if not, answers come from the full comparison';

CREATE OR REPLACE FUNCTION authsync.uses_bookkeeping(part text) RETURNS boolean
    LANGUAGE c STABLE STRICT AS 'MODULE_PATHNAME', 'authsync_uses_bookkeeping'
    SECURITY DEFINER SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.uses_bookkeeping(text) IS
    'whether the books are used: trusted, not switched off by authsync.trust_bookkeeping, and not longer than a full comparison';

-- The triggers that keep them. ENABLE ALWAYS: what a replica-role session
-- changes is out of step as well. They run as whoever changes the tables.
CREATE OR REPLACE FUNCTION authsync.watch_inserted_users() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_watch_inserted_users';
COMMENT ON FUNCTION authsync.watch_inserted_users() IS 'trigger on the users: notes arrivals, and those whose profile was not made with them';

CREATE OR REPLACE FUNCTION authsync.watch_deleted_users() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_watch_deleted_users';
COMMENT ON FUNCTION authsync.watch_deleted_users() IS 'trigger on the users: notes who has left';

CREATE OR REPLACE FUNCTION authsync.watch_profile() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_watch_profile';
COMMENT ON FUNCTION authsync.watch_profile() IS 'trigger on profiles: notes whose profile came, went, or changed its key or e-mail';

CREATE OR REPLACE FUNCTION authsync.watch_truncated() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_watch_truncated';
COMMENT ON FUNCTION authsync.watch_truncated() IS 'trigger on users, profiles and audit log: notes that a TRUNCATE has left the books behind';

CREATE OR REPLACE FUNCTION authsync.signups_kept() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_signups_kept';
COMMENT ON FUNCTION authsync.signups_kept() IS 'trigger on the audit log: picks out the entries that authsync.signups keeps, and writes them there';

CREATE OR REPLACE FUNCTION authsync.signups_changed() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_signups_changed';
COMMENT ON FUNCTION authsync.signups_changed() IS 'trigger on the audit log: follows changed entries into authsync.signups';

CREATE OR REPLACE FUNCTION authsync.signups_deleted() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_signups_deleted';
COMMENT ON FUNCTION authsync.signups_deleted() IS 'trigger on the audit log: takes deleted entries out of authsync.signups';
