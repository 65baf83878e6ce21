/*
 * modify.c
 *	  Users created, changed and deleted at the provider.
 *
 * Each takes effect there at once, whatever becomes of the transaction; that is
 * said, once a statement. Many new users are created many at a time; where one
 * is refused, those that were already there or on their way are counted in the
 * error, since they stay.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "compat.h"
#include "fdw/fdw.h"
#include "fdw/option.h"

/* Rows that a statement hands over at once, to be created concurrency at a time. */
#define BATCH 4000

typedef struct Modify
{
	AsyServer  *server;
	TupleDesc	desc;
	AsyField   *fields;
	uint32		changes;		/* UPDATE: the columns that it sets */
	AttrNumber	whole_row;		/* in the plan's slot */
	bool		batches;
	MemoryContext context;		/* reset for each call */
} Modify;

int
asy_fdw_updatable(Relation rel)
{
	AsyServer  *server = asy_server_describe(GetForeignTable(RelationGetRelid(rel))->serverid);
	const AsyAskFunction *ask = server->provider->ask;

	return (ask[ASY_ASK_CREATE] ? 1 << CMD_INSERT : 0) | (ask[ASY_ASK_UPDATE] ? 1 << CMD_UPDATE : 0) |
		(ask[ASY_ASK_DELETE] ? 1 << CMD_DELETE : 0);
}

/* The old row as it was read: who it is, and what his metadata were. */
void
asy_fdw_add_targets(PlannerInfo *root, Index rti, RangeTblEntry *rte, Relation rel)
{
	(void) rte;
	(void) rel;
	add_row_identity_var(root, makeVar(rti, InvalidAttrNumber, RECORDOID, -1, InvalidOid, 0), rti, "wholerow");
}

List *
asy_fdw_plan_modify(PlannerInfo *root, ModifyTable *plan, Index rti, int index)
{
	(void) root;
	(void) rti;
	(void) index;
	if (plan->onConflictAction != ONCONFLICT_NONE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a provider's users take no ON CONFLICT"),
				 errdetail("Whether a user is there already is for the provider to say, one by one."),
				 errhint("INSERT … SELECT … WHERE NOT EXISTS (SELECT FROM … AS u WHERE u.email = …)")));
	return NIL;
}

/* What is given must be what the provider takes: 0A000. */
static void
check_given(const Modify *m, uint32 given, bool update)
{
	uint32		takes = m->server->provider->writes & ~(update ? m->server->provider->fixed : 0);
	uint32		refused = given & ~takes;
	StringInfoData list;

	if (refused == 0)
		return;
	initStringInfo(&list);
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (takes & ASY_BIT(f))
			appendStringInfo(&list, "%s%s", list.len ? ", " : "", asy_fields[f].name);
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (refused & ASY_BIT(f))
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" cannot be written at provider \"%s\"", asy_fields[f].name, m->server->name),
					 errdetail("%s does not take it %s.", m->server->provider->title, m->server->provider->writes & ASY_BIT(f) ? "once the user is there" : "from outside"),
					 errhint("Columns that it takes: %s.", list.data)));
}

/* ---- begin ---- */

static Modify *
begin(ResultRelInfo *rri, EState *estate, const char *what)
{
	Modify	   *m = palloc0(sizeof(Modify));
	Relation	rel = rri->ri_RelationDesc;

	m->desc = RelationGetDescr(rel);
	m->fields = asy_fdw_fields(m->desc);
	m->server = asy_server_load(GetForeignTable(RelationGetRelid(rel))->serverid, asy_modify_user(rri, estate));
	m->context = AllocSetContextCreate(estate->es_query_cxt, "authsync modify", ALLOCSET_DEFAULT_SIZES);
	asy_armed_check(m->server->name);
	ereport(WARNING,
			(errcode(ERRCODE_WARNING),
			 errmsg("%s at provider \"%s\" takes effect at once, whatever becomes of this transaction", what, m->server->name)));
	rri->ri_FdwState = m;
	return m;
}

