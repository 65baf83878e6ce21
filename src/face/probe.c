/*
 * probe.c
 *	  authsync.probe(): a sign-up that is tried for real and rolled back.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/numeric.h"

#include "compat.h"
#include "ground/guc.h"
#include "sync/follow.h"
#include "sync/statement.h"

PG_FUNCTION_INFO_V1(authsync_probe);

/* How the attempt says that all went well, so that it is rolled back all the same. */
#define PROBE_PASSED MAKE_SQLSTATE('A', 'S', 'Y', '0', '0')

typedef struct Probe
{
	AsyBinding *b;
	double		duration_ms;
} Probe;

/* What the auth server writes for a new user with an e-mail and a password; only the columns that are there. */
static char *
insert_user(const AsyBinding *b)
{
	static const struct
	{
		const char *column;
		const char *value;
	}			columns[] = {
		{"instance_id", "'00000000-0000-0000-0000-000000000000'"},
		{"aud", "'authenticated'"}, {"role", "'authenticated'"},
		{"email", "$1::pg_catalog.text || '@users.invalid'"},
		{"encrypted_password", "''"},
		{"raw_app_meta_data", "'{\"provider\": \"email\", \"providers\": [\"email\"]}'"},
		{"raw_user_meta_data", "'{}'"},
		{"created_at", "pg_catalog.now()"}, {"updated_at", "pg_catalog.now()"},
		{"confirmation_token", "$1::pg_catalog.text"}, {"recovery_token", "''"},
		{"email_change", "''"}, {"email_change_token_new", "''"}
	};
	StringInfoData names;
	StringInfoData values;

	initStringInfo(&names);
	initStringInfo(&values);
	appendStringInfoString(&names, quote_identifier(b->users_key_name));
	appendStringInfoString(&values, "$1");
	for (size_t i = 0; i < lengthof(columns); i++)
		if (get_attnum(b->users, columns[i].column) != InvalidAttrNumber)
		{
			appendStringInfo(&names, ", %s", columns[i].column);
			appendStringInfo(&values, ", %s", columns[i].value);
		}
	return psprintf("INSERT INTO %s (%s) VALUES (%s)", b->users_name, names.data, values.data);
}

static void
sign_up(void *arg)
{
	Probe	   *probe = arg;
	AsyBinding *b = probe->b;
	AsyIdentity saved;
	Oid			types[] = {UUIDOID};
	Datum		values[] = {DirectFunctionCall1(gen_random_uuid, (Datum) 0)};
	instr_time	start,
				end;

	/* Nothing may be left for the end of a transaction that never comes. */
	asy_db_exec("SET CONSTRAINTS ALL IMMEDIATE");
	INSTR_TIME_SET_CURRENT(start);
	asy_db_become(&saved, b->users_owner, true);
	asy_db_run(insert_user(b), false, 1, types, values, NULL);
	asy_db_restore(&saved);
	INSTR_TIME_SET_CURRENT(end);
	INSTR_TIME_SUBTRACT(end, start);
	probe->duration_ms = INSTR_TIME_GET_MILLISEC(end);

	if (b->mode != ASY_OFF && asy_guc_enabled && b->profiles_name)
	{
		asy_db_run(psprintf("SELECT FROM %s AS u WHERE u.%s = $1 AND %s", b->users_name,
							quote_identifier(b->users_key_name), asy_sql_has_profile(b)),
				   false, 1, types, values, NULL);
		if (SPI_processed == 0)
			ereport(ERROR,
					(errcode(ERRCODE_NO_DATA),
					 errmsg("the sign-up went through, but no profile was made"),
					 errdetail("The trigger on %s did not run or found nothing to do.", b->users_name),
					 errhint("SELECT * FROM authsync.setup();")));
	}
	ereport(ERROR, (errcode(PROBE_PASSED), errmsg_internal("probe passed")));
}

Datum
authsync_probe(PG_FUNCTION_ARGS)
{
	Probe		probe = {.b = asy_binding_require()};
	AsyFailure *failure = NULL;
	ReturnSetInfo *rsinfo;
	Datum		values[6] = {0};
	bool		nulls[6] = {false};
	bool		ok;

	PreventCommandIfReadOnly("authsync.probe()");
	if (probe.b->users_are_foreign)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("a sign-up into the foreign table %s cannot be tried", probe.b->users_name),
				 errdetail("Users sign up over there, where authsync has no trigger that could fail."),
				 errhint("SELECT * FROM authsync.lint();")));
	SPI_connect();
	PG_TRY();
	{
		asy_follow_probing = true;
		failure = asy_db_try(sign_up, &probe);
	}
	PG_FINALLY();
	{
		asy_follow_probing = false;
	}
	PG_END_TRY();
	SPI_finish();

	ok = failure->sqlerrcode == PROBE_PASSED;
	InitMaterializedSRF(fcinfo, 0);
	rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	values[0] = BoolGetDatum(ok);
	if (!(nulls[1] = ok))
		values[1] = CStringGetTextDatum(asy_sqlstate_text(failure->sqlerrcode));
	values[2] = CStringGetTextDatum(ok ? "a sign-up works" : failure->message);
	if (!(nulls[3] = ok || failure->detail == NULL))
		values[3] = CStringGetTextDatum(failure->detail);
	if (!(nulls[4] = ok || failure->hint == NULL))
		values[4] = CStringGetTextDatum(failure->hint);
	values[5] = DirectFunctionCall3(numeric_in, CStringGetDatum(psprintf("%.3f", probe.duration_ms)),
									ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}
