/*
 * fault.h
 *	  What a provider, or the way to it, did wrong: a value for those who can
 *	  go on, an error for those who cannot. One table (fault.c) says for each
 *	  class its SQLSTATE and how many more tries it is worth.
 *
 * Faults live in the context that was current when they were made. What they
 * quote of an answer is short, printable and free of the secrets that were
 * sent; nothing else of an answer or a request ever gets in.
 */
#ifndef AUTHSYNC_FAULT_H
#define AUTHSYNC_FAULT_H

#include "compat.h"

typedef enum AsyFaultClass
{
	ASY_FAULT_CONNECT,			/* no way to the provider: DNS, refused, TLS */
	ASY_FAULT_FORBIDDEN_ADDRESS,	/* the name leads where we do not go */
	ASY_FAULT_TIMEOUT,
	ASY_FAULT_BROKEN,			/* 5xx: the provider failed */
	ASY_FAULT_THROTTLED,
	ASY_FAULT_KEY,				/* 401: the secret is wrong or was withdrawn */
	ASY_FAULT_SCOPE,			/* 403: the secret is good for something else */
	ASY_FAULT_MISSING,			/* the user is not there */
	ASY_FAULT_EXISTS,			/* a user like this one is */
	ASY_FAULT_REFERRED,			/* rows over there refer to the user */
	ASY_FAULT_REJECTED,			/* a value that the provider does not take */
	ASY_FAULT_UNSUPPORTED,		/* this provider cannot do that */
	ASY_FAULT_ADDRESS,			/* 404 without a word of the user: a wrong url */
	ASY_FAULT_GARBLED,			/* an answer that makes no sense */
	ASY_FAULT_CUT_OFF,			/* an answer that ends in the middle */
	ASY_FAULT_TOO_LONG,			/* an answer beyond max_response_bytes */
	ASY_FAULT_INCOMPLETE,		/* a listing that stops early */
	ASY_NFAULTS
} AsyFaultClass;

/* How much of an answer a fault may quote, in bytes. */
#define ASY_FAULT_QUOTE_MAX 200

typedef struct AsyFault
{
	AsyFaultClass class;
	int			status;			/* HTTP status; 0 if there was no answer */
	int			retry_after_ms; /* -1: the provider did not say */
	char	   *code;			/* the provider's own word for it; NULL if none */
	char	   *detail;			/* a sentence; NULL if none */
	char	   *hint;			/* NULL: the class's own */
} AsyFault;

/* A fault with a sentence (printf-like) as its detail. */
extern AsyFault *asy_fault(AsyFaultClass class, const char *detail,...) pg_attribute_printf(2, 3);

/*
 * Text of the other side, fit to be quoted: at most ASY_FAULT_QUOTE_MAX bytes,
 * one line, in the database's encoding, every secret of the NULL-terminated
 * list replaced by ***. palloc'd.
 */
extern char *asy_fault_quote(const char *text, size_t len, const char *const *secrets);

/* How often a request that failed so is sent again at once, where that does no harm. */
extern int	asy_fault_tries(AsyFaultClass class);

/* What printf would write, palloc'd. */
extern char *asy_format(const char *format, va_list args) pg_attribute_printf(1, 0);

/* One line without SQLSTATE, for a detail or a status: message and detail. palloc'd. */
extern char *asy_fault_line(const AsyFault *fault, const char *server);

/* Raises it as an error about that server. */
pg_noreturn extern void asy_fault_throw(const AsyFault *fault, const char *server);

#endif
