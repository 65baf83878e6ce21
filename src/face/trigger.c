/*
 * trigger.c
 *	  The triggers on the users table, and the one that guards profiles.
 *
 * INSERT and DELETE are seen statement by statement. An UPDATE is seen row by
 * row, because most of them are logins: comparing two images of a few columns
 * in C costs less than a transition table or a WHEN clause, and neither WHEN
 * nor UPDATE OF may name a column of the auth server's tables (its next
 * migration would fail on our dependency). Rows that changed in a column that
 * matters are gathered and handled as one set when the statement ends.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/partition.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "rewrite/rewriteHandler.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "compat.h"
#include "face/bookkeeper.h"
#include "face/trigger.h"
#include "ground/guc.h"
#include "sync/follow.h"
#include "sync/watch.h"

PG_FUNCTION_INFO_V1(authsync_handle_new_user);
PG_FUNCTION_INFO_V1(authsync_handle_updated_user);
PG_FUNCTION_INFO_V1(authsync_handle_updated_users);
PG_FUNCTION_INFO_V1(authsync_handle_deleted_users);
PG_FUNCTION_INFO_V1(authsync_guard_profile);

TriggerData *
asy_trigger_called_as(FunctionCallInfo fcinfo, bool (*fits) (const TriggerData *t), const char *when)
{
	TriggerData *t = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo) || !fits(t))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"%s\" must be called by a trigger %s", get_func_name(fcinfo->flinfo->fn_oid), when),
				 errdetail("authsync makes its triggers itself."),
				 errhint("SELECT * FROM authsync.setup();")));
	return t;
}

/* ---- one piece of work in the binding's mode ---- */

typedef struct Work
{
	TriggerData *trigger;
	AsyBinding *b;
	bool		(*run_bare) (struct Work *work);	/* NULL, or tried first: false if it is not for this */
	void		(*run) (struct Work *work);	/* as the extension's owner, SPI connected */
	AsyChange  *changes;
	int			n;
} Work;

static void
load_binding(void *arg)
{
	((Work *) arg)->b = asy_binding_get();
}

static void
run(void *arg)
{
	Work	   *work = arg;
	AsyIdentity saved;

	if (work->run_bare && work->run_bare(work))
		return;
	asy_db_become(&saved, work->b->ext.owner, false);
	SPI_connect();
	SPI_register_trigger_data(work->trigger);
	work->run(work);
	SPI_finish();
	asy_db_restore(&saved);
}

/* As if nothing could fail: one subtransaction for all of it. */
static void
run_hopefully(void *arg)
{
	bool		was = asy_follow_hopeful;

	PG_TRY();
	{
		asy_follow_hopeful = true;
		run(arg);
	}
	PG_FINALLY();
	{
		asy_follow_hopeful = was;
	}
	PG_END_TRY();
}

/* Something did: now part by part, so that what fails is alone. */
static AsyFailure *
run_again(Work *work, AsyFailure *first)
{
	AsyFailure *spent = asy_follow_spent;
	bool		was = asy_follow_hopeful;
	AsyFailure *failure;

	if (first->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && asy_guc_profile_lock_timeout > 0)
		asy_follow_spent = first;
	asy_follow_hopeful = false;
	PG_TRY();
	{
		failure = asy_db_try(run, work);
	}
	PG_FINALLY();
	{
		asy_follow_hopeful = was;
		asy_follow_spent = spent;
	}
	PG_END_TRY();
	return failure;
}

/*
 * A trigger of profiles may write to the users in turn. A new user made there
 * is followed at once, to this depth; a change waits until the profile that
 * is being written stands (follow_deferred), or the two would go round and round.
 */
#define DEPTH_MAX 4

static int	depth = 0;

/*
 * Runs the work for the users table's trigger. Unless the mode is strict
 * nothing gets out of here but what must (a cancel, a shutdown, a doomed
 * serializable transaction).
 */
static void
follow_once(Work *work)
{
	AsyFailure *failure = NULL;

	work->b = asy_binding_peek();
	if (work->b == NULL)
		failure = asy_db_try(load_binding, work);
	if (failure == NULL)
	{
		if (work->b == NULL || work->b->users != RelationGetRelid(work->trigger->tg_relation))
		{
			ereport(WARNING,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("authsync is not bound to table \"%s\", whose trigger called it",
							RelationGetRelationName(work->trigger->tg_relation)),
					 errhint("SELECT * FROM authsync.setup();")));
			return;
		}
		if (work->b->mode == ASY_OFF)
			return;
		if (work->b->mode == ASY_STRICT || asy_follow_probing)
		{
			run(work);
			return;
		}
		failure = asy_db_try(run_hopefully, work);
		if (failure)
			failure = run_again(work, failure);
	}
	if (failure)
		ereport(WARNING,
				(errcode(failure->sqlerrcode),
				 errmsg("authsync could not follow a change of the users: %s", failure->message),
				 errhint("The users are safe; SELECT * FROM authsync.lint() says what is wrong.")));
}

