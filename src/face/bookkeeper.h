/*
 * bookkeeper.h
 *	  What the triggers that keep the bookkeeping share with the others.
 */
#ifndef AUTHSYNC_BOOKKEEPER_H
#define AUTHSYNC_BOOKKEEPER_H

#include "commands/trigger.h"

#include "sync/profile.h"

/* The binding, if that part's books can follow this table now; else NULL, and a gap is noted. */
extern AsyBinding *asy_bookkeeper_binding(const TriggerData *t, const char *part);

/*
 * From the trigger that makes profiles to the one that watches, later in the
 * same statement: the users with their outcome, so many at a time. forget comes
 * first in each statement and each attempt at it, so that nothing is taken for
 * another's.
 */
extern void asy_bookkeeper_forget(void);
extern void asy_bookkeeper_hand_over(const TriggerData *t, const AsyUsers *users);

/* A user was updated in columns that are compared (attnums): row images, in the table's own layout. */
extern void asy_bookkeeper_updated(const TriggerData *t, AsyBinding *b, const Bitmapset *changed);

#endif