void
asy_fdw_begin_modify(ModifyTableState *mt, ResultRelInfo *rri, List *private, int index, int flags)
{
	EState	   *estate = mt->ps.state;
	Modify	   *m;

	(void) private;
	(void) index;
	if (flags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	m = begin(rri, estate, mt->operation == CMD_INSERT ? "an INSERT" : mt->operation == CMD_UPDATE ? "an UPDATE" : "a DELETE");
	m->batches = mt->operation == CMD_INSERT;
	if (mt->operation == CMD_UPDATE)
	{
		Bitmapset  *set = ExecGetUpdatedCols(rri, estate);

		for (int i = 0; i < m->desc->natts; i++)
			if (bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, set))
				m->changes |= m->fields[i] == ASY_NFIELDS ? 0 : ASY_BIT(m->fields[i]);
		check_given(m, m->changes & ~ASY_BIT(ASY_ID), true);
	}
	if (mt->operation != CMD_INSERT)
	{
		m->whole_row = ExecFindJunkAttributeInTlist(outerPlanState(mt)->plan->targetlist, "wholerow");
		if (!AttributeNumberIsValid(m->whole_row))
			elog(ERROR, "the old row is not in the plan");
	}
}

/* COPY, and a row that a partitioned table sends here. */
void
asy_fdw_begin_insert(ModifyTableState *mt, ResultRelInfo *rri)
{
	EState	   *estate = mt->ps.state;
	Modify	   *m = begin(rri, estate, "an INSERT");

	m->batches = true;
}

int
asy_fdw_batch_size(ResultRelInfo *rri)
{
	Modify	   *m = rri->ri_FdwState;

	/* Asked for when the rest of the node is known; EXPLAIN alone has no state. What is looked at row by row comes row by row. */
	return m && m->batches && rri->ri_projectReturning == NULL && rri->ri_WithCheckOptions == NIL &&
		!(rri->ri_TrigDesc && (rri->ri_TrigDesc->trig_insert_after_row || rri->ri_TrigDesc->trig_insert_before_row)) ? BATCH : 1;
}

void
asy_fdw_end_modify(EState *estate, ResultRelInfo *rri)
{
	Modify	   *m = rri->ri_FdwState;

	(void) estate;
	if (m)
		MemoryContextDelete(m->context);
}

/* ---- rows ---- */

static void
read_value(AsyField field, Datum value, bool isnull, AuthUser *user)
{
	AsyValue   *v = &user->value[field];

	v->present = !isnull;
	if (isnull)
		return;
	switch (asy_fields[field].type)
	{
		case ASY_TEXT:
			v->text = TextDatumGetCString(value);
			break;
		case ASY_BOOL:
			v->flag = DatumGetBool(value);
			break;
		case ASY_TIME:
			v->time = DatumGetTimestampTz(value);
			break;
		case ASY_JSON:
			{
				Jsonb	   *jsonb = DatumGetJsonbP(value);

				v->text = JsonbToCString(NULL, &jsonb->root, VARSIZE(jsonb));
			}
			break;
	}
}

static AuthUser *
user_of_slot(Modify *m, TupleTableSlot *slot)
{
	AuthUser   *user = palloc0(sizeof(AuthUser));

	slot_getallattrs(slot);
	for (int i = 0; i < m->desc->natts; i++)
		if (m->fields[i] != ASY_NFIELDS)
			read_value(m->fields[i], slot->tts_values[i], slot->tts_isnull[i], user);
	return user;
}

/* The row as it was read, from the plan's slot. */
static AuthUser *
old_user(Modify *m, TupleTableSlot *plan)
{
	AuthUser   *user = palloc0(sizeof(AuthUser));
	bool		isnull;
	Datum		whole = ExecGetJunkAttribute(plan, m->whole_row, &isnull);
	HeapTupleHeader header;
	HeapTupleData tuple;

	if (isnull)
		elog(ERROR, "the old row is null");
	header = DatumGetHeapTupleHeader(whole);
	tuple.t_len = HeapTupleHeaderGetDatumLength(header);
	tuple.t_data = header;
	ItemPointerSetInvalid(&tuple.t_self);
	tuple.t_tableOid = InvalidOid;
	for (int i = 0; i < m->desc->natts; i++)
		if (m->fields[i] != ASY_NFIELDS)
		{
			Datum		value = heap_getattr(&tuple, i + 1, m->desc, &isnull);

			read_value(m->fields[i], value, isnull, user);
		}
	if (!user->value[ASY_ID].present)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("the foreign table has no column \"id\""),
				 errdetail("Without it nobody can be told to the provider.")));
	return user;
}