static void
follow(Work *work)
{
	if (depth >= DEPTH_MAX)
	{
		ereport(WARNING,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("authsync does not follow users that are made by profiles that are made by users, any deeper"),
				 errhint("Look at the triggers of the profiles; SELECT backfill_all_missing_profiles() shows who is missing.")));
		return;
	}
	PG_TRY();
	{
		depth++;
		follow_once(work);
	}
	PG_FINALLY();
	{
		depth--;
	}
	PG_END_TRY();
}

static void follow_deferred(TriggerData *trigger);

/* ---- INSERT ---- */

static bool
is_after_insert_statement(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_INSERT(t->tg_event) && t->tg_newtable != NULL;
}

/*
 * Somebody else's trigger may have thrown a new user out again before us. Only
 * then are the users looked up: a serializable sign-up should read no more
 * than it must, or it conflicts with its neighbours.
 */
static bool
others_come_first(const TriggerData *t)
{
	const TriggerDesc *all = t->tg_relation->trigdesc;

	for (int i = 0; i < all->numtriggers; i++)
	{
		const Trigger *other = &all->triggers[i];

		/* Those of rows, then those of the statement, each by their names. */
		if (!other->tgisinternal && TRIGGER_FOR_INSERT(other->tgtype) && TRIGGER_FOR_AFTER(other->tgtype) &&
			(TRIGGER_FOR_ROW(other->tgtype) || strcmp(other->tgname, t->tg_trigger->tgname) < 0))
			return true;
	}
	return false;
}

/* Users in memory at once, of a statement that inserts many. */
#define USERS_AT_ONCE 50000

static void
created(Work *work)
{
	bool		others = others_come_first(work->trigger);
	AsyUsers   *users = asy_users_from_new_rows(work->b, others);

	asy_bookkeeper_forget();
	if (users->n == 0)
		return;
	asy_follow_created(work->b, users, !others);
	asy_bookkeeper_hand_over(work->trigger, users);
}

/* The usual sign-up: nothing is looked up, so there is no statement, no path and no other identity to set up. */
static bool
created_barely(Work *work)
{
	AsyNewUsers *reader;
	AsyUsers   *users;
	MemoryContext context;
	MemoryContext old;

	if (others_come_first(work->trigger) || !asy_follow_can_be_bare(work->b) || (reader = asy_users_begin(work->b, work->trigger)) == NULL)
		return false;
	asy_bookkeeper_forget();
	context = AllocSetContextCreate(CurrentMemoryContext, "authsync new users", ALLOCSET_DEFAULT_SIZES);
	old = MemoryContextSwitchTo(context);
	while ((users = asy_users_next(reader, USERS_AT_ONCE)) != NULL)
	{
		asy_follow_created(work->b, users, true);
		asy_bookkeeper_hand_over(work->trigger, users);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
	asy_users_end(reader);
	return true;
}

Datum
authsync_handle_new_user(PG_FUNCTION_ARGS)
{
	Work		work = {.trigger = asy_trigger_called_as(fcinfo, is_after_insert_statement,
											 "AFTER INSERT ... REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT"),
	.run_bare = created_barely, .run = created};

	asy_bookkeeper_forget();
	if (asy_guc_enabled)
	{
		follow(&work);
		follow_deferred(work.trigger);
	}
	return PointerGetDatum(NULL);
}

/* ---- UPDATE ---- */

/* Changes waiting for the end of their statement; in TopTransactionContext. */
typedef struct Pending
{
	SubTransactionId sub;		/* whose statement; InvalidSubTransactionId: deferred */
	AsyChange	change;
} Pending;

static Pending *pending = NULL;
static int	npending = 0;
static int	pending_room = 0;

static void
forget_pending(XactEvent event pg_attribute_unused(), void *arg pg_attribute_unused())
{
	pending = NULL;
	npending = pending_room = 0;
}

static void
add_pending(const pg_uuid_t *user_id, const Bitmapset *changed)
{
	MemoryContext old = MemoryContextSwitchTo(TopTransactionContext);
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(forget_pending, NULL);
	registered = true;
	if (npending == pending_room)
	{
		pending_room = Max(16, pending_room * 2);
		pending = pending ? repalloc_huge(pending, sizeof(Pending) * pending_room) : palloc(sizeof(Pending) * pending_room);
	}
	pending[npending].sub = GetCurrentSubTransactionId();
	pending[npending].change.user_id = *user_id;
	pending[npending].change.changed = bms_copy(changed);
	npending++;
	MemoryContextSwitchTo(old);
}

static bool
is_after_update_row(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_ROW(t->tg_event) && TRIGGER_FIRED_BY_UPDATE(t->tg_event);
}

bool
asy_trigger_attribute_changed(const TriggerData *t, AttrNumber attnum)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(t->tg_relation), attnum - 1);
	bool		null1,
				null2;
	Datum		v1 = slot_getattr(t->tg_trigslot, attnum, &null1);
	Datum		v2 = slot_getattr(t->tg_newslot, attnum, &null2);

	if (null1 || null2)
		return null1 != null2;
	return !datumIsEqual(v1, v2, att->attbyval, att->attlen);
}

