/*
 * lint.h
 *	  Findings about a binding: one SQL query a check.
 */
#ifndef AUTHSYNC_LINT_H
#define AUTHSYNC_LINT_H

#include "fmgr.h"

#include "sync/binding.h"

/* What must be there for a check to make sense. */
typedef enum AsyLintNeeds
{
	ASY_LINT_NOTHING,			/* not even a binding: it may be NULL */
	ASY_LINT_USERS,				/* the users, with their key */
	ASY_LINT_LOCAL_USERS,		/* ... and not foreign */
	ASY_LINT_PROFILES,			/* both tables, and the key of profiles */
	ASY_LINT_LOCAL_PROFILES,	/* ... and profiles not foreign */
} AsyLintNeeds;

/*
 * One check. Its query gives rows of (object, detail, hint); a query whose
 * rows speak for other checks gives (object, detail, hint, severity,
 * check_name). It is read-only, names everything in full, and may take
 * $1 users, $2 profiles, $3 owner of profiles, $4 extension (all oid),
 * $5 mapping as stored (text), $6 key of profiles (int2), $7 what fills the
 * columns of profiles (text, a JSON array).
 */
typedef struct AsyLintCheck
{
	const char *name;			/* NULL ends the list */
	const char *severity;
	AsyLintNeeds needs;
	const char *sql;			/* or, where it depends on the binding: */
	char	   *(*build) (AsyBinding *b);	/* NULL: nothing to find */
} AsyLintCheck;

extern const AsyLintCheck asy_lint_binding[];
extern const AsyLintCheck asy_lint_triggers[];
extern const AsyLintCheck asy_lint_columns[];
extern const AsyLintCheck asy_lint_tables[];
extern const AsyLintCheck asy_lint_rights[];
extern const AsyLintCheck asy_lint_users[];
extern const AsyLintCheck asy_lint_server[];
extern const AsyLintCheck asy_lint_bookkeeping[];
extern const AsyLintCheck asy_lint_foreign[];
extern const AsyLintCheck asy_lint_providers[];
extern const AsyLintCheck asy_lint_reach[]; /* comes first; where it finds something, no other check of tables makes sense */

/* Whether it is there, and a table: to read a view is to run its owner's code. */
extern bool asy_lint_is_table(Oid relid);

/* A query of one row. hint may be NULL. */
extern char *asy_lint_row(const char *object, const char *detail, const char *hint);

/* The JSON of $7. */
extern char *asy_lint_columns_json(const AsyBinding *b);

/* Fills the caller's materialized set (severity, check_name, object, detail, hint). SPI connected, as the extension's owner. */
extern void asy_lint(FunctionCallInfo fcinfo);

#endif
