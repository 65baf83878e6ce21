/*
 * exprs.h
 *	  What a statement computes for a row, without running the statement.
 *
 * Starting and ending a statement costs several times what a few plain
 * expressions do. So the statement is prepared as any other, and where its plan
 * is nothing but a list of expressions over one row or over parameters, those
 * are taken out of it and evaluated by themselves.
 */
#ifndef AUTHSYNC_EXPRS_H
#define AUTHSYNC_EXPRS_H

#include "executor/tuptable.h"

typedef struct AsyExprs AsyExprs;

/*
 * Of "SELECT ... FROM table AS u" (over the columns of a row of that table), or
 * "INSERT INTO table SELECT ..." over parameters (all columns of the new row, in
 * order). NULL where the plan is more than that, or would run code that is not
 * the server's own. Lives in the current context; good for as long as the
 * table's columns and their defaults are. SPI connected.
 */
extern AsyExprs *asy_exprs_prepare(const char *sql, int nargs, Oid *types);

/* How many there are. */
extern int	asy_exprs_count(const AsyExprs *exprs);

/*
 * Evaluates them over the row (NULL: none) and the parameters (NULL: none),
 * into arrays with room for all. What is passed by reference lives until the
 * next call, or as long as the row.
 */
extern void asy_exprs_evaluate(AsyExprs *exprs, TupleTableSlot *row, const Datum *params, const bool *param_nulls, Datum *values, bool *nulls);

#endif
