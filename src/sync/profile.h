/*
 * profile.h
 *	  Users read as arrays, and their profiles written by one statement a set.
 */
#ifndef AUTHSYNC_PROFILE_H
#define AUTHSYNC_PROFILE_H

#include "sync/binding.h"
#include "sync/statement.h"

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

#define asy_user_id(users, i) ((users)->value[ASY_USER_ID][i])

typedef enum AsyWriteKind
{
	ASY_WRITE_INSERT,			/* what is missing */
	ASY_WRITE_INSERT_HASHED,	/* the same, with a hash of each row for undo */
	ASY_WRITE_ALWAYS,			/* columns kept equal, where a profile exists */
	ASY_WRITE_ALL				/* every column, where a profile exists */
} AsyWriteKind;

typedef struct AsyWrite
{
	AsyWriteKind kind;
	bool		new_users;		/* made by the statement at hand: nobody has a profile, unless another trigger was quicker */
	bool		catch;			/* failures become outcomes, bisected out; else the first is raised */
	int			lock_budget_ms; /* lock waits in all; 0: as the session has it */
} AsyWrite;

/* True while our own statement on profiles runs: its guard lets us through. */
extern bool asy_profile_writing;

/*
 * Nothing of a restricted write may be left for the end of the transaction:
 * the deferrable constraints of profiles are made immediate before it, and
 * afterwards set back to how they were declared. As the extension's owner.
 */
extern void asy_profile_constraints(const AsyBinding *b, bool immediate);

/* Called by a trigger of profiles: the row is one that our own statement inserts, and not one that its triggers insert in turn. */
extern bool asy_profile_is_own_row(void);

/*
 * Writes the profiles of users[pick[0..n-1]] as the profiles' owner in a
 * security-restricted context, and sets their outcomes. Row locks are taken
 * in the order of pick. Must run as the extension's owner, SPI connected.
 */
extern void asy_profile_write(AsyBinding *b, AsyUsers *users, const int *pick, int n, AsyWrite how);

/* Those of pick whose profile differs in a column kept equal, seen as the profiles' owner; found has room for n. */
extern int	asy_profile_differing(AsyBinding *b, AsyUsers *users, const int *pick, int n, int *found);

/* Positions of users whose profile was made with a value outside allow: pairs (position, column). */
typedef struct AsyRefusal
{
	int			position;
	char	   *column;
} AsyRefusal;
extern List *asy_profile_refusals(AsyBinding *b, AsyUsers *users, const int *pick, int n);

#endif
