/*
 * attach.h
 *	  What a binding puts into the database: triggers on the users (and, where
 *	  a column is guarded, on profiles) and the bodies behind the views.
 */
#ifndef AUTHSYNC_ATTACH_H
#define AUTHSYNC_ATTACH_H

#include "sync/binding.h"

/* What was done, for the caller of setup(). All strings palloc'd. */
typedef struct AsyStep
{
	char	   *step;
	char	   *object;
	char	   *action;
	char	   *detail;
} AsyStep;

typedef struct AsySteps
{
	List	   *list;			/* AsyStep */
	bool		dry_run;
} AsySteps;

/* verb: "create", "change", "drop", "leave" or NULL for kept; "created" or "would create" is made of it. */
extern void asy_step(AsySteps *steps, const char *step, const char *object, const char *verb, const char *detail);

/*
 * Takes the lock, asking again and again with short waits so that others do
 * not queue behind us; false after authsync.lock_timeout.
 */
extern bool asy_attach_lock(Oid relid, int lockmode);

/*
 * Makes the triggers that the binding's mode wants and drops those it does
 * not, holding SHARE ROW EXCLUSIVE (to drop: ACCESS EXCLUSIVE) on the table
 * from here to the end of the transaction: call it last. Returns false where
 * the lock could not be had.
 */
extern bool asy_attach_triggers(AsyBinding *b, AsySteps *steps);

/* Drops every trigger of ours on a table. */
extern bool asy_detach_triggers(Oid relid, AsySteps *steps);

/* Writes the bodies behind the views, or puts the shipped ones back (b NULL or its tables gone). */
extern void asy_attach_views(AsyBinding *b);

/* Whether the bodies are right: those that the binding stands for, or the shipped ones, which ask it. */
extern bool asy_attach_views_are_current(AsyBinding *b);

#endif
