/*
 * trust.h
 *	  Whether the bookkeeping may be believed.
 *
 * The books say when they cannot know. They were filled under a fingerprint:
 * the tables (and their files, which TRUNCATE and a rewriting ALTER TABLE
 * replace), the mapping, and the watching triggers, each with the transaction
 * that last altered it and ENABLE ALWAYS. While that is what the catalogs
 * say now, in the very snapshot in which somebody looks, and no gap was noted
 * since, nothing can have changed unseen.
 */
#ifndef AUTHSYNC_TRUST_H
#define AUTHSYNC_TRUST_H

#include "sync/binding.h"

/* Of d and s, the rows of authsync.bookkeeping for drift and sign-ups. */
#define ASY_HISTORY_FINGERPRINT \
	"pg_catalog.concat_ws(' ', EXTRACT(epoch FROM d.filled_at), EXTRACT(epoch FROM s.filled_at))"

/* Whether this binding can have such books at all; if not, why (may be NULL to ask). */
extern bool asy_trust_is_possible(const AsyBinding *b, const char *part, const char **why);

/* A scalar SQL expression: the fingerprint now; NULL while a trigger is missing or not ENABLE ALWAYS. */
extern char *asy_trust_fingerprint(const AsyBinding *b, const char *part);

/* The query behind asy_trust_is_given: one boolean. */
extern char *asy_trust_query(const AsyBinding *b, const char *part);

/* The books of the part are complete and undisturbed, in the active snapshot. SPI connected. */
extern bool asy_trust_is_given(AsyBinding *b, const char *part);

/* ... and using them is cheaper than comparing everything, and not switched off. */
extern bool asy_trust_is_used(AsyBinding *b, const char *part);

#endif
