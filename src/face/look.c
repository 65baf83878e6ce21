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
#include "sync/drift.h"
#include "sync/signups.h"
#include "sync/statement.h"
#include "sync/trust.h"
#include "sync/watch.h"

PG_FUNCTION_INFO_V1(authsync_signup_rows);
PG_FUNCTION_INFO_V1(authsync_mismatch_rows);
PG_FUNCTION_INFO_V1(authsync_diagnose);
PG_FUNCTION_INFO_V1(authsync_mismatches);
PG_FUNCTION_INFO_V1(authsync_recent_issues);
PG_FUNCTION_INFO_V1(authsync_user_signup_events);
PG_FUNCTION_INFO_V1(authsync_monitor);
PG_FUNCTION_INFO_V1(authsync_verify);
PG_FUNCTION_INFO_V1(authsync_registration_stats);
PG_FUNCTION_INFO_V1(authsync_bookkeeping_is_trusted);
PG_FUNCTION_INFO_V1(authsync_uses_bookkeeping);

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
	return rows_of(fcinfo, asy_drift_signup_view(b), 0, NULL, NULL);
}

Datum
authsync_mismatch_rows(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();

	SPI_connect();
	return rows_of(fcinfo, asy_drift_mismatch_view(b), 0, NULL, NULL);
}

/* ---- counts ---- */

/* "drift AS MATERIALIZED (...)": everybody who is out of step. */
static char *
with_drift(const AsyBinding *b, bool kept)
{
	return psprintf("drift AS MATERIALIZED (%s)", asy_drift_rows(b, kept));
}

#define COUNT_DRIFT(status) "(SELECT pg_catalog.count(*) FROM drift AS d WHERE d.status = '" status "')"

/* Users that owe a profile and have one, in step. */
static char *
count_healthy(const AsyBinding *b)
{
	if (!asy_sql_has_profiles(b))
		return "0::pg_catalog.int8";
	if (b->are_together)		/* a count that their server can do by itself */
		return psprintf("(SELECT pg_catalog.count(*) FROM %s WHERE %s) - " COUNT_DRIFT("email_mismatch"), asy_sql_joined(b), b->owes_expr);
	return psprintf("(SELECT pg_catalog.count(*) FROM %s WHERE %s AND NOT (%s))", asy_sql_joined(b), b->owes_expr, asy_sql_email_differs(b));
}

Datum
authsync_diagnose(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	bool		kept;
	bool		kept_log;
	char	   *signed_up;
	char	   *healthy;
	char	   *history;

	SPI_connect();
	kept = asy_trust_is_used(b, ASY_PART_HISTORY);
	kept_log = kept || asy_trust_is_used(b, ASY_PART_SIGNUPS);
	signed_up = psprintf("(SELECT pg_catalog.count(*) FROM (%s) AS s WHERE s.action = 'user_signedup')", asy_signups_entries(b, kept_log));
	if (kept)
	{
		if (OidIsValid(b->audit))
			signed_up = asy_drift_sum("signups");
		healthy = psprintf("%s - " COUNT_DRIFT("auth_only") " - " COUNT_DRIFT("email_mismatch"), asy_drift_sum("owing"));
		history = psprintf("(SELECT pg_catalog.count(*) FROM (%s) AS h)", asy_drift_unhealthy(b, ASY_HISTORY, true, true));
	}
	else
	{
		healthy = count_healthy(b);
		history = psprintf("(SELECT pg_catalog.count(*) %s)", asy_drift_history(b, kept_log));
	}
	return rows_of(fcinfo,
				   psprintf("WITH %1$s SELECT m.metric, m.n FROM (VALUES"
							" (1, 'Total Signup Audit Entries'::pg_catalog.text, %2$s),"
							" (2, 'Healthy (Auth + Profile)', %3$s),"
							" (3, 'Auth Only (Missing Profile)', " COUNT_DRIFT("auth_only") "),"
							" (4, 'Audit Only (Deleted)', %4$s),"
							" (5, 'Total auth.users', %5$s),"
							" (6, 'Total public.profiles', %6$s),"
							" (7, 'Users without Profiles', " COUNT_DRIFT("auth_only") "),"
							" (8, 'Profiles without Users', " COUNT_DRIFT("profile_only") "),"
							" (9, 'Email Mismatches', " COUNT_DRIFT("email_mismatch") ")"
							") AS m(position, metric, n) ORDER BY m.position",
							with_drift(b, kept), signed_up, healthy, history, asy_drift_total_users(b, kept), asy_drift_total_profiles(b, kept)),
				   0, NULL, NULL);
}

