/*
 * act.c
 *	  The functions that change profiles: one user's, all that are missing, all
 *	  that differ, and those in quarantine.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "compat.h"
#include "sync/backfill.h"
#include "sync/fill.h"
#include "sync/progress.h"
#include "sync/record.h"

PG_FUNCTION_INFO_V1(authsync_backfill_user);
PG_FUNCTION_INFO_V1(authsync_ensure);
PG_FUNCTION_INFO_V1(authsync_backfill_all);
PG_FUNCTION_INFO_V1(authsync_resync);
PG_FUNCTION_INFO_V1(authsync_backfill_procedure);
PG_FUNCTION_INFO_V1(authsync_maintain);
PG_FUNCTION_INFO_V1(authsync_track_event);

#define BATCH_MAX 1000000

static Datum
jsonb_of(const char *text)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(text));
}

static char *
json_text(const char *text)
{
	StringInfoData json;

	if (text == NULL)
		return "null";
	initStringInfo(&json);
	escape_json(&json, text);
	return json.data;
}

/* ---- one user ---- */

static void
override(AsyBinding *b, AsyUsers *users, AsyField field, text *value)
{
	if (value == NULL || VARSIZE_ANY_EXHDR(value) == 0 || !b->uses[field])
		return;					/* '' is none, as everywhere */
	users->value[field][0] = PointerGetDatum(value);
	users->isnull[field][0] = false;
}

/* The user of that id, held; errors where there is none or he is deleted. */
static AsyUsers *
one_user(AsyBinding *b, Datum user_id)
{
	AsyUsers   *users = asy_users_held(b, &user_id, 1);

	if (users->n == 0)
	{
		if (asy_users_by_ids(b, &user_id, 1)->n > 0)
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("user \"%s\" is being deleted or locked by another transaction", asy_db_uuid_text(user_id)),
					 errhint("Try again when that transaction has ended.")));
		asy_error_no_user(asy_db_uuid_text(user_id));
	}
	if (users->gone[0])
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("user \"%s\" is deleted", asy_db_uuid_text(user_id)),
				 errdetail("A deleted user gets no profile."),
				 errhint("SELECT * FROM get_user_signup_events('%s');", asy_db_uuid_text(user_id))));
	return users;
}

/* Makes the one profile and writes down what happened. */
static void
make_one(AsyBinding *b, AsyUsers *users, bool catch)
{
	static const int first = 0;
	AsyWrite	how = {.kind = ASY_WRITE_INSERT_HASHED, .catch = catch};
	AsyEvents  *events = asy_events_new();

	asy_profile_write(b, users, &first, 1, how);
	switch (users->outcome[0])
	{
		case ASY_CREATED:
			asy_events_add(events, asy_user_id(users, 0), "profile_backfilled", psprintf("{\"hash\": \"%s\"}", users->hash[0]));
			break;
		case ASY_LINKED:
			asy_events_add(events, asy_user_id(users, 0), "profile_backfilled", "{\"linked\": true}");
			break;
		case ASY_FAILED:
			asy_events_add(events, asy_user_id(users, 0), "profile_bootstrap_error", asy_failure_json(users->failure[0]));
			break;
		default:
			break;
	}
	asy_quarantine_put(b, users);
	if (users->outcome[0] != ASY_FAILED)
		asy_quarantine_release(&asy_user_id(users, 0), 1);
	asy_events_write(b, events);
}

Datum
authsync_backfill_user(PG_FUNCTION_ARGS)
{
	AsyBinding *b;
	AsyUsers   *users;
	Datum		result;
	AsyOutcome	o;

	if (PG_ARGISNULL(0))
		asy_error_null("user_id");
	b = asy_binding_require_profiles();
	SPI_connect();
	users = one_user(b, PG_GETARG_DATUM(0));
	override(b, users, ASY_EMAIL, PG_ARGISNULL(1) ? NULL : PG_GETARG_TEXT_PP(1));
	override(b, users, ASY_ACCOUNT_TYPE, PG_ARGISNULL(2) ? NULL : PG_GETARG_TEXT_PP(2));
	make_one(b, users, true);
	o = users->outcome[0];
	result = jsonb_of(psprintf("{\"user_id\": \"%s\", \"status\": \"%s\", \"sqlstate\": %s, \"message\": %s}",
							   asy_db_uuid_text(PG_GETARG_DATUM(0)),
							   o == ASY_FAILED ? "failed" : o == ASY_EXISTS ? "exists" : "created",
							   o == ASY_FAILED ? json_text(asy_sqlstate_text(users->failure[0]->sqlerrcode)) : "null",
							   o == ASY_FAILED ? json_text(users->failure[0]->message) : "null"));
	result = SPI_datumTransfer(result, false, -1);
	SPI_finish();
	return result;
}

