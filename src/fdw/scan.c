/*
 * scan.c
 *	  A scan of a provider's users, and what EXPLAIN says of it.
 *
 * A listing is read page by page, and the next page is on its way while this
 * one is handed out. Ids and e-mails are asked for one by one, many at once.
 * Whoever scans again gets a listing of his own the first time, and what that
 * one found from then on.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "compat.h"
#include "fdw/fdw.h"
#include "fdw/option.h"

typedef struct UserScan
{
	AsyServer  *server;
	AsyScanKind kind;
	bool		many;
	AsyInput	in;
	uint32		wanted;
	AsyField   *fields;			/* of each column; NULL for COUNT */
	int			natts;
	ExprState  *value;

	bool		begun;
	bool		found_nothing;	/* the value is null: nobody is meant */
	char	  **asked;			/* GET and FIND: what is asked for */
	int			nasked;
	int			next_asked;
	AsyTalk   **talks;			/* under way, or handed out */
	int			ntalks;
	int			current;		/* the talk whose users are handed out; -1: none */
	int			at;				/* its next user */
	bool		counted;
	MemoryContext context;		/* of the talks; reset by a rescan */
	AsyTalkCost cost;			/* of talks that have ended */

	Tuplestorestate *kept;		/* of the second pass on */
	bool		all_kept;
} UserScan;

static int64
private_int(ForeignScan *plan, AsyPlanPrivate which)
{
	return intVal(list_nth(plan->fdw_private, which));
}

static Oid
private_oid(ForeignScan *plan, AsyPlanPrivate which)
{
	return DatumGetObjectId(((Const *) list_nth(plan->fdw_private, which))->constvalue);
}

void
asy_fdw_begin(ForeignScanState *node, int flags)
{
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;
	UserScan   *scan = palloc0(sizeof(UserScan));

	scan->kind = (AsyScanKind) private_int(plan, ASY_PRIVATE_KIND);
	scan->many = private_int(plan, ASY_PRIVATE_MANY) != 0;
	scan->in.limit = private_int(plan, ASY_PRIVATE_LIMIT);
	scan->wanted = (uint32) private_int(plan, ASY_PRIVATE_WANTED);
	scan->current = -1;
	if (plan->fdw_exprs != NIL)
		scan->value = ExecInitExpr(linitial(plan->fdw_exprs), &node->ss.ps);
	if (plan->scan.scanrelid > 0)
	{
		scan->fields = asy_fdw_fields(RelationGetDescr(node->ss.ss_currentRelation));
		scan->natts = RelationGetDescr(node->ss.ss_currentRelation)->natts;
	}
	node->fdw_state = scan;
	if (flags & EXEC_FLAG_EXPLAIN_ONLY)
		scan->server = asy_server_describe(private_oid(plan, ASY_PRIVATE_SERVER));
	else
		scan->server = asy_server_load(private_oid(plan, ASY_PRIVATE_SERVER), asy_scan_user(&node->ss, plan->scan.scanrelid));
	scan->context = AllocSetContextCreate(node->ss.ps.state->es_query_cxt, "authsync scan", ALLOCSET_DEFAULT_SIZES);
}

/* ---- what is asked for ---- */

static int
text_order(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* Reads the value, or each of its elements once, in the scan's context. */
static void
read_value(UserScan *scan, ForeignScanState *node)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	bool		isnull;
	Datum		value;
	MemoryContext old;
	Datum	   *elements;
	bool	   *nulls;
	int			n;

	if (scan->value == NULL)
		return;
	value = ExecEvalExprSwitchContext(scan->value, econtext, &isnull);
	if (isnull)
	{
		scan->found_nothing = true;
		return;
	}
	old = MemoryContextSwitchTo(scan->context);
	if (scan->kind == ASY_SCAN_SINCE)
	{
		scan->in.since = DatumGetTimestampTz(value);
		scan->in.has_since = scan->in.since > ASY_TIME_MIN;
		scan->found_nothing = TIMESTAMP_IS_NOEND(scan->in.since);
	}
	else if (!scan->many)
	{
		scan->asked = palloc(sizeof(char *));
		scan->asked[0] = TextDatumGetCString(value);
		scan->nasked = 1;
	}
	else
	{
		int			kept = 0;

		deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &n);
		scan->asked = palloc(sizeof(char *) * Max(n, 1));
		for (int i = 0; i < n; i++)
			if (!nulls[i])
				scan->asked[scan->nasked++] = TextDatumGetCString(elements[i]);
		qsort(scan->asked, scan->nasked, sizeof(char *), text_order);
		for (int i = 0; i < scan->nasked; i++)
			if (kept == 0 || strcmp(scan->asked[kept - 1], scan->asked[i]) != 0)
				scan->asked[kept++] = scan->asked[i];
		scan->nasked = kept;
	}
	MemoryContextSwitchTo(old);
}