Datum
authsync_verify(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();

	SPI_connect();
	return rows_of(fcinfo,
				   psprintf("WITH %s SELECT v.check_name, CASE WHEN v.n = 0 THEN 'PASS' ELSE 'FAIL' END, v.n, pg_catalog.format(v.details, v.n)"
							" FROM (VALUES"
							" (1, 'Auth users without profiles'::pg_catalog.text, " COUNT_DRIFT("auth_only") ", '%%s users missing profiles'),"
							" (2, 'Profiles without auth users', " COUNT_DRIFT("profile_only") ", '%%s profiles orphaned'),"
							" (3, 'Email consistency', " COUNT_DRIFT("email_mismatch") ", '%%s mismatched emails')"
							") AS v(position, check_name, n, details) ORDER BY v.position",
							with_drift(b, asy_trust_is_used(b, ASY_PART_DRIFT))),
				   0, NULL, NULL);
}

/* ---- lists ---- */

#define NEWEST_FIRST \
	" ORDER BY COALESCE(n.user_created_at, n.signed_up_at, n.profile_created_at) DESC NULLS LAST, n.user_id LIMIT $1"

/* Two lists, one behind the other: the second is not even made where the first suffices. */
Datum
authsync_mismatches(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {INT8OID};
	Datum		values[1];
	bool		kept;
	bool		kept_log;

	if (!PG_ARGISNULL(0))
		asy_check_range("max_rows", PG_GETARG_INT32(0), 1, 1000000);
	values[0] = Int64GetDatum(PG_ARGISNULL(0) ? PG_INT64_MAX : PG_GETARG_INT32(0));
	SPI_connect();
	kept = asy_trust_is_used(b, ASY_PART_HISTORY);
	kept_log = kept || asy_trust_is_used(b, ASY_PART_SIGNUPS);
	return rows_of(fcinfo,
				   psprintf("SELECT x.* FROM (SELECT * FROM (SELECT n.* FROM (%s) AS n" NEWEST_FIRST ") AS d"
							" UNION ALL SELECT * FROM (SELECT n.* FROM (%s) AS n" NEWEST_FIRST ") AS h) AS x LIMIT $1",
							asy_drift_unhealthy(b, ASY_DRIFT, kept, kept_log), asy_drift_unhealthy(b, ASY_HISTORY, kept, kept_log)),
				   1, types, values);
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

/*
 * Who was created since $1: "u" with the columns of users. Kept: candidates
 * from the books, looked up, as far back as those go.
 */
static char *
created_since(AsyBinding *b, bool kept, Datum since)
{
	Oid			types[] = {TIMESTAMPTZOID};

	if (b->source_expr[ASY_CREATED_AT] == NULL)
		return psprintf("(SELECT * FROM %s WHERE false)", b->users_name);
	if (kept)
		asy_db_run("SELECT k.horizon <= $1 FROM authsync.bookkeeping AS k WHERE k.part = 'drift'", true, 1, types, &since, NULL);
	if (!kept || SPI_processed == 0 || !asy_db_bool(0, 1))
		return psprintf("(SELECT u.* FROM %s AS u WHERE %s >= $1)", b->users_name, b->source_expr[ASY_CREATED_AT]);
	return psprintf("(SELECT u.* FROM (SELECT a.user_id FROM authsync.arrivals AS a WHERE a.created_at >= $1"
					" UNION SELECT c.user_id FROM authsync.changes AS c WHERE c.created_at >= $1 AND c.user_id IS NOT NULL) AS a,"
					" LATERAL (SELECT * FROM %1$s AS u WHERE u.%2$s = a.user_id AND %3$s >= $1 LIMIT 1) AS u)",
					b->users_name, quote_identifier(b->users_key_name), b->source_expr[ASY_CREATED_AT]);
}

Datum
authsync_recent_issues(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {TIMESTAMPTZOID};
	Datum		values[1] = {moment_before_now(fcinfo, 0, "since")};
	StringInfoData q;
	char	   *entries;

	SPI_connect();
	entries = asy_signups_entries(b, asy_trust_is_used(b, ASY_PART_SIGNUPS));
	initStringInfo(&q);
	appendStringInfo(&q, "SELECT i.* FROM ("
					 "SELECT d.user_id, d.auth_email AS email, d.user_created_at AS signed_up_at,"
					 " CASE WHEN d.status = 'email_mismatch' THEN d.status WHEN q.user_id IS NULL THEN 'no_profile' ELSE 'profile_failed' END AS issue,"
					 " CASE WHEN d.status = 'auth_only' THEN q.sqlstate || ': ' || q.message END AS last_error"
					 " FROM (%s) AS d LEFT JOIN authsync.quarantine_rows AS q ON q.user_id = d.user_id"
					 " WHERE d.status IN ('auth_only', 'email_mismatch') AND d.user_created_at >= $1",
					 asy_drift_rows(b, asy_trust_is_used(b, ASY_PART_DRIFT)));
	if (OidIsValid(b->audit))
		appendStringInfo(&q, " UNION ALL SELECT s.user_id, pg_catalog.min(s.email), pg_catalog.min(s.created_at), 'no_user', NULL"
						 " FROM (%1$s) AS s WHERE s.created_at >= $1 AND s.user_id IS NOT NULL AND s.action <> 'user_deleted'"
						 " AND %2$s"
						 " AND NOT EXISTS (SELECT FROM (%1$s) AS d WHERE d.user_id = s.user_id AND d.action = 'user_deleted' AND d.created_at >= s.created_at"
						 "   AND d.created_at >= $1)"
						 " GROUP BY s.user_id",
						 entries, asy_sql_user_is_gone(b, "s.user_id", psprintf("SELECT e.user_id FROM (%s) AS e WHERE e.created_at >= $1", entries)));
	appendStringInfoString(&q, ") AS i ORDER BY i.signed_up_at DESC NULLS LAST, i.user_id");
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
	SPI_connect();
	initStringInfo(&q);
	appendStringInfo(&q, "SELECT e.occurred_at, e.source, e.event, e.details FROM ("
					 "SELECT v.created_at AS occurred_at, 'user_events'::pg_catalog.text AS source, v.event_type AS event, v.details, v.id AS place"
					 " FROM %s.user_events AS v WHERE v.user_id = $1", b->face);
	if (OidIsValid(b->audit))
		appendStringInfo(&q, " UNION ALL SELECT s.created_at, 'audit_log', s.action,"
						 " pg_catalog.jsonb_build_object('audit_id', s.audit_id, 'actor_id', s.actor_id, 'email', s.email, 'ip_address', s.ip_address), 0"
						 " FROM (%s) AS s WHERE s.user_id = $1",
						 asy_signups_entries(b, asy_trust_is_used(b, ASY_PART_SIGNUPS)));
	appendStringInfoString(&q, ") AS e ORDER BY e.occurred_at, e.place");
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
	bool		kept;

	SPI_connect();
	kept = asy_trust_is_used(b, ASY_PART_DRIFT);
	return rows_of(fcinfo,
				   psprintf("WITH %1$s, recent AS MATERIALIZED (SELECT pg_catalog.count(*) AS n FROM %2$s AS u WHERE %3$s),"
							" missing AS MATERIALIZED (SELECT pg_catalog.count(*) FILTER (WHERE d.user_created_at >= $1) AS n,"
							"   pg_catalog.min(d.user_created_at) FILTER (WHERE pg_catalog.isfinite(d.user_created_at)) AS oldest FROM drift AS d WHERE d.status = 'auth_only')"
							" SELECT pg_catalog.now(), r.n, m.n,"
							" CASE WHEN r.n = 0 THEN 100::pg_catalog.numeric ELSE pg_catalog.trunc(100.0 * (r.n - m.n) / r.n, 2) END,"
							" (SELECT pg_catalog.count(*) FROM %4$s.user_events AS e WHERE e.created_at >= $1 AND e.event_type IN ('profile_bootstrap_error', 'poll_failed')),"
							" pg_catalog.now() - m.oldest,"
							" $2 AND EXISTS (SELECT FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = $3 AND t.tgenabled IN ('O', 'A')"
							"   AND t.tgfoid = 'authsync.handle_new_user()'::pg_catalog.regprocedure),"
							" EXISTS (SELECT FROM pg_catalog.pg_stat_activity AS a WHERE a.backend_type = 'authsync worker' AND a.datname = pg_catalog.current_database()),"
							" (SELECT pg_catalog.count(*) FROM drift),"
							" (SELECT pg_catalog.count(*) FROM authsync.quarantine_rows),"
							" 0::pg_catalog.int8"
							" FROM recent AS r, missing AS m",
							with_drift(b, kept), created_since(b, kept, values[0]), b->owes_expr, b->face),
				   3, types, values);
}

/* Days as the session's time zone has them. Those who have left are known by the quarter of an hour in which they came. */
Datum
authsync_registration_stats(PG_FUNCTION_ARGS)
{
	AsyBinding *b = asy_binding_require();
	Oid			types[] = {TIMESTAMPTZOID, INT4OID};
	Datum		values[2];
	int			days;

	if (PG_ARGISNULL(0))
		asy_error_null("days");
	days = PG_GETARG_INT32(0);
	asy_check_range("days", days, 1, 1000000);
	values[1] = Int32GetDatum(days);
	SPI_connect();
	asy_db_run("SELECT (pg_catalog.now()::pg_catalog.date - ($2 - 1))::pg_catalog.timestamptz", true, 2, types, values, "n ");
	if (SPI_processed == 1)
	{
		bool		isnull;

		values[0] = asy_db_value(0, 1, &isnull);
	}
	return rows_of(fcinfo,
				   psprintf("SELECT d.day::pg_catalog.date, COALESCE(pg_catalog.sum(c.n), 0)::pg_catalog.int8"
							" FROM pg_catalog.generate_series(0, $2 - 1) AS g(back), LATERAL (SELECT pg_catalog.now()::pg_catalog.date - g.back AS day) AS d"
							" LEFT JOIN (SELECT x.day, pg_catalog.sum(x.n) AS n FROM (SELECT (%1$s)::pg_catalog.date AS day, pg_catalog.count(*) AS n FROM %2$s AS u GROUP BY 1"
							" UNION ALL SELECT r.quarter::pg_catalog.date, r.departed FROM authsync.registrations AS r WHERE r.quarter >= $1) AS x GROUP BY 1) AS c ON c.day = d.day"
							" GROUP BY d.day ORDER BY d.day DESC",
							b->source_expr[ASY_CREATED_AT] ? b->source_expr[ASY_CREATED_AT] : "NULL::pg_catalog.timestamptz",
							created_since(b, asy_trust_is_used(b, ASY_PART_DRIFT), values[0])),
				   2, types, values);
}

/* ---- whether the books are believed ---- */

static char *
part_argument(FunctionCallInfo fcinfo)
{
	char	   *part;

	if (PG_ARGISNULL(0))
		asy_error_null("part");
	part = text_to_cstring(PG_GETARG_TEXT_PP(0));
	if (strcmp(part, ASY_PART_DRIFT) != 0 && strcmp(part, ASY_PART_SIGNUPS) != 0 && strcmp(part, ASY_PART_HISTORY) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("the bookkeeping has no part \"%s\"", part),
				 errhint("Its parts are drift, signups and history.")));
	return part;
}

static Datum
about_books(FunctionCallInfo fcinfo, bool (*answer) (AsyBinding *b, const char *part))
{
	char	   *part = part_argument(fcinfo);
	AsyBinding *b = asy_binding_hold();
	bool		result = false;

	SPI_connect();
	if (b && OidIsValid(b->users) && b->users_key_name)
		result = answer(b, part);
	SPI_finish();
	PG_RETURN_BOOL(result);
}

Datum
authsync_bookkeeping_is_trusted(PG_FUNCTION_ARGS)
{
	return about_books(fcinfo, asy_trust_is_given);
}

Datum
authsync_uses_bookkeeping(PG_FUNCTION_ARGS)
{
	return about_books(fcinfo, asy_trust_is_used);
}
