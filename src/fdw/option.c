/*
 * option.c
 *	  What may stand in OPTIONS of servers, user mappings and tables, and which
 *	  columns a table of users has.
 */
#include "postgres.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "catalog/pg_user_mapping.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "fdw/option.h"

PG_FUNCTION_INFO_V1(authsync_fdw_validator);

typedef enum Kind
{
	TEXT,
	URL,
	PATH,						/* of the api: begins with a slash, or empty */
	ABSOLUTE_FILE,
	BOOL,
	INT,
	POSITIVE						/* a number, not necessarily whole */
} Kind;

/* Options of every server, beside those of its provider. */
static const struct
{
	const char *name;
	Kind		kind;
	int			lo;
	int			hi;
	bool		superuser;
} server_options[] = {
	{"provider", TEXT, 0, 0, false},
	{"url", URL, 0, 0, false},
	{"api_path", PATH, 0, 0, false},
	{"local", BOOL, 0, 0, false},
	{"profiles", BOOL, 0, 0, false},
	{"ca_file", ABSOLUTE_FILE, 0, 0, true},
	{"private_network", BOOL, 0, 0, true},
	{"connect_timeout_ms", INT, 10, 600000, false},
	{"timeout_ms", INT, 10, 3600000, false},
	{"max_response_bytes", INT, 1024, 1024 * 1024 * 1024, false},
	{"page_size", INT, 1, 100000, false},
	{"concurrency", INT, 1, 256, false},
	{"rate_limit", POSITIVE, 0, 100000, false},
};

static void
refuse(const char *name, const char *why, const char *hint)
{
	ereport(ERROR,
			(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
			 errmsg("invalid option \"%s\"", name),
			 errdetail("%s", why),
			 hint ? errhint("%s", hint) : 0));
}

static void
bad_value(const char *name, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("invalid value for option \"%s\"", name),
			 errdetail("%s", detail)));
}

static void
check_value(const char *name, Kind kind, int lo, int hi, const char *value)
{
	bool		flag;
	char	   *end;
	long		n;
	double		d;

	switch (kind)
	{
		case TEXT:
			if (value[0] == '\0' || strpbrk(value, "\r\n"))
				bad_value(name, "It is empty or has line breaks in it.");
			break;
		case URL:
			asy_http_check_url(name, value);
			break;
		case PATH:
			if ((value[0] && value[0] != '/') || strpbrk(value, " \t\r\n?#"))
				bad_value(name, "It begins with a slash, or is empty, and has no query.");
			break;
		case ABSOLUTE_FILE:
			if (value[0] != '/')
				bad_value(name, "It is the absolute path of a file on the server's machine.");
			break;
		case BOOL:
			if (!parse_bool(value, &flag))
				bad_value(name, "It is on or off.");
			break;
		case INT:
			errno = 0;
			n = strtol(value, &end, 10);
			if (errno || end == value || *end || n < lo || n > hi)
				bad_value(name, psprintf("It is a whole number from %d to %d.", lo, hi));
			break;
		case POSITIVE:
			errno = 0;
			d = strtod(value, &end);
			if (errno || end == value || *end || !(d > 0 && d <= hi))
				bad_value(name, psprintf("It is a number above 0, up to %d.", hi));
			break;
	}
}

/* Whether somebody means to put a secret there. */
static bool
looks_secret(const char *name)
{
	static const char *const words[] = {"secret", "token", "password", "_key", "apikey", "private", NULL};
	char	   *secret;
	const char *how;

	if (asy_server_secret_option(name, &secret, &how))
		return false;
	for (int i = 0; words[i]; i++)
		if (strstr(name, words[i]))
			return true;
	for (int n = 0; asy_provider_n(n); n++)
		if (asy_server_takes_secret(asy_provider_n(n), name))
			return true;
	return false;
}

static void
refuse_secret(const char *name)
{
	refuse(name, "Options are readable by every role, and a dump has them in clear; a secret is never one.",
		   psprintf("COPY authsync.new_secret (server, name, value) FROM STDIN; takes it instead, or a user mapping's option %s_file, %s_env or %s_vault says where it is.",
					name, name, name));
}

static const AsyProviderOption *
own_option(const AsyProvider *p, const char *name)
{
	for (const AsyProviderOption *o = p->options; o && o->name; o++)
		if (strcmp(o->name, name) == 0)
			return o;
	return NULL;
}

static char *
server_hint(const AsyProvider *p)
{
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfoString(&text, "Options of a server are ");
	for (size_t i = 0; i < lengthof(server_options); i++)
		appendStringInfo(&text, "%s%s", i ? ", " : "", server_options[i].name);
	if (p && p->options && p->options[0].name)
	{
		appendStringInfo(&text, "; with provider '%s' also ", p->name);
		for (const AsyProviderOption *o = p->options; o->name; o++)
			appendStringInfo(&text, "%s%s", o == p->options ? "" : ", ", o->name);
	}
	appendStringInfoChar(&text, '.');
	return text.data;
}

static const AsyProvider *
provider_of(List *options)
{
	ListCell   *lc;
	const AsyProvider *p = NULL;
	bool		named = false;
	StringInfoData all;

	initStringInfo(&all);
	for (int n = 0; asy_provider_n(n); n++)
		appendStringInfo(&all, "%s%s", n ? ", " : "", asy_provider_n(n)->name);
	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);

		if (strcmp(def->defname, "provider") != 0)
			continue;
		named = true;
		p = asy_provider(defGetString(def));
	}
	if (p == NULL)
		ereport(ERROR,
				(errcode(named ? ERRCODE_INVALID_PARAMETER_VALUE : ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 named ? errmsg("there is no such provider") : errmsg("option \"provider\" is missing"),
				 errdetail("It says what kind of auth service the server is."),
				 errhint("Providers are %s.", all.data)));
	return p;
}

