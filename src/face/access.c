/*
 * access.c
 *	  Who may call what. Every object of the extension is its owner's alone;
 *	  readers get what looks (STABLE and IMMUTABLE functions, views, and the
 *	  tables that people read), operators also what changes.
 *
 * Which levels a role has is told by the privileges themselves, so there is no
 * second record to disagree with them after a dump and restore.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "ground/db.h"
#include "sync/binding.h"
#include "sync/foreign.h"

PG_FUNCTION_INFO_V1(authsync_grant_access);
PG_FUNCTION_INFO_V1(authsync_revoke_access);
PG_FUNCTION_INFO_V1(authsync_close_rights);

/*
 * The extension's objects that carry privileges: how GRANT names them, their
 * ACL, whether the current transaction made them, and for whom they are.
 */
#define MEMBERS \
	"(SELECT pg_catalog.format('ROUTINE %s', p.oid::pg_catalog.regprocedure) AS object, COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl," \
	"        p.proowner AS owner, d.xmin::pg_catalog.text = (pg_catalog.pg_current_xact_id()::pg_catalog.xid)::pg_catalog.text AS is_new, 'EXECUTE' AS privilege," \
	"        CASE WHEN p.prorettype = 'pg_catalog.trigger'::pg_catalog.regtype OR p.proname IN ('grant_access', 'revoke_access', 'close_rights', 'attach') THEN 'nobody'" \
	"             WHEN p.provolatile <> 'v' THEN 'reader' ELSE 'operator' END AS level" \
	"   FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid" \
	"  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refobjid = $1 AND d.deptype = 'e'" \
	" UNION ALL" \
	" SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::pg_catalog.regclass)," \
	"        COALESCE(c.relacl, pg_catalog.acldefault(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END::\"char\", c.relowner))," \
	"        c.relowner, COALESCE(d.xmin, s.xmin)::pg_catalog.text = (pg_catalog.pg_current_xact_id()::pg_catalog.xid)::pg_catalog.text, 'SELECT'," \
	"        CASE WHEN c.relkind = 'v' OR c.relname IN ('user_events', 'plans', 'plan_items', 'bindings', 'suspects', 'departed', 'signups', 'gaps', 'bookkeeping') THEN 'reader' ELSE 'nobody' END" \
	"   FROM pg_catalog.pg_class AS c" \
	"   LEFT JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid AND d.objsubid = 0" \
	"    AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = $1 AND d.deptype = 'e'" \
	"   LEFT JOIN pg_catalog.pg_depend AS s ON c.relkind = 'S' AND s.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND s.objid = c.oid AND s.deptype = 'i'" \
	"    AND EXISTS (SELECT FROM pg_catalog.pg_depend AS o WHERE o.classid = s.refclassid AND o.objid = s.refobjid AND o.refobjid = $1 AND o.deptype = 'e')" \
	"  WHERE c.relkind IN ('r', 'p', 'v', 'S') AND (d.objid IS NOT NULL OR s.objid IS NOT NULL)" \
	" UNION ALL" \
	" SELECT 'TABLE authsync.new_secret', COALESCE(c.relacl, pg_catalog.acldefault('r', c.relowner)), c.relowner," \
	"        d.xmin::pg_catalog.text = (pg_catalog.pg_current_xact_id()::pg_catalog.xid)::pg_catalog.text, 'INSERT', 'operator'" \
	"   FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS c ON c.oid = d.objid AND c.relname = 'new_secret' AND c.relkind = 'v'" \
	"  WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objsubid = 0 AND d.refobjid = $1 AND d.deptype = 'e'" \
	" UNION ALL" \
	" SELECT pg_catalog.format('SCHEMA %I', n.nspname), COALESCE(n.nspacl, pg_catalog.acldefault('n', n.nspowner)), n.nspowner, n.xmin::pg_catalog.text = (pg_catalog.pg_current_xact_id()::pg_catalog.xid)::pg_catalog.text, 'USAGE', 'reader'" \
	"   FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'authsync') AS m"

