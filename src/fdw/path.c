/*
 * path.c
 *	  How many users a scan finds, what it costs, and its plan.
 *
 * A request costs as much as reading many pages of a table; that much is said,
 * and no more is known, without asking the provider while planning.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/restrictinfo.h"
#include "optimizer/tlist.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/selfuncs.h"

#include "compat.h"
#include "fdw/fdw.h"
#include "fdw/option.h"

/* A request, in the planner's units: about a hundred pages read one by one. */
#define REQUEST_COST 400.0

/* Users of a provider of which nothing is known. */
#define USERS_UNKNOWN 10000

typedef struct Known
{
	AsyServer  *server;
	AsyPushdown pushdown;
	double		requests;
	Oid			relid;
} Known;

void
asy_fdw_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	Known	   *known = palloc0(sizeof(Known));
	double		users = rel->tuples > 0 ? rel->tuples : USERS_UNKNOWN;

	known->relid = relid;
	known->server = asy_server_describe(GetForeignTable(relid)->serverid);
	known->pushdown = asy_pushdown_choose(known->server, rel, relid, rel->baserestrictinfo);
	rel->fdw_private = known;
	rel->tuples = users;
	set_baserel_size_estimates(root, rel);
	switch (known->pushdown.kind)
	{
		case ASY_SCAN_GET:
		case ASY_SCAN_FIND:
			known->requests = known->pushdown.many ? 10 : 1;
			rel->rows = clamp_row_est(Min(rel->rows, known->requests));
			break;
		case ASY_SCAN_SINCE:
			known->requests = Max(1, rel->rows / known->server->page_size);
			break;
		default:
			known->requests = Max(1, users / known->server->page_size);
			break;
	}
}

/*
 * The most rows that the query takes from here, where LIMIT stands directly
 * above: the size of the page to ask for. 0: all of them.
 */
static int64
wanted_at_most(PlannerInfo *root, RelOptInfo *rel)
{
	Query	   *parse = root->parse;

	if (root->limit_tuples <= 0 || root->limit_tuples > 1e9 || bms_membership(root->all_baserels) != BMS_SINGLETON ||
		rel->baserestrictinfo != NIL || parse->hasAggs || parse->groupClause || parse->groupingSets || parse->distinctClause ||
		parse->sortClause || parse->hasWindowFuncs || parse->hasTargetSRFs || parse->setOperations)
		return 0;
	return (int64) root->limit_tuples;
}

/* A member of an equivalence class that is a column to ask by. */
static bool
is_asked_by(PlannerInfo *root, RelOptInfo *rel, EquivalenceClass *ec, EquivalenceMember *em, void *arg)
{
	Known	   *known = arg;
	Node	   *node = (Node *) em->em_expr;

	(void) root;
	(void) ec;
	if (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!IsA(node, Var) || ((Var *) node)->varno != (int) rel->relid)
		return false;
	switch (asy_fdw_field(known->relid, ((Var *) node)->varattno))
	{
		case ASY_ID:
			return known->server->provider->ask[ASY_ASK_GET] != NULL;
		case ASY_EMAIL:
			return known->server->provider->ask[ASY_ASK_FIND] != NULL;
		default:
			return false;
	}
}

/* One request for each row of another table that is joined by id or e-mail: for few rows cheaper than a listing. */
static void
add_joined_paths(PlannerInfo *root, RelOptInfo *rel, Known *known)
{
	List	   *clauses;
	ListCell   *lc;

	clauses = list_copy(rel->joininfo);
	if (rel->has_eclass_joins)
		clauses = list_concat(clauses, generate_implied_equalities_for_column(root, rel, is_asked_by, known, rel->lateral_referencers));
	foreach(lc, clauses)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, lc);
		Relids		outer;

		if (!join_clause_is_movable_to(info, rel) ||
			asy_pushdown_choose(known->server, rel, known->relid, list_make1(info)).value == NULL)
			continue;
		outer = bms_del_member(bms_union(info->clause_relids, rel->lateral_relids), rel->relid);
		if (bms_is_empty(outer))
			continue;
		add_path(rel, (Path *) asy_create_joined_foreignscan_path(root, rel, 1, REQUEST_COST, REQUEST_COST + cpu_tuple_cost * 10, outer,
																 list_make1(makeInteger(0))));
	}
}