Datum
authsync_ensure(PG_FUNCTION_ARGS)
{
	AsyBinding *b;
	AsyUsers   *users;
	bool		created;

	if (PG_ARGISNULL(0))
		asy_error_null("user_id");
	b = asy_binding_require_profiles();
	SPI_connect();
	users = one_user(b, PG_GETARG_DATUM(0));
	make_one(b, users, false);
	created = users->outcome[0] == ASY_CREATED || users->outcome[0] == ASY_LINKED;
	SPI_finish();
	PG_RETURN_BOOL(created);
}

/* ---- all, in one transaction ---- */

static Datum
result_of(const AsyJob *job, int64 remaining)
{
	return jsonb_of(psprintf("{\"dry_run\": false, \"processed\": " INT64_FORMAT ", \"successful\": " INT64_FORMAT
							 ", \"failed\": " INT64_FORMAT ", \"quarantined\": " INT64_FORMAT ", \"remaining\": " INT64_FORMAT
							 ", \"plan_id\": %s}",
							 job->processed, job->successful, job->failed, job->quarantined, remaining,
							 job->plan.plan_id ? psprintf(INT64_FORMAT, job->plan.plan_id) : "null"));
}

static Datum
do_all(FunctionCallInfo fcinfo, AsyJobKind kind, const char *verb)
{
	AsyBinding *b;
	AsyJob		job = {.kind = kind};
	Datum		result;
	int64		remaining;
	int			batch;

	if (PG_ARGISNULL(0))
		asy_error_null("batch_size");
	if (PG_ARGISNULL(1))
		asy_error_null("dry_run");
	batch = PG_GETARG_INT32(0);
	asy_check_range("batch_size", batch, 1, BATCH_MAX);
	b = asy_binding_require_profiles();
	SPI_connect();
	if (PG_GETARG_BOOL(1))
	{
		int64		total = asy_job_count(b, kind);

		result = jsonb_of(psprintf("{\"dry_run\": true, \"total_missing\": " INT64_FORMAT ", \"message\": \"Would %s " INT64_FORMAT " profiles\"}",
								   total, verb, total));
		result = SPI_datumTransfer(result, false, -1);
		SPI_finish();
		return result;
	}

	PreventCommandIfReadOnly(psprintf("%s with dry_run => false", verb));
	remaining = asy_job_run(b, &job, batch);
	result = SPI_datumTransfer(result_of(&job, remaining), false, -1);
	SPI_finish();
	return result;
}

Datum
authsync_backfill_all(PG_FUNCTION_ARGS)
{
	return do_all(fcinfo, ASY_JOB_BACKFILL, "backfill");
}

Datum
authsync_resync(PG_FUNCTION_ARGS)
{
	return do_all(fcinfo, ASY_JOB_RESYNC, "resync");
}

/* ---- all, committing each batch ---- */

/*
 * Where to start: one that runs alone begins at the first user; others that
 * run at the same time begin at other places, so that they share the work and
 * meet only at the end. The place is a lock that ends with the transaction.
 */
#define PLACES 8
#define PLACES_KEY 0x61736266	/* "asbf" */

static int
take_place(void)
{
	static const int order[PLACES] = {0, 4, 2, 6, 1, 5, 3, 7};

	for (int i = 0; i < PLACES; i++)
		if (DatumGetBool(DirectFunctionCall2(pg_try_advisory_xact_lock_int4, Int32GetDatum(PLACES_KEY), Int32GetDatum(order[i]))))
			return order[i];
	return 0;
}

