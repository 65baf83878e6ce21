/*
 * mapping.h
 *	  What setup(columns => ...) was told.
 */
#ifndef AUTHSYNC_MAPPING_H
#define AUTHSYNC_MAPPING_H

#include "nodes/pg_list.h"

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
extern List *asy_mapping_parse(const char *columns_json);

/* Whether a source is one that setup() takes. */
extern bool asy_mapping_source_is_known(const char *source);

#endif
