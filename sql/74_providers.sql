-- What acts here checks the caller first, then acts as the extension's owner
-- (src/face/provider.c): a definer could not tell who called it.
CREATE OR REPLACE FUNCTION authsync.set_secret(server name, name text, value text) RETURNS void
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_set_secret'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.set_secret(name, text, text) IS
    'gives a provider its secret (service_key, client_secret, …), bound to where its url leads now; COPY authsync.new_secret shows it to no log';

CREATE OR REPLACE FUNCTION authsync.forget_secret(server name, name text) RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_forget_secret'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.forget_secret(name, text) IS 'takes a secret away; whether there was one';

CREATE OR REPLACE FUNCTION authsync.provider_capabilities(provider text) RETURNS text[]
    LANGUAGE c STABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'authsync_provider_capabilities'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.provider_capabilities(text) IS 'what that kind of provider can do: list, get, create, update, delete, changes, set_id, …';

CREATE VIEW authsync.providers AS
    SELECT s.srvname AS server, o.provider, o.url, false AS watched, authsync.provider_capabilities(o.provider) AS capabilities
      FROM pg_catalog.pg_foreign_server AS s
      JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid OPERATOR(pg_catalog.=) s.srvfdw
     CROSS JOIN LATERAL (
           SELECT pg_catalog.max(x.option_value) FILTER (WHERE x.option_name OPERATOR(pg_catalog.=) 'provider') AS provider,
                  pg_catalog.max(x.option_value) FILTER (WHERE x.option_name OPERATOR(pg_catalog.=) 'url') AS url
             FROM pg_catalog.pg_options_to_table(s.srvoptions) AS x) AS o
     WHERE w.fdwname OPERATOR(pg_catalog.=) 'authsync';
COMMENT ON VIEW authsync.providers IS 'the providers defined in this database, and what each can do';

CREATE OR REPLACE FUNCTION authsync.ping(server name)
    RETURNS TABLE (ok boolean, latency_ms numeric, users_total bigint, detail text)
    LANGUAGE c STABLE AS 'MODULE_PATHNAME', 'authsync_ping'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.ping(name) IS 'whether a provider is reached, takes the key and lets its users be listed; detail says why not';

CREATE OR REPLACE FUNCTION authsync.arm() RETURNS boolean
    LANGUAGE c AS 'MODULE_PATHNAME', 'authsync_arm'
    SET search_path = pg_catalog, pg_temp;
COMMENT ON FUNCTION authsync.arm() IS 'says that this copy of the database may write to its providers; false if it was armed already';
