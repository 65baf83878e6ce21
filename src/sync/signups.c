/*
 * signups.c
 *	  What the audit log says of people who came and went.
 *
 * This text goes into the views' bodies, so every name in it is qualified.
 */
#include "postgres.h"

#include "utils/lsyscache.h"

#include "sync/foreign.h"
#include "sync/signups.h"
#include "sync/statement.h"

#define TEXT "::pg_catalog.text"
#define NOTHING \
	"SELECT NULL::pg_catalog.uuid AS audit_id, NULL::pg_catalog.uuid AS user_id, NULL::pg_catalog.text AS email," \
	" NULL::pg_catalog.text AS action, NULL::pg_catalog.uuid AS actor_id, NULL::pg_catalog.text AS ip_address," \
	" NULL::pg_catalog.timestamptz AS created_at WHERE false"

/*
 * Of a foreign log there are no statistics as a rule, and the planner takes a
 * match of ~ for so rare that it would read the users once for each. What is
 * not NULL it takes for common.
 */
#define ACTION "e.entry OPERATOR(pg_catalog.->>) 'action'" TEXT
#define FOUR "'^user_(signedup|invited|confirmation_requested|deleted)$'" TEXT
#define IS_ONE_OF_FOUR "(" ACTION ") OPERATOR(pg_catalog.~) " FOUR
#define IS_ONE_OF_FOUR_AWAY "pg_catalog.regexp_match(" ACTION ", " FOUR ") IS NOT NULL"

char *
asy_signups_from_log(const AsyBinding *b, const char *condition)
{
	if (!OidIsValid(b->audit))
		return pstrdup(NOTHING);

	/*
	 * A cheap look at the text first: most of the log is token refreshes. Who
	 * is deleted is named in traits; actor_username is whoever deleted him.
	 */
	return psprintf("SELECT a.id AS audit_id, COALESCE(authsync.to_user_id(e.entry OPERATOR(pg_catalog.#>>) '{traits,user_id}'" TEXT "[]),"
					" authsync.to_user_id(e.entry OPERATOR(pg_catalog.->>) 'actor_id'" TEXT ")) AS user_id,"
					" COALESCE(CASE WHEN pg_catalog.length(e.entry OPERATOR(pg_catalog.#>>) '{traits,user_email}'" TEXT "[]) OPERATOR(pg_catalog.>) 0"
					" THEN e.entry OPERATOR(pg_catalog.#>>) '{traits,user_email}'" TEXT "[] END,"
					" CASE WHEN pg_catalog.strpos(e.entry OPERATOR(pg_catalog.->>) 'actor_username'" TEXT ", '@') OPERATOR(pg_catalog.>) 0"
					" AND (e.entry OPERATOR(pg_catalog.->>) 'action'" TEXT ") " ASY_NE " 'user_deleted'" TEXT
					" THEN e.entry OPERATOR(pg_catalog.->>) 'actor_username'" TEXT " END) AS email,"
					" e.entry OPERATOR(pg_catalog.->>) 'action'" TEXT " AS action,"
					" authsync.to_uuid(e.entry OPERATOR(pg_catalog.->>) 'actor_id'" TEXT ") AS actor_id,"
					" %s AS ip_address, a.created_at::pg_catalog.timestamptz AS created_at"
					" FROM %s AS a, LATERAL (SELECT authsync.clean_json(a.payload::pg_catalog.json) AS entry) AS e"
					" WHERE pg_catalog.strpos(a.payload" TEXT ", '\"user_') OPERATOR(pg_catalog.>) 0"
					" AND %s%s%s",
					get_attnum(b->audit, "ip_address") != InvalidAttrNumber ? "a.ip_address" TEXT : "NULL" TEXT,
					b->audit_name, OidIsValid(asy_foreign_server(b->audit)) ? IS_ONE_OF_FOUR_AWAY : IS_ONE_OF_FOUR, condition ? " AND " : "", condition ? condition : "");
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

char *
asy_signups_earliest(const AsyBinding *b, bool kept)
{
	return psprintf("(SELECT DISTINCT ON (x.user_id) x.audit_id, x.user_id, x.email, x.created_at FROM (%s) AS x"
					" WHERE x.user_id IS NOT NULL ORDER BY x.user_id, x.created_at, x.audit_id)",
					asy_signups_summary(b, kept));
}

char *
asy_signups_earliest_of(const AsyBinding *b, const char *user_id)
{
	return psprintf("(SELECT x.audit_id, x.user_id, x.email, x.created_at FROM (%s) AS x WHERE x.user_id " ASY_EQ " %s"
					" ORDER BY x.created_at, x.audit_id LIMIT 1)",
					OidIsValid(b->audit) ? asy_signups_summary(b, true) : NOTHING, user_id);
}
