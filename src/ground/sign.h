/*
 * sign.h
 *	  Signatures that a provider asks for, and the base64 that they go in.
 */
#ifndef AUTHSYNC_SIGN_H
#define AUTHSYNC_SIGN_H

#include "compat.h"

/* palloc'd. */
extern char *asy_base64(const void *bytes, size_t len);

/* The same as URLs have it (RFC 4648, 5), without padding. */
extern char *asy_base64url(const void *bytes, size_t len);

/*
 * A JSON web token (RFC 7519) of those claims, signed RS256 with a private key
 * in PEM. palloc'd; NULL where the key is none, or no RSA key.
 */
extern char *asy_jwt_rs256(const char *claims, const char *pem);

#endif
