/*
 * undo.c
 *	  The inverse of a plan.
 *
 * A listed plan is undone by its own items, read backwards. A backfill is by
 * rule: what it made is told by its events, and a profile goes only while it is
 * the row that was made (by hash), and nobody's rows hang on it.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "sync/drift.h"
#include "sync/plan_profile.h"
#include "sync/trust.h"
#include "sync/undo.h"
#include "sync/watch.h"

#define IDS_AT_ONCE 1000

static bool
is_backfill(const AsyPlan *plan)
{
	return strcmp(plan->kind, "backfill") == 0;
}

/* Over m, p: the profile is the user's. Foreign profiles are asked for those of the plan's users only. */
static char *
is_his(const AsyBinding *b)
{
	char	   *key_is = asy_sql_key_is(b, "p", "m.user_id", "m.subject");
	char	   *all = psprintf("ANY (ARRAY(SELECT e.%s FROM %s.user_events AS e WHERE e.event_type = 'profile_backfilled'"
							   " AND (e.details ->> 'plan_id')::pg_catalog.int8 = $1))", b->key_is_text ? "subject" : "user_id", b->face);

	return b->profiles_are_foreign ? psprintf("%s AND %s", key_is, asy_sql_key_is(b, "p", all, all)) : key_is;
}

/* "SELECT user_id, situation": whom the backfill made a profile, and how that is now. $1: the plan. */
static char *
made_by(AsyBinding *b)
{
	char	   *referenced = asy_plan_profile_is_referenced(b);

	return psprintf("SELECT m.user_id, CASE WHEN m.linked THEN 'linked' WHEN p.%1$s IS NULL THEN 'gone'"
					" WHEN authsync.row_hash(p) <> m.hash THEN 'changed' WHEN %2$s THEN 'referenced' ELSE 'untouched' END AS situation"
					" FROM (SELECT DISTINCT ON (e.user_id) e.user_id, e.subject, e.details ->> 'hash' AS hash, e.details ? 'linked' AS linked"
					"         FROM %3$s.user_events AS e, authsync.plans AS x"
					"        WHERE x.plan_id = $1 AND e.created_at >= x.created_at AND e.event_type = 'profile_backfilled'"
					"          AND (e.details ->> 'plan_id')::pg_catalog.int8 = $1 ORDER BY e.user_id, e.id DESC) AS m"
					" LEFT JOIN %4$s AS p ON %5$s",
					quote_identifier(b->key), referenced ? referenced : "false", b->face, b->profiles_name,
					is_his(b));
}

static void
count_situations(AsyBinding *b, const AsyPlan *of, AsyPlan *undo, char **note)
{
	static const char *const why[][2] = {
		{"changed", "changed since and left"},
		{"referenced", "referred to by rows of other tables and left"},
		{"linked", "there before and left linked"},
		{"gone", "gone already"}
	};
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(of->plan_id)};
	StringInfoData text;
	int64		told = 0;

	initStringInfo(&text);
	asy_db_run(psprintf("SELECT w.situation, pg_catalog.count(*) FROM (%s) AS w GROUP BY 1", made_by(b)), true, 1, types, values, NULL);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		char	   *situation = asy_db_text(r, 1);
		int64		n = asy_db_int64(r, 2);

		told += n;
		if (strcmp(situation, "untouched") == 0)
			undo->counts.intended[ASY_ACTION_DELETE] = n;
		else
			undo->counts.intended[ASY_ACTION_SKIP] += n;
		for (size_t i = 0; i < lengthof(why); i++)
			if (strcmp(situation, why[i][0]) == 0)
				appendStringInfo(&text, "; " INT64_FORMAT " %s", n, why[i][1]);
	}
	undo->counts.source_total = Max(told, of->counts.done);
	if (of->counts.done > told)
		appendStringInfo(&text, "; " INT64_FORMAT " whose event is not kept any more left", of->counts.done - told);
	*note = text.len ? text.data : NULL;
}

static void
count_items(const AsyPlan *of, AsyPlan *undo)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(of->plan_id)};

	asy_db_run("SELECT i.action, pg_catalog.count(*) FROM authsync.plan_items AS i WHERE i.plan_id = $1 AND i.state = 'done' GROUP BY 1",
			   true, 1, types, values, NULL);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		undo->counts.intended[asy_plan_inverse(asy_plan_action(asy_db_text(r, 1)))] += asy_db_int64(r, 2);
		undo->counts.source_total += asy_db_int64(r, 2);
	}
}

