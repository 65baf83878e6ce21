/*
 * http.h
 *	  The one way to a provider: requests over libcurl, any number at once,
 *	  never waiting in it.
 *
 * Whoever waits here stays interruptible within a tenth of a second, in every
 * phase, DNS included, and lets other sessions' DROP DATABASE by. https alone,
 * but for loopback; no redirects; no proxy but the configured one; certificates
 * and addresses are checked; sizes and times are bounded.
 *
 * A transfer belongs to the memory context that was current at its start: with
 * that it ends, wherever it is. What it points to in the request (url, headers,
 * body) must live as long; the answer lives as long as the transfer.
 */
#ifndef AUTHSYNC_HTTP_H
#define AUTHSYNC_HTTP_H

#include "ground/fault.h"

/* What a server allows: the limits of one transfer. */
typedef struct AsyHttpLimits
{
	int			connect_timeout_ms;
	int			timeout_ms;		/* for the whole transfer */
	size_t		max_bytes;		/* of the body, after decompression */
	bool		private_network;	/* may lead into private networks */
	const char *ca_file;		/* NULL: the system's */
} AsyHttpLimits;

typedef struct AsyHttpRequest
{
	const char *method;			/* GET, POST, PUT, PATCH, DELETE */
	const char *url;
	const char *const *headers; /* "Name: value", NULL at the end; may hold secrets */
	const char *body;			/* NULL: none */
	size_t		body_len;
	const char *sigv4;			/* "aws:amz:region:service", or NULL */
	const char *sigv4_key;		/* "id:secret" */
} AsyHttpRequest;

typedef struct AsyHttpAnswer
{
	int			status;			/* 0 if there was none: fault says why */
	const char *body;			/* NUL after its end */
	size_t		len;
	const char *headers;		/* as received, lines ended by CR LF */
	AsyFault   *fault;			/* NULL if an answer came, whatever its status */
	int64		wire_bytes;		/* both ways, as far as libcurl counts */
	int			took_ms;
} AsyHttpAnswer;

typedef struct AsyTransfer AsyTransfer;

/* Starts it; what cannot be started (a bad url) is done at once, with a fault. */
extern AsyTransfer *asy_http_start(const AsyHttpRequest *request, const AsyHttpLimits *limits);

/*
 * Drives all transfers of this process until one of those is done, or until
 * deadline (a time of asy_clock_ms; 0: no deadline): the index of one that is
 * done, or -1. Interrupts are served meanwhile: it may not return.
 */
extern int	asy_http_wait(AsyTransfer *const *transfers, int n, int64 deadline);

/* Whether it is done; drives nothing. */
extern bool asy_http_is_done(const AsyTransfer *transfer);

/* Of a transfer that is done. */
extern const AsyHttpAnswer *asy_http_answer(AsyTransfer *transfer);

/* Frees it before its context does. */
extern void asy_http_end(AsyTransfer *transfer);

/* The value of a header (any case), palloc'd; NULL if there is none. The last one where there are several. */
extern char *asy_http_header(const AsyHttpAnswer *answer, const char *name);

/* The same for the n-th of that name (from 0). */
extern char *asy_http_header_n(const AsyHttpAnswer *answer, const char *name, int n);

/* A date as HTTP writes it, in seconds since 1970; -1 if it is none. */
extern int64 asy_http_date(const char *text);

/* 22023 unless we would ever send anything to that url: https, or http to loopback; no userinfo. */
extern void asy_http_check_url(const char *option, const char *url);

/* scheme://host:port in lower case, the port always there; NULL if it is no url. palloc'd. */
extern char *asy_http_origin(const char *url);

/* One segment of a path, or one value of a query, percent-encoded. palloc'd. */
extern char *asy_http_encode(const char *text);

/* Wall clock free milliseconds. */
extern int64 asy_clock_ms(void);

#endif
