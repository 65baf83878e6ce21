/*
 * record.c
 *	  What is written down of users and profiles: events and quarantine.
 *
 * An event never carries what a person typed: the failure's SQLSTATE,
 * constraint and column, not its message. The message stands in quarantine,
 * which only operators and readers see, and goes when the row is mended.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

#include "ground/append.h"
#include "ground/guc.h"
#include "ground/retry.h"
#include "sync/prepared.h"
#include "sync/record.h"

AsyEvents *
asy_events_new(void)
{
	return palloc0(sizeof(AsyEvents));
}

void
asy_events_add(AsyEvents *e, Datum user_id, const char *type, const char *details)
{
	if (e->n == e->room)
	{
		e->room = Max(8, e->room * 2);
#define GROW(field) e->field = e->field ? repalloc(e->field, sizeof(*e->field) * e->room) : palloc(sizeof(*e->field) * e->room)
		GROW(user_id);
		GROW(type);
		GROW(subject);
		GROW(details);
#undef GROW
	}
	e->user_id[e->n] = user_id;
	e->type[e->n] = (char *) type;
	e->subject[e->n] = asy_db_uuid_text(user_id);
	e->details[e->n] = details ? (char *) details : "{}";
	e->n++;
}

char *
asy_failure_json(const AsyFailure *failure)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"sqlstate\": \"%s\"", asy_sqlstate_text(failure->sqlerrcode));
	if (failure->constraint)
	{
		appendStringInfoString(&json, ", \"constraint\": ");
		escape_json(&json, failure->constraint);
	}
	if (failure->column)
	{
		appendStringInfoString(&json, ", \"column\": ");
		escape_json(&json, failure->column);
	}
	appendStringInfoChar(&json, '}');
	return json.data;
}

/*
 * A message to keep. Of bad data (class 22) the server repeats the value in
 * quotes, which is what the person wrote: left out.
 */
char *
asy_failure_message(const AsyFailure *failure)
{
	StringInfoData text;
	bool		quoted = false;

	if (ERRCODE_TO_CATEGORY(failure->sqlerrcode) != ERRCODE_TO_CATEGORY(ERRCODE_DATA_EXCEPTION))
		return failure->message;
	initStringInfo(&text);
	for (const char *c = failure->message; *c; c++)
	{
		if (*c == '"')
		{
			appendStringInfoString(&text, quoted ? "...\"" : "\"");
			quoted = !quoted;
		}
		else if (!quoted)
			appendStringInfoChar(&text, *c);
	}
	return text.data;
}

static Datum
uuid_array(const Datum *ids, int n)
{
	return PointerGetDatum(construct_array((Datum *) ids, n, UUIDOID, 16, false, TYPALIGN_CHAR));
}

/*
 * Straight into the table: a statement costs more than the two rows of a
 * sign-up. False where somebody has given the table triggers or the like.
 */
bool
asy_events_append(AsyBinding *b, const AsyEvents *e)
{
	AsyAppend  *append = OidIsValid(b->events_sequence) ? asy_append_begin_if_plain(b->events, 7) : NULL;
	static const bool none[7] = {false};
	Datum		local;
	Datum		nothing;

	if (append == NULL)
		return false;
	local = CStringGetTextDatum("local");
	nothing = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
	for (int i = 0; i < e->n; i++)
	{
		Datum		values[7] = {
			Int64GetDatum(nextval_internal(b->events_sequence, false)),
			e->user_id[i],
			CStringGetTextDatum(e->type[i]),
			local,
			CStringGetTextDatum(e->subject[i]),
			e->details[i][1] == '}' ? nothing : DirectFunctionCall1(jsonb_in, CStringGetDatum(e->details[i])),
			TimestampTzGetDatum(GetCurrentTransactionStartTimestamp())
		};

		asy_append_row(append, values, (bool *) none);
		pfree(DatumGetPointer(values[2]));
		pfree(DatumGetPointer(values[4]));
		if (values[5] != nothing)
			pfree(DatumGetPointer(values[5]));
	}
	asy_append_end(append);
	return true;
}

