/*
 * lint_columns.c
 *	  Checks of the columns of profiles: those that nothing fills, those that
 *	  collide, and those that users must not fill themselves.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"

#include "sync/columns.h"
#include "sync/foreign.h"
#include "sync/lint.h"
#include "sync/statement.h"

#define USER_METADATA "user_metadata."

/* Over a column's name: the mapping with another source for it, all else kept, as a line to paste. */
#define REMAP(name, source) \
	"pg_catalog.format('SELECT * FROM authsync.setup(columns => %L);', $5::pg_catalog.jsonb || pg_catalog.jsonb_build_object(" name "," \
	" CASE pg_catalog.jsonb_typeof($5::pg_catalog.jsonb -> " name ") WHEN 'object' THEN ($5::pg_catalog.jsonb -> " name ") || pg_catalog.jsonb_build_object('from', " source ")" \
	" ELSE pg_catalog.to_jsonb(" source ") END))"
#define UNMAP(name) "pg_catalog.format('SELECT * FROM authsync.setup(columns => %L);', $5::pg_catalog.jsonb - " name ")"
#define APP_SOURCE(name) "'app_metadata.' || " name

/* Over a: column of profiles. */
#define OBJECT "pg_catalog.format('%s.%I', a.attrelid::pg_catalog.regclass, a.attname)"
#define OF_PROFILES "pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid"
#define IS_COLUMN "a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped"
#define NEVER_NULL "(a.attnotnull OR t.typnotnull)"
#define DROP_NOT_NULL \
	"CASE WHEN t.typnotnull THEN pg_catalog.format('ALTER DOMAIN %s DROP NOT NULL;', t.oid::pg_catalog.regtype)" \
	" ELSE pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL;', $2::pg_catalog.regclass, a.attname) END"
#define HAS_DEFAULT "(a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> '' OR t.typdefault IS NOT NULL)"

/* Somebody's BEFORE INSERT trigger of profiles may fill what nothing else does. */
#define TRIGGER_MAY_FILL \
	"EXISTS (SELECT FROM pg_catalog.pg_trigger AS b WHERE b.tgrelid = $2 AND b.tgtype & 7 = 7 AND b.tgenabled IN ('O', 'A')" \
	" AND NOT b.tgisinternal AND b.tgfoid <> 'authsync.guard_profile()'::pg_catalog.regprocedure)"

/* Whether the users write the value themselves. */
static bool
is_from_user(const AsyColumn *c)
{
	static const char *const theirs[] = {"account_type", "name", "nickname", "picture"};

	if (c->source == NULL || c->value == NULL)
		return false;
	for (size_t i = 0; i < lengthof(theirs); i++)
		if (strcmp(c->source, theirs[i]) == 0)
			return true;
	return strncmp(c->source, USER_METADATA, strlen(USER_METADATA)) == 0;
}

/* Whether every user has a value for it. */
static bool
all_have(const AsyColumn *c)
{
	static const char *const known[] = {"user_id", "subject", "email", "email_verified", "created_at"};

	for (size_t i = 0; c->value && i < lengthof(known); i++)
		if (strcmp(c->source, known[i]) == 0)
			return true;
	return false;
}

/*
 * What users write about themselves must not make them somebody. account_type
 * is the users' own choice, unless it was mapped by hand, and without allow.
 */
static bool
grants(const AsyColumn *c)
{
	if (strcmp(c->name, "account_type") == 0)
		return c->by_hand && !c->has_allow;
	return asy_columns_grants_something(c->name);
}

char *
asy_lint_columns_json(const AsyBinding *b)
{
	StringInfoData m;
	ListCell   *lc;

	initStringInfo(&m);
	appendStringInfoChar(&m, '[');
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);

		if (c->value == NULL && c->fallback == NULL)
			continue;
		appendStringInfo(&m, "%s{\"attnum\": %d, \"all_have\": %s, \"has_default\": %s, \"from_user\": %s, \"grants\": %s",
						 m.len > 1 ? ", " : "", c->attnum, all_have(c) ? "true" : "false", c->fill ? "true" : "false",
						 is_from_user(c) ? "true" : "false", grants(c) ? "true" : "false");
		if (c->source)
		{
			appendStringInfoString(&m, ", \"source\": ");
			escape_json(&m, c->source);
		}
		if (c->fallback)
		{
			appendStringInfoString(&m, ", \"fallback\": ");
			escape_json(&m, c->fallback);
		}
		appendStringInfoChar(&m, '}');
	}
	appendStringInfoChar(&m, ']');
	return m.data;
}

/* What authsync fills: a column of profiles each. */
#define MAPPED \
	"pg_catalog.jsonb_to_recordset($7::pg_catalog.jsonb) AS m(attnum pg_catalog.int2, all_have pg_catalog.bool, has_default pg_catalog.bool," \
	" from_user pg_catalog.bool, grants pg_catalog.bool, source pg_catalog.text, fallback pg_catalog.text)"

