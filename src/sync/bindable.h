/*
 * bindable.h
 *	  What may be bound, and by whom. Each raises an error that says why not.
 */
#ifndef AUTHSYNC_BINDABLE_H
#define AUTHSYNC_BINDABLE_H

#include "nodes/pg_list.h"

/* 42809 (0A000 for a foreign table): catalogs, members of extensions, temporary tables, what is no table. SPI connected. */
extern void asy_bindable_check_kind(Oid relid, const char *what);

/* 42501 without SELECT and TRIGGER; 42703, 42804 without an id of type uuid. */
extern void asy_bindable_check_users(Oid relid, Oid caller);

/* 42501 unless the caller owns the table, or is a member of its owner. */
extern void asy_bindable_check_profiles(Oid relid, Oid caller);

/* Mappings (AsyMapping) against the table: 42703, 42804, 22023. */
extern void asy_bindable_check_columns(Oid profiles, List *mappings);

#endif
