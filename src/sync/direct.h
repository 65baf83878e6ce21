/*
 * direct.h
 *	  Profiles inserted without a statement, where the table is plain enough.
 */
#ifndef AUTHSYNC_DIRECT_H
#define AUTHSYNC_DIRECT_H

#include "sync/profile.h"

/*
 * Whether that can be: an ordinary table without statement triggers and rules,
 * whose owner may INSERT, whose columns are filled by nobody's code but the
 * server's, and whose key has a unique index.
 */
extern bool asy_direct_is_possible(AsyBinding *b);

/* Whether people's code may run on the way (triggers, checks, expressions of indexes): then the path must be pinned. */
extern bool asy_direct_runs_code(AsyBinding *b);

/*
 * Inserts the profiles of users[pick[0..n-1]], in that order, and marks them
 * ASY_CREATED; who has one already is an error (23505), as everything else
 * that a statement would raise. hashed: with a hash of each row. proven: none
 * of these users can go away before we end, so the foreign key to them need
 * not look. As the owner of profiles, restricted.
 */
extern void asy_direct_insert(AsyBinding *b, AsyUsers *users, const int *pick, int n, bool hashed, bool proven);

#endif
