/*
 * errors.h
 *	  What went wrong with one row, as a value; and the texts of errors that
 *	  several places raise.
 */
#ifndef AUTHSYNC_ERRORS_H
#define AUTHSYNC_ERRORS_H

#include "utils/elog.h"

#include "compat.h"

/* All strings live in the context that was current when it was made. */
typedef struct AsyFailure
{
	int			sqlerrcode;
	char	   *message;
	char	   *detail;			/* may hold a row's values: never stored */
	char	   *hint;
	char	   *constraint;		/* NULL if none */
	char	   *column;			/* NULL if none */
} AsyFailure;

/* The five characters of an SQLSTATE, palloc'd. */
extern char *asy_sqlstate_text(int sqlerrcode);

/* Copies what matters of an error into the current context. */
extern AsyFailure *asy_failure_from(const ErrorData *edata);

/* A failure that the server did not raise itself. */
extern AsyFailure *asy_failure_make(int sqlerrcode, const char *message);

/* Raises the failure as an error with its own SQLSTATE. */
pg_noreturn extern void asy_failure_throw(const AsyFailure *failure);

/*
 * Errors that must go on whatever the mode: a cancelled statement, a server
 * that shuts down, a serializable transaction that cannot commit any more.
 */
extern bool asy_error_must_go_on(const ErrorData *edata);

/* 22004: an argument that may not be NULL. */
pg_noreturn extern void asy_error_null(const char *argument);

/* 22023 unless lo <= value <= hi. */
extern void asy_check_range(const char *argument, int64 value, int64 lo, int64 hi);

/* 55000: no users table is bound, or it is gone (detail may be NULL). */
pg_noreturn extern void asy_error_unbound(const char *detail);

/* 42704: there is no such user. */
pg_noreturn extern void asy_error_no_user(const char *user_id);

#endif
