/*
 * fill.h
 *	  The bookkeeping filled for the first time, filled again after a gap, and
 *	  kept short.
 *
 * Every piece is right whatever commits beside it, because what a statement
 * takes away and what it puts there instead come from one snapshot: a change
 * that this snapshot does not see has its own suspect, its own row of
 * changes, which the statement does not see either, and so leaves.
 */
#ifndef AUTHSYNC_FILL_H
#define AUTHSYNC_FILL_H

#include "sync/binding.h"

/*
 * One piece of filling, for a transaction of its own, with its progress
 * shown; false when there is nothing (more) to fill. Where a part cannot be
 * filled, a WARNING says why, once a run.
 */
typedef struct AsyFill
{
	int			restarts;		/* of this run, because something changed unfollowed meanwhile */
	bool		told;
	bool		busy;			/* somebody else is at it */
} AsyFill;
extern bool asy_fill_next(AsyBinding *b, AsyFill *fill);

/* Prunes suspects that are in step, folds the journals. For a transaction of its own, or the end of one. */
extern void asy_fill_tidy(AsyBinding *b);

#endif
