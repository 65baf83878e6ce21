/*
 * default_profiles.c
 *	  The profiles table that setup() makes where there is none.
 */
#include "postgres.h"

#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "sync/default_profiles.h"

#define TABLE "public.profiles"

static bool
role_exists(const char *name)
{
	return OidIsValid(get_role_oid(name, true));
}

/* Default privileges may have granted the new table to anybody. */
static void
revoke_all(Oid relid)
{
	static const char sql[] =
		"SELECT DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END"
		" FROM pg_catalog.pg_class AS c, pg_catalog.aclexplode(c.relacl) AS a WHERE c.oid = $1 AND a.grantee <> c.relowner";
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};
	int			n = (int) asy_db_run(sql, false, 1, types, values, NULL);
	char	  **roles = palloc(sizeof(char *) * Max(n, 1));

	for (int i = 0; i < n; i++)
		roles[i] = asy_db_text(i, 1);
	for (int i = 0; i < n; i++)
		asy_db_exec(psprintf("REVOKE ALL ON " TABLE " FROM %s", roles[i]));
}

/* The users' id, if a foreign key can point at it. */
static char *
referable_key(Oid users)
{
	static const char sql[] =
		"SELECT a.attname FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]"
		" WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = 1"
		" AND a.attname IN ('id', 'user_id') AND a.atttypid = 'pg_catalog.uuid'::pg_catalog.regtype ORDER BY a.attname LIMIT 1";
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(users)};

	return asy_db_run(sql, false, 1, types, values, NULL) ? asy_db_text(0, 1) : NULL;
}

Oid
asy_default_profiles_create(Oid users, Oid extension_owner, AsySteps *steps)
{
	static const char policy[] = "(id = (pg_catalog.current_setting('request.jwt.claims', true)::pg_catalog.jsonb ->> 'sub')::pg_catalog.uuid)";
	AsyIdentity saved;
	char	   *key;
	Oid			relid;

	asy_db_exec("CREATE TABLE " TABLE " ("
				"id pg_catalog.uuid PRIMARY KEY, "
				"email pg_catalog.text, "
				"display_name pg_catalog.text, "
				"account_type pg_catalog.text NOT NULL DEFAULT 'individual', "
				"onboarding_completed pg_catalog.bool NOT NULL DEFAULT false, "
				"industry pg_catalog.text, "
				"job_title pg_catalog.text, "
				"email_consent pg_catalog.bool NOT NULL DEFAULT false, "
				"avatar_url pg_catalog.text, "
				"created_at pg_catalog.timestamptz DEFAULT pg_catalog.now(), "
				"updated_at pg_catalog.timestamptz DEFAULT pg_catalog.now())");
	relid = get_relname_relid("profiles", get_namespace_oid("public", false));
	asy_step(steps, "table", TABLE, "create", "the default profiles table");
	asy_db_exec("COMMENT ON TABLE " TABLE " IS 'one row a user of the application; kept in step with the users by authsync'");

	revoke_all(relid);
	asy_db_exec("ALTER TABLE " TABLE " ENABLE ROW LEVEL SECURITY");
	if (role_exists("authenticated"))
	{
		asy_db_exec("GRANT SELECT, UPDATE (display_name, onboarding_completed, industry, job_title, email_consent, avatar_url)"
					" ON " TABLE " TO authenticated");
		asy_db_exec(psprintf("CREATE POLICY profiles_select_own ON " TABLE " FOR SELECT TO authenticated USING %s", policy));
		asy_db_exec(psprintf("CREATE POLICY profiles_update_own ON " TABLE " FOR UPDATE TO authenticated USING %s WITH CHECK %s", policy, policy));
		asy_step(steps, "privilege", TABLE, "create", "authenticated: SELECT, and UPDATE of what a user may write, of his own row");
	}
	if (role_exists("service_role"))
	{
		asy_db_exec("GRANT ALL ON " TABLE " TO service_role");
		asy_step(steps, "privilege", TABLE, "create", "service_role: ALL");
	}

	/* The caller may lack REFERENCES on the users; the extension's owner does not. */
	asy_db_become(&saved, extension_owner, false);
	key = referable_key(users);
	if (key && asy_attach_lock(users, ShareRowExclusiveLock))
	{
		asy_db_exec(psprintf("ALTER TABLE " TABLE " ADD CONSTRAINT profiles_id_fkey FOREIGN KEY (id) REFERENCES %s (%s) ON DELETE CASCADE",
							 asy_db_relation_name(users), quote_identifier(key)));
		asy_step(steps, "foreign key", "profiles_id_fkey", "create", "a deleted user takes his profile along");
	}
	asy_db_restore(&saved);
	return relid;
}
