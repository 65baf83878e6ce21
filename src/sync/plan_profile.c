/*
 * plan_profile.c
 *	  Items about profiles.
 *
 * An item's fingerprint are its own old values: it is applied only where the
 * profile still holds them. They were written, and are compared, under pinned
 * settings, so that the time zone of a session makes nothing stale; values are
 * put back through the columns' own input functions, under the session's
 * settings, because triggers and defaults of the application run there.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "ground/rowhash.h"
#include "sync/plan_profile.h"
#include "sync/record.h"

#define ITEMS_AT_ONCE 1000
#define NOTICE_EVERY_MS 5000

/* What a statement over users takes as their profiles' keys: uuid[] or text[]. */
static Datum
keys_of(const AsyBinding *b, const Datum *ids, int n)
{
	Datum	   *keys = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		keys[i] = b->key_is_text ? CStringGetTextDatum(asy_db_uuid_text(ids[i])) : ids[i];
	return PointerGetDatum(b->key_is_text
						   ? construct_array(keys, n, TEXTOID, -1, false, TYPALIGN_INT)
						   : construct_array(keys, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

static Oid
keys_type(const AsyBinding *b)
{
	return b->key_is_text ? TEXTARRAYOID : get_array_type(UUIDOID);
}

/* Over p and s.key, of which $1 holds all: foreign profiles are asked for those only. */
static char *
key_is_s(const AsyBinding *b)
{
	char	   *key_is = asy_sql_key_is(b, "p", "s.key", "s.key");

	return b->profiles_are_foreign ? psprintf("%s AND %s", key_is, asy_sql_key_is(b, "p", "ANY ($1)", "ANY ($1)")) : key_is;
}

/* ---- what a profile holds ---- */

/* "'a', p.a, 'b', p.b": as jsonb_build_object takes it; no more than 50 columns a call. */
static char *
columns_as_json(const AsyBinding *b, bool only_kept_equal)
{
	Relation	rel = table_open(b->profiles, NoLock);	/* held by the binding */
	StringInfoData list;
	int			n = 0;

	initStringInfo(&list);
	for (int i = 0; i < RelationGetNumberOfAttributes(rel); i++)
	{
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);
		AsyColumn  *c;

		if (att->attisdropped || att->attgenerated)
			continue;
		c = asy_binding_column(b, NameStr(att->attname));
		if (only_kept_equal && (c == NULL || !c->always))
			continue;
		appendStringInfo(&list, "%s%s, p.%s", n == 0 ? "pg_catalog.jsonb_build_object(" : n % 50 == 0 ? ") || pg_catalog.jsonb_build_object(" : ", ",
						 quote_literal_cstr(NameStr(att->attname)), quote_identifier(NameStr(att->attname)));
		n++;
	}
	table_close(rel, NoLock);
	appendStringInfoString(&list, n == 0 ? "'{}'::pg_catalog.jsonb" : ")");
	return list.data;
}

AsyValues *
asy_plan_profile_read(AsyBinding *b, const Datum *ids, int n, bool only_kept_equal, bool hold)
{
	AsyValues  *values = palloc(sizeof(AsyValues));
	Oid			types[] = {keys_type(b)};
	Datum		params[1];
	AsyIdentity saved;

	values->n = n;
	values->value = palloc0(sizeof(Datum) * Max(n, 1));
	if (n == 0)
		return values;
	params[0] = keys_of(b, ids, n);
	asy_db_become(&saved, b->profiles_owner, true);
	asy_db_pin_formats(&saved);
	asy_db_run(psprintf("SELECT s.position, %s FROM pg_catalog.unnest($1) WITH ORDINALITY AS s(key, position) JOIN %s AS p ON %s ORDER BY s.position%s",
						columns_as_json(b, only_kept_equal), b->profiles_name, key_is_s(b), hold ? " FOR NO KEY UPDATE OF p" : ""),
			   !hold, 1, types, params, NULL);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		bool		isnull;

		values->value[asy_db_int64(r, 1) - 1] = datumCopy(asy_db_value(r, 2, &isnull), false, -1);
	}
	asy_db_restore(&saved);
	return values;
}

/* ---- what hangs on a profile ---- */

char *
asy_plan_profile_is_referenced(const AsyBinding *b)
{
	StringInfoData q;
	int			n;

	initStringInfo(&q);
	n = (int) asy_db_query(psprintf("SELECT c.conrelid::pg_catalog.oid::pg_catalog.int8, (SELECT pg_catalog.string_agg("
									"   pg_catalog.format('r.%%I OPERATOR(pg_catalog.=) p.%%I', r.attname, p.attname), ' AND ' ORDER BY k.i)"
									"   FROM pg_catalog.generate_subscripts(c.conkey, 1) AS k(i)"
									"   JOIN pg_catalog.pg_attribute AS r ON r.attrelid = c.conrelid AND r.attnum = c.conkey[k.i]"
									"   JOIN pg_catalog.pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = c.confkey[k.i]),"
									" (SELECT pg_catalog.bool_and(p.atttypid < %d AND r.atttypid < %d)"
									"   FROM pg_catalog.generate_subscripts(c.conkey, 1) AS k(i)"
									"   JOIN pg_catalog.pg_attribute AS r ON r.attrelid = c.conrelid AND r.attnum = c.conkey[k.i]"
									"   JOIN pg_catalog.pg_attribute AS p ON p.attrelid = c.confrelid AND p.attnum = c.confkey[k.i])"
									" FROM pg_catalog.pg_constraint AS c WHERE c.contype = 'f' AND c.confrelid = %u AND c.conparentid = 0 ORDER BY c.oid",
									FirstNormalObjectId, FirstNormalObjectId, b->profiles));
	for (int i = 0; i < n; i++)
	{
		/* A comparison that might be somebody's own code is not run: then there may be rows. */
		if (i > 0)
			appendStringInfoString(&q, " OR ");
		if (asy_db_bool(i, 3))
			appendStringInfo(&q, "EXISTS (SELECT FROM %s AS r WHERE %s)", asy_db_relation_name((Oid) asy_db_int64(i, 1)), asy_db_text(i, 2));
		else
			appendStringInfoString(&q, "true");
	}
	return n > 0 ? q.data : NULL;
}

/* ---- items as they are applied ---- */

typedef struct Batch
{
	AsyBinding *b;
	AsyPlan    *plan;
	AsyAction	action;			/* of all of them */
	int			n;
	Datum	   *item;			/* int8 */
	Datum	   *user_id;
	Datum	   *changes;
	const char **state;			/* what became of each */
	const char **message;
	AsyFailure **failure;
	char	  **hash;			/* of a created row */
	const char *referenced;
	char	  **column;			/* those of profiles that the changes name */
	int			ncolumns;
	char	   *columns;		/* "a, b" */
	char	   *values;			/* "r.a, r.b" */
} Batch;

/* Part of a batch: items from..from+n-1, of which pick are still to be done. */
typedef struct Pick
{
	Batch	   *batch;
	int		   *at;				/* positions in the batch */
	int			n;
} Pick;

static Datum
picked_keys(const Pick *p)
{
	Datum	   *ids = palloc(sizeof(Datum) * Max(p->n, 1));

	for (int i = 0; i < p->n; i++)
		ids[i] = p->batch->user_id[p->at[i]];
	return keys_of(p->batch->b, ids, p->n);
}

static Datum
picked_changes(const Pick *p)
{
	Datum	   *changes = palloc(sizeof(Datum) * Max(p->n, 1));

	for (int i = 0; i < p->n; i++)
		changes[i] = p->batch->changes[p->at[i]];
	return PointerGetDatum(construct_array(changes, p->n, JSONBOID, -1, false, TYPALIGN_INT));
}

/* Keeps those whose position the last result names in its first column; the others are stale, for this reason. */
static void
keep_named(Pick *p, const char *otherwise)
{
	bool	   *named = palloc0(sizeof(bool) * Max(p->n, 1));
	int			kept = 0;

	for (uint64 r = 0; r < SPI_processed; r++)
		named[asy_db_int64(r, 1) - 1] = true;
	for (int i = 0; i < p->n; i++)
		if (named[i])
			p->at[kept++] = p->at[i];
		else
		{
			p->batch->state[p->at[i]] = "stale";
			p->batch->message[p->at[i]] = otherwise;
		}
	p->n = kept;
}

/* Holds the profiles and looks whether they still have the old values. As the owner of profiles. */
static void
keep_unchanged(Pick *p)
{
	AsyBinding *b = p->batch->b;
	Oid			types[] = {keys_type(b), JSONBARRAYOID};
	Datum		values[] = {picked_keys(p), picked_changes(p)};
	AsyIdentity saved;

	asy_db_become(&saved, b->profiles_owner, true);
	asy_db_pin_formats(&saved);
	asy_db_run(psprintf("SELECT h.position FROM (SELECT s.position, s.changes, %s AS now"
						" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS s(key, changes, position)"
						" JOIN %s AS p ON %s ORDER BY s.position FOR UPDATE OF p) AS h"
						" WHERE NOT EXISTS (SELECT FROM pg_catalog.jsonb_each(h.changes) AS c(field, pair) WHERE h.now -> c.field IS DISTINCT FROM c.pair -> 0)",
						columns_as_json(b, false), b->profiles_name, key_is_s(b)),
			   false, 2, types, values, NULL);
	keep_named(p, "the profile has changed since, or is gone");
	asy_db_restore(&saved);
}

/* Nobody's rows may go with a profile. They are held by now, so none can come. As the extension's owner. */
static void
keep_unreferenced(Pick *p)
{
	AsyBinding *b = p->batch->b;
	Oid			types[] = {keys_type(b)};
	Datum		values[] = {picked_keys(p)};

	if (p->batch->referenced == NULL)
		return;
	asy_db_run(psprintf("SELECT s.position FROM pg_catalog.unnest($1) WITH ORDINALITY AS s(key, position) JOIN %s AS p ON %s WHERE NOT (%s)",
						b->profiles_name, key_is_s(b), p->batch->referenced),
			   false, 1, types, values, NULL);
	keep_named(p, "rows of other tables refer to the profile");
}

/*
 * A profile is made only for a user who is there and has none, and only of
 * columns that are still there. As the extension's owner.
 */
static void
keep_users_without_profile(Pick *p)
{
	AsyBinding *b = p->batch->b;
	Oid			types[] = {UUIDARRAYOID, JSONBARRAYOID, TEXTARRAYOID};
	Datum	   *ids = palloc(sizeof(Datum) * Max(p->n, 1));
	Datum		values[3];

	for (int i = 0; i < p->n; i++)
		ids[i] = p->batch->user_id[p->at[i]];
	values[0] = PointerGetDatum(construct_array(ids, p->n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	values[1] = picked_changes(p);
	values[2] = asy_db_text_array(p->batch->column, p->batch->ncolumns);
	asy_db_run(psprintf("SELECT s.position FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS s(id, changes, position)"
						" JOIN %1$s AS u ON u.%2$s = s.id WHERE u.%2$s = ANY ($1) AND NOT %3$s"
						" AND NOT EXISTS (SELECT FROM pg_catalog.jsonb_object_keys(s.changes) AS k(field) WHERE k.field <> ALL ($3))",
						b->users_name, quote_identifier(b->users_key_name), asy_sql_has_profile(b)),
			   false, 3, types, values, NULL);
	keep_named(p, "the user is gone or has a profile, or profiles have lost a column");
}

/* Over s.changes: the new values as one object. */
#define NEW_VALUES "(SELECT pg_catalog.jsonb_object_agg(c.field, c.pair -> 1) FROM pg_catalog.jsonb_each(s.changes) AS c(field, pair))"

static char *
write_statement(const Batch *x)
{
	const AsyBinding *b = x->b;
	const char *from = "ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS s(key, changes, position)";

	switch (x->action)
	{
		case ASY_ACTION_CREATE:
			return psprintf("INSERT INTO %1$s AS p (%2$s) OVERRIDING SYSTEM VALUE SELECT %3$s FROM %4$s,"
							" LATERAL pg_catalog.jsonb_populate_record(NULL::%1$s, " NEW_VALUES ") AS r ORDER BY s.position RETURNING p.%5$s::pg_catalog.text, p",
							b->profiles_name, x->columns, x->values, from, quote_identifier(b->key));
		case ASY_ACTION_UPDATE:
			return psprintf("UPDATE %1$s AS p SET (%2$s) = (SELECT %3$s FROM pg_catalog.jsonb_populate_record(p, " NEW_VALUES ") AS r)"
							" FROM %4$s WHERE %5$s RETURNING p.%6$s::pg_catalog.text",
							b->profiles_name, x->columns, x->values, from, key_is_s(b), quote_identifier(b->key));
		case ASY_ACTION_DELETE:
			return psprintf("DELETE FROM %s AS p USING %s WHERE %s RETURNING p.%s::pg_catalog.text",
							b->profiles_name, from, key_is_s(b), quote_identifier(b->key));
		default:
			elog(ERROR, "plan item of action \"%s\" cannot be applied to profiles", asy_plan_action_name[x->action]);
	}
}

/* As the owner of profiles. */
static void
write_profiles(const Pick *p)
{
	Batch	   *x = p->batch;
	Oid			types[] = {keys_type(x->b), JSONBARRAYOID};
	Datum		values[] = {picked_keys(p), picked_changes(p)};
	uint64		n = asy_db_run(write_statement(x), false, 2, types, values, NULL);
	if (n < (uint64) p->n)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
				 errmsg("a trigger of %s discarded the change", x->b->profiles_name),
				 errhint("Look at its BEFORE triggers.")));
	for (int i = 0; i < p->n; i++)
	{
		bool		isnull;

		x->state[p->at[i]] = "done";
		if (x->action == ASY_ACTION_CREATE)	/* they come back in the order of position */
			x->hash[p->at[i]] = asy_rowhash_of(DatumGetHeapTupleHeader(asy_db_value(i, 2, &isnull)));
	}
}

static void
write_as_owner(const Pick *p)
{
	bool		was_writing = asy_profile_writing;
	AsyIdentity saved;

	asy_db_become(&saved, p->batch->b->profiles_owner, true);
	PG_TRY();
	{
		asy_profile_writing = true;
		write_profiles(p);
	}
	PG_FINALLY();
	{
		asy_profile_writing = was_writing;
	}
	PG_END_TRY();
	asy_db_restore(&saved);
}

static void
apply_part(void *arg, int from, int n)
{
	Batch	   *x = arg;
	Pick		p = {.batch = x, .at = palloc(sizeof(int) * n), .n = n};

	for (int i = 0; i < n; i++)
	{
		p.at[i] = from + i;
		x->state[from + i] = NULL;
	}
	asy_profile_constraints(x->b, true);
	if (x->action == ASY_ACTION_CREATE)
		keep_users_without_profile(&p);
	else
		keep_unchanged(&p);
	if (x->action == ASY_ACTION_DELETE)
		keep_unreferenced(&p);
	if (p.n > 0)
		write_as_owner(&p);
	asy_profile_constraints(x->b, false);
}

static void
part_failed(void *arg, int from, int n, AsyFailure *failure)
{
	Batch	   *x = arg;

	for (int i = from; i < from + n; i++)
	{
		x->state[i] = "failed";
		x->failure[i] = failure;
	}
}

/* ---- batch after batch ---- */

/* The next items that are open, as many as have the same action; NULL: there are none. */
static Batch *
next_batch(AsyBinding *b, AsyPlan *plan, const char *referenced)
{
	Oid			types[] = {INT8OID, INT4OID};
	Datum		values[] = {Int64GetDatum(plan->plan_id), Int32GetDatum(ITEMS_AT_ONCE)};
	Batch	   *x = palloc0(sizeof(Batch));
	int			n = (int) asy_db_run("SELECT i.action, i.item, i.user_id, i.changes FROM authsync.plan_items AS i"
									 " WHERE i.plan_id = $1 AND i.state = 'open' ORDER BY i.item LIMIT $2",
									 false, 2, types, values, NULL);

	if (n == 0)
		return NULL;
	x->b = b;
	x->plan = plan;
	x->referenced = referenced;
	x->action = asy_plan_action(asy_db_text(0, 1));
	x->item = palloc(sizeof(Datum) * n);
	x->user_id = palloc(sizeof(Datum) * n);
	x->changes = palloc(sizeof(Datum) * n);
	x->state = palloc0(sizeof(char *) * n);
	x->message = palloc0(sizeof(char *) * n);
	x->failure = palloc0(sizeof(AsyFailure *) * n);
	x->hash = palloc0(sizeof(char *) * n);
	for (; x->n < n && asy_plan_action(asy_db_text(x->n, 1)) == x->action; x->n++)
	{
		bool		isnull;

		x->item[x->n] = Int64GetDatum(asy_db_int64(x->n, 2));
		x->user_id[x->n] = datumCopy(asy_db_value(x->n, 3, &isnull), false, UUID_LEN);
		x->changes[x->n] = datumCopy(asy_db_value(x->n, 4, &isnull), false, -1);
	}
	return x;
}

/* Which columns of profiles the changes name. */
static void
find_columns(Batch *x)
{
	Pick		all = {.batch = x, .at = palloc(sizeof(int) * x->n), .n = x->n};
	Oid			types[] = {JSONBARRAYOID};
	Datum		values[1];
	StringInfoData names;
	StringInfoData from;
	int			n;

	for (int i = 0; i < x->n; i++)
		all.at[i] = i;
	values[0] = picked_changes(&all);
	n = (int) asy_db_run("SELECT DISTINCT k.field FROM pg_catalog.unnest($1) AS s(changes), pg_catalog.jsonb_object_keys(s.changes) AS k(field) ORDER BY 1",
						 true, 1, types, values, NULL);
	x->column = palloc(sizeof(char *) * Max(n, 1));
	initStringInfo(&names);
	initStringInfo(&from);
	for (int i = 0; i < n; i++)
	{
		char	   *name = asy_db_text(i, 1);

		if (get_attnum(x->b->profiles, name) <= 0)
			continue;
		appendStringInfo(&names, "%s%s", x->ncolumns ? ", " : "", quote_identifier(name));
		appendStringInfo(&from, "%sr.%s", x->ncolumns ? ", " : "", quote_identifier(name));
		x->column[x->ncolumns++] = name;
	}
	x->columns = names.data;
	x->values = from.data;
}

/* Writes down what became of the items, and counts. */
static void
record(Batch *x)
{
	static const char *const event[ASY_NACTIONS] = {
		[ASY_ACTION_CREATE] = "profile_backfilled", [ASY_ACTION_UPDATE] = "profile_updated", [ASY_ACTION_DELETE] = "profile_removed"
	};
	Oid			types[] = {INT8OID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID};
	char	  **sqlstate = palloc0(sizeof(char *) * x->n);
	Datum		values[5];
	AsyEvents  *events = asy_events_new();

	for (int i = 0; i < x->n; i++)
	{
		if (x->failure[i])
		{
			sqlstate[i] = asy_sqlstate_text(x->failure[i]->sqlerrcode);
			x->message[i] = asy_failure_message(x->failure[i]);
			x->plan->counts.failed++;
		}
		else if (strcmp(x->state[i], "stale") == 0)
			x->plan->counts.stale++;
		else
		{
			x->plan->counts.done++;
			asy_events_add(events, x->user_id[i], event[x->action],
						   x->hash[i] ? psprintf("{\"plan_id\": " INT64_FORMAT ", \"hash\": \"%s\"}", x->plan->plan_id, x->hash[i])
						   : psprintf("{\"plan_id\": " INT64_FORMAT "}", x->plan->plan_id));
		}
	}
	values[0] = Int64GetDatum(x->plan->plan_id);
	values[1] = PointerGetDatum(construct_array(x->item, x->n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = asy_db_text_array((char **) x->state, x->n);
	values[3] = asy_db_text_array(sqlstate, x->n);
	values[4] = asy_db_text_array((char **) x->message, x->n);
	asy_db_run("UPDATE authsync.plan_items AS i SET state = d.state, sqlstate = d.sqlstate, message = d.message"
			   " FROM ROWS FROM (pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4), pg_catalog.unnest($5)) AS d(item, state, sqlstate, message)"
			   " WHERE i.plan_id = $1 AND i.item = d.item",
			   false, lengthof(types), types, values, NULL);
	asy_events_write(x->b, events);
}

void
asy_plan_profile_apply(AsyBinding *b, AsyPlan *plan)
{
	static const AsyParts parts = {apply_part, part_failed, NULL};
	char	   *referenced = asy_plan_profile_is_referenced(b);
	TimestampTz last_notice = GetCurrentTimestamp();
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "authsync plan items", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int64		total = 0;
	Batch	   *x;

	for (int i = 0; i < ASY_NACTIONS; i++)
		total += i == ASY_ACTION_SKIP ? 0 : plan->counts.intended[i];
	while ((x = next_batch(b, plan, referenced)) != NULL)
	{
		find_columns(x);
		asy_db_bisect(&parts, x, x->n);
		record(x);
		MemoryContextReset(context);
		CHECK_FOR_INTERRUPTS();
		if (TimestampDifferenceExceeds(last_notice, GetCurrentTimestamp(), NOTICE_EVERY_MS))
		{
			last_notice = GetCurrentTimestamp();
			ereport(NOTICE, (errmsg("plan " INT64_FORMAT ": " INT64_FORMAT " of " INT64_FORMAT " items", plan->plan_id,
									plan->counts.done + plan->counts.failed + plan->counts.stale, total)));
		}
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}