/* Puts the user into the slot, for RETURNING. */
static void
fill_slot(Modify *m, const AuthUser *user, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	for (int i = 0; i < m->desc->natts; i++)
		slot->tts_isnull[i] = m->fields[i] == ASY_NFIELDS || !asy_fdw_datum(user, m->fields[i], &slot->tts_values[i]);
	ExecStoreVirtualTuple(slot);
}

static AsyTalk *
begin_insert(Modify *m, TupleTableSlot *slot)
{
	AuthUser   *user = user_of_slot(m, slot);
	AsyInput	in = {.user = user};

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (user->value[f].present)
			in.given |= ASY_BIT(f);
	check_given(m, in.given, false);
	return asy_talk_begin(m->server, ASY_ASK_CREATE, &in);
}

/* What the provider says that the user now is; false where it said nothing. */
static bool
written_user(const AsyTalk *talk, AuthUser *user)
{
	int			n;
	const AsyFound *found = asy_talk_found(talk, &n);

	if (n == 0)
		return false;
	asy_read_user(talk, found[0].json, found[0].node, ASY_ALL_FIELDS, user);
	return true;
}

/*
 * COPY would quote the line in the error's context, and with it a password that
 * stands there.
 */
static void
throw_quietly(Modify *m, const AsyFault *fault, uint32 given)
{
	if (given & (ASY_BIT(ASY_PASSWORD) | ASY_BIT(ASY_PASSWORD_HASH)))
		error_context_stack = NULL;
	asy_fault_throw(fault, m->server->name);
}

TupleTableSlot *
asy_fdw_insert(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan)
{
	Modify	   *m = rri->ri_FdwState;
	MemoryContext old;
	AsyTalk    *talk;
	AuthUser	user;

	(void) estate;
	(void) plan;
	MemoryContextReset(m->context);
	old = MemoryContextSwitchTo(m->context);
	talk = begin_insert(m, slot);
	while (asy_talk_state(talk) == ASY_TALK_BUSY || asy_talk_state(talk) == ASY_TALK_PAGE)
		asy_talks_wait(&talk, 1, 0);
	if (asy_talk_state(talk) == ASY_TALK_FAILED)
		throw_quietly(m, talk->fault, talk->in.given);
	if (written_user(talk, &user))
		fill_slot(m, &user, slot);
	MemoryContextSwitchTo(old);
	return slot;
}

/* The fault of one of many, with how many are there all the same. */
static void
throw_for_batch(Modify *m, AsyFault *fault, uint32 given, int done, int n, TupleTableSlot *slot)
{
	AuthUser   *user = user_of_slot(m, slot);
	const char *who = user->value[ASY_EMAIL].present ? user->value[ASY_EMAIL].text : user->value[ASY_ID].present ? user->value[ASY_ID].text : NULL;

	if (n == 1)
		throw_quietly(m, fault, given);
	fault->detail = psprintf("%s%sIt failed at user %s; of the %d users of this batch %d had been created, and stay.",
							 fault->detail ? fault->detail : "", fault->detail == NULL ? "" : fault->detail[strlen(fault->detail) - 1] == '.' ? " " : ". ", who ? psprintf("\"%s\"", who) : "without e-mail", n, done);
	throw_quietly(m, fault, given);
}

