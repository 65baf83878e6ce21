/*
 * entry.h
 *	  What an entry of the audit log says of somebody coming or going.
 *
 * The trigger on the log asks here, and so does the SQL that reads the whole
 * log (authsync.read_entry): there is one definition. By one run of
 * PostgreSQL's JSON parser, where ->> would run it for each value.
 */
#ifndef AUTHSYNC_ENTRY_H
#define AUTHSYNC_ENTRY_H

#include "utils/uuid.h"

/* To be raised where something else is read from any entry: extracts of before are made anew then. */
#define ASY_ENTRY_MEANING 1

typedef struct AsyEntry
{
	const char *action;			/* one of the four that are kept */
	bool		has_user_id;
	pg_uuid_t	user_id;		/* whom it is about: traits.user_id, else actor_id */
	const char *email;			/* his, or NULL; of a deletion, actor_username is whoever deleted him */
	bool		has_actor_id;
	pg_uuid_t	actor_id;
} AsyEntry;

/* A cheap look at a payload, json or jsonb as it is stored: true of every entry that is kept, and now and then of another. */
extern bool asy_entry_may_matter(const char *payload, size_t len);

/* Of a valid JSON document. False if it is none of those that are kept. */
extern bool asy_entry_read(const char *payload, size_t len, AsyEntry *entry);

#endif
