/*
 * db.c
 *	  The database under us: who we are, short SPI, subtransactions.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_extension.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/uuid.h"

#include "compat.h"
#include "ground/db.h"

#define PINNED_PATH "pg_catalog, pg_temp"

bool
asy_db_extension(AsyExtension *ext)
{
	Relation	rel = table_open(ExtensionRelationId, AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;
	bool		found;

	ScanKeyInit(&key, Anum_pg_extension_extname, BTEqualStrategyNumber, F_NAMEEQ,
				CStringGetDatum("authsync"));
	scan = systable_beginscan(rel, ExtensionNameIndexId, true, NULL, 1, &key);
	tuple = systable_getnext(scan);
	found = HeapTupleIsValid(tuple);
	if (found)
	{
		Form_pg_extension form = (Form_pg_extension) GETSTRUCT(tuple);

		ext->oid = form->oid;
		ext->owner = form->extowner;
		ext->face = form->extnamespace;
	}
	systable_endscan(scan);
	table_close(rel, AccessShareLock);
	return found;
}

AsyExtension
asy_db_own_extension(void)
{
	AsyExtension ext;

	if (!asy_db_extension(&ext))
		elog(ERROR, "extension authsync does not exist");
	return ext;
}

static void
set_until_restored(AsyIdentity *saved, const char *name, const char *value)
{
	if (saved->guc_level == 0)
		saved->guc_level = NewGUCNestLevel();
	(void) set_config_option(name, value, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

void
asy_db_become(AsyIdentity *saved, Oid role, bool restricted)
{
	asy_db_act_as(saved, role, restricted);

	/* Our own functions come with it pinned; setting it once more costs more than a small statement. */
	if (strcmp(namespace_search_path, PINNED_PATH) != 0)
		set_until_restored(saved, "search_path", PINNED_PATH);
}

void
asy_db_act_as(AsyIdentity *saved, Oid role, bool restricted)
{
	int			context;

	GetUserIdAndSecContext(&saved->user, &saved->context);
	context = saved->context | SECURITY_LOCAL_USERID_CHANGE;
	if (restricted)
		context |= SECURITY_RESTRICTED_OPERATION;
	SetUserIdAndSecContext(role, context);
	saved->guc_level = 0;
	saved->lock_timeout = -1;
}

void
asy_db_restore(const AsyIdentity *saved)
{
	if (saved->guc_level)
		AtEOXact_GUC(false, saved->guc_level);
	if (saved->lock_timeout >= 0)
		LockTimeout = saved->lock_timeout;
	SetUserIdAndSecContext(saved->user, saved->context);
}

/* How many asy_db_try are under way: what fails within them puts LockTimeout back. */
static int	tries = 0;

void
asy_db_bound_lock_waits(AsyIdentity *saved, int timeout_ms, bool alone)
{
	char		value[32];

	if (timeout_ms <= 0 || (LockTimeout > 0 && LockTimeout <= timeout_ms))
		return;
	if (alone && tries > 0)
	{
		saved->lock_timeout = LockTimeout;
		LockTimeout = timeout_ms;
		return;
	}
	snprintf(value, sizeof(value), "%d", timeout_ms);
	set_until_restored(saved, "lock_timeout", value);
}

void
asy_db_pin_formats(AsyIdentity *saved)
{
	set_until_restored(saved, "TimeZone", "UTC");
	set_until_restored(saved, "DateStyle", "ISO, YMD");
	set_until_restored(saved, "IntervalStyle", "iso_8601");
	set_until_restored(saved, "extra_float_digits", "1");
	set_until_restored(saved, "bytea_output", "hex");
}

AsyFailure *
asy_db_try(void (*work) (void *arg), void *arg)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	AsyFailure *volatile failure = NULL;
	int			lock_timeout = LockTimeout;
	int			depth = tries;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);

	PG_TRY();
	{
		tries = depth + 1;
		work(arg);
		tries = depth;
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		tries = depth;
		LockTimeout = lock_timeout;

		if (asy_error_must_go_on(edata))
			ReThrowError(edata);
		failure = asy_failure_from(edata);
		FreeErrorData(edata);
	}
	PG_END_TRY();

	return failure;
}

/* ---- part by part ---- */

typedef struct Part
{
	const AsyParts *parts;
	void	   *arg;
	int			from;
	int			n;
} Part;

static void
do_part(void *arg)
{
	Part	   *part = arg;

	part->parts->do_part(part->arg, part->from, part->n);
}