TupleTableSlot **
asy_fdw_insert_batch(EState *estate, ResultRelInfo *rri, TupleTableSlot **slots, TupleTableSlot **plans, int *n)
{
	Modify	   *m = rri->ri_FdwState;
	MemoryContext old;
	int			width = Max(m->server->concurrency, 1);
	AsyTalk   **talks;
	int		   *row;
	int			under_way = 0;
	int			next = 0;
	int			done = 0;
	int			refused = -1;
	uint32		all_given = 0;
	AsyFault   *fault = NULL;

	(void) estate;
	(void) plans;
	MemoryContextReset(m->context);
	old = MemoryContextSwitchTo(m->context);
	talks = palloc(sizeof(AsyTalk *) * width);
	row = palloc(sizeof(int) * width);

	/* Every row is looked at before the first one goes out. */
	for (int i = 0; i < *n; i++)
	{
		uint32		given = 0;

		slot_getallattrs(slots[i]);
		for (int a = 0; a < m->desc->natts; a++)
			if (m->fields[a] != ASY_NFIELDS && !slots[i]->tts_isnull[a])
				given |= ASY_BIT(m->fields[a]);
		check_given(m, given, false);
		all_given |= given;
	}
	for (;;)
	{
		int			ready;

		while (fault == NULL && next < *n && under_way < width)
		{
			row[under_way] = next;
			talks[under_way++] = begin_insert(m, slots[next++]);
		}
		if (under_way == 0)
			break;
		ready = asy_talks_wait(talks, under_way, 0);
		if (asy_talk_state(talks[ready]) == ASY_TALK_PAGE)
			continue;
		if (asy_talk_state(talks[ready]) == ASY_TALK_FAILED)
		{
			/* The others are on their way and cannot be called back: what became of them is worth knowing. */
			if (fault == NULL)
			{
				fault = talks[ready]->fault;
				refused = row[ready];
			}
		}
		else
			done++;
		if (talks[ready]->fault == NULL)
			asy_talk_end(talks[ready]);
		under_way--;
		talks[ready] = talks[under_way];
		row[ready] = row[under_way];
	}
	if (fault)
		throw_for_batch(m, fault, all_given, done, *n, slots[refused]);
	MemoryContextSwitchTo(old);
	return slots;
}

TupleTableSlot *
asy_fdw_update(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan)
{
	Modify	   *m = rri->ri_FdwState;
	MemoryContext old;
	AsyTalk    *talk;
	AsyInput	in = {0};
	AuthUser	user;

	(void) estate;
	MemoryContextReset(m->context);
	old = MemoryContextSwitchTo(m->context);
	in.old = old_user(m, plan);
	in.user = user_of_slot(m, slot);
	in.subject = in.old->value[ASY_ID].text;
	in.given = m->changes;
	if ((in.given & ASY_BIT(ASY_ID)) && in.user->value[ASY_ID].present && strcmp(in.user->value[ASY_ID].text, in.subject) == 0)
		in.given &= ~ASY_BIT(ASY_ID);
	if (in.given & ASY_BIT(ASY_ID))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("the id of a user cannot be changed"),
				 errdetail("Provider \"%s\" knows him by it.", m->server->name)));
	talk = asy_talk_begin(m->server, ASY_ASK_UPDATE, &in);
	asy_talk_finish(talk);
	if (written_user(talk, &user))
		fill_slot(m, &user, slot);
	MemoryContextSwitchTo(old);
	return slot;
}

TupleTableSlot *
asy_fdw_delete(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan)
{
	Modify	   *m = rri->ri_FdwState;
	MemoryContext old;
	AsyTalk    *talk;
	AsyInput	in = {0};

	(void) estate;
	MemoryContextReset(m->context);
	old = MemoryContextSwitchTo(m->context);
	in.old = old_user(m, plan);
	in.subject = in.old->value[ASY_ID].text;
	talk = asy_talk_begin(m->server, ASY_ASK_DELETE, &in);
	while (asy_talk_state(talk) == ASY_TALK_BUSY || asy_talk_state(talk) == ASY_TALK_PAGE)
		asy_talks_wait(&talk, 1, 0);
	/* Gone already is what was wanted. */
	if (asy_talk_state(talk) == ASY_TALK_FAILED && talk->fault->class != ASY_FAULT_MISSING)
		asy_fault_throw(talk->fault, m->server->name);
	fill_slot(m, in.old, slot);
	MemoryContextSwitchTo(old);
	return slot;
}
