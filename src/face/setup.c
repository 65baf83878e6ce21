/*
 * setup.c
 *	  authsync.setup(): says which tables are users and profiles, and attaches.
 *
 * Runs as the caller until his rights are checked, then as the extension's
 * owner. The lock on the users table is taken last, so that it is held only
 * while the triggers are made and the transaction commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "sync/attach.h"
#include "sync/bindable.h"
#include "sync/columns.h"
#include "sync/default_profiles.h"
#include "sync/foreign.h"

PG_FUNCTION_INFO_V1(authsync_setup);
PG_FUNCTION_INFO_V1(authsync_attach);
PG_FUNCTION_INFO_V1(authsync_binding_changed);

/* What the row in authsync.bindings will say. */
typedef struct Wanted
{
	Oid			users;
	Oid			profiles;		/* InvalidOid: to be made */
	char	   *columns;		/* json text */
	char	   *mode;
	char	   *key;
	Oid			audit;
	bool		is_new;			/* nothing was bound before */
} Wanted;

static Oid
relation_called(const char *schema, const char *name)
{
	Oid			nsp = get_namespace_oid(schema, true);

	return OidIsValid(nsp) ? get_relname_relid(name, nsp) : InvalidOid;
}

/* ---- what is wanted ---- */

static Wanted
stored(void)
{
	Wanted		w = {.is_new = true, .columns = "{}", .mode = "safe"};

	if (asy_db_query("SELECT users_schema, users_table, profiles_schema, profiles_table, columns::pg_catalog.text, mode, key_column, audit_schema, audit_table"
					 " FROM authsync.bindings ORDER BY bound_at DESC LIMIT 1") == 0)
		return w;
	w.is_new = false;
	w.users = relation_called(asy_db_text(0, 1), asy_db_text(0, 2));
	if (asy_db_text(0, 3))
		w.profiles = relation_called(asy_db_text(0, 3), asy_db_text(0, 4));
	w.columns = asy_db_text(0, 5);
	w.mode = asy_db_text(0, 6);
	w.key = asy_db_text(0, 7);
	if (asy_db_text(0, 8))
		w.audit = relation_called(asy_db_text(0, 8), asy_db_text(0, 9));
	return w;
}

static Oid
look_for_profiles(const AsyExtension *ext)
{
	Oid			found = relation_called("public", "profiles");

	return OidIsValid(found) ? found : get_relname_relid("profiles", ext->face);
}

/* Writes the row; returns whether it is another than before. */
static bool
store(const Wanted *w)
{
	static const char same[] =
		"SELECT FROM authsync.bindings WHERE users_schema = $1 AND users_table = $2 AND profiles_schema IS NOT DISTINCT FROM $3"
		" AND profiles_table IS NOT DISTINCT FROM $4 AND key_column IS NOT DISTINCT FROM $5 AND audit_schema IS NOT DISTINCT FROM $6"
		" AND audit_table IS NOT DISTINCT FROM $7 AND mode = $8 AND columns = $9::pg_catalog.jsonb"
		" AND (SELECT pg_catalog.count(*) FROM authsync.bindings) = 1";
	static const char insert[] =
		"INSERT INTO authsync.bindings (users_schema, users_table, profiles_schema, profiles_table, key_column, audit_schema, audit_table, mode, columns)"
		" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9::pg_catalog.jsonb)";
	Oid			types[9];
	Datum		values[9];
	char		nulls[10] = "         ";
	const char *text[9] = {
		get_namespace_name(get_rel_namespace(w->users)), get_rel_name(w->users),
		OidIsValid(w->profiles) ? get_namespace_name(get_rel_namespace(w->profiles)) : NULL,
		OidIsValid(w->profiles) ? get_rel_name(w->profiles) : NULL,
		w->key,
		OidIsValid(w->audit) ? get_namespace_name(get_rel_namespace(w->audit)) : NULL,
		OidIsValid(w->audit) ? get_rel_name(w->audit) : NULL,
		w->mode, w->columns
	};

	for (int i = 0; i < 9; i++)
	{
		types[i] = TEXTOID;
		values[i] = text[i] ? CStringGetTextDatum(text[i]) : (Datum) 0;
		nulls[i] = text[i] ? ' ' : 'n';
	}
	if (asy_db_run(same, false, 9, types, values, nulls) > 0)
		return false;
	asy_db_exec("DELETE FROM authsync.bindings");
	asy_db_run(insert, false, 9, types, values, nulls);
	return true;
}

