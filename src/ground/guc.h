/*
 * guc.h
 *	  Every setting of authsync.
 */
#ifndef AUTHSYNC_GUC_H
#define AUTHSYNC_GUC_H

extern bool asy_guc_enabled;
extern char *asy_guc_event_retention;	/* an interval; 0: events are kept */
extern bool asy_guc_trust_bookkeeping;				/* authsync.enabled */
extern int	asy_guc_lock_timeout;			/* authsync.lock_timeout, ms */
extern int	asy_guc_profile_lock_timeout;	/* authsync.profile_lock_timeout, ms */

extern void asy_guc_init(void);

#endif
