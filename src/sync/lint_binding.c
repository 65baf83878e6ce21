/*
 * lint_binding.c
 *	  Checks of the binding itself: whether there is one, whether its tables
 *	  are, what is switched off, and whether sign-ups are written down.
 */
#include "postgres.h"

#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "ground/guc.h"
#include "sync/attach.h"
#include "sync/foreign.h"
#include "sync/lint.h"
#include "sync/statement.h"

#define SETUP "SELECT * FROM authsync.setup();"

static char *
binding(AsyBinding *b)
{
	if (b == NULL)
		return asy_lint_row("authsync", "no users table is set, so nothing follows the sign-ups", SETUP);
	if (!asy_lint_is_table(b->users))
		return asy_lint_row(b->users_name, "the bound users table does not exist, or is no table any more", SETUP);
	if (b->users_key_name == NULL)
		return asy_lint_row(b->users_name, "the bound users table has no column id (or user_id) of type uuid",
							psprintf("ALTER TABLE %s ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid() UNIQUE;", b->users_name));
	return NULL;
}

static char *
profiles_missing(AsyBinding *b)
{
	if (b->profiles_name == NULL)
		return asy_lint_row(b->users_name, "no profiles table is set, so nobody gets a profile", SETUP);
	if (!asy_lint_is_table(b->profiles))
		return asy_lint_row(b->profiles_name, "the bound profiles table does not exist, or is no table any more, so nobody gets a profile", SETUP);
	return NULL;
}

static char *
key_missing(AsyBinding *b)
{
	if (!asy_lint_is_table(b->profiles) || b->key)
		return NULL;
	return asy_lint_row(b->profiles_name, "no column holds the user's id any more, so nobody gets a profile", SETUP);
}

static char *
views_stale(AsyBinding *b)
{
	return asy_attach_views_are_current(b) ? NULL
		: asy_lint_row("auth_profile_mismatch",
					   "the views have bodies of other tables or columns than the bound ones: they fail, or answer wrongly", SETUP);
}

static char *
enabled_off(AsyBinding *b pg_attribute_unused())
{
	return asy_guc_enabled ? NULL
		: asy_lint_row("authsync.enabled", "off: every trigger of authsync does nothing, and no sign-up gets a profile",
					   "ALTER SYSTEM SET authsync.enabled = on; -- then SELECT pg_reload_conf();");
}

static char *
mode_off(AsyBinding *b)
{
	return b->mode != ASY_OFF || asy_binding_is_foreign(b) ? NULL
		: asy_lint_row(b->users_name, "mode off: there are no triggers, and no sign-up gets a profile",
					   "SELECT * FROM authsync.setup(mode => 'safe');");
}

static char *
mode_strict(AsyBinding *b)
{
	return b->mode != ASY_STRICT ? NULL
		: asy_lint_row(b->users_name, "mode strict: a profile that cannot be written fails the sign-up",
					   "SELECT * FROM authsync.setup(mode => 'safe');");
}

static char *
audit_log_missing(AsyBinding *b)
{
	return OidIsValid(b->audit) ? NULL
		: asy_lint_row(b->users_name,
					   "no table audit_log_entries beside the users: signup_audit_summary is empty, and a sign-up that left no user goes unnoticed",
					   b->users_are_foreign ? psprintf("%s " SETUP, asy_foreign_import(b->users, "audit_log_entries", NULL)) : SETUP);
}

static bool
users_have(const AsyBinding *b, const char *column)
{
	return get_attnum(b->users, column) != InvalidAttrNumber;
}

/*
 * Switched off, the log stays and gets no rows, while people go on signing in.
 * Some changes are logged nowhere (anonymous ones, those by SQL), and clocks
 * differ: an hour's grace. A log without any row is off if anybody ever
 * signed in.
 */
