/*
 * plan_rows.c
 *	  Plans as they are stored.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/uuid.h"

#include "ground/guc.h"
#include "sync/plan_rows.h"
#include "sync/record.h"

/* ---- items ---- */

AsyItems *
asy_plan_rows_items(void)
{
	return palloc0(sizeof(AsyItems));
}

void
asy_plan_rows_add(AsyItems *x, AsyAction action, const char *situation, Datum user_id,
				  Datum old_values, Datum new_values, const char *state, AsyFailure *failure)
{
	if (x->n == x->room)
	{
		x->room = Max(64, x->room * 2);
#define GROW(field) x->field = x->field ? repalloc(x->field, sizeof(*x->field) * x->room) : palloc(sizeof(*x->field) * x->room)
		GROW(action);
		GROW(situation);
		GROW(user_id);
		GROW(subject);
		GROW(old_values);
		GROW(new_values);
		GROW(state);
		GROW(failure);
#undef GROW
	}
	x->action[x->n] = action;
	x->situation[x->n] = situation;
	x->user_id[x->n] = user_id;
	x->subject[x->n] = user_id ? asy_db_uuid_text(user_id) : NULL;
	x->old_values[x->n] = old_values;
	x->new_values[x->n] = new_values;
	x->state[x->n] = state;
	x->failure[x->n] = failure;
	x->n++;
}

static Datum
array_with_nulls(Datum *values, int n, Oid type)
{
	bool	   *nulls = palloc(sizeof(bool) * Max(n, 1));
	int			dims[1] = {n};
	int			lbs[1] = {1};
	int16		typlen;
	bool		typbyval;
	char		typalign;

	for (int i = 0; i < n; i++)
		nulls[i] = values[i] == (Datum) 0;
	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(values, nulls, n ? 1 : 0, dims, lbs, type, typlen, typbyval, typalign));
}

void
asy_plan_rows_append(const AsyPlan *plan, const AsyItems *x)
{
	Oid			types[] = {INT8OID, TEXTARRAYOID, TEXTARRAYOID, UUIDARRAYOID, TEXTARRAYOID, JSONBARRAYOID, JSONBARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	Datum		values[10];
	char	  **action = palloc(sizeof(char *) * Max(x->n, 1));
	char	  **sqlstate = palloc(sizeof(char *) * Max(x->n, 1));
	char	  **message = palloc(sizeof(char *) * Max(x->n, 1));

	if (x->n == 0)
		return;
	for (int i = 0; i < x->n; i++)
	{
		action[i] = (char *) asy_plan_action_name[x->action[i]];
		sqlstate[i] = x->failure[i] ? asy_sqlstate_text(x->failure[i]->sqlerrcode) : NULL;
		message[i] = x->failure[i] ? asy_failure_message(x->failure[i]) : NULL;
	}
	values[0] = Int64GetDatum(plan->plan_id);
	values[1] = asy_db_text_array(action, x->n);
	values[2] = asy_db_text_array((char **) x->situation, x->n);
	values[3] = array_with_nulls(x->user_id, x->n, UUIDOID);
	values[4] = asy_db_text_array((char **) x->subject, x->n);
	values[5] = array_with_nulls(x->old_values, x->n, JSONBOID);
	values[6] = array_with_nulls(x->new_values, x->n, JSONBOID);
	values[7] = asy_db_text_array((char **) x->state, x->n);
	values[8] = asy_db_text_array(sqlstate, x->n);
	values[9] = asy_db_text_array(message, x->n);
	asy_db_run("INSERT INTO authsync.plan_items (plan_id, item, action, situation, user_id, subject, changes, state, sqlstate, message)"
			   " SELECT $1, i.position + COALESCE((SELECT pg_catalog.max(o.item) FROM authsync.plan_items AS o WHERE o.plan_id = $1), 0),"
			   "        i.action, i.situation, i.user_id, i.subject, COALESCE("
			   "          (SELECT pg_catalog.jsonb_object_agg(f.field, pg_catalog.jsonb_build_array(i.old_values -> f.field, i.new_values -> f.field))"
			   "             FROM pg_catalog.jsonb_object_keys(COALESCE(i.old_values, i.new_values)) AS f(field)"
			   "            WHERE i.old_values IS NULL OR i.new_values IS NULL OR i.old_values -> f.field IS DISTINCT FROM i.new_values -> f.field), '{}'),"
			   "        i.state, i.sqlstate, i.message"
			   " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5), pg_catalog.unnest($6),"
			   "                 pg_catalog.unnest($7), pg_catalog.unnest($8), pg_catalog.unnest($9), pg_catalog.unnest($10)) WITH ORDINALITY"
			   "   AS i(action, situation, user_id, subject, old_values, new_values, state, sqlstate, message, position)",
			   false, lengthof(types), types, values, NULL);
}

/* ---- plans ---- */

/* The numbers as an object's members, without braces. */
static char *
counts_json(const AsyPlan *plan)
{
	const AsyPlanCounts *c = &plan->counts;
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "\"source_total\": %s, \"target_total\": %s",
					 c->source_total < 0 ? "null" : psprintf(INT64_FORMAT, c->source_total),
					 c->target_total < 0 ? "null" : psprintf(INT64_FORMAT, c->target_total));
	for (int i = 0; i < ASY_NACTIONS; i++)
		appendStringInfo(&json, ", \"%s\": " INT64_FORMAT, asy_plan_action_name[i], c->intended[i]);
	appendStringInfo(&json, ", \"disputed\": " INT64_FORMAT ", \"done\": " INT64_FORMAT ", \"failed\": " INT64_FORMAT ", \"stale\": " INT64_FORMAT,
					 c->disputed, c->done, c->failed, c->stale);
	return json.data;
}

