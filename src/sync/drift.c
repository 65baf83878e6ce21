/*
 * drift.c
 *	  Who is out of step, as SQL.
 *
 * This text goes into the views' bodies, which are parsed under the caller's
 * search_path: every name is qualified, operators and types included, and
 * nothing is used that looks an operator up by itself (NULLIF, IS DISTINCT
 * FROM, IN).
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sync/drift.h"
#include "sync/signups.h"
#include "sync/statement.h"

#define NO_TEXT "NULL::pg_catalog.text"
#define NO_TIME "NULL::pg_catalog.timestamptz"

static const char *
qid(const char *name)
{
	return quote_identifier(name);
}

/* What a row says of the user's and of the profile's side. */
static const char *
users_email(const AsyBinding *b)
{
	return b->source_expr[ASY_EMAIL] ? b->source_expr[ASY_EMAIL] : NO_TEXT;
}

static const char *
users_created(const AsyBinding *b)
{
	return b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : NO_TIME;
}

static char *
profiles_email(const AsyBinding *b)
{
	return b->email ? psprintf("p.%s::pg_catalog.text", qid(b->email)) : pstrdup(NO_TEXT);
}

static char *
profiles_created(const AsyBinding *b)
{
	return b->created_at ? psprintf("p.%s", qid(b->created_at)) : pstrdup(NO_TIME);
}

/* ---- by comparing everything: one branch a status, so that a constant status prunes ---- */

/* earliest: "... AS a", joined to each branch and shown; or NULL. all: not for a view, of which one user may be asked. */
typedef struct Branches
{
	const AsyBinding *b;
	bool		all;
	const char *earliest;
	StringInfoData sql;
} Branches;

static void
branch(Branches *x, const char *status, const char *user_id, const char *from, const char *condition, bool user, bool profile)
{
	const AsyBinding *b = x->b;

	appendStringInfo(&x->sql, "%sSELECT %s AS user_id", x->sql.len ? " UNION ALL " : "", user_id);
	if (x->earliest)
		appendStringInfo(&x->sql, ", a.email AS audit_email");
	else
		appendStringInfo(&x->sql, ", '%s'::pg_catalog.text AS status", status);
	appendStringInfo(&x->sql, ", %s AS auth_email, %s AS profile_email", user ? users_email(b) : NO_TEXT, profile ? profiles_email(b) : NO_TEXT);
	if (x->earliest)
		appendStringInfo(&x->sql, ", '%s'::pg_catalog.text AS status, a.created_at AS signed_up_at", status);
	appendStringInfo(&x->sql, ", %s AS user_created_at, %s AS profile_created_at FROM %s",
					 user ? users_created(b) : NO_TIME, profile ? profiles_created(b) : NO_TIME, from);
	if (x->earliest && strcmp(status, "audit_only") != 0)
		appendStringInfo(&x->sql, " LEFT JOIN %s ON a.user_id " ASY_EQ " %s", x->earliest, user_id);
	appendStringInfo(&x->sql, " WHERE %s", condition);
}

static void
drift_branches(Branches *x)
{
	const AsyBinding *b = x->b;
	const char *uid = b->source_expr[ASY_USER_ID];
	AsyUnmatched lone = asy_sql_users_without_profile(b, x->all);

	branch(x, "auth_only", uid, lone.from, psprintf("%s AND %s", b->owes_expr, lone.condition), true, false);
	if (!asy_sql_has_profiles(b))
		return;
	lone = asy_sql_profiles_without_user(b, x->all);
	branch(x, "profile_only", asy_sql_profile_user_id(b), lone.from, lone.condition, false, true);
	branch(x, "email_mismatch", uid, asy_sql_joined(b),
		   psprintf("%s AND %s", b->owes_expr, asy_sql_email_differs(b)), true, true);
}

static void
healthy_branches(Branches *x)
{
	const AsyBinding *b = x->b;
	const char *uid = b->source_expr[ASY_USER_ID];
	AsyUnmatched lone = asy_sql_users_without_profile(b, x->all);

	if (asy_sql_has_profiles(b))
		branch(x, "healthy", uid, asy_sql_joined(b), psprintf("NOT (%s AND %s)", b->owes_expr, asy_sql_email_differs(b)), true, true);
	branch(x, "healthy", uid, lone.from, psprintf("NOT %s AND %s", b->owes_expr, lone.condition), true, false);
}

/* Over a: neither among the users nor among the profiles. */
static char *
is_history(const AsyBinding *b)
{
	char	   *no_user = psprintf("NOT EXISTS (SELECT FROM %s AS u WHERE u.%s " ASY_EQ " a.user_id)", b->users_name, qid(b->users_key_name));

	if (!asy_sql_has_profiles(b))
		return no_user;
	return psprintf("%s AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)", no_user, b->profiles_name,
					asy_sql_key_is(b, "p", "a.user_id", "a.user_id::pg_catalog.text"));
}

static void
history_branch(Branches *x)
{
	if (OidIsValid(x->b->audit))
		branch(x, "audit_only", "a.user_id", x->earliest, is_history(x->b), false, false);
}