/* ---- columns that may stay empty ---- */

#define UNFILLED(detail, by_trigger) \
	"SELECT " OBJECT ", '" detail "'," \
	" CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_constraint AS k WHERE k.conrelid = $2 AND k.contype = 'p' AND a.attnum = ANY (k.conkey))" \
	"  THEN " REMAP("a.attname", APP_SOURCE("a.attname")) " ELSE " DROP_NOT_NULL " END" \
	" FROM " OF_PROFILES " WHERE " IS_COLUMN " AND " NEVER_NULL " AND NOT " HAS_DEFAULT " AND a.attnum <> $6" \
	" AND NOT EXISTS (SELECT FROM " MAPPED " WHERE m.attnum = a.attnum) AND " by_trigger TRIGGER_MAY_FILL

static const char column_unfilled[] =
	UNFILLED("NOT NULL, without a default, and nothing fills it: no profile can be made", "NOT ");

static const char column_left_to_trigger[] =
	UNFILLED("NOT NULL, without a default; only a BEFORE INSERT trigger can fill it", "");

static const char column_may_lack[] =
	"SELECT " OBJECT ", pg_catalog.format('NOT NULL, without a default, and filled from %s: users who have none get no profile', m.source),"
	" " DROP_NOT_NULL
	" FROM " OF_PROFILES " JOIN " MAPPED " ON m.attnum = a.attnum"
	" WHERE " IS_COLUMN " AND " NEVER_NULL " AND NOT m.all_have AND NOT m.has_default AND NOT " TRIGGER_MAY_FILL;

/*
 * Of a foreign table. postgres_fdw sends every column of it, and NULL where
 * there is no value, so that the default over there never counts.
 */
static char *
unfilled_away(AsyBinding *b)
{
	const char *hint;

	if (!b->profiles_are_foreign)
		return NULL;
	if (strcmp(asy_foreign_table_name(b->profiles), get_rel_name(b->profiles)) == 0)
		hint = quote_literal_cstr(psprintf("BEGIN; DROP FOREIGN TABLE %s; %s COMMIT;", b->profiles_name,
										   asy_foreign_import(b->profiles, get_rel_name(b->profiles), "import_default 'true'")));
	else
		hint = "pg_catalog.format('ALTER FOREIGN TABLE %s DROP COLUMN %I;', $2::pg_catalog.regclass, a.attname)";
	return psprintf("SELECT pg_catalog.format('%%s.%%I', a.attrelid::pg_catalog.regclass, a.attname), 'NOT NULL, and no default is known here: ' || CASE WHEN m.attnum IS NULL THEN 'no profile can be made'"
					" ELSE pg_catalog.format('users without %%s get no profile', m.source) END, %s,"
					" CASE WHEN m.attnum IS NULL THEN 'error' ELSE 'warning' END, CASE WHEN m.attnum IS NULL THEN 'column_unfilled' ELSE 'column_may_lack' END"
					" FROM " OF_PROFILES " LEFT JOIN " MAPPED " ON m.attnum = a.attnum"
					" WHERE " IS_COLUMN " AND a.attnum <> $6 AND " NEVER_NULL " AND NOT " TRIGGER_MAY_FILL
					" AND CASE WHEN m.attnum IS NULL THEN NOT " HAS_DEFAULT " ELSE NOT m.all_have AND NOT m.has_default END", hint);
}

/* ---- the mapping said by hand ---- */

static const char column_gone[] =
	"SELECT pg_catalog.format('%s.%I', $2::pg_catalog.regclass, k), 'the mapping names this column, which does not exist', " UNMAP("k")
	" FROM pg_catalog.jsonb_object_keys($5::pg_catalog.jsonb) AS k"
	" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = $2 AND a.attname = k AND a.attnum > 0 AND NOT a.attisdropped)";

static const char column_generated[] =
	"SELECT " OBJECT ", 'the mapping names this column, which is generated: authsync cannot write it', " UNMAP("a.attname::pg_catalog.text")
	" FROM pg_catalog.pg_attribute AS a WHERE " IS_COLUMN " AND a.attgenerated <> '' AND $5::pg_catalog.jsonb ? a.attname::pg_catalog.text";

/* Whether the users table has what the source stands for. */
static bool
is_offered(const AsyBinding *b, const char *source)
{
	if (strchr(source, '.'))
		return b->source_expr[source[0] == 'u' ? ASY_USER_METADATA : ASY_APP_METADATA] != NULL;
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (strcmp(source, asy_field_name[f]) == 0)
			return b->source_expr[f] != NULL;
	return false;
}

