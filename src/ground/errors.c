/*
 * errors.c
 *	  What went wrong with one row, as a value; and the texts of errors that
 *	  several places raise.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"

#include "ground/errors.h"

/* A message is stored and shown: no more of it than a person reads. */
#define MESSAGE_MAX 500

char *
asy_sqlstate_text(int sqlerrcode)
{
	return pstrdup(unpack_sql_state(sqlerrcode));
}

static char *
copy_or_null(const char *text)
{
	return text ? pstrdup(text) : NULL;
}

AsyFailure *
asy_failure_from(const ErrorData *edata)
{
	AsyFailure *failure = palloc0(sizeof(AsyFailure));
	const char *message = edata->message ? edata->message : "";

	failure->sqlerrcode = edata->sqlerrcode;
	failure->message = pnstrdup(message, pg_mbcliplen(message, strlen(message), MESSAGE_MAX));
	failure->detail = copy_or_null(edata->detail);
	failure->hint = copy_or_null(edata->hint);
	failure->constraint = copy_or_null(edata->constraint_name);
	failure->column = copy_or_null(edata->column_name);
	return failure;
}

AsyFailure *
asy_failure_make(int sqlerrcode, const char *message)
{
	AsyFailure *failure = palloc0(sizeof(AsyFailure));

	failure->sqlerrcode = sqlerrcode;
	failure->message = pstrdup(message);
	return failure;
}

void
asy_failure_throw(const AsyFailure *failure)
{
	ereport(ERROR,
			(errcode(failure->sqlerrcode),
			 errmsg_internal("%s", failure->message),
			 failure->detail ? errdetail_internal("%s", failure->detail) : 0,
			 failure->hint ? errhint("%s", failure->hint) : 0,
			 failure->constraint ? err_generic_string(PG_DIAG_CONSTRAINT_NAME, failure->constraint) : 0,
			 failure->column ? err_generic_string(PG_DIAG_COLUMN_NAME, failure->column) : 0));
}

bool
asy_error_must_go_on(const ErrorData *edata)
{
	int			code = edata->sqlerrcode;

	return code == ERRCODE_QUERY_CANCELED ||
		ERRCODE_TO_CATEGORY(code) == ERRCODE_TO_CATEGORY(ERRCODE_ADMIN_SHUTDOWN) ||
		(code == ERRCODE_T_R_SERIALIZATION_FAILURE && IsolationIsSerializable());
}

void
asy_error_null(const char *argument)
{
	ereport(ERROR,
			(errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
			 errmsg("argument \"%s\" must not be null", argument),
			 errdetail("NULL has no meaning here, and is not taken for a default."),
			 errhint("Leave the argument out to get its default, or give a value.")));
}

void
asy_check_range(const char *argument, int64 value, int64 lo, int64 hi)
{
	if (value < lo || value > hi)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is out of range: " INT64_FORMAT, argument, value),
				 errdetail("It may be " INT64_FORMAT " to " INT64_FORMAT ".", lo, hi),
				 errhint("Give a number in that range.")));
}

void
asy_error_unbound(const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("authsync is not bound to a users table"),
			 errdetail("%s", detail ? detail : "No users table is set."),
			 errhint("SELECT * FROM authsync.setup();")));
}

void
asy_error_no_user(const char *user_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("user \"%s\" does not exist", user_id),
			 errdetail("The bound users table has no row with that id."),
			 errhint("SELECT * FROM get_user_signup_events('%s'); shows what is known of that id.", user_id)));
}
