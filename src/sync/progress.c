/*
 * progress.c
 *	  authsync.progress: long work that commits as it goes tells of itself.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "ground/db.h"
#include "sync/progress.h"

void
asy_progress_show(const char *command, const char *phase, int64 done, int64 total)
{
	Oid			types[] = {INT4OID, TEXTOID, TEXTOID, INT8OID, INT8OID};
	Datum		values[] = {
		Int32GetDatum(MyProcPid), CStringGetTextDatum(command), CStringGetTextDatum(phase), Int64GetDatum(done), Int64GetDatum(total)
	};

	asy_db_run("INSERT INTO authsync.progress_rows AS p (pid, command, phase, done, total, started_at)"
			   " VALUES ($1, $2, $3, $4, $5, pg_catalog.statement_timestamp())"
			   " ON CONFLICT (pid) DO UPDATE SET command = EXCLUDED.command, phase = EXCLUDED.phase,"
			   " done = EXCLUDED.done, total = EXCLUDED.total, started_at = EXCLUDED.started_at",
			   false, 5, types, values, NULL);
}

void
asy_progress_hide(void)
{
	asy_db_exec("DELETE FROM authsync.progress_rows AS p WHERE p.pid = pg_catalog.pg_backend_pid()"
				" OR NOT EXISTS (SELECT FROM pg_catalog.pg_stat_get_activity(p.pid))");
}