/* Runs each statement that the query makes (its first column); returns how many. */
static int
run_each(const char *query, Oid extension, const char *role, const char *level)
{
	Oid			types[] = {OIDOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(extension), CStringGetTextDatum(role ? role : ""), CStringGetTextDatum(level ? level : "")
	};
	int			n = (int) asy_db_run(query, false, 3, types, values, NULL);
	char	  **statements = palloc(sizeof(char *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		statements[i] = asy_db_text(i, 1);
	for (int i = 0; i < n; i++)
		asy_db_exec(statements[i]);
	return n;
}

static int
give(Oid extension, const char *role, const char *level)
{
	return run_each("SELECT pg_catalog.format('GRANT %s ON %s TO %I', m.privilege, m.object, $2) FROM " MEMBERS
					" WHERE m.level = 'reader' OR (m.level = 'operator' AND $3 = 'operator')",
					extension, role, level);
}

static int
take_back(Oid extension, const char *role)
{
	return run_each("SELECT pg_catalog.format('REVOKE ALL ON %s FROM %I', m.object, $2) FROM " MEMBERS
					" WHERE $3 = '' AND EXISTS (SELECT FROM pg_catalog.aclexplode(m.acl) AS a"
					"  WHERE a.grantee = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = $2) AND a.grantee <> m.owner)",
					extension, role, NULL);
}

static char *
role_argument(FunctionCallInfo fcinfo)
{
	char	   *role;

	if (PG_ARGISNULL(0))
		asy_error_null("role");
	role = pstrdup(NameStr(*PG_GETARG_NAME(0)));
	if (!OidIsValid(get_role_oid(role, true)))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("role \"%s\" does not exist", role),
				 errdetail("Access is given to one role by name; PUBLIC is no role."),
				 errhint("\\du lists the roles.")));
	return role;
}

/* ---- what the views need besides ---- */

typedef struct Missing
{
	StringInfoData query;		/* UNION ALL of what lacks */
	const char *role;
} Missing;

/* Columns of a table that a view reads: SELECT on each, USAGE on its schema, no row security. */
static void
needs(Missing *m, Oid relid, const char *const columns[])
{
	char	   *table = asy_db_relation_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));
	char	   *role = quote_literal_cstr(m->role);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; columns[i]; i++)
		if (get_attnum(relid, columns[i]) != InvalidAttrNumber)
			appendStringInfo(&list, "%s%s", list.len ? ", " : "", quote_literal_cstr(columns[i]));
	appendStringInfo(&m->query,
					 "%s SELECT pg_catalog.format('schema %%I', %s) AS object, pg_catalog.format('GRANT USAGE ON SCHEMA %%I TO %%I;', %s, %s) AS missing_grant"
					 " WHERE NOT pg_catalog.has_schema_privilege(%s, %u, 'USAGE')"
					 " UNION ALL SELECT %s, pg_catalog.format('GRANT SELECT (%%s) ON %%s TO %%I;', pg_catalog.string_agg(pg_catalog.quote_ident(c), ', '), %s, %s)"
					 " FROM pg_catalog.unnest(ARRAY[%s]) AS c WHERE NOT pg_catalog.has_column_privilege(%s, %u, c, 'SELECT') HAVING pg_catalog.count(*) > 0"
					 " UNION ALL SELECT %s, pg_catalog.format('ALTER ROLE %%I BYPASSRLS; -- row security hides rows of %%s', %s, %s)"
					 " FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_roles AS r ON r.rolname = %s"
					 " WHERE k.oid = %u AND k.relrowsecurity AND NOT r.rolbypassrls AND NOT r.rolsuper"
					 " AND (k.relforcerowsecurity OR NOT pg_catalog.pg_has_role(r.oid, k.relowner, 'USAGE'))",
					 m->query.len ? " UNION ALL" : "",
					 quote_literal_cstr(schema), quote_literal_cstr(schema), role, role, get_rel_namespace(relid),
					 quote_literal_cstr(table), quote_literal_cstr(table), role, list.data, role, relid,
					 quote_literal_cstr(table), role, quote_literal_cstr(table), role, relid);

	/* Whoever reads a foreign table goes there by his own mapping. */
	if (OidIsValid(asy_foreign_server(relid)) && !asy_foreign_has_mapping(asy_foreign_server(relid), get_role_oid(m->role, false)))
		appendStringInfo(&m->query, " UNION ALL SELECT %s, %s", quote_literal_cstr(psprintf("server %s", asy_foreign_server_name(relid))),
						 quote_literal_cstr(asy_foreign_mapping_line(asy_foreign_server(relid), get_role_oid(m->role, false))));
}

/*
 * grant_access(role, level): level is reader or operator (22023 else). A role
 * that was operator and is made reader loses what changes.
 */