static char *
source_missing(AsyBinding *b)
{
	StringInfoData q;
	ListCell   *lc;

	initStringInfo(&q);
	foreach(lc, asy_mapping_parse(b->columns_text))
	{
		AsyMapping *m = lfirst(lc);

		if (m->source && !is_offered(b, m->source))
			appendStringInfo(&q, "%s(%s, %s)", q.len ? ", " : "", quote_literal_cstr(m->column), quote_literal_cstr(m->source));
	}
	if (q.len == 0)
		return NULL;
	return psprintf("%s%s%s", "SELECT pg_catalog.format('%s.%I', $2::pg_catalog.regclass, v.name), pg_catalog.format('mapped to %s, which %s does not have',"
					" v.source, $1::pg_catalog.regclass), " UNMAP("v.name") " FROM (VALUES ", q.data, ") AS v(name, source)");
}

static const char column_grants[] =
	"SELECT " OBJECT ", pg_catalog.format('filled from %s, which every user writes himself: whoever signs up chooses what he is granted', m.source),"
	" " REMAP("a.attname", APP_SOURCE("a.attname"))
	" FROM " OF_PROFILES " JOIN " MAPPED " ON m.attnum = a.attnum WHERE " IS_COLUMN " AND m.from_user AND m.grants";

/* ---- unique keys ---- */

/* Unique indexes i of profiles, with their columns; those that hold the key cannot collide. */
#define UNIQUE_INDEXES \
	"FROM pg_catalog.pg_index AS i, LATERAL (SELECT pg_catalog.array_agg(DISTINCT x.attnum) AS attnums FROM (" \
	"   SELECT k FROM pg_catalog.unnest((i.indkey::pg_catalog.int2[])[0:i.indnkeyatts - 1]) AS k WHERE k > 0" \
	"   UNION ALL SELECT d.refobjsubid::pg_catalog.int2 FROM pg_catalog.pg_depend AS d WHERE i.indexprs IS NOT NULL" \
	"     AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = i.indexrelid AND d.refobjid = i.indrelid AND d.refobjsubid > 0) AS x(attnum)) AS c" \
	" WHERE i.indrelid = $2 AND i.indisunique AND i.indisvalid AND NOT $6 = ANY (c.attnums)"

/* A default that is a constant, as the server writes it. */
#define IS_CONSTANT "~ '^(''([^'']|'''')*''|-?[0-9.]+|\\([0-9.-]+\\)|true|false)(::[^(]*(\\([0-9,]+\\))?)?$'"

static const char unique_constant[] =
	"SELECT " OBJECT ", pg_catalog.format('unique (index %s), but all who have no value get the same: the second one fails', i.indexrelid::pg_catalog.regclass),"
	" pg_catalog.concat_ws(' ', CASE WHEN m.fallback IS NOT NULL THEN pg_catalog.format('SELECT * FROM authsync.setup(columns => %L);', $5::pg_catalog.jsonb"
	"   || pg_catalog.jsonb_build_object(a.attname, pg_catalog.jsonb_build_object('from', COALESCE(m.source, 'app_metadata.' || a.attname))"
	"   || (($5::pg_catalog.jsonb -> a.attname::pg_catalog.text) - 'default'))) END,"
	"  CASE WHEN d.is_constant THEN pg_catalog.format('ALTER TABLE %s ALTER COLUMN %I DROP DEFAULT%s;', $2::pg_catalog.regclass, a.attname,"
	"   CASE WHEN a.attnotnull THEN pg_catalog.format(', ALTER COLUMN %I DROP NOT NULL', a.attname) END) END)"
	" FROM (SELECT i.indexrelid, c.attnums " UNIQUE_INDEXES " AND i.indpred IS NULL AND pg_catalog.cardinality(c.attnums) = 1) AS i"
	" JOIN pg_catalog.pg_attribute AS a ON a.attrelid = $2 AND a.attnum = i.attnums[1] LEFT JOIN " MAPPED " ON m.attnum = a.attnum,"
	" LATERAL (SELECT COALESCE((SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) " IS_CONSTANT
	"   FROM pg_catalog.pg_attrdef AS d WHERE d.adrelid = $2 AND d.adnum = a.attnum), false) AS is_constant) AS d"
	" WHERE a.attgenerated = '' AND m.all_have IS NOT TRUE AND (m.fallback IS NOT NULL OR d.is_constant) AND NOT " TRIGGER_MAY_FILL;

static const char unique_from_users[] =
	"SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('unique, and filled from %s, which users choose themselves:"
	" who chooses what another has gets no profile', pg_catalog.string_agg(m.source, ', ')),"
	" pg_catalog.min(" REMAP("a.attname", APP_SOURCE("a.attname")) ") FILTER (WHERE m.from_user)"
	" FROM (SELECT i.indexrelid, c.attnums " UNIQUE_INDEXES ") AS i"
	" JOIN pg_catalog.pg_attribute AS a ON a.attrelid = $2 AND a.attnum = ANY (i.attnums) LEFT JOIN " MAPPED " ON m.attnum = a.attnum"
	" GROUP BY i.indexrelid HAVING pg_catalog.bool_and(m.attnum IS NOT NULL) AND pg_catalog.bool_or(m.from_user)";

