/*
 * http_transfer.h
 *	  What http.c and http_wait.c share: one transfer under way.
 *
 * body and headers are malloc'd, as they grow inside libcurl, where nothing
 * may throw. easy is libcurl's handle, known as such in http*.c alone.
 */
#ifndef AUTHSYNC_HTTP_TRANSFER_H
#define AUTHSYNC_HTTP_TRANSFER_H

#include "ground/http.h"

/* Why we, not libcurl, ended it; set in callbacks. */
typedef enum AsyHttpStop
{
	ASY_HTTP_GOES_ON,
	ASY_HTTP_BODY_TOO_LONG,
	ASY_HTTP_HEADERS_TOO_LONG,
	ASY_HTTP_NO_MEMORY,
	ASY_HTTP_BAD_ADDRESS
} AsyHttpStop;

typedef struct AsyHttpBuffer
{
	char	   *data;
	size_t		len;
	size_t		size;
} AsyHttpBuffer;

struct AsyTransfer
{
	void	   *easy;			/* NULL once ended, or where it could not be made */
	void	   *header_list;
	bool		in_multi;
	bool		has_fd;
	bool		done;
	AsyHttpLimits limits;
	bool		is_https;
	bool		is_loopback;	/* the url names loopback itself */
	AsyHttpStop stop;
	char		address[64];	/* that was refused */
	const char *upload;			/* the body of a POST, and how far it went */
	size_t		upload_len;
	size_t		uploaded;
	AsyHttpBuffer body;
	AsyHttpBuffer headers;
	char		error[256];		/* CURL_ERROR_SIZE */
	AsyHttpAnswer answer;
	MemoryContext context;
	MemoryContextCallback free;
};

/* http.c: fills the answer of a transfer that libcurl says is done. */
extern void asy_http_conclude(AsyTransfer *transfer, int curl_code);

/* http_url.c: takes the url apart; false: it is none, or none that we go to. origin may be NULL. */
extern bool asy_http_url_parts(const char *url, bool *https, bool *loopback, char **origin);

/* http_url.c: whether a connection may be made to that address. Neither allocates nor raises. */
struct sockaddr;
extern bool asy_http_address_allowed(const AsyTransfer *transfer, const struct sockaddr *address);

/* http_wait.c: into and out of the one loop. False: libcurl would not take it. */
extern bool asy_http_add(AsyTransfer *transfer);
extern void asy_http_remove(AsyTransfer *transfer);

#endif