static void
begin_transaction_part(AsyIdentity *saved, const AsyExtension *ext)
{
	PushActiveSnapshot(GetTransactionSnapshot());
	asy_db_become(saved, ext->owner, false);
}

static void
end_transaction_part(const AsyIdentity *saved)
{
	asy_db_restore(saved);
	PopActiveSnapshot();
	SPI_commit();
}

static void
require_own_transactions(FunctionCallInfo fcinfo, const char *name)
{
	if (fcinfo->context && IsA(fcinfo->context, CallContext) && !castNode(CallContext, fcinfo->context)->atomic)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TRANSACTION_TERMINATION),
			 errmsg("%s cannot run inside a transaction block or a function", name),
			 errdetail("It commits as it goes."),
			 errhint("Call it by itself, or use backfill_all_missing_profiles(batch_size, false) inside a transaction.")));
}

/* Does the job batch by batch, each in a transaction of its own; failures are noted in one that holds nothing else. */
static void
do_committing(AsyJob *job, int batch, int64 max_users, int64 *remaining)
{
	AsyExtension ext;
	AsyIdentity saved;
	int64		from;
	int			place;
	int64		start;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "authsync batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = CurrentMemoryContext;

	ext = asy_db_own_extension();

	asy_db_become(&saved, ext.owner, false);
	place = take_place();
	asy_job_list(asy_binding_require_profiles(), job);
	if (job->kind == ASY_JOB_BACKFILL)
		asy_job_begin(asy_binding_require_profiles(), job);
	asy_db_restore(&saved);
	SPI_commit();

	/* The list as a ring, from our place on. */
	start = job->n / PLACES * place;
	for (from = 0; from < job->n && job->processed < max_users;)
	{
		AsyUsers   *failed;
		int64		at = (start + from) % Max(job->n, 1);
		int			n = (int) Min(Min(batch, job->n - from), Min(max_users - job->processed, job->n - at));

		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		begin_transaction_part(&saved, &ext);
		(void) DirectFunctionCall2(pg_try_advisory_xact_lock_int4, Int32GetDatum(PLACES_KEY), Int32GetDatum(place));
		failed = asy_job_batch(asy_binding_require_profiles(), job, at, n);
		from += n;
		asy_job_show_progress(job, from);
		end_transaction_part(&saved);
		if (failed)
		{
			begin_transaction_part(&saved, &ext);
			asy_job_note_failures(asy_binding_require_profiles(), job, failed);
			end_transaction_part(&saved);
		}
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}

	begin_transaction_part(&saved, &ext);
	asy_progress_hide();
	*remaining = asy_job_count(asy_binding_require_profiles(), job->kind);
	if (job->plan.plan_id)
		asy_job_end(job, *remaining);
	end_transaction_part(&saved);
}

