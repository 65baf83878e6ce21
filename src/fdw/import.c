/*
 * import.c
 *	  IMPORT FOREIGN SCHEMA authsync: the one table users.
 */
#include "postgres.h"

#include "foreign/foreign.h"
#include "utils/builtins.h"

#include "fdw/fdw.h"

List *
asy_fdw_import(ImportForeignSchemaStmt *stmt, Oid oid)
{
	static const char *const types[] = {
		[ASY_TEXT] = "pg_catalog.text", [ASY_BOOL] = "pg_catalog.bool", [ASY_TIME] = "pg_catalog.timestamptz", [ASY_JSON] = "pg_catalog.jsonb"
	};
	ForeignServer *server = GetForeignServer(oid);
	StringInfoData sql;

	if (strcmp(stmt->remote_schema, "authsync") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
				 errmsg("provider \"%s\" has no schema \"%s\"", server->servername, stmt->remote_schema),
				 errdetail("Every provider has one schema, authsync, with one table, users."),
				 errhint("IMPORT FOREIGN SCHEMA authsync FROM SERVER %s INTO %s;", quote_identifier(server->servername), quote_identifier(stmt->local_schema))));
	if (stmt->options != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", ((DefElem *) linitial(stmt->options))->defname),
				 errdetail("IMPORT FOREIGN SCHEMA authsync has no options.")));
	initStringInfo(&sql);
	appendStringInfoString(&sql, "CREATE FOREIGN TABLE users (");
	for (int f = 0; f < ASY_NFIELDS; f++)
		appendStringInfo(&sql, "%s%s %s", f ? ", " : "", asy_fields[f].name, types[asy_fields[f].type]);
	appendStringInfo(&sql, ") SERVER %s", quote_identifier(server->servername));
	return list_make1(sql.data);
}
