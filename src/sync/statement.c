/*
 * statement.c
 *	  The SQL that a binding stands for.
 *
 * What goes into the views' bodies is parsed under the caller's search_path,
 * so there every name is qualified, operators and types included, and nothing
 * is used that looks an operator up by itself (NULLIF, IS DISTINCT FROM, IN).
 * The writing statements run under a pinned path and may be plainer.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/typcache.h"

#include "sync/statement.h"

#define EQ "OPERATOR(pg_catalog.=)"
#define NE "OPERATOR(pg_catalog.<>)"
#define NIL_UUID "'00000000-0000-0000-0000-000000000000'::pg_catalog.uuid"

/* ---- small pieces ---- */

static const char *
qid(const char *name)
{
	return quote_identifier(name);
}

/* An e-mail as it is compared: folded; NULL, '' and the fallback are one. */
static char *
email_folded(const char *email, const char *user_id)
{
	return psprintf("CASE WHEN pg_catalog.length(%1$s::pg_catalog.text) OPERATOR(pg_catalog.>) 0"
					" THEN pg_catalog.lower(%1$s::pg_catalog.text COLLATE pg_catalog.\"default\")"
					" ELSE pg_catalog.textcat(%2$s::pg_catalog.text, '@users.invalid'::pg_catalog.text) END",
					email, user_id);
}

/* How a profile is matched to an expression that gives the id, or the subject. */
static char *
key_is(const AsyBinding *b, const char *p, const char *user_id, const char *subject)
{
	return b->key_is_text
		? psprintf("%s.%s::pg_catalog.text " EQ " %s", p, qid(b->key), subject)
		: psprintf("%s.%s " EQ " %s", p, qid(b->key), user_id);
}

static bool
has_profiles(const AsyBinding *b)
{
	return OidIsValid(b->profiles) && b->key;
}

char *
asy_sql_has_profile(const AsyBinding *b)
{
	if (!has_profiles(b))
		return pstrdup("false");
	return psprintf("EXISTS (SELECT FROM %s AS p WHERE %s)", b->profiles_name,
					key_is(b, "p", b->source_expr[ASY_USER_ID], b->source_expr[ASY_SUBJECT]));
}

char *
asy_sql_profile_user_id(const AsyBinding *b)
{
	return b->key_is_text ? psprintf("authsync.to_user_id(p.%s::pg_catalog.text)", qid(b->key)) : psprintf("p.%s", qid(b->key));
}

char *
asy_sql_has_user(const AsyBinding *b)
{
	return psprintf("EXISTS (SELECT FROM %s AS u WHERE u.%s " EQ " %s)",
					b->users_name, qid(b->users_key_name), asy_sql_profile_user_id(b));
}

char *
asy_sql_joined(const AsyBinding *b)
{
	return psprintf("%s AS u JOIN %s AS p ON %s", b->users_name, b->profiles_name,
					key_is(b, "p", b->source_expr[ASY_USER_ID], b->source_expr[ASY_SUBJECT]));
}

char *
asy_sql_email_differs(const AsyBinding *b)
{
	if (b->email == NULL || b->source_expr[ASY_EMAIL] == NULL)
		return pstrdup("false");
	return psprintf("(%s) " NE " (%s)",
					email_folded(b->source_expr[ASY_EMAIL], b->source_expr[ASY_USER_ID]),
					email_folded(psprintf("p.%s", qid(b->email)), b->source_expr[ASY_USER_ID]));
}

char *
asy_sql_missing(const AsyBinding *b)
{
	return psprintf("FROM %s AS u WHERE %s AND NOT %s", b->users_name, b->owes_expr, asy_sql_has_profile(b));
}

/* ---- the views ---- */

