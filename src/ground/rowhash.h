/*
 * rowhash.h
 *	  A hash of a row as it is stored.
 */
#ifndef AUTHSYNC_ROWHASH_H
#define AUTHSYNC_ROWHASH_H

#include "access/htup.h"

/*
 * 16 hex digits, palloc'd: of the names and stored bytes of all columns that
 * are not null. No settings of the session enter, no code of the columns'
 * types runs; a column added since, empty, changes nothing.
 */
extern char *asy_rowhash_of(HeapTupleHeader row);

#endif
