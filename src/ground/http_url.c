/*
 * http_url.c
 *	  Where requests may go: which urls, and which addresses behind their names.
 */
#include "postgres.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>

#include "mb/pg_wchar.h"
#include "utils/memutils.h"

#include "ground/http_transfer.h"

/* ---- addresses; called back by libcurl, like everything named …_cb in http.c ---- */

static bool
address4_allowed(const AsyTransfer *t, uint32 a)
{
	if ((a >> 24) == 127)
		return t->is_loopback;
	if (!t->is_https)
		return false;
	if ((a >> 24) == 0 || (a >> 16) == 0xA9FE || (a >> 28) >= 0xE)
		return false;			/* this network, link-local with the cloud's own service, multicast and above */
	if ((a >> 24) == 10 || (a >> 20) == 0xAC1 || (a >> 16) == 0xC0A8 || (a >> 22) == (0x64400000 >> 22))
		return t->limits.private_network;
	return true;
}

bool
asy_http_address_allowed(const AsyTransfer *t, const struct sockaddr *address)
{
	if (address->sa_family == AF_INET)
		return address4_allowed(t, ntohl(((const struct sockaddr_in *) address)->sin_addr.s_addr));
	if (address->sa_family == AF_INET6)
	{
		static const unsigned char loopback[16] = {[15] = 1};
		static const unsigned char mapped[12] = {[10] = 0xFF, [11] = 0xFF};
		static const unsigned char translated[12] = {[8] = 0xFF, [9] = 0xFF};
		static const unsigned char nat64[12] = {0x00, 0x64, 0xFF, 0x9B};
		static const unsigned char nat64_local[6] = {0x00, 0x64, 0xFF, 0x9B, 0x00, 0x01};
		static const unsigned char teredo[4] = {0x20, 0x01};
		static const unsigned char zero[12] = {0};
		const unsigned char *a = ((const struct sockaddr_in6 *) address)->sin6_addr.s6_addr;

		if (memcmp(a, loopback, 16) == 0)
			return t->is_loopback;
		if (memcmp(a, mapped, 12) == 0 || memcmp(a, translated, 12) == 0 || memcmp(a, nat64, 12) == 0 || memcmp(a, zero, 12) == 0)
			return address4_allowed(t, (uint32) a[12] << 24 | a[13] << 16 | a[14] << 8 | a[15]);
		if (a[0] == 0x20 && a[1] == 0x02)
			return address4_allowed(t, (uint32) a[2] << 24 | a[3] << 16 | a[4] << 8 | a[5]);	/* 6to4 */
		if (!t->is_https || memcmp(a, teredo, 4) == 0)
			return false;
		if (memcmp(a, nat64_local, 6) == 0)
			return t->limits.private_network;
		if (a[0] == 0xFF || (a[0] == 0xFE && (a[1] & 0xC0) == 0x80))
			return false;		/* multicast, link-local */
		if ((a[0] & 0xFE) == 0xFC || (a[0] == 0xFE && (a[1] & 0xC0) == 0xC0))
			return t->limits.private_network;	/* unique local, and what was site-local */
		return true;
	}
	return false;
}

/* ---- urls ---- */

static bool
host_is_loopback(const char *host)
{
	struct in_addr v4;

	if (pg_strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
		return true;
	return inet_pton(AF_INET, host, &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

bool
asy_http_url_parts(const char *url, bool *https, bool *loopback, char **origin)
{
	CURLU	   *parts = curl_url();
	char	   *scheme = NULL;
	char	   *host = NULL;
	char	   *port = NULL;
	bool		good;

	if (parts == NULL)
		return false;
	good = curl_url_set(parts, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
		curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK;
	if (good)
	{
		*https = strcmp(scheme, "https") == 0;
		*loopback = host_is_loopback(host);
		good = *https || (strcmp(scheme, "http") == 0 && *loopback);
	}
	if (good && origin)
	{
		size_t		size = strlen(scheme) + strlen(host) + strlen(port) + 5;
		char	   *text = MemoryContextAllocExtended(CurrentMemoryContext, size, MCXT_ALLOC_NO_OOM);

		if (text)
		{
			snprintf(text, size, "%s://%s:%s", scheme, host, port);
			for (char *c = text; *c; c++)
				*c = pg_ascii_tolower((unsigned char) *c);
		}
		*origin = text;
		good = text != NULL;
	}
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	curl_url_cleanup(parts);
	return good;
}

int64
asy_http_date(const char *text)
{
	return (int64) curl_getdate(text, NULL);
}

char *
asy_http_origin(const char *url)
{
	bool		https;
	bool		loopback;
	char	   *origin = NULL;

	return asy_http_url_parts(url, &https, &loopback, &origin) ? origin : NULL;
}

void
asy_http_check_url(const char *option, const char *url)
{
	bool		https;
	bool		loopback;

	if (strpbrk(url, " \t\r\n?#") || !asy_http_url_parts(url, &https, &loopback, NULL))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("option \"%s\" is no address that authsync goes to", option),
				 errdetail("It is https://, or http:// to this machine itself, a host, and perhaps a port and a path; no user, no query."),
				 errhint("For example: OPTIONS (%s 'https://auth.example.com')", option)));
}

char *
asy_http_encode(const char *text)
{
	char	   *out;
	char	   *o;

	if (GetDatabaseEncoding() != PG_UTF8)
		text = pg_server_to_any(text, strlen(text), PG_UTF8);
	o = out = palloc(strlen(text) * 3 + 1);
	for (const unsigned char *c = (const unsigned char *) text; *c; c++)
	{
		if ((*c >= 'a' && *c <= 'z') || (*c >= 'A' && *c <= 'Z') || (*c >= '0' && *c <= '9') || strchr("-._~", *c))
			*o++ = *c;
		else
			o += sprintf(o, "%%%02X", *c);
	}
	*o = '\0';
	return out;
}
