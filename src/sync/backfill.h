/*
 * backfill.h
 *	  Mass changes of profiles in batches: backfill, resync, quarantine retries.
 *
 * Callers have switched to the extension's owner and connected to SPI.
 */
#ifndef AUTHSYNC_BACKFILL_H
#define AUTHSYNC_BACKFILL_H

#include "sync/plan_rows.h"
#include "sync/profile.h"

typedef enum AsyJobKind
{
	ASY_JOB_BACKFILL,			/* users that owe a profile and have none */
	ASY_JOB_RESYNC,				/* profiles that differ in a column kept equal */
	ASY_JOB_RETRY				/* quarantine rows that are due */
} AsyJobKind;

typedef struct AsyJob
{
	AsyJobKind	kind;
	AsyPlan		plan;			/* by rule (backfill) or listed as it is done (resync); not stored: none */
	Datum	   *ids;			/* users to do, ascending */
	int64		n;
	int64		processed;
	int64		successful;
	int64		failed;
	int64		quarantined;
} AsyJob;

/* How many there are to do. */
extern int64 asy_job_count(AsyBinding *b, AsyJobKind kind);

/* Who they are, into the current context. */
extern void asy_job_list(AsyBinding *b, AsyJob *job);

/* Stores the plan; and how it ended. */
extern void asy_job_begin(AsyBinding *b, AsyJob *job);
extern void asy_job_end(AsyJob *job, int64 remaining);

/*
 * All of it, in the caller's transaction, so many users a statement; says how
 * far it is every few seconds. A plan that is stored already is gone on with.
 * Returns how many remain.
 */
extern int64 asy_job_run(AsyBinding *b, AsyJob *job, int batch);

/*
 * Does users ids[from..from+n-1]. What was done is counted; what failed is
 * returned (NULL: nothing failed), for asy_job_note_failures in the same or a
 * later transaction.
 */
extern AsyUsers *asy_job_batch(AsyBinding *b, AsyJob *job, int64 from, int n);
extern void asy_job_note_failures(AsyBinding *b, AsyJob *job, AsyUsers *failed);

/* authsync.progress, for a statement that commits as it goes. */
extern void asy_job_show_progress(const AsyJob *job, int64 done);

#endif
