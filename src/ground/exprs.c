/*
 * exprs.c
 *	  What a statement computes for a row, without running the statement.
 */
#include "postgres.h"

#include "access/transam.h"
#include "executor/executor.h"
#include "nodes/nodeFuncs.h"
#include "nodes/params.h"
#include "nodes/plannodes.h"
#include "utils/memutils.h"
#include "utils/plancache.h"

#include "compat.h"
#include "ground/db.h"
#include "ground/exprs.h"

struct AsyExprs
{
	int			n;
	ExprState **state;
	ExprContext *econtext;
	ParamListInfo params;		/* NULL: none */
};

static bool
is_not_the_servers(Oid function, void *context pg_attribute_unused())
{
	return function >= FirstNormalObjectId;
}

/*
 * A domain's constraints and another's function may change without the table
 * or the binding hearing of it; then a statement is planned again, and we would not be.
 */
static bool
is_not_plain(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, SubPlan) || IsA(node, AlternativeSubPlan) || IsA(node, CoerceToDomain) || IsA(node, Aggref) || IsA(node, WindowFunc))
		return true;
	if (IsA(node, Param) && ((Param *) node)->paramkind != PARAM_EXTERN)
		return true;
	if (IsA(node, List))
		return expression_tree_walker(node, is_not_plain, context);
	if (check_functions_in_node(node, is_not_the_servers, context))
		return true;
	return expression_tree_walker(node, is_not_plain, context);
}

/* The list of a plan that does nothing but make it, and perhaps insert it; NIL else. */
static List *
plain_list(const PlannedStmt *stmt)
{
	const Plan *plan = stmt->planTree;
	ListCell   *lc;

	if (IsA(plan, ModifyTable) && ((const ModifyTable *) plan)->operation == CMD_INSERT && plan->initPlan == NIL)
		plan = plan->lefttree;	/* one expression a column of the table, cast and with its default */
	if (stmt->subplans != NIL || plan->qual != NIL || plan->initPlan != NIL || plan->lefttree != NULL || plan->righttree != NULL)
		return NIL;
	if (!(IsA(plan, SeqScan) || IsA(plan, IndexScan) || (IsA(plan, Result) && ((const Result *) plan)->resconstantqual == NULL)))
		return NIL;
	foreach(lc, plan->targetlist)
	{
		TargetEntry *entry = lfirst(lc);

		if (entry->resjunk || is_not_plain((Node *) entry->expr, NULL))
			return NIL;
	}
	return plan->targetlist;
}

AsyExprs *
asy_exprs_prepare(const char *sql, int nargs, Oid *types)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, CURSOR_OPT_GENERIC_PLAN);
	CachedPlan *cached = plan ? SPI_plan_get_cached_plan(plan) : NULL;
	AsyExprs   *exprs = NULL;
	List	   *list;
	ListCell   *lc;

	MemoryContextSwitchTo(context);
	if (cached == NULL)
		return NULL;
	list = list_length(cached->stmt_list) == 1 ? copyObject(plain_list(linitial_node(PlannedStmt, cached->stmt_list))) : NIL;
	ReleaseCachedPlan(cached, NULL);	/* no resource owner knows of a plan that is not kept */
	SPI_freeplan(plan);
	if (list == NIL)
		return NULL;

	exprs = palloc0(sizeof(AsyExprs));
	exprs->econtext = CreateStandaloneExprContext();
	if (nargs > 0)
	{
		exprs->params = makeParamList(nargs);
		for (int i = 0; i < nargs; i++)
		{
			exprs->params->params[i].pflags = PARAM_FLAG_CONST;
			exprs->params->params[i].ptype = types[i];
		}
		exprs->econtext->ecxt_param_list_info = exprs->params;
	}
	exprs->state = palloc(sizeof(ExprState *) * list_length(list));
	foreach(lc, list)
	{
		TargetEntry *entry = lfirst(lc);

		exprs->state[exprs->n++] = ExecInitExprWithParams(entry->expr, exprs->params);
	}
	return exprs;
}

int
asy_exprs_count(const AsyExprs *exprs)
{
	return exprs->n;
}

void
asy_exprs_evaluate(AsyExprs *exprs, TupleTableSlot *row, const Datum *params, const bool *param_nulls, Datum *values, bool *nulls)
{
	MemoryContext old;

	ResetExprContext(exprs->econtext);
	exprs->econtext->ecxt_scantuple = row;
	for (int i = 0; exprs->params && i < exprs->params->numParams; i++)
	{
		exprs->params->params[i].value = params[i];
		exprs->params->params[i].isnull = param_nulls[i];
	}
	old = MemoryContextSwitchTo(exprs->econtext->ecxt_per_tuple_memory);
	for (int i = 0; i < exprs->n; i++)
		values[i] = ExecEvalExpr(exprs->state[i], exprs->econtext, &nulls[i]);
	MemoryContextSwitchTo(old);
}