/* What the binding says of its columns: (name, description) pairs, the key first. */
typedef struct Described
{
	char	   *name;
	char	   *text;
} Described;

static List *
describe_columns(const AsyBinding *b)
{
	List	   *result = NIL;
	ListCell   *lc;

	if (b == NULL || !b->key)
		return NIL;
	{
		Described  *d = palloc(sizeof(Described));

		d->name = pstrdup(b->key);
		d->text = pstrdup(b->key_is_arbiter ? "key: the user's id" :
						  b->profiles_are_foreign ? "key: the user's id; whether it is unique there cannot be seen from here" :
						  "key: the user's id; no unique index on it alone");
		result = lappend(result, d);
	}
	foreach(lc, b->columns)
	{
		AsyColumn  *c = lfirst(lc);
		Described  *d = palloc(sizeof(Described));

		d->name = pstrdup(c->name);
		d->text = psprintf("from %s%s%s%s%s%s", c->source ? c->source : "its default",
						   c->fallback ? psprintf(", else %s", c->fallback) : "", c->always ? ", kept equal" : "",
						   c->has_allow ? ", only allowed values" : "", c->guard ? ", guarded" : "",
						   c->by_hand ? "" : " (found by name)");
		result = lappend(result, d);
	}
	return result;
}

static void
look_at_columns(void *arg)
{
	*(List **) arg = describe_columns(asy_binding_get());
}

