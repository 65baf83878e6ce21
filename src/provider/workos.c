/*
 * workos.c
 *	  WorkOS: its User Management.
 *
 * Facts that this file stands on, from its OpenAPI description and its emulator:
 *	  - a page goes on after a user, by his id; with order=asc who signs up
 *		meanwhile comes last. The end is where list_metadata.after is null. After
 *		a user who was deleted meanwhile the emulator begins anew.
 *	  - there is no count, no filter by time, and no user is ever blocked.
 *	  - metadata are strings; those sent are merged, null removes one (the
 *		emulator takes them as a whole, and keeps the null).
 *	  - PUT changes what is sent. The emulator leaves out the e-mail without a word.
 */
#include "postgres.h"

#include "provider/compose.h"

static const char *const secrets[] = {"api_key", NULL};

static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{ASY_EMAIL, "/email", 0},
	{ASY_EMAIL_VERIFIED, "/email_verified", 0},
	{ASY_PICTURE, "/profile_picture_url", 0},
	{ASY_CREATED_AT, "/created_at", 0},
	{ASY_UPDATED_AT, "/updated_at", 0},
	{ASY_LAST_SIGN_IN_AT, "/last_sign_in_at", 0},
	{0, NULL, 0}
};

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	int			metadata = asy_json_member(json, node, "metadata");

	(void) talk;
	if (wanted & ASY_BIT(ASY_NAME))
	{
		char	   *first = asy_json_text(json, asy_json_member(json, node, "first_name"));
		char	   *last = asy_json_text(json, asy_json_member(json, node, "last_name"));

		user->value[ASY_NAME].text = psprintf("%s%s%s", first ? first : "", first && last && first[0] && last[0] ? " " : "", last ? last : "");
		user->value[ASY_NAME].present = user->value[ASY_NAME].text[0] != '\0';
	}
	if ((wanted & ASY_BIT(ASY_USER_METADATA)) && asy_json_kind(json, metadata) == ASY_JSON_OBJECT)
	{
		StringInfoData strings;

		/* What was removed with null may stay as null. */
		initStringInfo(&strings);
		appendStringInfoChar(&strings, '{');
		for (int k = asy_json_first_key(json, metadata); k >= 0; k = asy_json_after_key(json, metadata, k))
			if (asy_json_kind(json, k + 1) != ASY_JSON_NULL)
				asy_json_put_raw(&strings, asy_json_text(json, k), asy_json_source(json, k + 1));
		appendStringInfoChar(&strings, '}');
		user->value[ASY_USER_METADATA].present = true;
		user->value[ASY_USER_METADATA].text = strings.data;
	}
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	const AsyAnswer *answer = &talk->answers[i];
	const char *code = fault->code ? fault->code : "";
	const char *detail = fault->detail ? fault->detail : "";

	if (fault->status == 404 && talk->in.subject && (strcmp(code, "entity_not_found") == 0 || strstr(detail, "User not found")))
		fault->class = ASY_FAULT_MISSING;
	else if (strcmp(code, "user_already_exists") == 0 ||
			 (answer->has_json && asy_json_is(&answer->json, asy_json_pointer(&answer->json, 0, "/errors/0/code"), "email_not_available")))
		fault->class = ASY_FAULT_EXISTS;
}

/* ---- lists ---- */

static void
ask_after(AsyTalk *talk, const char *id)
{
	asy_send(talk, "GET", "/users?limit=%d&order=asc%s%s", Max(Min(talk->page_size, 100), 1), id ? "&after=" : "",
			 id ? asy_http_encode(id) : "");
}

static bool
has_more(const AsyJson *json)
{
	return asy_json_kind(json, asy_json_pointer(json, 0, "/list_metadata/after")) == ASY_JSON_STRING;
}

static AsyTurn
list(AsyTalk *talk)
{
	const AsyAnswer *page = talk->step > 0 ? &talk->answers[talk->nanswers - 1] : NULL;
	const AsyJson *json = page && page->has_json ? &page->json : NULL;

	/* Without it the end could not be told. */
	if (json && page->fault == NULL && asy_json_kind(json, asy_json_member(json, 0, "data")) == ASY_JSON_ARRAY &&
		asy_json_kind(json, asy_json_member(json, 0, "list_metadata")) != ASY_JSON_OBJECT)
		return asy_fail(talk, ASY_FAULT_GARBLED, "The list does not say whether there is more (list_metadata).");
	return asy_list_after(talk, "/data", "/users", ask_after, has_more);
}

