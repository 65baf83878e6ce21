/*
 * append.h
 *	  Rows into a journal of ours, without SPI.
 *
 * For tables that are only ever appended to, written at every sign-up: a
 * statement costs several times the row it writes. Takes ROW EXCLUSIVE on the
 * table, as INSERT does; asks for no privilege.
 */
#ifndef AUTHSYNC_APPEND_H
#define AUTHSYNC_APPEND_H

typedef struct AsyAppend AsyAppend;

extern AsyAppend *asy_append_begin(Oid relid);

/*
 * The same for a table that people may have made their own: NULL where it has
 * triggers, checks, other than n columns, or an index with a condition or an
 * expression. Then a statement has to write it.
 */
extern AsyAppend *asy_append_begin_if_plain(Oid relid, int n);

/* The row is copied; it is there when asy_append_end has been called. */
extern void asy_append_row(AsyAppend *append, Datum *values, bool *nulls);
extern void asy_append_end(AsyAppend *append);

#endif
