/*
 * pushdown.h
 *	  Which conditions of a query can be asked of the provider.
 *
 * One of them at most is: the one that finds the fewest users. All are checked
 * again here, so what is asked may find more than is wanted, never less.
 */
#ifndef AUTHSYNC_PUSHDOWN_H
#define AUTHSYNC_PUSHDOWN_H

#include "nodes/pathnodes.h"

#include "sync/server.h"

typedef enum AsyScanKind
{
	ASY_SCAN_LIST,
	ASY_SCAN_SINCE,				/* LIST of those changed since a time */
	ASY_SCAN_FIND,				/* by one e-mail, or several */
	ASY_SCAN_GET,				/* by one id, or several */
	ASY_SCAN_COUNT
} AsyScanKind;

typedef struct AsyPushdown
{
	AsyScanKind kind;
	Expr	   *value;			/* what is asked for; NULL for LIST and COUNT */
	bool		many;			/* value is an array */
} AsyPushdown;

/* The best of the conditions (RestrictInfos) on that relation. */
extern AsyPushdown asy_pushdown_choose(const AsyServer *server, RelOptInfo *rel, Oid relid, List *conditions);

#endif
