/*
 * mapping.c
 *	  What setup(columns => ...) was told, read and checked.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"

#include "ground/db.h"
#include "sync/mapping.h"

#define USER_METADATA "user_metadata."
#define APP_METADATA "app_metadata."

static const char *const plain_sources[] = {
	"user_id", "subject", "email", "phone", "name", "nickname", "picture", "email_verified", "created_at"
};

bool
asy_mapping_source_is_known(const char *source)
{
	for (size_t i = 0; i < lengthof(plain_sources); i++)
		if (strcmp(source, plain_sources[i]) == 0)
			return true;
	return (strncmp(source, USER_METADATA, strlen(USER_METADATA)) == 0 && source[strlen(USER_METADATA)] != '\0') ||
		(strncmp(source, APP_METADATA, strlen(APP_METADATA)) == 0 && source[strlen(APP_METADATA)] != '\0');
}

List *
asy_mapping_parse(const char *columns_json)
{
	static const char sql[] =
		"SELECT c.key,"
		" CASE pg_catalog.jsonb_typeof(c.value) WHEN 'string' THEN c.value #>> '{}' WHEN 'object' THEN c.value ->> 'from' END,"
		" CASE pg_catalog.jsonb_typeof(c.value) WHEN 'object' THEN c.value ->> 'default' END,"
		" c.value ->> 'sync',"
		" c.value -> 'allow',"
		" c.value -> 'guard' = 'true', c.value -> 'key' = 'true',"
		" pg_catalog.jsonb_typeof(c.value) IN ('string', 'object')"
		" AND COALESCE(pg_catalog.jsonb_typeof(c.value -> 'guard'), 'boolean') = 'boolean'"
		" AND COALESCE(pg_catalog.jsonb_typeof(c.value -> 'key'), 'boolean') = 'boolean'"
		" AND COALESCE(pg_catalog.jsonb_typeof(c.value -> 'allow'), 'array') = 'array',"
		" (SELECT pg_catalog.min(k) FROM pg_catalog.jsonb_object_keys(CASE pg_catalog.jsonb_typeof(c.value) WHEN 'object' THEN c.value ELSE '{}' END) AS k"
		"   WHERE k NOT IN ('from', 'default', 'sync', 'allow', 'guard', 'key')),"
		" CASE pg_catalog.jsonb_typeof(c.value -> 'allow') WHEN 'array' THEN"
		"   (SELECT pg_catalog.array_agg(v) FROM pg_catalog.jsonb_array_elements_text(c.value -> 'allow') AS v) END"
		" FROM pg_catalog.jsonb_each($1::pg_catalog.jsonb) AS c ORDER BY c.key";
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(columns_json)};
	List	   *result = NIL;
	uint64		n = asy_db_run(sql, true, 1, types, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		AsyMapping *m = palloc0(sizeof(AsyMapping));
		char	   *stray = asy_db_text(i, 9);
		bool		isnull;
		Datum		allow;

		m->column = asy_db_text(i, 1);
		m->source = asy_db_text(i, 2);
		m->fallback = asy_db_text(i, 3);
		m->sync = asy_db_text(i, 4);
		m->has_allow = asy_db_text(i, 5) != NULL;
		m->guard = asy_db_bool(i, 6);
		m->key = asy_db_bool(i, 7);
		allow = asy_db_value(i, 10, &isnull);
		if (!isnull)
		{
			Datum	   *items;
			bool	   *nulls;
			int			count;

			deconstruct_array(DatumGetArrayTypeP(allow), TEXTOID, -1, false, TYPALIGN_INT, &items, &nulls, &count);
			for (int j = 0; j < count; j++)
				if (!nulls[j])
					m->allow = lappend(m->allow, TextDatumGetCString(items[j]));
		}

		if (!asy_db_bool(i, 8) || stray ||
			(m->source && !asy_mapping_source_is_known(m->source)) ||
			(m->source == NULL && m->fallback == NULL && !m->guard) ||
			(m->sync && strcmp(m->sync, "once") != 0 && strcmp(m->sync, "always") != 0) ||
			(m->has_allow && m->allow == NIL))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("cannot understand the mapping of column \"%s\"", m->column),
					 stray ? errdetail("There is no key \"%s\" in a mapping.", stray) :
					 m->source && !asy_mapping_source_is_known(m->source) ? errdetail("There is no source \"%s\".", m->source) :
					 m->sync ? errdetail("\"sync\" is \"once\" or \"always\".") :
					 m->has_allow ? errdetail("\"allow\" is an array with at least one value.") :
					 errdetail("A mapping is a source, or an object with at least \"from\", \"default\" or \"guard\"; \"guard\" and \"key\" are true or false."),
					 errhint("Sources: user_id, subject, email, phone, name, nickname, picture, email_verified, created_at, user_metadata.<path>, app_metadata.<path>. "
							 "Keys: from, default, sync, allow, guard, key.")));
		result = lappend(result, m);
	}
	return result;
}