void
asy_plan_rows_create(AsyPlan *plan)
{
	Oid			types[] = {TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID};
	Datum		values[] = {
		CStringGetTextDatum(plan->kind), CStringGetTextDatum(plan->source), CStringGetTextDatum(plan->target),
		CStringGetTextDatum(asy_plan_state_name[plan->state]), CStringGetTextDatum(psprintf("{%s}", counts_json(plan)))
	};

	asy_db_run("INSERT INTO authsync.plans (kind, source, target, state, counts) VALUES ($1, $2, $3, $4, $5::pg_catalog.jsonb) RETURNING plan_id",
			   false, lengthof(types), types, values, NULL);
	plan->plan_id = asy_db_int64(0, 1);
}

static bool
has_ended(AsyPlanState state)
{
	return state == ASY_STATE_APPLIED || state == ASY_STATE_PARTLY_APPLIED;
}

/* About nobody in particular. */
static void
write_event(const AsyPlan *plan)
{
	AsyExtension ext;
	Oid			types[] = {INT8OID, TEXTOID, INT8OID, INT8OID, INT8OID};
	Datum		values[] = {
		Int64GetDatum(plan->plan_id), CStringGetTextDatum(plan->kind), Int64GetDatum(plan->counts.done),
		Int64GetDatum(plan->counts.failed), Int64GetDatum(plan->counts.stale)
	};

	ext = asy_db_own_extension();
	asy_db_run(psprintf("INSERT INTO %s.user_events (event_type, details) VALUES ('plan_applied',"
						" pg_catalog.jsonb_build_object('plan_id', $1, 'kind', $2, 'done', $3, 'failed', $4, 'stale', $5))",
						quote_identifier(get_namespace_name(ext.face))),
			   false, lengthof(types), types, values, NULL);
}

