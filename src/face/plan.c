/*
 * plan.c
 *	  Plans as their owners see them: applied, cancelled, undone.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "sync/backfill.h"
#include "sync/plan_profile.h"
#include "sync/undo.h"

PG_FUNCTION_INFO_V1(authsync_apply);
PG_FUNCTION_INFO_V1(authsync_cancel);
PG_FUNCTION_INFO_V1(authsync_undo);

/* Users a statement, where a plan by rule is gone on with. */
#define BATCH 1000

static const char *const intention[ASY_NACTIONS] = {"create", "update", "disable", "delete", "link", NULL};

/* "Would delete 5 profiles", or what was done with them. */
static char *
message_of(const AsyPlan *plan, const char *note)
{
	StringInfoData text;
	int64		total = 0;

	initStringInfo(&text);
	switch (plan->state)
	{
		case ASY_STATE_BRAKED:
			appendStringInfo(&text, "Stopped by the brake: %s; authsync.apply(" INT64_FORMAT ", override_brake => true) goes on, authsync.cancel(" INT64_FORMAT ") drops it",
							 plan->brake, plan->plan_id, plan->plan_id);
			break;
		case ASY_STATE_APPLIED:
		case ASY_STATE_PARTLY_APPLIED:
			appendStringInfo(&text, INT64_FORMAT " of " INT64_FORMAT " changes made", plan->counts.done,
							 plan->counts.done + plan->counts.failed + plan->counts.stale);
			if (plan->counts.failed)
				appendStringInfo(&text, "; " INT64_FORMAT " failed", plan->counts.failed);
			if (plan->counts.stale)
				appendStringInfo(&text, "; " INT64_FORMAT " stale and left", plan->counts.stale);
			break;
		default:
			for (int i = 0; i < ASY_NACTIONS; i++)
				if (intention[i] && plan->counts.intended[i] > 0)
				{
					appendStringInfo(&text, "%s%s " INT64_FORMAT " profile%s", total ? ", " : "Would ", intention[i],
									 plan->counts.intended[i], plan->counts.intended[i] == 1 ? "" : "s");
					total += plan->counts.intended[i];
				}
			if (total == 0)
				appendStringInfoString(&text, "Nothing to do");
	}
	if (note)
		appendStringInfoString(&text, note);
	return text.data;
}

static Datum
result_of(const AsyPlan *plan, bool dry_run, const char *note)
{
	Datum		result = DirectFunctionCall1(jsonb_in, CStringGetDatum(asy_plan_rows_result(plan, dry_run, message_of(plan, note))));

	result = SPI_datumTransfer(result, false, -1);
	SPI_finish();
	return result;
}

/* The whole plan, or nothing where the brake stops it. */
static void
apply(AsyBinding *b, AsyPlan *plan, bool override_brake)
{
	if (strcmp(plan->kind, "backfill") == 0)
	{
		AsyJob		job = {.kind = ASY_JOB_BACKFILL, .plan = *plan};

		asy_job_run(b, &job, BATCH);
		*plan = job.plan;
		return;
	}
	if (strcmp(plan->target, b->profiles_name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("plan " INT64_FORMAT " is about %s, not about %s", plan->plan_id, plan->target, b->profiles_name),
				 errdetail("Profiles are in another table since."),
				 errhint("SELECT authsync.cancel(" INT64_FORMAT ");", plan->plan_id)));
	if (asy_plan_rows_is_braked(plan) && !override_brake)
		plan->state = ASY_STATE_BRAKED;
	else
	{
		asy_plan_profile_apply(b, plan);
		plan->state = asy_plan_end(&plan->counts);
	}
	asy_plan_rows_save(plan);
}

Datum
authsync_apply(PG_FUNCTION_ARGS)
{
	AsyBinding *b;
	AsyPlan    *plan;

	if (PG_ARGISNULL(0))
		asy_error_null("plan_id");
	if (PG_ARGISNULL(1))
		asy_error_null("override_brake");
	PreventCommandIfReadOnly("authsync.apply()");
	b = asy_binding_require_profiles();
	SPI_connect();
	plan = asy_plan_rows_get_for(PG_GETARG_INT64(0), ASY_VERB_APPLY, true);
	if (!PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("plan " INT64_FORMAT " takes no password", plan->plan_id),
				 errdetail("It makes no account at a provider."),
				 errhint("SELECT authsync.apply(" INT64_FORMAT ");", plan->plan_id)));
	apply(b, plan, PG_GETARG_BOOL(1));
	return result_of(plan, false, NULL);
}

Datum
authsync_cancel(PG_FUNCTION_ARGS)
{
	AsyPlan    *plan;
	bool		can;

	if (PG_ARGISNULL(0))
		asy_error_null("plan_id");
	PreventCommandIfReadOnly("authsync.cancel()");
	SPI_connect();
	plan = asy_plan_rows_get(PG_GETARG_INT64(0), true);
	can = asy_plan_can(ASY_VERB_CANCEL, plan->state);
	if (can)
	{
		plan->state = ASY_STATE_CANCELLED;
		asy_plan_rows_save(plan);
	}
	SPI_finish();
	PG_RETURN_BOOL(can);
}

/*
 * undo(plan_id, dry_run): the dry run leaves its plan, open, for apply(); in a
 * READ ONLY transaction or on a standby it counts, and leaves none.
 */
Datum
authsync_undo(PG_FUNCTION_ARGS)
{
	AsyBinding *b;
	AsyPlan    *of;
	AsyPlan    *undo;
	char	   *note;
	bool		dry_run;
	bool		can_write = !XactReadOnly && !RecoveryInProgress();

	if (PG_ARGISNULL(0))
		asy_error_null("plan_id");
	if (PG_ARGISNULL(1))
		asy_error_null("dry_run");
	dry_run = PG_GETARG_BOOL(1);
	if (!dry_run)
		PreventCommandIfReadOnly("authsync.undo() with dry_run => false");
	b = asy_binding_require_profiles();
	SPI_connect();
	of = asy_plan_rows_get_for(PG_GETARG_INT64(0), ASY_VERB_UNDO, false);
	undo = asy_undo_plan(b, of, &note);
	if (can_write)
		asy_undo_store(b, of, undo);
	if (!dry_run)
		apply(b, undo, false);
	return result_of(undo, dry_run, note);
}