char *
asy_sql_signups(const AsyBinding *b)
{
	if (!OidIsValid(b->audit))
		return pstrdup("SELECT NULL::pg_catalog.uuid AS audit_id, NULL::pg_catalog.uuid AS user_id, NULL::pg_catalog.text AS email,"
					   " NULL::pg_catalog.text AS action, NULL::pg_catalog.uuid AS actor_id, NULL::pg_catalog.text AS ip_address,"
					   " NULL::pg_catalog.timestamptz AS created_at WHERE false");

	/* A cheap look at the text first: most of the log is token refreshes. */
	return psprintf("SELECT a.id AS audit_id, COALESCE(authsync.to_user_id(e.entry OPERATOR(pg_catalog.#>>) '{traits,user_id}'::pg_catalog.text[]),"
					" authsync.to_user_id(e.entry OPERATOR(pg_catalog.->>) 'actor_id'::pg_catalog.text)) AS user_id,"
					" COALESCE(CASE WHEN pg_catalog.length(e.entry OPERATOR(pg_catalog.#>>) '{traits,user_email}'::pg_catalog.text[]) OPERATOR(pg_catalog.>) 0"
					" THEN e.entry OPERATOR(pg_catalog.#>>) '{traits,user_email}'::pg_catalog.text[] END,"
					" CASE WHEN pg_catalog.strpos(e.entry OPERATOR(pg_catalog.->>) 'actor_username'::pg_catalog.text, '@') OPERATOR(pg_catalog.>) 0"
					" THEN e.entry OPERATOR(pg_catalog.->>) 'actor_username'::pg_catalog.text END) AS email,"
					" e.entry OPERATOR(pg_catalog.->>) 'action'::pg_catalog.text AS action,"
					" authsync.to_uuid(e.entry OPERATOR(pg_catalog.->>) 'actor_id'::pg_catalog.text) AS actor_id,"
					" %s AS ip_address, a.created_at::pg_catalog.timestamptz AS created_at"
					" FROM %s AS a, LATERAL (SELECT authsync.clean_json(a.payload::pg_catalog.json) AS entry) AS e"
					" WHERE pg_catalog.strpos(a.payload::pg_catalog.text, '\"user_') OPERATOR(pg_catalog.>) 0"
					" AND (e.entry OPERATOR(pg_catalog.->>) 'action'::pg_catalog.text) OPERATOR(pg_catalog.~)"
					" '^user_(signedup|invited|confirmation_requested)$'::pg_catalog.text",
					get_attnum(b->audit, "ip_address") != InvalidAttrNumber ? "a.ip_address::pg_catalog.text" : "NULL::pg_catalog.text",
					b->audit_name);
}

/* The rows of auth_profile_mismatch: one branch a status. earliest: "... AS a". */
static char *
mismatch(const AsyBinding *b, bool unhealthy_only, const char *earliest)
{
	const char *uid = b->source_expr[ASY_USER_ID];
	const char *uemail = b->source_expr[ASY_EMAIL] ? b->source_expr[ASY_EMAIL] : "NULL::pg_catalog.text";
	const char *ucreated = b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz";
	const char *none = "NULL::pg_catalog.timestamptz";
	bool		profiles = has_profiles(b);
	char	   *pemail = b->email ? psprintf("p.%s::pg_catalog.text", qid(b->email)) : "NULL::pg_catalog.text";
	char	   *pcreated = b->created_at ? psprintf("p.%s", qid(b->created_at)) : pstrdup(none);
	char	   *has = asy_sql_has_profile(b);
	StringInfoData q;

#define ROW_OF(user_id, auth_email, profile_email, status, ucreated_at, pcreated_at) \
	appendStringInfo(&q, "SELECT %s AS user_id, a.email AS audit_email, %s AS auth_email, %s AS profile_email," \
					 " '" status "'::pg_catalog.text AS status, a.created_at AS signed_up_at," \
					 " %s AS user_created_at, %s AS profile_created_at FROM ", \
					 user_id, auth_email, profile_email, ucreated_at, pcreated_at)

	initStringInfo(&q);

	ROW_OF(uid, uemail, "NULL::pg_catalog.text", "auth_only", ucreated, none);
	appendStringInfo(&q, "%s AS u LEFT JOIN %s ON a.user_id " EQ " %s WHERE %s AND NOT %s",
					 b->users_name, earliest, uid, b->owes_expr, has);

	if (profiles)
	{
		appendStringInfoString(&q, " UNION ALL ");
		ROW_OF(asy_sql_profile_user_id(b), "NULL::pg_catalog.text", pemail, "profile_only", none, pcreated);
		appendStringInfo(&q, "%s AS p LEFT JOIN %s ON a.user_id " EQ " %s WHERE NOT %s",
						 b->profiles_name, earliest, asy_sql_profile_user_id(b), asy_sql_has_user(b));

		appendStringInfoString(&q, " UNION ALL ");
		ROW_OF(uid, uemail, pemail, "email_mismatch", ucreated, pcreated);
		appendStringInfo(&q, "%s LEFT JOIN %s ON a.user_id " EQ " %s WHERE %s AND %s",
						 asy_sql_joined(b), earliest, uid, b->owes_expr, asy_sql_email_differs(b));
	}

	if (OidIsValid(b->audit))
	{
		appendStringInfoString(&q, " UNION ALL ");
		ROW_OF("a.user_id", "NULL::pg_catalog.text", "NULL::pg_catalog.text", "audit_only", none, none);
		appendStringInfo(&q, "%s WHERE NOT EXISTS (SELECT FROM %s AS u WHERE u.%s " EQ " a.user_id)",
						 earliest, b->users_name, qid(b->users_key_name));
		if (profiles)
			appendStringInfo(&q, " AND NOT EXISTS (SELECT FROM %s AS p WHERE %s)", b->profiles_name,
							 key_is(b, "p", "a.user_id", "a.user_id::pg_catalog.text"));
	}

	if (!unhealthy_only)
	{
		if (profiles)
		{
			appendStringInfoString(&q, " UNION ALL ");
			ROW_OF(uid, uemail, pemail, "healthy", ucreated, pcreated);
			appendStringInfo(&q, "%s LEFT JOIN %s ON a.user_id " EQ " %s WHERE NOT (%s AND %s)",
							 asy_sql_joined(b), earliest, uid, b->owes_expr, asy_sql_email_differs(b));
		}
		appendStringInfoString(&q, " UNION ALL ");
		ROW_OF(uid, uemail, "NULL::pg_catalog.text", "healthy", ucreated, none);
		appendStringInfo(&q, "%s AS u LEFT JOIN %s ON a.user_id " EQ " %s WHERE NOT %s AND NOT %s",
						 b->users_name, earliest, uid, b->owes_expr, has);
	}
#undef ROW_OF
	return q.data;
}

