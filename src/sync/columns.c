/*
 * columns.c
 *	  How a column of profiles gets its value.
 *
 * Said by hand beats found by name. By name, a column takes the metadata key
 * it is called like: from app_metadata, which only the provider writes, any
 * column; from user_metadata, which users write about themselves, only one
 * that describes and does not grant.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/transam.h"
#include "catalog/pg_attribute.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/ruleutils.h"
#include "utils/syscache.h"

#include "sync/columns.h"

#define USER_METADATA "user_metadata."
#define APP_METADATA "app_metadata."

bool
asy_columns_grants_something(const char *column)
{
	static const char *const words[] = {
		"role", "roles", "tier", "plan", "level", "rank", "status", "state", "type", "kind", "group", "groups",
		"admin", "staff", "owner", "superuser", "moderator", "permission", "permissions", "scope", "scopes", "claims",
		"tenant", "team", "organization", "organisation", "subscription", "credit", "credits", "balance", "quota",
		"limit", "price", "discount", "verified", "approved", "active", "enabled", "banned", "blocked", "trusted",
		"password", "secret", "token", "hash", "key", "id", "uuid", "at", "by", "account"
	};
	char	   *copy = pstrdup(column);
	char	   *save = NULL;

	for (char *part = strtok_r(copy, "_-. ", &save); part; part = strtok_r(NULL, "_-. ", &save))
		for (size_t i = 0; i < lengthof(words); i++)
			if (pg_strcasecmp(part, words[i]) == 0)
				return true;
	return false;
}

bool
asy_columns_type_is_plain(Oid type)
{
	HeapTuple	tuple;
	Form_pg_type form;
	bool		plain;

	if (OidIsValid(get_element_type(type)))
		return asy_columns_type_is_plain(get_element_type(type));
	if (type < FirstNormalObjectId)
		return true;
	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_type) GETSTRUCT(tuple);
	plain = superuser_arg(form->typowner) &&
		(form->typtype != TYPTYPE_DOMAIN || asy_columns_type_is_plain(form->typbasetype));
	ReleaseSysCache(tuple);
	return plain;
}

static bool
is_foreign_function(Oid function, void *context pg_attribute_unused())
{
	return function >= FirstNormalObjectId;
}

/* Whether the expression calls a function that is not the server's own. */
static bool
calls_foreign_code(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (check_functions_in_node(node, is_foreign_function, context))
		return true;
	return expression_tree_walker(node, calls_foreign_code, context);
}

/* ---- the users side ---- */

/* u.<column>, if the users table has it with a type that passes. */
static char *
users_column(AsyBinding *b, const char *name, Oid want)
{
	AttrNumber	att = get_attnum(b->users, name);
	Oid			type;
	char		category;
	bool		preferred;

	if (att == InvalidAttrNumber)
		return NULL;
	type = getBaseType(get_atttype(b->users, att));
	get_type_category_preferred(type, &category, &preferred);
	if (!(type == want || (want == TEXTOID && category == TYPCATEGORY_STRING)))
		return NULL;
	b->watched = bms_add_member(b->watched, att);
	return psprintf("u.%s", quote_identifier(name));
}

static char *
metadata_name(const char *um, const char *const keys[])
{
	StringInfoData buf;

	if (um == NULL)
		return NULL;
	initStringInfo(&buf);
	appendStringInfoString(&buf, "COALESCE(");
	for (int i = 0; keys[i]; i++)
		appendStringInfo(&buf, "%s%s OPERATOR(pg_catalog.#>>) '{%s}'", i ? ", " : "", um, keys[i]);
	appendStringInfoChar(&buf, ')');
	return buf.data;
}

/* The one or the other, as Supabase or as authsync.identities call it. */
static char *
metadata_column(AsyBinding *b, const char *name, const char *other, AttrNumber *attnum)
{
	char	   *column = users_column(b, name, JSONBOID);

	*attnum = get_attnum(b->users, name);
	if (column)
		return column;
	column = users_column(b, other, JSONBOID);
	*attnum = column ? get_attnum(b->users, other) : InvalidAttrNumber;
	return column;
}

static Bitmapset *
add_attribute(const AsyBinding *b, Bitmapset *set, const char *name)
{
	AttrNumber	att = get_attnum(b->users, name);

	return att == InvalidAttrNumber ? set : bms_add_member(set, att);
}

/*
 * Conditions of "owes a profile", never NULL. For foreign users they are said
 * in what postgres_fdw can send: no COALESCE, no IS TRUE, and of jsonb no
 * operator that takes text, whose collation it cannot vouch for.
 */
