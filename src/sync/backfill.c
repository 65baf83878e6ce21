/*
 * backfill.c
 *	  Mass changes of profiles in batches.
 *
 * Locks: within a transaction, rows are written in the order of user ids, so
 * two of these wait for each other but never in a circle; users are held
 * (FOR KEY SHARE) against deletion, and one that is being deleted is skipped.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "sync/backfill.h"
#include "sync/drift.h"
#include "sync/plan_profile.h"
#include "sync/progress.h"
#include "sync/record.h"
#include "sync/trust.h"
#include "sync/watch.h"

/* FROM ... of those to do, and the column that is their id. */
static char *
from_todo(AsyBinding *b, AsyJobKind kind, const char **id)
{
	char	   *differing;

	switch (kind)
	{
		case ASY_JOB_BACKFILL:
			*id = "m.user_id";
			return asy_drift_missing(b, asy_trust_is_used(b, ASY_PART_DRIFT));
		case ASY_JOB_RESYNC:
			*id = "s.user_id";
			differing = asy_sql_differing(b);
			return differing ? differing : "FROM (SELECT NULL::pg_catalog.uuid AS user_id) AS s WHERE false";
		case ASY_JOB_RETRY:
			*id = "q.user_id";
			return "FROM authsync.quarantine_rows AS q WHERE q.next_retry <= pg_catalog.now()";
	}
	return NULL;
}

static void
list_ids(AsyJob *job, const char *sql)
{
	job->n = (int64) asy_db_exec(sql);
	job->ids = palloc_extended(sizeof(Datum) * Max(job->n, 1), MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < job->n; i++)
	{
		bool		isnull;

		job->ids[i] = datumCopy(asy_db_value(i, 1, &isnull), false, UUID_LEN);
	}
	SPI_freetuptable(SPI_tuptable);
}

/*
 * Comparing would run code that is not the server's, so it is done as the
 * profiles' owner, who cannot see the users: they are handed over in arrays.
 */
#define COMPARED_AT_ONCE 10000

static void
list_differing_as_owner(AsyBinding *b, AsyJob *job)
{
	AsyJob		all = {0};

	list_ids(&all, psprintf("SELECT %s FROM %s AS u WHERE %s ORDER BY 1", b->source_expr[ASY_USER_ID], b->users_name, b->owes_expr));
	job->n = 0;
	job->ids = all.ids;
	for (int64 from = 0; from < all.n; from += COMPARED_AT_ONCE)
	{
		AsyUsers   *users = asy_users_by_ids(b, all.ids + from, (int) Min(COMPARED_AT_ONCE, all.n - from));
		int		   *pick = palloc(sizeof(int) * Max(users->n, 1));
		int		   *found = palloc(sizeof(int) * Max(users->n, 1));
		int			n;

		for (int i = 0; i < users->n; i++)
			pick[i] = i;
		n = asy_profile_differing(b, users, pick, users->n, found);
		for (int i = 0; i < n; i++)
			job->ids[job->n++] = asy_user_id(users, found[i]);
	}
}

static bool
compares_as_owner(AsyBinding *b, AsyJobKind kind)
{
	return kind == ASY_JOB_RESYNC && asy_sql_differing(b) == NULL && asy_sql_differing_of(b) != NULL;
}

int64
asy_job_count(AsyBinding *b, AsyJobKind kind)
{
	const char *id;

	if (compares_as_owner(b, kind))
	{
		AsyJob		job = {.kind = kind};

		list_differing_as_owner(b, &job);
		return job.n;
	}
	asy_db_exec(psprintf("SELECT pg_catalog.count(*) %s", from_todo(b, kind, &id)));
	return asy_db_int64(0, 1);
}

void
asy_job_list(AsyBinding *b, AsyJob *job)
{
	const char *id = NULL;
	char	   *from;

	if (compares_as_owner(b, job->kind))
	{
		list_differing_as_owner(b, job);
		return;
	}
	from = from_todo(b, job->kind, &id);
	if (job->kind == ASY_JOB_RESYNC)
	{
		list_ids(job, psprintf("SELECT %s %s ORDER BY 1", id, from));
		return;
	}

	/* A backfill tries again whoever is in quarantine, too; who is gone has no business there. */
	asy_db_exec(psprintf("DELETE FROM authsync.quarantine_rows AS q WHERE %s",
						 asy_sql_user_is_gone(b, "q.user_id", "SELECT w.user_id FROM authsync.quarantine_rows AS w")));
	list_ids(job, psprintf("SELECT %s %s%s ORDER BY 1", id, from,
						   job->kind == ASY_JOB_BACKFILL ? " UNION SELECT q.user_id FROM authsync.quarantine_rows AS q" : ""));
}

/* ---- the plan ---- */

static const char *const job_name[] = {"backfill", "resync", "retry"};

