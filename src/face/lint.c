/*
 * lint.c
 *	  authsync.lint(): why a sign-up would fail, go unnoticed or leak.
 */
#include "postgres.h"

#include "fmgr.h"

#include "sync/lint.h"

PG_FUNCTION_INFO_V1(authsync_lint);

Datum
authsync_lint(PG_FUNCTION_ARGS)
{
	SPI_connect();
	asy_lint(fcinfo);
	SPI_finish();
	return (Datum) 0;
}
