/*
 * authsync.c
 *	  The door through which the server loads the library.
 */
#include "postgres.h"

#include "compat.h"
#include "ground/guc.h"
#include "provider/provider.h"

ASY_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	asy_guc_init();
	asy_budget_init();
}
