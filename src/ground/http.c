/*
 * http.c
 *	  A request as libcurl takes it, what may be sent where, and the answer.
 *
 * libcurl calls back in the middle of its own work: what is called back here
 * (named …_cb) neither allocates from a memory context nor raises an error. It
 * returns what makes libcurl stop, and leaves the reason in the transfer.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include "storage/fd.h"
#include "utils/memutils.h"

#include "ground/guc.h"
#include "ground/http_transfer.h"

/* 7.85 names the protocols by text, 7.87 leaves a name's thread behind instead of waiting for it. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "authsync needs libcurl 7.87 or newer: older ones cannot leave a look-up of a name before it ends"
#endif

/* No provider needs more; a megabyte of headers is an attack or a loop. */
#define HEADERS_MAX (64 * 1024)

/* Slower than this for so long is stalled. */
#define STALLED_BYTES_A_SECOND 100L
#define STALLED_SECONDS 15L

/* ---- called back by libcurl ---- */

static bool
append_cb(AsyTransfer *t, AsyHttpBuffer *buffer, const char *data, size_t len, size_t max, AsyHttpStop too_long)
{
	if (len > max || buffer->len > max - len)
	{
		t->stop = too_long;
		return false;
	}
	if (buffer->len + len + 1 > buffer->size)
	{
		size_t		size = Max(buffer->size * 2, buffer->len + len + 1);
		char	   *grown;

		size = Max(size, 4096);
		grown = realloc(buffer->data, size);
		if (grown == NULL)
		{
			t->stop = ASY_HTTP_NO_MEMORY;
			return false;
		}
		buffer->data = grown;
		buffer->size = size;
	}
	memcpy(buffer->data + buffer->len, data, len);
	buffer->len += len;
	buffer->data[buffer->len] = '\0';
	return true;
}

static size_t
body_cb(char *data, size_t size, size_t n, void *arg)
{
	AsyTransfer *t = arg;

	return append_cb(t, &t->body, data, size * n, t->limits.max_bytes, ASY_HTTP_BODY_TOO_LONG) ? size * n : 0;
}

static size_t
header_cb(char *data, size_t size, size_t n, void *arg)
{
	AsyTransfer *t = arg;

	/* A status line begins anew: what came before it was 100 Continue or the like. */
	if (size * n > 5 && memcmp(data, "HTTP/", 5) == 0)
		t->headers.len = 0;
	return append_cb(t, &t->headers, data, size * n, HEADERS_MAX, ASY_HTTP_HEADERS_TOO_LONG) ? size * n : 0;
}

static size_t
upload_cb(char *buffer, size_t size, size_t n, void *arg)
{
	AsyTransfer *t = arg;
	size_t		len = Min(size * n, t->upload_len - t->uploaded);

	memcpy(buffer, t->upload + t->uploaded, len);
	t->uploaded += len;
	return len;
}

static void
refuse_cb(AsyTransfer *t, const char *address)
{
	t->stop = ASY_HTTP_BAD_ADDRESS;
	strlcpy(t->address, address, sizeof(t->address));
}

/* Asked for each address that a name led to, right before connecting: no second look-up can differ. */
static curl_socket_t
open_cb(void *arg, curlsocktype purpose, struct curl_sockaddr *address)
{
	AsyTransfer *t = arg;

	(void) purpose;
	if (!asy_http_address_allowed(t, &address->addr))
	{
		char		text[64] = "?";

		if (address->family == AF_INET)
			inet_ntop(AF_INET, &((struct sockaddr_in *) &address->addr)->sin_addr, text, sizeof(text));
		else if (address->family == AF_INET6)
			inet_ntop(AF_INET6, &((struct sockaddr_in6 *) &address->addr)->sin6_addr, text, sizeof(text));
		refuse_cb(t, text);
		return CURL_SOCKET_BAD;
	}
	return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Asked also where an open connection is used again, which another server's wider rules may have made. */
static int
before_request_cb(void *arg, char *address, char *local, int port, int local_port)
{
	AsyTransfer *t = arg;
	struct sockaddr_in v4 = {.sin_family = AF_INET};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
	bool		allowed = false;

	(void) local;
	(void) port;
	(void) local_port;
	if (inet_pton(AF_INET, address, &v4.sin_addr) == 1)
		allowed = asy_http_address_allowed(t, (struct sockaddr *) &v4);
	else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1)
		allowed = asy_http_address_allowed(t, (struct sockaddr *) &v6);
	if (allowed)
		return CURL_PREREQFUNC_OK;
	refuse_cb(t, address);
	return CURL_PREREQFUNC_ABORT;
}

