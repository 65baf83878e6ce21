/*
 * status.c
 *	  What the status of an answer means, for all providers alike. A driver
 *	  mends what its provider means otherwise (classify).
 */
#include "postgres.h"

#include "provider/drive.h"

/* However long a provider asks to wait, after an hour it is asked again. */
#define WAIT_MAX_S 3600

const char *const *
asy_talk_secrets(const AsyTalk *talk)
{
	const AsyNamed *secrets = talk->server->secrets;
	int			n = 0;
	const char **list;

	while (secrets && secrets[n].name)
		n++;
	list = palloc0(sizeof(char *) * (n + 4));
	n = 0;
	for (int i = 0; secrets && secrets[i].name; i++)
		if (secrets[i].value && secrets[i].value[0])
			list[n++] = secrets[i].value;
	if (talk->drive && talk->drive->token)
		list[n++] = talk->drive->token;
	if (talk->in.user && (talk->in.given & ASY_BIT(ASY_PASSWORD)) && talk->in.user->value[ASY_PASSWORD].text)
		list[n++] = talk->in.user->value[ASY_PASSWORD].text;
	return list;
}

/* Seconds of a header that holds them, or a date; -1: it holds neither. */
static double
seconds_of(const char *text, const char *now)
{
	char	   *end;
	double		seconds = strtod(text, &end);
	int64		then;
	int64		today;

	if (end != text && *end == '\0')
		return seconds >= 0 ? seconds : -1;
	then = asy_http_date(text);
	today = now ? asy_http_date(now) : -1;
	if (then < 0)
		return -1;
	if (today < 0)
		today = (int64) time(NULL);
	return then > today ? (double) (then - today) : 0;
}

int
asy_status_retry_after(const AsyHttpAnswer *answer)
{
	static const char *const resets[] = {"x-ratelimit-reset", "x-rate-limit-reset", NULL};
	char	   *date = asy_http_header(answer, "date");
	char	   *after = asy_http_header(answer, "retry-after");
	double		seconds = after ? seconds_of(after, date) : -1;

	/* An instant in seconds since 1970, by the provider's own clock; a small number is meant as seconds from now. */
	for (int i = 0; seconds < 0 && resets[i]; i++)
	{
		char	   *reset = asy_http_header(answer, resets[i]);
		int64		today = date ? asy_http_date(date) : -1;
		char	   *end;
		double		at;

		if (reset == NULL)
			continue;
		at = strtod(reset, &end);
		if (end == reset || *end != '\0' || at < 0)
			continue;
		if (at > 1e12)
			at /= 1000;			/* ms */
		if (today < 0)
			today = (int64) time(NULL);
		seconds = at > 1e9 ? Max(at - (double) today, 0) + 1 : at;
	}
	return seconds < 0 ? -1 : (int) (Min(seconds, WAIT_MAX_S) * 1000);
}

int
asy_status_used_up(const AsyHttpAnswer *answer)
{
	static const char *const remaining[] = {"x-ratelimit-remaining", "x-rate-limit-remaining", NULL};

	for (int i = 0; remaining[i]; i++)
	{
		char	   *left = asy_http_header(answer, remaining[i]);

		if (left && strcmp(left, "0") == 0)
			return Max(asy_status_retry_after(answer), 0);
	}
	return 0;
}

/* Error texts as providers have them: the first that is there. */
static char *
said(const AsyJson *json, const char *const *pointers)
{
	for (int i = 0; pointers[i]; i++)
	{
		int			node = asy_json_pointer(json, 0, pointers[i]);

		if (asy_json_kind(json, node) == ASY_JSON_STRING)
			return asy_json_text(json, node);
	}
	return NULL;
}

AsyFault *
asy_status_fault(const AsyTalk *talk, int i)
{
	static const char *const codes[] = {
		"/error_code", "/errorCode", "/code", "/scimType", "/errors/0/code", "/__type", "/error", "/error/status", NULL
	};
	static const char *const texts[] = {
		"/msg", "/message", "/error_description", "/errorMessage", "/detail", "/errorCauses/0/errorSummary", "/errorSummary", "/error/message",
		"/errors/0/long_message", "/errors/0/message", "/error", NULL
	};
	AsyAnswer  *answer = &talk->answers[i];
	int			status = answer->http->status;
	AsyFaultClass class;
	AsyFault   *fault;
	char	   *text = NULL;

	if (answer->http->fault)
		return answer->http->fault;
	if (status >= 200 && status < 300)
		return NULL;
	if (status == 429)
		class = ASY_FAULT_THROTTLED;
	else if (status == 503 && asy_http_header(answer->http, "retry-after") && asy_status_retry_after(answer->http) >= 0)
		class = ASY_FAULT_THROTTLED;	/* some say on every answer when their limit is next counted anew: no reason to wait */
	else if (status >= 500)
		class = status == 504 ? ASY_FAULT_TIMEOUT : ASY_FAULT_BROKEN;
	else if (status == 401)
		class = ASY_FAULT_KEY;
	else if (status == 403)
		class = ASY_FAULT_SCOPE;
	else if (status == 404)
		class = ASY_FAULT_ADDRESS;	/* only the driver can tell that it is the user who is missing */
	else if (status == 409)
		class = ASY_FAULT_EXISTS;
	else if (status >= 300 && status < 400)
		class = ASY_FAULT_ADDRESS;
	else if (status == 405 || status == 501)
		class = ASY_FAULT_UNSUPPORTED;
	else
		class = ASY_FAULT_REJECTED;

	fault = asy_fault(class, NULL);
	fault->status = status;
	if (class == ASY_FAULT_THROTTLED)
		fault->retry_after_ms = asy_status_retry_after(answer->http);
	if (answer->has_json)
	{
		const char *const *secrets = asy_talk_secrets(talk);
		char	   *code = said(&answer->json, codes);

		text = said(&answer->json, texts);
		fault->code = code && code != text ? asy_fault_quote(code, strlen(code), secrets) : NULL;
		if (text)
			fault->detail = asy_fault_quote(text, strlen(text), secrets);
		if (fault->code && fault->detail && strcmp(fault->code, fault->detail) == 0)
			fault->code = NULL;
	}
	if (status >= 300 && status < 400)
		fault->detail = "It redirects, which is not followed: a key would go where it was not meant to.";
	else if (fault->detail == NULL && answer->http->len > 0)
		fault->detail = asy_fault_quote(answer->http->body, answer->http->len, asy_talk_secrets(talk));
	if (talk->server->provider->classify)
		talk->server->provider->classify(talk, i, fault);
	return fault;
}
