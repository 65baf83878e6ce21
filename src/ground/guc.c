/*
 * guc.c
 *	  Every setting of authsync, alphabetical.
 */
#include "postgres.h"

#include <limits.h>

#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "ground/guc.h"

bool		asy_guc_enabled = true;
char	   *asy_guc_event_retention = NULL;
int			asy_guc_lock_timeout = 5000;
int			asy_guc_profile_lock_timeout = 1000;
bool		asy_guc_trust_bookkeeping = true;

/* An interval that is not negative. */
static bool
check_event_retention(char **newval, void **extra pg_attribute_unused(), GucSource source pg_attribute_unused())
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool good = false;

	PG_TRY();
	{
		static const Interval zero = {0};
		Datum		value = DirectFunctionCall3(interval_in, CStringGetDatum(*newval), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));

		good = DatumGetBool(DirectFunctionCall2(interval_ge, value, IntervalPGetDatum(&zero)));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
	}
	PG_END_TRY();
	if (!good)
		GUC_check_errdetail("It is an interval such as \"90 days\"; \"0\" keeps events for good.");
	return good;
}

void
asy_guc_init(void)
{
	DefineCustomBoolVariable("authsync.enabled",
							 "Lets authsync's triggers act.",
							 "When off, every trigger of authsync does nothing, at once and without a lock.",
							 &asy_guc_enabled,
							 true,
							 PGC_SIGHUP,
							 0,
							 NULL, NULL, NULL);

	DefineCustomStringVariable("authsync.event_retention",
							   "Sets how long rows of user_events are kept.",
							   "CALL authsync.maintain() deletes older ones, in small batches. 0 keeps them for good.",
							   &asy_guc_event_retention,
							   "90 days",
							   PGC_SUSET,
							   0,
							   check_event_retention, NULL, NULL);

	DefineCustomIntVariable("authsync.lock_timeout",
							"Sets how long set-up may wait for a lock on the users or the profiles.",
							"Set-up asks again and again with short waits, so that sign-ups never queue behind it.",
							&asy_guc_lock_timeout,
							5000, 0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomIntVariable("authsync.profile_lock_timeout",
							"Sets how long a statement on the users may wait in all for locks on the profiles.",
							"Once it is spent, the profiles not yet written go to quarantine. 0 waits without limit.",
							&asy_guc_profile_lock_timeout,
							1000, 0, INT_MAX,
							PGC_SUSET,
							GUC_UNIT_MS,
							NULL, NULL, NULL);

	DefineCustomBoolVariable("authsync.trust_bookkeeping",
							 "Lets answers come from the bookkeeping while that can be trusted.",
							 "When off, every answer comes from comparing all users with all profiles.",
							 &asy_guc_trust_bookkeeping,
							 true,
							 PGC_USERSET,
							 0,
							 NULL, NULL, NULL);

	MarkGUCPrefixReserved("authsync");
}
