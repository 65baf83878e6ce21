/*
 * prepared.h
 *	  The saved plans of a binding.
 */
#ifndef AUTHSYNC_PREPARED_H
#define AUTHSYNC_PREPARED_H

#include "sync/binding.h"

typedef enum AsyPlanKind
{
	ASY_PLAN_BY_IDS,
	ASY_PLAN_HELD,
	ASY_PLAN_NEW_ROWS,
	ASY_PLAN_NEW_ROWS_LEFT,
	ASY_PLAN_INSERT,
	ASY_PLAN_INSERT_HASHED,
	ASY_PLAN_INSERT_ONE,
	ASY_PLAN_INSERT_AWAY,
	ASY_PLAN_MADE_AWAY,
	ASY_PLAN_UPDATE_ALWAYS,
	ASY_PLAN_UPDATE_ALL,
	ASY_PLAN_EXISTING,
	ASY_PLAN_LINKABLE,
	ASY_PLAN_ALONE,
	ASY_PLAN_LINK,
	ASY_PLAN_REFUSED,
	ASY_PLAN_DIFFERING,
	ASY_PLAN_EVENTS,
	ASY_PLAN_OWES,
	ASY_PLAN_KEEP_SIGNUPS,
	ASY_PLAN_TRUST_DRIFT,
	ASY_PLAN_TRUST_SIGNUPS,
	ASY_PLAN_TRUST_HISTORY,
	ASY_PLAN_SUSPECTS_ARE_FEW,
	ASY_NPLANS
} AsyPlanKind;

/*
 * The plan, prepared at first use by the identity that runs it; NULL if there
 * is no such statement for this binding. Its parameters are the arrays of the
 * fields in use (ASY_PLAN_BY_IDS, ASY_PLAN_HELD: uuid[]; ASY_PLAN_ALONE: text[];
 * ASY_PLAN_NEW_ROWS, ASY_PLAN_NEW_ROWS_LEFT: none; ASY_PLAN_EVENTS: uuid[], three text[]). SPI connected.
 */
extern SPIPlanPtr asy_prepared_plan(AsyBinding *b, AsyPlanKind kind);

#endif
