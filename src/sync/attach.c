/*
 * attach.c
 *	  What a binding puts into the database.
 *
 * A trigger of ours depends on the extension in the way of ALTER TRIGGER ...
 * DEPENDS ON EXTENSION, so DROP EXTENSION takes it along without CASCADE. The
 * dependency is recorded directly: the command would take ACCESS EXCLUSIVE on
 * the users table.
 */
#include "postgres.h"

#include "catalog/dependency.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "ground/guc.h"
#include "sync/attach.h"
#include "sync/statement.h"

void
asy_step(AsySteps *steps, const char *step, const char *object, const char *verb, const char *detail)
{
	AsyStep    *s = palloc(sizeof(AsyStep));

	s->step = pstrdup(step);
	s->object = pstrdup(object);
	if (verb == NULL)
		s->action = pstrdup("kept");
	else if (steps->dry_run)
		s->action = psprintf("would %s", verb);
	else if (strcmp(verb, "drop") == 0)
		s->action = pstrdup("dropped");
	else if (strcmp(verb, "leave") == 0)
		s->action = pstrdup("left");
	else
		s->action = psprintf("%sd", verb);
	s->detail = pstrdup(detail ? detail : "");
	steps->list = lappend(steps->list, s);
}

/* ---- the lock ---- */

typedef struct LockRequest
{
	Oid			relid;
	int			lockmode;
} LockRequest;

/* Long enough to get a turn, short enough for those who queue behind us. */
#define LOCK_TURN_MS 40

static void
wait_for_lock(void *arg)
{
	LockRequest *request = arg;
	AsyIdentity saved;

	asy_db_become(&saved, GetUserId(), false);
	asy_db_bound_lock_waits(LOCK_TURN_MS);
	LockRelationOid(request->relid, request->lockmode);
	asy_db_restore(&saved);
}

bool
asy_attach_lock(Oid relid, int lockmode)
{
	LockRequest request = {relid, lockmode};
	TimestampTz start = GetCurrentTimestamp();

	for (;;)
	{
		AsyFailure *failure;

		if (ConditionalLockRelationOid(relid, lockmode))
			return true;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), asy_guc_lock_timeout))
			return false;
		failure = asy_db_try(wait_for_lock, &request);
		if (failure == NULL)
			return true;
		if (failure->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && failure->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			asy_failure_throw(failure);
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_TURN_MS * 1000L);
	}
}

/* ---- triggers ---- */

typedef struct TriggerKind
{
	const char *function;
	const char *name;
	int16		type;			/* as pg_trigger has it */
	const char *definition;		/* %s: table */
	const char *why;
} TriggerKind;

static const TriggerKind on_users[] = {
	{"handle_new_user", "on_auth_user_created", TRIGGER_TYPE_INSERT,
		"AFTER INSERT ON %s REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT", "makes the profile of a new user"},
	{"handle_updated_user", "on_auth_user_updated", TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE,
	"AFTER UPDATE ON %s FOR EACH ROW", "sees whether a change matters"},
	{"handle_updated_users", "on_auth_users_updated", TRIGGER_TYPE_UPDATE,
	"AFTER UPDATE ON %s FOR EACH STATEMENT", "brings profiles in step with changed users"},
	{"handle_deleted_users", "on_auth_user_deleted", TRIGGER_TYPE_DELETE,
	"AFTER DELETE ON %s REFERENCING OLD TABLE AS old_users FOR EACH STATEMENT", "writes down a deletion"}
};

static const TriggerKind on_profiles[] = {
	{"guard_profile", "authsync_guard", TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE,
	"BEFORE INSERT OR UPDATE ON %s FOR EACH ROW", "lets nobody change guarded columns directly"}
};

