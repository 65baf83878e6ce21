/*
 * bindable.h
 *	  What may be bound, and by whom. Each raises an error that says why not.
 */
#ifndef AUTHSYNC_BINDABLE_H
#define AUTHSYNC_BINDABLE_H

#include "nodes/pg_list.h"

/*
 * 42809: catalogs, members of extensions, temporary tables, what is no table. Of foreign tables 0A000 and 42501 as
 * asy_foreign_check_fit, 42704 without a user mapping. SPI connected.
 */
extern void asy_bindable_check_kind(Oid relid, const char *what, Oid extension_owner);

/* 42501 without SELECT and TRIGGER (of a foreign table SELECT); 42703, 42804 without an id of type uuid. */
extern void asy_bindable_check_users(Oid relid, Oid caller, Oid extension_owner);

/* 42501 unless the caller owns the table, or is a member of its owner. */
extern void asy_bindable_check_profiles(Oid relid, Oid caller, Oid extension_owner);

/* Mappings (AsyMapping) against the tables: 42703, 42804, 22023; 0A000 for a guard where one is foreign. */
extern void asy_bindable_check_columns(Oid users, Oid profiles, List *mappings);

#endif
