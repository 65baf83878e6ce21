/*
 * fdw.h
 *	  The files of the foreign-data wrapper, by the question that each answers.
 */
#ifndef AUTHSYNC_FDW_H
#define AUTHSYNC_FDW_H

#include "foreign/fdwapi.h"

#include "fdw/pushdown.h"

/* What a scan's plan carries (fdw_private), in this order. */
typedef enum AsyPlanPrivate
{
	ASY_PRIVATE_KIND,			/* AsyScanKind */
	ASY_PRIVATE_MANY,			/* bool: the value is an array */
	ASY_PRIVATE_LIMIT,			/* users wanted at most; 0: all */
	ASY_PRIVATE_WANTED,			/* fields, as a set of bits */
	ASY_PRIVATE_SERVER,			/* Oid */
	ASY_PRIVATE_RELATION		/* Oid */
} AsyPlanPrivate;

/* path.c: how large, how dear, by which way */
extern void asy_fdw_size(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern void asy_fdw_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid);
extern ForeignScan *asy_fdw_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path, List *tlist, List *clauses, Plan *outer);
extern void asy_fdw_upper_paths(PlannerInfo *root, UpperRelationKind stage, RelOptInfo *input, RelOptInfo *output, void *extra);

/* scan.c */
extern void asy_fdw_begin(ForeignScanState *node, int flags);
extern TupleTableSlot *asy_fdw_next(ForeignScanState *node);
extern void asy_fdw_rescan(ForeignScanState *node);
extern void asy_fdw_end(ForeignScanState *node);
extern void asy_fdw_explain(ForeignScanState *node, struct ExplainState *es);

/* modify.c */
extern int	asy_fdw_updatable(Relation rel);
extern void asy_fdw_add_targets(PlannerInfo *root, Index rti, RangeTblEntry *rte, Relation rel);
extern List *asy_fdw_plan_modify(PlannerInfo *root, ModifyTable *plan, Index rti, int index);
extern void asy_fdw_begin_modify(ModifyTableState *mt, ResultRelInfo *rri, List *private, int index, int flags);
extern void asy_fdw_begin_insert(ModifyTableState *mt, ResultRelInfo *rri);
extern int	asy_fdw_batch_size(ResultRelInfo *rri);
extern TupleTableSlot *asy_fdw_insert(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan);
extern TupleTableSlot **asy_fdw_insert_batch(EState *estate, ResultRelInfo *rri, TupleTableSlot **slots, TupleTableSlot **plans, int *n);
extern TupleTableSlot *asy_fdw_update(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan);
extern TupleTableSlot *asy_fdw_delete(EState *estate, ResultRelInfo *rri, TupleTableSlot *slot, TupleTableSlot *plan);
extern void asy_fdw_end_modify(EState *estate, ResultRelInfo *rri);

/* import.c */
extern List *asy_fdw_import(ImportForeignSchemaStmt *stmt, Oid server);

#endif
