/*
 * guc.h
 *	  Every setting of authsync.
 */
#ifndef AUTHSYNC_GUC_H
#define AUTHSYNC_GUC_H

extern int	asy_guc_brake_count;			/* rows */
extern int	asy_guc_brake_floor;			/* rows */
extern int	asy_guc_brake_percent;
extern bool asy_guc_enabled;
extern char *asy_guc_event_retention;		/* an interval; 0: events are kept */
extern int	asy_guc_lock_timeout;			/* ms */
extern int	asy_guc_profile_lock_timeout;	/* ms */
extern char *asy_guc_proxy;				/* empty: none */
extern bool asy_guc_trust_bookkeeping;

extern void asy_guc_init(void);

#endif