static const Described *
described(List *columns, const char *name)
{
	ListCell   *lc;

	foreach(lc, columns)
		if (strcmp(((Described *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}

static void
report_columns(AsySteps *steps, const AsyBinding *b, List *before)
{
	List	   *now = describe_columns(b);
	ListCell   *lc;

	foreach(lc, now)
	{
		const Described *d = lfirst(lc);
		const Described *old = described(before, d->name);

		asy_step(steps, "column", psprintf("%s.%s", b->profiles_name, quote_identifier(d->name)),
				 old == NULL ? "create" : strcmp(old->text, d->text) != 0 ? "change" : NULL, d->text);
	}
	foreach(lc, before)
	{
		const Described *d = lfirst(lc);

		if (described(now, d->name) == NULL)
			asy_step(steps, "column", psprintf("%s.%s", b->profiles_name, quote_identifier(d->name)), "drop", "not filled any more");
	}
}

/* Stores the row and attaches; as the extension's owner. In a dry run the caller undoes what is stored. */
typedef struct Storing
{
	Wanted	   *w;
	AsySteps   *steps;
	List	   *columns_before;
	MemoryContext context;		/* of the steps */
} Storing;

#define DRY_RUN_DONE MAKE_SQLSTATE('A', 'S', 'Y', '0', '1')

static void
store_and_attach(void *arg)
{
	Storing    *s = arg;
	AsyBinding *b;
	MemoryContext old = MemoryContextSwitchTo(s->context);

	store(s->w);
	b = asy_binding_get();		/* reads the catalogs only: no lock on the tables yet */
	if (b == NULL)
		asy_error_unbound(NULL);
	report_columns(s->steps, b, s->columns_before);
	asy_attach_views(b);
	if (!asy_attach_triggers(b, s->steps))
	{
		asy_step(s->steps, "trigger", b->users_name, "leave", "the lock was not to be had in authsync.lock_timeout");
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock %s to make its triggers", b->users_name),
				 errdetail("Another transaction holds it; waited authsync.lock_timeout."),
				 errhint("Try again: SELECT * FROM authsync.setup();")));
	}
	MemoryContextSwitchTo(old);
	if (s->steps->dry_run)
		ereport(ERROR, (errcode(DRY_RUN_DONE), errmsg_internal("dry run")));
}

static const char *
verb(const Wanted *before, bool same)
{
	return before->is_new ? "create" : same ? NULL : "change";
}

/* A table that was bound and is not any more. */
static void
detach_former(Oid before, Oid now, AsySteps *steps)
{
	if (OidIsValid(before) && before != now && !asy_detach_triggers(before, steps))
		ereport(WARNING,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not lock %s to drop its triggers", asy_db_relation_name(before)),
				 errhint("They do nothing for a table that is not bound; DROP TRIGGER when it is free.")));
}

/* What a table is, where that changes what to expect of it. */
static const char *
table_detail(Oid relid, const char *consequence)
{
	return OidIsValid(asy_foreign_server(relid)) ? psprintf("foreign table on server %s%s", asy_foreign_server_name(relid), consequence) : "";
}

static const char *
mode_detail(const Wanted *w)
{
	if (OidIsValid(asy_foreign_server(w->users)) || OidIsValid(asy_foreign_server(w->profiles)))
		return "without effect while a table is foreign: no triggers, profiles are made by the backfill, every answer compares in full";
	return strcmp(w->mode, "safe") == 0 ? "a profile that fails goes to quarantine" :
		strcmp(w->mode, "strict") == 0 ? "a profile that fails fails the sign-up" : "no triggers";
}

/* Also where it was bound before: a foreign table may have lost its user mapping, or found another owner. */
static void
check_kept(Oid relid, const char *what, Oid extension_owner)
{
	if (OidIsValid(asy_foreign_server(relid)))
		asy_bindable_check_kind(relid, what, extension_owner);
}

/* Checks, stores and attaches; the caller is on SPI and not yet the owner. */
static void
bind(const AsyExtension *ext, Wanted *w, const Wanted *before, AsySteps *steps)
{
	AsyIdentity saved;
	List	   *mappings;
	bool		made = false;
	Storing		storing = {.w = w, .steps = steps, .context = CurrentMemoryContext};
	AsyFailure *failure;

	asy_db_become(&saved, ext->owner, false);
	mappings = asy_mapping_parse(w->columns);
	if (!before->is_new)
		(void) asy_db_try(look_at_columns, &storing.columns_before);	/* a mapping that cannot be read is being replaced */
	asy_db_restore(&saved);

	if (!OidIsValid(w->profiles))
	{
		made = true;
		if (steps->dry_run)
			asy_step(steps, "table", "public.profiles", "create", "the default profiles table");
		else
			w->profiles = asy_default_profiles_create(w->users, ext->owner, steps);
	}
	asy_db_become(&saved, ext->owner, false);
	check_kept(w->users, "users", ext->owner);
	check_kept(w->profiles, "profiles", ext->owner);
	if (OidIsValid(w->profiles))
	{
		asy_bindable_check_columns(w->users, w->profiles, mappings);
		if (made || w->key == NULL || w->profiles != before->profiles || strcmp(w->columns, before->columns) != 0 ||
			get_attnum(w->profiles, w->key) == InvalidAttrNumber)
			w->key = asy_columns_find_key(w->profiles, w->users, mappings);
		if (w->key == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("no column of %s holds the user's id", asy_db_relation_name(w->profiles)),
					 errdetail("Looked for a uuid or text column with a unique index, called id, user_id or alike."),
					 errhint("SELECT * FROM authsync.setup(columns => '{\"user_id\": {\"from\": \"user_id\", \"key\": true}}');")));
	}
	w->audit = get_relname_relid("audit_log_entries", get_rel_namespace(w->users));
	if (OidIsValid(asy_foreign_server(w->audit)) && !asy_foreign_is_fit(w->audit))
		w->audit = InvalidOid;

	detach_former(before->is_new ? InvalidOid : before->users, w->users, steps);
	detach_former(before->is_new ? InvalidOid : before->profiles, w->profiles, steps);
	detach_former(before->is_new ? InvalidOid : before->audit, w->audit, steps);

	asy_step(steps, "users", asy_db_relation_name(w->users), verb(before, before->users == w->users),
			 table_detail(w->users, ": it gets no triggers"));
	if (OidIsValid(w->profiles) && !made)
		asy_step(steps, "profiles", asy_db_relation_name(w->profiles), verb(before, before->profiles == w->profiles),
				 table_detail(w->profiles, ": it gets no triggers"));
	asy_step(steps, "audit log", OidIsValid(w->audit) ? asy_db_relation_name(w->audit) : "none", verb(before, true),
			 OidIsValid(w->audit) ? table_detail(w->audit, ": read in full by every look at sign-ups") : "sign-ups cannot be looked up");
	asy_step(steps, "mode", w->mode, verb(before, strcmp(before->mode, w->mode) == 0), mode_detail(w));

	if (!steps->dry_run)
		store_and_attach(&storing);
	else if ((failure = asy_db_try(store_and_attach, &storing)) != NULL && failure->sqlerrcode != DRY_RUN_DONE)
		asy_failure_throw(failure);
	asy_db_restore(&saved);
}