Datum
authsync_grant_access(PG_FUNCTION_ARGS)
{
	static const char *const of_users[] = {
		"id", "user_id", "subject", "email", "created_at", "deleted_at", "is_anonymous", "is_sso_user", "raw_app_meta_data", "app_metadata", NULL
	};
	static const char *const of_audit[] = {"id", "payload", "ip_address", "created_at", NULL};
	char	   *role = role_argument(fcinfo);
	char	   *level;
	AsyExtension ext = asy_db_own_extension();
	AsyBinding *b;
	Missing		missing = {.role = role};

	if (PG_ARGISNULL(1))
		asy_error_null("level");
	level = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (strcmp(level, "reader") != 0 && strcmp(level, "operator") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("there is no level \"%s\"", level),
				 errdetail("A reader looks, an operator also changes."),
				 errhint("Levels are reader and operator.")));
	SPI_connect();
	take_back(ext.oid, role);
	give(ext.oid, role, level);

	initStringInfo(&missing.query);
	appendStringInfo(&missing.query, "SELECT pg_catalog.format('schema %%I', n.nspname) AS object, pg_catalog.format('GRANT USAGE ON SCHEMA %%I TO %%I;', n.nspname, %1$s) AS missing_grant"
					 " FROM pg_catalog.pg_namespace AS n WHERE n.oid = %2$u AND NOT pg_catalog.has_schema_privilege(%1$s, n.oid, 'USAGE')",
					 quote_literal_cstr(role), ext.face);
	b = asy_binding_get();
	if (b && OidIsValid(b->users))
		needs(&missing, b->users, of_users);
	if (b && OidIsValid(b->audit))
		needs(&missing, b->audit, of_audit);
	if (b && OidIsValid(b->profiles) && b->key)
	{
		const char *of_profiles[] = {b->key, b->email ? b->email : b->key, b->created_at ? b->created_at : b->key, NULL};

		needs(&missing, b->profiles, of_profiles);
	}
	asy_db_run(psprintf("SELECT DISTINCT x.object, x.missing_grant FROM (%s) AS x ORDER BY 1, 2", missing.query.data), false, 0, NULL, NULL, NULL);
	asy_db_return_rows(fcinfo);
	SPI_finish();
	return (Datum) 0;
}

Datum
authsync_revoke_access(PG_FUNCTION_ARGS)
{
	char	   *role = role_argument(fcinfo);
	AsyExtension ext = asy_db_own_extension();
	int			n;

	SPI_connect();
	n = take_back(ext.oid, role);
	SPI_finish();
	PG_RETURN_BOOL(n > 0);
}

/*
 * close_rights(): what this transaction made (all of it at CREATE EXTENSION,
 * the new objects at an update) is closed to all but its owner, and opened
 * again to those who are readers and operators.
 */
Datum
authsync_close_rights(PG_FUNCTION_ARGS)
{
	static const char roles[] =
		"SELECT DISTINCT r.rolname::pg_catalog.text, CASE WHEN pg_catalog.bool_or(m.level = 'operator') THEN 'operator' ELSE 'reader' END"
		" FROM " MEMBERS ", LATERAL pg_catalog.aclexplode(m.acl) AS a JOIN pg_catalog.pg_roles AS r ON r.oid = a.grantee"
		" WHERE NOT m.is_new AND a.grantee <> m.owner AND m.privilege = 'EXECUTE' AND m.level IN ('reader', 'operator')"
		" AND m.object ~ '(diagnose_auth_profile_consistency|backfill_all_missing_profiles)\\(' GROUP BY r.rolname";
	AsyExtension ext = asy_db_own_extension();
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(ext.oid)};
	int			n;
	char	  **role;
	char	  **level;

	SPI_connect();
	n = (int) asy_db_run(roles, false, 1, types, values, NULL);
	role = palloc(sizeof(char *) * Max(n, 1));
	level = palloc(sizeof(char *) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		role[i] = asy_db_text(i, 1);
		level[i] = asy_db_text(i, 2);
	}
	run_each("SELECT pg_catalog.format('REVOKE ALL ON %s FROM %s', m.object, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END)"
			 " FROM " MEMBERS ", LATERAL (SELECT DISTINCT x.grantee FROM pg_catalog.aclexplode(m.acl) AS x WHERE x.grantee <> m.owner) AS a"
			 " WHERE m.is_new AND $2 = '' AND $3 = ''",
			 ext.oid, NULL, NULL);
	for (int i = 0; i < n; i++)
		give(ext.oid, role[i], level[i]);
	SPI_finish();
	PG_RETURN_VOID();
}
