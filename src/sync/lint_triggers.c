/*
 * lint_triggers.c
 *	  Checks of triggers: whether ours are there and fire, and whose others
 *	  may stop a sign-up.
 */
#include "postgres.h"

#include "sync/lint.h"

/* Ours on the users: function, name, tgtype (1 row, 2 before, 4 insert, 8 delete, 16 update), transition tables. */
#define OURS_ON_USERS \
	"(VALUES ('handle_new_user', 'on_auth_user_created', 4, true, false, 'a new user gets no profile')," \
	" ('handle_updated_user', 'on_auth_user_updated', 17, false, false, 'a changed user is not followed')," \
	" ('handle_updated_users', 'on_auth_users_updated', 16, false, false, 'a changed user is not followed')," \
	" ('handle_deleted_users', 'on_auth_user_deleted', 8, false, true, 'a deletion is not written down')" \
	") AS o(function, name, kind, takes_new, takes_old, effect)"
#define GUARD "('guard_profile', 'authsync_guard', 23, false, false, 'guarded columns are open')"

/* Over t: the trigger calls a function of ours. */
#define IS_OURS \
	"EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND d.objid = t.tgfoid" \
	" AND d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND d.refobjid = $4 AND d.deptype = 'e')"
/* Over t: keeps the bookkeeping, of which lint_bookkeeping.c speaks. */
#define IS_WATCHER \
	"EXISTS (SELECT FROM pg_catalog.pg_proc AS w WHERE w.oid = t.tgfoid AND w.proname ~ '^(watch_|signups?_)')"
#define OBJECT "pg_catalog.format('%I on %s', t.tgname, t.tgrelid::pg_catalog.regclass)"
#define HAS_NAME "pg_catalog.to_regprocedure('authsync.' || o.function || '()')"
#define ON_OUR_TABLES "FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid IN ($1, $2) AND t.tgparentid = 0 AND " IS_OURS

/* Over t, p: somebody else's trigger that fires, and what its failure does. */
#define FOREIGN_TRIGGERS \
	"FROM pg_catalog.pg_trigger AS t JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid JOIN pg_catalog.pg_language AS l ON l.oid = p.prolang" \
	" WHERE NOT t.tgisinternal AND t.tgparentid = 0 AND t.tgenabled IN ('O', 'A') AND NOT " IS_OURS
#define CATCHES "(l.lanname = 'plpgsql' AND p.prosrc ~* '\\mexception\\s+when\\s+others\\M')"
#define ITS_KIND \
	"pg_catalog.format('%s %s trigger, calls %s', CASE WHEN t.tgtype & 2 <> 0 THEN 'BEFORE' ELSE 'AFTER' END," \
	" CASE WHEN t.tgtype & 1 <> 0 THEN 'row' ELSE 'statement' END, t.tgfoid::pg_catalog.regprocedure)"
#define WHAT_FAILS \
	"pg_catalog.concat_ws(', ', CASE WHEN t.tgtype & 4 <> 0 THEN 'the sign-up' END," \
	" CASE WHEN t.tgtype & 16 <> 0 THEN 'every change of the user, logging in too' END," \
	" CASE WHEN t.tgtype & 8 <> 0 THEN 'the deletion of the user' END)"
#define DISABLE "pg_catalog.format('ALTER TABLE %s DISABLE TRIGGER %I;', t.tgrelid::pg_catalog.regclass, t.tgname)"

static char *
trigger_missing(AsyBinding *b)
{
	if (b->mode == ASY_OFF)
		return NULL;
	return pstrdup("SELECT pg_catalog.format('%I on %s', o.name, $1::pg_catalog.regclass), 'not there: ' || o.effect, 'SELECT * FROM authsync.setup();'"
				   " FROM " OURS_ON_USERS
				   " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = $1 AND t.tgfoid = " HAS_NAME ")");
}