static char *
is_not_true(const AsyBinding *b, const char *x)
{
	return b->users_are_foreign ? psprintf("(%1$s IS NULL OR NOT %1$s)", x) : psprintf("%s IS NOT TRUE", x);
}

static char *
has_text(const AsyBinding *b, const char *x)
{
	return b->users_are_foreign
		? psprintf("(%1$s IS NOT NULL AND pg_catalog.length(%1$s) OPERATOR(pg_catalog.>) 0)", x)
		: psprintf("COALESCE(pg_catalog.length(%s), 0) OPERATOR(pg_catalog.>) 0", x);
}

static char *
is_of_sso(const AsyBinding *b, const char *app_metadata)
{
	return b->users_are_foreign
		? psprintf("(%s OPERATOR(pg_catalog.@?) 'strict $.provider ? (@ starts with \"sso:\")'::pg_catalog.jsonpath)", app_metadata)
		: psprintf("(%s OPERATOR(pg_catalog.->>) 'provider' OPERATOR(pg_catalog.~~) 'sso:%%')", app_metadata);
}

void
asy_columns_resolve_users(AsyBinding *b)
{
	static const char *const owes_columns[] = {"email", "deleted_at", "is_anonymous", "is_sso_user"};
	static const char *const names[] = {"full_name", "name", "display_name", NULL};
	static const char *const nicknames[] = {"nickname", "preferred_username", "user_name", NULL};
	static const char *const pictures[] = {"avatar_url", "picture", NULL};
	static const char *const ids[] = {"id", "user_id"};
	char	   *um;
	char	   *am;
	char	   *x;
	StringInfoData owes;

	for (size_t i = 0; i < lengthof(ids) && !b->users_key_name; i++)
		if (get_attnum(b->users, ids[i]) != InvalidAttrNumber &&
			get_atttype(b->users, get_attnum(b->users, ids[i])) == UUIDOID)
		{
			b->users_key = get_attnum(b->users, ids[i]);
			b->users_key_name = pstrdup(ids[i]);
			b->watched = bms_add_member(b->watched, b->users_key);
			b->source_expr[ASY_USER_ID] = psprintf("u.%s", quote_identifier(ids[i]));
			b->source_expr[ASY_SUBJECT] = psprintf("u.%s::pg_catalog.text", quote_identifier(ids[i]));
		}
	if ((x = users_column(b, "subject", TEXTOID)) != NULL)
		b->source_expr[ASY_SUBJECT] = x;
	if ((x = users_column(b, "email", TEXTOID)) != NULL)
		b->source_expr[ASY_EMAIL] = psprintf("%s::pg_catalog.text", x);
	if ((x = users_column(b, "phone", TEXTOID)) != NULL)
		b->source_expr[ASY_PHONE] = psprintf("%s::pg_catalog.text", x);
	um = metadata_column(b, "raw_user_meta_data", "user_metadata", &b->user_metadata_attnum);
	am = metadata_column(b, "raw_app_meta_data", "app_metadata", &b->app_metadata_attnum);
	b->source_expr[ASY_USER_METADATA] = um;
	b->source_expr[ASY_APP_METADATA] = am;
	b->source_expr[ASY_NAME] = (x = users_column(b, "name", TEXTOID)) ? x : metadata_name(um, names);
	b->source_expr[ASY_NICKNAME] = (x = users_column(b, "nickname", TEXTOID)) ? x : metadata_name(um, nicknames);
	b->source_expr[ASY_PICTURE] = (x = users_column(b, "picture", TEXTOID)) ? x : metadata_name(um, pictures);
	if ((x = users_column(b, "email_confirmed_at", TIMESTAMPTZOID)) != NULL)
		b->source_expr[ASY_EMAIL_VERIFIED] = psprintf("(%s IS NOT NULL)", x);
	else
		b->source_expr[ASY_EMAIL_VERIFIED] = users_column(b, "email_verified", BOOLOID);
	b->source_expr[ASY_CREATED_AT] = users_column(b, "created_at", TIMESTAMPTZOID);
	b->source_expr[ASY_ACCOUNT_TYPE] = "NULL::pg_catalog.text";
	b->source_expr[ASY_USER_METADATA_CHANGED] = "true";
	b->source_expr[ASY_APP_METADATA_CHANGED] = "true";

	/* Always asked for, also while the profiles are not there. */
	b->uses[ASY_USER_ID] = true;
	b->uses[ASY_EMAIL] = b->source_expr[ASY_EMAIL] != NULL;
	b->uses[ASY_CREATED_AT] = b->source_expr[ASY_CREATED_AT] != NULL;

	/* Who owes a profile; an old schema may lack any of these columns. */
	initStringInfo(&owes);
	appendStringInfoString(&owes, "(true");
	if ((x = users_column(b, "deleted_at", TIMESTAMPTZOID)) != NULL)
	{
		appendStringInfo(&owes, " AND %s IS NULL", x);
		b->gone_expr = psprintf("(%s IS NOT NULL)", x);
		b->gone_attnum = get_attnum(b->users, "deleted_at");
	}
	else
		b->gone_expr = "false";
	if ((x = users_column(b, "is_anonymous", BOOLOID)) != NULL)
		appendStringInfo(&owes, " AND %s", is_not_true(b, x));
	if (b->source_expr[ASY_EMAIL])
	{
		char	   *sso = users_column(b, "is_sso_user", BOOLOID);

		appendStringInfo(&owes, " AND (%s OR (true", has_text(b, b->source_expr[ASY_EMAIL]));
		if (sso)
			appendStringInfo(&owes, " AND %s", is_not_true(b, sso));
		if (am)
			appendStringInfo(&owes, " AND %s", is_not_true(b, is_of_sso(b, am)));
		appendStringInfoString(&owes, "))");
	}
	appendStringInfoChar(&owes, ')');
	b->owes_expr = owes.data;

	for (size_t i = 0; i < lengthof(owes_columns); i++)
		b->owes_from = add_attribute(b, b->owes_from, owes_columns[i]);
	if (am)
		b->owes_from = bms_add_member(b->owes_from, b->app_metadata_attnum);
	b->compared = add_attribute(b, bms_copy(b->owes_from), "created_at");
	if (b->users_key)
		b->compared = bms_add_member(b->compared, b->users_key);
}

