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

#include "access/htup_details.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "sync/statement.h"


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

/*
 * The definition of "the e-mails differ", over two of them. Where the server
 * of foreign tables does the joining it can work out what stands in front:
 * true of every pair that differs (case folded as that database folds it), and
 * of few that do not. The rest, in which an id becomes text, postgres_fdw
 * would not send; it is worked out here.
 */
static char *
emails_differ(const AsyBinding *b, const char *x, const char *y, const char *user_id)
{
	char	   *differ = psprintf("(%s) " ASY_NE " (%s)", email_folded(x, user_id), email_folded(y, user_id));

	if (!b->are_together)
		return differ;
	return psprintf("((%1$s IS NOT NULL OR %2$s IS NOT NULL) AND (%1$s IS NULL OR %2$s IS NULL OR"
					" pg_catalog.lower(%1$s::pg_catalog.text COLLATE pg_catalog.\"default\") " ASY_NE
					" pg_catalog.lower(%2$s::pg_catalog.text COLLATE pg_catalog.\"default\")) AND %3$s)", x, y, differ);
}

char *
asy_sql_key_is(const AsyBinding *b, const char *p, const char *user_id, const char *subject)
{
	return b->key_is_text
		? psprintf("%s.%s::pg_catalog.text " ASY_EQ " %s", p, qid(b->key), subject)
		: psprintf("%s.%s " ASY_EQ " %s", p, qid(b->key), user_id);
}

bool
asy_sql_has_profiles(const AsyBinding *b)
{
	return OidIsValid(b->profiles) && b->key;
}

char *
asy_sql_has_profile(const AsyBinding *b)
{
	if (!asy_sql_has_profiles(b))
		return pstrdup("false");
	return psprintf("EXISTS (SELECT FROM %s AS p WHERE %s)", b->profiles_name,
					asy_sql_key_is(b, "p", b->source_expr[ASY_USER_ID], b->source_expr[ASY_SUBJECT]));
}

char *
asy_sql_profile_user_id(const AsyBinding *b)
{
	return b->key_is_text ? psprintf("authsync.to_user_id(p.%s::pg_catalog.text)", qid(b->key)) : psprintf("p.%s", qid(b->key));
}

char *
asy_sql_joined(const AsyBinding *b)
{
	return psprintf("%s AS u JOIN %s AS p ON %s", b->users_name, b->profiles_name,
					asy_sql_key_is(b, "p", b->source_expr[ASY_USER_ID], b->source_expr[ASY_SUBJECT]));
}

char *
asy_sql_email_differs(const AsyBinding *b)
{
	if (b->email == NULL || b->source_expr[ASY_EMAIL] == NULL)
		return pstrdup("false");
	return emails_differ(b, b->source_expr[ASY_EMAIL], psprintf("p.%s", qid(b->email)), b->source_expr[ASY_USER_ID]);
}

static bool
is_never_null(Oid relid, AttrNumber attnum)
{
	HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
	bool		never = HeapTupleIsValid(tuple) && ((Form_pg_attribute) GETSTRUCT(tuple))->attnotnull;

	if (HeapTupleIsValid(tuple))
		ReleaseSysCache(tuple);
	return never;
}

/*
 * "u without p".
 *
 * by_keys: the keys are compared first, which takes no more than the two
 * indexes, and then the few are looked up that have no counterpart. OFFSET
 * keeps the planner from making one join of it, but also a condition on the
 * key from getting in.
 *
 * Where one server has both tables it is to find them out, and postgres_fdw
 * sends it no anti-join. So it is put as an outer join, of which the rows that
 * found nobody are kept; the second condition, true of none of those that
 * found somebody, keeps the planner from seeing through it.
 */
static AsyUnmatched
unmatched(const AsyBinding *b, const char *left, const char *right, const char *key_is, const char *left_key, const char *right_key, bool by_keys)
{
	AsyUnmatched x;

	if (b->are_together)
	{
		x.from = psprintf("%s LEFT JOIN %s ON %s", left, right, key_is);
		x.condition = psprintf("(%2$s IS NULL OR %1$s OPERATOR(pg_catalog.<) %2$s)", left_key, right_key);
	}
	else if (by_keys && b->users_key_is_unique && b->key_is_arbiter && !b->key_is_text)
	{
		x.from = psprintf("(SELECT %1$s AS key FROM %2$s WHERE NOT EXISTS (SELECT FROM %3$s WHERE %4$s) OFFSET 0) AS k"
						  " JOIN %2$s ON %1$s " ASY_EQ " k.key", left_key, left, right, key_is);
		x.condition = "true";
	}
	else
	{
		x.from = pstrdup(left);
		x.condition = psprintf("NOT EXISTS (SELECT FROM %s WHERE %s)", right, key_is);
	}
	return x;
}

AsyUnmatched
asy_sql_users_without_profile(const AsyBinding *b, bool all)
{
	AsyUnmatched nobody = {.from = psprintf("%s AS u", b->users_name), .condition = "NOT false"};

	if (!asy_sql_has_profiles(b))
		return nobody;
	return unmatched(b, nobody.from, psprintf("%s AS p", b->profiles_name),
					 asy_sql_key_is(b, "p", b->source_expr[ASY_USER_ID], b->source_expr[ASY_SUBJECT]),
					 b->source_expr[ASY_USER_ID], psprintf("p.%s", qid(b->key)), all && is_never_null(b->users, b->users_key));
}