static char *
guard_missing(AsyBinding *b)
{
	bool		wanted = false;
	ListCell   *lc;

	foreach(lc, b->columns)
		wanted |= ((AsyColumn *) lfirst(lc))->guard;
	if (b->mode == ASY_OFF || !wanted)
		return NULL;
	return pstrdup("SELECT pg_catalog.format('authsync_guard on %s', $2::pg_catalog.regclass),"
				   " 'not there: anybody who may update the profiles changes guarded columns', 'SELECT * FROM authsync.setup();'"
				   " WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = $2"
				   " AND t.tgfoid = 'authsync.guard_profile()'::pg_catalog.regprocedure)");
}

static const char trigger_disabled[] =
	"SELECT " OBJECT ", 'disabled: it never fires, and what it should follow goes unnoticed',"
	" pg_catalog.format('ALTER TABLE %s ENABLE %sTRIGGER %I;', t.tgrelid::pg_catalog.regclass,"
	"   CASE WHEN t.tgfoid = 'authsync.handle_updated_user()'::pg_catalog.regprocedure THEN 'ALWAYS ' END, t.tgname)"
	" " ON_OUR_TABLES " AND t.tgenabled = 'D' AND NOT " IS_WATCHER;

static const char trigger_replica_only[] =
	"SELECT " OBJECT ", 'enabled for replication only: it does not fire when people sign up',"
	" pg_catalog.format('ALTER TABLE %s ENABLE %sTRIGGER %I;', t.tgrelid::pg_catalog.regclass,"
	"   CASE WHEN t.tgfoid = 'authsync.handle_updated_user()'::pg_catalog.regprocedure THEN 'ALWAYS ' END, t.tgname)"
	" " ON_OUR_TABLES " AND t.tgenabled = 'R' AND NOT " IS_WATCHER;

/* Made by hand in the tutorial's way, FOR EACH ROW say, our function refuses to work and so stops every sign-up. */
static const char trigger_wrong[] =
	"SELECT " OBJECT ", CASE WHEN t.tgqual IS NULL AND t.tgattr::pg_catalog.text = '' THEN pg_catalog.format('%s is not called as it must be,"
	" and raises: the statement fails', t.tgfoid::pg_catalog.regprocedure)"
	" ELSE 'has a WHEN clause or a column list: the auth server cannot change those columns in its next migration' END,"
	" pg_catalog.format('DROP TRIGGER %I ON %s; SELECT * FROM authsync.setup();', t.tgname, t.tgrelid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_trigger AS t JOIN (SELECT * FROM " OURS_ON_USERS " UNION ALL VALUES " GUARD ") AS o ON t.tgfoid = " HAS_NAME
	" WHERE t.tgparentid = 0 AND t.tgenabled <> 'D' AND (t.tgtype <> o.kind OR (t.tgnewtable IS NOT NULL) <> o.takes_new"
	"   OR (t.tgoldtable IS NOT NULL) <> o.takes_old OR t.tgqual IS NOT NULL OR t.tgattr::pg_catalog.text <> '')";

static const char trigger_doubled[] =
	"SELECT " OBJECT ", pg_catalog.format('a second trigger that calls %s', t.tgfoid::pg_catalog.regprocedure),"
	" pg_catalog.format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::pg_catalog.regclass)"
	" " ON_OUR_TABLES " AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS f WHERE f.tgrelid = t.tgrelid AND f.tgfoid = t.tgfoid AND f.oid < t.oid)";

static const char trigger_elsewhere[] =
	"SELECT " OBJECT ", pg_catalog.format('authsync is not bound to this table: the trigger does nothing but warn; bound are %s',"
	" pg_catalog.concat_ws(' and ', $1::pg_catalog.regclass, NULLIF($2, 0)::pg_catalog.regclass)),"
	" pg_catalog.format('DROP TRIGGER %I ON %s;', t.tgname, t.tgrelid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_trigger AS t JOIN (SELECT * FROM " OURS_ON_USERS " UNION ALL VALUES " GUARD ") AS o ON t.tgfoid = " HAS_NAME
	" WHERE t.tgparentid = 0 AND t.tgrelid <> CASE WHEN o.function = 'guard_profile' THEN $2 ELSE $1 END";

static const char trigger_renamed[] =
	"SELECT " OBJECT ", pg_catalog.format('the name %I was taken; ours goes by this one and fires after it', o.name), NULL"
	" FROM pg_catalog.pg_trigger AS t JOIN " OURS_ON_USERS " ON t.tgfoid = " HAS_NAME
	" WHERE t.tgrelid = $1 AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS f WHERE f.tgrelid = $1 AND f.tgname = o.name AND f.oid <> t.oid)";

