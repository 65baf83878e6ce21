/*
 * direct.c
 *	  Profiles inserted without a statement.
 *
 * Most of what a one-row INSERT costs is its executor's start and end, and most
 * of the rest is the foreign key's look at a user whom we have inserted or
 * locked ourselves. So the values are evaluated by themselves, and the rows go
 * in by the function that logical replication uses, which keeps indexes,
 * constraints and row triggers as any INSERT does.
 *
 * Left out are two triggers. The foreign key's: that the user exists is proven,
 * as long as no BEFORE trigger can put another key into the row. And our own
 * that watches profiles: our caller counts what it made (asy_watch_made).
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_index.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "compat.h"
#include "ground/exprs.h"
#include "ground/rowhash.h"
#include "sync/direct.h"
#include "sync/statement.h"

/* Made once for a binding, in its memory. */
typedef struct AsyDirect
{
	AsyExprs   *row;			/* all columns of a new profile, over the fields in use; NULL: it cannot be */
	bool		runs_code;
	Oid			ours;			/* trigger that watches profiles */
	List	   *references;		/* OIDs of triggers that check the key against the users */
} AsyDirect;

/* ---- is it possible? ---- */

static bool
table_is_plain(Relation rel, Oid owner)
{
	const TriggerDesc *t = rel->trigdesc;

	return rel->rd_rel->relkind == RELKIND_RELATION && !rel->rd_rel->relispartition && rel->rd_rules == NULL &&
		!rel->rd_rel->relforcerowsecurity &&
		(t == NULL || !(t->trig_insert_before_statement || t->trig_insert_after_statement || t->trig_insert_instead_row || t->trig_insert_new_table)) &&
		pg_class_aclcheck(RelationGetRelid(rel), owner, ACL_INSERT) == ACLCHECK_OK;
}

/* Our own trigger, and the foreign keys from the profiles' key to the users' id. */
static void
find_triggers(const AsyBinding *b, AsyDirect *d)
{
	static const char sql[] =
		"SELECT t.oid::pg_catalog.int8, c.oid IS NOT NULL FROM pg_catalog.pg_trigger AS t LEFT JOIN pg_catalog.pg_constraint AS c ON c.oid = t.tgconstraint"
		" AND c.contype = 'f' AND c.conrelid = $1 AND c.confrelid = $2 AND c.conkey = ARRAY[$3] AND c.confkey = ARRAY[$4] AND NOT c.condeferrable"
		" WHERE t.tgrelid = $1 AND (c.oid IS NOT NULL OR t.tgfoid = 'authsync.watch_profile()'::pg_catalog.regprocedure)";
	Oid			types[] = {OIDOID, OIDOID, INT2OID, INT2OID};
	Datum		values[] = {
		ObjectIdGetDatum(b->profiles), ObjectIdGetDatum(b->users), Int16GetDatum(b->key_attnum), Int16GetDatum(b->users_key)
	};
	uint64		n = asy_db_run(sql, true, lengthof(types), types, values, NULL);

	for (uint64 i = 0; i < n; i++)
		if (asy_db_bool(i, 2))
			d->references = lappend_oid(d->references, (Oid) asy_db_int64(i, 1));
		else
			d->ours = (Oid) asy_db_int64(i, 1);
}

static bool
is_left_out(const AsyDirect *d, const Trigger *t, bool proven)
{
	return t->tgoid == d->ours || (proven && list_member_oid(d->references, t->tgoid));
}

/* Whether anything of people's is evaluated when a row comes in, the foreign keys' own triggers not counted. */
static bool
runs_code(Relation rel, const AsyDirect *d)
{
	const TriggerDesc *t = rel->trigdesc;
	const TupleConstr *constr = RelationGetDescr(rel)->constr;
	ListCell   *lc;

	for (int i = 0; t && i < t->numtriggers; i++)
		if (TRIGGER_FOR_INSERT(t->triggers[i].tgtype) && !t->triggers[i].tgisinternal && t->triggers[i].tgoid != d->ours)
			return true;
	if (constr && (constr->num_check > 0 || constr->has_generated_stored))
		return true;
	foreach(lc, RelationGetIndexList(rel))
	{
		Relation	index = index_open(lfirst_oid(lc), AccessShareLock);
		bool		computes = !heap_attisnull(index->rd_indextuple, Anum_pg_index_indexprs, NULL) ||
			!heap_attisnull(index->rd_indextuple, Anum_pg_index_indpred, NULL);

		index_close(index, AccessShareLock);
		if (computes)
			return true;
	}
	return false;
}