/* ---- a transfer's life ---- */

static void
free_transfer(void *arg)
{
	AsyTransfer *t = arg;

	if (t->easy)
		asy_http_remove(t);
	free(t->body.data);
	free(t->headers.data);
	t->body.data = t->headers.data = NULL;
	if (t->has_fd)
		ReleaseExternalFD();
	t->has_fd = false;
}

void
asy_http_end(AsyTransfer *t)
{
	free_transfer(t);
}

static void
not_started(AsyTransfer *t, AsyFaultClass class, const char *why)
{
	MemoryContext old = MemoryContextSwitchTo(t->context);

	t->answer.fault = asy_fault(class, "%s", why);
	t->answer.body = t->answer.headers = "";
	t->done = true;
	MemoryContextSwitchTo(old);
}

static bool
set_options(AsyTransfer *t, const AsyHttpRequest *r)
{
	CURL	   *easy = t->easy;
	struct curl_slist *list = NULL;
	bool		get = strcmp(r->method, "GET") == 0 && r->body == NULL;

	for (int i = 0; r->headers && r->headers[i]; i++)
	{
		struct curl_slist *longer = curl_slist_append(list, r->headers[i]);

		if (longer == NULL)
		{
			curl_slist_free_all(list);
			return false;
		}
		list = longer;
	}
	/* Takes the header out that libcurl would wait for an answer to; where it signs, it would sign this too. */
	if (r->sigv4 == NULL)
	{
		struct curl_slist *longer = curl_slist_append(list, "Expect:");

		if (longer == NULL)
		{
			curl_slist_free_all(list);
			return false;
		}
		list = longer;
	}
	t->header_list = list;

#define SET(option, value) do { if (curl_easy_setopt(easy, option, value) != CURLE_OK) return false; } while (0)
	SET(CURLOPT_PRIVATE, t);
	SET(CURLOPT_ERRORBUFFER, t->error);
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_QUICK_EXIT, 1L);
	SET(CURLOPT_URL, r->url);
	/* libcurl 8.14 refuses to sign a path as it is; what is signed has an API's address in it and no id. */
	if (r->sigv4 == NULL)
		SET(CURLOPT_PATH_AS_IS, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_NETRC, (long) CURL_NETRC_IGNORED);
	SET(CURLOPT_USERAGENT, "authsync/" AUTHSYNC_VERSION);
	SET(CURLOPT_HTTPHEADER, list);
	SET(CURLOPT_ACCEPT_ENCODING, "");
	SET(CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_CONNECTTIMEOUT_MS, (long) t->limits.connect_timeout_ms);
	SET(CURLOPT_TIMEOUT_MS, (long) t->limits.timeout_ms);
	SET(CURLOPT_LOW_SPEED_LIMIT, STALLED_BYTES_A_SECOND);
	SET(CURLOPT_LOW_SPEED_TIME, STALLED_SECONDS);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_2);
	if (t->limits.ca_file)
		SET(CURLOPT_CAINFO, t->limits.ca_file);
	SET(CURLOPT_PROXY, asy_guc_proxy ? asy_guc_proxy : "");
	if (asy_guc_proxy == NULL || asy_guc_proxy[0] == '\0')
	{
		SET(CURLOPT_OPENSOCKETFUNCTION, open_cb);
		SET(CURLOPT_OPENSOCKETDATA, t);
		SET(CURLOPT_PREREQFUNCTION, before_request_cb);
		SET(CURLOPT_PREREQDATA, t);
	}
	SET(CURLOPT_WRITEFUNCTION, body_cb);
	SET(CURLOPT_WRITEDATA, t);
	SET(CURLOPT_HEADERFUNCTION, header_cb);
	SET(CURLOPT_HEADERDATA, t);
	if (get)
		SET(CURLOPT_HTTPGET, 1L);
	else
	{
		if (r->body || strcmp(r->method, "POST") == 0 || strcmp(r->method, "PUT") == 0 || strcmp(r->method, "PATCH") == 0)
		{
			SET(CURLOPT_POST, 1L);
			SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) (r->body ? r->body_len : 0));
			if (r->body && strcmp(r->method, "POST") == 0 && r->sigv4 == NULL)
			{
				/* Where an open connection breaks, libcurl sends again what it can rewind; this it cannot. (A signature needs the whole.) */
				t->upload = r->body;
				t->upload_len = r->body_len;
				SET(CURLOPT_READFUNCTION, upload_cb);
				SET(CURLOPT_READDATA, t);
			}
			else
				SET(CURLOPT_POSTFIELDS, r->body ? r->body : "");
		}
		SET(CURLOPT_CUSTOMREQUEST, r->method);
	}
	if (r->sigv4)
	{
		SET(CURLOPT_AWS_SIGV4, r->sigv4);
		SET(CURLOPT_USERPWD, r->sigv4_key);
	}
