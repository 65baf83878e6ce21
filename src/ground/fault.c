/*
 * fault.c
 *	  What a provider, or the way to it, did wrong.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "ground/fault.h"

/* What each class means, in one place. %s is the server's name. */
static const struct
{
	int			sqlerrcode;
	int			tries;			/* more of them, where the same request twice does no harm */
	const char *message;
	const char *hint;
} classes[ASY_NFAULTS] = {
	[ASY_FAULT_CONNECT] = {ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, 1,
		"could not reach provider \"%s\"", "Check option url, and that this machine gets there."},
	[ASY_FAULT_FORBIDDEN_ADDRESS] = {ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, 0,
		"the address of provider \"%s\" is not allowed", "For a provider in a private network a superuser sets the server's option private_network 'on'."},
	[ASY_FAULT_TIMEOUT] = {ERRCODE_CONNECTION_FAILURE, 0,
		"provider \"%s\" did not answer in time", "Server options connect_timeout_ms and timeout_ms say how long a request may take."},
	[ASY_FAULT_BROKEN] = {ERRCODE_CONNECTION_FAILURE, 2,
		"provider \"%s\" failed", NULL},
	[ASY_FAULT_THROTTLED] = {ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, 0,
		"provider \"%s\" takes no more requests now", "Server option rate_limit bounds the requests a second; statement_timeout says how long a statement may wait."},
	[ASY_FAULT_KEY] = {ERRCODE_INVALID_AUTHORIZATION_SPECIFICATION, 0,
		"provider \"%s\" refused the key", NULL},
	[ASY_FAULT_SCOPE] = {ERRCODE_INSUFFICIENT_PRIVILEGE, 0,
		"the key for provider \"%s\" does not allow this", NULL},
	[ASY_FAULT_MISSING] = {ERRCODE_UNDEFINED_OBJECT, 0,
		"provider \"%s\" has no such user", NULL},
	[ASY_FAULT_EXISTS] = {ERRCODE_UNIQUE_VIOLATION, 0,
		"provider \"%s\" has such a user already", NULL},
	[ASY_FAULT_REFERRED] = {ERRCODE_FOREIGN_KEY_VIOLATION, 0,
		"rows at provider \"%s\" still refer to the user", "They go first, or their foreign key says ON DELETE CASCADE."},
	[ASY_FAULT_REJECTED] = {ERRCODE_INVALID_PARAMETER_VALUE, 0,
		"provider \"%s\" rejected the user's data", NULL},
	[ASY_FAULT_UNSUPPORTED] = {ERRCODE_FEATURE_NOT_SUPPORTED, 0,
		"provider \"%s\" cannot do this", NULL},
	[ASY_FAULT_ADDRESS] = {ERRCODE_SQLCLIENT_UNABLE_TO_ESTABLISH_SQLCONNECTION, 0,
		"nothing of provider \"%s\" answers at this address", "Check the server's options url and api_path."},
	[ASY_FAULT_GARBLED] = {ERRCODE_PROTOCOL_VIOLATION, 0,
		"provider \"%s\" sent an answer that makes no sense", NULL},
	[ASY_FAULT_CUT_OFF] = {ERRCODE_PROTOCOL_VIOLATION, 2,
		"the answer of provider \"%s\" was cut off", NULL},
	[ASY_FAULT_TOO_LONG] = {ERRCODE_PROTOCOL_VIOLATION, 0,
		"the answer of provider \"%s\" is too long", NULL},
	[ASY_FAULT_INCOMPLETE] = {ERRCODE_PROTOCOL_VIOLATION, 0,
		"the listing of provider \"%s\" is not complete", "Nothing was concluded from it; ask again."},
};

char *
asy_format(const char *format, va_list args)
{
	StringInfoData text;

	initStringInfo(&text);
	for (;;)
	{
		va_list		again;
		int			needed;

		va_copy(again, args);
		needed = appendStringInfoVA(&text, format, again);
		va_end(again);
		if (needed == 0)
			return text.data;
		enlargeStringInfo(&text, needed);
	}
}