/* Whoever made it, a trigger of the users decides over every sign-up: its error is the statement's. */
static const char foreign_trigger[] =
	"SELECT " OBJECT ", pg_catalog.concat_ws('; ', " ITS_KIND " || ': if that fails, so does ' || " WHAT_FAILS ","
	" CASE WHEN t.tgtype & 4 <> 0 THEN 'authsync makes the profile without it' END,"
	" CASE WHEN NOT p.prosecdef AND l.lanname NOT IN ('c', 'internal') THEN 'not SECURITY DEFINER: it has the auth server''s rights, as a rule none in public' END,"
	" CASE WHEN p.prosecdef AND NOT EXISTS (SELECT FROM pg_catalog.unnest(p.proconfig) AS c WHERE c LIKE 'search\\_path=%')"
	"   THEN 'it sets no search_path: it has the auth server''s, in which public is missing' END,"
	" CASE WHEN p.proname ~ '_before_authsync$' THEN 'renamed, the function goes on working' END), " DISABLE
	" " FOREIGN_TRIGGERS " AND t.tgrelid = $1 AND NOT " CATCHES " ORDER BY t.tgname";

static const char foreign_trigger_caught[] =
	"SELECT " OBJECT ", " ITS_KIND " || ', which catches its errors: they stop no sign-up, and go unnoticed', " DISABLE
	" " FOREIGN_TRIGGERS " AND t.tgrelid = $1 AND " CATCHES " ORDER BY t.tgname";

static const char profile_trigger[] =
	"SELECT " OBJECT ", " ITS_KIND " || ': what it refuses goes to quarantine, in mode strict it fails the sign-up', " DISABLE
	" " FOREIGN_TRIGGERS " AND t.tgrelid = $2 AND t.tgtype & 4 <> 0 ORDER BY t.tgname";

/* Rows that come by a subscription fire only what is ENABLE ALWAYS or REPLICA. */
static const char users_replicated[] =
	"SELECT $1::pg_catalog.regclass::pg_catalog.text, 'filled by a subscription, whose rows fire no ordinary trigger: new users get no profile',"
	" pg_catalog.format('ALTER TABLE %s %s;', $1::pg_catalog.regclass,"
	"   pg_catalog.string_agg(pg_catalog.format('ENABLE ALWAYS TRIGGER %I', t.tgname), ', ' ORDER BY t.tgname))"
	" " ON_OUR_TABLES " AND t.tgrelid = $1 AND t.tgenabled NOT IN ('A', 'R')"
	" AND EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE s.srrelid = $1) HAVING pg_catalog.count(*) > 0";

const AsyLintCheck asy_lint_triggers[] = {
	{"trigger_missing", "error", ASY_LINT_USERS, NULL, trigger_missing},
	{"guard_missing", "error", ASY_LINT_PROFILES, NULL, guard_missing},
	{"trigger_disabled", "error", ASY_LINT_USERS, trigger_disabled, NULL},
	{"trigger_replica_only", "error", ASY_LINT_USERS, trigger_replica_only, NULL},
	{"trigger_wrong", "error", ASY_LINT_NOTHING, trigger_wrong, NULL},
	{"trigger_doubled", "warning", ASY_LINT_USERS, trigger_doubled, NULL},
	{"trigger_elsewhere", "warning", ASY_LINT_USERS, trigger_elsewhere, NULL},
	{"trigger_renamed", "info", ASY_LINT_USERS, trigger_renamed, NULL},
	{"foreign_trigger", "warning", ASY_LINT_LOCAL_USERS, foreign_trigger, NULL},
	{"foreign_trigger_caught", "info", ASY_LINT_LOCAL_USERS, foreign_trigger_caught, NULL},
	{"profile_trigger", "info", ASY_LINT_PROFILES, profile_trigger, NULL},
	{"users_replicated", "warning", ASY_LINT_LOCAL_USERS, users_replicated, NULL},
	{NULL}
};
