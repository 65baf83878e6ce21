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
#include "sync/drift.h"

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

/* ---- the locks ---- */

typedef struct LockRequest
{
	Oid			relid;
	int			lockmode;		/* NoLock: none needed */
} LockRequest;

typedef struct LockTurn
{
	const LockRequest *requests;
	int			n;
} LockTurn;

/* Long enough to get a turn, short enough for those who queue behind us. */
#define LOCK_TURN_MS 40

/* The first is waited for; the rest must be free within a moment, as sign-ups are kept waiting from then on. */
static void
take_locks(void *arg)
{
	LockTurn   *turn = arg;
	AsyIdentity saved;

	asy_db_become(&saved, GetUserId(), false);
	for (int i = 0, first = true; i < turn->n; i++)
		if (turn->requests[i].lockmode != NoLock)
		{
			asy_db_bound_lock_waits(&saved, first ? LOCK_TURN_MS : LOCK_TURN_MS / 4, false);
			LockRelationOid(turn->requests[i].relid, turn->requests[i].lockmode);
			first = false;
		}
	asy_db_restore(&saved);
}

/*
 * All of them, in the order in which a sign-up takes its own (users, profiles,
 * audit log), or none; false if they were not to be had in
 * authsync.lock_timeout. A failed turn gives back what it had.
 */
static bool
lock_tables(const LockRequest *requests, int n)
{
	LockTurn	turn = {requests, n};
	TimestampTz start = GetCurrentTimestamp();

	for (;;)
	{
		AsyFailure *failure = asy_db_try(take_locks, &turn);

		if (failure == NULL)
			return true;
		if (failure->sqlerrcode != ERRCODE_LOCK_NOT_AVAILABLE && failure->sqlerrcode != ERRCODE_T_R_DEADLOCK_DETECTED)
			asy_failure_throw(failure);
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(), asy_guc_lock_timeout))
			return false;
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOCK_TURN_MS * 1000L);
	}
}

bool
asy_attach_lock(Oid relid, int lockmode)
{
	LockRequest request = {relid, lockmode};

	return lock_tables(&request, 1);
}

/* ---- triggers ---- */

typedef struct TriggerKind
{
	const char *function;
	const char *name;
	int16		type;			/* as pg_trigger has it */
	const char *definition;		/* %s: table */
	const char *why;
	bool		always;			/* ENABLE ALWAYS */
} TriggerKind;

static const TriggerKind on_users[] = {
	{"handle_new_user", "on_auth_user_created", TRIGGER_TYPE_INSERT,
		"AFTER INSERT ON %s REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT", "makes the profile of a new user", false},
	{"handle_updated_user", "on_auth_user_updated", TRIGGER_TYPE_ROW | TRIGGER_TYPE_UPDATE,
	"AFTER UPDATE ON %s FOR EACH ROW", "sees whether a change matters", true},
	{"handle_updated_users", "on_auth_users_updated", TRIGGER_TYPE_UPDATE,
	"AFTER UPDATE ON %s FOR EACH STATEMENT", "brings profiles in step with changed users", false},
	{"handle_deleted_users", "on_auth_user_deleted", TRIGGER_TYPE_DELETE,
	"AFTER DELETE ON %s REFERENCING OLD TABLE AS old_users FOR EACH STATEMENT", "writes down a deletion", false}
};

/* Named so that they come after those that make profiles. */
static const TriggerKind watch_users[] = {
	{"watch_inserted_users", "on_auth_users_watched", TRIGGER_TYPE_INSERT,
	"AFTER INSERT ON %s REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT", "keeps the bookkeeping", true},
	{"watch_deleted_users", "on_auth_users_watched_deleted", TRIGGER_TYPE_DELETE,
	"AFTER DELETE ON %s REFERENCING OLD TABLE AS old_users FOR EACH STATEMENT", "keeps the bookkeeping", true},
	{"watch_truncated", "on_auth_users_truncated", TRIGGER_TYPE_TRUNCATE,
	"AFTER TRUNCATE ON %s FOR EACH STATEMENT", "keeps the bookkeeping", true}
};

static const TriggerKind watch_profiles[] = {
	{"watch_profile", "authsync_watched", TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE,
	"AFTER INSERT OR UPDATE OR DELETE ON %s FOR EACH ROW", "keeps the bookkeeping", true},
	{"watch_truncated", "authsync_truncated", TRIGGER_TYPE_TRUNCATE,
	"AFTER TRUNCATE ON %s FOR EACH STATEMENT", "keeps the bookkeeping", true}
};

static const TriggerKind on_audit[] = {
	{"signups_kept", "authsync_signups_kept", TRIGGER_TYPE_ROW | TRIGGER_TYPE_INSERT,
	"AFTER INSERT ON %s FOR EACH ROW", "keeps an extract of sign-ups and deletions", true},
	{"signups_changed", "authsync_signups_changed", TRIGGER_TYPE_UPDATE,
	"AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_entries NEW TABLE AS new_entries FOR EACH STATEMENT", "keeps that extract", true},
	{"signups_deleted", "authsync_signups_deleted", TRIGGER_TYPE_DELETE,
	"AFTER DELETE ON %s REFERENCING OLD TABLE AS old_entries FOR EACH STATEMENT", "keeps that extract", true},
	{"watch_truncated", "authsync_signups_truncated", TRIGGER_TYPE_TRUNCATE,
	"AFTER TRUNCATE ON %s FOR EACH STATEMENT", "keeps that extract", true}
};

