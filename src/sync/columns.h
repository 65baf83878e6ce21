/*
 * columns.h
 *	  How a column of profiles gets its value: what the users table offers,
 *	  what setup() was told, and what is found by name.
 */
#ifndef AUTHSYNC_COLUMNS_H
#define AUTHSYNC_COLUMNS_H

#include "sync/binding.h"
#include "sync/mapping.h"

/* Fills the users side of the binding (users is set). */
extern void asy_columns_resolve_users(AsyBinding *b);

/* Fills the profiles side (profiles is set); mappings as parsed. */
extern void asy_columns_resolve_profiles(AsyBinding *b, List *mappings);

/*
 * The column of profiles that holds the user's id: said, or found by foreign
 * key, name, type and unique index (of a foreign table by name and type).
 * NULL if there is none.
 */
extern char *asy_columns_find_key(Oid profiles, Oid users, List *mappings);

/*
 * Whether values of the type can be read, cast and compared as the extension's
 * owner: the server's types and those of superusers. Another's type, an enum
 * too, may bring casts, and with them code, of its own; a domain its checks.
 */
extern bool asy_columns_type_is_plain(Oid type);

/*
 * Whether a column of that name grants its owner something, so that what
 * users write about themselves must never fill it unasked.
 */
extern bool asy_columns_grants_something(const char *column);

#endif
