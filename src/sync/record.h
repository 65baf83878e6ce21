/*
 * record.h
 *	  What is written down of users and profiles: events and quarantine.
 */
#ifndef AUTHSYNC_RECORD_H
#define AUTHSYNC_RECORD_H

#include "sync/profile.h"

/* Events gathered for one multi-row insert. */
typedef struct AsyEvents
{
	int			n;
	int			room;
	Datum	   *user_id;
	char	  **type;
	char	  **subject;
	char	  **details;		/* jsonb text */
} AsyEvents;

extern AsyEvents *asy_events_new(void);

/* details is a JSON object's text or NULL for {}. Never put personal data there. */
extern void asy_events_add(AsyEvents *events, Datum user_id, const char *type, const char *details);

/* {"sqlstate": ..., "constraint": ..., "column": ...} */
extern char *asy_failure_json(const AsyFailure *failure);

/* The message as it may be kept: without what a person typed. */
extern char *asy_failure_message(const AsyFailure *failure);

/* Writes them; as the extension's owner, SPI connected. */
extern void asy_events_write(AsyBinding *b, const AsyEvents *events);

/*
 * Deletes events older than authsync.event_retention among the first limit by
 * id, which is the order of time; how many. Less than limit: there are no more.
 */
extern int64 asy_events_trim(const char *face, int limit);

/* Whether a type is one of authsync's own. */
extern bool asy_event_is_reserved(const char *type);

/* Puts the failed ones in quarantine (or counts one more attempt), and lets those go that have a profile now. */
extern void asy_quarantine_put(AsyBinding *b, const AsyUsers *users);
extern void asy_quarantine_release(const Datum *ids, int n);

#endif
