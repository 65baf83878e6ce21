/*
 * look.c
 *	  The functions that only look. Each is one query, made from the binding's
 *	  fragments and run as the extension's owner; they write nothing, so they
 *	  work in a READ ONLY transaction and on a standby.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "ground/guc.h"
#include "sync/statement.h"

PG_FUNCTION_INFO_V1(authsync_signup_rows);
PG_FUNCTION_INFO_V1(authsync_mismatch_rows);
PG_FUNCTION_INFO_V1(authsync_diagnose);
PG_FUNCTION_INFO_V1(authsync_mismatches);
PG_FUNCTION_INFO_V1(authsync_recent_issues);
PG_FUNCTION_INFO_V1(authsync_user_signup_events);
PG_FUNCTION_INFO_V1(authsync_monitor);
PG_FUNCTION_INFO_V1(authsync_verify);
PG_FUNCTION_INFO_V1(authsync_registration_stats);

/* Runs the query and returns its rows as the function's. */
static Datum
rows_of(FunctionCallInfo fcinfo, const char *sql, int nargs, Oid *types, Datum *values)
{
	asy_db_run(sql, true, nargs, types, values, NULL);
	asy_db_return_rows(fcinfo);
	SPI_finish();
	return (Datum) 0;
}

/* What the views say before setup() has written them: slower, as right, as the caller. */
Datum
authsync_signup_rows(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();

	SPI_connect();
	return rows_of(fcinfo, asy_sql_signup_view(b), 0, NULL, NULL);
}

Datum
authsync_mismatch_rows(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();

	SPI_connect();
	return rows_of(fcinfo, asy_sql_mismatch_view(b), 0, NULL, NULL);
}

/* ---- counts ---- */

/* FROM ... WHERE of each figure. */
static char *
from_healthy(const AsyBinding *b)
{
	if (!OidIsValid(b->profiles) || !b->key)
		return "FROM (SELECT) AS none WHERE false";
	return psprintf("FROM %s WHERE %s AND NOT (%s)", asy_sql_joined(b), b->owes_expr, asy_sql_email_differs(b));
}

static char *
from_email_mismatch(const AsyBinding *b)
{
	if (!OidIsValid(b->profiles) || !b->key)
		return "FROM (SELECT) AS none WHERE false";
	return psprintf("FROM %s WHERE %s AND %s", asy_sql_joined(b), b->owes_expr, asy_sql_email_differs(b));
}

static char *
from_profile_only(const AsyBinding *b)
{
	if (!OidIsValid(b->profiles) || !b->key)
		return "FROM (SELECT) AS none WHERE false";
	return psprintf("FROM %s AS p WHERE NOT %s", b->profiles_name, asy_sql_has_user(b));
}

static char *
from_audit_only(const AsyBinding *b)
{
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfo(&q, "FROM (SELECT DISTINCT x.user_id FROM (%s) AS x WHERE x.user_id IS NOT NULL) AS a"
					 " WHERE NOT EXISTS (SELECT FROM %s AS u WHERE u.%s = a.user_id)",
					 asy_sql_signups(b), b->users_name, quote_identifier(b->users_key_name));
	if (OidIsValid(b->profiles) && b->key)
		appendStringInfo(&q, " AND NOT EXISTS (SELECT FROM %s AS p WHERE %s = a.user_id)",
						 b->profiles_name, asy_sql_profile_user_id(b));
	return q.data;
}

#define COUNT_OF "(SELECT pg_catalog.count(*) %s)"

