/*
 * profile.c
 *	  Profiles written a set at a time.
 *
 * Each attempt is a subtransaction; where one fails it is halved until the bad
 * row is alone (k bad rows of n cost about k log n attempts). The statement
 * runs as the owner of profiles in a security-restricted context: whatever
 * hangs on that table (triggers, defaults, policies) runs with the rights of
 * the one who owns it. In such a context nothing may be left for the end of
 * the transaction, so deferrable constraints of profiles are made immediate
 * around it, by the extension's owner, who needs no right on the schema.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "portability/instr_time.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "ground/rowhash.h"
#include "sync/direct.h"
#include "sync/prepared.h"
#include "sync/profile.h"
#include "sync/watch.h"

bool		asy_profile_writing = false;

/* How deep in triggers our statement on profiles was started; -1: it inserts nothing. */
static int	inserting_at = -1;

static int
trigger_depth(void)
{
	LOCAL_FCINFO(fcinfo, 0);

	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	return DatumGetInt32(pg_trigger_depth(fcinfo));
}

bool
asy_profile_is_own_row(void)
{
	return asy_profile_writing && inserting_at >= 0 && trigger_depth() == inserting_at + 1;
}

/* ---- one attempt ---- */

static Datum
array_of(Oid type, Datum *values, bool *nulls, int n)
{
	int			dims[1] = {n};
	int			lbs[1] = {1};
	int16		typlen;
	bool		typbyval;
	char		typalign;

	get_typlenbyvalalign(type, &typlen, &typbyval, &typalign);
	return PointerGetDatum(construct_md_array(values, nulls, n ? 1 : 0, dims, lbs, type, typlen, typbyval, typalign));
}

typedef struct Attempt
{
	AsyBinding *b;
	AsyUsers   *users;
	const int  *pick;
	int			n;
	AsyWrite	how;
} Attempt;

static void
parameters(const Attempt *a, Datum *params)
{
	int			p = 0;
	Datum	   *values = palloc(sizeof(Datum) * a->n);
	bool	   *nulls = palloc(sizeof(bool) * a->n);

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (a->b->uses[f])
		{
			for (int i = 0; i < a->n; i++)
			{
				values[i] = a->users->value[f][a->pick[i]];
				nulls[i] = a->users->isnull[f][a->pick[i]];
			}
			params[p++] = array_of(asy_field_type[f], values, nulls, a->n);
		}
	pfree(values);
	pfree(nulls);
}

typedef struct KeyedPick
{
	char	   *key;
	int			user;
} KeyedPick;

static int
by_key(const void *x, const void *y)
{
	return strcmp(((const KeyedPick *) x)->key, ((const KeyedPick *) y)->key);
}

/* The users' keys as text, sorted, to find whom a RETURNING row is about. */
static KeyedPick *
keyed_picks(const Attempt *a)
{
	KeyedPick  *keyed = palloc(sizeof(KeyedPick) * a->n);

	for (int i = 0; i < a->n; i++)
	{
		keyed[i].user = a->pick[i];
		keyed[i].key = a->b->key_is_text
			? TextDatumGetCString(a->users->value[ASY_SUBJECT][a->pick[i]])
			: asy_db_uuid_text(asy_user_id(a->users, a->pick[i]));
	}
	qsort(keyed, a->n, sizeof(KeyedPick), by_key);
	return keyed;
}

/* Marks those whom the last result names in its first column. */
static void
mark_returned(const Attempt *a, KeyedPick *keyed, AsyOutcome outcome, bool with_hash)
{
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		KeyedPick	wanted = {.key = asy_db_text(r, 1)};
		KeyedPick  *found = wanted.key ? bsearch(&wanted, keyed, a->n, sizeof(KeyedPick), by_key) : NULL;
		bool		isnull;

		if (found == NULL)
			continue;			/* a trigger of the table gave the row another key */
		a->users->outcome[found->user] = outcome;
		if (outcome == ASY_CREATED)
			a->users->profile_email[found->user] = asy_db_text(r, 2);
		if (with_hash)
			a->users->hash[found->user] = asy_rowhash_of(DatumGetHeapTupleHeader(asy_db_value(r, 3, &isnull)));
	}
}

