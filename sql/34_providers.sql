-- Providers: each is a foreign server of this wrapper.

CREATE FUNCTION authsync.fdw_handler() RETURNS fdw_handler
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_fdw_handler';
COMMENT ON FUNCTION authsync.fdw_handler() IS 'reads and writes the users of a provider as the foreign table users';

CREATE FUNCTION authsync.fdw_validator(options text[], catalog oid) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_fdw_validator';
COMMENT ON FUNCTION authsync.fdw_validator(text[], oid) IS 'checks the options of a provider''s server, mappings and tables; refuses secrets among them';

CREATE FOREIGN DATA WRAPPER authsync HANDLER authsync.fdw_handler VALIDATOR authsync.fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER authsync IS 'auth providers: CREATE SERVER prod FOREIGN DATA WRAPPER authsync OPTIONS (provider ''supabase'', url ''https://…'')';

-- Secrets. Row security is forced and no policy lets anybody in, so only
-- superusers and roles that bypass it read them; no pg_dump contains them.
-- origin is where the server led when the secret was given: it goes nowhere else.
CREATE TABLE authsync.secrets (
    server_oid oid NOT NULL,
    server name NOT NULL,
    name   text NOT NULL,
    value  text NOT NULL,
    origin text NOT NULL,
    set_by name NOT NULL DEFAULT session_user,
    set_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (server_oid, name)
);
ALTER TABLE authsync.secrets ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
COMMENT ON TABLE authsync.secrets IS 'what providers are asked with; written by set_secret() and COPY new_secret, read by authsync alone';
COMMENT ON COLUMN authsync.secrets.origin IS 'scheme, host and port of the server''s url, and of its token_url, when the secret was given';
COMMENT ON COLUMN authsync.secrets.server_oid IS 'the server itself: another one that is later called the same does not get it';

CREATE VIEW authsync.new_secret AS
    SELECT NULL::pg_catalog.name AS server, NULL::pg_catalog.text AS name, NULL::pg_catalog.text AS value WHERE false;
COMMENT ON VIEW authsync.new_secret IS 'always empty; COPY authsync.new_secret (server, name, value) FROM STDIN gives a secret without showing it to any log';

CREATE FUNCTION authsync.take_secret() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_take_secret'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.take_secret() IS 'puts a row of new_secret where secrets are';

CREATE FUNCTION authsync.hush() RETURNS trigger
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_hush'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.hush() IS 'keeps the line out of the context of errors about COPY new_secret';

CREATE TRIGGER hush BEFORE INSERT ON authsync.new_secret FOR EACH STATEMENT EXECUTE FUNCTION authsync.hush();
CREATE TRIGGER take_secret INSTEAD OF INSERT ON authsync.new_secret FOR EACH ROW EXECUTE FUNCTION authsync.take_secret();

-- Which copy of the database may write to its providers. Goes with every dump,
-- so that what is restored from it finds another's name there. No unique key:
-- a restore must never fail for it.
CREATE TABLE authsync.copies (
    system_identifier bigint NOT NULL,
    database          oid NOT NULL,
    armed_at          timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE authsync.copies IS 'armed: the only row is this system identifier and this database; see authsync.arm()';
SELECT pg_catalog.pg_extension_config_dump('authsync.copies', '');
INSERT INTO authsync.copies (system_identifier, database)
    SELECT c.system_identifier, d.oid FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d
     WHERE d.datname = pg_catalog.current_database();
