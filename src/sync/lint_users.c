/*
 * lint_users.c
 *	  Checks of the users' rows: those that break the provider's own listing,
 *	  and numbers. Most are counts over one reading of the table.
 *
 * An old users table lacks some of these columns, and one that is not the auth
 * server's may have them in another sense: a check runs where its columns are.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sync/lint.h"

#define NIL_UUID "'00000000-0000-0000-0000-000000000000'"

/* A figure of the one reading of the users. */
typedef struct Count
{
	const char *name;
	const char *severity;
	bool		of_auth_server;		/* only where the users are the auth server's own table */
	const char *columns[2];		/* that it needs */
	enum
	{
		ALL, STANDING, OWING
	}			whose;			/* of all users, of those not deleted, of those that owe a profile */
	const char *condition;		/* over u */
	const char *detail;			/* after "n of m users" */
	const char *hint;			/* TABLE: the users */
} Count;

static const Count counts[] = {
	{"user_hidden", "warning", true, {"instance_id"}, ALL,
		"u.instance_id IS DISTINCT FROM " NIL_UUID "::pg_catalog.uuid",
		"have an instance_id that is not the nil UUID: the auth server does not see them",
	"UPDATE TABLE SET instance_id = " NIL_UUID " WHERE instance_id IS DISTINCT FROM " NIL_UUID ";"},
	{"user_audience", "warning", true, {"aud"}, ALL,
		"u.aud <> 'authenticated'",
		"have another aud than authenticated: the auth server does not find them",
	"UPDATE TABLE SET aud = 'authenticated' WHERE aud <> 'authenticated';"},
	{"user_metadata_kind", "warning", true, {"raw_user_meta_data"}, ALL,
		"pg_catalog.jsonb_typeof(u.raw_user_meta_data) <> 'object'",
		"have user_metadata that is no JSON object: the auth server cannot read them, and listing fails",
	"SELECT id, raw_user_meta_data FROM TABLE WHERE jsonb_typeof(raw_user_meta_data) <> 'object';"},
	{"app_metadata_kind", "warning", true, {"raw_app_meta_data"}, ALL,
		"pg_catalog.jsonb_typeof(u.raw_app_meta_data) <> 'object'",
		"have app_metadata that is no JSON object: the auth server cannot read them, and listing fails",
	"SELECT id, raw_app_meta_data FROM TABLE WHERE jsonb_typeof(raw_app_meta_data) <> 'object';"},
	{"user_email_case", "warning", true, {"email"}, STANDING,
		"u.email::pg_catalog.text <> pg_catalog.lower(u.email::pg_catalog.text)",
		"have an e-mail address that is not in lower case: the auth server does not find them by it",
	"UPDATE TABLE SET email = lower(email) WHERE email <> lower(email);"},
	{"user_metadata_large", "warning", false, {"raw_user_meta_data"}, ALL,
		"pg_catalog.octet_length(u.raw_user_meta_data::pg_catalog.text) > 1024",
		"have more than 1 kB of user_metadata, which rides in each of their tokens",
	"SELECT id, octet_length(raw_user_meta_data::text) FROM TABLE WHERE octet_length(raw_user_meta_data::text) > 1024 ORDER BY 2 DESC;"},
	{"users_unconfirmed", "info", false, {"email_confirmed_at", "phone_confirmed_at"}, OWING,
		"u.email_confirmed_at IS NULL AND u.phone_confirmed_at IS NULL",
		"have confirmed neither e-mail nor phone",
	"SELECT id, created_at FROM TABLE WHERE email_confirmed_at IS NULL AND phone_confirmed_at IS NULL ORDER BY 2 DESC;"},
	{"users_banned", "info", false, {"banned_until"}, ALL,
		"u.banned_until > pg_catalog.now()",
		"are banned",
	"SELECT id, banned_until FROM TABLE WHERE banned_until > now();"}
};

/* Columns that the auth server reads into values that cannot be NULL, and what belongs there. */
static const struct
{
	const char *column;
	const char *value;
}			never_null[] = {
	{"aud", "'authenticated'"}, {"role", "'authenticated'"},
	{"confirmation_token", "''"}, {"recovery_token", "''"}, {"email_change", "''"}, {"email_change_token_new", "''"},
	{"email_change_token_current", "''"}, {"phone_change", "''"}, {"phone_change_token", "''"}, {"reauthentication_token", "''"},
	{"created_at", "coalesce(updated_at, now())"}, {"updated_at", "coalesce(created_at, now())"}
};