/* ---- the functions ---- */

static void
return_steps(FunctionCallInfo fcinfo, const AsySteps *steps)
{
	ReturnSetInfo *rsinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	foreach(lc, steps->list)
	{
		AsyStep    *s = lfirst(lc);
		bool		nulls[4] = {false};
		Datum		values[4] = {
			CStringGetTextDatum(s->step), CStringGetTextDatum(s->object),
			CStringGetTextDatum(s->action), CStringGetTextDatum(s->detail)
		};

		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

Datum
authsync_setup(PG_FUNCTION_ARGS)
{
	AsyExtension ext;
	AsyIdentity saved;
	AsySteps	steps = {0};
	Oid			caller = GetUserId();
	Wanted		before;
	Wanted		w;

	if (PG_ARGISNULL(4))
		asy_error_null("dry_run");
	steps.dry_run = PG_GETARG_BOOL(4);
	if (!steps.dry_run)
		PreventCommandIfReadOnly("authsync.setup()");
	ext = asy_db_own_extension();

	SPI_connect();
	asy_db_become(&saved, ext.owner, false);
	before = w = stored();
	asy_db_restore(&saved);

	if (!PG_ARGISNULL(0))
		w.users = PG_GETARG_OID(0);
	else if (!OidIsValid(w.users))
		w.users = relation_called("auth", "users");
	if (!OidIsValid(w.users) || get_rel_name(w.users) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("no users table found"),
				 errdetail("There is no auth.users, and no table was named."),
				 errhint("SELECT * FROM authsync.setup(users => 'schema.table', profiles => 'schema.table');")));
	if (!PG_ARGISNULL(1))
		w.profiles = PG_GETARG_OID(1);
	else if (!OidIsValid(w.profiles))
		w.profiles = look_for_profiles(&ext);
	if (OidIsValid(w.profiles) && get_rel_name(w.profiles) == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("relation with OID %u does not exist", w.profiles)));
	if (!PG_ARGISNULL(2))
	{
		w.columns = DatumGetCString(DirectFunctionCall1(jsonb_out, PG_GETARG_DATUM(2)));
		if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(2)))
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("argument \"columns\" must be a JSON object"),
					 errdetail("It maps a column of profiles to a source."),
					 errhint("columns => '{\"full_name\": \"user_metadata.full_name\"}'")));
	}
	if (!PG_ARGISNULL(3))
	{
		w.mode = text_to_cstring(PG_GETARG_TEXT_PP(3));
		if (strcmp(w.mode, "safe") != 0 && strcmp(w.mode, "strict") != 0 && strcmp(w.mode, "off") != 0)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("there is no mode \"%s\"", w.mode),
					 errdetail("In safe mode a failing profile goes to quarantine, in strict mode it fails the sign-up; off takes the triggers away."),
					 errhint("Modes are safe, strict and off.")));
	}
	if (w.users == w.profiles)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("users and profiles must be two tables"),
				 errdetail("Both are %s.", asy_db_relation_name(w.users)),
				 errhint("Leave out what you do not want to change.")));

	/*
	 * What is named needs the caller's right to it, and so do the users whom
	 * another table is to get; what is kept was checked when it was named.
	 */
	if (!PG_ARGISNULL(0) || w.users != before.users || w.profiles != before.profiles)
		asy_bindable_check_users(w.users, caller, ext.owner);
	if (OidIsValid(w.profiles) && (!PG_ARGISNULL(1) || w.profiles != before.profiles))
		asy_bindable_check_profiles(w.profiles, caller, ext.owner);

	bind(&ext, &w, &before, &steps);
	return_steps(fcinfo, &steps);
	SPI_finish();
	return (Datum) 0;
}