static AsyAsk
ask_of(AsyScanKind kind)
{
	return kind == ASY_SCAN_GET ? ASY_ASK_GET : kind == ASY_SCAN_FIND ? ASY_ASK_FIND : kind == ASY_SCAN_COUNT ? ASY_ASK_COUNT : ASY_ASK_LIST;
}

/* As many talks under way as the server takes. */
static void
fill_up(UserScan *scan)
{
	MemoryContext old = MemoryContextSwitchTo(scan->context);

	while (scan->next_asked < scan->nasked && scan->ntalks < scan->server->concurrency)
	{
		AsyInput	in = scan->in;

		in.subject = in.email = scan->asked[scan->next_asked++];
		scan->talks[scan->ntalks++] = asy_talk_begin(scan->server, ask_of(scan->kind), &in);
	}
	MemoryContextSwitchTo(old);
}

static void
add_cost(AsyTalkCost *sum, const AsyTalkCost *cost)
{
	sum->requests += cost->requests;
	sum->retries += cost->retries;
	sum->pages += cost->pages;
	sum->bytes += cost->bytes;
	sum->waited_ms += cost->waited_ms;
	sum->throttled_ms += cost->throttled_ms;
}

static void
drop_talk(UserScan *scan, int i)
{
	add_cost(&scan->cost, asy_talk_cost(scan->talks[i]));
	asy_talk_end(scan->talks[i]);
	scan->talks[i] = scan->talks[--scan->ntalks];
}

static void
start(UserScan *scan, ForeignScanState *node)
{
	MemoryContext old;

	scan->begun = true;
	read_value(scan, node);
	if (scan->found_nothing)
		return;
	old = MemoryContextSwitchTo(scan->context);
	scan->talks = palloc0(sizeof(AsyTalk *) * Max(scan->server->concurrency, 1));
	if (scan->kind == ASY_SCAN_GET || scan->kind == ASY_SCAN_FIND)
		fill_up(scan);
	else
		scan->talks[scan->ntalks++] = asy_talk_begin(scan->server, ask_of(scan->kind), &scan->in);
	MemoryContextSwitchTo(old);
}

/* ---- users ---- */

/*
 * Some look up more loosely than they are asked to, and then one user would come
 * by two questions.
 */
static bool
is_asked_for(const UserScan *scan, const AsyFound *found, const AsyTalk *talk)
{
	AuthUser	user;

	switch (scan->kind)
	{
		case ASY_SCAN_GET:
			asy_read_user(talk, found->json, found->node, ASY_BIT(ASY_ID), &user);
			return user.value[ASY_ID].present && strcmp(user.value[ASY_ID].text, talk->in.subject) == 0;
		case ASY_SCAN_FIND:
			asy_read_user(talk, found->json, found->node, ASY_BIT(ASY_EMAIL), &user);
			return user.value[ASY_EMAIL].present && strcmp(user.value[ASY_EMAIL].text, talk->in.email) == 0;
		default:
			return true;
	}
}

/* The next user, or false. What it refers to lives until the next call. */
static bool
next_user(UserScan *scan, AsyFound *found, const AsyTalk **of)
{
	for (;;)
	{
		MemoryContext old;

		if (scan->current >= 0)
		{
			int			n;
			const AsyFound *users = asy_talk_found(scan->talks[scan->current], &n);

			if (scan->at < n)
			{
				*found = users[scan->at++];
				*of = scan->talks[scan->current];
				if (!is_asked_for(scan, found, *of))
					continue;
				return true;
			}
			if (asy_talk_state(scan->talks[scan->current]) == ASY_TALK_DONE)
			{
				drop_talk(scan, scan->current);
				fill_up(scan);
			}
			scan->current = -1;
		}
		if (scan->ntalks == 0)
			return false;
		old = MemoryContextSwitchTo(scan->context);
		scan->current = asy_talks_wait(scan->talks, scan->ntalks, 0);
		MemoryContextSwitchTo(old);
		scan->at = 0;
		if (asy_talk_state(scan->talks[scan->current]) == ASY_TALK_FAILED)
			asy_fault_throw(scan->talks[scan->current]->fault, scan->server->name);
	}
}

static void
store_user(UserScan *scan, const AsyFound *found, const AsyTalk *talk, TupleTableSlot *slot)
{
	AuthUser	user;

	asy_read_user(talk, found->json, found->node, scan->wanted, &user);
	for (int i = 0; i < scan->natts; i++)
		slot->tts_isnull[i] = scan->fields[i] == ASY_NFIELDS || !(scan->wanted & ASY_BIT(scan->fields[i])) ||
			!asy_fdw_datum(&user, scan->fields[i], &slot->tts_values[i]);
	ExecStoreVirtualTuple(slot);
}

