/*
 * lint_foreign.c
 *	  Checks of foreign tables: whether they can be read, what that means, and
 *	  what postgres_fdw is told about their server.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "sync/foreign.h"
#include "sync/lint.h"

/* ---- whether they can be read ---- */

static void
read_a_row(void *arg)
{
	asy_db_query(psprintf("SELECT FROM %s LIMIT 1", (char *) arg));
}

/* Told once, and not by each check that would have read the table. */
static char *
foreign_unreachable(AsyBinding *b)
{
	const Oid	tables[] = {b->users, b->profiles, b->audit};

	for (int i = 0; i < 3; i++)
	{
		Oid			server = asy_foreign_server(tables[i]);
		AsyFailure *failure = OidIsValid(server) ? asy_db_try(read_a_row, asy_db_relation_name(tables[i])) : NULL;
		const char *hint;

		if (failure == NULL)
			continue;
		hint = asy_foreign_has_mapping(server, b->ext.owner) ? failure->hint : asy_foreign_mapping_line(server, b->ext.owner);
		return asy_lint_row(asy_db_relation_name(tables[i]),
							psprintf("cannot be read, so that nothing else of the tables was looked at: %s%s%s", failure->message,
									 failure->detail ? ": " : "", failure->detail ? failure->detail : ""), hint);
	}
	return NULL;
}

const AsyLintCheck asy_lint_reach[] = {
	{"foreign_unreachable", "error", ASY_LINT_USERS, NULL, foreign_unreachable},
	{NULL}
};

/* ---- what to know of them ---- */

/* Foreign tables k, and their servers. */
#define FOREIGN_TABLES \
	" FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_foreign_table AS t ON t.ftrelid = k.oid" \
	" JOIN pg_catalog.pg_foreign_server AS s ON s.oid = t.ftserver"

static char *
foreign_table(AsyBinding *b)
{
	if (!asy_binding_is_foreign(b))
		return NULL;
	return psprintf("SELECT k.oid::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('a foreign table, on server %%I: no triggers, every look compares in full,"
					" profiles are made by the backfill', s.srvname),"
					" 'CALL %s.backfill_missing_profiles(); -- and again every few minutes'" FOREIGN_TABLES " WHERE k.oid IN ($1, $2)",
					b->face);
}

/*
 * Row security over there cannot be seen from here, only its work. Where it
 * hides everything it can be suspected; where it hides some, nobody can tell.
 */
static char *
foreign_empty(AsyBinding *b)
{
	const char *detail = "no row of it is to be seen: row security over there may hide them from the role of the user mapping, and all that is compared is wrong";
	StringInfoData q;

	initStringInfo(&q);
	if (b->users_are_foreign)
		appendStringInfo(&q, "SELECT %1$s, '%2$s', 'ALTER ROLE ... BYPASSRLS; -- over there, the role of the user mapping'"
						 " WHERE NOT EXISTS (SELECT FROM %3$s)", quote_literal_cstr(b->users_name), detail, b->users_name);
	if (b->profiles_are_foreign)
		appendStringInfo(&q, "%1$sSELECT %2$s, '%3$s', 'ALTER ROLE ... BYPASSRLS; -- over there, the role of the user mapping'"
						 " WHERE NOT EXISTS (SELECT FROM %4$s) AND EXISTS (SELECT FROM %5$s)", q.len ? " UNION ALL " : "",
						 quote_literal_cstr(b->profiles_name), detail, b->profiles_name, b->users_name);
	return q.len ? q.data : NULL;
}

/*
 * By default postgres_fdw fetches 100 rows and sends one at a time, each with
 * a round trip, and takes a join for so dear that it fetches both tables.
 */
static char *
foreign_options(AsyBinding *b)
{
	return psprintf("SELECT pg_catalog.format('server %%I', x.srvname), pg_catalog.format('%%s not set: %%s', pg_catalog.string_agg(x.name, ', ' ORDER BY x.name),"
					"  pg_catalog.string_agg(x.effect, '; ' ORDER BY x.name)), pg_catalog.format('ALTER SERVER %%I OPTIONS (%%s);', x.srvname,"
					"  pg_catalog.string_agg(pg_catalog.format('ADD %%I %%L', x.name, x.value), ', ' ORDER BY x.name))"
					" FROM (SELECT DISTINCT s.srvname, v.name, v.value, v.effect" FOREIGN_TABLES ","
					" (VALUES ('fetch_size', '10000', 'rows come 100 at a time'),"
					"  ('use_remote_estimate', 'true', 'whole tables may be fetched where the server could join them'),"
					"  ('batch_size', '1000', 'profiles are sent one at a time')) AS v(name, value, effect)"
					" WHERE k.oid IN ($1, $2, %1$u) AND (v.name <> 'batch_size' OR k.oid = $2)"
					"  AND NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(pg_catalog.array_cat(s.srvoptions, t.ftoptions)) AS o WHERE o.option_name = v.name)) AS x"
					" GROUP BY x.srvname", b->audit);
}

const AsyLintCheck asy_lint_foreign[] = {
	{"foreign_table", "info", ASY_LINT_USERS, NULL, foreign_table},
	{"foreign_empty", "warning", ASY_LINT_PROFILES, NULL, foreign_empty},
	{"foreign_options", "info", ASY_LINT_USERS, NULL, foreign_options},
	{NULL}
};
