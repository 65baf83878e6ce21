/*
 * bookkeeper.c
 *	  The triggers that keep the bookkeeping of users and profiles.
 *
 * They are ENABLE ALWAYS and stand beside the triggers that make profiles: if
 * those are disabled, or a replica-role session skips them, what they leave
 * undone shows at once. They never look at the other side. What they cannot
 * follow they note as a gap; only what must can fail the statement.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "compat.h"
#include "ground/guc.h"
#include "face/bookkeeper.h"
#include "face/trigger.h"
#include "sync/prepared.h"
#include "sync/watch.h"

PG_FUNCTION_INFO_V1(authsync_watch_inserted_users);
PG_FUNCTION_INFO_V1(authsync_watch_deleted_users);
PG_FUNCTION_INFO_V1(authsync_watch_profile);
PG_FUNCTION_INFO_V1(authsync_watch_truncated);

static void
load_binding(void *arg)
{
	*(AsyBinding **) arg = asy_binding_get();
}

AsyBinding *
asy_bookkeeper_binding(const TriggerData *t, const char *part)
{
	AsyBinding *b = asy_binding_peek();
	Oid			relid = RelationGetRelid(t->tg_relation);
	const char *reason = NULL;

	if (b == NULL)
		(void) asy_db_try(load_binding, &b);
	if (!asy_guc_enabled)
		reason = "authsync.enabled was off";
	else if (b == NULL)
		reason = "the binding could not be read";
	else if (strcmp(part, ASY_PART_SIGNUPS) == 0 ? b->audit != relid : b->users != relid && b->profiles != relid)
		reason = "a table changed while it was not bound";
	if (reason == NULL || (b && b->users == relid && !b->keeps_drift))
		return b;
	asy_watch_gap(b, part, reason);
	return NULL;
}

/* ---- who came ---- */

/* What the trigger that makes profiles knows of the statement's users, for the one that watches. */
static struct
{
	Tuplestorestate *rows;		/* the statement's transition table */
	AsyArrival *arrivals;		/* with room for all of its rows */
	int64		n;
} handed_over;

void
asy_bookkeeper_forget(void)
{
	handed_over.rows = NULL;
	handed_over.n = 0;
}

void
asy_bookkeeper_hand_over(const TriggerData *t, const AsyUsers *users)
{
	if (handed_over.rows != t->tg_newtable)
	{
		handed_over.arrivals = MemoryContextAllocHuge(TopTransactionContext, sizeof(AsyArrival) * tuplestore_tuple_count(t->tg_newtable));
		handed_over.rows = t->tg_newtable;
		handed_over.n = 0;
	}
	for (int i = 0; i < users->n; i++)
	{
		AsyArrival *a = &handed_over.arrivals[handed_over.n++];
		bool		dated = users->value[ASY_CREATED_AT] && !users->isnull[ASY_CREATED_AT][i];

		a->user_id = *DatumGetUUIDP(asy_user_id(users, i));
		a->created_at = dated ? DatumGetTimestampTz(users->value[ASY_CREATED_AT][i]) : DT_NOEND;
		a->owes = users->owes[i];
		a->made = users->outcome[i] == ASY_CREATED;
	}
}

/* The same, looked up: when no profile was made, or by others. */
static AsyArrival *
arrivals_from(TriggerData *t, AsyBinding *b, const char *table, int64 *n)
{
	MemoryContext context = CurrentMemoryContext;
	AsyIdentity saved;
	AsyArrival *arrivals;

	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	SPI_register_trigger_data(t);
	*n = (int64) asy_db_query(psprintf("SELECT %s, %s, %s FROM %s AS u", b->source_expr[ASY_USER_ID],
									   b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz",
									   b->owes_expr, table));
	arrivals = MemoryContextAllocHuge(context, sizeof(AsyArrival) * Max(*n, 1));
	for (int64 i = 0; i < *n; i++)
	{
		bool		isnull;
		Datum		value = asy_db_value(i, 1, &isnull);

		if (isnull)
			memset(&arrivals[i].user_id, 0, UUID_LEN);
		else
			arrivals[i].user_id = *DatumGetUUIDP(value);
		value = asy_db_value(i, 2, &isnull);
		arrivals[i].created_at = isnull ? DT_NOEND : DatumGetTimestampTz(value);
		arrivals[i].owes = asy_db_bool(i, 3);
		arrivals[i].made = false;
	}
	SPI_finish();
	asy_db_restore(&saved);
	return arrivals;
}

