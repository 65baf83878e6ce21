/*
 * guc.c
 *	  Every setting of authsync, alphabetical.
 */
#include "postgres.h"

#include <limits.h>

#include "compat.h"
#include "ground/guc.h"

bool		asy_guc_enabled = true;
int			asy_guc_lock_timeout = 5000;
int			asy_guc_profile_lock_timeout = 1000;
bool		asy_guc_trust_bookkeeping = true;

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