/* Each user's earliest entry; as a view's piece, or once for all branches of a function's query. */
static char *
earliest_entries(const AsyBinding *b)
{
	return psprintf("(SELECT DISTINCT ON (x.user_id) x.user_id, x.email, x.created_at FROM (%s) AS x"
					" WHERE x.user_id IS NOT NULL ORDER BY x.user_id, x.created_at, x.audit_id)",
					asy_sql_signups(b));
}

char *
asy_sql_unhealthy(const AsyBinding *b)
{
	return psprintf("WITH earliest AS MATERIALIZED %s SELECT * FROM (%s) AS m", earliest_entries(b),
					mismatch(b, true, "earliest AS a"));
}

char *
asy_sql_mismatch(const AsyBinding *b)
{
	return mismatch(b, false, psprintf("%s AS a", earliest_entries(b)));
}

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

char *
asy_sql_signup_view(const AsyBinding *b)
{
	const char *tables[3] = {b->audit_name};

	return b->audit_name ? guarded("signup_guard", asy_sql_signups(b), tables) : asy_sql_signups(b);
}

char *
asy_sql_mismatch_view(const AsyBinding *b)
{
	const char *tables[3] = {b->users_name, has_profiles(b) ? b->profiles_name : NULL, b->audit_name};

	return guarded("mismatch_guard", asy_sql_mismatch(b), tables);
}

/* ---- reading users ---- */

static const char *
field_or_null(const AsyBinding *b, AsyField f)
{
	return b->source_expr[f] ? b->source_expr[f] : "NULL";
}

static void
append_fields(StringInfo q, const AsyBinding *b)
{
	bool		first = true;

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
		{
			appendStringInfo(q, "%s%s::%s AS %s", first ? "" : ", ", field_or_null(b, f),
							 format_type_be_qualified(asy_field_type[f]), asy_field_name[f]);
			first = false;
		}
}

char *
asy_sql_source(const AsyBinding *b, const char *from)
{
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfoString(&q, "SELECT ");
	append_fields(&q, b);
	appendStringInfo(&q, ", %s AS owes, %s AS gone FROM %s", b->owes_expr, b->gone_expr, from);
	return q.data;
}

/* ---- writing profiles ---- */

/* ROWS FROM (unnest($1), ...) AS s(user_id, ...) */
static char *
arrays(const AsyBinding *b, bool ordinality)
{
	StringInfoData from;
	StringInfoData names;
	int			n = 0;

	initStringInfo(&from);
	initStringInfo(&names);
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
		{
			appendStringInfo(&from, "%spg_catalog.unnest($%d)", n ? ", " : "", n + 1);
			appendStringInfo(&names, "%s%s", n ? ", " : "", asy_field_name[f]);
			n++;
		}
	return psprintf("ROWS FROM (%s)%s AS s(%s%s)", from.data, ordinality ? " WITH ORDINALITY" : "",
					names.data, ordinality ? ", position" : "");
}

