/*
 * follow.h
 *	  Profiles follow users: what a sign-up, a change and a deletion mean.
 *
 * All of it in the mode of the binding. In safe mode nothing that goes wrong
 * with a profile reaches the statement on the users table: it is bisected,
 * quarantined and logged; what cannot be logged is a WARNING. In strict mode
 * the profile's own error is the statement's.
 *
 * Callers have switched to the extension's owner and connected to SPI.
 */
#ifndef AUTHSYNC_FOLLOW_H
#define AUTHSYNC_FOLLOW_H

#include "utils/uuid.h"

#include "sync/profile.h"

/*
 * alone: no trigger but ours can have made their profiles or thrown them out
 * again. Where asy_follow_can_be_bare says so, it may then be called as
 * anybody, without SPI and with any search_path.
 */
extern void asy_follow_created(AsyBinding *b, AsyUsers *users, bool alone);
extern bool asy_follow_can_be_bare(AsyBinding *b);

/* A user whose row changed in a column that matters; changed: attnums of users. */
typedef struct AsyChange
{
	pg_uuid_t	user_id;
	Bitmapset  *changed;
} AsyChange;

extern void asy_follow_updated(AsyBinding *b, AsyChange *changes, int n);

extern void asy_follow_deleted(AsyBinding *b, const Datum *ids, int n);

/* Whether this transaction made the user and his profile; false where it rolled a savepoint back, and so cannot tell. */
extern bool asy_follow_made_here(Datum user_id);

/*
 * At first it is tried as if nothing could fail, without a subtransaction for
 * each part; errors are raised, and who called tries again without this.
 */
extern bool asy_follow_hopeful;

/* A lock wait that spent the statement's budget in the first try: nobody is written in the second. */
extern AsyFailure *asy_follow_spent;

/* While probing, a profile that fails stops the statement whatever the mode. */
extern bool asy_follow_probing;

#endif
