/*
 * lint.c
 *	  Findings about a binding: one SQL query a check.
 */
#include "postgres.h"

#include "sync/lint.h"

void
asy_lint(FunctionCallInfo fcinfo)
{
	asy_binding_require();
	asy_db_query("SELECT NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text, NULL::pg_catalog.text WHERE false");
	asy_db_return_rows(fcinfo);
}
