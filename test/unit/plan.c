/*
 * plan.c
 *	  The rules of plans, without a server: src/sync/plan.c and nothing else.
 */
#include "postgres.h"

#include "sync/plan.h"

static int	ntests = 0;
static int	nbad = 0;

static void
is(int64 got, int64 wanted, const char *what)
{
	ntests++;
	if (got == wanted)
		printf("ok %d - %s\n", ntests, what);
	else
	{
		nbad++;
		printf("not ok %d - %s: got " INT64_FORMAT ", wanted " INT64_FORMAT "\n", ntests, what, got, wanted);
	}
}

static void
names(void)
{
	for (int i = 0; i < ASY_NACTIONS; i++)
		is(asy_plan_action(asy_plan_action_name[i]), i, asy_plan_action_name[i]);
	for (int i = 0; i < ASY_NSTATES; i++)
		is(asy_plan_state(asy_plan_state_name[i]), i, asy_plan_state_name[i]);
	is(asy_plan_action("Create"), ASY_NACTIONS, "no such action");
	is(asy_plan_state(""), ASY_NSTATES, "no such state");
}

static void
inverses(void)
{
	is(asy_plan_inverse(ASY_ACTION_CREATE), ASY_ACTION_DELETE, "create is undone by delete");
	is(asy_plan_inverse(ASY_ACTION_UPDATE), ASY_ACTION_UPDATE, "update by update");
	is(asy_plan_inverse(ASY_ACTION_DISABLE), ASY_ACTION_UPDATE, "disable by update");
	is(asy_plan_inverse(ASY_ACTION_SKIP), ASY_ACTION_SKIP, "skip by nothing");
	for (int i = 0; i < ASY_NACTIONS; i++)
		if (i != ASY_ACTION_DISABLE && i != ASY_ACTION_LINK)
			is(asy_plan_inverse(asy_plan_inverse(i)), i, "twice is as before");
}

/* Every verb in every state, spelled out once more. */
static void
states(void)
{
	static const bool can[ASY_NSTATES][3] = {
		/* apply, cancel, undo */
		[ASY_STATE_OPEN] = {true, true, false},
		[ASY_STATE_APPLYING] = {true, true, true},
		[ASY_STATE_APPLIED] = {false, false, true},
		[ASY_STATE_PARTLY_APPLIED] = {false, false, true},
		[ASY_STATE_CANCELLED] = {false, false, false},
		[ASY_STATE_BRAKED] = {true, true, false},
	};
	AsyPlanCounts counts = {.done = 3};

	for (int s = 0; s < ASY_NSTATES; s++)
		for (int v = ASY_VERB_APPLY; v <= ASY_VERB_UNDO; v++)
			is(asy_plan_can(v, s), can[s][v], asy_plan_state_name[s]);
	is(asy_plan_can(ASY_VERB_APPLY, ASY_NSTATES), false, "an unknown state allows nothing");
	is(asy_plan_end(&counts), ASY_STATE_APPLIED, "all done: applied");
	counts.stale = 1;
	is(asy_plan_end(&counts), ASY_STATE_PARTLY_APPLIED, "one stale: partly");
	counts.stale = 0, counts.failed = 1;
	is(asy_plan_end(&counts), ASY_STATE_PARTLY_APPLIED, "one failed: partly");
}

static void
brake(void)
{
	static const AsyBrake usual = {.percent = 20, .count = 100, .floor = 100};
	AsyPlanCounts counts = {.intended = {[ASY_ACTION_CREATE] = 1000000, [ASY_ACTION_UPDATE] = 5, [ASY_ACTION_SKIP] = 9}};
	int64		limit = 0;

	is(asy_plan_removes(&counts), 0, "creating and updating remove nothing");
	is(asy_plan_is_braked(usual, 10, 0, asy_plan_removes(&counts)), false, "so they are never braked");
	counts.intended[ASY_ACTION_DELETE] = 2, counts.intended[ASY_ACTION_DISABLE] = 3;
	is(asy_plan_removes(&counts), 5, "deleting and disabling do");

	is(asy_plan_brake_limit(usual, 0, 0), 20, "an empty side: 20");
	is(asy_plan_brake_limit(usual, 5, 0), 20, "below the floor: 20");
	is(asy_plan_brake_limit(usual, 100, 0), 20, "at the floor: 20");
	is(asy_plan_brake_limit(usual, 104, 0), 20, "a share is rounded down");
	is(asy_plan_brake_limit(usual, 250, 0), 50, "20 percent");
	is(asy_plan_brake_limit(usual, 500, 0), 100, "where percent and count meet");
	is(asy_plan_brake_limit(usual, 2000000, 0), 100, "above: the count");
	is(asy_plan_brake_limit(usual, PG_INT64_MAX / 2, 0), 100, "no overflow");
	is(asy_plan_brake_limit((AsyBrake) {100, 1000000, 0}, 70, 0), 70, "all percent, no floor: everything");
	is(asy_plan_brake_limit((AsyBrake) {0, 100, 100}, 70, 0), 0, "no percent: nothing may go");

	is(asy_plan_is_braked(usual, 250, 0, 50), false, "at the limit: goes");
	is(asy_plan_is_braked(usual, 250, 0, 51), true, "one more: braked");
	is(asy_plan_is_braked(usual, 200, 50, 1), true, "50 of 250 went today: not one more");
	is(asy_plan_is_braked(usual, 210, 40, 10), false, "40 went today: ten more");
	is(asy_plan_is_braked(usual, 210, 40, 11), true, "... and no eleventh");
	is(asy_plan_is_braked(usual, 1000, 5000, 0), false, "nothing to remove: never braked");

	/* A side that shrinks by small plans stops where one big plan would have. */
	for (int64 left = 400, gone = 0; left > 0; left--, gone++)
	{
		if (asy_plan_is_braked(usual, left, gone, 1))
			break;
		limit = gone + 1;
	}
	is(limit, asy_plan_brake_limit(usual, 400, 0), "a drip passes no more than a flood");
}

int
main(void)
{
	names();
	inverses();
	states();
	brake();
	printf("1..%d\n", ntests);
	return nbad > 0;
}