/* Name of our trigger of that kind on the table, or NULL. */
static char *
existing_trigger(Oid relid, const TriggerKind *kind)
{
	static const char sql[] =
		"SELECT t.tgname FROM pg_catalog.pg_trigger AS t"
		" WHERE t.tgrelid = $1 AND t.tgparentid = 0 AND t.tgfoid = pg_catalog.to_regprocedure($2) AND t.tgtype = $3 LIMIT 1";
	Oid			types[] = {OIDOID, TEXTOID, INT2OID};
	Datum		values[] = {
		ObjectIdGetDatum(relid), CStringGetTextDatum(psprintf("authsync.%s()", kind->function)), Int16GetDatum(kind->type)
	};

	return asy_db_run(sql, false, 3, types, values, NULL) ? asy_db_text(0, 1) : NULL;
}

/* A name that no other trigger of the table has; ours come after those they are named after. */
static char *
free_name(Oid relid, const char *name)
{
	char	   *candidate = pstrdup(name);

	for (int i = 1; OidIsValid(get_trigger_oid(relid, candidate, true)); i++)
		candidate = i == 1 ? psprintf("%s_authsync", name) : psprintf("%s_authsync_%d", name, i);
	return candidate;
}

static void
make_trigger(AsyBinding *b, Oid relid, const TriggerKind *kind)
{
	char	   *table = asy_db_relation_name(relid);
	char	   *name = free_name(relid, kind->name);
	ObjectAddress trigger;
	ObjectAddress extension;

	asy_db_exec(psprintf("CREATE TRIGGER %s %s EXECUTE FUNCTION authsync.%s()", quote_identifier(name),
						 psprintf(kind->definition, table), kind->function));
	ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(relid, name, false));
	ObjectAddressSet(extension, ExtensionRelationId, b->ext.oid);
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
}

/* What is missing of these kinds on the table is made. */
static bool
want_triggers(AsyBinding *b, Oid relid, const TriggerKind *kinds, int n, AsySteps *steps)
{
	bool		locked = false;

	for (int i = 0; i < n; i++)
	{
		char	   *name = existing_trigger(relid, &kinds[i]);
		char	   *table = asy_db_relation_name(relid);

		if (name)
		{
			asy_step(steps, "trigger", psprintf("%s on %s", quote_identifier(name), table), NULL, kinds[i].why);
			continue;
		}
		if (!steps->dry_run && !locked && !asy_attach_lock(relid, ShareRowExclusiveLock))
			return false;
		locked = true;
		asy_step(steps, "trigger", psprintf("%s on %s", quote_identifier(free_name(relid, kinds[i].name)), table), "create", kinds[i].why);
		if (!steps->dry_run)
			make_trigger(b, relid, &kinds[i]);
	}
	return true;
}

static bool
unwant_triggers(Oid relid, const TriggerKind *kinds, int n, AsySteps *steps)
{
	bool		locked = false;

	for (int i = 0; i < n; i++)
	{
		char	   *name = existing_trigger(relid, &kinds[i]);
		char	   *table;

		if (name == NULL)
			continue;
		table = asy_db_relation_name(relid);
		if (!steps->dry_run && !locked && !asy_attach_lock(relid, AccessExclusiveLock))
			return false;
		locked = true;
		asy_step(steps, "trigger", psprintf("%s on %s", quote_identifier(name), table), "drop", NULL);
		if (!steps->dry_run)
			asy_db_exec(psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), table));
	}
	return true;
}

static bool
has_guard(const AsyBinding *b)
{
	ListCell   *lc;

	foreach(lc, b->columns)
		if (((AsyColumn *) lfirst(lc))->guard)
			return true;
	return false;
}

bool
asy_attach_triggers(AsyBinding *b, AsySteps *steps)
{
	bool		on = b->mode != ASY_OFF;
	bool		done = true;

	if (OidIsValid(b->profiles))
		done = on && has_guard(b)
			? want_triggers(b, b->profiles, on_profiles, lengthof(on_profiles), steps)
			: unwant_triggers(b->profiles, on_profiles, lengthof(on_profiles), steps);
	if (OidIsValid(b->users))
		done &= on
			? want_triggers(b, b->users, on_users, lengthof(on_users), steps)
			: unwant_triggers(b->users, on_users, lengthof(on_users), steps);
	return done;
}

