/*
 * plan.c
 *	  The rules of plans.
 *
 * The brake is checked on the whole plan before its first write, because a
 * brake that stops half-way has let half of the damage through; and over a day,
 * because many small plans do what one big one may not.
 */
#include "postgres.h"

#include "sync/plan.h"

const char *const asy_plan_action_name[ASY_NACTIONS] = {"create", "update", "disable", "delete", "link", "skip"};

const char *const asy_plan_state_name[ASY_NSTATES] = {"open", "applying", "applied", "partly_applied", "cancelled", "braked"};

static int
find(const char *const names[], int n, const char *name)
{
	for (int i = 0; i < n; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return n;
}

AsyAction
asy_plan_action(const char *name)
{
	return find(asy_plan_action_name, ASY_NACTIONS, name);
}

AsyPlanState
asy_plan_state(const char *name)
{
	return find(asy_plan_state_name, ASY_NSTATES, name);
}

AsyAction
asy_plan_inverse(AsyAction action)
{
	switch (action)
	{
		case ASY_ACTION_CREATE:
			return ASY_ACTION_DELETE;
		case ASY_ACTION_DELETE:
			return ASY_ACTION_CREATE;
		case ASY_ACTION_UPDATE:
		case ASY_ACTION_DISABLE:
		case ASY_ACTION_LINK:
			return ASY_ACTION_UPDATE;
		case ASY_ACTION_SKIP:
		case ASY_NACTIONS:
			break;
	}
	return ASY_ACTION_SKIP;
}

bool
asy_plan_can(AsyPlanVerb verb, AsyPlanState state)
{
	switch (state)
	{
		case ASY_STATE_OPEN:
		case ASY_STATE_BRAKED:
			return verb != ASY_VERB_UNDO;
		case ASY_STATE_APPLYING:
			return true;
		case ASY_STATE_APPLIED:
		case ASY_STATE_PARTLY_APPLIED:
			return verb == ASY_VERB_UNDO;
		case ASY_STATE_CANCELLED:
		case ASY_NSTATES:
			break;
	}
	return false;
}

AsyPlanState
asy_plan_end(const AsyPlanCounts *counts)
{
	return counts->failed + counts->stale > 0 ? ASY_STATE_PARTLY_APPLIED : ASY_STATE_APPLIED;
}

int64
asy_plan_removes(const AsyPlanCounts *counts)
{
	return counts->intended[ASY_ACTION_DELETE] + counts->intended[ASY_ACTION_DISABLE];
}

int64
asy_plan_brake_limit(AsyBrake brake, int64 now, int64 lately)
{
	int64		side = Max(now + lately, brake.floor);
	int64		share = side / 100 * brake.percent + side % 100 * brake.percent / 100;

	return Min(share, brake.count);
}

bool
asy_plan_is_braked(AsyBrake brake, int64 now, int64 lately, int64 removes)
{
	return removes > 0 && removes + lately > asy_plan_brake_limit(brake, now, lately);
}