/* Profiles without a key that belong to one of these users, and to nobody else, take his id. */
static void
link_profiles(const Attempt *a, Datum *params, KeyedPick *keyed, Oid extension_owner)
{
	AsyBinding *b = a->b;
	SPIPlanPtr	linkable = asy_prepared(b, ASY_PREPARED_LINKABLE);
	Attempt		some = *a;
	int		   *pick;
	Datum	   *emails;
	Datum		param;
	int			n;
	AsyIdentity saved;

	if (linkable == NULL || asy_db_run_prepared(linkable, params) == 0)
		return;
	n = (int) SPI_processed;
	pick = palloc(sizeof(int) * n);
	emails = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
	{
		pick[i] = a->pick[asy_db_int64(i, 1) - 1];
		emails[i] = a->users->value[ASY_EMAIL][pick[i]];
	}

	/* Only the extension's owner may look at all users. */
	param = array_of(TEXTOID, emails, NULL, n);
	asy_db_become(&saved, extension_owner, true);
	asy_db_run_prepared(asy_prepared(b, ASY_PREPARED_ALONE), &param);
	asy_db_restore(&saved);

	some.n = (int) SPI_processed;
	for (int i = 0; i < some.n; i++)
		pick[i] = pick[asy_db_int64(i, 1) - 1];
	some.pick = pick;
	if (some.n > 0)
	{
		Datum		some_params[ASY_NFIELDS];

		parameters(&some, some_params);
		asy_db_run_prepared(asy_prepared(b, ASY_PREPARED_LINK), some_params);
		mark_returned(a, keyed, ASY_LINKED, false);
	}
}

/* One user's values, as the statement for one takes them. */
static void
run_insert_one(const Attempt *a)
{
	Datum		values[ASY_NFIELDS];
	char		nulls[ASY_NFIELDS + 1] = {0};
	int			n = 0;

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (a->b->uses[f])
		{
			values[n] = a->users->value[f][a->pick[0]];
			nulls[n++] = a->users->isnull[f][a->pick[0]] ? 'n' : ' ';
		}
	asy_db_run_prepared_with(asy_prepared(a->b, ASY_PREPARED_INSERT_ONE), values, nulls);
}

static void
run_insert(const Attempt *a, bool with_hash, Datum *params)
{
	int			was = inserting_at;

	PG_TRY();
	{
		inserting_at = trigger_depth();
		if (a->n == 1 && a->how.new_users && !a->how.catch)
			run_insert_one(a);
		else
			asy_db_run_prepared(asy_prepared(a->b, with_hash ? ASY_PREPARED_INSERT_HASHED : ASY_PREPARED_INSERT), params);
	}
	PG_FINALLY();
	{
		inserting_at = was;
	}
	PG_END_TRY();
}

/* Neither made nor there: a BEFORE trigger of profiles returned NULL. */
pg_noreturn static void
discarded(const Attempt *a)
{
	ereport(ERROR,
			(errcode(ERRCODE_TRIGGERED_ACTION_EXCEPTION),
			 errmsg("a trigger of %s discarded the new profile", a->b->profiles_name),
			 errhint("Look at its BEFORE INSERT triggers.")));
}

/*
 * Into foreign profiles, in batches as far as the server's options say: what
 * is there afterwards of those who had none is what was made.
 */
static void
insert_away(const Attempt *a, KeyedPick *keyed, bool with_hash)
{
	Attempt		rest = *a;
	int		   *pick = palloc(sizeof(int) * a->n);
	Datum		params[ASY_NFIELDS];

	rest.pick = pick;
	rest.n = 0;
	for (int i = 0; i < a->n; i++)
		if (a->users->outcome[a->pick[i]] == ASY_UNTOUCHED)
			pick[rest.n++] = a->pick[i];
	if (rest.n == 0)
		return;
	parameters(&rest, params);
	asy_db_run_prepared(asy_prepared(a->b, ASY_PREPARED_INSERT_AWAY), params);
	asy_db_run_prepared(asy_prepared(a->b, ASY_PREPARED_MADE_AWAY), params);
	mark_returned(a, keyed, ASY_CREATED, with_hash);
}