#undef SET
	return true;
}

AsyTransfer *
asy_http_start(const AsyHttpRequest *request, const AsyHttpLimits *limits)
{
	static bool initialised = false;
	AsyTransfer *t = palloc0(sizeof(AsyTransfer));

	t->context = CurrentMemoryContext;
	t->limits = *limits;
	t->free.func = free_transfer;
	t->free.arg = t;
	MemoryContextRegisterResetCallback(t->context, &t->free);

	/* Here and not at load: the library may be loaded by the postmaster. */
	if (!initialised)
	{
		if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
			elog(ERROR, "libcurl could not be initialised");
		initialised = true;
	}
	for (int i = 0; request->headers && request->headers[i]; i++)
		if (strpbrk(request->headers[i], "\r\n"))
		{
			not_started(t, ASY_FAULT_REJECTED, "A value that would go into a header holds a line break.");
			return t;
		}
	if (!asy_http_url_parts(request->url, &t->is_https, &t->is_loopback, NULL))
	{
		not_started(t, ASY_FAULT_FORBIDDEN_ADDRESS, "Only https is spoken, and http with this machine itself.");
		return t;
	}
	if (!AcquireExternalFD())
	{
		not_started(t, ASY_FAULT_CONNECT, "This process may open no more files.");
		return t;
	}
	t->has_fd = true;
	t->easy = curl_easy_init();
	if (t->easy == NULL || !set_options(t, request) || !asy_http_add(t))
		not_started(t, ASY_FAULT_CONNECT, "libcurl did not take the request.");
	return t;
}

bool
asy_http_is_done(const AsyTransfer *t)
{
	return t->done;
}

const AsyHttpAnswer *
asy_http_answer(AsyTransfer *t)
{
	return &t->answer;
}

/* ---- how it ended ---- */

/* Where it was when its time was over. */
static const char *
phase_of(AsyTransfer *t)
{
	curl_off_t	name = 0;
	curl_off_t	connect = 0;
	curl_off_t	tls = 0;
	curl_off_t	first = 0;
	long		connects = 0;

	curl_easy_getinfo(t->easy, CURLINFO_NUM_CONNECTS, &connects);
	curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &name);
	curl_easy_getinfo(t->easy, CURLINFO_CONNECT_TIME_T, &connect);
	curl_easy_getinfo(t->easy, CURLINFO_APPCONNECT_TIME_T, &tls);
	curl_easy_getinfo(t->easy, CURLINFO_STARTTRANSFER_TIME_T, &first);
	if (t->headers.len > 0 || t->body.len > 0)
		return "while the answer came in";
	if (connects > 0 || connect == 0)
	{
		if (name == 0)
			return "looking up the name";
		if (connect == 0)
			return "connecting";
		if (t->is_https && tls == 0)
			return "in the TLS handshake";
	}
	return "waiting for the first byte of the answer";
}

