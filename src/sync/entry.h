/*
 * entry.h
 *	  An entry of the audit log, read in C.
 *
 * What sync/signups.c says in SQL, for one entry at a time: a statement costs
 * many times what it reads here. The two have to agree on every payload, which
 * test/pgtap/entries.sql sees to.
 */
#ifndef AUTHSYNC_ENTRY_H
#define AUTHSYNC_ENTRY_H

#include "utils/uuid.h"

typedef struct AsyEntry
{
	const char *action;			/* one of the four that are kept */
	bool		has_user_id;
	pg_uuid_t	user_id;		/* whom it is about */
	const char *email;			/* his, or NULL */
	bool		has_actor_id;
	pg_uuid_t	actor_id;
} AsyEntry;

/* A cheap look at a payload, json or jsonb as it is stored: true of every entry that is kept, and now and then of another. */
extern bool asy_entry_may_matter(const char *payload, size_t len);

/* Of a valid JSON document. False if it is none of those that are kept. */
extern bool asy_entry_read(const char *payload, size_t len, AsyEntry *entry);

#endif
