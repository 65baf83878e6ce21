/*
 * plan_rows.h
 *	  Plans as they are stored: authsync.plans and authsync.plan_items.
 *
 * Callers have switched to the extension's owner and connected to SPI.
 */
#ifndef AUTHSYNC_PLAN_ROWS_H
#define AUTHSYNC_PLAN_ROWS_H

#include "ground/db.h"
#include "sync/plan.h"

typedef struct AsyPlan
{
	int64		plan_id;		/* 0: not stored */
	const char *kind;			/* backfill, resync, undo */
	const char *source;			/* where its changes come from */
	const char *target;			/* what it changes: a table's name */
	AsyPlanState state;
	AsyPlanCounts counts;
	int64		remaining;		/* by rule: what it is still about when it ends; -1: does not apply */
	char	   *brake;			/* why it was braked, or NULL */
} AsyPlan;

/* Items, gathered for one insert; what differs between old and new becomes their changes. All but action and state may be NULL. */
typedef struct AsyItems
{
	int			n;
	int			room;
	AsyAction  *action;
	const char **situation;
	Datum	   *user_id;		/* (Datum) 0: none */
	const char **subject;
	Datum	   *old_values;		/* jsonb {"field": value}, before and after; (Datum) 0: there is no row */
	Datum	   *new_values;
	const char **state;			/* open, done, failed, stale, skipped */
	AsyFailure **failure;
} AsyItems;

extern AsyItems *asy_plan_rows_items(void);
extern void asy_plan_rows_add(AsyItems *items, AsyAction action, const char *situation, Datum user_id,
							  Datum old_values, Datum new_values, const char *state, AsyFailure *failure);

/* Stores the plan and gives it its number; counts, state and brake again. The latter writes event plan_applied when it has ended. */
extern void asy_plan_rows_create(AsyPlan *plan);
extern void asy_plan_rows_save(AsyPlan *plan);

/* Appends items to a stored plan, numbered on. */
extern void asy_plan_rows_append(const AsyPlan *plan, const AsyItems *items);

/*
 * The stored plan; hold: its row is held until the transaction ends. 42704:
 * there is none. get_for: 55000 where the verb is not for its state.
 */
extern AsyPlan *asy_plan_rows_get(int64 plan_id, bool hold);
extern AsyPlan *asy_plan_rows_get_for(int64 plan_id, AsyPlanVerb verb, bool hold);

/*
 * Checks the whole plan against the brake, with what was removed from the same
 * target in the last 24 hours. Nobody else can apply a plan to that target
 * until we end. True: braked, and plan->brake says why.
 */
extern bool asy_plan_rows_is_braked(AsyPlan *plan);

/* The object that section 4's calls return, as text. message says what was or would be done. */
extern char *asy_plan_rows_result(const AsyPlan *plan, bool dry_run, const char *message);

/* Plans that nobody applied go after 7 days, the others with their events; at most limit items. Less: there are no more. */
extern int64 asy_plan_rows_trim(int limit);

#endif
