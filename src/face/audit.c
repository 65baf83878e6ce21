/*
 * audit.c
 *	  The triggers on the audit log, which keep its typed extract.
 *
 * Nearly all of the log is logins and token refreshes. So each new entry is
 * looked at for a few words before anything is parsed; one that tells of
 * somebody coming or going is read here and appended, without a statement.
 * What is not so plain (entries that change, a log of other types) goes the
 * long way: read back by the SQL that reads the whole log.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tableam.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/uuid.h"

#include "compat.h"
#include "face/bookkeeper.h"
#include "face/trigger.h"
#include "sync/entry.h"
#include "sync/follow.h"
#include "sync/prepared.h"
#include "sync/signups.h"
#include "sync/watch.h"

PG_FUNCTION_INFO_V1(authsync_signups_kept);
PG_FUNCTION_INFO_V1(authsync_signups_changed);
PG_FUNCTION_INFO_V1(authsync_signups_deleted);

/* ---- by the SQL that reads the whole log ---- */

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

	asy_db_run_prepared(asy_prepared(b, ASY_PREPARED_KEEP_SIGNUPS), &ids);
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

static Datum
array_of(Datum id)
{
	return PointerGetDatum(construct_array(&id, 1, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

/*
 * The entry as the log has it now, whatever the extract has: another entry of
 * that id, which is on its way out in this very statement, or was left behind.
 */
static void
keep_anew(AsyBinding *b, Datum id)
{
	AsyIdentity saved;
	Oid			types[] = {UUIDOID};

	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	asy_db_run("DELETE FROM authsync.signups AS s WHERE s.audit_id = $1 RETURNING (s.action = 'user_signedup')::pg_catalog.int4", false, 1, types, &id, NULL);
	if (SPI_processed > 0)
		asy_watch_totals(b, 0, 0, 0, -asy_db_int64(0, 1));
	keep(b, array_of(id));
	SPI_finish();
	asy_db_restore(&saved);
}

/* ---- new entries ---- */

static bool
is_after_insert(const TriggerData *t)
{
	return TRIGGER_FIRED_AFTER(t->tg_event) && TRIGGER_FIRED_FOR_ROW(t->tg_event) && TRIGGER_FIRED_BY_INSERT(t->tg_event);
}

/* The log as the auth server makes it. Else types would have to be converted, which is the SQL's affair. */
static bool
is_usual(TupleDesc desc, const AsyBinding *b, AttrNumber created_at, AttrNumber ip_address)
{
	Oid			ip_type = ip_address == InvalidAttrNumber ? TEXTOID : TupleDescAttr(desc, ip_address - 1)->atttypid;

	return TupleDescAttr(desc, b->audit_payload - 1)->atttypid == JSONOID && TupleDescAttr(desc, b->audit_id - 1)->atttypid == UUIDOID &&
		TupleDescAttr(desc, created_at - 1)->atttypid == TIMESTAMPTZOID && (ip_type == TEXTOID || ip_type == VARCHAROID);
}

/* Whether a row with it may have to be toasted: what is only appended must not be. */
static bool
is_long(Datum text)
{
	const struct varlena *v = (const struct varlena *) DatumGetPointer(text);

	return VARATT_IS_EXTERNAL(v) || VARATT_IS_COMPRESSED(v) || VARSIZE_ANY(v) > 500;
}

/* Appends it; false if the long way has to be gone. */
static bool
keep_entry(AsyBinding *b, TupleTableSlot *slot, const struct varlena *payload)
{
	AttrNumber	created_at = get_attnum(b->audit, "created_at");
	AttrNumber	ip_address = get_attnum(b->audit, "ip_address");
	AsyEntry	entry;
	Datum		values[7];
	bool		nulls[7] = {false};

	if (!is_usual(slot->tts_tupleDescriptor, b, created_at, ip_address))
		return false;
	if (!asy_entry_read(VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload), &entry))
		return true;
	values[0] = slot_getattr(slot, b->audit_id, &nulls[0]);
	if (nulls[0])
		return false;
	values[1] = UUIDPGetDatum(&entry.user_id);
	nulls[1] = !entry.has_user_id;
	nulls[2] = entry.email == NULL;
	values[2] = entry.email ? CStringGetTextDatum(entry.email) : (Datum) 0;
	values[3] = CStringGetTextDatum(entry.action);
	values[4] = UUIDPGetDatum(&entry.actor_id);
	nulls[4] = !entry.has_actor_id;
	nulls[5] = true;
	if (ip_address != InvalidAttrNumber)
		values[5] = slot_getattr(slot, ip_address, &nulls[5]);
	values[6] = slot_getattr(slot, created_at, &nulls[6]);
	if ((!nulls[2] && is_long(values[2])) || (!nulls[5] && is_long(values[5])))
		return false;
	if (!asy_watch_signup(b, values, nulls, strcmp(entry.action, "user_signedup") == 0))
		return false;

	/* If this transaction deleted him since it made him, it made him a suspect then. */
	if (entry.has_user_id && !asy_follow_made_here(values[1]))
		asy_watch_suspects(b, &values[1], 1);
	return true;
}

Datum
authsync_signups_kept(PG_FUNCTION_ARGS)
{
	TriggerData *t = asy_trigger_called_as(fcinfo, is_after_insert, "AFTER INSERT FOR EACH ROW");
	AsyBinding *b = asy_bookkeeper_binding(t, ASY_PART_SIGNUPS);
	bool		isnull;
	Datum		value;
	Oid			type;
	const struct varlena *payload;

	if (b == NULL)
		return PointerGetDatum(NULL);
	value = slot_getattr(t->tg_trigslot, b->audit_payload, &isnull);
	if (isnull)
		return PointerGetDatum(NULL);
	type = TupleDescAttr(RelationGetDescr(t->tg_relation), b->audit_payload - 1)->atttypid;
	payload = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	if ((type == JSONOID || type == JSONBOID) && !asy_entry_may_matter(VARDATA_ANY(payload), VARSIZE_ANY_EXHDR(payload)))
		return PointerGetDatum(NULL);

	/* Another trigger may have changed or deleted it by now: then those triggers of ours have followed. */
	if (table_tuple_satisfies_snapshot(t->tg_relation, t->tg_trigslot, SnapshotSelf) && !keep_entry(b, t->tg_trigslot, payload))
	{
		value = slot_getattr(t->tg_trigslot, b->audit_id, &isnull);
		if (!isnull)
			keep_anew(b, value);
	}
	return PointerGetDatum(NULL);
}

/* ---- entries that change or go ---- */

/*
 * Takes the statement's old entries out, and returns those ids that the log
 * still has (the statement may have put them in again), as uuid[], or NULL.
 * While the extract is being filled, the fill may be about to add one of the
 * old ones: then it has to begin again.
 */
static Datum
take_out(AsyBinding *b, bool *isnull)
{
	asy_db_exec(psprintf("WITH gone AS (DELETE FROM authsync.signups AS s USING old_entries AS o WHERE s.audit_id = o.id RETURNING s.audit_id, s.action)"
						 " SELECT (SELECT pg_catalog.count(*) FROM gone AS g WHERE g.action = 'user_signedup'),"
						 " EXISTS (SELECT FROM authsync.bookkeeping AS k WHERE k.part = 'signups' AND k.filled_at IS NOT NULL),"
						 " (SELECT pg_catalog.array_agg(g.audit_id) FROM gone AS g WHERE (SELECT true FROM %s AS a WHERE a.id = g.audit_id LIMIT 1))",
						 b->audit_name));
	if (!asy_db_bool(0, 2))
		asy_watch_gap(b, ASY_PART_SIGNUPS, "entries of the audit log changed while it was being read");
	asy_watch_totals(b, 0, 0, 0, -asy_db_int64(0, 1));
	return asy_db_value(0, 3, isnull);
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
	Datum		ids;
	bool		isnull;

	if (b == NULL)
		return PointerGetDatum(NULL);
	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	SPI_register_trigger_data(t);
	ids = take_out(b, &isnull);
	if (!isnull)
		keep(b, ids);
	if (updated)
	{
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