static AsyDirect *
direct_of(AsyBinding *b)
{
	static AsyDirect not_now = {0};
	AsyDirect  *d = b->direct;
	Relation	rel;
	MemoryContext old;
	Oid			types[ASY_NFIELDS];
	int			n = 0;
	AsyIdentity saved;

	if (d)
		return d;
	if (!ConditionalLockRelationOid(b->profiles, RowExclusiveLock))
		return &not_now;		/* a sign-up does not wait just to find out */
	asy_db_become(&saved, b->ext.owner, false);
	SPI_connect();
	old = MemoryContextSwitchTo(b->context);
	d = palloc0(sizeof(AsyDirect));
	rel = table_open(b->profiles, NoLock);
	if (b->key_is_arbiter && b->deferrable == NIL && asy_sql_link(b) == NULL && table_is_plain(rel, b->profiles_owner))
	{
		for (int f = 0; f < ASY_NFIELDS; f++)
			if (b->uses[f])
				types[n++] = asy_field_type[f];
		find_triggers(b, d);
		d->runs_code = runs_code(rel, d);
		d->row = asy_exprs_prepare(asy_sql_insert_values(b), n, types);
		if (d->row && asy_exprs_count(d->row) != RelationGetNumberOfAttributes(rel))
			d->row = NULL;
	}
	table_close(rel, NoLock);
	MemoryContextSwitchTo(old);
	SPI_finish();
	asy_db_restore(&saved);
	b->direct = d;
	return d;
}

bool
asy_direct_is_possible(AsyBinding *b)
{
	return direct_of(b)->row != NULL;
}

bool
asy_direct_runs_code(AsyBinding *b)
{
	return direct_of(b)->runs_code;
}

/* ---- inserting ---- */

/* The table's triggers but those left out. */
static void
choose_triggers(ResultRelInfo *rri, const AsyDirect *d, bool proven)
{
	TriggerDesc *t = rri->ri_TrigDesc;
	int			kept = 0;

	if (t == NULL)
		return;
	if (t->trig_insert_before_row)
		proven = false;			/* it may put another key into the row */
	t->trig_insert_before_row = t->trig_insert_after_row = false;
	for (int i = 0; i < t->numtriggers; i++)
	{
		const Trigger *trigger = &t->triggers[i];

		if (!TRIGGER_FOR_INSERT(trigger->tgtype) || is_left_out(d, trigger, proven))
			continue;
		t->trig_insert_before_row |= TRIGGER_FOR_BEFORE(trigger->tgtype);
		t->trig_insert_after_row |= TRIGGER_FOR_AFTER(trigger->tgtype);
		t->triggers[kept++] = t->triggers[i];
	}
	t->numtriggers = kept;
}

static void
mark_created(AsyBinding *b, AsyUsers *users, int i, TupleTableSlot *slot, bool hashed)
{
	bool		isnull;
	Datum		key = slot_getattr(slot, b->key_attnum, &isnull);

	if (isnull || (b->key_is_text ? strcmp(TextDatumGetCString(key), TextDatumGetCString(users->value[ASY_SUBJECT][i])) != 0
				   : memcmp(DatumGetPointer(key), DatumGetPointer(asy_user_id(users, i)), UUID_LEN) != 0))
		return;					/* a trigger of the table gave the row another key */
	users->outcome[i] = ASY_CREATED;
	if (hashed)
	{
		slot_getallattrs(slot);
		users->hash[i] = asy_rowhash_of_values(slot->tts_tupleDescriptor, slot->tts_values, slot->tts_isnull);
	}
	if (b->email)
	{
		Datum		email = slot_getattr(slot, b->email_attnum, &isnull);
		Oid			output;
		bool		varlena;

		getTypeOutputInfo(TupleDescAttr(slot->tts_tupleDescriptor, b->email_attnum - 1)->atttypid, &output, &varlena);
		users->profile_email[i] = isnull ? NULL : OidOutputFunctionCall(output, email);
	}
}

void
asy_direct_insert(AsyBinding *b, AsyUsers *users, const int *pick, int n, bool hashed, bool proven)
{
	AsyDirect  *d = direct_of(b);
	Relation	rel = table_open(b->profiles, RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *rri = makeNode(ResultRelInfo);
	TupleTableSlot *slot;
	bool		after;

	asy_init_range_table(estate, rel);
	InitResultRelInfo(rri, rel, 1, NULL, 0);
	choose_triggers(rri, d, proven);
	after = rri->ri_TrigDesc && rri->ri_TrigDesc->trig_insert_after_row;
	ExecOpenIndices(rri, false);
	slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	if (after)
		AfterTriggerBeginQuery();
	for (int i = 0; i < n; i++)
	{
		Datum		params[ASY_NFIELDS];
		bool		nulls[ASY_NFIELDS];
		int			nparams = 0;

		for (int f = 0; f < ASY_NFIELDS; f++)
			if (b->uses[f])
			{
				params[nparams] = users->value[f][pick[i]];
				nulls[nparams++] = users->isnull[f][pick[i]];
			}
		ExecClearTuple(slot);
		asy_exprs_evaluate(d->row, NULL, params, nulls, slot->tts_values, slot->tts_isnull);
		ExecStoreVirtualTuple(slot);
		ExecSimpleRelationInsert(rri, estate, slot);
		if (ItemPointerIsValid(&slot->tts_tid))	/* no BEFORE trigger discarded it */
			mark_created(b, users, pick[i], slot, hashed);
		ResetPerTupleExprContext(estate);
	}
	if (after)
		AfterTriggerEndQuery(estate);
	ExecDropSingleTupleTableSlot(slot);
	ExecCloseIndices(rri);
	ExecCloseResultRelations(estate);
	ExecResetTupleTable(estate->es_tupleTable, false);
	FreeExecutorState(estate);
	table_close(rel, NoLock);
	CommandCounterIncrement();
}
