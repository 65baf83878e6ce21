/*
 * foreign.c
 *	  Foreign tables as users or profiles.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "commands/defrem.h"
#include "foreign/fdwapi.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "sync/columns.h"
#include "sync/foreign.h"

Oid
asy_foreign_server(Oid relid)
{
	return get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE ? GetForeignServerIdByRelId(relid) : InvalidOid;
}

char *
asy_foreign_server_name(Oid relid)
{
	return pstrdup(quote_identifier(GetForeignServer(asy_foreign_server(relid))->servername));
}

/*
 * Told by its handler, as a wrapper may have any name. Of another wrapper we
 * would not know whether ROLLBACK TO undoes what was written over there, on
 * which the halving of a failed batch stands.
 */
static bool
is_postgres_fdw(const ForeignServer *server)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(GetForeignDataWrapper(server->fdwid)->fdwhandler));
	bool		result = false;

	if (HeapTupleIsValid(tuple))
	{
		bool		isnull;
		Datum		source = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc, &isnull);

		result = !isnull && ((Form_pg_proc) GETSTRUCT(tuple))->prolang == ClanguageId &&
			strcmp(TextDatumGetCString(source), "postgres_fdw_handler") == 0;
		ReleaseSysCache(tuple);
	}
	return result;
}

static bool
is_trusted(Oid owner, Oid reader)
{
	return owner == reader || superuser_arg(owner);
}

/*
 * The first column of a type that is neither the server's nor a superuser's.
 * Of what comes from over there values are made by the types' input functions,
 * with a domain's checks, which a local table runs at writing only.
 */
static char *
strange_column(Oid relid)
{
	for (AttrNumber attnum = 1;; attnum++)
	{
		HeapTuple	tuple = SearchSysCache2(ATTNUM, ObjectIdGetDatum(relid), Int16GetDatum(attnum));
		Form_pg_attribute att;
		char	   *name = NULL;

		if (!HeapTupleIsValid(tuple))
			return NULL;
		att = (Form_pg_attribute) GETSTRUCT(tuple);
		if (!att->attisdropped && !asy_columns_type_is_plain(att->atttypid))
			name = pstrdup(NameStr(att->attname));
		ReleaseSysCache(tuple);
		if (name)
			return name;
	}
}

bool
asy_foreign_is_fit(Oid relid)
{
	const ForeignServer *server = GetForeignServer(asy_foreign_server(relid));
	AsyExtension ext;

	return asy_db_extension(&ext) && is_postgres_fdw(server) && is_trusted(asy_db_relation_owner(relid), ext.owner) &&
		is_trusted(server->owner, ext.owner) && strange_column(relid) == NULL;
}

void
asy_foreign_check_fit(Oid relid, const char *what, Oid reader)
{
	const ForeignServer *server = GetForeignServer(asy_foreign_server(relid));
	char	   *table = asy_db_relation_name(relid);
	char	   *owner = pstrdup(quote_identifier(GetUserNameFromId(reader, false)));
	char	   *column = strange_column(relid);

	if (!is_postgres_fdw(server))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s cannot be the %s", table, what),
				 errdetail("It is a foreign table of wrapper \"%s\".", GetForeignDataWrapper(server->fdwid)->fdwname),
				 errhint("Name an ordinary or partitioned table, or a foreign table of postgres_fdw.")));
	if (!is_trusted(asy_db_relation_owner(relid), reader))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s cannot be the %s", table, what),
				 errdetail("Its owner says where it leads, with the extension owner's user mapping; so it must belong to him or to a superuser."),
				 errhint("ALTER FOREIGN TABLE %s OWNER TO %s;", table, owner)));
	if (!is_trusted(server->owner, reader))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s cannot be the %s", table, what),
				 errdetail("The owner of server \"%s\" says where it leads, with the extension owner's user mapping; so it must belong to him or to a superuser.",
						   server->servername),
				 errhint("ALTER SERVER %s OWNER TO %s;", quote_identifier(server->servername), owner)));
	if (column)
	{
		char	   *type = format_type_be_qualified(get_atttype(relid, get_attnum(relid, column)));

		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("%s cannot be the %s", table, what),
				 errdetail("Reading column \"%s\" runs code of the owner of type %s, who is no superuser.", column, type),
				 errhint("ALTER FOREIGN TABLE %s ALTER COLUMN %s TYPE text;", table, quote_identifier(column))));
	}
}

bool
asy_foreign_has_mapping(Oid server, Oid role)
{
	return SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server)) ||
		SearchSysCacheExists2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(InvalidOid), ObjectIdGetDatum(server));
}

char *
asy_foreign_mapping_line(Oid server, Oid role)
{
	char	   *name = pstrdup(quote_identifier(GetUserNameFromId(role, false)));

	return psprintf("CREATE USER MAPPING FOR %s SERVER %s OPTIONS (user '...', password '...');", name,
					quote_identifier(GetForeignServer(server)->servername));
}

void
asy_foreign_require_mapping(Oid relid, Oid role)
{
	Oid			server = asy_foreign_server(relid);

	if (!OidIsValid(server) || asy_foreign_has_mapping(server, role))
		return;
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("role \"%s\" has no user mapping on server %s", GetUserNameFromId(role, false), asy_foreign_server_name(relid)),
			 errdetail("authsync reads and writes foreign tables as the extension's owner, and %s is one.", asy_db_relation_name(relid)),
			 errhint("%s", asy_foreign_mapping_line(server, role))));
}

/* ---- what it is over there ---- */

static const char *
option(Oid relid, const char *name, const char *otherwise)
{
	ListCell   *lc;

	foreach(lc, GetForeignTable(relid)->options)
		if (strcmp(((DefElem *) lfirst(lc))->defname, name) == 0)
			return defGetString(lfirst(lc));
	return otherwise;
}

const char *
asy_foreign_table_name(Oid relid)
{
	return option(relid, "table_name", get_rel_name(relid));
}

char *
asy_foreign_import(Oid relid, const char *table, const char *options)
{
	char	   *here = get_namespace_name(get_rel_namespace(relid));
	char	   *there = pstrdup(quote_identifier(option(relid, "schema_name", here)));

	return psprintf("IMPORT FOREIGN SCHEMA %s LIMIT TO (%s) FROM SERVER %s INTO %s%s%s%s;", there, quote_identifier(table),
					asy_foreign_server_name(relid), quote_identifier(here), options ? " OPTIONS (" : "", options ? options : "", options ? ")" : "");
}