/* The failure that made us give up, or NULL. */
static AsyFailure *
bisect(Part part, AsyFailure *gave_up)
{
	AsyFailure *failure = gave_up;

	if (gave_up == NULL)
	{
		failure = asy_db_try(do_part, &part);
		if (failure == NULL)
			return NULL;
		if (part.parts->gives_up && part.parts->gives_up(part.arg, failure))
			gave_up = failure;
		else if (part.n > 1)
		{
			Part		left = part;
			Part		right = part;

			left.n = part.n / 2;
			right.from += left.n;
			right.n -= left.n;
			CHECK_FOR_INTERRUPTS();
			return bisect(right, bisect(left, NULL));
		}
	}
	part.parts->failed(part.arg, part.from, part.n, failure);
	return gave_up;
}

void
asy_db_bisect(const AsyParts *parts, void *arg, int n)
{
	Part		whole = {.parts = parts, .arg = arg, .n = n};

	(void) bisect(whole, NULL);
}

/* SPI comes back in a context of its own; our callers stay in theirs. */
static uint64
done(int rc, MemoryContext context)
{
	MemoryContextSwitchTo(context);
	if (rc < 0)
		elog(ERROR, "SPI returned %s", SPI_result_code_string(rc));
	return SPI_processed;
}

uint64
asy_db_run(const char *sql, bool read_only, int nargs, Oid *types, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;

	return done(SPI_execute_with_args(sql, nargs, types, values, nulls, read_only, 0), context);
}

uint64
asy_db_exec(const char *sql)
{
	MemoryContext context = CurrentMemoryContext;

	return done(SPI_execute(sql, false, 0), context);
}

SPIPlanPtr
asy_db_prepare(const char *sql, int nargs, Oid *types, bool once)
{
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	plan = SPI_prepare_cursor(sql, nargs, types, once ? CURSOR_OPT_GENERIC_PLAN : 0);

	MemoryContextSwitchTo(context);
	if (plan == NULL || SPI_keepplan(plan) != 0)
		elog(ERROR, "SPI could not prepare: %s", SPI_result_code_string(SPI_result));
	return plan;
}

uint64
asy_db_run_prepared(SPIPlanPtr plan, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;

	return done(SPI_execute_plan(plan, values, NULL, false, 0), context);
}

uint64
asy_db_run_prepared_with(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;

	return done(SPI_execute_plan(plan, values, nulls, false, 0), context);
}

uint64
asy_db_look_prepared(SPIPlanPtr plan, Datum *values)
{
	MemoryContext context = CurrentMemoryContext;

	return done(SPI_execute_plan(plan, values, NULL, true, 0), context);
}

uint64
asy_db_query(const char *sql)
{
	return asy_db_run(sql, true, 0, NULL, NULL, NULL);
}

Datum
asy_db_value(uint64 row, int col, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col, isnull);
}

char *
asy_db_text(uint64 row, int col)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, col);
}

int64
asy_db_int64(uint64 row, int col)
{
	bool		isnull;
	Datum		value = asy_db_value(row, col, &isnull);

	if (isnull)
		return 0;
	return SPI_gettypeid(SPI_tuptable->tupdesc, col) == INT4OID ? DatumGetInt32(value) : DatumGetInt64(value);
}

bool
asy_db_bool(uint64 row, int col)
{
	bool		isnull;
	Datum		value = asy_db_value(row, col, &isnull);

	return !isnull && DatumGetBool(value);
}

void
asy_db_return_rows(FunctionCallInfo fcinfo)
{
	ReturnSetInfo *rsinfo;

	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	if (SPI_tuptable->tupdesc->natts != rsinfo->setDesc->natts)
		elog(ERROR, "query gave %d columns, the function has %d",
			 SPI_tuptable->tupdesc->natts, rsinfo->setDesc->natts);
	for (uint64 i = 0; i < SPI_processed; i++)
		tuplestore_puttuple(rsinfo->setResult, SPI_tuptable->vals[i]);
}

char *
asy_db_relation_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* As uuid_out writes it, without the buffer of a kilobyte that it leaves behind. */
char *
asy_db_uuid_text(Datum uuid)
{
	static const char hex[] = "0123456789abcdef";
	const unsigned char *byte = DatumGetUUIDP(uuid)->data;
	char	   *text = palloc(2 * UUID_LEN + 5);
	char	   *c = text;

	for (int i = 0; i < UUID_LEN; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*c++ = '-';
		*c++ = hex[byte[i] >> 4];
		*c++ = hex[byte[i] & 15];
	}
	*c = '\0';
	return text;
}

Datum
asy_db_text_array(char **items, int n)
{
	Datum	   *values = palloc(sizeof(Datum) * Max(n, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			dims[1] = {n};
	int			lbs[1] = {1};

	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	for (int i = 0; i < n; i++)
	{
		nulls[i] = items[i] == NULL;
		values[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(items[i]);
	}
	return PointerGetDatum(construct_md_array(values, nulls, 1, dims, lbs, TEXTOID, -1, false, TYPALIGN_INT));
}

Oid
asy_db_relation_owner(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}