/* ---- the key of profiles ---- */

static char *
text_result(const char *sql, int nargs, Oid *types, Datum *values)
{
	if (asy_db_run(sql, false, nargs, types, values, NULL) == 0)
		return NULL;
	return asy_db_text(0, 1);
}

char *
asy_columns_find_key(Oid profiles, Oid users, List *mappings)
{
	static const char sql[] =
		"SELECT a.attname FROM pg_catalog.pg_attribute AS a,"
		" LATERAL (SELECT"
		"  EXISTS (SELECT FROM pg_catalog.pg_constraint AS f WHERE f.conrelid = a.attrelid AND f.contype = 'f'"
		"            AND f.confrelid = $2 AND f.conkey = ARRAY[a.attnum]) AS refers,"
		"  EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL"
		"            AND i.indkey[0] = a.attnum AND i.indnkeyatts = 1) AS single,"
		"  EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indpred IS NULL"
		"            AND a.attnum = ANY (i.indkey::pg_catalog.int2[])) AS part,"
		"  pg_catalog.array_position(ARRAY['user_id', 'supabase_user_id', 'auth_user_id', 'auth_id', 'auth0_id', 'auth0_user_id',"
		"    'keycloak_id', 'clerk_id', 'firebase_uid', 'uid', 'id', 'user_uuid', 'account_id', 'profile_id'], a.attname::pg_catalog.text) AS place,"
		"  a.atthasdef AND a.attidentity = '' AND a.attgenerated = '' AS makes_its_own) AS k"
		" WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''"
		"   AND (a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype OR"
		"        (a.atttypid IN ('pg_catalog.text'::pg_catalog.regtype, 'pg_catalog.varchar'::pg_catalog.regtype) AND k.place IS NOT NULL AND a.attname <> 'id'))"
		"   AND (k.refers OR (k.place IS NOT NULL AND (k.single OR k.part OR $3)))"
		" ORDER BY k.refers AND k.single DESC, k.refers AND k.part DESC, k.single AND NOT k.makes_its_own DESC, k.single DESC, k.part DESC, k.place NULLS LAST, a.attnum"
		" LIMIT 1";
	Oid			types[] = {OIDOID, OIDOID, BOOLOID};
	Datum		values[] = {
		ObjectIdGetDatum(profiles), ObjectIdGetDatum(users),
		BoolGetDatum(get_rel_relkind(profiles) == RELKIND_FOREIGN_TABLE)	/* shows none of the indexes it has over there */
	};
	ListCell   *lc;

	foreach(lc, mappings)
	{
		AsyMapping *m = lfirst(lc);

		if (m->key)
			return pstrdup(m->column);
	}
	return text_result(sql, 3, types, values);
}