Datum
authsync_diagnose(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	char	   *sql = psprintf("WITH missing AS MATERIALIZED (SELECT pg_catalog.count(*) AS n %s)"
							   " SELECT m.metric, m.n FROM (VALUES"
							   " (1, 'Total Signup Audit Entries'::pg_catalog.text, (SELECT pg_catalog.count(*) FROM (%s) AS s WHERE s.action = 'user_signedup')),"
							   " (2, 'Healthy (Auth + Profile)', " COUNT_OF "),"
							   " (3, 'Auth Only (Missing Profile)', (SELECT n FROM missing)),"
							   " (4, 'Audit Only (Deleted)', " COUNT_OF "),"
							   " (5, 'Total auth.users', (SELECT pg_catalog.count(*) FROM %s)),"
							   " (6, 'Total public.profiles', " COUNT_OF "),"
							   " (7, 'Users without Profiles', (SELECT n FROM missing)),"
							   " (8, 'Profiles without Users', " COUNT_OF "),"
							   " (9, 'Email Mismatches', " COUNT_OF ")"
							   ") AS m(position, metric, n) ORDER BY m.position",
							   asy_sql_missing(b), asy_sql_signups(b), from_healthy(b), from_audit_only(b), b->users_name,
							   OidIsValid(b->profiles) ? psprintf("FROM %s", b->profiles_name) : "FROM (SELECT) AS none WHERE false",
							   from_profile_only(b), from_email_mismatch(b));

	SPI_connect();
	return rows_of(fcinfo, sql, 0, NULL, NULL);
}

Datum
authsync_verify(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	char	   *sql = psprintf("SELECT v.check_name, CASE WHEN v.n = 0 THEN 'PASS' ELSE 'FAIL' END, v.n, pg_catalog.format(v.details, v.n)"
							   " FROM (VALUES"
							   " (1, 'Auth users without profiles'::pg_catalog.text, (SELECT pg_catalog.count(*) %s), '%%s users missing profiles'),"
							   " (2, 'Profiles without auth users', " COUNT_OF ", '%%s profiles orphaned'),"
							   " (3, 'Email consistency', " COUNT_OF ", '%%s mismatched emails')"
							   ") AS v(position, check_name, n, details) ORDER BY v.position",
							   asy_sql_missing(b), from_profile_only(b), from_email_mismatch(b));

	SPI_connect();
	return rows_of(fcinfo, sql, 0, NULL, NULL);
}

/* ---- lists ---- */

Datum
authsync_mismatches(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {INT8OID};
	Datum		values[1];
	char	   *sql;

	if (!PG_ARGISNULL(0))
		asy_check_range("max_rows", PG_GETARG_INT32(0), 1, 1000000);
	sql = psprintf("%s ORDER BY m.status = 'audit_only',"
				   " COALESCE(m.user_created_at, m.signed_up_at, m.profile_created_at) DESC NULLS LAST, m.user_id LIMIT $1",
				   asy_sql_unhealthy(b));
	values[0] = Int64GetDatum(PG_ARGISNULL(0) ? PG_INT64_MAX : PG_GETARG_INT32(0));
	SPI_connect();
	return rows_of(fcinfo, sql, 1, types, values);
}

/* An interval argument: not NULL, not negative. Returns the moment that lies so far back. */
static Datum
moment_before_now(FunctionCallInfo fcinfo, int arg, const char *name)
{
	static const Interval zero = {0};
	static const Interval longest = {.month = 12 * 1000};
	Datum		now = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());

	if (PG_ARGISNULL(arg))
		asy_error_null(name);
	if (DatumGetBool(DirectFunctionCall2(interval_lt, PG_GETARG_DATUM(arg), IntervalPGetDatum(&zero))) ||
		DatumGetBool(DirectFunctionCall2(interval_gt, PG_GETARG_DATUM(arg), IntervalPGetDatum(&longest))))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("argument \"%s\" is out of range", name),
				 errdetail("It says how far to look back from now: 0 to 1000 years."),
				 errhint("Give an interval such as '1 hour'.")));
	return DirectFunctionCall2(timestamptz_mi_interval, now, PG_GETARG_DATUM(arg));
}

