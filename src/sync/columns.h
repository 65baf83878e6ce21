/*
 * columns.h
 *	  How a column of profiles gets its value: what the users table offers,
 *	  what setup() was told, and what is found by name.
 */
#ifndef AUTHSYNC_COLUMNS_H
#define AUTHSYNC_COLUMNS_H

#include "sync/binding.h"

/* One entry of setup(columns => ...), as said. */
typedef struct AsyMapping
{
	char	   *column;
	char	   *source;			/* NULL: none given */
	char	   *fallback;		/* "default" */
	char	   *sync;			/* once, always or NULL */
	List	   *allow;			/* char *; has_allow tells an empty list from none */
	bool		has_allow;
	bool		guard;
	bool		key;
} AsyMapping;

/* Reads the mapping. SPI must be connected. Raises 22023 where it makes no sense. */
extern List *asy_columns_parse(const char *columns_json);

/* Fills the users side of the binding (users is set). */
extern void asy_columns_resolve_users(AsyBinding *b);

/* Fills the profiles side (profiles is set); mappings as parsed. */
extern void asy_columns_resolve_profiles(AsyBinding *b, List *mappings);

/*
 * The column of profiles that holds the user's id: said, or found by foreign
 * key, name, type and unique index. NULL if there is none.
 */
extern char *asy_columns_find_key(Oid profiles, Oid users, List *mappings);

/* Whether a source is one that setup() takes. */
extern bool asy_columns_source_is_known(const char *source);

/*
 * Whether a column of that name grants its owner something, so that what
 * users write about themselves must never fill it unasked.
 */
extern bool asy_columns_grants_something(const char *column);

#endif
