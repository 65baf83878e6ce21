/*
 * watch.h
 *	  The bookkeeping as it is written: who became a suspect, what happened to
 *	  the totals, and that something went unfollowed.
 *
 * A suspect is not a verdict. Two transactions that change a user and his
 * profile at the same time do not see each other, so neither could judge; each
 * appends the user, and whoever reads judges by one snapshot of both tables.
 * Nobody updates a row here, so nobody waits for anybody.
 *
 * These append directly: no SPI, no privilege, no other lock than ROW
 * EXCLUSIVE on the journal.
 */
#ifndef AUTHSYNC_WATCH_H
#define AUTHSYNC_WATCH_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "sync/profile.h"

#define ASY_PART_DRIFT "drift"
#define ASY_PART_SIGNUPS "signups"
#define ASY_PART_HISTORY "history"	/* of both: who signed up and is in neither table */

/* More of them in one statement, and the full comparison costs less than the list. */
#define ASY_SUSPECTS_MAX 100000

extern void asy_watch_suspects(const AsyBinding *b, const Datum *ids, int64 n);

extern void asy_watch_totals(const AsyBinding *b, int64 users, int64 owing, int64 profiles, int64 signups);

/* Users that a statement inserted, with what was made of them. */
typedef struct AsyArrival
{
	pg_uuid_t	user_id;
	TimestampTz created_at;		/* DT_NOEND: none */
	bool		owes;
	bool		made;			/* the profile, by us: no suspect on this account */
} AsyArrival;

extern void asy_watch_arrivals(const AsyBinding *b, const AsyArrival *arrivals, int64 n);

/* A user who was there already counts as created at another time. */
extern void asy_watch_arrival_again(const AsyBinding *b, const AsyArrival *arrival);

/*
 * Profiles that our own statement has just inserted: outcome ASY_CREATED among
 * pick. Counts them; whoever's e-mail came out otherwise becomes a suspect.
 */
extern void asy_watch_made(const AsyBinding *b, const AsyUsers *users, const int *pick, int n);

/*
 * A row of authsync.signups, by its columns, and what it adds to the totals.
 * False where there is one of that audit_id, or somebody is about to add it.
 */
extern bool asy_watch_signup(const AsyBinding *b, Datum *values, bool *nulls, bool signed_up);

/* The part's books cannot be trusted from here on; once a subtransaction. b may be NULL. */
extern void asy_watch_gap(const AsyBinding *b, const char *part, const char *reason);

#endif