bool
asy_detach_triggers(Oid relid, AsySteps *steps)
{
	return unwant_triggers(relid, on_users, lengthof(on_users), steps) &
		unwant_triggers(relid, on_profiles, lengthof(on_profiles), steps);
}

/* ---- the bodies behind the views ---- */

typedef struct ViewBody
{
	const char *function;
	const char *columns;
	const char *shipped;
	char	   *text;
} ViewBody;

#define NVIEWS 2

/* Columns and shipped bodies as sql/40_views.sql has them. */
static void
view_bodies(AsyBinding *b, ViewBody *bodies)
{
	bool		bound = b && OidIsValid(b->users) && b->users_key_name;

	bodies[0] = (ViewBody) {
		"signup_entries", "audit_id uuid, user_id uuid, email text, action text, actor_id uuid, ip_address text, created_at timestamptz",
		" SELECT * FROM authsync.signup_rows() ", NULL
	};
	bodies[1] = (ViewBody) {
		"mismatch_entries", "user_id uuid, audit_email text, auth_email text, profile_email text, status text,"
		" signed_up_at timestamptz, user_created_at timestamptz, profile_created_at timestamptz",
		" SELECT * FROM authsync.mismatch_rows() ", NULL
	};
	bodies[0].text = bound ? asy_sql_signup_view(b) : pstrdup(bodies[0].shipped);
	bodies[1].text = bound ? asy_sql_mismatch_view(b) : pstrdup(bodies[1].shipped);
}

static char *
current_body(const char *function)
{
	static const char sql[] = "SELECT p.prosrc FROM pg_catalog.pg_proc AS p WHERE p.oid = pg_catalog.to_regprocedure($1)";
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(psprintf("authsync.%s()", function))};

	return asy_db_run(sql, false, 1, types, values, NULL) ? asy_db_text(0, 1) : NULL;
}

static void
write_body(void *arg)
{
	ViewBody   *body = arg;
	int			level = NewGUCNestLevel();

	/* Checking the body would wait for whoever has locked a bound table. */
	(void) set_config_option("check_function_bodies", "off", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	asy_db_exec(psprintf("CREATE OR REPLACE FUNCTION authsync.%s() RETURNS TABLE (%s) LANGUAGE sql STABLE AS %s",
						 body->function, body->columns, quote_literal_cstr(body->text)));
	AtEOXact_GUC(false, level);
}

void
asy_attach_views(AsyBinding *b)
{
	ViewBody	bodies[NVIEWS];

	view_bodies(b, bodies);
	for (int i = 0; i < NVIEWS; i++)
	{
		char	   *now = current_body(bodies[i].function);
		AsyFailure *failure;

		if (now == NULL || strcmp(now, bodies[i].text) == 0)
			continue;
		failure = asy_db_try(write_body, &bodies[i]);
		if (failure == NULL)
			continue;

		/* The shipped body finds its way at run time: slower, not wrong. */
		ereport(WARNING,
				(errcode(failure->sqlerrcode),
				 errmsg("the view's fast body could not be written: %s", failure->message)));
		bodies[i].text = pstrdup(bodies[i].shipped);
		write_body(&bodies[i]);
	}
}

bool
asy_attach_views_are_current(AsyBinding *b)
{
	ViewBody	bodies[NVIEWS];

	view_bodies(b, bodies);
	for (int i = 0; i < NVIEWS; i++)
	{
		char	   *now = current_body(bodies[i].function);

		if (now == NULL || (strcmp(now, bodies[i].text) != 0 && strcmp(now, bodies[i].shipped) != 0))
			return false;
	}
	return true;
}
