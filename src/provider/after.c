/*
 * after.c
 *	  A listing whose cursor is a user: "those after this one".
 *
 * Where that user is deleted meanwhile, providers refuse the cursor, begin again
 * with the first page, or say that nobody comes after him. The first is a 4xx;
 * the second shows in a first user that was there before; the third is why an
 * empty page counts only once that user was seen to exist still, and to be shown
 * after the one before him. In each case the users before him on the last page
 * serve, and where all of those are gone too, the listing starts over: whom it
 * has shown it does not show twice.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "provider/provider.h"

/* How often it may start over. */
#define RESTARTS_MAX 5

/* Pages in a row without a new user, besides those that starting over brings. */
#define BARREN_MAX 16

typedef struct Trail
{
	MemoryContext context;		/* of ids */
	char	  **ids;			/* the cursor of the last page (NULL: none, the first page), then its users */
	int			nids;
	int			at;				/* the cursor of the page under way */
	int			step;			/* how far to go back next */
	bool		over;			/* it started over, and nobody new has come since */
	bool		looking;		/* whether the last user exists, and is shown after the one before him */
	int			restarts;
	int64		pages;
	int64		barren;
} Trail;

/* That page (-1: none yet) is the last one read. */
static void
keep_ids(AsyTalk *talk, Trail *trail, const AsyJson *json, int array)
{
	char	   *cursor = trail->nids > 0 && trail->ids[trail->at] ? pstrdup(trail->ids[trail->at]) : NULL;
	MemoryContext old;

	MemoryContextReset(trail->context);
	old = MemoryContextSwitchTo(trail->context);
	trail->ids = palloc(sizeof(char *) * (1 + (json ? asy_json_count(json, array) : 0)));
	trail->ids[0] = cursor ? pstrdup(cursor) : NULL;
	trail->nids = 1;
	for (int e = json ? asy_json_first(json, array) : -1; e >= 0; e = asy_json_after(json, array, e))
		trail->ids[trail->nids++] = asy_subject_of(talk, json, e);
	MemoryContextSwitchTo(old);
	trail->at = trail->nids - 1;
	trail->step = 1;
}

static AsyTurn
step_back(AsyTalk *talk, Trail *trail, AsyAskAfter ask)
{
	trail->looking = false;
	if (trail->at > 0)
	{
		trail->at = Max(trail->at - trail->step, 0);
		trail->step *= 2;
	}
	else if (++trail->restarts > RESTARTS_MAX)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list cannot be read on: those whom it stopped at are gone each time.");
	else
	{
		trail->ids[0] = NULL;
		trail->over = true;
	}
	ask(talk, trail->ids[trail->at]);
	return ASY_SEND;
}

/* Whether the page's first user cannot come after the cursor, because he came before it. */
static bool
began_again(const AsyTalk *talk, const Trail *trail, const AsyJson *json, int first)
{
	char	   *id = asy_subject_of(talk, json, first);

	for (int i = trail->at + 1; i < trail->nids; i++)
		if (strcmp(trail->ids[i], id) == 0)
			return false;
	return true;
}

AsyTurn
asy_list_after(AsyTalk *talk, const char *users, const char *one, AsyAskAfter ask, AsyMoreAfter more)
{
	Trail	   *trail = talk->state;
	const AsyFault *fault;
	const AsyJson *json;
	const char *cursor;
	int			array;
	int			n;
	int			found = 0;
	int			a = 0;			/* the answer that is a page */

	if (talk->step == 0)
	{
		trail = talk->state = MemoryContextAllocZero(talk->context, sizeof(Trail));
		trail->context = AllocSetContextCreate(talk->context, "authsync last page", ALLOCSET_DEFAULT_SIZES);
		keep_ids(talk, trail, NULL, -1);
		ask(talk, NULL);
		return ASY_SEND;
	}
	if (trail->looking)
	{
		fault = talk->answers[a++].fault;
		if (fault && fault->status == 404)
			return step_back(talk, trail, ask);
		if (asy_answer_json(talk, 0) == NULL)
			return ASY_FAIL;
	}
	cursor = trail->ids[trail->at];
	fault = talk->answers[a].fault;
	if (fault && cursor && (fault->status == 400 || fault->status == 404 || fault->status == 410 || fault->status == 422))
		return step_back(talk, trail, ask);
	if ((json = asy_answer_json(talk, a)) == NULL)
		return ASY_FAIL;
	array = asy_json_pointer(json, 0, users);
	n = asy_json_count(json, array);
	if (n > 0 && cursor && !trail->over)
	{
		int			first = asy_json_first(json, array);

		found = asy_found(talk, a, first) ? 1 : 0;
		if (talk->fault)
			return ASY_FAIL;
		if (!found && began_again(talk, trail, json, first))
			return step_back(talk, trail, ask);
	}
	found += asy_found_all(talk, a, array);
	if (talk->fault)
		return ASY_FAIL;
	if (n == 0 && (more(json) || trail->looking))
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "A page is empty, and yet there are users who belong on it.");
	if (n == 0 && cursor == NULL)
		return ASY_DONE;
	if (n == 0 && trail->at == 0)
		return step_back(talk, trail, ask);	/* nobody before him is known */
	if (n == 0)
	{
		trail->looking = true;
		asy_send(talk, "GET", "%s/%s", one, asy_http_encode(cursor));
		trail->at--;
		ask(talk, trail->ids[trail->at]);
		return ASY_SEND;
	}
	if (found > 0)
	{
		trail->pages++;
		trail->barren = 0;
		trail->over = false;
	}
	else if (trail->looking)
		return ASY_DONE;
	else if (++trail->barren > trail->pages + BARREN_MAX)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "It goes round in circles: the same users come again and again.");
	trail->looking = false;
	if (!more(json))
		return ASY_DONE;
	keep_ids(talk, trail, json, array);
	ask(talk, trail->ids[trail->at]);
	return ASY_SEND;
}