/* ---- the profiles side ---- */

static char *
quoted_path(const char *path)
{
	List	   *parts = NIL;
	char	   *copy = pstrdup(path);
	char	   *save = NULL;
	char	  **items;
	int			n = 0;
	char	   *array;

	for (char *part = strtok_r(copy, ".", &save); part; part = strtok_r(NULL, ".", &save))
		parts = lappend(parts, part);
	items = palloc(sizeof(char *) * Max(list_length(parts), 1));
	for (n = 0; n < list_length(parts); n++)
		items[n] = list_nth(parts, n);
	array = OidOutputFunctionCall(F_ARRAY_OUT, asy_db_text_array(items, n));
	return quote_literal_cstr(array);
}

/* The user's value for a column, over s, as the column's type wants it; "text" where it is a string. */
static char *
value_expression(AsyBinding *b, const char *source, Form_pg_attribute att, bool by_hand, char **text_value)
{
	Oid			base = getBaseType(att->atttypid);
	char		category;
	bool		preferred;
	bool		is_json = base == JSONBOID || base == JSONOID;
	bool		is_array = get_element_type(base) != InvalidOid;
	char	   *type = format_type_extended(att->atttypid, att->atttypmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY);
	char	   *raw = NULL;
	AsyField	field;

	get_type_category_preferred(base, &category, &preferred);

	if (strcmp(source, "account_type") == 0)
	{
		StringInfoData buf;

		initStringInfo(&buf);
		appendStringInfoString(&buf, "COALESCE(s.account_type");
		if (b->source_expr[ASY_APP_METADATA])
			appendStringInfo(&buf, ", s.app_metadata #>> '{account_type}'");
		if (b->source_expr[ASY_USER_METADATA])
			appendStringInfo(&buf, ", s.user_metadata #>> '{account_type}'");
		appendStringInfoChar(&buf, ')');
		b->uses[ASY_ACCOUNT_TYPE] = true;
		b->uses[ASY_APP_METADATA] |= b->source_expr[ASY_APP_METADATA] != NULL;
		b->uses[ASY_USER_METADATA] |= b->source_expr[ASY_USER_METADATA] != NULL;
		raw = buf.data;
	}
	else if (strncmp(source, USER_METADATA, strlen(USER_METADATA)) == 0 ||
			 strncmp(source, APP_METADATA, strlen(APP_METADATA)) == 0)
	{
		char	   *path;

		field = source[0] == 'u' ? ASY_USER_METADATA : ASY_APP_METADATA;
		if (b->source_expr[field] == NULL)
			return NULL;
		b->uses[field] = true;
		path = quoted_path(strchr(source, '.') + 1);
		if (is_json)
			return psprintf("(s.%s #> %s)::%s", asy_field_name[field], path, type);
		if (is_array)
			return psprintf("(CASE pg_catalog.jsonb_typeof(s.%1$s #> %2$s) WHEN 'array' THEN"
							" ARRAY(SELECT e FROM pg_catalog.jsonb_array_elements_text(s.%1$s #> %2$s) WITH ORDINALITY AS a(e, o) ORDER BY o)::%3$s END)",
							asy_field_name[field], path, type);
		raw = psprintf("(s.%s #>> %s)", asy_field_name[field], path);
		if (strcmp(NameStr(att->attname), "account_type") == 0)
		{
			/* What the caller of backfill_user_profile() says comes first. */
			raw = psprintf("COALESCE(s.account_type, %s)", raw);
			b->uses[ASY_ACCOUNT_TYPE] = true;
		}
	}
	else
	{
		for (field = 0; field < ASY_NFIELDS; field++)
			if (strcmp(source, asy_field_name[field]) == 0)
				break;
		if (field == ASY_NFIELDS || b->source_expr[field] == NULL)
			return NULL;
		b->uses[field] = true;
		raw = psprintf("s.%s", asy_field_name[field]);
		if (field == ASY_EMAIL)
			raw = att->attnotnull
				? psprintf("COALESCE(NULLIF(s.email, ''), s.user_id::pg_catalog.text || '@users.invalid')")
				: "NULLIF(s.email, '')";
		if (asy_field_type[field] != TEXTOID)
			return category == TYPCATEGORY_STRING ? psprintf("%s::pg_catalog.text", raw) : psprintf("%s::%s", raw, type);
	}

	/* Nobody asked for this column: what a person typed there is no reason to withhold his profile. */
	if (base == BOOLOID && !by_hand)
		return psprintf("(CASE WHEN pg_catalog.lower(%1$s) IN ('true', 't', 'yes', 'y', 'on', '1') THEN true"
						" WHEN pg_catalog.lower(%1$s) IN ('false', 'f', 'no', 'n', 'off', '0') THEN false END)", raw);
	if (category == TYPCATEGORY_STRING)
		return raw;				/* the INSERT itself checks the length: a cast would cut */
	*text_value = psprintf("NULLIF(%s, '')", raw);
	return psprintf("%s::%s", *text_value, type);
}

