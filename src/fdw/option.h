/*
 * option.h
 *	  The columns of a foreign table of users.
 */
#ifndef AUTHSYNC_OPTION_H
#define AUTHSYNC_OPTION_H

#include "access/tupdesc.h"

#include "sync/server.h"

/*
 * Which field each column of the table is (by its name), ASY_NFIELDS for a
 * dropped one. 42703 for a column that is none, 42804 for a wrong type. palloc'd.
 */
extern AsyField *asy_fdw_fields(TupleDesc desc);

/* The field that a column of that relation is, by attribute number. */
extern AsyField asy_fdw_field(Oid relid, AttrNumber attnum);

/* A user's value as a column has it; false: it is null. */
extern bool asy_fdw_datum(const AuthUser *user, AsyField field, Datum *value);

#endif
