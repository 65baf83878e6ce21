/*
 * lint_bookkeeping.c
 *	  Checks of the bookkeeping: whether it is believed, and if not, why.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "sync/lint.h"
#include "sync/trust.h"
#include "sync/watch.h"

/* Functions whose triggers keep the books. */
#define WATCHERS \
	"(VALUES ('handle_updated_user', 17, 'users'), ('watch_inserted_users', 4, 'users'), ('watch_deleted_users', 8, 'users'), ('watch_truncated', 32, 'users')," \
	" ('watch_profile', 29, 'profiles'), ('watch_truncated', 32, 'profiles')," \
	" ('signups_kept', 5, 'log'), ('signups_changed', 16, 'log'), ('signups_deleted', 8, 'log'), ('watch_truncated', 32, 'log')" \
	") AS w(function, kind, side)"
#define ITS_FUNCTION "pg_catalog.to_regprocedure('authsync.' || w.function || '()')"

static char *
side_table(const AsyBinding *b)
{
	return psprintf("CASE w.side WHEN 'users' THEN $1 WHEN 'profiles' THEN $2 ELSE %u END", b->audit);
}

/* Each that is not there, or does not fire in every session. */
static char *
watch_missing(AsyBinding *b)
{
	if (b->mode == ASY_OFF || !(b->keeps_drift || b->keeps_signups))
		return NULL;
	return psprintf("SELECT pg_catalog.format('%%s on %%s', w.function, (%1$s)::pg_catalog.regclass),"
					" CASE WHEN t.oid IS NULL THEN 'the trigger that keeps the bookkeeping is not there'"
					"   ELSE pg_catalog.format('trigger %%I keeps the bookkeeping and is not ENABLE ALWAYS', t.tgname) END ||"
					" ': answers come from the full comparison', 'SELECT * FROM authsync.setup(); CALL authsync.maintain();'"
					" FROM " WATCHERS " LEFT JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = %1$s AND t.tgfoid = " ITS_FUNCTION " AND t.tgtype = w.kind"
					" WHERE (t.oid IS NULL OR t.tgenabled <> 'A') AND CASE w.side WHEN 'log' THEN %2$s ELSE %3$s END",
					side_table(b), b->keeps_signups && OidIsValid(b->audit) ? "true" : "false", b->keeps_drift ? "true" : "false");
}

static char *
watch_elsewhere(AsyBinding *b)
{
	return psprintf("SELECT DISTINCT pg_catalog.format('%%I on %%s', t.tgname, t.tgrelid::pg_catalog.regclass),"
					" 'keeps the bookkeeping of a table that is not bound: each change there makes answers slow until the next CALL authsync.maintain()',"
					" pg_catalog.format('DROP TRIGGER %%I ON %%s;', t.tgname, t.tgrelid::pg_catalog.regclass)"
					" FROM pg_catalog.pg_trigger AS t JOIN " WATCHERS " ON t.tgfoid = " ITS_FUNCTION
					" WHERE t.tgparentid = 0 AND w.function <> 'handle_updated_user' AND t.tgrelid NOT IN ($1, $2, %u)", b->audit);
}

static char *
untrusted(AsyBinding *b, const char *part, const char *what)
{
	return psprintf("SELECT '%1$s', CASE WHEN NOT k.filled THEN 'the bookkeeping is not filled yet' WHEN g.reason IS NOT NULL THEN"
					"   pg_catalog.format('the bookkeeping was disturbed: %%s', g.reason)"
					"   ELSE 'tables, mapping or triggers were altered since the bookkeeping was filled' END ||"
					" ': answers come from the full comparison', 'CALL authsync.maintain();',"
					" CASE WHEN NOT k.filled AND g.reason IS NULL THEN 'info' ELSE 'warning' END, 'bookkeeping_untrusted'"
					" FROM (SELECT EXISTS (SELECT FROM authsync.bookkeeping AS b WHERE b.part = '%2$s' AND b.filled_at IS NOT NULL) AS filled) AS k,"
					" (SELECT pg_catalog.min(x.reason) AS reason FROM authsync.gaps AS x WHERE x.part = '%2$s') AS g WHERE NOT (%3$s)",
					what, part, asy_trust_query(b, part));
}

static char *
bookkeeping_untrusted(AsyBinding *b)
{
	char	   *drift = b->keeps_drift ? untrusted(b, ASY_PART_DRIFT, "users and profiles") : NULL;
	char	   *signups = b->keeps_signups && OidIsValid(b->audit) ? untrusted(b, ASY_PART_SIGNUPS, "sign-ups") : NULL;

	if (b->mode == ASY_OFF)
		return NULL;
	return drift && signups ? psprintf("%s UNION ALL %s", drift, signups) : drift ? drift : signups;
}

static char *
bookkeeping_impossible(AsyBinding *b)
{
	const char *drift = NULL;
	const char *signups = NULL;

	(void) asy_trust_is_possible(b, ASY_PART_DRIFT, &drift);
	(void) asy_trust_is_possible(b, ASY_PART_SIGNUPS, &signups);
	if (b->profiles_name == NULL || (drift == NULL && signups == NULL))
		return NULL;
	return asy_lint_row(drift ? "users and profiles" : "sign-ups",
						psprintf("no bookkeeping is kept, every look compares everything: %s", drift ? drift : signups), NULL);
}

/* Numbers that only CALL authsync.maintain() makes smaller. */
static const char bookkeeping_long[] =
	"SELECT j.journal, pg_catalog.format('%s, and every look reads them', pg_catalog.pg_size_pretty(pg_catalog.pg_relation_size(j.journal::pg_catalog.regclass))),"
	" 'CALL authsync.maintain();' FROM (VALUES ('authsync.suspects'), ('authsync.changes')) AS j(journal)"
	" WHERE pg_catalog.pg_relation_size(j.journal::pg_catalog.regclass) > 16 * 1024 * 1024";

const AsyLintCheck asy_lint_bookkeeping[] = {
	{"watch_missing", "warning", ASY_LINT_USERS, NULL, watch_missing},
	{"watch_elsewhere", "warning", ASY_LINT_USERS, NULL, watch_elsewhere},
	{"bookkeeping_untrusted", "warning", ASY_LINT_PROFILES, NULL, bookkeeping_untrusted},
	{"bookkeeping_impossible", "info", ASY_LINT_USERS, NULL, bookkeeping_impossible},
	{"bookkeeping_long", "info", ASY_LINT_NOTHING, bookkeeping_long, NULL},
	{NULL}
};
