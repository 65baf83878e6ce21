/*
 * lint_rights.c
 *	  Checks of privileges and row security: what authsync lacks to write
 *	  profiles, and what others have too much.
 */
#include "postgres.h"

#include "sync/lint.h"

/* ---- what the writer lacks ---- */

static const char owner_right[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('authsync writes as the owner of the table, %I, who has no %s right on it', r.rolname, v.privilege),"
	" pg_catalog.format('GRANT %s ON %s TO %I;', v.privilege, $2::pg_catalog.regclass, r.rolname)"
	" FROM (VALUES ('INSERT'), ('SELECT'), ('UPDATE')) AS v(privilege), pg_catalog.pg_roles AS r"
	" WHERE r.oid = $3 AND NOT pg_catalog.has_table_privilege($3, $2, v.privilege)";

static const char owner_schema[] =
	"SELECT pg_catalog.format('%I', n.nspname), pg_catalog.format('authsync writes as the owner of %s, %I, who may not use its schema', $2::pg_catalog.regclass, r.rolname),"
	" pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I;', n.nspname, r.rolname)"
	" FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_namespace AS n ON n.oid = k.relnamespace, pg_catalog.pg_roles AS r"
	" WHERE k.oid = $2 AND r.oid = $3 AND NOT pg_catalog.has_schema_privilege($3, n.oid, 'USAGE')";

/* Only a policy that lets the owner insert whatever it is makes forced row security harmless. */
static const char rls_forced[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('row security is forced on the owner too, %I, as whom authsync writes: its policies refuse new profiles', r.rolname),"
	" pg_catalog.format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY;', $2::pg_catalog.regclass)"
	" FROM pg_catalog.pg_class AS k, pg_catalog.pg_roles AS r"
	" WHERE k.oid = $2 AND r.oid = $3 AND k.relrowsecurity AND k.relforcerowsecurity AND NOT r.rolsuper AND NOT r.rolbypassrls"
	" AND NOT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = $2 AND p.polpermissive AND p.polcmd IN ('a', '*')"
	"   AND EXISTS (SELECT FROM pg_catalog.unnest(p.polroles) AS x WHERE x = 0 OR pg_catalog.pg_has_role($3, x, 'USAGE'))"
	"   AND COALESCE(pg_catalog.pg_get_expr(p.polwithcheck, p.polrelid), pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'true') = 'true')";

/* The functions look with the extension owner's eyes. */
static const char extension_owner[] =
	"SELECT k.oid::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('the extension''s owner, %I, cannot read all of it: every function that looks fails or errs', r.rolname),"
	" pg_catalog.format('GRANT SELECT ON %s TO %I; ALTER ROLE %2$I BYPASSRLS;', k.oid::pg_catalog.regclass, r.rolname)"
	" FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_roles AS r ON r.oid = e.extowner, pg_catalog.pg_class AS k"
	" WHERE e.oid = $4 AND k.oid IN ($1, $2) AND NOT r.rolsuper AND (NOT pg_catalog.has_table_privilege(r.oid, k.oid, 'SELECT')"
	"   OR (k.relrowsecurity AND NOT r.rolbypassrls AND (k.relforcerowsecurity OR NOT pg_catalog.pg_has_role(r.oid, k.relowner, 'USAGE'))))";

/* ---- what others may with profiles ---- */

/* Everybody, and the roles in which the API serves strangers and signed-in users, as far as there are such. */
#define API_ROLES \
	"(SELECT 0::pg_catalog.oid AS oid, 'PUBLIC'::pg_catalog.text AS name UNION ALL SELECT r.oid, pg_catalog.quote_ident(r.rolname)" \
	" FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('anon', 'authenticated')) AS g"

/* Privileges on profiles k that such a role g has, on the table or on a column: x. */
#define GIVEN \
	"FROM pg_catalog.pg_class AS k, LATERAL (SELECT acl.grantee, acl.privilege_type, NULL::pg_catalog.name AS attname FROM pg_catalog.aclexplode(k.relacl) AS acl" \
	"   UNION ALL SELECT acl.grantee, acl.privilege_type, a.attname FROM pg_catalog.pg_attribute AS a, pg_catalog.aclexplode(a.attacl) AS acl" \
	"    WHERE a.attrelid = k.oid AND NOT a.attisdropped) AS x JOIN " API_ROLES " ON g.oid = x.grantee WHERE k.oid = $2"

/* A permissive policy on k for that command lets role g through; with "= 'true'" all rows. */
#define POLICY(command) \
	"EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = k.oid AND p.polpermissive AND p.polcmd IN ('" command "', '*')" \
	" AND (0 = ANY (p.polroles) OR g.oid = ANY (p.polroles))"
#define ALL_ROWS " AND COALESCE(pg_catalog.pg_get_expr(p.polqual, p.polrelid), 'true') = 'true'"

static const char profiles_without_rls[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('no row security: %s may %s every row', g.name,"
	"  pg_catalog.string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type)),"
	" CASE k.relkind WHEN 'f' THEN pg_catalog.format('REVOKE ALL ON %s FROM %s;', $2::pg_catalog.regclass, g.name)"
	"  ELSE pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', $2::pg_catalog.regclass) END"
	" " GIVEN " AND NOT k.relrowsecurity AND x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE') GROUP BY g.name, k.relkind";

static const char profiles_rls_off[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, 'no row security: whoever is granted a right has it on every row',"
	" pg_catalog.format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY;', $2::pg_catalog.regclass)"
	" FROM pg_catalog.pg_class AS k WHERE k.oid = $2 AND NOT k.relrowsecurity"
	" AND NOT EXISTS (SELECT " GIVEN " AND x.privilege_type IN ('SELECT', 'INSERT', 'UPDATE', 'DELETE'))";

#define READABLE "(NOT k.relrowsecurity OR " POLICY("r") ALL_ROWS "))"

static const char profiles_readable_by_anon[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('%s reads every row, without signing in', g.name),"
	" pg_catalog.format('REVOKE SELECT ON %s FROM %s;', $2::pg_catalog.regclass, g.name)"
	" " GIVEN " AND x.privilege_type = 'SELECT' AND (g.name = 'anon' OR g.oid = 0) AND " READABLE " GROUP BY g.name";

static const char profiles_granted_to_anon[] =
	"SELECT $2::pg_catalog.regclass::pg_catalog.text, pg_catalog.format('%s has rights (%s) that nothing but row security holds back', g.name,"
	"  pg_catalog.string_agg(DISTINCT x.privilege_type, ', ' ORDER BY x.privilege_type)),"
	" pg_catalog.format('REVOKE ALL ON %s FROM %s;', $2::pg_catalog.regclass, g.name)"
	" " GIVEN " AND k.relrowsecurity AND (g.name = 'anon' OR g.oid = 0) AND NOT (x.privilege_type = 'SELECT' AND " READABLE ") GROUP BY g.name";

/* What a signed-in user may change in his own row includes what he is granted. Columns under guard are safe. */
#define GRANTS "~* '(^|_)(roles?|tier|plan|admin|staff|superuser|permissions?|credits?|balance|quota)($|_)'"
#define MAY_UPDATE(a) \
	"EXISTS (SELECT " GIVEN " AND g.oid = w.oid AND x.privilege_type = 'UPDATE' AND (x.attname IS NULL OR x.attname = " a ".attname)" \
	" AND (NOT k.relrowsecurity OR " POLICY("w") ")))"

static const char column_updatable[] =
	"SELECT pg_catalog.format('%s.%I', $2::pg_catalog.regclass, a.attname), pg_catalog.format('%s may UPDATE it: users grant themselves what it stands for', w.name),"
	" pg_catalog.format('REVOKE UPDATE ON %s FROM %s;', $2::pg_catalog.regclass, w.name) || COALESCE(pg_catalog.format(' GRANT UPDATE (%s) ON %s TO %s;',"
	"  (SELECT pg_catalog.string_agg(pg_catalog.quote_ident(o.attname), ', ' ORDER BY o.attnum) FROM pg_catalog.pg_attribute AS o"
	"    WHERE o.attrelid = $2 AND o.attnum > 0 AND NOT o.attisdropped AND o.attnum <> $6 AND NOT o.attname " GRANTS " AND " MAY_UPDATE("o") "),"
	"  $2::pg_catalog.regclass, w.name), '')"
	" FROM pg_catalog.pg_attribute AS a, (SELECT g.oid, g.name FROM " API_ROLES ") AS w"
	" WHERE a.attrelid = $2 AND a.attnum > 0 AND NOT a.attisdropped AND a.attname " GRANTS
	" AND ($5::pg_catalog.jsonb -> a.attname::pg_catalog.text -> 'guard') IS DISTINCT FROM 'true' AND " MAY_UPDATE("a");

/* ---- rights on what is ours ---- */

/* Closed to all but those whom grant_access() let in; these few read the caller's own claims. */
static const char open_right[] =
	"SELECT m.object, pg_catalog.format('%s has %s on it: no right on authsync''s objects is left open but by authsync.grant_access()', g.name,"
	"  pg_catalog.string_agg(DISTINCT acl.privilege_type, ', ' ORDER BY acl.privilege_type)),"
	" pg_catalog.format('REVOKE ALL%s ON %s FROM %s;', m.columns, m.object, g.name)"
	" FROM (SELECT pg_catalog.format('ROUTINE %s', p.oid::pg_catalog.regprocedure) AS object, '' AS columns,"
	"   COALESCE(p.proacl, pg_catalog.acldefault('f', p.proowner)) AS acl, '' AS allowed"
	"  FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_proc AS p ON p.oid = d.objid JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace"
	"  WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = $4 AND d.deptype = 'e'"
	"   AND NOT (n.nspname = 'authsync' AND p.proname IN ('uid', 'auth_user', 'has_tier', 'in_organization'))"
	" UNION ALL SELECT pg_catalog.format('%s %s', CASE k.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, k.oid::pg_catalog.regclass), c.columns,"
	"   c.acl, '' FROM pg_catalog.pg_class AS k,"
	"   LATERAL (SELECT '' AS columns, k.relacl AS acl UNION ALL SELECT pg_catalog.format(' (%I)', a.attname), a.attacl FROM pg_catalog.pg_attribute AS a"
	"     WHERE a.attrelid = k.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped) AS c"
	"  WHERE k.relkind IN ('r', 'p', 'v', 'S') AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d"
	"   LEFT JOIN pg_catalog.pg_depend AS o ON d.deptype = 'i' AND o.classid = d.refclassid AND o.objid = d.refobjid AND o.deptype = 'e'"
	"   WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = k.oid"
	"    AND COALESCE(o.refclassid, d.refclassid) = 'pg_catalog.pg_extension'::pg_catalog.regclass AND COALESCE(o.refobjid, d.refobjid) = $4)"
	" UNION ALL SELECT pg_catalog.format('SCHEMA %I', n.nspname), '', n.nspacl, 'USAGE' FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'authsync') AS m,"
	" LATERAL pg_catalog.aclexplode(m.acl) AS acl JOIN " API_ROLES " ON g.oid = acl.grantee"
	" WHERE acl.privilege_type <> m.allowed GROUP BY m.object, m.columns, g.name ORDER BY m.object";

const AsyLintCheck asy_lint_rights[] = {
	{"owner_right", "error", ASY_LINT_PROFILES, owner_right, NULL},
	{"owner_schema", "error", ASY_LINT_PROFILES, owner_schema, NULL},
	{"rls_forced", "error", ASY_LINT_PROFILES, rls_forced, NULL},
	{"extension_owner", "error", ASY_LINT_USERS, extension_owner, NULL},
	{"profiles_without_rls", "warning", ASY_LINT_PROFILES, profiles_without_rls, NULL},
	{"profiles_rls_off", "info", ASY_LINT_LOCAL_PROFILES, profiles_rls_off, NULL},
	{"profiles_readable_by_anon", "warning", ASY_LINT_PROFILES, profiles_readable_by_anon, NULL},
	{"profiles_granted_to_anon", "info", ASY_LINT_PROFILES, profiles_granted_to_anon, NULL},
	{"column_updatable", "warning", ASY_LINT_PROFILES, column_updatable, NULL},
	{"open_right", "error", ASY_LINT_NOTHING, open_right, NULL},
	{NULL}
};