static bool
has_column(Oid relid, const char *column)
{
	return get_attnum(relid, column) != InvalidAttrNumber;
}

/* Whether the users are the auth server's own table, which has what no other table of users has. */
static bool
is_auth_server(const AsyBinding *b)
{
	return has_column(b->users, "instance_id") && has_column(b->users, "aud") && has_column(b->users, "encrypted_password");
}

/* The reading of the users and what its figures say, as it grows. */
typedef struct Reading
{
	StringInfoData figures;		/* count(*) FILTER (...) AS n<i>, ... */
	StringInfoData rows;		/* (name, severity, object, detail, hint, n<i>), ... */
	int			n;
} Reading;

static void
add_figure(Reading *r, const char *name, const char *severity, const char *object, const char *condition, const char *detail, const char *hint)
{
	const char *comma = r->n ? ", " : "";

	appendStringInfo(&r->figures, "%spg_catalog.count(*) FILTER (WHERE %s) AS n%d", comma, condition, r->n);
	appendStringInfo(&r->rows, "%s(%s, %s, %s, %s, %s, c.n%d)", comma, quote_literal_cstr(name), quote_literal_cstr(severity),
					 quote_literal_cstr(object), quote_literal_cstr(detail), quote_literal_cstr(hint), r->n);
	r->n++;
}

/* The text with the table's name for TABLE. */
static char *
for_table(const AsyBinding *b, const char *text)
{
	const char *place = strstr(text, "TABLE");

	return psprintf("%.*s%s%s", (int) (place - text), text, b->users_name, place + strlen("TABLE"));
}

static char *
users_counted(AsyBinding *b)
{
	bool		auth_server = is_auth_server(b);
	Reading		r = {.n = 0};

	initStringInfo(&r.figures);
	initStringInfo(&r.rows);
	for (size_t i = 0; auth_server && i < lengthof(never_null); i++)
	{
		const char *column = never_null[i].column;

		if (has_column(b->users, column))
			add_figure(&r, "user_null", "warning", psprintf("%s.%s", b->users_name, column), psprintf("u.%s IS NULL", column),
					   "have NULL there, which the auth server cannot read: listing users and logging in fail",
					   psprintf("UPDATE %s SET %s = %s WHERE %s IS NULL;", b->users_name, column, never_null[i].value, column));
	}
	for (size_t i = 0; i < lengthof(counts); i++)
	{
		const Count *c = &counts[i];
		const char *whose = c->whose == OWING ? b->owes_expr : c->whose == STANDING ? psprintf("NOT %s", b->gone_expr) : "true";

		if ((c->of_auth_server && !auth_server) || !has_column(b->users, c->columns[0]) || (c->columns[1] && !has_column(b->users, c->columns[1])))
			continue;
		add_figure(&r, c->name, c->severity, b->users_name, psprintf("%s AND %s", c->condition, whose), c->detail, for_table(b, c->hint));
	}
	if (r.n == 0)
		return NULL;
	return psprintf("SELECT v.object, pg_catalog.format('%%s of %%s users %%s', v.n, c.total, v.detail), v.hint, v.severity, v.name"
					" FROM (SELECT pg_catalog.count(*) AS total, %s FROM %s AS u) AS c, LATERAL (VALUES %s) AS v(name, severity, object, detail, hint, n) WHERE v.n > 0",
					r.figures.data, b->users_name, r.rows.data);
}

/* ---- identities ---- */

/* The table that says how each user signs in, or NULL. */
static char *
identities(const AsyBinding *b)
{
	Oid			relid = get_relname_relid("identities", get_rel_namespace(b->users));

	if (!is_auth_server(b) || !asy_lint_is_table(relid) || !has_column(relid, "created_at") || !has_column(relid, "updated_at") ||
		!has_column(relid, "user_id") || get_atttype(relid, get_attnum(relid, "user_id")) != UUIDOID)
		return NULL;
	return asy_db_relation_name(relid);
}

