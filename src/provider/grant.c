/*
 * grant.c
 *	  Tokens from an OAuth token endpoint.
 */
#include "postgres.h"

#include "ground/sign.h"
#include "provider/grant.h"

/* A token that is a secret does not run out; it is looked at again that often. */
#define STATIC_LIFE_S 3600

AsyRequest *
asy_grant_send(AsyTalk *talk, const char *url, const char *form)
{
	AsyRequest *request = asy_send_url(talk, "POST", url);
	StringInfo	body = makeStringInfo();

	appendStringInfoString(body, form);
	asy_request_body(request, body, "application/x-www-form-urlencoded");
	request->repeatable = true;
	return request;
}

void
asy_grant_client_credentials(AsyTalk *talk, const char *url, const char *id, const char *secret, const char *scope)
{
	const char *form = scope ? psprintf("grant_type=client_credentials&scope=%s", asy_http_encode(scope)) : "grant_type=client_credentials";
	AsyRequest *request = asy_grant_send(talk, url, form);
	char	   *both = psprintf("%s:%s", asy_http_encode(id), asy_http_encode(secret));

	asy_request_header(request, "Authorization", psprintf("Basic %s", asy_base64(both, strlen(both))));
}

AsyTurn
asy_grant_take(AsyTalk *talk)
{
	AsyFault   *fault = talk->answers[0].fault;

	/* Whatever it does not like of a form that is always the same, are the credentials. */
	if (fault && (fault->status == 400 || fault->status == 403))
		fault->class = ASY_FAULT_KEY;
	return asy_grant_read(talk);
}

AsyTurn
asy_grant_read(AsyTalk *talk)
{
	const AsyJson *json;
	int64		seconds;
	char	   *token;

	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	token = asy_json_text(json, asy_json_member(json, 0, "access_token"));
	if (token == NULL || token[0] == '\0')
		return asy_fail(talk, ASY_FAULT_GARBLED, "The token endpoint's answer has no access_token.");
	talk->token = MemoryContextStrdup(talk->context, token);
	if (asy_json_int64(json, asy_json_member(json, 0, "expires_in"), &seconds))
		talk->expires_in = (int) Min(Max(seconds, 0), 7 * 86400);
	return ASY_DONE;
}

AsyTurn
asy_grant_static(AsyTalk *talk, const char *token)
{
	talk->token = MemoryContextStrdup(talk->context, token);
	talk->expires_in = STATIC_LIFE_S;
	return ASY_DONE;
}