static void
insert_missing(const Attempt *a, Datum *params, Oid extension_owner)
{
	KeyedPick  *keyed = keyed_picks(a);
	bool		with_hash = a->how.kind == ASY_WRITE_INSERT_HASHED;
	int			made = 0;

	link_profiles(a, params, keyed, extension_owner);
	if (a->b->profiles_are_foreign)
		insert_away(a, keyed, with_hash);
	else
	{
		run_insert(a, with_hash, params);
		mark_returned(a, keyed, ASY_CREATED, with_hash);
	}
	asy_watch_made(a->b, a->users, a->pick, a->n);

	for (int i = 0; i < a->n; i++)
		if (a->users->outcome[a->pick[i]] != ASY_UNTOUCHED)
			made++;
	if (made == a->n)
		return;
	asy_db_run_prepared(asy_prepared(a->b, ASY_PREPARED_EXISTING), params);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		AsyOutcome *outcome = &a->users->outcome[a->pick[asy_db_int64(r, 1) - 1]];

		if (*outcome == ASY_UNTOUCHED)
			*outcome = ASY_EXISTS;
	}

	for (int i = 0; i < a->n; i++)
		if (a->users->outcome[a->pick[i]] == ASY_UNTOUCHED)
			discarded(a);
}

static void
update_existing(const Attempt *a, Datum *params)
{
	SPIPlanPtr	plan = asy_prepared(a->b, a->how.kind == ASY_WRITE_ALL ? ASY_PREPARED_UPDATE_ALL : ASY_PREPARED_UPDATE_ALWAYS);

	if (plan == NULL)
		return;
	asy_db_run_prepared(plan, params);
	mark_returned(a, keyed_picks(a), ASY_UPDATED, false);
}

void
asy_profile_constraints(const AsyBinding *b, bool immediate)
{
	ListCell   *lc;

	foreach(lc, immediate ? b->deferrable : b->deferrable_back)
		asy_db_exec(lfirst(lc));
}

/*
 * Making a constraint immediate fires what the transaction had left for its
 * end, so it is not done for users who have their profile already. Nor does
 * insert_away() leave them out by itself.
 */
static void
leave_out_existing(Attempt *a)
{
	AsyIdentity saved;
	Datum		params[ASY_NFIELDS];
	int		   *pick = palloc(sizeof(int) * a->n);
	int			n = 0;

	parameters(a, params);
	asy_db_become(&saved, a->b->profiles_owner, true);
	asy_db_bound_lock_waits(&saved, a->how.lock_budget_ms, false);
	asy_db_run_prepared(asy_prepared(a->b, ASY_PREPARED_EXISTING), params);
	for (uint64 r = 0; r < SPI_processed; r++)
		a->users->outcome[a->pick[asy_db_int64(r, 1) - 1]] = ASY_EXISTS;
	asy_db_restore(&saved);

	for (int i = 0; i < a->n; i++)
		if (a->users->outcome[a->pick[i]] != ASY_EXISTS)
			pick[n++] = a->pick[i];
	a->pick = pick;
	a->n = n;
}

/*
 * Without a statement. Who turns out to have a profile already is an error
 * here, and found by bisecting: one who is alone goes by the statement.
 */
static void
insert_directly(const Attempt *a)
{
	bool		was_writing = asy_profile_writing;
	bool		runs_code = asy_direct_runs_code(a->b);
	AsyIdentity saved;

	for (int i = 0; i < a->n; i++)
		a->users->outcome[a->pick[i]] = ASY_UNTOUCHED;
	(runs_code ? asy_db_become : asy_db_act_as) (&saved, a->b->profiles_owner, true);
	asy_db_bound_lock_waits(&saved, a->how.lock_budget_ms, !runs_code);
	PG_TRY();
	{
		asy_profile_writing = true;
		asy_direct_insert(a->b, a->users, a->pick, a->n, a->how.kind == ASY_WRITE_INSERT_HASHED, true);
	}
	PG_FINALLY();
	{
		asy_profile_writing = was_writing;
	}
	PG_END_TRY();
	asy_db_restore(&saved);
	asy_watch_made(a->b, a->users, a->pick, a->n);
	for (int i = 0; i < a->n; i++)
		if (a->users->outcome[a->pick[i]] == ASY_UNTOUCHED)
			discarded(a);
}

