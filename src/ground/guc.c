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

int			asy_guc_brake_count = 100;
int			asy_guc_brake_floor = 100;
int			asy_guc_brake_percent = 20;
bool		asy_guc_enabled = true;
char	   *asy_guc_event_retention = NULL;
int			asy_guc_lock_timeout = 5000;
int			asy_guc_profile_lock_timeout = 1000;
char	   *asy_guc_proxy = NULL;
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
	DefineCustomIntVariable("authsync.brake_count",
							"Sets how many rows plans may remove from one side in 24 hours.",
							"A plan that would remove more waits, before its first write, for authsync.apply(plan_id, override_brake => true).",
							&asy_guc_brake_count,
							100, 0, INT_MAX,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("authsync.brake_floor",
							"Sets the size that a smaller side counts as when the brake takes its percentage.",
							NULL,
							&asy_guc_brake_floor,
							100, 0, INT_MAX,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

	DefineCustomIntVariable("authsync.brake_percent",
							"Sets the percentage of one side's rows that plans may remove in 24 hours.",
							"The lesser of this and authsync.brake_count counts.",
							&asy_guc_brake_percent,
							20, 0, 100,
							PGC_SUSET,
							0,
							NULL, NULL, NULL);

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

	DefineCustomStringVariable("authsync.proxy",
							   "Sets the proxy through which providers are reached.",
							   "As libcurl writes it: http://proxy.example.com:3128. Empty: none; proxy variables of the environment are never looked at. The proxy's own rules decide which addresses it goes to.",
							   &asy_guc_proxy,
							   "",
							   PGC_SIGHUP,
							   GUC_SUPERUSER_ONLY,
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