void
asy_plan_rows_save(AsyPlan *plan)
{
	Oid			types[] = {INT8OID, TEXTOID, TEXTOID, TEXTOID, BOOLOID};
	Datum		values[] = {
		Int64GetDatum(plan->plan_id), CStringGetTextDatum(asy_plan_state_name[plan->state]),
		CStringGetTextDatum(plan->remaining < 0 ? psprintf("{%s}", counts_json(plan))
							: psprintf("{%s, \"remaining\": " INT64_FORMAT "}", counts_json(plan), plan->remaining)),
		plan->brake ? CStringGetTextDatum(plan->brake) : (Datum) 0, BoolGetDatum(has_ended(plan->state))
	};

	asy_db_run("UPDATE authsync.plans AS p SET state = $2, counts = $3::pg_catalog.jsonb, brake = $4,"
			   " applied_at = CASE WHEN $5 THEN pg_catalog.clock_timestamp() END WHERE p.plan_id = $1",
			   false, lengthof(types), types, values, plan->brake ? NULL : "   n ");
	if (has_ended(plan->state) && plan->counts.done + plan->counts.failed + plan->counts.stale > 0)
		write_event(plan);
}

static int64
count_of(const char *name, int64 otherwise)
{
	int			col = SPI_fnumber(SPI_tuptable->tupdesc, name);
	bool		isnull;
	Datum		value = asy_db_value(0, col, &isnull);

	return isnull ? otherwise : DatumGetInt64(value);
}

AsyPlan *
asy_plan_rows_get(int64 plan_id, bool hold)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(plan_id)};
	AsyPlan    *plan = palloc0(sizeof(AsyPlan));
	AsyPlanCounts *c = &plan->counts;

	if (asy_db_run(psprintf("SELECT p.kind, p.source, p.target, p.state, p.brake,"
							" (p.counts ->> 'source_total')::pg_catalog.int8 AS source_total, (p.counts ->> 'target_total')::pg_catalog.int8 AS target_total,"
							" (p.counts ->> 'create')::pg_catalog.int8 AS \"create\", (p.counts ->> 'update')::pg_catalog.int8 AS \"update\","
							" (p.counts ->> 'disable')::pg_catalog.int8 AS \"disable\", (p.counts ->> 'delete')::pg_catalog.int8 AS \"delete\","
							" (p.counts ->> 'link')::pg_catalog.int8 AS \"link\", (p.counts ->> 'skip')::pg_catalog.int8 AS \"skip\","
							" (p.counts ->> 'disputed')::pg_catalog.int8 AS disputed, (p.counts ->> 'done')::pg_catalog.int8 AS done,"
							" (p.counts ->> 'failed')::pg_catalog.int8 AS failed, (p.counts ->> 'stale')::pg_catalog.int8 AS stale"
							" FROM authsync.plans AS p WHERE p.plan_id = $1%s", hold ? " FOR UPDATE" : ""),
				   !hold, 1, types, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("plan " INT64_FORMAT " does not exist", plan_id),
				 errdetail("Plans that nobody applied are kept for 7 days."),
				 errhint("SELECT plan_id, kind, state, created_at FROM authsync.plans ORDER BY plan_id DESC;")));
	plan->plan_id = plan_id;
	plan->kind = asy_db_text(0, 1);
	plan->source = asy_db_text(0, 2);
	plan->target = asy_db_text(0, 3);
	plan->state = asy_plan_state(asy_db_text(0, 4));
	plan->brake = asy_db_text(0, 5);
	plan->remaining = -1;
	c->source_total = count_of("source_total", -1);
	c->target_total = count_of("target_total", -1);
	for (int i = 0; i < ASY_NACTIONS; i++)
		c->intended[i] = count_of(asy_plan_action_name[i], 0);
	c->disputed = count_of("disputed", 0);
	c->done = count_of("done", 0);
	c->failed = count_of("failed", 0);
	c->stale = count_of("stale", 0);
	return plan;
}

AsyPlan *
asy_plan_rows_get_for(int64 plan_id, AsyPlanVerb verb, bool hold)
{
	static const char *const participle[] = {"applied", "cancelled", "undone"};
	AsyPlan    *plan = asy_plan_rows_get(plan_id, hold);

	if (!asy_plan_can(verb, plan->state))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("plan " INT64_FORMAT " cannot be %s", plan_id, participle[verb]),
				 errdetail("Its state is \"%s\".", asy_plan_state_name[plan->state]),
				 verb == ASY_VERB_UNDO ? errhint("Only what was applied can be undone.") :
				 errhint("Make a new plan; a plan is applied once.")));
	return plan;
}

