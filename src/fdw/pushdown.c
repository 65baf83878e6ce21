/*
 * pushdown.c
 *	  Which conditions of a query can be asked of the provider.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/clauses.h"
#include "optimizer/optimizer.h"
#include "optimizer/restrictinfo.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"

#include "fdw/option.h"
#include "fdw/pushdown.h"

/* A column of the table itself, through a relabelling. */
static bool
is_column(Node *node, RelOptInfo *rel, Oid relid, AsyField *field)
{
	Var		   *var;

	if (IsA(node, RelabelType))
		node = (Node *) ((RelabelType *) node)->arg;
	if (!IsA(node, Var))
		return false;
	var = (Var *) node;
	if (var->varno != (int) rel->relid || var->varlevelsup != 0)
		return false;
	*field = asy_fdw_field(relid, var->varattno);
	return *field != ASY_NFIELDS;
}

/* Whether it reads the table itself. */
static bool
mentions(Node *node, void *relid)
{
	if (node == NULL)
		return false;
	if (IsA(node, Var))
		return ((Var *) node)->varno == *(int *) relid;
	return expression_tree_walker(node, mentions, relid);
}

/* Known before the scan begins, and the same until its end. */
static bool
is_fixed(Node *node, RelOptInfo *rel)
{
	int			relid = (int) rel->relid;

	return !mentions(node, &relid) && !contain_volatile_functions(node) && !contain_subplans(node);
}

static bool
compares_exactly(Oid collation)
{
	return !OidIsValid(collation) || get_collation_isdeterministic(collation);
}

/* What the condition asks for, if it is of a kind that we know. */
static bool
understand(const AsyServer *server, RelOptInfo *rel, Oid relid, Expr *clause, AsyPushdown *found)
{
	AsyField	field;

	memset(found, 0, sizeof(AsyPushdown));
	if (IsA(clause, OpExpr))
	{
		OpExpr	   *op = (OpExpr *) clause;
		Oid			opno = op->opno;
		Node	   *left;
		Node	   *right;
		RegProcedure function;

		if (list_length(op->args) != 2)
			return false;
		left = linitial(op->args);
		right = lsecond(op->args);
		if (!is_column(left, rel, relid, &field))
		{
			Node	   *swap = left;

			left = right;
			right = swap;
			opno = get_commutator(opno);
			if (!OidIsValid(opno) || !is_column(left, rel, relid, &field))
				return false;
		}
		if (!is_fixed(right, rel))
			return false;
		function = get_opcode(opno);
		found->value = (Expr *) right;
		if (function == F_TEXTEQ && compares_exactly(op->inputcollid))
			found->kind = field == ASY_ID ? ASY_SCAN_GET : field == ASY_EMAIL ? ASY_SCAN_FIND : ASY_SCAN_LIST;
		else if ((function == F_TIMESTAMPTZ_GE || function == F_TIMESTAMPTZ_GT) && field == ASY_UPDATED_AT)
			found->kind = ASY_SCAN_SINCE;
	}
	else if (IsA(clause, ScalarArrayOpExpr))
	{
		ScalarArrayOpExpr *op = (ScalarArrayOpExpr *) clause;

		if (!op->useOr || get_opcode(op->opno) != F_TEXTEQ || !compares_exactly(op->inputcollid) ||
			!is_column(linitial(op->args), rel, relid, &field) || !is_fixed(lsecond(op->args), rel))
			return false;
		found->value = lsecond(op->args);
		found->many = true;
		found->kind = field == ASY_ID ? ASY_SCAN_GET : field == ASY_EMAIL ? ASY_SCAN_FIND : ASY_SCAN_LIST;
	}
	switch (found->kind)
	{
		case ASY_SCAN_GET:
			return server->provider->ask[ASY_ASK_GET] != NULL;
		case ASY_SCAN_FIND:
			return server->provider->ask[ASY_ASK_FIND] != NULL;
		case ASY_SCAN_SINCE:
			return (server->provider->can & ASY_CAN_CHANGES) != 0;
		default:
			return false;
	}
}

AsyPushdown
asy_pushdown_choose(const AsyServer *server, RelOptInfo *rel, Oid relid, List *conditions)
{
	AsyPushdown best = {.kind = ASY_SCAN_LIST};
	ListCell   *lc;

	foreach(lc, conditions)
	{
		RestrictInfo *info = lfirst_node(RestrictInfo, lc);
		AsyPushdown found;

		if (info->pseudoconstant || !understand(server, rel, relid, info->clause, &found))
			continue;
		if (found.kind > best.kind || (found.kind == best.kind && best.many && !found.many))
			best = found;
	}
	return best;
}
