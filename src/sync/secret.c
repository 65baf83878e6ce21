/*
 * secret.c
 *	  Secrets stored in this database: who may give one, and where it may go.
 *
 * A value is part of no statement, not even as its parameter: those show in the
 * logs of statements, errors and (auto_explain) plans.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_type.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "ground/append.h"
#include "ground/db.h"
#include "sync/server.h"

char *
asy_secret_read(const AsyServer *server, const char *name, char **elsewhere)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(server->oid), CStringGetTextDatum(name)};
	char	   *value = NULL;
	AsyIdentity saved;

	asy_db_become(&saved, asy_db_own_extension().owner, false);
	SPI_connect();
	if (asy_db_run("SELECT s.value, s.origin FROM authsync.secrets AS s WHERE s.server_oid = $1 AND s.name = $2",
				   true, 2, types, values, NULL) > 0)
	{
		char	   *given_for = asy_db_text(0, 2);

		if (strcmp(given_for, asy_server_origins(server)) == 0)
			value = MemoryContextStrdup(context, asy_db_text(0, 1));
		else
			*elsewhere = MemoryContextStrdup(context, given_for);
	}
	SPI_finish();
	asy_db_restore(&saved);
	return value;
}

static Oid
owned_server(const char *name)
{
	Oid			server = asy_server_get(name);

	if (!asy_server_ownercheck(server, GetUserId()))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of foreign server %s", name),
				 errdetail("A secret is given, changed and taken away by whoever says where it is sent to."),
				 errhint("SET ROLE %s;", quote_identifier(GetUserNameFromId(GetForeignServer(server)->owner, false)))));
	return server;
}

/* Takes that secret away, as the extension's owner; whether there was one. */
static bool
take_away(Oid server, const char *name)
{
	Oid			types[] = {OIDOID, TEXTOID};
	Datum		values[] = {ObjectIdGetDatum(server), CStringGetTextDatum(name)};
	AsyIdentity saved;
	bool		done;

	asy_db_become(&saved, asy_db_own_extension().owner, false);
	SPI_connect();
	done = asy_db_run("DELETE FROM authsync.secrets AS s WHERE s.server_oid = $1 AND s.name = $2", false, 2, types, values, NULL) > 0;
	SPI_finish();
	asy_db_restore(&saved);
	return done;
}

void
asy_secret_store(const char *server, const char *name, const char *value)
{
	AsyServer  *s = asy_server_describe(owned_server(server));
	Oid			secrets = get_relname_relid("secrets", get_namespace_oid("authsync", false));
	NameData	server_name;
	Datum		values[7];
	bool		nulls[7] = {false};
	AsyAppend  *append;

	if (!asy_server_takes_secret(s->provider, name))
	{
		StringInfoData list;

		initStringInfo(&list);
		for (int i = 0; s->provider->secrets[i]; i++)
			appendStringInfo(&list, "%s%s", i ? ", " : "", s->provider->secrets[i]);
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("provider \"%s\" has no secret of that name", server),
				 errdetail("It was not stored. The name is not repeated here: it may be the secret, if the two were exchanged."),
				 errhint("Secrets of %s are %s; and webhook_secret, jwt_secret.", s->provider->title, list.data)));
	}
	if (value[0] == '\0' || (strpbrk(value, "\r\n") && strstr(value, "-----BEGIN") == NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the secret \"%s\" of provider \"%s\" is empty or has line breaks in it", name, server),
				 errdetail("It was not stored."),
				 errhint("Give it in one line.")));

	/* Two who give the same one at once come one after the other. */
	LockRelationOid(secrets, ShareRowExclusiveLock);
	take_away(s->oid, name);
	namestrcpy(&server_name, server);
	values[0] = ObjectIdGetDatum(s->oid);
	values[1] = NameGetDatum(&server_name);
	values[2] = CStringGetTextDatum(name);
	values[3] = CStringGetTextDatum(value);
	values[4] = CStringGetTextDatum(asy_server_origins(s));
	values[5] = DirectFunctionCall1(namein, CStringGetDatum(GetUserNameFromId(GetSessionUserId(), false)));
	values[6] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
	append = asy_append_begin(secrets);
	asy_append_row(append, values, nulls);
	asy_append_end(append);
}

bool
asy_secret_forget(const char *server, const char *name)
{
	return take_away(owned_server(server), name);
}

/*
 * As the role that the mapping is for (of PUBLIC's: the server's owner), so
 * that nobody has a secret sent to his own server that he may not read.
 */
char *
asy_secret_from_vault(const char *name, Oid role)
{
	MemoryContext context = CurrentMemoryContext;
	Oid			types[] = {TEXTOID};
	Datum		values[] = {CStringGetTextDatum(name)};
	char	   *value = NULL;
	AsyIdentity saved;

	asy_db_become(&saved, role, true);
	SPI_connect();
	if (asy_db_run("SELECT pg_catalog.to_regclass('vault.decrypted_secrets') IS NOT NULL", true, 0, NULL, NULL, NULL) == 1 && !asy_db_bool(0, 1))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("there is no vault in this database"),
				 errdetail("The user mapping refers to a secret in the vault, and view vault.decrypted_secrets does not exist."),
				 errhint("CREATE EXTENSION supabase_vault; or give the secret by COPY authsync.new_secret.")));
	if (asy_db_run("SELECT v.decrypted_secret::pg_catalog.text FROM vault.decrypted_secrets AS v WHERE v.name::pg_catalog.text = $1", true, 1, types, values, NULL) == 1)
	{
		char	   *secret = asy_db_text(0, 1);

		value = secret ? MemoryContextStrdup(context, secret) : NULL;
	}
	SPI_finish();
	asy_db_restore(&saved);
	if (value == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("the vault has no secret \"%s\"", name),
				 errdetail("Role \"%s\" looked for it, in vault.decrypted_secrets.", GetUserNameFromId(role, false))));
	return value;
}
