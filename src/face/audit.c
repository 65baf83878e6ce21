/*
 * audit.c
 *	  The triggers on the audit log, which keep its typed extract.
 *
 * Nearly all of the log is logins and token refreshes. So each new entry is
 * looked at in C, for a few words, before anything is parsed; those that tell
 * of somebody coming or going are read back from the log when the statement
 * ends, by the same SQL that reads the whole log. BEFORE, because a row
 * trigger of that kind needs no queue.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "compat.h"
#include "face/bookkeeper.h"
#include "face/trigger.h"
#include "sync/follow.h"
#include "sync/prepared.h"
#include "sync/signups.h"
#include "sync/watch.h"

PG_FUNCTION_INFO_V1(authsync_signup_seen);
PG_FUNCTION_INFO_V1(authsync_signups_kept);
PG_FUNCTION_INFO_V1(authsync_signups_changed);
PG_FUNCTION_INFO_V1(authsync_signups_deleted);

/* Entries of statements under way, in TopTransactionContext. */
typedef struct Entry
{
	SubTransactionId sub;
	pg_uuid_t	id;
} Entry;

static Entry *seen = NULL;
static int	nseen = 0;
static int	room = 0;

static void
forget_seen(XactEvent event pg_attribute_unused(), void *arg pg_attribute_unused())
{
	seen = NULL;
	nseen = room = 0;
}

static void
add_seen(const pg_uuid_t *id)
{
	static bool registered = false;

	if (!registered)
		RegisterXactCallback(forget_seen, NULL);
	registered = true;
	if (nseen == room)
	{
		room = Max(16, room * 2);
		seen = seen ? repalloc_huge(seen, sizeof(Entry) * room) : MemoryContextAlloc(TopTransactionContext, sizeof(Entry) * room);
	}
	seen[nseen].sub = GetCurrentSubTransactionId();
	seen[nseen++].id = *id;
}

/* Finds every entry that the extract keeps, and now and then another. */
static bool
may_matter(const char *payload, size_t length)
{
	static const char *const words[] = {"signedup", "invited", "confirmation_requested", "deleted"};
	static const char prefix[] = "user_";
	const char *end = payload + length;

	for (const char *at = payload; (at = memmem(at, end - at, prefix, sizeof(prefix) - 1)) != NULL;)
	{
		at += sizeof(prefix) - 1;
		for (size_t i = 0; i < lengthof(words); i++)
			if ((size_t) (end - at) >= strlen(words[i]) && memcmp(at, words[i], strlen(words[i])) == 0)
				return true;
	}
	return false;
}

static bool
is_before_insert(const TriggerData *t)
{
	return TRIGGER_FIRED_BEFORE(t->tg_event) && TRIGGER_FIRED_FOR_ROW(t->tg_event) && TRIGGER_FIRED_BY_INSERT(t->tg_event);
}

Datum
authsync_signup_seen(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_before_insert, "BEFORE INSERT FOR EACH ROW");
	AsyBinding *b = asy_bookkeeper_binding(t, ASY_PART_SIGNUPS);
	TupleDesc	desc = RelationGetDescr(t->tg_relation);
	bool		isnull;
	Datum		value;
	Oid			type;
	struct varlena *payload;

	if (b == NULL)
		return PointerGetDatum(t->tg_trigtuple);
	value = heap_getattr(t->tg_trigtuple, b->audit_payload, desc, &isnull);
	if (isnull)
		return PointerGetDatum(t->tg_trigtuple);
	type = TupleDescAttr(desc, b->audit_payload - 1)->atttypid;
	payload = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	if ((type != JSONOID && type != JSONBOID) || may_matter(VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload)))
	{
		value = heap_getattr(t->tg_trigtuple, b->audit_id, desc, &isnull);
		if (!isnull)
			add_seen(DatumGetUUIDP(value));
	}
	return PointerGetDatum(t->tg_trigtuple);
}

/*
 * Brings these entries into the extract. Whoever they speak of becomes a
 * suspect: he may be known from nowhere else. Not so the user whom this very
 * transaction has made and still has.
 */