Datum
authsync_recent_issues(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[1] = {moment_before_now(fcinfo, 0, "since")};
	const char *created = b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz";
	const char *email = b->source_expr[ASY_EMAIL] ? b->source_expr[ASY_EMAIL] : "NULL::pg_catalog.text";
	const char *uid = b->source_expr[ASY_USER_ID];
	StringInfoData q;

	initStringInfo(&q);
	appendStringInfo(&q, "SELECT i.* FROM ("
					 "SELECT %1$s AS user_id, %2$s AS email, %3$s AS signed_up_at,"
					 " CASE WHEN q.user_id IS NULL THEN 'no_profile' ELSE 'profile_failed' END AS issue,"
					 " q.sqlstate || ': ' || q.message AS last_error"
					 " FROM %4$s AS u LEFT JOIN authsync.quarantine_rows AS q ON q.user_id = %1$s"
					 " WHERE %5$s AND NOT %6$s AND %3$s >= $1",
					 uid, email, created, b->users_name, b->owes_expr, asy_sql_has_profile(b));
	if (OidIsValid(b->profiles) && b->key)
		appendStringInfo(&q, " UNION ALL SELECT %1$s, %2$s, %3$s, 'email_mismatch', NULL FROM %4$s WHERE %5$s AND %6$s AND %3$s >= $1",
						 uid, email, created, asy_sql_joined(b), b->owes_expr, asy_sql_email_differs(b));
	if (OidIsValid(b->audit))
		appendStringInfo(&q, " UNION ALL SELECT s.user_id, pg_catalog.min(s.email), pg_catalog.min(s.created_at), 'no_user', NULL"
						 " FROM (%1$s) AS s WHERE s.created_at >= $1 AND s.user_id IS NOT NULL"
						 " AND NOT EXISTS (SELECT FROM %2$s AS u WHERE u.%3$s = s.user_id)"
						 " AND NOT EXISTS (SELECT FROM %4$s AS d, LATERAL (SELECT authsync.clean_json(d.payload::pg_catalog.json) AS entry) AS e"
						 "   WHERE d.created_at >= s.created_at AND d.payload::pg_catalog.text LIKE '%%user_deleted%%' AND e.entry ->> 'action' = 'user_deleted'"
						 "   AND COALESCE(authsync.to_user_id(e.entry #>> '{traits,user_id}'), authsync.to_user_id(e.entry ->> 'actor_id')) = s.user_id)"
						 " GROUP BY s.user_id",
						 asy_sql_signups(b), b->users_name, quote_identifier(b->users_key_name), b->audit_name);
	appendStringInfoString(&q, ") AS i ORDER BY i.signed_up_at DESC NULLS LAST, i.user_id");
	SPI_connect();
	return rows_of(fcinfo, q.data, 1, types, values);
}

Datum
authsync_user_signup_events(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {UUIDOID};
	Datum		values[1];
	StringInfoData q;

	if (PG_ARGISNULL(0))
		asy_error_null("user_id");
	values[0] = PG_GETARG_DATUM(0);
	initStringInfo(&q);
	appendStringInfo(&q, "SELECT e.occurred_at, e.source, e.event, e.details FROM ("
					 "SELECT v.created_at AS occurred_at, 'user_events'::pg_catalog.text AS source, v.event_type AS event, v.details, v.id AS place"
					 " FROM %s.user_events AS v WHERE v.user_id = $1", b->face);
	if (OidIsValid(b->audit))
		appendStringInfo(&q, " UNION ALL SELECT s.created_at, 'audit_log', s.action,"
						 " pg_catalog.jsonb_build_object('audit_id', s.audit_id, 'actor_id', s.actor_id, 'email', s.email, 'ip_address', s.ip_address), 0"
						 " FROM (%1$s) AS s WHERE s.user_id = $1"
						 " UNION ALL SELECT d.created_at::pg_catalog.timestamptz, 'audit_log', 'user_deleted',"
						 " pg_catalog.jsonb_build_object('audit_id', d.id, 'actor_id', e.entry ->> 'actor_id', 'email', e.entry #>> '{traits,user_email}'), 0"
						 " FROM %2$s AS d, LATERAL (SELECT authsync.clean_json(d.payload::pg_catalog.json) AS entry) AS e"
						 " WHERE d.payload::pg_catalog.text LIKE '%%user_deleted%%' AND e.entry ->> 'action' = 'user_deleted'"
						 " AND COALESCE(authsync.to_user_id(e.entry #>> '{traits,user_id}'), authsync.to_user_id(e.entry ->> 'actor_id')) = $1",
						 asy_sql_signups(b), b->audit_name);
	appendStringInfoString(&q, ") AS e ORDER BY e.occurred_at, e.place");
	SPI_connect();
	return rows_of(fcinfo, q.data, 1, types, values);
}

