/*
 * provider.c
 *	  Providers as their owners see them: secrets given, a ping, what each can
 *	  do, and which copy of the database speaks for the application.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "tcop/tcopprot.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/rel.h"

#include "compat.h"
#include "ground/db.h"
#include "sync/server.h"

PG_FUNCTION_INFO_V1(authsync_set_secret);
PG_FUNCTION_INFO_V1(authsync_forget_secret);
PG_FUNCTION_INFO_V1(authsync_take_secret);
PG_FUNCTION_INFO_V1(authsync_hush);
PG_FUNCTION_INFO_V1(authsync_provider_capabilities);
PG_FUNCTION_INFO_V1(authsync_ping);
PG_FUNCTION_INFO_V1(authsync_arm);

static void
needs_writing(const char *what)
{
	PreventCommandIfReadOnly(what);
	PreventCommandDuringRecovery(what);
}

/* Of an error where the statement, or what stands around it, holds a secret: the log repeats neither. */
static void
hide_statement(void *arg)
{
	(void) arg;
	errhidestmt(true);
	errhidecontext(true);
}

/* set_secret(server, name, value) */
Datum
authsync_set_secret(PG_FUNCTION_ARGS)
{
	static const char *const arguments[] = {"server", "name", "value"};
	ErrorContextCallback hidden = {.callback = hide_statement, .previous = error_context_stack};

	error_context_stack = &hidden;
	for (int i = 0; i < 3; i++)
		if (PG_ARGISNULL(i))
			asy_error_null(arguments[i]);
	needs_writing("set_secret()");
	asy_secret_store(NameStr(*PG_GETARG_NAME(0)), text_to_cstring(PG_GETARG_TEXT_PP(1)), text_to_cstring(PG_GETARG_TEXT_PP(2)));
	error_context_stack = hidden.previous;

	/* As a literal of a statement; as a parameter of a prepared one the next setting counts. */
	if (log_statement == LOGSTMT_ALL || log_min_duration_statement >= 0 || log_min_duration_sample >= 0)
		ereport(WARNING,
				(errcode(ERRCODE_WARNING),
				 errmsg("the server's log may have this secret"),
				 errdetail("log_statement, log_min_duration_statement or log_min_duration_sample make it write statements, or their parameters, down."),
				 errhint("COPY authsync.new_secret (server, name, value) FROM STDIN shows it to no log. Consider the secret known and have the provider make a new one.")));
	PG_RETURN_VOID();
}

/* forget_secret(server, name) */
Datum
authsync_forget_secret(PG_FUNCTION_ARGS)
{
	if (PG_ARGISNULL(0))
		asy_error_null("server");
	if (PG_ARGISNULL(1))
		asy_error_null("name");
	needs_writing("forget_secret()");
	PG_RETURN_BOOL(asy_secret_forget(NameStr(*PG_GETARG_NAME(0)), text_to_cstring(PG_GETARG_TEXT_PP(1))));
}

/*
 * A row of new_secret. Errors in here come without the context that COPY would
 * add: it quotes the line, and the line is the secret. So is the statement,
 * where it is an INSERT.
 */
Datum
authsync_take_secret(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	ErrorContextCallback *context = error_context_stack;
	ErrorContextCallback hidden = {.callback = hide_statement};
	static const char *const columns[] = {"server", "name", "value"};
	Datum		values[3];

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_INSTEAD(trigger->tg_event) || !TRIGGER_FIRED_BY_INSERT(trigger->tg_event))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("take_secret() is the trigger of authsync.new_secret")));
	error_context_stack = &hidden;
	for (int i = 0; i < 3; i++)
	{
		bool		isnull;

		values[i] = heap_getattr(trigger->tg_trigtuple, i + 1, RelationGetDescr(trigger->tg_relation), &isnull);
		if (isnull)
			asy_error_null(columns[i]);
	}
	asy_secret_store(NameStr(*DatumGetName(values[0])), TextDatumGetCString(values[1]), TextDatumGetCString(values[2]));
	error_context_stack = context;
	return PointerGetDatum(trigger->tg_trigtuple);
}

static emit_log_hook_type next_log = NULL;

/* What COPY says of a line that it cannot take apart quotes it. Cut in place: whoever made the text frees it. */
static void
hush(ErrorData *edata)
{
	static const char quiet[] = "COPY new_secret";
	char	   *at = edata->context ? strstr(edata->context, quiet) : NULL;

	if (at)
		at[strlen(quiet)] = '\0';
	if (next_log)
		next_log(edata);
}

/* Before the first line is read, once for the life of the process. */
Datum
authsync_hush(PG_FUNCTION_ARGS)
{
	static bool installed = false;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("hush() is a trigger of authsync.new_secret")));
	if (!installed)
	{
		next_log = emit_log_hook;
		emit_log_hook = hush;
		installed = true;
	}
	return PointerGetDatum(NULL);
}

/* provider_capabilities(provider): NULL for one that there is not. */
Datum
authsync_provider_capabilities(PG_FUNCTION_ARGS)
{
	const AsyProvider *p = asy_provider(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	int			n;
	char	  **words;

	if (p == NULL)
		PG_RETURN_NULL();
	words = asy_provider_capabilities(p, &n);
	return asy_db_text_array(words, n);
}

static void
return_ping(FunctionCallInfo fcinfo, bool ok, double ms, bool has_total, int64 total, const char *detail)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		values[4];
	bool		nulls[4] = {false, false, !has_total, false};

	values[0] = BoolGetDatum(ok);
	values[1] = DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("%.1f", ms)), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	values[2] = Int64GetDatum(total);
	values[3] = CStringGetTextDatum(detail);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * ping(server): counts the users where the provider counts, else asks for one.
 * What goes wrong there is the answer; what is wrong here (no secret, no such
 * server) is an error.
 */
Datum
authsync_ping(PG_FUNCTION_ARGS)
{
	instr_time	began;
	instr_time	took;
	AsyServer  *server;
	AsyInput	in = {.limit = 1};
	AsyTalk    *talk;
	bool		counts;
	int			n = 0;

	if (PG_ARGISNULL(0))
		asy_error_null("server");
	InitMaterializedSRF(fcinfo, 0);
	server = asy_server_load(asy_server_get(NameStr(*PG_GETARG_NAME(0))), GetUserId());
	counts = server->provider->ask[ASY_ASK_COUNT] != NULL;
	INSTR_TIME_SET_CURRENT(began);
	talk = asy_talk_begin(server, counts ? ASY_ASK_COUNT : ASY_ASK_LIST, &in);
	while (asy_talk_state(talk) == ASY_TALK_BUSY)
		asy_talks_wait(&talk, 1, 0);
	INSTR_TIME_SET_CURRENT(took);
	INSTR_TIME_SUBTRACT(took, began);
	if (asy_talk_state(talk) == ASY_TALK_FAILED)
		return_ping(fcinfo, false, INSTR_TIME_GET_MILLISEC(took), false, 0, asy_fault_line(talk->fault, server->name));
	else
	{
		asy_talk_found(talk, &n);
		return_ping(fcinfo, true, INSTR_TIME_GET_MILLISEC(took), counts, talk->count,
					counts || n > 0 ? "reachable, authorised, allowed to list" : "reachable, authorised; the list is empty");
	}
	return (Datum) 0;
}

/* arm() */
Datum
authsync_arm(PG_FUNCTION_ARGS)
{
	(void) fcinfo;
	needs_writing("arm()");
	PG_RETURN_BOOL(asy_armed_arm());
}
