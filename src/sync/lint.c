/*
 * lint.c
 *	  Findings about a binding: runs the checks of lint_*.c.
 *
 * Each check runs in a subtransaction of its own, so that one that fails is
 * itself a finding and the others still answer. Nothing is written: it works
 * in a READ ONLY transaction and on a standby.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "compat.h"
#include "sync/foreign.h"
#include "sync/lint.h"

#define NCOLUMNS 5				/* severity, check_name, object, detail, hint */

static const char *const severities[] = {"error", "warning", "info"};

typedef struct Finding
{
	const char *value[NCOLUMNS];
} Finding;

/* One check under way; what it finds goes to the caller's memory. */
typedef struct Look
{
	const AsyLintCheck *check;
	AsyBinding *b;
	bool		unreachable;	/* a foreign table of it cannot be read */
	MemoryContext context;
	List	   *found;			/* Finding */
} Look;

bool
asy_lint_is_table(Oid relid)
{
	char		kind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ||
		(kind == RELKIND_FOREIGN_TABLE && asy_foreign_is_fit(relid));
}

char *
asy_lint_row(const char *object, const char *detail, const char *hint)
{
	return psprintf("SELECT %s, %s, %s", quote_literal_cstr(object), quote_literal_cstr(detail),
					hint ? quote_literal_cstr(hint) : "NULL");
}

static void
add(List **found, const char *severity, const char *name, char *object, char *detail, char *hint)
{
	Finding    *f = palloc(sizeof(Finding));

	*f = (Finding) {{severity, name, object, detail, hint}};
	*found = lappend(*found, f);
}

static bool
makes_sense(const AsyLintCheck *check, const Look *l)
{
	const AsyBinding *b = l->b;
	bool		users = b && !l->unreachable && asy_lint_is_table(b->users) && b->users_key_name;
	bool		profiles = users && asy_lint_is_table(b->profiles) && b->key;

	switch (check->needs)
	{
		case ASY_LINT_NOTHING:
			return true;
		case ASY_LINT_USERS:
			return users;
		case ASY_LINT_LOCAL_USERS:
			return users && !b->users_are_foreign;
		case ASY_LINT_PROFILES:
			return profiles;
		case ASY_LINT_LOCAL_PROFILES:
			return profiles && !b->profiles_are_foreign;
	}
	return false;
}

static void
load_binding(void *arg)
{
	((Look *) arg)->b = asy_binding_hold();
}

static void
look(void *arg)
{
	Look	   *look = arg;
	AsyBinding *b = look->b;
	Oid			types[] = {OIDOID, OIDOID, OIDOID, OIDOID, TEXTOID, INT2OID, TEXTOID};
	Datum		values[] = {
		ObjectIdGetDatum(b ? b->users : InvalidOid),
		ObjectIdGetDatum(b ? b->profiles : InvalidOid),
		ObjectIdGetDatum(b ? b->profiles_owner : InvalidOid),
		ObjectIdGetDatum(InvalidOid),
		CStringGetTextDatum(b ? b->columns_text : "{}"),
		Int16GetDatum(b ? b->key_attnum : 0),
		CStringGetTextDatum(b ? asy_lint_columns_json(b) : "[]")
	};
	AsyExtension ext;
	const char *sql = look->check->sql ? look->check->sql : look->check->build(b);
	uint64		n;

	if (sql == NULL)
		return;
	if (asy_db_extension(&ext))
		values[3] = ObjectIdGetDatum(ext.oid);
	n = asy_db_run(sql, true, lengthof(types), types, values, NULL);
	for (uint64 i = 0; i < n; i++)
	{
		MemoryContext old = MemoryContextSwitchTo(look->context);
		bool		named = SPI_tuptable->tupdesc->natts == NCOLUMNS;

		add(&look->found,
			named ? asy_db_text(i, 4) : look->check->severity, named ? asy_db_text(i, 5) : look->check->name,
			asy_db_text(i, 1), asy_db_text(i, 2), asy_db_text(i, 3));
		MemoryContextSwitchTo(old);
	}
}

static void
run_checks(Look *l, const AsyLintCheck *checks)
{
	for (l->check = checks; l->check->name; l->check++)
	{
		AsyFailure *failure;

		if (!makes_sense(l->check, l))
			continue;
		failure = asy_db_try(look, l);
		if (failure)
			add(&l->found, "warning", l->check->name, pstrdup("authsync"),
				psprintf("this could not be looked at: %s", failure->message), NULL);
	}
}

static void
return_findings(FunctionCallInfo fcinfo, List *found)
{
	ReturnSetInfo *rsinfo;
	ListCell   *lc;

	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	for (size_t s = 0; s < lengthof(severities); s++)
		foreach(lc, found)
		{
			Finding    *f = lfirst(lc);
			Datum		values[NCOLUMNS];
			bool		nulls[NCOLUMNS];

			if (strcmp(f->value[0], severities[s]) != 0)
				continue;
			for (int i = 0; i < NCOLUMNS; i++)
			{
				nulls[i] = f->value[i] == NULL;
				values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(f->value[i]);
			}
			tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		}
}

void
asy_lint(FunctionCallInfo fcinfo)
{
	static const AsyLintCheck *const all[] = {
		asy_lint_binding, asy_lint_triggers, asy_lint_columns, asy_lint_tables,
		asy_lint_rights, asy_lint_users, asy_lint_server, asy_lint_bookkeeping, asy_lint_foreign, asy_lint_providers
	};
	Look		l = {.context = CurrentMemoryContext};
	AsyFailure *failure = asy_db_try(load_binding, &l);

	if (failure)
		add(&l.found, "error", "binding", pstrdup("authsync.bindings"), failure->message,
			pstrdup("UPDATE authsync.bindings SET columns = '{}'; SELECT * FROM authsync.setup();"));
	run_checks(&l, asy_lint_reach);
	l.unreachable = l.found != NIL && !failure;
	for (size_t i = 0; i < lengthof(all); i++)
		if (!(failure && all[i] == asy_lint_binding))
			run_checks(&l, all[i]);
	return_findings(fcinfo, l.found);
}