static const TriggerKind on_profiles[] = {
	{"guard_profile", "authsync_guard", TRIGGER_TYPE_ROW | TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE,
	"BEFORE INSERT OR UPDATE ON %s FOR EACH ROW", "lets nobody change guarded columns directly", false}
};

/* Name of our trigger of that kind on the table, or NULL. fires: whether it is enabled as it must be. */
static char *
existing_trigger(Oid relid, const TriggerKind *kind, bool *fires)
{
	static const char sql[] =
		"SELECT t.tgname, t.tgenabled = 'A' FROM pg_catalog.pg_trigger AS t"
		" WHERE t.tgrelid = $1 AND t.tgparentid = 0 AND t.tgfoid = pg_catalog.to_regprocedure($2) AND t.tgtype = $3 LIMIT 1";
	Oid			types[] = {OIDOID, TEXTOID, INT2OID};
	Datum		values[] = {
		ObjectIdGetDatum(relid), CStringGetTextDatum(psprintf("authsync.%s()", kind->function)), Int16GetDatum(kind->type)
	};

	if (asy_db_run(sql, false, 3, types, values, NULL) == 0)
		return NULL;
	*fires = !kind->always || asy_db_bool(0, 2);
	return asy_db_text(0, 1);
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
fire_always(Oid relid, const char *name)
{
	asy_db_exec(psprintf("ALTER TABLE %s ENABLE ALWAYS TRIGGER %s", asy_db_relation_name(relid), quote_identifier(name)));
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
	if (kind->always)
		fire_always(relid, name);
	ObjectAddressSet(trigger, TriggerRelationId, get_trigger_oid(relid, name, false));
	ObjectAddressSet(extension, ExtensionRelationId, b->ext.oid);
	recordDependencyOn(&trigger, &extension, DEPENDENCY_AUTO_EXTENSION);
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

/* These kinds of trigger are to be on the table, or not to be. */
typedef struct Wish
{
	Oid			relid;
	const TriggerKind *kinds;
	int			n;
	bool		wanted;
} Wish;

#define WISH(relid, kinds, wanted) {relid, kinds, lengthof(kinds), wanted}

/* What it takes to make it so. */
static int
lock_for(const Wish *wish)
{
	for (int i = 0; i < wish->n; i++)
	{
		bool		fires = false;
		char	   *name = existing_trigger(wish->relid, &wish->kinds[i], &fires);

		if (name && !wish->wanted)
			return AccessExclusiveLock;
		if (wish->wanted && !(name && fires))
			return ShareRowExclusiveLock;
	}
	return NoLock;
}

static void
fulfil(AsyBinding *b, const Wish *wish, AsySteps *steps)
{
	for (int i = 0; i < wish->n; i++)
	{
		const TriggerKind *kind = &wish->kinds[i];
		bool		fires = false;
		char	   *name = existing_trigger(wish->relid, kind, &fires);
		char	   *table = asy_db_relation_name(wish->relid);
		char	   *object = psprintf("%s on %s", quote_identifier(name ? name : free_name(wish->relid, kind->name)), table);

		if (wish->wanted)
			asy_step(steps, "trigger", object, name == NULL ? "create" : fires ? NULL : "change", kind->why);
		else if (name)
			asy_step(steps, "trigger", object, "drop", NULL);
		if (steps->dry_run)
			continue;
		if (wish->wanted && name == NULL)
			make_trigger(b, wish->relid, kind);
		else if (wish->wanted && !fires)
			fire_always(wish->relid, name);
		else if (!wish->wanted && name)
			asy_db_exec(psprintf("DROP TRIGGER %s ON %s", quote_identifier(name), table));
	}
}

static bool
fulfil_all(AsyBinding *b, const Wish *wishes, int n, AsySteps *steps)
{
	LockRequest *requests = palloc(sizeof(LockRequest) * n);
	bool		locks = false;

	for (int i = 0; i < n; i++)
	{
		requests[i].relid = wishes[i].relid;
		requests[i].lockmode = OidIsValid(wishes[i].relid) ? lock_for(&wishes[i]) : NoLock;
		locks |= requests[i].lockmode != NoLock;
	}
	if (locks && !steps->dry_run && !lock_tables(requests, n))
		return false;
	for (int i = 0; i < n; i++)
		if (OidIsValid(wishes[i].relid))
			fulfil(b, &wishes[i], steps);
	return true;
}

bool
asy_attach_triggers(AsyBinding *b, AsySteps *steps)
{
	bool		on = b->mode != ASY_OFF;
	bool		drift = on && b->keeps_drift;
	bool		signups = on && b->keeps_signups;
	const Wish	wishes[] = {
		WISH(b->users, on_users, on),
		WISH(b->users, watch_users, drift),
		WISH(b->profiles, on_profiles, on && has_guard(b)),
		WISH(b->profiles, watch_profiles, drift),
		WISH(b->audit, on_audit, signups)
	};

	return fulfil_all(b, wishes, lengthof(wishes), steps);
}

bool
asy_detach_triggers(Oid relid, AsySteps *steps)
{
	const Wish	wishes[] = {
		WISH(relid, on_users, false),
		WISH(relid, watch_users, false),
		WISH(relid, on_profiles, false),
		WISH(relid, watch_profiles, false),
		WISH(relid, on_audit, false)
	};

	return fulfil_all(NULL, wishes, lengthof(wishes), steps);
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
	bodies[0].text = bound ? asy_drift_signup_view(b) : pstrdup(bodies[0].shipped);
	bodies[1].text = bound ? asy_drift_mismatch_view(b) : pstrdup(bodies[1].shipped);
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
