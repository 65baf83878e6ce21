/*
 * plan_profile.h
 *	  Items about profiles: what a profile holds as JSON, and items applied.
 *
 * Callers have switched to the extension's owner and connected to SPI. What
 * converts a profile's values runs as the owner of profiles.
 */
#ifndef AUTHSYNC_PLAN_PROFILE_H
#define AUTHSYNC_PLAN_PROFILE_H

#include "sync/plan_rows.h"
#include "sync/profile.h"

/* Profiles of users as they are: of user id[i], value[i] is jsonb {"column": value}, or 0 where there is none. */
typedef struct AsyValues
{
	int			n;
	Datum	   *value;
} AsyValues;

/*
 * Reads them; only columns kept equal, or all that an INSERT can fill. hold:
 * and locks them, in the order of ids, until the transaction ends.
 */
extern AsyValues *asy_plan_profile_read(AsyBinding *b, const Datum *ids, int n, bool only_kept_equal, bool hold);

/* "EXISTS (...) OR ...": over p, whether rows of other tables refer to the profile; NULL: no table can. */
extern char *asy_plan_profile_is_referenced(const AsyBinding *b);

/*
 * Applies the open items of the stored plan in its order, in the caller's
 * transaction, and counts. One whose profile has changed since is stale and
 * left; one that fails costs only itself.
 */
extern void asy_plan_profile_apply(AsyBinding *b, AsyPlan *plan);

#endif