static void
attempt(Attempt *a)
{
	AsyIdentity saved;
	Datum		params[ASY_NFIELDS];
	bool		inserts = a->how.kind == ASY_WRITE_INSERT || a->how.kind == ASY_WRITE_INSERT_HASHED;
	bool		was_writing = asy_profile_writing;

	if (inserts && a->how.proven && (a->n > 1 || !a->how.catch) && asy_direct_is_possible(a->b))
	{
		insert_directly(a);
		return;
	}
	for (int i = 0; i < a->n; i++)
		a->users->outcome[a->pick[i]] = ASY_UNTOUCHED;
	if (inserts && (a->b->deferrable || a->b->profiles_are_foreign))
		leave_out_existing(a);
	if (a->n == 0)
		return;
	parameters(a, params);

	asy_profile_constraints(a->b, true);
	asy_db_become(&saved, a->b->profiles_owner, true);
	asy_db_bound_lock_waits(&saved, a->how.lock_budget_ms, false);
	PG_TRY();
	{
		asy_profile_writing = true;
		if (inserts)
			insert_missing(a, params, saved.user);
		else
			update_existing(a, params);
	}
	PG_FINALLY();
	{
		asy_profile_writing = was_writing;
	}
	PG_END_TRY();
	asy_db_restore(&saved);
	asy_profile_constraints(a->b, false);
}

/* ---- part by part ---- */

static void
attempt_part(void *arg, int from, int n)
{
	Attempt		part = *(Attempt *) arg;

	part.pick += from;
	part.n = n;
	attempt(&part);
}

static void
mark_failed(void *arg, int from, int n, AsyFailure *failure)
{
	Attempt    *a = arg;

	for (int i = from; i < from + n; i++)
	{
		a->users->outcome[a->pick[i]] = ASY_FAILED;
		a->users->failure[a->pick[i]] = failure;
	}
}

/* The budget is the whole statement's: once a lock wait has spent it, nothing more is tried. */
static bool
spent_its_budget(void *arg, const AsyFailure *failure)
{
	return failure->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE && ((Attempt *) arg)->how.lock_budget_ms > 0;
}

void
asy_profile_write(AsyBinding *b, AsyUsers *users, const int *pick, int n, AsyWrite how)
{
	static const AsyParts parts = {attempt_part, mark_failed, spent_its_budget};
	Attempt		whole = {.b = b, .users = users, .pick = pick, .n = n, .how = how};

	if (n == 0)
		return;
	if (how.catch)
		asy_db_bisect(&parts, &whole, n);
	else
		attempt(&whole);
}

typedef struct Comparison
{
	Attempt		a;
	int		   *found;
	int			nfound;
} Comparison;

static void
compare(void *arg)
{
	Comparison *c = arg;
	AsyIdentity saved;
	Datum		params[ASY_NFIELDS];
	SPIPlanPtr	plan;

	parameters(&c->a, params);
	asy_db_become(&saved, c->a.b->profiles_owner, true);
	plan = asy_prepared(c->a.b, ASY_PREPARED_DIFFERING);
	if (plan)
		asy_db_run_prepared(plan, params);
	for (uint64 r = 0; plan && r < SPI_processed; r++)
		c->found[c->nfound++] = c->a.pick[asy_db_int64(r, 1) - 1];
	asy_db_restore(&saved);
}

int
asy_profile_differing(AsyBinding *b, AsyUsers *users, const int *pick, int n, int *found)
{
	Comparison	c = {.a = {.b = b, .users = users, .pick = pick, .n = n}, .found = found};

	if (n == 0)
		return 0;
	if (asy_db_try(compare, &c) == NULL)
		return c.nfound;

	/* One cannot be compared: let the writing find out which. */
	memcpy(found, pick, sizeof(int) * n);
	return n;
}

List *
asy_profile_refusals(AsyBinding *b, AsyUsers *users, const int *pick, int n)
{
	Attempt		a = {.b = b, .users = users, .pick = pick, .n = n};
	SPIPlanPtr	plan = asy_prepared(b, ASY_PREPARED_REFUSED);
	Datum		params[ASY_NFIELDS];
	List	   *result = NIL;

	if (plan == NULL || n == 0)
		return NIL;
	parameters(&a, params);
	asy_db_run_prepared(plan, params);
	for (uint64 r = 0; r < SPI_processed; r++)
	{
		AsyRefusal *refusal = palloc(sizeof(AsyRefusal));

		refusal->position = pick[asy_db_int64(r, 1) - 1];
		refusal->column = asy_db_text(r, 2);
		result = lappend(result, refusal);
	}
	return result;
}