static char *
audit_log_off(AsyBinding *b)
{
	const char *named = users_have(b, "is_anonymous") ? "u.is_anonymous IS NOT TRUE" : "true";

	if (!asy_lint_is_table(b->audit) || !users_have(b, "last_sign_in_at") || !users_have(b, "updated_at"))
		return NULL;
	return psprintf("SELECT %1$s, CASE WHEN e.latest IS NULL THEN 'empty though users sign in' ELSE pg_catalog.format("
					"'its newest entry is of %%s, while users were active until %%s', e.latest, a.latest) END"
					" || ': the auth server seems not to write it, so sign-ups cannot be traced',"
					" 'GOTRUE_AUDIT_LOG_DISABLE_POSTGRES=false'"
					" FROM (SELECT pg_catalog.max(u.last_sign_in_at) AS sign_in,"
					"   pg_catalog.max(GREATEST(u.last_sign_in_at, u.updated_at)) AS latest FROM %2$s AS u WHERE %3$s) AS a,"
					" (SELECT pg_catalog.max(e.created_at) AS latest FROM %4$s AS e) AS e"
					" WHERE CASE WHEN e.latest IS NULL THEN a.sign_in IS NOT NULL ELSE e.latest < a.latest - '1 hour'::pg_catalog.interval END",
					quote_literal_cstr(b->audit_name), b->users_name, named, b->audit_name);
}

/* One row a reason, with the line that tries them again. */
static char *
quarantine(AsyBinding *b)
{
	return psprintf("SELECT 'authsync.quarantine', pg_catalog.format('%%s profiles wait that could not be written: %%s%%s%%s', pg_catalog.count(*),"
					" q.sqlstate, ', constraint ' || q.constraint_name, ', column ' || q.column_name),"
					" 'CALL %s.backfill_missing_profiles();'"
					" FROM authsync.quarantine_rows AS q GROUP BY q.sqlstate, q.constraint_name, q.column_name"
					" ORDER BY pg_catalog.count(*) DESC", b->face);
}

static char *
profiles_owed(AsyBinding *b)
{
	return psprintf("SELECT %s, pg_catalog.format('%%s users owe a profile, have none, and do not wait in quarantine: %s', n.n),"
					" 'CALL %s.backfill_missing_profiles(); -- then CALL authsync.maintain();'"
					" FROM (SELECT pg_catalog.count(*) AS n %s"
					"   AND NOT EXISTS (SELECT FROM authsync.quarantine_rows AS q WHERE q.user_id = %s)) AS n WHERE n.n > 0",
					quote_literal_cstr(b->users_name),
					asy_binding_is_foreign(b) ? "foreign tables have no trigger that makes profiles" :
					"they came past the triggers (before set-up, a load of data, replication)",
					b->face, asy_sql_missing(b), b->source_expr[ASY_USER_ID]);
}

/* The library is of the version that the server has; the objects are of the one that was installed or updated to. */
static const char version[] =
	"SELECT 'authsync', pg_catalog.format('the objects in this database are of version %s, the library is of version %s', e.extversion, v.library),"
	" 'ALTER EXTENSION authsync UPDATE;'"
	" FROM pg_catalog.pg_extension AS e, (SELECT '" AUTHSYNC_VERSION "') AS v(library) WHERE e.oid = $4 AND e.extversion <> v.library";

const AsyLintCheck asy_lint_binding[] = {
	{"binding", "error", ASY_LINT_NOTHING, NULL, binding},
	{"profiles_missing", "error", ASY_LINT_USERS, NULL, profiles_missing},
	{"key_missing", "error", ASY_LINT_USERS, NULL, key_missing},
	{"enabled_off", "error", ASY_LINT_NOTHING, NULL, enabled_off},
	{"mode_off", "warning", ASY_LINT_USERS, NULL, mode_off},
	{"mode_strict", "info", ASY_LINT_USERS, NULL, mode_strict},
	{"views_stale", "error", ASY_LINT_USERS, NULL, views_stale},
	{"version", "warning", ASY_LINT_NOTHING, version, NULL},
	{"audit_log_missing", "info", ASY_LINT_USERS, NULL, audit_log_missing},
	{"audit_log_off", "warning", ASY_LINT_USERS, NULL, audit_log_off},
	{"quarantine", "warning", ASY_LINT_USERS, NULL, quarantine},
	{"profiles_owed", "warning", ASY_LINT_PROFILES, NULL, profiles_owed},
	{NULL}
};