/* Whether an update that is being followed has touched what a source is made of, over s; NULL: not told apart. */
static char *
source_changed(AsyBinding *b, const char *source)
{
	bool		um = strncmp(source, USER_METADATA, strlen(USER_METADATA)) == 0 || strcmp(source, "account_type") == 0 ||
		strcmp(source, "name") == 0 || strcmp(source, "nickname") == 0 || strcmp(source, "picture") == 0;
	bool		am = strncmp(source, APP_METADATA, strlen(APP_METADATA)) == 0 || strcmp(source, "account_type") == 0;

	b->uses[ASY_USER_METADATA_CHANGED] |= um;
	b->uses[ASY_APP_METADATA_CHANGED] |= am;
	return um && am ? "(s.user_metadata_changed OR s.app_metadata_changed)" : um ? "s.user_metadata_changed" : am ? "s.app_metadata_changed" : NULL;
}

/* The column's own default as SQL, or NULL; sets *stable. Takes no lock on the table. */
static char *
column_default(Oid relid, Form_pg_attribute att, bool *stable, bool *plain)
{
	static const char sql[] =
		"SELECT d.adbin::pg_catalog.text FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = $1 AND d.adnum = $2";
	Oid			types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(relid), Int16GetDatum(att->attnum)};
	Node	   *expr;

	*stable = *plain = true;
	if (att->atthasdef && att->attgenerated == '\0' && asy_db_run(sql, true, 2, types, values, NULL) == 1)
		expr = stringToNode(asy_db_text(0, 1));
	else
		expr = get_typdefault(att->atttypid);
	if (expr == NULL)
		return NULL;
	*stable = !contain_volatile_functions(expr);
	*plain = !calls_foreign_code(expr, NULL);
	return deparse_expression(expr, NIL, false, false);
}

/* The source that a column not named by hand has by its name, or NULL. */
static char *
source_by_name(AsyBinding *b, Form_pg_attribute att)
{
	const char *name = NameStr(att->attname);
	Oid			base = getBaseType(att->atttypid);
	char		category;
	bool		preferred;

	get_type_category_preferred(base, &category, &preferred);
	if (strcmp(name, "email") == 0 || strcmp(name, "phone") == 0 || strcmp(name, "email_verified") == 0)
		return pstrdup(name);
	if (strcmp(name, "account_type") == 0)
		return pstrdup(name);
	if (strcmp(name, "created_at") == 0 || strcmp(name, "updated_at") == 0 || strcmp(name, "deleted_at") == 0)
		return NULL;
	if (strcmp(name, "name") == 0 || strcmp(name, "nickname") == 0 || strcmp(name, "picture") == 0)
		return pstrdup(name);
	if (strpbrk(name, ".{}\",\\ ") != NULL)
		return NULL;
	if (!asy_columns_grants_something(name) && b->source_expr[ASY_USER_METADATA] &&
		(category == TYPCATEGORY_STRING || base == DATEOID || base == JSONBOID ||
		 (base == BOOLOID && (strcmp(name, "onboarding_completed") == 0 || strcmp(name, "email_consent") == 0))))
		return psprintf(USER_METADATA "%s", name);
	if (b->source_expr[ASY_APP_METADATA] && att->atttypid != UUIDOID)
		return psprintf(APP_METADATA "%s", name);
	return NULL;
}

