/*
 * armed.c
 *	  Whether this copy of the database may write to its providers. A dump
 *	  carries the name of the copy that it was taken from; what is restored from
 *	  it finds a foreign name beside its own, or alone, and is not armed.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "ground/db.h"
#include "ground/guc.h"
#include "sync/server.h"

static uint64
run_as_owner(const char *sql, bool read_only, bool *result)
{
	Oid			types[] = {INT8OID, OIDOID};
	Datum		values[] = {Int64GetDatum((int64) GetSystemIdentifier()), ObjectIdGetDatum(MyDatabaseId)};
	AsyIdentity saved;
	uint64		n;

	asy_db_become(&saved, asy_db_own_extension().owner, false);
	SPI_connect();
	n = asy_db_run(sql, read_only, 2, types, values, NULL);
	if (result)
		*result = n > 0 && asy_db_bool(0, 1);
	SPI_finish();
	asy_db_restore(&saved);
	return n;
}

bool
asy_armed(void)
{
	bool		armed;

	run_as_owner("SELECT COALESCE(pg_catalog.bool_and(c.system_identifier = $1 AND c.database = $2), false) FROM authsync.copies AS c", true, &armed);
	return armed;
}

bool
asy_armed_arm(void)
{
	bool		was = asy_armed();

	run_as_owner("DELETE FROM authsync.copies AS c WHERE c.system_identifier <> $1 OR c.database <> $2", false, NULL);
	run_as_owner("INSERT INTO authsync.copies (system_identifier, database) SELECT $1, $2"
				 " WHERE NOT EXISTS (SELECT FROM authsync.copies AS c WHERE c.system_identifier = $1 AND c.database = $2)", false, NULL);
	return !was;
}

void
asy_armed_check(const char *server)
{
	if (!asy_guc_enabled)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("nothing is written to provider \"%s\" while authsync.enabled is off", server)));
	if (!asy_armed())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("this copy of the database is not armed: nothing is written to provider \"%s\"", server),
				 errdetail("It was restored or copied from another database, which may still be at work; table authsync.copies says from which."),
				 errhint("If this is now the one that speaks for the application: SELECT authsync.arm();")));
}