static char *
s_key_is(const AsyBinding *b, const char *p)
{
	return key_is(b, p, "s.user_id", "s.subject");
}

/* The value with its default behind it. */
static char *
filled(const AsyColumn *c)
{
	if (c->value == NULL)
		return pstrdup(c->fill ? c->fill : "NULL");
	return c->fill ? psprintf("COALESCE(%s, %s)", c->value, c->fill) : pstrdup(c->value);
}

char *
asy_sql_insert(const AsyBinding *b, bool with_hash)
{
	StringInfoData names;
	StringInfoData values;
	ListCell   *lc;

	initStringInfo(&names);
	initStringInfo(&values);
	appendStringInfoString(&names, qid(b->key));
	appendStringInfoString(&values, b->key_is_text ? "s.subject" : "s.user_id");
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (c->value == NULL && c->fallback == NULL)
			continue;			/* guarded only: its own default */
		appendStringInfo(&names, ", %s", qid(c->name));
		appendStringInfo(&values, ", %s", filled(c));
	}
	return psprintf("INSERT INTO %s AS p (%s) SELECT %s FROM %s WHERE NOT EXISTS (SELECT FROM %s AS o WHERE %s)%s"
					" RETURNING %s::pg_catalog.text%s",
					b->profiles_name, names.data, values.data, arrays(b, false), b->profiles_name, s_key_is(b, "o"),
					b->key_is_arbiter ? psprintf(" ON CONFLICT (%s) DO NOTHING", qid(b->key)) : "",
					psprintf("p.%s", qid(b->key)), with_hash ? ", pg_catalog.md5(p::pg_catalog.text)" : "");
}

char *
asy_sql_linkable(const AsyBinding *b)
{
	if (!b->key_is_nullable || b->email == NULL || b->source_expr[ASY_EMAIL] == NULL)
		return NULL;
	return psprintf("SELECT s.position FROM %1$s WHERE s.email <> ''"
					" AND EXISTS (SELECT FROM %2$s AS o WHERE o.%3$s IS NULL AND pg_catalog.lower(o.%4$s::pg_catalog.text) = pg_catalog.lower(s.email))"
					" AND NOT EXISTS (SELECT FROM %2$s AS k WHERE %5$s) ORDER BY s.position",
					arrays(b, true), b->profiles_name, qid(b->key), qid(b->email), s_key_is(b, "k"));
}

/* The first of the profiles without key that have this user's e-mail takes his id. */
char *
asy_sql_link(const AsyBinding *b)
{
	if (asy_sql_linkable(b) == NULL)
		return NULL;
	return psprintf("UPDATE %1$s AS p SET %2$s = %3$s FROM %4$s, LATERAL (SELECT o.tableoid, o.ctid FROM %1$s AS o"
					" WHERE o.%2$s IS NULL AND pg_catalog.lower(o.%5$s::pg_catalog.text) = pg_catalog.lower(s.email)"
					" ORDER BY o.tableoid, o.ctid LIMIT 1) AS w"
					" WHERE p.tableoid = w.tableoid AND p.ctid = w.ctid AND p.%2$s IS NULL RETURNING p.%2$s::pg_catalog.text",
					b->profiles_name, qid(b->key), b->key_is_text ? "s.subject" : "s.user_id", arrays(b, false), qid(b->email));
}

/* What an existing profile's column should hold. */
static char *
kept_equal(const AsyColumn *c, AsyUpdateKind kind)
{
	char	   *own = psprintf("p.%s", qid(c->name));

	if (kind == ASY_UPDATE_ALL && !c->always)
		return c->changed
			? psprintf("CASE WHEN %s THEN COALESCE(%s, %s) ELSE %s END", c->changed, c->value, own, own)
			: psprintf("COALESCE(%s, %s)", c->value, own);
	if (c->fill && c->fill_is_stable)
		return filled(c);
	return c->fill ? psprintf("COALESCE(%s, %s)", c->value, own) : pstrdup(c->value);
}

/*
 * Over s, p: the column holds something else. To look is not to fail: then a
 * value that cannot be cast is different, where the UPDATE would stop.
 */