Datum
authsync_backfill_procedure(PG_FUNCTION_ARGS)
{
	AsyJob		job = {.kind = ASY_JOB_BACKFILL};
	TupleDesc	desc;
	int64		remaining;
	int64		max_users = PG_INT64_MAX;
	Datum		values[1];
	bool		nulls[1] = {false};
	MemoryContext caller = CurrentMemoryContext;

	if (PG_ARGISNULL(0))
		asy_error_null("batch_size");
	asy_check_range("batch_size", PG_GETARG_INT32(0), 1, BATCH_MAX);
	if (!PG_ARGISNULL(1))
	{
		max_users = PG_GETARG_INT32(1);
		asy_check_range("max_users", max_users, 1, BATCH_MAX);
	}
	require_own_transactions(fcinfo, "backfill_missing_profiles()");
	PreventCommandIfReadOnly("backfill_missing_profiles()");

	SPI_connect_ext(SPI_OPT_NONATOMIC);
	do_committing(&job, PG_GETARG_INT32(0), max_users, &remaining);
	SPI_finish();

	MemoryContextSwitchTo(caller);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	values[0] = result_of(&job, remaining);
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

#define EVENTS_AT_ONCE 10000

/* The bookkeeping: what is not filled is filled, piece by piece, then what can go goes: old events too. */
static void
maintain_books(void)
{
	AsyExtension ext;
	AsyIdentity saved;
	AsyFill		fill = {0};
	MemoryContext old = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(old, "authsync piece", ALLOCSET_DEFAULT_SIZES);
	bool		more = true;

	ext = asy_db_own_extension();
	while (more)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextSwitchTo(context);
		begin_transaction_part(&saved, &ext);
		more = asy_fill_next(asy_binding_require(), &fill);
		end_transaction_part(&saved);
		MemoryContextSwitchTo(old);
		MemoryContextReset(context);
	}
	do
	{
		CHECK_FOR_INTERRUPTS();
		begin_transaction_part(&saved, &ext);
		more = asy_events_trim(quote_identifier(get_namespace_name(ext.face)), EVENTS_AT_ONCE) == EVENTS_AT_ONCE;
		more |= asy_plan_rows_trim(EVENTS_AT_ONCE) == EVENTS_AT_ONCE;
		end_transaction_part(&saved);
	} while (more);
	begin_transaction_part(&saved, &ext);
	asy_fill_tidy(asy_binding_require());
	asy_progress_hide();
	end_transaction_part(&saved);
	MemoryContextDelete(context);
	if (fill.busy)
		ereport(NOTICE, (errmsg("the bookkeeping is being maintained by another session")));
}

/* CALL authsync.maintain(): what the worker does inside the database: quarantine rows that are due, and the bookkeeping. */
Datum
authsync_maintain(PG_FUNCTION_ARGS)
{
	AsyJob		job = {.kind = ASY_JOB_RETRY};
	int64		remaining;

	require_own_transactions(fcinfo, "authsync.maintain()");
	PreventCommandIfReadOnly("authsync.maintain()");
	SPI_connect_ext(SPI_OPT_NONATOMIC);
	do_committing(&job, 1000, PG_INT64_MAX, &remaining);
	maintain_books();
	SPI_finish();
	PG_RETURN_VOID();
}

/* ---- an application's own event ---- */

Datum
authsync_track_event(PG_FUNCTION_ARGS)
{
	AsyExtension ext;
	Oid			types[] = {UUIDOID, TEXTOID, JSONBOID};
	Datum		values[3];
	char		nulls[4] = "   ";
	AsyBinding *b;
	char	   *type;
	int64		id;

	if (PG_ARGISNULL(1))
		asy_error_null("event_type");
	if (PG_ARGISNULL(2))
		asy_error_null("details");
	type = text_to_cstring(PG_GETARG_TEXT_PP(1));
	if (type[0] == '\0' || strlen(type) > 200 || asy_event_is_reserved(type))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("\"%s\" cannot be the type of an application's event", type),
				 asy_event_is_reserved(type) ? errdetail("authsync writes events of that type itself.") :
				 errdetail("A type is 1 to 200 bytes long."),
				 errhint("Choose a name of your own, such as \"onboarding_finished\".")));
	if (!JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(2)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"details\" must be a JSON object"),
				 errhint("Give an object such as '{\"step\": 2}'.")));
	if (PG_ARGISNULL(0))
		asy_error_null("user_id");
	ext = asy_db_own_extension();
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	values[2] = PG_GETARG_DATUM(2);
	b = asy_binding_get();
	SPI_connect();
	if (b && OidIsValid(b->users) && b->users_key_name &&
		asy_db_run(psprintf("SELECT FROM %s AS u WHERE u.%s = $1", b->users_name, quote_identifier(b->users_key_name)),
				   true, 1, types, values, NULL) == 0)
		asy_error_no_user(asy_db_uuid_text(values[0]));
	asy_db_run(psprintf("INSERT INTO %s.user_events (user_id, event_type, subject, details) VALUES ($1, $2, $1::pg_catalog.text, $3) RETURNING id",
						quote_identifier(get_namespace_name(ext.face))),
			   false, 3, types, values, nulls);
	id = asy_db_int64(0, 1);
	SPI_finish();
	PG_RETURN_INT64(id);
}