AsyUnmatched
asy_sql_profiles_without_user(const AsyBinding *b, bool all)
{
	return unmatched(b, psprintf("%s AS p", b->profiles_name), psprintf("%s AS u", b->users_name),
					 psprintf("u.%s " ASY_EQ " %s", qid(b->users_key_name), asy_sql_profile_user_id(b)),
					 psprintf("p.%s", qid(b->key)), psprintf("u.%s", qid(b->users_key_name)), all && !b->key_is_nullable);
}

char *
asy_sql_missing(const AsyBinding *b)
{
	AsyUnmatched x = asy_sql_users_without_profile(b, true);

	return psprintf("FROM %s WHERE %s AND %s", x.from, b->owes_expr, x.condition);
}

/*
 * Foreign users are asked for those ids only, and beforehand: a DELETE that
 * joined them would fetch whole rows, to look at them again if it has to.
 */
char *
asy_sql_user_is_gone(const AsyBinding *b, const char *user_id, const char *all_ids)
{
	const char *key = qid(b->users_key_name);

	if (!b->users_are_foreign)
		return psprintf("NOT EXISTS (SELECT FROM %s AS u WHERE u.%s " ASY_EQ " %s)", b->users_name, key, user_id);
	return psprintf("%1$s " ASY_EQ " ANY (ARRAY(%2$s EXCEPT SELECT u.%3$s FROM %4$s AS u WHERE u.%3$s " ASY_EQ " ANY (ARRAY(%2$s))))",
					user_id, all_ids, key, b->users_name);
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

/* Over p: the key is among those of the arrays. */
static char *
among(const AsyBinding *b, const char *p)
{
	int			n = 1;

	for (int f = 0; b->key_is_text && f < ASY_SUBJECT; f++)
		n += b->uses[f];
	return psprintf("%s.%s%s " ASY_EQ " ANY ($%d)", p, qid(b->key), b->key_is_text ? "::pg_catalog.text" : "", n);
}

/*
 * Over p, s. Of foreign profiles the server is asked for those of the users at
 * hand, in one query: what is only joined here it would be asked for entirely.
 */
static char *
s_key_is(const AsyBinding *b, const char *p)
{
	char	   *key_is = asy_sql_key_is(b, p, "s.user_id", "s.subject");

	return b->profiles_are_foreign ? psprintf("%s AND %s", key_is, among(b, p)) : key_is;
}

/* The value with its default behind it. */
static char *
filled(const AsyColumn *c)
{
	if (c->value == NULL)
		return pstrdup(c->fill ? c->fill : "NULL");
	return c->fill ? psprintf("COALESCE(%s, %s)", c->value, c->fill) : pstrdup(c->value);
}

/* (SELECT $1 AS user_id, ...) AS s: one user, without the arrays' overhead. */
static char *
scalars(const AsyBinding *b)
{
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
		{
			n++;
			appendStringInfo(&list, "%s$%d AS %s", n > 1 ? ", " : "", n, asy_field_name[f]);
		}
	return psprintf("(SELECT %s) AS s", list.data);
}

/* What is returned of a profile that was made. */
static char *
made(const AsyBinding *b, bool with_row)
{
	return psprintf("p.%s::pg_catalog.text, %s%s", qid(b->key),
					b->email ? psprintf("p.%s::pg_catalog.text", qid(b->email)) : "NULL::pg_catalog.text",
					with_row ? ", p" : "");
}

/* "INSERT INTO profiles AS p (...) SELECT ... FROM from" */
static char *
insert_values(const AsyBinding *b, const char *from)
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
	return psprintf("INSERT INTO %s AS p (%s) SELECT %s FROM %s", b->profiles_name, names.data, values.data, from);
}

/* look: leave out who has a profile, whatever else the new row would run into. */
static char *
insert_from(const AsyBinding *b, const char *from, bool look, const char *returning)
{
	return psprintf("%s%s%s%s%s", insert_values(b, from),
					look ? psprintf(" WHERE NOT EXISTS (SELECT FROM %s AS o WHERE %s)", b->profiles_name, s_key_is(b, "o")) : "",
					b->key_is_arbiter ? psprintf(" ON CONFLICT (%s) DO NOTHING", qid(b->key)) : "",
					returning ? " RETURNING " : "", returning ? returning : "");
}

char *
asy_sql_insert_values(const AsyBinding *b)
{
	return insert_values(b, scalars(b));
}

char *
asy_sql_insert(const AsyBinding *b, bool with_row)
{
	return insert_from(b, arrays(b, false), true, made(b, with_row));
}

/*
 * A foreign table decides no conflict for us (DO NOTHING would pass over a
 * taken e-mail as well), and postgres_fdw sends rows in batches only where
 * none is asked back.
 */
char *
asy_sql_insert_away(const AsyBinding *b)
{
	return insert_from(b, arrays(b, false), false, NULL);
}

char *
asy_sql_made_away(const AsyBinding *b)
{
	return psprintf("SELECT %s FROM %s AS p WHERE %s", made(b, true), b->profiles_name, among(b, "p"));
}

/*
 * Where a unique index decides, nothing is looked at beforehand: one plan
 * serves for good, and serializable sign-ups do not take each other's look at
 * a small table for a conflict.
 */
char *
asy_sql_insert_one(const AsyBinding *b)
{
	return insert_from(b, scalars(b), !b->key_is_arbiter, made(b, false));
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
		return emails_differ(b, "s.email", psprintf("p.%s", qid(b->email)), "s.user_id");
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
					 b->users_name, b->owes_expr, b->profiles_name, asy_sql_key_is(b, "p", "s.user_id", "s.subject"), differs);
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