char *
asy_drift_history(const AsyBinding *b, bool kept_log)
{
	return psprintf("FROM (SELECT DISTINCT x.user_id FROM %s) AS a WHERE %s", asy_signups_of_users(b, kept_log), is_history(b));
}

/* ---- by looking at suspects ---- */

/* "u.id, u.email, ...": what the comparison reads of users. */
static char *
compared_columns(const AsyBinding *b)
{
	StringInfoData list;
	int			att = -1;

	initStringInfo(&list);
	while ((att = bms_next_member(b->compared, att)) >= 0)
		appendStringInfo(&list, "%su.%s", list.len ? ", " : "", qid(get_attname(b->users, att, false)));
	return list.data;
}

/*
 * Each suspect as he is now. The LIMITs keep the planner from reading a whole
 * table for a few of them: it knows nothing of how many there are.
 */
static char *
suspects_now(const AsyBinding *b, bool and_departed)
{
	char	   *user_there = psprintf("u.%s IS NOT NULL", qid(b->users_key_name));
	char	   *profile_there = psprintf("p.%s IS NOT NULL", qid(b->key));
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfo(&q, "SELECT c.user_id, CASE WHEN %1$s AND NOT %2$s THEN 'healthy' WHEN %1$s AND %3$s THEN"
					 " CASE WHEN %4$s THEN 'email_mismatch' ELSE 'healthy' END WHEN %1$s THEN 'auth_only'"
					 " WHEN %3$s THEN 'profile_only' ELSE 'audit_only' END AS status,"
					 " %5$s AS auth_email, %6$s AS profile_email, %7$s AS user_created_at, %8$s AS profile_created_at",
					 user_there, b->owes_expr, profile_there, asy_sql_email_differs(b),
					 users_email(b), profiles_email(b), users_created(b), profiles_created(b));
	appendStringInfo(&q, " FROM (SELECT s.user_id FROM authsync.suspects AS s%s) AS c",
					 and_departed ? " UNION SELECT d.user_id FROM authsync.departed AS d" : " GROUP BY s.user_id");
	appendStringInfo(&q, " LEFT JOIN LATERAL (SELECT %s FROM %s AS u WHERE u.%s " ASY_EQ " c.user_id LIMIT 1) AS u ON true",
					 compared_columns(b), b->users_name, qid(b->users_key_name));
	appendStringInfo(&q, " LEFT JOIN LATERAL (SELECT p.%s%s%s%s%s FROM %s AS p WHERE p.%s " ASY_EQ " c.user_id LIMIT 1) AS p ON true",
					 qid(b->key), b->email ? ", p." : "", b->email ? qid(b->email) : "",
					 b->created_at ? ", p." : "", b->created_at ? qid(b->created_at) : "", b->profiles_name, qid(b->key));

	/* A profile that is nobody's cannot be told by a user; an index finds them. */
	if (b->key_is_nullable)
		appendStringInfo(&q, " UNION ALL SELECT NULL::pg_catalog.uuid, 'profile_only', " NO_TEXT ", %s, " NO_TIME ", %s FROM %s AS p WHERE p.%s IS NULL",
						 profiles_email(b), profiles_created(b), b->profiles_name, qid(b->key));
	return q.data;
}

/* ---- the parts that queries are made of ---- */

char *
asy_drift_rows(const AsyBinding *b, bool kept)
{
	Branches	x = {.b = b, .all = true};

	if (kept)
		return psprintf("SELECT n.* FROM (%s) AS n WHERE n.status " ASY_NE " 'healthy' AND n.status " ASY_NE " 'audit_only'", suspects_now(b, false));
	initStringInfo(&x.sql);
	drift_branches(&x);
	return x.sql.data;
}

char *
asy_drift_missing(const AsyBinding *b, bool kept)
{
	if (kept)
		return psprintf("FROM (%s) AS m WHERE m.status = 'auth_only'", suspects_now(b, false));
	return psprintf("FROM (SELECT %s AS user_id %s) AS m", b->source_expr[ASY_USER_ID], asy_sql_missing(b));
}

/* Kept: rows as the view has them, their earliest entry looked up for each. */
static char *
kept_unhealthy(const AsyBinding *b, bool and_departed, const char *condition)
{
	return psprintf("SELECT n.user_id, a.email AS audit_email, n.auth_email, n.profile_email, n.status, a.created_at AS signed_up_at,"
					" n.user_created_at, n.profile_created_at FROM (%s) AS n LEFT JOIN LATERAL %s AS a ON true WHERE %s",
					suspects_now(b, and_departed), asy_signups_earliest_of(b, "n.user_id"), condition);
}

#define IS_DRIFT "n.status " ASY_NE " 'healthy' AND n.status " ASY_NE " 'audit_only'"
#define IS_HISTORY "n.status " ASY_EQ " 'audit_only' AND a.audit_id IS NOT NULL"

