/*
 * handler.c
 *	  What the foreign-data wrapper answers to.
 */
#include "postgres.h"

#include "fmgr.h"

#include "fdw/fdw.h"

PG_FUNCTION_INFO_V1(authsync_fdw_handler);

Datum
authsync_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *r = makeNode(FdwRoutine);

	(void) fcinfo;
	r->GetForeignRelSize = asy_fdw_size;
	r->GetForeignPaths = asy_fdw_paths;
	r->GetForeignPlan = asy_fdw_plan;
	r->GetForeignUpperPaths = asy_fdw_upper_paths;
	r->BeginForeignScan = asy_fdw_begin;
	r->IterateForeignScan = asy_fdw_next;
	r->ReScanForeignScan = asy_fdw_rescan;
	r->EndForeignScan = asy_fdw_end;
	r->ExplainForeignScan = asy_fdw_explain;
	r->IsForeignRelUpdatable = asy_fdw_updatable;
	r->AddForeignUpdateTargets = asy_fdw_add_targets;
	r->PlanForeignModify = asy_fdw_plan_modify;
	r->BeginForeignModify = asy_fdw_begin_modify;
	r->BeginForeignInsert = asy_fdw_begin_insert;
	r->GetForeignModifyBatchSize = asy_fdw_batch_size;
	r->ExecForeignInsert = asy_fdw_insert;
	r->ExecForeignBatchInsert = asy_fdw_insert_batch;
	r->ExecForeignUpdate = asy_fdw_update;
	r->ExecForeignDelete = asy_fdw_delete;
	r->EndForeignModify = asy_fdw_end_modify;
	r->EndForeignInsert = asy_fdw_end_modify;
	r->ImportForeignSchema = asy_fdw_import;
	PG_RETURN_POINTER(r);
}