static void
validate_server(List *options)
{
	const AsyProvider *p = provider_of(options);
	bool		has_url = false;
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);
		const char *value = defGetString(def);
		bool		known = false;

		for (size_t i = 0; i < lengthof(server_options); i++)
			if (strcmp(server_options[i].name, def->defname) == 0)
			{
				check_value(def->defname, server_options[i].kind, server_options[i].lo, server_options[i].hi, value);
				if (server_options[i].superuser && !superuser())
					ereport(ERROR,
							(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
							 errmsg("permission denied for option \"%s\"", def->defname),
							 errdetail("It widens where requests with secrets may go."),
							 errhint("A superuser may set it.")));
				known = true;
			}
		if (!known && own_option(p, def->defname))
		{
			check_value(def->defname, TEXT, 0, 0, value);
			known = true;
		}
		if (!known && looks_secret(def->defname))
			refuse_secret(def->defname);
		if (!known)
			refuse(def->defname, "A provider's server has no such option.", server_hint(p));
		has_url = has_url || strcmp(def->defname, "url") == 0;
	}
	if (!has_url)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
				 errmsg("option \"url\" is missing"),
				 errdetail("It says where the provider is."),
				 errhint("OPTIONS (provider '%s', url 'https://…')", p->name)));
	for (const AsyProviderOption *o = p->options; o && o->name; o++)
	{
		bool		given = false;

		foreach(lc, options)
			given = given || strcmp(((DefElem *) lfirst(lc))->defname, o->name) == 0;
		if (o->required && !given)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_OPTION_NAME_NOT_FOUND),
					 errmsg("option \"%s\" is missing", o->name),
					 errdetail("%s needs it: %s.", p->title, o->help),
					 errhint("OPTIONS (provider '%s', url 'https://…', %s '…')", p->name, o->name)));
	}
}

static void
validate_mapping(List *options)
{
	ListCell   *lc;

	foreach(lc, options)
	{
		DefElem    *def = lfirst(lc);
		char	   *secret;
		const char *how;

		if (!asy_server_secret_option(def->defname, &secret, &how))
		{
			if (looks_secret(def->defname))
				refuse_secret(def->defname);
			refuse(def->defname, "A user mapping says where secrets are.",
				   "Its options are the name of a secret with _file, _env or _vault behind it: service_key_file '/etc/authsync/key'.");
		}
		if (strcmp(how, "vault") != 0)
			asy_server_check_reader(GetUserId(), def->defname);
		check_value(def->defname, strcmp(how, "file") == 0 ? ABSOLUTE_FILE : TEXT, 0, 0, defGetString(def));
	}
}

/* fdw_validator(options text[], catalog oid) */
Datum
authsync_fdw_validator(PG_FUNCTION_ARGS)
{
	List	   *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid			catalog = PG_GETARG_OID(1);

	if (catalog == ForeignServerRelationId)
		validate_server(options);
	else if (catalog == UserMappingRelationId)
		validate_mapping(options);
	else if (options != NIL)
		refuse(((DefElem *) linitial(options))->defname, "Neither the wrapper nor its tables and columns have options.", NULL);
	PG_RETURN_VOID();
}

/* ---- columns ---- */

static const Oid type_of[] = {[ASY_TEXT] = TEXTOID, [ASY_BOOL] = BOOLOID, [ASY_TIME] = TIMESTAMPTZOID, [ASY_JSON] = JSONBOID};

static AsyField
field_named(const char *name)
{
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (strcmp(asy_fields[f].name, name) == 0)
			return f;
	return ASY_NFIELDS;
}

AsyField *
asy_fdw_fields(TupleDesc desc)
{
	AsyField   *fields = palloc(sizeof(AsyField) * Max(desc->natts, 1));

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		fields[i] = ASY_NFIELDS;
		if (att->attisdropped)
			continue;
		fields[i] = field_named(NameStr(att->attname));
		if (fields[i] == ASY_NFIELDS)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("a provider's users have no column \"%s\"", NameStr(att->attname)),
					 errdetail("A foreign table of authsync has the columns that IMPORT FOREIGN SCHEMA gives it, or some of them."),
					 errhint("IMPORT FOREIGN SCHEMA authsync FROM SERVER … INTO …;")));
		if (att->atttypid != type_of[asy_fields[fields[i]].type])
			ereport(ERROR,
					(errcode(ERRCODE_DATATYPE_MISMATCH),
					 errmsg("column \"%s\" must be of type %s", NameStr(att->attname), format_type_be(type_of[asy_fields[fields[i]].type])),
					 errhint("IMPORT FOREIGN SCHEMA authsync FROM SERVER … INTO …;")));
	}
	return fields;
}

AsyField
asy_fdw_field(Oid relid, AttrNumber attnum)
{
	char	   *name = attnum > 0 ? get_attname(relid, attnum, true) : NULL;

	return name ? field_named(name) : ASY_NFIELDS;
}

bool
asy_fdw_datum(const AuthUser *user, AsyField field, Datum *value)
{
	const AsyValue *v = &user->value[field];

	*value = (Datum) 0;
	if (!v->present)
		return false;
	switch (asy_fields[field].type)
	{
		case ASY_TEXT:
			*value = CStringGetTextDatum(v->text);
			break;
		case ASY_BOOL:
			*value = BoolGetDatum(v->flag);
			break;
		case ASY_TIME:
			*value = TimestampTzGetDatum(v->time);
			break;
		case ASY_JSON:
			*value = DirectFunctionCall1(jsonb_in, CStringGetDatum(unconstify(char *, v->text)));
			break;
	}
	return true;
}