/* ---- the brake ---- */

#define BRAKE_KEY 0x61736272	/* "asbr" */

bool
asy_plan_rows_is_braked(AsyPlan *plan)
{
	Oid			types[] = {INT8OID, TEXTOID};
	Datum		values[] = {Int64GetDatum(plan->plan_id), CStringGetTextDatum(plan->target)};
	AsyBrake	brake = {asy_guc_brake_percent, asy_guc_brake_count, asy_guc_brake_floor};
	int64		removes = asy_plan_removes(&plan->counts);
	int64		now = Max(plan->counts.target_total, 0);
	int64		lately;

	DirectFunctionCall2(pg_advisory_xact_lock_int4, Int32GetDatum(BRAKE_KEY),
						Int32GetDatum((int32) hash_bytes((const unsigned char *) plan->target, (int) strlen(plan->target))));
	asy_db_run("SELECT COALESCE(pg_catalog.sum((SELECT pg_catalog.count(*) FROM authsync.plan_items AS i WHERE i.plan_id = p.plan_id"
			   "   AND i.state = 'done' AND i.action IN ('delete', 'disable'))), 0)::pg_catalog.int8"
			   " FROM authsync.plans AS p WHERE p.target = $2 AND p.plan_id <> $1 AND p.applied_at > pg_catalog.now() - '24 hours'::pg_catalog.interval"
			   "   AND ((p.counts ->> 'delete')::pg_catalog.int8 > 0 OR (p.counts ->> 'disable')::pg_catalog.int8 > 0)",
			   false, lengthof(types), types, values, NULL);
	lately = asy_db_int64(0, 1);
	if (!asy_plan_is_braked(brake, now, lately, removes))
		return false;
	plan->brake = psprintf("would remove " INT64_FORMAT " of " INT64_FORMAT " rows, after " INT64_FORMAT " in the last 24 hours; " INT64_FORMAT " may go",
						   removes, now, lately, asy_plan_brake_limit(brake, now, lately));
	return true;
}

/* ---- what the callers see ---- */

char *
asy_plan_rows_result(const AsyPlan *plan, bool dry_run, const char *message)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfo(&json, "{\"dry_run\": %s, \"plan_id\": %s, \"state\": \"%s\", %s, \"message\": ", dry_run ? "true" : "false",
					 plan->plan_id ? psprintf(INT64_FORMAT, plan->plan_id) : "null", asy_plan_state_name[plan->state], counts_json(plan));
	escape_json(&json, message);
	appendStringInfoChar(&json, '}');
	return json.data;
}

/* ---- short ---- */

#define OUTDATED \
	"((p.state IN ('open', 'cancelled') AND p.created_at < pg_catalog.now() - '7 days'::pg_catalog.interval)" \
	" OR (p.state NOT IN ('open', 'cancelled') AND $1::pg_catalog.interval > '0' AND COALESCE(p.applied_at, p.created_at) < pg_catalog.now() - $1::pg_catalog.interval))"

int64
asy_plan_rows_trim(int limit)
{
	Oid			types[] = {TEXTOID, INT4OID};
	Datum		values[] = {CStringGetTextDatum(asy_guc_event_retention), Int32GetDatum(limit)};
	int64		gone = (int64) asy_db_run("DELETE FROM authsync.plan_items AS i USING (SELECT x.plan_id, x.item FROM authsync.plans AS p"
										  " JOIN authsync.plan_items AS x USING (plan_id) WHERE " OUTDATED " LIMIT $2) AS o"
										  " WHERE i.plan_id = o.plan_id AND i.item = o.item",
										  false, 2, types, values, NULL);

	if (gone < limit)
		asy_db_run("DELETE FROM authsync.plans AS p WHERE " OUTDATED, false, 1, types, values, NULL);
	return gone;
}
