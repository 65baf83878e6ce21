/*
 * server.c
 *	  A provider as this database defines it.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/reloptions.h"
#include "catalog/pg_authid.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "storage/fd.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/syscache.h"

#include "ground/db.h"
#include "sync/server.h"

/* Secrets of every provider, beside its own. */
static const char *const common_secrets[] = {"webhook_secret", "jwt_secret", NULL};

/* Longer is no secret but a mistake in the path. */
#define SECRET_FILE_MAX (64 * 1024)

#define CONNECT_TIMEOUT_MS 5000
#define TIMEOUT_MS 30000
#define MAX_RESPONSE_BYTES (64 * 1024 * 1024)

Oid
asy_server_get(const char *name)
{
	Oid			oid = get_foreign_server_oid(name, true);

	if (!OidIsValid(oid) || strcmp(GetForeignDataWrapper(GetForeignServer(oid)->fdwid)->fdwname, "authsync") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("provider \"%s\" does not exist", name),
				 errdetail("There is no foreign server of that name with the wrapper authsync."),
				 errhint("SELECT * FROM authsync.providers; lists them.")));
	return oid;
}

bool
asy_server_takes_secret(const AsyProvider *provider, const char *name)
{
	for (int i = 0; provider->secrets[i]; i++)
		if (strcmp(provider->secrets[i], name) == 0)
			return true;
	for (int i = 0; common_secrets[i]; i++)
		if (strcmp(common_secrets[i], name) == 0)
			return true;
	return false;
}

bool
asy_server_secret_option(const char *option, char **secret, const char **how)
{
	static const char *const ways[] = {"_file", "_env", "_vault", NULL};
	size_t		len = strlen(option);

	for (int i = 0; ways[i]; i++)
	{
		size_t		end = strlen(ways[i]);

		if (len > end && strcmp(option + len - end, ways[i]) == 0)
		{
			*secret = pnstrdup(option, len - end);
			*how = ways[i] + 1;
			for (int n = 0; asy_provider_n(n); n++)
				if (asy_server_takes_secret(asy_provider_n(n), *secret))
					return true;
		}
	}
	return false;
}

void
asy_server_check_reader(Oid role, const char *option)
{
	if (!has_privs_of_role(role, ROLE_PG_READ_SERVER_FILES))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied for option \"%s\"", option),
				 errdetail("Role \"%s\" may not have files or the environment of this machine read; nor may a server be sent them that belongs to such a role.",
						   GetUserNameFromId(role, false)),
				 errhint("Superusers and members of pg_read_server_files may.")));
}

static int
int_option(const AsyServer *server, const char *name, int byname)
{
	const char *value = asy_server_option(server, name);

	return value ? pg_strtoint32(value) : byname;
}

static bool
on_option(const AsyServer *server, const char *name)
{
	const char *value = asy_server_option(server, name);
	bool		on = false;

	return value && parse_bool(value, &on) && on;
}

static char *
without_slash(const char *url)
{
	size_t		len = strlen(url);

	while (len > 0 && url[len - 1] == '/')
		len--;
	return pnstrdup(url, len);
}

AsyServer *
asy_server_describe(Oid oid)
{
	ForeignServer *fs = GetForeignServer(oid);
	AsyServer  *server = palloc0(sizeof(AsyServer));
	const AsyProvider *p = NULL;
	const char *path;
	const char *rate;
	AsyNamed   *options;
	ListCell   *lc;
	int			n = 0;
	int			own = 0;

	foreach(lc, fs->options)
	{
		DefElem    *def = lfirst(lc);

		if (strcmp(def->defname, "provider") == 0)
			p = asy_provider(defGetString(def));
	}
	if (p == NULL)
		elog(ERROR, "server \"%s\" names no provider", fs->servername);
	while (p->options && p->options[own].name)
		own++;
	options = palloc0(sizeof(AsyNamed) * (list_length(fs->options) + own + 1));
	foreach(lc, fs->options)
	{
		DefElem    *def = lfirst(lc);

		options[n].name = pstrdup(def->defname);
		options[n++].value = pstrdup(defGetString(def));
	}
	server->options = options;
	for (int i = 0; i < own; i++)
		if (p->options[i].byname && asy_server_option(server, p->options[i].name) == NULL)
		{
			options[n].name = p->options[i].name;
			options[n++].value = p->options[i].byname;
		}
	server->provider = p;
	server->oid = oid;
	server->name = pstrdup(fs->servername);
	server->url = without_slash(asy_server_option(server, "url"));
	path = asy_server_option(server, "api_path");
	server->base = without_slash(psprintf("%s%s", server->url, path ? path : p->api_path ? p->api_path : ""));
	server->page_size = int_option(server, "page_size", p->page_size);
	if (p->page_max > 0)
		server->page_size = Min(server->page_size, p->page_max);
	server->concurrency = int_option(server, "concurrency", p->concurrency);
	rate = asy_server_option(server, "rate_limit");
	server->rate = rate ? strtod(rate, NULL) : p->rate;
	server->limits.connect_timeout_ms = int_option(server, "connect_timeout_ms", CONNECT_TIMEOUT_MS);
	server->limits.timeout_ms = int_option(server, "timeout_ms", TIMEOUT_MS);
	server->limits.max_bytes = int_option(server, "max_response_bytes", MAX_RESPONSE_BYTES);
	server->limits.private_network = on_option(server, "private_network");
	server->limits.ca_file = asy_server_option(server, "ca_file");
	return server;
}

