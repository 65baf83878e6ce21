/*
 * lint.h
 *	  Findings about a binding: one SQL query a check.
 */
#ifndef AUTHSYNC_LINT_H
#define AUTHSYNC_LINT_H

#include "fmgr.h"

#include "sync/binding.h"

/* Fills the caller's materialized set (severity, check_name, object, detail, hint). SPI connected, as the extension's owner. */
extern void asy_lint(FunctionCallInfo fcinfo);

#endif