Datum
authsync_handle_updated_user(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_update_row, "AFTER UPDATE FOR EACH ROW");
	Work		work = {.trigger = t, .b = asy_binding_peek()};
	Bitmapset  *changed = NULL;
	int			att = -1;
	bool		isnull;
	Datum		user_id;

	if (work.b == NULL || work.b->users != RelationGetRelid(t->tg_relation) || !asy_guc_enabled)
		work.b = asy_bookkeeper_binding(t, ASY_PART_DRIFT);
	if (work.b == NULL || work.b->users != RelationGetRelid(t->tg_relation) || !asy_guc_enabled)
		return PointerGetDatum(NULL);	/* the trigger at the statement's end says so */

	/* Taken apart once: what each comparison would walk over again is most of a login's price. */
	slot_getsomeattrs(t->tg_trigslot, bms_prev_member(work.b->watched, -1));
	slot_getsomeattrs(t->tg_newslot, bms_prev_member(work.b->watched, -1));

	/* A user who is deleted once more, at another time, was deleted before. */
	while ((att = bms_next_member(work.b->watched, att)) >= 0)
		if (asy_trigger_attribute_changed(t, att) &&
			!(att == work.b->gone_attnum && !slot_attisnull(t->tg_trigslot, att) && !slot_attisnull(t->tg_newslot, att)))
			changed = bms_add_member(changed, att);
	if (changed)
	{
		asy_bookkeeper_updated(t, work.b, changed);

		/* This trigger is ENABLE ALWAYS, for the books' sake; profiles follow only where ordinary triggers fire. */
		user_id = slot_getattr(t->tg_newslot, work.b->users_key, &isnull);
		if (!isnull && SessionReplicationRole != SESSION_REPLICATION_ROLE_REPLICA)
			add_pending(DatumGetUUIDP(user_id), changed);
		bms_free(changed);
	}
	return PointerGetDatum(NULL);
}

static bool
is_after_update_statement(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) && TRIGGER_FIRED_BY_UPDATE(t->tg_event);
}

static void
updated(Work *work)
{
	asy_follow_updated(work->b, work->changes, work->n);
}

/* Takes the changes of that subtransaction (an outer one's statement may still be running) and follows them. */
static void
follow_pending(TriggerData *trigger, SubTransactionId sub)
{
	Work		work = {.trigger = trigger, .run = updated};
	int			left = 0;

	if (npending == 0)
		return;
	work.changes = palloc_extended(sizeof(AsyChange) * npending, MCXT_ALLOC_HUGE);
	for (int i = 0; i < npending; i++)
		if (pending[i].sub == sub)
			work.changes[work.n++] = pending[i].change;
		else
			pending[left++] = pending[i];
	npending = left;
	if (work.n > 0)
		follow(&work);
}

/* What our own writing has changed in turn, once: what that changes again is left to resync_profiles(). */
static void
follow_deferred(TriggerData *trigger)
{
	if (depth > 0)
		return;
	follow_pending(trigger, InvalidSubTransactionId);
	for (int i = npending - 1; i >= 0; i--)
		if (pending[i].sub == InvalidSubTransactionId)
			pending[i] = pending[--npending];
}

Datum
authsync_handle_updated_users(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_update_statement, "AFTER UPDATE FOR EACH STATEMENT");
	SubTransactionId sub = GetCurrentSubTransactionId();

	if (!asy_guc_enabled || npending == 0)
		return PointerGetDatum(NULL);
	if (asy_profile_writing)
	{
		for (int i = 0; i < npending; i++)
			if (pending[i].sub == sub)
				pending[i].sub = InvalidSubTransactionId;
		return PointerGetDatum(NULL);
	}
	follow_pending(t, sub);
	follow_deferred(t);
	return PointerGetDatum(NULL);
}

/* ---- DELETE ---- */

static bool
is_after_delete_statement(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_DELETE(t->tg_event) && t->tg_oldtable != NULL;
}

