/*
 * statement.h
 *	  The SQL that a binding stands for: pure text, built in one place so that
 *	  views, counts, trigger and backfill cannot disagree on a definition.
 *
 * Aliases in the fragments: u is a row of users, p one of profiles, s a row
 * of the arrays that a writing statement takes. All names are qualified.
 */
#ifndef AUTHSYNC_STATEMENT_H
#define AUTHSYNC_STATEMENT_H

#include "sync/binding.h"

/* Operators as a view's body writes them: whatever its caller's search_path. */
#define ASY_EQ "OPERATOR(pg_catalog.=)"
#define ASY_NE "OPERATOR(pg_catalog.<>)"

/* Whether there are profiles to look at, with a key. */
extern bool asy_sql_has_profiles(const AsyBinding *b);

/* Predicates. NULL profiles are taken for an empty table. */
extern char *asy_sql_key_is(const AsyBinding *b, const char *p, const char *user_id, const char *subject);	/* over p and those */
extern char *asy_sql_has_profile(const AsyBinding *b);		/* over u */
extern char *asy_sql_email_differs(const AsyBinding *b);	/* over u, p: the definition of email_mismatch */
extern char *asy_sql_joined(const AsyBinding *b);			/* "users AS u JOIN profiles AS p ON ..." */
extern char *asy_sql_profile_user_id(const AsyBinding *b);	/* over p: uuid */
extern char *asy_sql_missing(const AsyBinding *b);			/* "FROM users AS u WHERE owes and has none", of everybody */

/*
 * Who has no counterpart: what to read, over u or p, and the condition. all:
 * of everybody; else a condition on the key, from outside, finds him by it.
 */
typedef struct AsyUnmatched
{
	char	   *from;
	char	   *condition;
} AsyUnmatched;
extern AsyUnmatched asy_sql_users_without_profile(const AsyBinding *b, bool all);
extern AsyUnmatched asy_sql_profiles_without_user(const AsyBinding *b, bool all);

/* user_id, one of those that the query all_ids gives, is no user's. */
extern char *asy_sql_user_is_gone(const AsyBinding *b, const char *user_id, const char *all_ids);

/* SELECT of every field in use, then owes and gone; from is "name AS u" and what follows. */
extern char *asy_sql_source(const AsyBinding *b, const char *from);

/* Writing statements: $1.. are the arrays of the fields in use, in order. */
extern char *asy_sql_insert(const AsyBinding *b, bool with_row);
extern char *asy_sql_insert_one(const AsyBinding *b);	/* $1.. are the fields themselves */
extern char *asy_sql_insert_values(const AsyBinding *b);	/* the same, for its values only */
extern char *asy_sql_insert_away(const AsyBinding *b);	/* into foreign profiles, of users who have none; returns nothing */
extern char *asy_sql_made_away(const AsyBinding *b);	/* their profiles, as insert would have returned them */
extern char *asy_sql_linkable(const AsyBinding *b);	/* positions of users for whom a profile without key waits; NULL: cannot be */
extern char *asy_sql_link(const AsyBinding *b);
typedef enum AsyUpdateKind
{
	ASY_UPDATE_ALWAYS,			/* columns kept equal */
	ASY_UPDATE_ALL				/* every column: the user was made in this transaction */
} AsyUpdateKind;
extern char *asy_sql_update(const AsyBinding *b, AsyUpdateKind kind);	/* NULL: nothing to keep equal */
extern char *asy_sql_existing(const AsyBinding *b);		/* $1 uuid[]: positions of those that have a profile */
extern char *asy_sql_refused(const AsyBinding *b);		/* NULL: no column has allow */

/*
 * "FROM ... WHERE" of users whose profile differs in a column kept equal, to
 * run as the extension's owner; NULL where no column is kept equal, or where
 * comparing one would run somebody's code.
 */
extern char *asy_sql_differing(const AsyBinding *b);

/* The same for given users, to run as the profiles' owner: their positions. NULL: no column is kept equal. */
extern char *asy_sql_differing_of(const AsyBinding *b);

#endif