/*
 * Metadata says whether a profile is owed only of those who have no e-mail
 * (sso: users), and it changes at most sign-ups.
 */
static bool
matters(const AsyBinding *b, const Bitmapset *changed, HeapTuple after, TupleDesc desc)
{
	Bitmapset  *compared = bms_intersect(changed, b->compared);
	AttrNumber	email = get_attnum(b->users, "email");
	bool		result;

	if (email && bms_membership(compared) == BMS_SINGLETON && bms_is_member(b->app_metadata_attnum, compared))
	{
		bool		isnull;
		Datum		value = heap_getattr(after, email, desc, &isnull);

		result = isnull || VARSIZE_ANY_EXHDR(DatumGetPointer(value)) == 0;
	}
	else
		result = !bms_is_empty(compared);
	bms_free(compared);
	return result;
}

/* +1 if he owes a profile now and did not before, -1 the other way round. */
static int
owing_change(AsyBinding *b, HeapTuple before, HeapTuple after, TupleDesc desc)
{
	Datum		values[2] = {heap_copy_tuple_as_datum(before, desc), heap_copy_tuple_as_datum(after, desc)};
	AsyIdentity saved;
	int			change;

	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	asy_db_run_prepared(asy_prepared(b, ASY_PREPARED_OWES), values);
	change = asy_db_bool(0, 2) - asy_db_bool(0, 1);
	SPI_finish();
	asy_db_restore(&saved);
	return change;
}

void
asy_bookkeeper_updated(const TriggerData *t, AsyBinding *b, const Bitmapset *changed)
{
	TupleDesc	desc = RelationGetDescr(t->tg_relation);
	Datum		ids[2];
	int			n = 0;
	AsyArrival	arrival = {.created_at = DT_NOEND};
	AttrNumber	created_at = get_attnum(b->users, "created_at");
	bool		isnull;

	if (!b->keeps_drift || !matters(b, changed, t->tg_newtuple, desc))
		return;
	ids[n] = heap_getattr(t->tg_newtuple, b->users_key, desc, &isnull);
	n += !isnull;
	if (bms_is_member(b->users_key, changed))
	{
		ids[n] = heap_getattr(t->tg_trigtuple, b->users_key, desc, &isnull);
		n += !isnull;
	}
	asy_watch_suspects(b, ids, n);
	if (bms_overlap(changed, b->owes_from))
		asy_watch_totals(b, 0, owing_change(b, t->tg_trigtuple, t->tg_newtuple, desc), 0, 0);

	/* Created lately, as of now, or under another id. */
	if (n > 0 && b->source_expr[ASY_CREATED_AT] && (bms_is_member(created_at, changed) || n == 2))
	{
		Datum		value = heap_getattr(t->tg_newtuple, created_at, desc, &isnull);

		arrival.user_id = *DatumGetUUIDP(ids[0]);
		if (!isnull)
			arrival.created_at = DatumGetTimestampTz(value);
		asy_watch_arrival_again(b, &arrival);
	}
}

static bool
is_insert(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_INSERT(t->tg_event) && t->tg_newtable != NULL;
}

Datum
authsync_watch_inserted_users(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_insert, "AFTER INSERT ... REFERENCING NEW TABLE AS new_users FOR EACH STATEMENT");
	bool		known = handed_over.rows == t->tg_newtable && handed_over.n == tuplestore_tuple_count(t->tg_newtable);
	int64		n = tuplestore_tuple_count(t->tg_newtable);
	AsyBinding *b = n > 0 ? asy_bookkeeper_binding(t, ASY_PART_DRIFT) : NULL;

	if (b && known)
		asy_watch_arrivals(b, handed_over.arrivals, n);
	else if (b)
	{
		AsyArrival *arrivals = arrivals_from(t, b, "new_users", &n);

		asy_watch_arrivals(b, arrivals, n);
		pfree(arrivals);
	}
	if (handed_over.rows)
		pfree(handed_over.arrivals);
	handed_over.rows = NULL;
	return PointerGetDatum(NULL);
}

/* ---- who left ---- */

static bool
is_delete(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_DELETE(t->tg_event) && t->tg_oldtable != NULL;
}