char *
asy_drift_unhealthy(const AsyBinding *b, AsyDriftSet set, bool kept, bool kept_log)
{
	Branches	x = {.b = b, .all = true, .earliest = "earliest AS a"};

	if (kept)
		return kept_unhealthy(b, set == ASY_HISTORY, set == ASY_HISTORY ? IS_HISTORY : IS_DRIFT);
	initStringInfo(&x.sql);
	if (set == ASY_DRIFT)
		drift_branches(&x);
	else if (OidIsValid(b->audit))
		history_branch(&x);
	else
		return "SELECT NULL::pg_catalog.uuid AS user_id, " NO_TEXT " AS audit_email, " NO_TEXT " AS auth_email, " NO_TEXT " AS profile_email,"
			" " NO_TEXT " AS status, " NO_TIME " AS signed_up_at, " NO_TIME " AS user_created_at, " NO_TIME " AS profile_created_at WHERE false";
	return psprintf("WITH earliest AS MATERIALIZED %s SELECT * FROM (%s) AS n", asy_signups_earliest(b, kept_log), x.sql.data);
}

/* ---- totals ---- */

char *
asy_drift_sum(const char *what)
{
	return psprintf("(SELECT COALESCE(pg_catalog.sum(c.%s), 0)::pg_catalog.int8 FROM authsync.changes AS c)", what);
}

char *
asy_drift_total_users(const AsyBinding *b, bool kept)
{
	return kept ? asy_drift_sum("users") : psprintf("(SELECT pg_catalog.count(*) FROM %s)", b->users_name);
}

char *
asy_drift_total_profiles(const AsyBinding *b, bool kept)
{
	if (!OidIsValid(b->profiles))
		return pstrdup("0::pg_catalog.int8");
	return kept ? asy_drift_sum("profiles") : psprintf("(SELECT pg_catalog.count(*) FROM %s)", b->profiles_name);
}

/* ---- the views ---- */

/*
 * As the views have them: first comes a function that returns nothing, or
 * 42501 where row security hides a table's rows. It stands in FROM, because
 * what the planner can decide beforehand (a condition on a constant, a scan
 * that row security makes empty) it leaves out.
 */
static char *
guarded(const char *guard, const char *query, const char *const tables[])
{
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < 3; i++)
		if (tables[i])
			appendStringInfo(&list, "%s%s::pg_catalog.regclass", list.len ? ", " : "", quote_literal_cstr(tables[i]));
	return psprintf("SELECT g.* FROM authsync.%s(%s) AS g UNION ALL %s", guard, list.data, query);
}

/* One of two ways, by a condition that is decided once, when the query starts. */
static char *
by_the_books(const char *part, const char *kept, const char *full)
{
	return psprintf("SELECT k.* FROM (%2$s) AS k WHERE authsync.uses_bookkeeping('%1$s'::pg_catalog.text)"
					" UNION ALL SELECT f.* FROM (%3$s) AS f WHERE NOT authsync.uses_bookkeeping('%1$s'::pg_catalog.text)",
					part, kept, full);
}

/*
 * Whether the bodies ask for the books at all. Not whether those can be kept
 * now: in a restore a body is written before its tables have their indexes.
 */
static bool
may_be_kept(const AsyBinding *b)
{
	return !asy_binding_is_foreign(b) && asy_sql_has_profiles(b) && get_atttype(b->profiles, b->key_attnum) == UUIDOID &&
		(!OidIsValid(b->audit) || get_atttype(b->audit, b->audit_id) == UUIDOID);
}

char *
asy_drift_signup_view(const AsyBinding *b)
{
	const char *tables[3] = {b->audit_name};

	if (b->audit_name == NULL)
		return asy_signups_summary(b, false);
	if (asy_binding_is_foreign(b) || get_atttype(b->audit, b->audit_id) != UUIDOID)
		return guarded("signup_guard", asy_signups_summary(b, false), tables);
	return guarded("signup_guard", by_the_books("signups", asy_signups_summary(b, true), asy_signups_summary(b, false)), tables);
}

char *
asy_drift_mismatch_view(const AsyBinding *b)
{
	const char *tables[3] = {b->users_name, asy_sql_has_profiles(b) ? b->profiles_name : NULL, b->audit_name};
	Branches	full = {.b = b, .earliest = psprintf("%s AS a", asy_signups_earliest(b, false))};
	Branches	kept = {.b = b, .earliest = psprintf("%s AS a", asy_signups_earliest(b, true))};

	initStringInfo(&full.sql);
	drift_branches(&full);
	history_branch(&full);
	healthy_branches(&full);
	if (!may_be_kept(b))
		return guarded("mismatch_guard", full.sql.data, tables);

	initStringInfo(&kept.sql);
	appendStringInfoString(&kept.sql, kept_unhealthy(b, true, "n.status " ASY_NE " 'healthy' AND (n.status " ASY_NE " 'audit_only' OR a.audit_id IS NOT NULL)"));
	healthy_branches(&kept);
	return guarded("mismatch_guard", by_the_books("history", kept.sql.data, full.sql.data), tables);
}
