/*
 * users.c
 *	  Users read, field by field.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/datum.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"
#include "utils/uuid.h"

#include "ground/exprs.h"
#include "sync/prepared.h"
#include "sync/statement.h"
#include "sync/users.h"

static AsyUsers *
make_users(AsyBinding *b, int room)
{
	AsyUsers   *users = palloc0(sizeof(AsyUsers));

	room = Max(room, 1);
	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
		{
			users->value[f] = palloc(sizeof(Datum) * room);
			users->isnull[f] = palloc(sizeof(bool) * room);
		}
	users->owes = palloc(sizeof(bool) * room);
	users->gone = palloc(sizeof(bool) * room);
	users->outcome = palloc0(sizeof(AsyOutcome) * room);
	users->failure = palloc0(sizeof(AsyFailure *) * room);
	users->hash = palloc0(sizeof(char *) * room);
	users->profile_email = palloc0(sizeof(char *) * room);
	return users;
}

/* One more, from what the source query says of him. */
static void
add_user(AsyBinding *b, AsyUsers *users, const Datum *values, const bool *nulls)
{
	int			i = users->n++;
	int			col = 0;

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
		{
			users->isnull[f][i] = nulls[col];
			users->value[f][i] = nulls[col] ? (Datum) 0 : datumCopy(values[col], b->field_byval[f], b->field_len[f]);
			col++;
		}
	users->owes[i] = !nulls[col] && DatumGetBool(values[col]);
	users->gone[i] = !nulls[col + 1] && DatumGetBool(values[col + 1]);
}

static AsyUsers *
users_from_result(AsyBinding *b)
{
	int			n = (int) SPI_processed;
	AsyUsers   *users = make_users(b, n);
	Datum		values[ASY_NFIELDS + 2];
	bool		nulls[ASY_NFIELDS + 2];

	for (int i = 0; i < n; i++)
	{
		heap_deform_tuple(SPI_tuptable->vals[i], SPI_tuptable->tupdesc, values, nulls);
		add_user(b, users, values, nulls);
	}
	return users;
}

static AsyUsers *
users_of(AsyBinding *b, AsyPrepared statement, const Datum *ids, int n)
{
	Datum		values[1];

	values[0] = PointerGetDatum(construct_array((Datum *) ids, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
	asy_db_run_prepared(asy_prepared(b, statement), values);
	return users_from_result(b);
}

AsyUsers *
asy_users_by_ids(AsyBinding *b, const Datum *ids, int n)
{
	return users_of(b, ASY_PREPARED_BY_IDS, ids, n);
}

AsyUsers *
asy_users_held(AsyBinding *b, const Datum *ids, int n)
{
	return users_of(b, ASY_PREPARED_HELD, ids, n);
}

AsyUsers *
asy_users_from_new_rows(AsyBinding *b, bool left)
{
	asy_db_run_prepared(asy_prepared(b, left ? ASY_PREPARED_NEW_ROWS_LEFT : ASY_PREPARED_NEW_ROWS), NULL);
	return users_from_result(b);
}

/* ---- a trigger's new rows, without a statement ---- */

struct AsyNewUsers
{
	AsyBinding *b;
	Tuplestorestate *rows;
	int			pointer;		/* where we are in them: others read them too */
	TupleTableSlot *slot;
};

static AsyExprs *
new_row_exprs(AsyBinding *b)
{
	if (!b->new_row_is_known)
	{
		MemoryContext old;
		AsyIdentity saved;

		asy_db_become(&saved, b->ext.owner, false);
		SPI_connect();
		old = MemoryContextSwitchTo(b->context);
		b->new_row = asy_exprs_prepare(asy_sql_source(b, psprintf("%s AS u", b->users_name)), 0, NULL);
		b->new_row_is_known = true;
		MemoryContextSwitchTo(old);
		SPI_finish();
		asy_db_restore(&saved);
	}
	return b->new_row;
}

AsyNewUsers *
asy_users_begin(AsyBinding *b, const TriggerData *trigger)
{
	AsyNewUsers *reader;

	if (new_row_exprs(b) == NULL)
		return NULL;
	reader = palloc(sizeof(AsyNewUsers));
	reader->b = b;
	reader->rows = trigger->tg_newtable;
	reader->pointer = tuplestore_alloc_read_pointer(reader->rows, 0);
	tuplestore_select_read_pointer(reader->rows, reader->pointer);
	tuplestore_rescan(reader->rows);
	reader->slot = MakeSingleTupleTableSlot(RelationGetDescr(trigger->tg_relation), &TTSOpsMinimalTuple);
	return reader;
}

static int
by_id(const void *x, const void *y, void *arg)
{
	AsyUsers   *users = arg;

	return memcmp(DatumGetUUIDP(asy_user_id(users, *(const int *) x)), DatumGetUUIDP(asy_user_id(users, *(const int *) y)), UUID_LEN);
}

/* Keys that come in order find their pages in memory, and two who write many meet in one order. */
static void
sort_by_id(AsyBinding *b, AsyUsers *users)
{
	int		   *order = palloc(sizeof(int) * users->n);

	for (int i = 0; i < users->n; i++)
		order[i] = i;
	qsort_arg(order, users->n, sizeof(int), by_id, users);
#define PERMUTE(type, array) do { \
		type *sorted = palloc(sizeof(type) * users->n); \
		for (int i = 0; i < users->n; i++) \
			sorted[i] = (array)[order[i]]; \
		pfree(array); \
		(array) = sorted; \
	} while (0)
	for (int f = ASY_NFIELDS - 1; f >= 0; f--)
		if (b->uses[f])
		{
			PERMUTE(Datum, users->value[f]);
			PERMUTE(bool, users->isnull[f]);
		}
	PERMUTE(bool, users->owes);
	PERMUTE(bool, users->gone);
#undef PERMUTE
	pfree(order);
}

AsyUsers *
asy_users_next(AsyNewUsers *reader, int max)
{
	AsyBinding *b = reader->b;
	AsyUsers   *users = NULL;

	tuplestore_select_read_pointer(reader->rows, reader->pointer);
	while ((users == NULL || users->n < max) && tuplestore_gettupleslot(reader->rows, true, false, reader->slot))
	{
		Datum		values[ASY_NFIELDS + 2];
		bool		nulls[ASY_NFIELDS + 2];

		if (users == NULL)
			users = make_users(b, (int) Min(max, tuplestore_tuple_count(reader->rows)));
		asy_exprs_evaluate(b->new_row, reader->slot, NULL, NULL, values, nulls);
		add_user(b, users, values, nulls);
	}
	ExecClearTuple(reader->slot);	/* a row read from a file is in our caller's context, which may go */
	if (users && users->n > 1)
		sort_by_id(b, users);
	return users;
}

void
asy_users_end(AsyNewUsers *reader)
{
	ExecDropSingleTupleTableSlot(reader->slot);
	pfree(reader);
}