/* intents_pending is 0: nothing of this version writes to a provider, so nothing can be pending. */
Datum
authsync_monitor(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {TIMESTAMPTZOID, BOOLOID, OIDOID};
	Datum		values[3] = {
		moment_before_now(fcinfo, 0, "since"),
		BoolGetDatum(asy_guc_enabled && b->mode != ASY_OFF),
		ObjectIdGetDatum(b->users)
	};
	const char *created = b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz";
	char	   *sql = psprintf("WITH recent AS MATERIALIZED (SELECT pg_catalog.count(*) AS n, pg_catalog.count(*) FILTER (WHERE NOT %1$s) AS missing"
							   "   FROM %2$s AS u WHERE %3$s AND %4$s >= $1),"
							   " missing AS MATERIALIZED (SELECT pg_catalog.count(*) AS n, pg_catalog.min(%4$s) FILTER (WHERE pg_catalog.isfinite(%4$s)) AS oldest %5$s)"
							   " SELECT pg_catalog.now(), r.n, r.missing,"
							   " CASE WHEN r.n = 0 THEN 100::pg_catalog.numeric ELSE pg_catalog.trunc(100.0 * (r.n - r.missing) / r.n, 2) END,"
							   " (SELECT pg_catalog.count(*) FROM %6$s.user_events AS e WHERE e.created_at >= $1 AND e.event_type IN ('profile_bootstrap_error', 'poll_failed')),"
							   " pg_catalog.now() - m.oldest,"
							   " $2 AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = $3 AND t.tgenabled IN ('O', 'A')"
							   "   AND t.tgfoid = 'authsync.handle_new_user()'::pg_catalog.regprocedure),"
							   " EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'authsync worker' AND a.datname = pg_catalog.current_database()),"
							   " m.n + " "(SELECT pg_catalog.count(*) %7$s)" " + " "(SELECT pg_catalog.count(*) %8$s)" ","
							   " (SELECT pg_catalog.count(*) FROM authsync.quarantine_rows),"
							   " 0::pg_catalog.int8"
							   " FROM recent AS r, missing AS m",
							   asy_sql_has_profile(b), b->users_name, b->owes_expr, created, asy_sql_missing(b), b->face,
							   from_profile_only(b), from_email_mismatch(b));

	SPI_connect();
	return rows_of(fcinfo, sql, 3, types, values);
}

Datum
authsync_registration_stats(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {INT4OID};
	Datum		values[1];

	if (PG_ARGISNULL(0))
		asy_error_null("days");
	asy_check_range("days", PG_GETARG_INT32(0), 1, 1000000);
	values[0] = PG_GETARG_DATUM(0);
	SPI_connect();
	return rows_of(fcinfo,
				   psprintf("SELECT d.day::pg_catalog.date, pg_catalog.count(c.created_at)"
							" FROM pg_catalog.generate_series(0, $1 - 1) AS g(back), LATERAL (SELECT pg_catalog.now()::pg_catalog.date - g.back AS day) AS d"
							" LEFT JOIN (SELECT %s AS created_at FROM %s AS u) AS c ON c.created_at::pg_catalog.date = d.day"
							" GROUP BY d.day ORDER BY d.day DESC",
							b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz", b->users_name),
				   1, types, values);
}