static AsyFault *
fault_of(AsyTransfer *t, CURLcode code)
{
	const char *said = t->error[0] ? t->error : curl_easy_strerror(code);
	bool		begun = t->headers.len > 0;

	switch (t->stop)
	{
		case ASY_HTTP_BODY_TOO_LONG:
			return asy_fault(ASY_FAULT_TOO_LONG, "It is longer than %zu bytes; server option max_response_bytes allows more.", t->limits.max_bytes);
		case ASY_HTTP_HEADERS_TOO_LONG:
			return asy_fault(ASY_FAULT_GARBLED, "The answer's headers are longer than %d bytes.", HEADERS_MAX);
		case ASY_HTTP_NO_MEMORY:
			return asy_fault(ASY_FAULT_GARBLED, "There was no memory for the answer.");
		case ASY_HTTP_BAD_ADDRESS:
			return asy_fault(ASY_FAULT_FORBIDDEN_ADDRESS, "The name leads to %s; nothing was sent.", t->address);
		case ASY_HTTP_GOES_ON:
			break;
	}
	switch (code)
	{
		case CURLE_OPERATION_TIMEDOUT:
			{
				curl_off_t	took = 0;
				AsyFault   *fault;

				curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &took);
				fault = asy_fault(ASY_FAULT_TIMEOUT, "It was given up after %d ms, %s (%zu bytes of the answer had come).",
								  (int) (took / 1000), phase_of(t), t->body.len);
				return fault;
			}
		case CURLE_PARTIAL_FILE:
		case CURLE_RECV_ERROR:
		case CURLE_HTTP2:
		case CURLE_HTTP2_STREAM:
			if (begun)
				return asy_fault(ASY_FAULT_CUT_OFF, "%zu bytes of it had come.", t->body.len);
			return asy_fault(ASY_FAULT_BROKEN, "The connection ended before an answer came.");
		case CURLE_GOT_NOTHING:
		case CURLE_SEND_ERROR:
		case CURLE_SEND_FAIL_REWIND:
			return asy_fault(ASY_FAULT_BROKEN, "The connection ended before an answer came.");
		case CURLE_OUT_OF_MEMORY:	/* said also of a single header beyond libcurl's own limit */
#if LIBCURL_VERSION_NUM >= 0x080600
		case CURLE_TOO_LARGE:
#endif
			return asy_fault(ASY_FAULT_GARBLED, "A header of the answer is too long, or there was no memory for it.");
		case CURLE_BAD_CONTENT_ENCODING:
		case CURLE_WEIRD_SERVER_REPLY:
		case CURLE_UNSUPPORTED_PROTOCOL:
			return asy_fault(ASY_FAULT_GARBLED, "%s.", said);
		default:
			return asy_fault(ASY_FAULT_CONNECT, "%s%s", said, said[strlen(said) - 1] == '.' ? "" : ".");
	}
}

void
asy_http_conclude(AsyTransfer *t, int curl_code)
{
	MemoryContext old = MemoryContextSwitchTo(t->context);
	AsyHttpAnswer *a = &t->answer;
	long		status = 0;
	long		sent = 0;
	long		headers = 0;
	curl_off_t	up = 0;
	curl_off_t	down = 0;
	curl_off_t	took = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	curl_easy_getinfo(t->easy, CURLINFO_HEADER_SIZE, &headers);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_UPLOAD_T, &up);
	curl_easy_getinfo(t->easy, CURLINFO_SIZE_DOWNLOAD_T, &down);
	curl_easy_getinfo(t->easy, CURLINFO_TOTAL_TIME_T, &took);
	a->wire_bytes = sent + headers + up + down;
	a->took_ms = (int) (took / 1000);
	if (curl_code != CURLE_OK)
		a->fault = fault_of(t, (CURLcode) curl_code);
	else
		a->status = (int) status;
	a->body = t->body.data ? t->body.data : "";
	a->len = t->body.len;
	a->headers = t->headers.data ? t->headers.data : "";
	t->done = true;
	MemoryContextSwitchTo(old);

	/* The connection stays with the loop, for the next request. */
	asy_http_remove(t);
	if (t->has_fd)
		ReleaseExternalFD();
	t->has_fd = false;
}

/* ---- headers ---- */

char *
asy_http_header_n(const AsyHttpAnswer *answer, const char *name, int n)
{
	size_t		len = strlen(name);

	for (const char *line = answer->headers; line && *line;)
	{
		const char *end = strpbrk(line, "\r\n");

		if (end == NULL)
			end = line + strlen(line);
		if (pg_strncasecmp(line, name, len) == 0 && line[len] == ':' && n-- == 0)
		{
			const char *value = line + len + 1;

			while (*value == ' ' || *value == '\t')
				value++;
			while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
				end--;
			return pnstrdup(value, Max(end - value, 0));
		}
		line = end + strspn(end, "\r\n");
	}
	return NULL;
}

char *
asy_http_header(const AsyHttpAnswer *answer, const char *name)
{
	char	   *last = NULL;
	char	   *next;

	for (int n = 0; (next = asy_http_header_n(answer, name, n)) != NULL; n++)
		last = next;
	return last;
}
