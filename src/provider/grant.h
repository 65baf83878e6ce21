/*
 * grant.h
 *	  What drivers whose tokens come from an OAuth token endpoint share.
 */
#ifndef AUTHSYNC_GRANT_H
#define AUTHSYNC_GRANT_H

#include "provider/provider.h"

/* A form for the token endpoint; may be sent twice. */
extern AsyRequest *asy_grant_send(AsyTalk *talk, const char *url, const char *form);

/* One for client credentials (RFC 6749, 4.4), id and secret by HTTP basic; scope NULL: none. */
extern void asy_grant_client_credentials(AsyTalk *talk, const char *url, const char *id, const char *secret, const char *scope);

/* The token out of the answer. A refusal (400, 403) is one of the credentials. */
extern AsyTurn asy_grant_take(AsyTalk *talk);

/* The same with the answer's fault as it is. */
extern AsyTurn asy_grant_read(AsyTalk *talk);

/* The secret is the token itself: no question is asked. */
extern AsyTurn asy_grant_static(AsyTalk *talk, const char *token);

#endif