static AsyColumn *
resolve_column(AsyBinding *b, Form_pg_attribute att, AsyMapping *m)
{
	AsyColumn  *c = palloc0(sizeof(AsyColumn));
	char		category;
	bool		preferred;

	c->name = pstrdup(NameStr(att->attname));
	c->attnum = att->attnum;
	c->is_plain = asy_columns_type_is_plain(att->atttypid);
	c->by_hand = m != NULL;
	c->source = m && m->source ? m->source : m && m->fallback ? NULL : source_by_name(b, att);
	if (c->source)
	{
		c->value = value_expression(b, c->source, att, c->by_hand, &c->text_value);
		c->changed = source_changed(b, c->source);
	}
	c->always = m && m->sync ? strcmp(m->sync, "always") == 0 : c->source && strcmp(c->source, "email") == 0;
	c->guard = m && m->guard;
	get_type_category_preferred(getBaseType(att->atttypid), &category, &preferred);

	if (m && m->fallback)
	{
		c->fallback = m->fallback;
		c->fill = category == TYPCATEGORY_STRING
			? psprintf("%s::pg_catalog.text", quote_literal_cstr(m->fallback))
			: psprintf("%s::%s", quote_literal_cstr(m->fallback),
					   format_type_extended(att->atttypid, att->atttypmod,
											FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
		c->fill_is_stable = true;
	}
	else
	{
		bool		plain;

		c->fill = column_default(b->profiles, att, &c->fill_is_stable, &plain);
		c->is_plain &= plain || !c->fill_is_stable;
	}

	if (m && m->has_allow && c->value)
	{
		int			n = list_length(m->allow);
		char	  **items = palloc(sizeof(char *) * n);
		char	   *list;

		for (int i = 0; i < n; i++)
			items[i] = list_nth(m->allow, i);
		list = quote_literal_cstr(OidOutputFunctionCall(F_ARRAY_OUT, asy_db_text_array(items, n)));
		c->has_allow = true;
		c->refused = psprintf("(%1$s) IS NOT NULL AND (%1$s)::pg_catalog.text <> ALL (%2$s::pg_catalog.text[])", c->value, list);
		if (c->text_value)
			c->text_value = psprintf("(CASE WHEN %1$s = ANY (%2$s::pg_catalog.text[]) THEN %1$s END)", c->text_value, list);
		c->value = psprintf("(CASE WHEN (%1$s)::pg_catalog.text = ANY (%2$s::pg_catalog.text[]) THEN %1$s END)", c->value, list);
	}
	return c;
}

static AttrNumber
relation_natts(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	AttrNumber	natts;

	if (!HeapTupleIsValid(tuple))
		return 0;
	natts = ((Form_pg_class) GETSTRUCT(tuple))->relnatts;
	ReleaseSysCache(tuple);
	return natts;
}

void
asy_columns_resolve_profiles(AsyBinding *b, List *mappings)
{
	AttrNumber	natts = relation_natts(b->profiles);

	for (AttrNumber attnum = 1; attnum <= natts; attnum++)
	{
		HeapTuple	tuple = SearchSysCacheCopy2(ATTNUM, ObjectIdGetDatum(b->profiles), Int16GetDatum(attnum));
		Form_pg_attribute att = HeapTupleIsValid(tuple) ? (Form_pg_attribute) GETSTRUCT(tuple) : NULL;
		const char *name;
		AsyMapping *m = NULL;
		AsyColumn  *c;
		ListCell   *lc;

		if (att == NULL || att->attisdropped)
			continue;
		name = NameStr(att->attname);
		if (strcmp(name, "created_at") == 0 && att->atttypid == TIMESTAMPTZOID)
			b->created_at = pstrdup(name);
		if (b->key && strcmp(name, b->key) == 0)
		{
			char		category;
			bool		preferred;

			get_type_category_preferred(getBaseType(att->atttypid), &category, &preferred);
			b->key_attnum = att->attnum;
			b->key_is_text = category == TYPCATEGORY_STRING;
			b->key_is_nullable = !att->attnotnull;
			if (b->key_is_text)
				b->uses[ASY_SUBJECT] = true;
			continue;
		}
		foreach(lc, mappings)
			if (strcmp(((AsyMapping *) lfirst(lc))->column, name) == 0)
				m = lfirst(lc);
		if (att->attgenerated != '\0' || (att->attidentity != '\0' && m == NULL))
			continue;
		c = resolve_column(b, att, m);
		if (c->source && strcmp(c->source, "email") == 0 && c->value && b->email == NULL &&
			asy_columns_type_is_plain(getBaseType(att->atttypid)))	/* it is read as text: a domain's own checks do not run */
		{
			b->email = c->name;
			b->email_attnum = c->attnum;
		}
		if (c->value || (m && m->fallback) || c->guard)
			b->columns = lappend(b->columns, c);
	}
}
