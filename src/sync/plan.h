/*
 * plan.h
 *	  The rules of plans: what may be done in which state, how one ends, and
 *	  when the brake stops it. Pure: numbers in, decisions out; no SPI.
 *
 * A plan is listed (authsync.plan_items holds an item a change) or by rule
 * (what it is about is found by a predicate when it is applied, and only what
 * could not be done becomes an item).
 */
#ifndef AUTHSYNC_PLAN_H
#define AUTHSYNC_PLAN_H

/* As authsync.plan_items.action has it. */
typedef enum AsyAction
{
	ASY_ACTION_CREATE,
	ASY_ACTION_UPDATE,
	ASY_ACTION_DISABLE,
	ASY_ACTION_DELETE,
	ASY_ACTION_LINK,
	ASY_ACTION_SKIP,			/* looked at and left alone; situation says why */
	ASY_NACTIONS
} AsyAction;

extern const char *const asy_plan_action_name[ASY_NACTIONS];

/* ASY_NACTIONS: no such name. */
extern AsyAction asy_plan_action(const char *name);

/* What undoes it; ASY_ACTION_SKIP where nothing does. */
extern AsyAction asy_plan_inverse(AsyAction action);

/* As authsync.plans.state has it. */
typedef enum AsyPlanState
{
	ASY_STATE_OPEN,				/* made, not applied */
	ASY_STATE_APPLYING,			/* commits as it goes: under way, or killed */
	ASY_STATE_APPLIED,
	ASY_STATE_PARTLY_APPLIED,	/* something failed or was stale */
	ASY_STATE_CANCELLED,
	ASY_STATE_BRAKED,			/* waits for apply(override_brake => true), or cancel */
	ASY_NSTATES
} AsyPlanState;

extern const char *const asy_plan_state_name[ASY_NSTATES];
extern AsyPlanState asy_plan_state(const char *name);

typedef enum AsyPlanVerb
{
	ASY_VERB_APPLY,
	ASY_VERB_CANCEL,
	ASY_VERB_UNDO
} AsyPlanVerb;

extern bool asy_plan_can(AsyPlanVerb verb, AsyPlanState state);

/* The numbers of a plan: what was intended, by action, and what became of it. */
typedef struct AsyPlanCounts
{
	int64		source_total;	/* rows of the side that it was made from; -1: not counted */
	int64		target_total;	/* rows of the side that it changes, before; -1: not counted */
	int64		intended[ASY_NACTIONS];
	int64		disputed;
	int64		done;
	int64		failed;
	int64		stale;			/* changed since the plan was made, and left */
} AsyPlanCounts;

/* The state in which applying ends. */
extern AsyPlanState asy_plan_end(const AsyPlanCounts *counts);

/* Rows that the plan would remove: deleted or disabled. Creating and updating remove nothing. */
extern int64 asy_plan_removes(const AsyPlanCounts *counts);

/* The brake: percent of our side, or count, whichever is less; a side smaller than floor counts as floor. */
typedef struct AsyBrake
{
	int			percent;
	int			count;
	int			floor;
} AsyBrake;

/*
 * How many rows may go in 24 hours of a side that has so many now, where that
 * many went in those hours already.
 */
extern int64 asy_plan_brake_limit(AsyBrake brake, int64 now, int64 lately);

/* Whether that is too many; never, where nothing would be removed. */
extern bool asy_plan_is_braked(AsyBrake brake, int64 now, int64 lately, int64 removes);

#endif
