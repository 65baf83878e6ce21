/*
 * lint_providers.c
 *	  Checks of the providers defined here: whether each could be asked at all,
 *	  and whether this copy of the database may write to them.
 */
#include "postgres.h"

#include "sync/lint.h"

/* Servers of the wrapper: name, provider, url, where the url leads. The origin is the one that secrets are bound to. */
#define SERVERS \
	"(SELECT s.oid, s.srvname, s.srvowner, o.provider, o.url," \
	"        pg_catalog.lower(pg_catalog.substring(o.url, '^https?://[^/]+')) ||" \
	"        CASE WHEN o.url ~ '^https?://[^/]*:[0-9]+(/|$)' THEN '' WHEN o.url ~ '^https:' THEN ':443' ELSE ':80' END AS origin" \
	"   FROM pg_catalog.pg_foreign_server AS s JOIN pg_catalog.pg_foreign_data_wrapper AS w ON w.oid = s.srvfdw AND w.fdwname = 'authsync'," \
	"   LATERAL (SELECT pg_catalog.max(x.option_value) FILTER (WHERE x.option_name = 'provider') AS provider," \
	"                   pg_catalog.max(x.option_value) FILTER (WHERE x.option_name = 'url') AS url" \
	"              FROM pg_catalog.pg_options_to_table(s.srvoptions) AS x) AS o) AS p"

/* Which mappings say where a secret is. */
#define MAPPED \
	"EXISTS (SELECT FROM pg_catalog.pg_user_mapping AS m, pg_catalog.unnest(m.umoptions) AS o WHERE m.umserver = p.oid AND o ~ '^[a-z_]+_(file|env|vault)=')"

static const char no_secret[] =
	"SELECT pg_catalog.format('server %I', p.srvname), 'neither a user mapping nor authsync.new_secret gives it a secret: it cannot be asked',"
	" 'COPY authsync.new_secret (server, name, value) FROM STDIN; -- then a line of server, name of the secret and secret, with tabs between'"
	" FROM " SERVERS " WHERE NOT " MAPPED " AND NOT EXISTS (SELECT FROM authsync.secrets AS s WHERE s.server_oid = p.oid)";

static const char secret_elsewhere[] =
	"SELECT pg_catalog.format('server %I', p.srvname), pg_catalog.format('its secret %s was given while its url led to %s, and is not sent to %s', s.name, s.origin, p.origin),"
	" 'COPY authsync.new_secret (server, name, value) FROM STDIN; -- again, if that is where it should go'"
	" FROM " SERVERS " JOIN authsync.secrets AS s ON s.server_oid = p.oid WHERE pg_catalog.split_part(s.origin, ' ', 1) <> p.origin";

static const char secret_left[] =
	"SELECT pg_catalog.format('secret %s of %I', s.name, s.server), 'there is no such server any more',"
	" pg_catalog.format('DELETE FROM authsync.secrets WHERE server_oid = %s AND name = %L;', s.server_oid, s.name)"
	" FROM authsync.secrets AS s WHERE NOT EXISTS (SELECT FROM " SERVERS " WHERE p.oid = s.server_oid)";

static const char not_armed[] =
	"SELECT 'authsync.copies', pg_catalog.format('this copy of the database was made from another one and is not armed: nothing is written to %s',"
	"  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.srvname), ', ' ORDER BY p.srvname) FROM " SERVERS ")),"
	" 'SELECT authsync.arm(); -- if this is now the one that speaks for the application'"
	" WHERE EXISTS (SELECT FROM " SERVERS ")"
	"   AND (SELECT COALESCE(pg_catalog.bool_or(c.system_identifier <> i.system_identifier OR c.database <> d.oid), true)"
	"          FROM pg_catalog.pg_control_system() AS i, pg_catalog.pg_database AS d, authsync.copies AS c WHERE d.datname = pg_catalog.current_database())";

const AsyLintCheck asy_lint_providers[] = {
	{"provider_without_secret", "warning", ASY_LINT_NOTHING, no_secret, NULL},
	{"secret_for_elsewhere", "warning", ASY_LINT_NOTHING, secret_elsewhere, NULL},
	{"secret_left_behind", "info", ASY_LINT_NOTHING, secret_left, NULL},
	{"copy_not_armed", "warning", ASY_LINT_NOTHING, not_armed, NULL},
	{NULL}
};
