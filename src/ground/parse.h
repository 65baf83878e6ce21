/*
 * parse.h
 *	  Text that others wrote, read without failing.
 */
#ifndef AUTHSYNC_PARSE_H
#define AUTHSYNC_PARSE_H

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

#endif