static char *
identity_null(AsyBinding *b)
{
	char	   *table = identities(b);

	if (table == NULL)
		return NULL;
	return psprintf("SELECT %1$s || '.' || v.name, v.n || ' identities have NULL there, which the auth server cannot read: finding their users fails',"
					" 'UPDATE ' || %1$s || ' SET ' || v.name || ' = now() WHERE ' || v.name || ' IS NULL;'"
					" FROM (SELECT pg_catalog.count(*) FILTER (WHERE i.created_at IS NULL) AS created, pg_catalog.count(*) FILTER (WHERE i.updated_at IS NULL) AS updated FROM %2$s AS i) AS c,"
					" LATERAL (VALUES ('created_at', c.created), ('updated_at', c.updated)) AS v(name, n) WHERE v.n > 0",
					quote_literal_cstr(table), table);
}

/* Anonymous users have none, and deleted ones need none. The line makes those of users who sign in by e-mail. */
static char *
identity_missing(AsyBinding *b)
{
	char	   *table = identities(b);
	const char *named = has_column(b->users, "is_anonymous") ? "u.is_anonymous IS NOT TRUE" : "true";

	if (table == NULL)
		return NULL;
	return psprintf("SELECT %1$s, n.n || ' users have no identity: they cannot sign in, and the auth server shows them without a provider',"
					" 'INSERT INTO ' || %2$s || ' (provider_id, user_id, identity_data, provider, created_at, updated_at)"
					" SELECT u.id, u.id, jsonb_build_object(''sub'', u.id, ''email'', u.email), ''email'', now(), now() FROM ' || %1$s || ' AS u"
					" WHERE u.email <> '''' AND NOT EXISTS (SELECT FROM ' || %2$s || ' AS i WHERE i.user_id = u.id);'"
					" FROM (SELECT pg_catalog.count(*) AS n FROM %3$s AS u WHERE %4$s AND NOT %5$s"
					"   AND NOT EXISTS (SELECT FROM %6$s AS i WHERE i.user_id = u.%7$s)) AS n WHERE n.n > 0",
					quote_literal_cstr(b->users_name), quote_literal_cstr(table), b->users_name, named, b->gone_expr, table, quote_identifier(b->users_key_name));
}

/* ---- profiles that wait for their user ---- */

/* A profile without key is linked to the one user who has its e-mail; where there are several, nobody can tell which. */
static char *
link_ambiguous(AsyBinding *b)
{
	if (!b->key_is_nullable || b->email == NULL || b->source_expr[ASY_EMAIL] == NULL)
		return NULL;
	return psprintf("SELECT %1$s, pg_catalog.count(*) || ' e-mail addresses of profiles without a user belong to several such profiles, or to several users: which goes with whom cannot be told',"
					" 'SELECT lower(' || %2$s || '), count(*) FROM ' || %1$s || ' WHERE ' || %3$s || ' IS NULL GROUP BY 1 ORDER BY 2 DESC;'"
					" FROM (SELECT pg_catalog.lower(pg_catalog.format('%%s', p.%4$s)) AS email, pg_catalog.count(*) AS n FROM %5$s AS p"
					"   WHERE p.%6$s IS NULL AND pg_catalog.format('%%s', p.%4$s) <> '' GROUP BY 1) AS p"
					" JOIN (SELECT pg_catalog.lower(%7$s) AS email, pg_catalog.count(*) AS n FROM %8$s AS u WHERE NOT %9$s GROUP BY 1) AS u ON u.email = p.email"
					" WHERE p.n > 1 OR u.n > 1 HAVING pg_catalog.count(*) > 0",
					quote_literal_cstr(b->profiles_name), quote_literal_cstr(quote_identifier(b->email)), quote_literal_cstr(quote_identifier(b->key)),
					quote_identifier(b->email), b->profiles_name, quote_identifier(b->key), b->source_expr[ASY_EMAIL], b->users_name, b->gone_expr);
}

const AsyLintCheck asy_lint_users[] = {
	{"users_counted", "warning", ASY_LINT_USERS, NULL, users_counted},	/* its rows: user_null, and the figures above */
	{"identity_null", "warning", ASY_LINT_USERS, NULL, identity_null},
	{"identity_missing", "warning", ASY_LINT_USERS, NULL, identity_missing},
	{"link_ambiguous", "warning", ASY_LINT_PROFILES, NULL, link_ambiguous},
	{NULL}
};