static AsyAction
action_of(const AsyJob *job)
{
	return job->kind == ASY_JOB_RESYNC ? ASY_ACTION_UPDATE : ASY_ACTION_CREATE;
}

void
asy_job_begin(AsyBinding *b, AsyJob *job)
{
	AsyPlanCounts *c = &job->plan.counts;

	job->plan.kind = job_name[job->kind];
	job->plan.source = b->users_name;
	job->plan.target = b->profiles_name;
	job->plan.state = ASY_STATE_APPLYING;
	c->intended[action_of(job)] = job->n;
	c->source_total = c->target_total = -1;
	if (asy_trust_is_used(b, ASY_PART_DRIFT))
	{
		asy_db_exec(psprintf("SELECT %s, %s", asy_drift_total_users(b, true), asy_drift_total_profiles(b, true)));
		c->source_total = asy_db_int64(0, 1);
		c->target_total = asy_db_int64(0, 2);
	}
	asy_plan_rows_create(&job->plan);
}

void
asy_job_end(AsyJob *job, int64 remaining)
{
	job->plan.counts.done += job->successful;
	job->plan.counts.failed += job->failed;
	job->plan.remaining = remaining;
	job->plan.state = remaining > 0 ? ASY_STATE_PARTLY_APPLIED : ASY_STATE_APPLIED;
	asy_plan_rows_save(&job->plan);
}

/* ---- one batch ---- */

static void
note_done(AsyBinding *b, AsyJob *job, AsyUsers *users)
{
	AsyEvents  *events = asy_events_new();
	Datum	   *settled = palloc(sizeof(Datum) * Max(users->n, 1));
	int			n = 0;

	for (int i = 0; i < users->n; i++)
	{
		AsyOutcome	o = users->outcome[i];
		bool		made = o == ASY_CREATED || o == ASY_LINKED;

		if (o == ASY_FAILED)
			continue;
		settled[n++] = asy_user_id(users, i);
		if (made)
			asy_events_add(events, asy_user_id(users, i), "profile_backfilled",
						   users->hash[i] ? psprintf("{\"plan_id\": " INT64_FORMAT ", \"hash\": \"%s\"}", job->plan.plan_id, users->hash[i])
						   : psprintf("{\"plan_id\": " INT64_FORMAT ", \"linked\": true}", job->plan.plan_id));
		else if (o == ASY_UPDATED)
			asy_events_add(events, asy_user_id(users, i), "profile_updated",
						   psprintf("{\"plan_id\": " INT64_FORMAT "}", job->plan.plan_id));
		if (made || (o == ASY_UPDATED && job->kind != ASY_JOB_BACKFILL))
		{
			job->processed++;
			job->successful++;
		}
	}
	asy_quarantine_release(settled, n);
	asy_events_write(b, events);
}

/* Whether what the binding uses of a user is the same in both. */
static bool
same_user(const AsyUsers *x, int i, const AsyUsers *y, int j)
{
	for (int f = 0; f < ASY_NFIELDS; f++)
	{
		int16		typlen;
		bool		typbyval;

		if (x->value[f] == NULL)
			continue;
		if (x->isnull[f][i] != y->isnull[f][j])
			return false;
		get_typlenbyval(asy_field_type[f], &typlen, &typbyval);
		if (!x->isnull[f][i] && !datumIsEqual(x->value[f][i], y->value[f][j], typbyval, typlen))
			return false;
	}
	return true;
}

/*
 * Brings existing profiles in step. The users are not locked against changes,
 * so one may have changed between our reading it and our turn at its profile;
 * then we have just written its old value over the new one. So whom we wrote
 * is read once more: from now on a change waits for our lock on the profile,
 * and comes after us.
 */
static void
write_kept_equal(AsyBinding *b, AsyUsers *users, const int *pick, int n)
{
	AsyWrite	how = {.kind = ASY_WRITE_ALWAYS, .catch = true};
	Datum	   *ids = palloc(sizeof(Datum) * Max(n, 1));
	int		   *first = palloc(sizeof(int) * Max(n, 1));
	int		   *again = palloc(sizeof(int) * Max(n, 1));
	int			nwritten = 0;
	int			nagain = 0;
	AsyUsers   *now;

	asy_profile_write(b, users, pick, n, how);
	for (int i = 0; i < n; i++)
		if (users->outcome[pick[i]] == ASY_UPDATED)
		{
			first[nwritten] = pick[i];
			ids[nwritten++] = asy_user_id(users, pick[i]);
		}
	if (nwritten == 0)
		return;

	now = asy_users_by_ids(b, ids, nwritten);
	for (int i = 0, w = 0; i < now->n; i++)
	{
		while (memcmp(DatumGetUUIDP(ids[w]), DatumGetUUIDP(asy_user_id(now, i)), UUID_LEN) != 0)
			w++;				/* both are in the order of ids; deleted ones are left out */
		if (now->owes[i] && !same_user(users, first[w], now, i))
			again[nagain++] = i;
	}
	asy_profile_write(b, now, again, nagain, how);
}

