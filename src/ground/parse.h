/*
 * parse.h
 *	  Text that others wrote, read without failing.
 */
#ifndef AUTHSYNC_PARSE_H
#define AUTHSYNC_PARSE_H

#include "utils/timestamp.h"
#include "utils/uuid.h"

/* The form in which the auth server writes ids: 8-4-4-4-12 hex digits. False if it is none. */
extern bool asy_parse_uuid(const char *s, size_t len, pg_uuid_t *uuid);

/* The same, and false for the nil UUID, which stands for nobody. */
extern bool asy_parse_user_id(const char *s, size_t len, pg_uuid_t *uuid);

/*
 * The JSON document with escapes that PostgreSQL cannot turn into text (\u0000,
 * half of a surrogate pair) replaced by \ufffd, of the same length; NULL where
 * there are none.
 */
extern char *asy_parse_clean_json(const char *s, size_t len);

/*
 * A time as RFC 3339 writes it (a blank for the T, no zone for UTC and any
 * number of fractional digits are taken too; what is finer than a microsecond
 * is cut). False if it is none, or out of the server's range.
 */
extern bool asy_parse_time(const char *s, size_t len, TimestampTz *time);

/* Units (1000 a second, say) since 1970, with or without a fraction. */
extern bool asy_parse_epoch(const char *s, size_t len, int64 units_a_second, TimestampTz *time);

#endif