static char *
column_differs(const AsyBinding *b, const AsyColumn *c, AsyUpdateKind kind, bool looking)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	char		category;
	bool		preferred;

	if (b->email && strcmp(c->name, b->email) == 0)
		return psprintf("(%s) <> (%s)", email_folded("s.email", "s.user_id"),
						email_folded(psprintf("p.%s", qid(b->email)), "s.user_id"));
	get_atttypetypmodcoll(b->profiles, c->attnum, &type, &typmod, &collation);
	get_type_category_preferred(getBaseType(type), &category, &preferred);
	if (looking && c->text_value)
		return psprintf("p.%s::pg_catalog.text IS DISTINCT FROM COALESCE(authsync.canonical(%s, %s::pg_catalog.regtype, %d), (%s)::pg_catalog.text)",
						qid(c->name), c->text_value, quote_literal_cstr(format_type_be_qualified(type)), typmod,
						c->fill && c->fill_is_stable ? c->fill : c->fill ? psprintf("p.%s", qid(c->name)) : "NULL");
	if (category == TYPCATEGORY_STRING ||
		!OidIsValid(lookup_type_cache(type, TYPECACHE_EQ_OPR)->eq_opr))
		return psprintf("p.%s::pg_catalog.text IS DISTINCT FROM (%s)::pg_catalog.text", qid(c->name), kept_equal(c, kind));
	return psprintf("p.%s IS DISTINCT FROM %s", qid(c->name), kept_equal(c, kind));
}

static bool
is_kept(const AsyColumn *c, AsyUpdateKind kind)
{
	return c->value && (c->always || kind == ASY_UPDATE_ALL);
}

/* "a differs OR b differs", or NULL if no column is kept equal. */
static char *
any_differs(const AsyBinding *b, AsyUpdateKind kind, bool looking)
{
	StringInfoData q;
	ListCell   *lc;

	initStringInfo(&q);
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (is_kept(c, kind))
			appendStringInfo(&q, "%s%s", q.len ? " OR " : "", column_differs(b, c, kind, looking));
	}
	return q.len ? q.data : NULL;
}

char *
asy_sql_update(const AsyBinding *b, AsyUpdateKind kind)
{
	char	   *differs = any_differs(b, kind, false);
	StringInfoData set;
	ListCell   *lc;

	if (differs == NULL)
		return NULL;
	initStringInfo(&set);
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (is_kept(c, kind))
			appendStringInfo(&set, "%s%s = %s", set.len ? ", " : "", qid(c->name), kept_equal(c, kind));
	}
	return psprintf("UPDATE %s AS p SET %s FROM %s WHERE %s AND (%s) RETURNING p.%s::pg_catalog.text",
					b->profiles_name, set.data, arrays(b, false), s_key_is(b, "p"), differs, qid(b->key));
}

char *
asy_sql_existing(const AsyBinding *b)
{
	return psprintf("SELECT s.position FROM %s JOIN %s AS p ON %s", arrays(b, true), b->profiles_name, s_key_is(b, "p"));
}

char *
asy_sql_refused(const AsyBinding *b)
{
	StringInfoData q;
	ListCell   *lc;

	initStringInfo(&q);
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (c->refused)
			appendStringInfo(&q, "%sSELECT s.position, %s::pg_catalog.text FROM %s WHERE %s", q.len ? " UNION ALL " : "",
							 quote_literal_cstr(c->name), arrays(b, true), c->refused);
	}
	return q.len ? q.data : NULL;
}

char *
asy_sql_differing(const AsyBinding *b)
{
	StringInfoData q;
	ListCell   *lc;
	char	   *differs = any_differs(b, ASY_UPDATE_ALWAYS, true);

	if (differs == NULL)
		return NULL;
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (is_kept(c, ASY_UPDATE_ALWAYS) && !c->is_plain)
			return NULL;
	}
	initStringInfo(&q);
	appendStringInfoString(&q, "FROM (SELECT ");
	append_fields(&q, b);
	appendStringInfo(&q, " FROM %s AS u WHERE %s) AS s JOIN %s AS p ON %s WHERE (%s)",
					 b->users_name, b->owes_expr, b->profiles_name, s_key_is(b, "p"), differs);
	return q.data;
}

char *
asy_sql_differing_of(const AsyBinding *b)
{
	char	   *differs = any_differs(b, ASY_UPDATE_ALWAYS, false);

	if (differs == NULL)
		return NULL;
	return psprintf("SELECT s.position FROM %s JOIN %s AS p ON %s WHERE (%s)",
					arrays(b, true), b->profiles_name, s_key_is(b, "p"), differs);
}