TupleTableSlot *
asy_fdw_next(ForeignScanState *node)
{
	UserScan   *scan = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	AsyFound	found;
	const AsyTalk *talk = NULL;

	ExecClearTuple(slot);
	if (scan->all_kept)
	{
		tuplestore_gettupleslot(scan->kept, true, false, slot);
		return slot;
	}
	if (!scan->begun)
		start(scan, node);
	if (scan->kind == ASY_SCAN_COUNT)
	{
		if (scan->counted)
			return slot;
		asy_talk_finish(scan->talks[0]);
		slot->tts_values[0] = Int64GetDatum(scan->talks[0]->count);
		slot->tts_isnull[0] = false;
		ExecStoreVirtualTuple(slot);
		scan->counted = true;
		return slot;
	}
	if (scan->found_nothing || !next_user(scan, &found, &talk))
	{
		if (scan->kept)
			scan->all_kept = true;
		return slot;
	}
	store_user(scan, &found, talk, slot);
	if (scan->kept)
		tuplestore_puttupleslot(scan->kept, slot);
	return slot;
}

/* Begins again with the talks; the cost so far stays. */
static void
forget(UserScan *scan)
{
	while (scan->ntalks > 0)
		drop_talk(scan, 0);
	scan->begun = scan->found_nothing = scan->counted = false;
	scan->nasked = scan->next_asked = 0;
	scan->current = -1;
	scan->at = 0;
	MemoryContextReset(scan->context);
}

void
asy_fdw_rescan(ForeignScanState *node)
{
	UserScan   *scan = node->fdw_state;
	bool		changed = node->ss.ps.chgParam != NULL;

	if (!scan->begun && !scan->all_kept)
		return;
	if (scan->all_kept && !changed)
	{
		tuplestore_rescan(scan->kept);
		return;
	}
	if (scan->kept)
		tuplestore_end(scan->kept);
	scan->kept = NULL;
	scan->all_kept = false;
	forget(scan);

	/* Who came back once will come back again, unless each time for something else. */
	if (!changed && scan->kind != ASY_SCAN_COUNT)
	{
		MemoryContext old = MemoryContextSwitchTo(node->ss.ps.state->es_query_cxt);

		scan->kept = tuplestore_begin_heap(false, false, work_mem);
		MemoryContextSwitchTo(old);
	}
}

void
asy_fdw_end(ForeignScanState *node)
{
	UserScan   *scan = node->fdw_state;

	if (scan == NULL)
		return;
	if (scan->kept)
		tuplestore_end(scan->kept);
	MemoryContextDelete(scan->context);
}

/* ---- EXPLAIN ---- */

/* The request that comes first, with ID or EMAIL for what is not known yet; "…" says that more may follow. */
static const char *
first_request(UserScan *scan, List *values)
{
	AsyInput	in = scan->in;
	AsyTalk    *talk;
	Expr	   *value = values == NIL ? NULL : linitial(values);
	Const	   *known = value && IsA(value, Const) && !((Const *) value)->constisnull ? (Const *) value : NULL;
	const char *path;

	in.subject = in.email = known && known->consttype == TEXTOID ? TextDatumGetCString(known->constvalue) :
		scan->kind == ASY_SCAN_GET ? "ID" : "EMAIL";
	if (scan->kind == ASY_SCAN_SINCE)
	{
		in.has_since = true;
		in.since = known ? DatumGetTimestampTz(known->constvalue) : GetCurrentTimestamp();
	}
	talk = asy_talk_sketch(scan->server, ask_of(scan->kind), &in);
	if (talk->nrequests == 0)
		return "none";
	path = talk->requests[0].url + strlen(scan->server->url);
	return psprintf("%s %s%s", talk->requests[0].method, path, (known && !scan->many && scan->kind != ASY_SCAN_SINCE) || scan->kind == ASY_SCAN_COUNT ? "" : " …");
}

void
asy_fdw_explain(ForeignScanState *node, ExplainState *es)
{
	UserScan   *scan = node->fdw_state;
	ForeignScan *plan = (ForeignScan *) node->ss.ps.plan;

	if (es->verbose)
	{
		ExplainPropertyText("Provider", psprintf("%s (%s)", scan->server->name, scan->server->provider->title), es);
		ExplainPropertyText("Request", first_request(scan, plan->fdw_exprs), es);
	}
	if (es->analyze)
	{
		AsyTalkCost cost = scan->cost;

		for (int i = 0; i < scan->ntalks; i++)
			add_cost(&cost, asy_talk_cost(scan->talks[i]));
		ExplainPropertyInteger("Requests", NULL, cost.requests, es);
		if (cost.retries > 0)
			ExplainPropertyInteger("Requests Repeated", NULL, cost.retries, es);
		ExplainPropertyInteger("Bytes", NULL, cost.bytes, es);
		if (es->timing)
		{
			ExplainPropertyInteger("Waited For Answers", "ms", cost.waited_ms, es);
			if (cost.throttled_ms > 0)
				ExplainPropertyInteger("Waited For Leave To Ask", "ms", cost.throttled_ms, es);
		}
	}
}