/* Whether case counts there is not said, and the emulator's does: both forms are asked for, and each finds its own. */
static AsyTurn
find(AsyTalk *talk)
{
	const char *forms[] = {asy_lower(talk->in.email), talk->in.email};

	if (talk->step == 0)
	{
		for (int i = 0; i < (strcmp(forms[0], forms[1]) == 0 ? 1 : 2); i++)
			asy_send(talk, "GET", "/users?limit=100&order=asc&email=%s", asy_http_encode(forms[i]));
		return ASY_SEND;
	}
	for (int i = 0; i < talk->nanswers; i++)
	{
		const AsyJson *json = asy_answer_json(talk, i);
		int			data = json ? asy_json_member(json, 0, "data") : -1;

		if (json == NULL)
			return ASY_FAIL;
		if (asy_json_kind(json, data) != ASY_JSON_ARRAY)
			return asy_fail(talk, ASY_FAULT_GARBLED, "There is no list of users in the answer.");
		for (int e = asy_json_first(json, data); e >= 0; e = asy_json_after(json, data, e))
		{
			char	   *email = asy_json_text(json, asy_json_member(json, e, "email"));

			if (email && strcmp(email, forms[i]) == 0 && !asy_found(talk, i, e))
				return ASY_FAIL;
		}
	}
	return ASY_DONE;
}

/* ---- one user ---- */

static AsyTurn
get(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return asy_end_with_user(talk);
}

static StringInfo
body_of(const AsyTalk *talk)
{
	const AsyValue *name = asy_given(talk, ASY_NAME);
	const char *blank = name && name->present ? strrchr(name->text, ' ') : NULL;
	const AsyValue *email = asy_given(talk, ASY_EMAIL);
	const AsyValue *verified = asy_given(talk, ASY_EMAIL_VERIFIED);
	const AsyValue *password = asy_given(talk, ASY_PASSWORD);
	StringInfo	body = makeStringInfo();

	appendStringInfoChar(body, '{');
	if (email && (email->present || talk->ask == ASY_ASK_UPDATE))
		asy_json_put_text(body, "email", email->present ? email->text : NULL);
	if (verified && verified->present)
		asy_json_put_raw(body, "email_verified", verified->flag ? "true" : "false");
	if (name && (name->present || talk->ask == ASY_ASK_UPDATE))
	{
		asy_json_put_text(body, "first_name", blank ? pnstrdup(name->text, blank - name->text) : name->present ? name->text : NULL);
		asy_json_put_text(body, "last_name", blank ? blank + 1 : NULL);
	}
	if (password && password->present)
		asy_json_put_text(body, "password", password->text);
	if (asy_given(talk, ASY_USER_METADATA))
		asy_json_put_raw(body, "metadata", asy_metadata_to_send(talk, ASY_USER_METADATA));
	appendStringInfoChar(body, '}');
	return body;
}

static AsyTurn
write_user(AsyTalk *talk)
{
	const AsyValue *email = asy_given(talk, ASY_EMAIL);
	const AsyJson *json;
	char	   *now;

	if (talk->step == 0)
	{
		AsyRequest *request = talk->ask == ASY_ASK_CREATE ? asy_send(talk, "POST", "/users") :
			asy_send(talk, "PUT", "/users/%s", asy_http_encode(talk->in.subject));

		request->repeatable = talk->ask == ASY_ASK_UPDATE;
		asy_request_body(request, body_of(talk), "application/json");
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	now = asy_json_text(json, asy_json_member(json, 0, "email"));
	if (email && email->present && now && strcmp(asy_lower(now), asy_lower(email->text)) != 0)
		return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "It took the change, and left the e-mail as it was.");
	return asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
}

static AsyTurn
delete(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		asy_send(talk, "DELETE", "/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return asy_good(talk) ? ASY_DONE : ASY_FAIL;
}

const AsyProvider asy_provider_workos = {
	.name = "workos",
	.title = "WorkOS",
	.api_path = "/user_management",
	.secrets = secrets,
	.page_size = 100,
	.page_max = 100,
	.concurrency = 4,
	.merge = ASY_MERGES_KEYS,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_NAME) | ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_CREATE] = write_user,
		[ASY_ASK_UPDATE] = write_user,
		[ASY_ASK_DELETE] = delete,
	},
};