/*
 * The user's value for a column as text, over s, or NULL where it has no such
 * form. Never cast to the column's own type, nor from it: a domain's checks
 * and a type's casts may be somebody else's code, and we look as the
 * extension's owner.
 */
static char *
text_of(const AsyBinding *b, const AsyColumn *c)
{
	char		category;
	bool		preferred;

	if (c->value == NULL || c->text_value)
		return c->text_value;
	get_type_category_preferred(getBaseType(get_atttype(b->profiles, c->attnum)), &category, &preferred);
	return category == TYPCATEGORY_STRING ? c->value : NULL;
}

/* The index of one column of texts that may collide: plain, or over lower(). */
#define TEXT_INDEX \
	"(SELECT i.indexrelid, i.indexprs IS NOT NULL OR EXISTS (SELECT FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid" \
	"     WHERE a.attrelid = $2 AND a.attnum = c.attnums[1] AND t.typname = 'citext') AS folds " \
	UNIQUE_INDEXES " AND i.indpred IS NULL AND i.indnkeyatts = 1 AND (i.indexprs IS NULL" \
	"   OR pg_catalog.pg_get_indexdef(i.indexrelid, 1, false) ~ '^lower\\(([^()]+|\\([^()]+\\)::text)\\)$')"

/* Users without profile whose value for a unique column another of them has, or a profile. */
static char *
unique_collision(AsyBinding *b)
{
	AsyUnmatched lone = asy_sql_users_without_profile(b, false);
	StringInfoData q;
	ListCell   *lc;

	initStringInfo(&q);
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);
		char	   *text = text_of(b, c);

		if (text == NULL)
			continue;
		appendStringInfo(&q, "%sSELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text,"
						 " n.n || ' users get no profile, since another of them or an existing profile has the same ' || %s,"
						 " 'SELECT * FROM %s.get_auth_profile_mismatches();' FROM " TEXT_INDEX " AND c.attnums = ARRAY[%d::pg_catalog.int2]) AS i, LATERAL",
						 q.len ? " UNION ALL " : "", quote_literal_cstr(quote_identifier(c->name)), b->face, c->attnum);
		appendStringInfo(&q, " (SELECT pg_catalog.count(*) AS n FROM ("
						 "   SELECT w.value, pg_catalog.count(*) OVER (PARTITION BY w.value) AS sharing FROM ("
						 "     SELECT CASE WHEN i.folds THEN pg_catalog.lower(v.value) ELSE v.value END AS value"
						 "       FROM (SELECT (%1$s)::pg_catalog.text AS value FROM (%2$s) AS s) AS v WHERE v.value IS NOT NULL) AS w) AS x"
						 " LEFT JOIN (SELECT DISTINCT CASE WHEN i.folds THEN pg_catalog.lower(t.value) ELSE t.value END AS value"
						 "   FROM (SELECT pg_catalog.format('%%s', p.%3$s) AS value FROM %4$s AS p WHERE p.%3$s IS NOT NULL) AS t) AS p ON p.value = x.value WHERE x.sharing > 1 OR p.value IS NOT NULL) AS n WHERE n.n > 0",
						 text, asy_sql_source(b, psprintf("%s WHERE %s AND %s", lone.from, b->owes_expr, lone.condition)),
						 quote_identifier(c->name), b->profiles_name);
	}
	return q.len ? q.data : NULL;
}

const AsyLintCheck asy_lint_columns[] = {
	{"column_unfilled", "error", ASY_LINT_LOCAL_PROFILES, column_unfilled, NULL},
	{"column_left_to_trigger", "info", ASY_LINT_PROFILES, column_left_to_trigger, NULL},
	{"column_may_lack", "warning", ASY_LINT_LOCAL_PROFILES, column_may_lack, NULL},
	{"column_unfilled", "error", ASY_LINT_PROFILES, NULL, unfilled_away},	/* its rows: this and column_may_lack */
	{"column_gone", "warning", ASY_LINT_PROFILES, column_gone, NULL},
	{"column_generated", "warning", ASY_LINT_PROFILES, column_generated, NULL},
	{"source_missing", "warning", ASY_LINT_PROFILES, NULL, source_missing},
	{"column_grants", "warning", ASY_LINT_PROFILES, column_grants, NULL},
	{"unique_constant", "error", ASY_LINT_PROFILES, unique_constant, NULL},
	{"unique_from_users", "warning", ASY_LINT_PROFILES, unique_from_users, NULL},
	{"unique_collision", "warning", ASY_LINT_PROFILES, NULL, unique_collision},
	{NULL}
};