char *
asy_server_origins(const AsyServer *server)
{
	const char *token_url = asy_server_option(server, "token_url");
	char	   *origin = asy_http_origin(server->url);
	char	   *token = token_url ? asy_http_origin(token_url) : NULL;

	return token_url ? psprintf("%s %s", origin ? origin : "?", token ? token : "?") : pstrdup(origin ? origin : "?");
}

/* ---- whose secrets ---- */

/* The options of a mapping; NIL where there is none. */
static List *
mapping_options(Oid server, Oid role)
{
	HeapTuple	tuple = SearchSysCache2(USERMAPPINGUSERSERVER, ObjectIdGetDatum(role), ObjectIdGetDatum(server));
	List	   *options = NIL;
	Datum		value;
	bool		isnull;

	if (!HeapTupleIsValid(tuple))
		return NIL;
	value = SysCacheGetAttr(USERMAPPINGUSERSERVER, tuple, Anum_pg_user_mapping_umoptions, &isnull);
	if (!isnull)
		options = untransformRelOptions(value);
	ReleaseSysCache(tuple);
	return options;
}

static char *
trimmed(char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && strchr(" \t\r\n", text[len - 1]))
		text[--len] = '\0';
	return text;
}

static char *
from_file(const char *path, const char *server)
{
	FILE	   *file = AllocateFile(path, PG_BINARY_R);
	char	   *text;
	size_t		n;

	if (file == NULL)
		ereport(ERROR,
				(errcode_for_file_access(),
				 errmsg("could not read the secret of provider \"%s\"", server),
				 errdetail("The file that its user mapping names cannot be opened: %m.")));
	text = palloc(SECRET_FILE_MAX + 1);
	n = fread(text, 1, SECRET_FILE_MAX + 1, file);
	FreeFile(file);
	if (n > SECRET_FILE_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("could not read the secret of provider \"%s\"", server),
				 errdetail("The file that its user mapping names is longer than %d bytes.", SECRET_FILE_MAX)));
	text[n] = '\0';
	return trimmed(text);
}

/* The secret as an option of the mapping says where it is; NULL: it does not say. */
static char *
from_mapping(const ForeignServer *fs, List *options, const char *name, Oid role)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);
		char	   *secret;
		const char *how;
		char	   *value;

		if (!asy_server_secret_option(def->defname, &secret, &how) || strcmp(secret, name) != 0)
			continue;
		if (strcmp(how, "vault") == 0)
			return asy_secret_from_vault(defGetString(def), OidIsValid(role) ? role : fs->owner);
		/* Whoever owns the server says where it is sent to. */
		asy_server_check_reader(fs->owner, def->defname);
		if (strcmp(how, "file") == 0)
			return from_file(defGetString(def), fs->servername);
		value = getenv(defGetString(def));
		if (value == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
					 errmsg("could not read the secret of provider \"%s\"", fs->servername),
					 errdetail("The server process has no environment variable of the name that its user mapping says.")));
		return trimmed(pstrdup(value));
	}
	return NULL;
}

AsyServer *
asy_server_load(Oid oid, Oid role)
{
	AsyServer  *server = asy_server_describe(oid);
	ForeignServer *fs = GetForeignServer(oid);
	const AsyProvider *p = server->provider;
	char	   *elsewhere = NULL;
	List	   *own = mapping_options(oid, role);
	List	   *public = mapping_options(oid, InvalidOid);
	AsyNamed   *secrets;
	int			n = 0;

	for (n = 0; p->secrets[n]; n++)
		;
	secrets = palloc0(sizeof(AsyNamed) * (n + 1));
	n = 0;
	for (int i = 0; p->secrets[i]; i++)
	{
		char	   *value = from_mapping(fs, own, p->secrets[i], role);

		if (value == NULL)
			value = from_mapping(fs, public, p->secrets[i], InvalidOid);
		if (value == NULL)
			value = asy_secret_read(server, p->secrets[i], &elsewhere);
		if (value && value[0])
		{
			secrets[n].name = p->secrets[i];
			secrets[n++].value = value;
		}
	}
	server->secrets = secrets;
	if (n == 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION),
				 errmsg("provider \"%s\" has no %s", server->name, p->secrets[0]),
				 elsewhere ? errdetail("One was given while its url led to %s; it is not sent anywhere else.", elsewhere) :
				 errdetail("Neither the user mapping of role \"%s\", nor the one of PUBLIC, nor authsync.set_secret() gave it one.",
						   GetUserNameFromId(role, false)),
				 errhint("COPY authsync.new_secret (server, name, value) FROM STDIN; then a line of %s, %s and the secret, with tabs between. Or, where no log shows it: SELECT authsync.set_secret('%s', '%s', '…');",
						 server->name, p->secrets[0], server->name, p->secrets[0])));
	return server;
}