static void
keep(AsyBinding *b, Datum ids)
{
	int64		signed_up = 0;
	Datum	   *suspects;
	int64		n = 0;

	asy_db_run_plan(asy_prepared_plan(b, ASY_PLAN_KEEP_SIGNUPS), &ids);
	suspects = palloc_extended(sizeof(Datum) * Max(SPI_processed, 1), MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		bool		isnull;
		Datum		user_id = asy_db_value(i, 1, &isnull);

		signed_up += strcmp(asy_db_text(i, 2), "user_signedup") == 0;
		if (!isnull && !(asy_db_bool(i, 3) && asy_follow_made_here(user_id)))
			suspects[n++] = user_id;
	}
	asy_watch_totals(b, 0, 0, 0, signed_up);
	asy_watch_suspects(b, suspects, n);
}

static bool
is_after_insert(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) && TRIGGER_FIRED_BY_INSERT(t->tg_event);
}

Datum
authsync_signups_kept(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_insert, "AFTER INSERT FOR EACH STATEMENT");
	SubTransactionId sub = GetCurrentSubTransactionId();
	AsyBinding *b;
	AsyIdentity saved;
	Datum	   *ids;
	int			n = 0;
	int			left = 0;

	if (nseen == 0)
		return PointerGetDatum(NULL);
	ids = palloc_extended(sizeof(Datum) * nseen, MCXT_ALLOC_HUGE);
	for (int i = 0; i < nseen; i++)
		if (seen[i].sub == sub)
		{
			pg_uuid_t  *id = palloc(sizeof(pg_uuid_t));

			*id = seen[i].id;
			ids[n++] = UUIDPGetDatum(id);
		}
		else
			seen[left++] = seen[i];
	nseen = left;
	b = n > 0 ? asy_bookkeeper_binding(t, ASY_PART_SIGNUPS) : NULL;
	if (b == NULL)
		return PointerGetDatum(NULL);
	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	keep(b, PointerGetDatum(construct_array(ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR)));
	SPI_finish();
	asy_db_restore(&saved);
	return PointerGetDatum(NULL);
}

/* ---- entries that change or go ---- */

/*
 * Takes the statement's old entries out. While the extract is being filled,
 * the fill may be about to add one of them: then it has to begin again.
 */
static void
take_out(AsyBinding *b)
{
	asy_db_exec("WITH gone AS (DELETE FROM authsync.signups AS s USING old_entries AS o WHERE s.audit_id = o.id RETURNING s.action)"
				" SELECT (SELECT pg_catalog.count(*) FROM gone AS g WHERE g.action = 'user_signedup'),"
				" EXISTS (SELECT FROM authsync.bookkeeping AS k WHERE k.part = 'signups' AND k.filled_at IS NOT NULL)");
	if (!asy_db_bool(0, 2))
		asy_watch_gap(b, ASY_PART_SIGNUPS, "entries of the audit log changed while it was being read");
	asy_watch_totals(b, 0, 0, 0, -asy_db_int64(0, 1));
}

static bool
is_after_update(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_UPDATE(t->tg_event) && t->tg_oldtable && t->tg_newtable;
}

static bool
is_after_delete(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_STATEMENT(t->tg_event) &&
		TRIGGER_FIRED_BY_DELETE(t->tg_event) && t->tg_oldtable;
}

static Datum
follow_entries(TriggerData *t, bool updated)
{
	AsyBinding *b = asy_bookkeeper_binding(t, ASY_PART_SIGNUPS);
	AsyIdentity saved;

	if (b == NULL)
		return PointerGetDatum(NULL);
	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	SPI_register_trigger_data(t);
	take_out(b);
	if (updated)
	{
		bool		isnull;

		asy_db_exec("SELECT pg_catalog.array_agg(n.id) FROM new_entries AS n");
		keep(b, asy_db_value(0, 1, &isnull));
	}
	SPI_finish();
	asy_db_restore(&saved);
	return PointerGetDatum(NULL);
}

Datum
authsync_signups_changed(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_update,
										   "AFTER UPDATE ... REFERENCING OLD TABLE AS old_entries NEW TABLE AS new_entries FOR EACH STATEMENT");

	return tuplestore_tuple_count(t->tg_newtable) > 0 ? follow_entries(t, true) : PointerGetDatum(NULL);
}

Datum
authsync_signups_deleted(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_delete,
										   "AFTER DELETE ... REFERENCING OLD TABLE AS old_entries FOR EACH STATEMENT");

	return tuplestore_tuple_count(t->tg_oldtable) > 0 ? follow_entries(t, false) : PointerGetDatum(NULL);
}