AsyPlan *
asy_undo_plan(AsyBinding *b, const AsyPlan *of, char **note)
{
	AsyPlan    *undo = palloc0(sizeof(AsyPlan));

	*note = NULL;
	if (of->target == NULL || strcmp(of->target, b->profiles_name) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("plan " INT64_FORMAT " was about %s, not about %s", of->plan_id, of->target ? of->target : "nothing", b->profiles_name),
				 errdetail("Profiles are in another table since."),
				 errhint("SELECT * FROM authsync.setup(profiles => '...');")));
	undo->kind = "undo";
	undo->source = psprintf("plan " INT64_FORMAT, of->plan_id);
	undo->target = b->profiles_name;
	undo->state = ASY_STATE_OPEN;
	undo->remaining = -1;
	if (is_backfill(of))
		count_situations(b, of, undo, note);
	else
		count_items(of, undo);
	asy_db_query(psprintf("SELECT %s", asy_drift_total_profiles(b, asy_trust_is_used(b, ASY_PART_DRIFT))));
	undo->counts.target_total = asy_db_int64(0, 1);
	return undo;
}

/* ---- the items ---- */

/* In the order of user ids, as everything that holds several profiles. */
static void
store_backfill(AsyBinding *b, const AsyPlan *of, AsyPlan *undo)
{
	Oid			types[] = {INT8OID};
	Datum		values[] = {Int64GetDatum(of->plan_id)};
	int64		n = (int64) asy_db_run(psprintf("SELECT w.user_id, w.situation FROM (%s) AS w WHERE w.situation <> 'gone' ORDER BY w.user_id", made_by(b)),
									   true, 1, types, values, NULL);	/* the snapshot that was counted in */
	Datum	   *ids = palloc_extended(sizeof(Datum) * Max(n, 1), MCXT_ALLOC_HUGE);
	const char **situation = palloc_extended(sizeof(char *) * Max(n, 1), MCXT_ALLOC_HUGE);
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "authsync undo", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;

	for (int64 i = 0; i < n; i++)
	{
		bool		isnull;

		ids[i] = datumCopy(asy_db_value(i, 1, &isnull), false, UUID_LEN);
		situation[i] = asy_db_text(i, 2);
	}
	SPI_freetuptable(SPI_tuptable);
	old = MemoryContextSwitchTo(context);
	for (int64 from = 0; from < n; from += IDS_AT_ONCE)
	{
		int			some = (int) Min(IDS_AT_ONCE, n - from);
		AsyValues  *now = asy_plan_profile_read(b, ids + from, some, false, false);
		AsyItems   *items = asy_plan_rows_items();

		for (int i = 0; i < some; i++)
		{
			bool		goes = strcmp(situation[from + i], "untouched") == 0;

			asy_plan_rows_add(items, goes ? ASY_ACTION_DELETE : ASY_ACTION_SKIP, situation[from + i], ids[from + i],
							  goes ? now->value[i] : (Datum) 0, (Datum) 0, goes ? "open" : "skipped", NULL);
		}
		asy_plan_rows_append(undo, items);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/* Each item the other way round. */
static void
store_items(const AsyPlan *of, AsyPlan *undo)
{
	Oid			types[] = {INT8OID, INT8OID, TEXTARRAYOID, TEXTARRAYOID};
	char	   *from[ASY_NACTIONS];
	char	   *to[ASY_NACTIONS];
	Datum		values[4];

	for (int i = 0; i < ASY_NACTIONS; i++)
	{
		from[i] = (char *) asy_plan_action_name[i];
		to[i] = (char *) asy_plan_action_name[asy_plan_inverse(i)];
	}
	values[0] = Int64GetDatum(undo->plan_id);
	values[1] = Int64GetDatum(of->plan_id);
	values[2] = asy_db_text_array(from, ASY_NACTIONS);
	values[3] = asy_db_text_array(to, ASY_NACTIONS);
	asy_db_run("INSERT INTO authsync.plan_items (plan_id, item, action, situation, user_id, subject, changes, state)"
			   " SELECT $1, pg_catalog.row_number() OVER (ORDER BY i.user_id, i.item DESC), a.inverse, 'done', i.user_id, i.subject,"
			   "        COALESCE((SELECT pg_catalog.jsonb_object_agg(c.field, pg_catalog.jsonb_build_array(c.pair -> 1, c.pair -> 0))"
			   "                    FROM pg_catalog.jsonb_each(i.changes) AS c(field, pair)), '{}'), 'open'"
			   " FROM authsync.plan_items AS i JOIN ROWS FROM (pg_catalog.unnest($3), pg_catalog.unnest($4)) AS a(action, inverse) USING (action)"
			   " WHERE i.plan_id = $2 AND i.state = 'done'",
			   false, lengthof(types), types, values, NULL);
}

void
asy_undo_store(AsyBinding *b, const AsyPlan *of, AsyPlan *undo)
{
	asy_plan_rows_create(undo);
	if (is_backfill(of))
		store_backfill(b, of, undo);
	else
		store_items(of, undo);
}
