/*
 * signups.c
 *	  What the audit log says of people who came and went.
 *
 * This text goes into the views' bodies, so every name in it is qualified.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "sync/signups.h"
#include "sync/statement.h"

#define TEXT "::pg_catalog.text"
#define NOTHING \
	"SELECT NULL::pg_catalog.uuid AS audit_id, NULL::pg_catalog.uuid AS user_id, NULL::pg_catalog.text AS email," \
	" NULL::pg_catalog.text AS action, NULL::pg_catalog.uuid AS actor_id, NULL::pg_catalog.text AS ip_address," \
	" NULL::pg_catalog.timestamptz AS created_at WHERE false"

/*
 * A cheap look at the text first, which a foreign log's server can take: most
 * of a log is token refreshes. What an entry says is read by sync/entry.c.
 */
char *
asy_signups_from_log(const AsyBinding *b, const char *condition)
{
	if (!OidIsValid(b->audit))
		return pstrdup(NOTHING);
	return psprintf("SELECT a.id AS audit_id, e.user_id, e.email, e.action, e.actor_id, %s AS ip_address, a.created_at::pg_catalog.timestamptz AS created_at"
					" FROM %s AS a, LATERAL authsync.read_entry(a.payload::pg_catalog.json) AS e"
					" WHERE pg_catalog.strpos(a.payload" TEXT ", '\"user_') OPERATOR(pg_catalog.>) 0 AND e.action IS NOT NULL%s%s",
					get_attnum(b->audit, "ip_address") != InvalidAttrNumber ? "a.ip_address" TEXT : "NULL" TEXT,
					b->audit_name, condition ? " AND " : "", condition ? condition : "");
}

char *
asy_signups_entries(const AsyBinding *b, bool kept)
{
	if (kept && OidIsValid(b->audit))
		return pstrdup("SELECT s.audit_id, s.user_id, s.email, s.action, s.actor_id, s.ip_address, s.created_at FROM authsync.signups AS s");
	return asy_signups_from_log(b, NULL);
}

char *
asy_signups_summary(const AsyBinding *b, bool kept)
{
	return psprintf("SELECT x.audit_id, x.user_id, x.email, x.action, x.actor_id, x.ip_address, x.created_at"
					" FROM (%s) AS x WHERE x.action " ASY_NE " 'user_deleted'" TEXT, asy_signups_entries(b, kept));
}

/*
 * What a function returns the planner takes for one value and no more, and
 * would read the users or profiles once for each of those that there really
 * are. What comes out of a subquery it takes for two hundred.
 */
char *
asy_signups_of_users(const AsyBinding *b, bool kept)
{
	return psprintf("(%s%s) AS x WHERE x.user_id IS NOT NULL", asy_signups_summary(b, kept), kept ? "" : " OFFSET 0");
}

char *
asy_signups_earliest(const AsyBinding *b, bool kept)
{
	return psprintf("(SELECT DISTINCT ON (x.user_id) x.audit_id, x.user_id, x.email, x.created_at FROM %s"
					" ORDER BY x.user_id, x.created_at, x.audit_id)",
					asy_signups_of_users(b, kept));
}

char *
asy_signups_earliest_of(const AsyBinding *b, const char *user_id)
{
	return psprintf("(SELECT x.audit_id, x.user_id, x.email, x.created_at FROM (%s) AS x WHERE x.user_id " ASY_EQ " %s"
					" ORDER BY x.created_at, x.audit_id LIMIT 1)",
					OidIsValid(b->audit) ? asy_signups_summary(b, true) : NOTHING, user_id);
}