void
asy_fdw_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	Known	   *known = rel->fdw_private;
	Cost		startup = REQUEST_COST + rel->baserestrictcost.startup;
	Cost		total = startup + REQUEST_COST * (known->requests - 1) + (cpu_tuple_cost * 10 + rel->baserestrictcost.per_tuple) * rel->rows;

	(void) relid;
	add_path(rel, (Path *) asy_create_foreignscan_path(root, rel, NULL, rel->rows, startup, total, NIL,
													  list_make1(makeInteger((int) wanted_at_most(root, rel)))));
	if (known->pushdown.kind < ASY_SCAN_FIND)
		add_joined_paths(root, rel, known);
}

/* The fields that what is above and the conditions read. (The plan's target list may be left to whoever projects.) */
static uint32
wanted_fields(Oid relid, RelOptInfo *base, List *clauses)
{
	Bitmapset  *attrs = NULL;
	Relation	rel = table_open(relid, NoLock);
	TupleDesc	desc = RelationGetDescr(rel);
	AsyField   *fields = asy_fdw_fields(desc);
	uint32		wanted = 0;
	ListCell   *lc;

	pull_varattnos((Node *) base->reltarget->exprs, base->relid, &attrs);
	foreach(lc, clauses)
		pull_varattnos((Node *) lfirst_node(RestrictInfo, lc)->clause, base->relid, &attrs);
	for (int i = 0; i < desc->natts; i++)
		if (fields[i] != ASY_NFIELDS &&
			(bms_is_member(i + 1 - FirstLowInvalidHeapAttributeNumber, attrs) || bms_is_member(0 - FirstLowInvalidHeapAttributeNumber, attrs)))
			wanted |= ASY_BIT(fields[i]);
	table_close(rel, NoLock);
	return wanted;
}

static List *
private_list(AsyScanKind kind, bool many, int64 limit, uint32 wanted, Oid server, Oid relid)
{
	Const	   *oids[] = {
		makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(server), false, true),
		makeConst(OIDOID, -1, InvalidOid, sizeof(Oid), ObjectIdGetDatum(relid), false, true)
	};

	return lappend(lappend(list_make4(makeInteger(kind), makeInteger(many), makeInteger((int) limit), makeInteger((int) wanted)), oids[0]), oids[1]);
}

ForeignScan *
asy_fdw_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist, List *clauses, Plan *outer)
{
	(void) root;
	if (IS_UPPER_REL(rel))
		return make_foreignscan(tlist, NIL, 0, NIL, path->fdw_private, tlist, NIL, NULL);
	else
	{
		Known	   *known = rel->fdw_private;
		AsyPushdown joined = asy_pushdown_choose(known->server, rel, relid, clauses);
		AsyPushdown *p = path->path.param_info ? &joined : &known->pushdown;
		List	   *private = private_list(p->kind, p->many, intVal(linitial(path->fdw_private)), wanted_fields(relid, rel, clauses),
										  known->server->oid, relid);

		/* All conditions are checked here too. */
		return make_foreignscan(tlist, extract_actual_clauses(clauses, false), rel->relid,
								p->value ? list_make1(p->value) : NIL, private, NIL, NIL, outer);
	}
}

/* count(*) over everybody, and nothing else: one request where the provider counts. */
void
asy_fdw_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output, void *extra)
{
	Known	   *known = input->fdw_private;
	Query	   *parse = root->parse;
	PathTarget *target = root->upper_targets[UPPERREL_GROUP_AGG];
	Aggref	   *agg;

	(void) extra;
	if (stage != UPPERREL_GROUP_AGG || known == NULL || output->fdw_private || !IS_SIMPLE_REL(input) || input->baserestrictinfo != NIL ||
		parse->groupClause || parse->groupingSets || parse->havingQual || parse->rowMarks ||
		known->server->provider->ask[ASY_ASK_COUNT] == NULL ||
		list_length(target->exprs) != 1 || !IsA(linitial(target->exprs), Aggref))
		return;
	agg = linitial_node(Aggref, target->exprs);
	if (agg->aggfnoid != F_COUNT_ || !agg->aggstar || agg->aggfilter || agg->aggdistinct)
		return;
	output->fdw_private = known;
	add_path(output, (Path *) asy_create_foreign_upper_path(root, output, target, 1, REQUEST_COST, REQUEST_COST, NIL,
														   private_list(ASY_SCAN_COUNT, false, 0, 0, known->server->oid, known->relid)));
}