static void
deleted(Work *work)
{
	Datum	   *ids;
	int			n;

	n = (int) asy_db_query(psprintf("SELECT u.%s FROM old_users AS u ORDER BY 1", quote_identifier(work->b->users_key_name)));
	ids = palloc(sizeof(Datum) * Max(n, 1));
	for (int i = 0; i < n; i++)
	{
		bool		isnull;

		ids[i] = datumCopy(asy_db_value(i, 1, &isnull), false, UUID_LEN);
	}
	if (n > 0)
		asy_follow_deleted(work->b, ids, n);
}

Datum
authsync_handle_deleted_users(PG_FUNCTION_ARGS)
{
	Work		work = {.trigger = asy_trigger_called_as(fcinfo, is_after_delete_statement,
											 "AFTER DELETE ... REFERENCING OLD TABLE AS old_users FOR EACH STATEMENT"),
	.run = deleted};

	if (asy_guc_enabled)
		follow(&work);
	return PointerGetDatum(NULL);
}

/* ---- guarded columns of profiles ---- */

static bool
is_before_row(const TriggerData *t)
{
	return TRIGGER_FIRED_BEFORE(t->tg_event) && TRIGGER_FIRED_FOR_ROW(t->tg_event) &&
		(TRIGGER_FIRED_BY_INSERT(t->tg_event) || TRIGGER_FIRED_BY_UPDATE(t->tg_event));
}

/* Whoever may run a backfill is an operator. */
static bool
is_operator(Oid role, const AsyBinding *b)
{
	List	   *name = list_make2(makeString(get_namespace_name(b->ext.face)), makeString("backfill_all_missing_profiles"));
	Oid			types[] = {INT4OID, BOOLOID};
	Oid			function = LookupFuncName(name, 2, types, true);

	return OidIsValid(function) && asy_proc_aclcheck(function, role, ACL_EXECUTE) == ACLCHECK_OK;
}

/* The table itself, or a partition of it, whose columns may be numbered otherwise. */
static bool
is_profiles(Relation rel, const AsyBinding *b)
{
	return RelationGetRelid(rel) == b->profiles ||
		(rel->rd_rel->relispartition && list_member_oid(get_partition_ancestors(RelationGetRelid(rel)), b->profiles));
}

/* A new row may hold in a guarded column what it would have held unasked: NULL, or a default. */
static bool
is_untouched(Relation rel, const AsyColumn *c, AttrNumber attnum, Datum value, bool isnull)
{
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attnum - 1);
	Oid			output;
	bool		varlena;
	Node	   *expr;

	if (isnull)
		return true;
	getTypeOutputInfo(att->atttypid, &output, &varlena);
	if (c->fallback)
		return strcmp(OidOutputFunctionCall(output, value), c->fallback) == 0;
	expr = build_column_default(rel, attnum);
	if (expr)
	{
		EState	   *estate = CreateExecutorState();
		ExprContext *econtext = GetPerTupleExprContext(estate);
		bool		default_is_null;
		Datum		fill = ExecEvalExprSwitchContext(ExecPrepareExpr((Expr *) expr, estate), econtext, &default_is_null);
		bool		same = !default_is_null && datum_image_eq(fill, value, att->attbyval, att->attlen);

		FreeExecutorState(estate);
		return same;
	}
	return false;
}

Datum
authsync_guard_profile(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_before_row, "BEFORE INSERT OR UPDATE FOR EACH ROW");
	bool		update = TRIGGER_FIRED_BY_UPDATE(t->tg_event);
	HeapTuple	row = update ? t->tg_newtuple : t->tg_trigtuple;
	TupleDesc	desc = RelationGetDescr(t->tg_relation);
	AsyBinding *b;
	ListCell   *lc;

	if (!asy_guc_enabled || asy_profile_writing)
		return PointerGetDatum(row);
	b = asy_binding_get();
	if (b == NULL || !is_profiles(t->tg_relation, b))
		return PointerGetDatum(row);

	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);
		AttrNumber	attnum = c->guard ? get_attnum(RelationGetRelid(t->tg_relation), c->name) : InvalidAttrNumber;
		bool		isnull;
		Datum		value;

		if (attnum == InvalidAttrNumber)
			continue;
		value = heap_getattr(row, attnum, desc, &isnull);
		if (update ? !asy_trigger_attribute_changed(t, attnum)
			: is_untouched(t->tg_relation, c, attnum, value, isnull))
			continue;
		if (is_operator(GetUserId(), b))
			break;
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("column \"%s\" of %s may not be changed directly", c->name, b->profiles_name),
				 errdetail("authsync fills it from %s.", c->source ? c->source : "its default"),
				 errhint("Change it at the provider \"local\" (table %s), or as an operator.", b->users_name),
				 err_generic_string(PG_DIAG_COLUMN_NAME, c->name)));
	}
	return PointerGetDatum(row);
}
