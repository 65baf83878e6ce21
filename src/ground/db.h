/*
 * db.h
 *	  The database under us: who we are, short SPI, subtransactions.
 *
 * SPI: the caller of asy_db_* has connected. Results are read from
 * SPI_tuptable before the next call. All SQL text names its objects in full.
 */
#ifndef AUTHSYNC_DB_H
#define AUTHSYNC_DB_H

#include "executor/spi.h"

#include "ground/errors.h"

/* The extension as pg_extension has it. */
typedef struct AsyExtension
{
	Oid			oid;
	Oid			owner;
	Oid			face;			/* schema of the face */
} AsyExtension;

/* Looks the extension up; false while it does not exist. */
extern bool asy_db_extension(AsyExtension *ext);

/* The same where it must be, since its own function was called. */
extern AsyExtension asy_db_own_extension(void);

/*
 * Who the session acts as, to be put back. An error puts it back as well,
 * with the (sub)transaction that it ends.
 */
typedef struct AsyIdentity
{
	Oid			user;
	int			context;
	int			guc_level;		/* 0: no setting was changed */
	int			lock_timeout;	/* -1: not changed past the settings */
} AsyIdentity;

/*
 * Acts as the role from here on, with search_path pinned to pg_catalog,
 * pg_temp. Restricted: in a security-restricted operation, for statements
 * that may run the role's own code (triggers, defaults, policies).
 */
extern void asy_db_become(AsyIdentity *saved, Oid role, bool restricted);
extern void asy_db_restore(const AsyIdentity *saved);

/* The same without the path: where nothing looks a name up, and nobody's code runs. */
extern void asy_db_act_as(AsyIdentity *saved, Oid role, bool restricted);

/*
 * Bounds lock waits until that identity is restored; 0 leaves them as they
 * are. alone: no code but ours runs meanwhile. Then the setting's own variable
 * is set (a change by the book costs as much as a small statement), which is
 * put back also where asy_db_try ends by an error.
 */
extern void asy_db_bound_lock_waits(AsyIdentity *saved, int timeout_ms, bool alone);

/* Values are written alike in every session, until that identity is restored. */
extern void asy_db_pin_formats(AsyIdentity *saved);

/*
 * Runs work(arg) in a subtransaction. NULL if it went well; else everything
 * that it did is undone and the failure, in the caller's context, says why.
 * Errors that must go on (asy_error_must_go_on) are raised again.
 */
extern AsyFailure *asy_db_try(void (*work) (void *arg), void *arg);

/*
 * Work on things 0 to n-1 that can be done part by part. do_part(arg, from, n)
 * runs in a subtransaction; where it fails, each half is tried, in order, until
 * the bad one is alone: k bad ones of n cost about k log n subtransactions.
 * failed(arg, from, n, failure) hears of what could not be done; gives_up (may
 * be NULL) of every failure: true, and what is left is not tried any more.
 */
typedef struct AsyParts
{
	void		(*do_part) (void *arg, int from, int n);
	void		(*failed) (void *arg, int from, int n, AsyFailure *failure);
	bool		(*gives_up) (void *arg, const AsyFailure *failure);
} AsyParts;

extern void asy_db_bisect(const AsyParts *parts, void *arg, int n);

/* Parameters by position; nulls may be NULL. Returns SPI_processed. */
extern uint64 asy_db_run(const char *sql, bool read_only, int nargs, Oid *types, Datum *values, const char *nulls);

/* The same without parameters. */
extern uint64 asy_db_exec(const char *sql);
extern uint64 asy_db_query(const char *sql);

/* A prepared statement, which stays until SPI_freeplan, planned once for all parameters or as the server sees fit; and its run. */
extern SPIPlanPtr asy_db_prepare(const char *sql, int nargs, Oid *types, bool once);
extern uint64 asy_db_run_prepared(SPIPlanPtr plan, Datum *values);
extern uint64 asy_db_run_prepared_with(SPIPlanPtr plan, Datum *values, const char *nulls);

/* The same in the active snapshot, writing nothing. */
extern uint64 asy_db_look_prepared(SPIPlanPtr plan, Datum *values);

/* Column col (from 1) of row row (from 0) of the last result. */
extern Datum asy_db_value(uint64 row, int col, bool *isnull);
extern char *asy_db_text(uint64 row, int col);		/* NULL if null */
extern int64 asy_db_int64(uint64 row, int col);		/* 0 if null */
extern bool asy_db_bool(uint64 row, int col);		/* false if null */

/* Every row of the last result goes into the function's materialized set. */
extern void asy_db_return_rows(FunctionCallInfo fcinfo);

/* InvalidOid if there is no such relation. */
extern Oid asy_db_relation_owner(Oid relid);

/* schema.table, quoted, palloc'd. */
extern char *asy_db_relation_name(Oid relid);

/* A uuid for messages. */
extern char *asy_db_uuid_text(Datum uuid);

/* A text[] from C strings (NULL elements become null). */
extern Datum asy_db_text_array(char **items, int n);

#endif