void
asy_events_write(AsyBinding *b, const AsyEvents *e)
{
	Datum		values[4];

	if (e->n == 0)
		return;
	if (asy_events_append(b, e))
		return;
	values[0] = uuid_array(e->user_id, e->n);
	values[1] = asy_db_text_array(e->type, e->n);
	values[2] = asy_db_text_array(e->subject, e->n);
	values[3] = asy_db_text_array(e->details, e->n);
	asy_db_run_prepared(asy_prepared(b, ASY_PREPARED_EVENTS), values);
}

int64
asy_events_trim(const char *face, int limit)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(asy_guc_event_retention), Int32GetDatum(limit)};

	return (int64) asy_db_run(psprintf("DELETE FROM %1$s.user_events AS e USING (SELECT o.id, o.created_at FROM %1$s.user_events AS o ORDER BY o.id LIMIT $2) AS o"
									   " WHERE e.id = o.id AND $1::pg_catalog.interval > '0' AND o.created_at < pg_catalog.now() - $1::pg_catalog.interval", face),
							  false, 2, types, values, NULL);
}

bool
asy_event_is_reserved(const char *type)
{
	static const char *const reserved[] = {
		"auth_user_created", "auth_user_updated", "auth_user_deleted",
		"profile_bootstrap_ok", "profile_bootstrap_error", "profile_backfilled",
		"profile_updated", "profile_removed", "profile_value_refused",
		"provider_user_created", "provider_user_updated", "provider_user_deleted", "provider_user_written",
		"signup_compensated", "plan_applied", "webhook_received", "poll_failed"
	};

	for (size_t i = 0; i < lengthof(reserved); i++)
		if (strcmp(type, reserved[i]) == 0)
			return true;
	return false;
}

void
asy_quarantine_put(AsyBinding *b, const AsyUsers *users)
{
	Oid			types[] = {get_array_type(UUIDOID), TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID};
	Datum		values[7];
	Datum	   *ids = palloc(sizeof(Datum) * Max(users->n, 1));
	char	  **text[4];
	int			n = 0;

	for (size_t i = 0; i < lengthof(text); i++)
		text[i] = palloc(sizeof(char *) * Max(users->n, 1));
	for (int i = 0; i < users->n; i++)
		if (users->outcome[i] == ASY_FAILED)
		{
			AsyFailure *f = users->failure[i];

			ids[n] = asy_user_id(users, i);
			text[0][n] = asy_sqlstate_text(f->sqlerrcode);
			text[1][n] = f->constraint;
			text[2][n] = f->column;
			text[3][n] = asy_failure_message(f);
			n++;
		}
	if (n == 0)
		return;
	values[0] = uuid_array(ids, n);
	for (size_t i = 0; i < lengthof(text); i++)
		values[i + 1] = asy_db_text_array(text[i], n);
	values[5] = CStringGetTextDatum(b->profiles_name);
	values[6] = CStringGetTextDatum(ASY_RETRY_WAITS);
	asy_db_run("INSERT INTO authsync.quarantine_rows AS q (user_id, target, sqlstate, constraint_name, column_name, message, next_retry)"
			   " SELECT f.user_id, $6, f.sqlstate, f.constraint_name, f.column_name, f.message,"
			   "        pg_catalog.now() + ($7::pg_catalog.interval[])[1]"
			   " FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5))"
			   "   AS f(user_id, sqlstate, constraint_name, column_name, message) ORDER BY f.user_id"
			   " ON CONFLICT (user_id) DO UPDATE SET target = EXCLUDED.target, sqlstate = EXCLUDED.sqlstate,"
			   "   constraint_name = EXCLUDED.constraint_name, column_name = EXCLUDED.column_name, message = EXCLUDED.message,"
			   "   attempts = q.attempts + 1,"
			   "   next_retry = pg_catalog.now() + ($7::pg_catalog.interval[])[LEAST(q.attempts + 1, pg_catalog.cardinality($7::pg_catalog.interval[]))]",
			   false, 7, types, values, NULL);
}

void
asy_quarantine_release(const Datum *ids, int n)
{
	Oid			types[] = {get_array_type(UUIDOID)};
	Datum		values[1];

	if (n == 0)
		return;
	values[0] = uuid_array(ids, n);
	asy_db_run("DELETE FROM authsync.quarantine_rows AS q WHERE q.user_id = ANY ($1)", false, 1, types, values, NULL);
}
