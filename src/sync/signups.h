/*
 * signups.h
 *	  What the audit log says of people who came and went, as SQL: read from
 *	  the log itself, or from the typed extract that is kept of it.
 */
#ifndef AUTHSYNC_SIGNUPS_H
#define AUTHSYNC_SIGNUPS_H

#include "sync/binding.h"

/*
 * The entries that authsync.signups keeps, with its columns, from the log;
 * condition (over a, the log) may be NULL. No rows where there is no log.
 */
extern char *asy_signups_from_log(const AsyBinding *b, const char *condition);

/* The same entries, from the extract if kept, else from the log. */
extern char *asy_signups_entries(const AsyBinding *b, bool kept);

/* The rows of signup_audit_summary. */
extern char *asy_signups_summary(const AsyBinding *b, bool kept);

/* "(...) AS x WHERE ...": those of them that are about somebody, to be grouped by x.user_id. */
extern char *asy_signups_of_users(const AsyBinding *b, bool kept);

/* Each user's earliest of them: audit_id, user_id, email, created_at. In parentheses. */
extern char *asy_signups_earliest(const AsyBinding *b, bool kept);

/* The one of a given user, from the extract: for a LATERAL join. In parentheses. */
extern char *asy_signups_earliest_of(const AsyBinding *b, const char *user_id);

#endif