typedef struct Attach
{
	AsyExtension ext;
	Wanted		w;
	Wanted		before;
	AsySteps	steps;
} Attach;

static void
attach(void *arg)
{
	Attach	   *a = arg;

	asy_bindable_check_kind(a->w.users, "users", a->ext.owner);
	asy_bindable_check_kind(a->w.profiles, "profiles", a->ext.owner);
	bind(&a->ext, &a->w, &a->before, &a->steps);
}

/* An extension's script runs with NOTICEs off; what we have to say is for the one who called. */
static void
speak_up(void)
{
	struct config_generic *setting = find_option("client_min_messages", false, true, LOG);

	/* Only where the script turned them off; not where the caller had done so, as a dump does. */
	if (setting && setting->stack && setting->stack->state == GUC_SAVE && setting->stack->prior.val.enumval < WARNING)
		(void) set_config_option("client_min_messages", "notice", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/*
 * attach(): the end of CREATE EXTENSION, and of every update. What is there is
 * bound; what is not is said, and left to setup(). Nothing here can fail the
 * installation. What is bound already stays so.
 */
Datum
authsync_attach(PG_FUNCTION_ARGS)
{
	Attach		a = {0};
	AsyFailure *failure;

	a.ext = asy_db_own_extension();
	SPI_connect();
	speak_up();
	a.before = a.w = stored();
	if (!a.before.is_new)
	{
		asy_attach_views(asy_binding_get());	/* the end of an update: it has put the shipped bodies back */
		SPI_finish();
		PG_RETURN_VOID();
	}
	a.w.users = relation_called("auth", "users");
	a.w.profiles = look_for_profiles(&a.ext);
	if (!OidIsValid(a.w.users) || !OidIsValid(a.w.profiles))
		ereport(NOTICE,
				(errmsg("authsync found no %s, and is not bound yet",
						OidIsValid(a.w.users) ? "profiles table" : OidIsValid(a.w.profiles) ? "table auth.users" :
						"table auth.users and no profiles table"),
				 errhint("%s", OidIsValid(a.w.users)
						 ? "SELECT * FROM authsync.setup(); makes public.profiles, or binds the table you name: setup(profiles => 'schema.table')."
						 : "When the tables are there: SELECT * FROM authsync.setup();")));
	else if ((failure = asy_db_try(attach, &a)) != NULL)
		ereport(NOTICE,
				(errmsg("authsync could not bind itself: %s", failure->message),
				 failure->detail ? errdetail("%s", failure->detail) : 0,
				 errhint("%s", failure->hint ? failure->hint : "SELECT * FROM authsync.setup();")));
	else
		ereport(NOTICE,
				(errmsg("authsync is bound: users %s, profiles %s", asy_db_relation_name(a.w.users), asy_db_relation_name(a.w.profiles)),
				 errhint("SELECT * FROM diagnose_auth_profile_consistency(); shows what is out of step.")));
	SPI_finish();
	PG_RETURN_VOID();
}

static void
rewrite_views(void *arg pg_attribute_unused())
{
	asy_attach_views(asy_binding_get());
}

/* The bindings table changed, by setup() or by a restore: bodies only, never triggers. */
Datum
authsync_binding_changed(PG_FUNCTION_ARGS)
{
	AsyFailure *failure;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("function \"authsync.binding_changed\" must be called by a trigger")));
	asy_binding_invalidate();
	SPI_connect();
	failure = asy_db_try(rewrite_views, NULL);
	if (failure)
		ereport(WARNING,
				(errcode(failure->sqlerrcode),
				 errmsg("authsync could not read its binding: %s", failure->message),
				 errhint("SELECT * FROM authsync.setup();")));
	SPI_finish();
	return PointerGetDatum(NULL);
}
