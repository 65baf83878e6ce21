/*
 * foreign.h
 *	  Foreign tables as users or profiles: which of them may be, and where
 *	  they are.
 *
 * Such a table is read as the extension's owner, by his user mapping. Where
 * that leads is said by whoever owns the table and its server: a relation of
 * any name over there, a view with functions in it too; and a server's owner
 * may make a mapping for anybody. A superuser's mapping may even lead back
 * here. So both must belong to the extension's owner or to a superuser, and
 * the columns' types to the server or a superuser.
 */
#ifndef AUTHSYNC_FOREIGN_H
#define AUTHSYNC_FOREIGN_H

#include "ground/db.h"

/* Its server; InvalidOid where it is no foreign table. */
extern Oid	asy_foreign_server(Oid relid);

/* Name of that server, quoted, palloc'd. */
extern char *asy_foreign_server_name(Oid relid);

/* Whether a foreign table may be read as the extension's owner. */
extern bool asy_foreign_is_fit(Oid relid);

/* The same as an error, reader being he: 0A000 for another wrapper than postgres_fdw, 42501 for another's table, server or type. */
extern void asy_foreign_check_fit(Oid relid, const char *what, Oid reader);

/* 42704 where the table is foreign and its server has no user mapping for the role. */
extern void asy_foreign_require_mapping(Oid relid, Oid role);

/* Whether the server has a user mapping for the role, or one for PUBLIC. */
extern bool asy_foreign_has_mapping(Oid server, Oid role);

/* The line that makes one. */
extern char *asy_foreign_mapping_line(Oid server, Oid role);

/* A line that imports a table of the other side that stands beside the one this foreign table is; options may be NULL. */
extern char *asy_foreign_import(Oid relid, const char *table, const char *options);

/* The name its table has over there. */
extern const char *asy_foreign_table_name(Oid relid);

#endif
