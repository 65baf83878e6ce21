/*
 * users.h
 *	  Users read, field by field, as the statements that write profiles take them.
 */
#ifndef AUTHSYNC_USERS_H
#define AUTHSYNC_USERS_H

#include "commands/trigger.h"

#include "sync/binding.h"

typedef enum AsyOutcome
{
	ASY_UNTOUCHED,				/* nothing was asked, or there was nothing to do */
	ASY_CREATED,
	ASY_LINKED,					/* a profile without key took this user's id */
	ASY_EXISTS,
	ASY_UPDATED,
	ASY_FAILED
} AsyOutcome;

/* Users, field by field, as the writing statements take them. */
typedef struct AsyUsers
{
	int			n;
	Datum	   *value[ASY_NFIELDS]; /* NULL where the binding does not use the field */
	bool	   *isnull[ASY_NFIELDS];
	bool	   *owes;
	bool	   *gone;
	AsyOutcome *outcome;
	AsyFailure **failure;		/* where outcome is ASY_FAILED */
	char	  **hash;			/* of a created row, where asked for */
	char	  **profile_email;	/* of a created row, as written; NULL: none */
} AsyUsers;

/* Reads users by the source query: ids (sorted by them), or a trigger's new rows. SPI connected. */
extern AsyUsers *asy_users_by_ids(AsyBinding *b, const Datum *ids, int n);

/* The same, but a user whom another transaction deletes is left out, and none can be deleted until we end. */
extern AsyUsers *asy_users_held(AsyBinding *b, const Datum *ids, int n);
extern AsyUsers *asy_users_from_new_rows(AsyBinding *b, bool left);	/* left: those still there */

/*
 * A trigger's new rows again, so many at a time, in the order of ids, without a
 * statement. begin: NULL where that cannot be. next: NULL at their end.
 */
typedef struct AsyNewUsers AsyNewUsers;
extern AsyNewUsers *asy_users_begin(AsyBinding *b, const TriggerData *trigger);
extern AsyUsers *asy_users_next(AsyNewUsers *reader, int max);
extern void asy_users_end(AsyNewUsers *reader);

#define asy_user_id(users, i) ((users)->value[ASY_USER_ID][i])

#endif
