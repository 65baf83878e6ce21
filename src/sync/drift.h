/*
 * drift.h
 *	  Who is out of step, as SQL: by comparing everything, or by looking at
 *	  those whom the bookkeeping suspects ("kept"). Both give the same rows.
 */
#ifndef AUTHSYNC_DRIFT_H
#define AUTHSYNC_DRIFT_H

#include "sync/binding.h"

/*
 * SELECT user_id, status, auth_email, profile_email, user_created_at,
 * profile_created_at of every user who is auth_only, profile_only or
 * email_mismatch.
 */
extern char *asy_drift_rows(const AsyBinding *b, bool kept);

/* "FROM ..." of users that owe a profile and have none, m.user_id. */
extern char *asy_drift_missing(const AsyBinding *b, bool kept);

/*
 * The rows of auth_profile_mismatch that are not healthy, out of step first
 * or history only. kept_log: sign-ups come from the extract.
 */
typedef enum AsyDriftSet
{
	ASY_DRIFT,
	ASY_HISTORY					/* audit_only */
} AsyDriftSet;
extern char *asy_drift_unhealthy(const AsyBinding *b, AsyDriftSet set, bool kept, bool kept_log);

/* "FROM ..." of the candidates for audit_only by comparing everything: a.user_id. */
extern char *asy_drift_history(const AsyBinding *b, bool kept_log);

/* Scalars: how many rows there are, by the books or counted. */
extern char *asy_drift_total_users(const AsyBinding *b, bool kept);
extern char *asy_drift_total_profiles(const AsyBinding *b, bool kept);

/* Kept only: the sum of a column of the journal. */
extern char *asy_drift_sum(const char *what);

/* The bodies behind the views: as their caller, refusing where row security hides rows. */
extern char *asy_drift_signup_view(const AsyBinding *b);
extern char *asy_drift_mismatch_view(const AsyBinding *b);

#endif