AsyFault *
asy_fault(AsyFaultClass class, const char *detail,...)
{
	AsyFault   *fault = palloc0(sizeof(AsyFault));
	va_list		args;

	fault->class = class;
	fault->retry_after_ms = -1;
	if (detail)
	{
		va_start(args, detail);
		fault->detail = asy_format(detail, args);
		va_end(args);
	}
	return fault;
}

/* How much of the text is that character: as it is, or escaped as JSON or a url has it; 0: none. */
static size_t
spells(const char *at, unsigned char c)
{
	char		escape[8];

	if ((unsigned char) at[0] == c)
		return 1;
	if (at[0] == '\\' && (unsigned char) at[1] == c)
		return 2;
	snprintf(escape, sizeof(escape), at[0] == '%' ? "%%%02x" : "\\u%04x", c);
	return pg_strncasecmp(at, escape, strlen(escape)) == 0 ? strlen(escape) : 0;
}

/* Takes every occurrence of the secret out of the text, in place. */
static void
redact(char *text, const char *secret)
{
	if (strlen(secret) < 4)
		return;					/* would blank out half the words, and is no secret */
	for (char *at = text; *at; at++)
	{
		const char *s = secret;
		char	   *end = at;
		size_t		n;

		while (*s && (n = spells(end, (unsigned char) *s)) > 0)
		{
			end += n;
			s++;
		}
		if (*s == '\0')
		{
			memcpy(at, "***", 3);
			memmove(at + 3, end, strlen(end) + 1);
			at += 2;
		}
	}
}

char *
asy_fault_quote(const char *text, size_t len, const char *const *secrets)
{
	/* Secrets first: cut off in the middle, one would not be recognised. */
	char	   *copy = pnstrdup(text, Min(len, 64 * 1024));
	char	   *out;
	size_t		n = 0;

	for (int i = 0; secrets && secrets[i]; i++)
		redact(copy, secrets[i]);
	len = Min(strlen(copy), ASY_FAULT_QUOTE_MAX + 8);
	if (!pg_verify_mbstr(PG_UTF8, copy, strlen(copy), true))
	{
		for (char *c = copy; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	len = pg_encoding_mbcliplen(PG_UTF8, copy, strlen(copy), ASY_FAULT_QUOTE_MAX);
	out = palloc(len + 1);
	for (size_t i = 0; i < len; i++)
	{
		unsigned char c = copy[i];

		if (c < ' ' || c == 0x7F)
		{
			if (n > 0 && out[n - 1] != ' ')
				out[n++] = ' ';
		}
		else
			out[n++] = c;
	}
	out[n] = '\0';
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		for (char *c = out; *c; c++)
			if (IS_HIGHBIT_SET(*c))
				*c = '?';
	}
	return out;
}

int
asy_fault_tries(AsyFaultClass class)
{
	return classes[class].tries;
}

/* "HTTP 422, email_exists: …", as far as it is known. */
static char *
what_was_said(const AsyFault *fault)
{
	StringInfoData text;

	initStringInfo(&text);
	if (fault->status != 0)
		appendStringInfo(&text, "HTTP %d", fault->status);
	if (fault->code && fault->code[0])
		appendStringInfo(&text, "%s%s", text.len ? ", " : "", fault->code);
	if (fault->detail && fault->detail[0])
		appendStringInfo(&text, "%s%s", text.len ? ": " : "", fault->detail);
	if (fault->retry_after_ms >= 0)
		appendStringInfo(&text, "%sIt asks to wait %d s.", text.len ? " " : "", (fault->retry_after_ms + 999) / 1000);
	return text.len ? text.data : NULL;
}

char *
asy_fault_line(const AsyFault *fault, const char *server)
{
	char	   *said = what_was_said(fault);
	StringInfoData text;

	initStringInfo(&text);
	appendStringInfo(&text, classes[fault->class].message, server);
	if (said)
		appendStringInfo(&text, " (%s)", said);
	return text.data;
}

void
asy_fault_throw(const AsyFault *fault, const char *server)
{
	const char *hint = fault->hint ? fault->hint : classes[fault->class].hint;
	char	   *said = what_was_said(fault);

	ereport(ERROR,
			(errcode(classes[fault->class].sqlerrcode),
			 errmsg_internal(classes[fault->class].message, server),
			 said ? errdetail_internal("%s", said) : 0,
			 hint ? errhint("%s", hint) : 0));
}