/* The roll-up of registrations counts those who left by when they came. */
static void
roll_up_departed(TriggerData *t, AsyBinding *b)
{
	AsyIdentity saved;

	if (b->source_expr[ASY_CREATED_AT] == NULL)
		return;
	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	SPI_register_trigger_data(t);
	asy_db_exec(psprintf("INSERT INTO authsync.registrations (quarter, departed)"
						 " SELECT pg_catalog.date_bin('15 minutes', %1$s, '2000-01-01 00:00:00+00'), pg_catalog.count(*)"
						 " FROM old_users AS u WHERE pg_catalog.isfinite(%1$s) GROUP BY 1", b->source_expr[ASY_CREATED_AT]));
	SPI_finish();
	asy_db_restore(&saved);
}

Datum
authsync_watch_deleted_users(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_delete, "AFTER DELETE ... REFERENCING OLD TABLE AS old_users FOR EACH STATEMENT");
	AsyBinding *b = tuplestore_tuple_count(t->tg_oldtable) > 0 ? asy_bookkeeper_binding(t, ASY_PART_DRIFT) : NULL;
	AsyArrival *left;
	Datum	   *ids;
	int64		n;
	int64		owed = 0;

	if (b == NULL)
		return PointerGetDatum(NULL);
	left = arrivals_from(t, b, "old_users", &n);
	ids = palloc_extended(sizeof(Datum) * Max(n, 1), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < n; i++)
	{
		ids[i] = UUIDPGetDatum(&left[i].user_id);
		owed += left[i].owes;
	}
	asy_watch_suspects(b, ids, n);
	asy_watch_totals(b, -n, -owed, 0, 0);
	roll_up_departed(t, b);
	return PointerGetDatum(NULL);
}

/* ---- profiles ---- */

static bool
is_any_row(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_ROW(t->tg_event);
}

/* The user whose profile the row is: by a uuid key; nobody without. */
static bool
user_of(const AsyBinding *b, HeapTuple row, TupleDesc desc, Datum *user_id)
{
	bool		isnull;

	if (b->key == NULL || b->key_is_text)
		return false;
	*user_id = heap_getattr(row, b->key_attnum, desc, &isnull);
	return !isnull;
}

static bool
changed(const TriggerData *t, AttrNumber attnum)
{
	return attnum != InvalidAttrNumber && asy_trigger_attribute_changed(t, attnum);
}

Datum
authsync_watch_profile(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_any_row, "AFTER INSERT OR UPDATE OR DELETE FOR EACH ROW");
	TupleDesc	desc = RelationGetDescr(t->tg_relation);
	HeapTuple	before = TRIGGER_FIRED_BY_INSERT(t->tg_event) ? NULL : t->tg_trigtuple;
	HeapTuple	after = TRIGGER_FIRED_BY_INSERT(t->tg_event) ? t->tg_trigtuple :
		TRIGGER_FIRED_BY_UPDATE(t->tg_event) ? t->tg_newtuple : NULL;
	AsyBinding *b;
	Datum		suspects[2];
	int			n = 0;

	/* What our own statement inserts is counted when it has ended: asy_watch_made. */
	if (before == NULL && asy_profile_is_own_row())
		return PointerGetDatum(NULL);
	b = asy_bookkeeper_binding(t, ASY_PART_DRIFT);
	if (b == NULL)
		return PointerGetDatum(NULL);
	if (before && after && !changed(t, b->key_attnum) && !changed(t, b->email_attnum))
		return PointerGetDatum(NULL);
	if (before)
		n += user_of(b, before, desc, &suspects[n]);
	if (after)
		n += user_of(b, after, desc, &suspects[n]);
	if (n == 2 && memcmp(DatumGetUUIDP(suspects[0]), DatumGetUUIDP(suspects[1]), UUID_LEN) == 0)
		n = 1;
	asy_watch_suspects(b, suspects, n);
	asy_watch_totals(b, 0, 0, (after != NULL) - (before != NULL), 0);
	return PointerGetDatum(NULL);
}

/* ---- what leaves the books behind ---- */

static bool
is_truncate(const TriggerData *t)
{
	return TRIGGER_FIRED_BY_TRUNCATE(t->tg_event);
}

Datum
authsync_watch_truncated(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_truncate, "AFTER TRUNCATE");
	AsyBinding *b = asy_binding_peek();

	if (b == NULL)
		(void) asy_db_try(load_binding, &b);
	asy_watch_gap(b, b && b->audit == RelationGetRelid(t->tg_relation) ? ASY_PART_SIGNUPS : ASY_PART_DRIFT,
				  psprintf("TRUNCATE of %s", RelationGetRelationName(t->tg_relation)));
	return PointerGetDatum(NULL);
}
