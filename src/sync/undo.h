/*
 * undo.h
 *	  The inverse of a plan, as another plan.
 */
#ifndef AUTHSYNC_UNDO_H
#define AUTHSYNC_UNDO_H

#include "sync/plan_rows.h"
#include "sync/profile.h"

/*
 * What would undo the plan: kind, source, target and counts, not stored. Reads
 * only. note (may come back NULL) says what is left alone, and why. As the
 * extension's owner, SPI connected. 55000: it was about another table.
 */
extern AsyPlan *asy_undo_plan(AsyBinding *b, const AsyPlan *of, char **note);

/* Stores it with its items, in state open. */
extern void asy_undo_store(AsyBinding *b, const AsyPlan *of, AsyPlan *undo);

#endif