/* The same, and what it changed becomes the plan's items: what undo goes by. */
static void
write_and_list(AsyBinding *b, AsyJob *job, AsyUsers *users, const int *pick, int n)
{
	AsyItems   *items = asy_plan_rows_items();
	Datum	   *ids = palloc(sizeof(Datum) * Max(n, 1));
	AsyValues  *before;
	AsyValues  *after;

	for (int i = 0; i < n; i++)
		ids[i] = asy_user_id(users, pick[i]);
	before = asy_plan_profile_read(b, ids, n, true, true);
	write_kept_equal(b, users, pick, n);
	after = asy_plan_profile_read(b, ids, n, true, true);
	for (int i = 0; i < n; i++)
		if (users->outcome[pick[i]] == ASY_UPDATED)
			asy_plan_rows_add(items, ASY_ACTION_UPDATE, "differs", ids[i], before->value[i], after->value[i], "done", NULL);
	asy_plan_rows_append(&job->plan, items);
}

AsyUsers *
asy_job_batch(AsyBinding *b, AsyJob *job, int64 from, int n)
{
	AsyUsers   *users = asy_users_held(b, job->ids + from, n);
	int		   *pick = palloc(sizeof(int) * Max(users->n, 1));
	int			npick = 0;
	int			failed = 0;
	AsyWrite	how = {.kind = ASY_WRITE_INSERT_HASHED, .proven = true, .catch = true};

	for (int i = 0; i < users->n; i++)
		if (users->owes[i])
			pick[npick++] = i;
	if (job->kind != ASY_JOB_RESYNC)
	{
		int			existing = 0;

		asy_profile_write(b, users, pick, npick, how);
		for (int i = 0; i < npick; i++)
			if (users->outcome[pick[i]] == ASY_EXISTS)
				pick[existing++] = pick[i];
		npick = existing;
	}
	if (job->kind == ASY_JOB_RESYNC)
		write_and_list(b, job, users, pick, npick);
	else
		write_kept_equal(b, users, pick, npick);

	note_done(b, job, users);
	for (int i = 0; i < users->n; i++)
		failed += users->outcome[i] == ASY_FAILED;
	job->processed += failed;
	job->failed += failed;
	return failed ? users : NULL;
}

void
asy_job_note_failures(AsyBinding *b, AsyJob *job, AsyUsers *users)
{
	AsyEvents  *events = asy_events_new();
	AsyItems   *items = asy_plan_rows_items();

	for (int i = 0; i < users->n; i++)
		if (users->outcome[i] == ASY_FAILED)
		{
			asy_events_add(events, asy_user_id(users, i), "profile_bootstrap_error", asy_failure_json(users->failure[i]));
			asy_plan_rows_add(items, action_of(job), NULL, asy_user_id(users, i), (Datum) 0, (Datum) 0, "failed", users->failure[i]);
			job->quarantined++;
		}
	if (job->plan.plan_id)
		asy_plan_rows_append(&job->plan, items);
	asy_quarantine_put(b, users);
	asy_events_write(b, events);
}

/* Long work in a transaction of the caller's cannot show itself to others; its own terminal sees it. */
#define NOTICE_EVERY_MS 5000

int64
asy_job_run(AsyBinding *b, AsyJob *job, int batch)
{
	TimestampTz last_notice = GetCurrentTimestamp();
	int64		remaining;

	asy_job_list(b, job);
	if (job->plan.plan_id == 0)
		asy_job_begin(b, job);
	for (int64 from = 0; from < job->n; from += batch)
	{
		MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "authsync batch", ALLOCSET_DEFAULT_SIZES);
		MemoryContext old = MemoryContextSwitchTo(context);
		AsyUsers   *failed = asy_job_batch(b, job, from, (int) Min(batch, job->n - from));

		if (failed)
			asy_job_note_failures(b, job, failed);
		MemoryContextSwitchTo(old);
		MemoryContextDelete(context);
		SPI_freetuptable(SPI_tuptable);
		CHECK_FOR_INTERRUPTS();
		if (TimestampDifferenceExceeds(last_notice, GetCurrentTimestamp(), NOTICE_EVERY_MS))
		{
			last_notice = GetCurrentTimestamp();
			ereport(NOTICE, (errmsg("%s: " INT64_FORMAT " of " INT64_FORMAT " users", job_name[job->kind], Min(from + batch, job->n), job->n)));
		}
	}
	remaining = asy_job_count(b, job->kind);
	asy_job_end(job, remaining);
	return remaining;
}

void
asy_job_show_progress(const AsyJob *job, int64 done)
{
	asy_progress_show(job_name[job->kind], "writing profiles", done, job->n);
}
