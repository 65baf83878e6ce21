/*
 * okta.c
 *	  Okta: its Users API.
 *
 * Facts that this file stands on, from the SDK and the documentation:
 *	  - the plain list leaves out who is DEPROVISIONED. A filter does not, and,
 *		unlike a search, it is consistent: so everybody is asked for as those
 *		updated since 1970.
 *	  - the next page is a url in a Link header of its own, to be followed as it is.
 *	  - GET takes a login for an id, and "me": who comes back is looked at.
 *	  - DELETE of somebody active deactivates; only the second one deletes.
 *	  - POST to a user changes what is sent; PUT empties what is not.
 *	  - whether an e-mail was verified is not told.
 *
 * A user's metadata are the profile's attributes that are no column: custom ones,
 * title, department and the like. There is no metadata of the application's own.
 * In a write they may hold login, firstName and lastName too; else a new user's
 * login is the e-mail, and a name is divided at its last blank. A changed e-mail
 * leaves the login as it was.
 *
 * Blocked is who cannot sign in until somebody acts: SUSPENDED, DEPROVISIONED, and
 * LOCKED_OUT, which nothing but an administrator (or the policy) ends. Setting
 * blocked suspends; clearing it unsuspends, unlocks or activates.
 */
#include "postgres.h"

#include "provider/provider.h"

static const char *const secrets[] = {"token", NULL};

static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{ASY_EMAIL, "/profile/email", 0},
	{ASY_PHONE, "/profile/mobilePhone", 0},
	{ASY_NAME, "/profile/displayName", 0},
	{ASY_NICKNAME, "/profile/nickName", 0},
	{ASY_CREATED_AT, "/created", 0},
	{ASY_UPDATED_AT, "/lastUpdated", 0},
	{ASY_LAST_SIGN_IN_AT, "/lastLogin", 0},
	{0, NULL, 0}
};

static bool
is_blocked(const AsyJson *json, int node)
{
	int			status = asy_json_member(json, node, "status");

	return asy_json_is(json, status, "SUSPENDED") || asy_json_is(json, status, "DEPROVISIONED") || asy_json_is(json, status, "LOCKED_OUT");
}

/* Members of the profile that are columns, or part of one. */
static bool
is_column(const char *key)
{
	static const char *const columns[] = {"login", "email", "mobilePhone", "displayName", "nickName", "firstName", "lastName"};

	for (size_t i = 0; i < lengthof(columns); i++)
		if (strcmp(columns[i], key) == 0)
			return true;
	return false;
}

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	int			profile = asy_json_member(json, node, "profile");

	(void) talk;
	if (wanted & ASY_BIT(ASY_BLOCKED))
	{
		user->value[ASY_BLOCKED].present = true;
		user->value[ASY_BLOCKED].flag = is_blocked(json, node);
	}
	if ((wanted & ASY_BIT(ASY_NAME)) && !user->value[ASY_NAME].present)
	{
		char	   *first = asy_json_text(json, asy_json_member(json, profile, "firstName"));
		char	   *last = asy_json_text(json, asy_json_member(json, profile, "lastName"));

		user->value[ASY_NAME].text = psprintf("%s%s%s", first ? first : "", first && last && first[0] && last[0] ? " " : "", last ? last : "");
		user->value[ASY_NAME].present = user->value[ASY_NAME].text[0] != '\0';
	}
	if ((wanted & ASY_BIT(ASY_USER_METADATA)) && asy_json_kind(json, profile) == ASY_JSON_OBJECT)
	{
		StringInfoData rest;

		/* An attribute that the org has and this user has not is null there. */
		initStringInfo(&rest);
		appendStringInfoChar(&rest, '{');
		for (int k = asy_json_first_key(json, profile); k >= 0; k = asy_json_after_key(json, profile, k))
		{
			char	   *key = asy_json_text(json, k);

			if (!is_column(key) && asy_json_kind(json, k + 1) != ASY_JSON_NULL)
				asy_json_put_raw(&rest, key, asy_json_source(json, k + 1));
		}
		appendStringInfoChar(&rest, '}');
		user->value[ASY_USER_METADATA].present = true;
		user->value[ASY_USER_METADATA].text = rest.data;
	}
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	const char *code = fault->code ? fault->code : "";
	const char *detail = fault->detail ? fault->detail : "";

	(void) i;
	if (fault->status == 404 && strcmp(code, "E0000007") == 0 && talk->in.subject)
		fault->class = ASY_FAULT_MISSING;
	else if (talk->ask == ASY_ASK_LIST && talk->step > 1 && (fault->status == 400 || fault->status == 404 || fault->status == 410))
		fault->class = ASY_FAULT_INCOMPLETE;	/* the cursor ran out */
	else if (fault->status == 400 && strstr(detail, "already exists"))
		fault->class = ASY_FAULT_EXISTS;
	else if (fault->status == 403 && (strcmp(code, "E0000001") == 0 || strcmp(code, "E0000038") == 0))
		fault->class = ASY_FAULT_REJECTED;	/* not in the user's present status */
	else if (fault->status == 403)
		fault->hint = "The token can do what the administrator can who made it.";
}

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	asy_request_header(request, "Authorization", psprintf("SSWS %s", asy_server_secret(talk->server, secrets[0])));
}

/* ---- lists ---- */

/* The url of rel="next"; NULL if there is none. Some gateways make one header of all. */
static char *
next_link(const AsyHttpAnswer *http)
{
	char	   *header;

	for (int n = 0; (header = asy_http_header_n(http, "link", n)) != NULL; n++)
		for (char *url = strchr(header, '<'); url; url = strchr(url, '<'))
		{
			char	   *end = strchr(++url, '>');
			char	   *following = end ? strchr(end, '<') : NULL;
			char	   *rel = end ? strstr(end, "rel=") : NULL;

			if (rel && (following == NULL || rel < following) &&
				(strncmp(rel, "rel=\"next\"", 10) == 0 || strncmp(rel, "rel=next", 8) == 0))
				return pnstrdup(url, end - url);
		}
	return NULL;
}

static AsyTurn
list(AsyTalk *talk)
{
	const AsyJson *json;
	char	   *next;

	if (talk->step == 0)
	{
		char	   *filter;

		if (talk->ask == ASY_ASK_FIND)
		{
			StringInfo	lower = makeStringInfo();
			StringInfo	given = makeStringInfo();

			asy_json_put_text(lower, NULL, asy_lower(talk->in.email));
			asy_json_put_text(given, NULL, talk->in.email);
			filter = psprintf(strcmp(lower->data, given->data) == 0 ? "profile.email eq %s" : "profile.email eq %s or profile.email eq %s",
							  lower->data, given->data);
		}
		else
		{
			char	   *since = talk->in.has_since ? asy_time_text(talk->in.since) : pstrdup("1970-01-01T00:00:00.000");

			/* To the millisecond, as Okta has it: cut, so that it is never later. */
			filter = psprintf("lastUpdated ge \"%.*sZ\"", (int) (strchr(since, '.') - since) + 4, since);
		}
		asy_send(talk, "GET", "/users?limit=%d&filter=%s", Max(Min(talk->page_size, 200), 1), asy_http_encode(filter));
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL || asy_found_all(talk, 0, 0) < 0)
		return ASY_FAIL;
	next = next_link(talk->answers[0].http);
	if (next)
		return asy_send_next(talk, next) ? ASY_SEND : ASY_FAIL;

	/* A page has a link to itself at least: without, somebody between us took them away. */
	if ((talk->step > 1 || asy_json_count(json, 0) >= Min(talk->page_size, 200)) && asy_http_header(talk->answers[0].http, "link") == NULL)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list does not say whether there is more (Link).");
	return ASY_DONE;
}

/* ---- one user ---- */

static AsyTurn
get(AsyTalk *talk)
{
	const AsyJson *json;
	char	   *id;

	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	id = asy_subject_of(talk, json, 0);
	if (id && strcmp(id, talk->in.subject) != 0)
		return ASY_DONE;		/* somebody with that login */
	return asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
}

static void
put_value(StringInfo body, const AsyTalk *talk, AsyField field, const char *name)
{
	const AsyValue *value = asy_given(talk, field);

	if (value && (value->present || talk->ask == ASY_ASK_UPDATE))
		asy_json_put_text(body, name, value->present ? value->text : NULL);
}

/* The profile and the password. */
static StringInfo
body_of(const AsyTalk *talk)
{
	const AsyValue *name = asy_given(talk, ASY_NAME);
	const AsyValue *password = asy_given(talk, ASY_PASSWORD);
	StringInfo	body = makeStringInfo();

	appendStringInfoString(body, "{\"profile\":{");
	if (talk->ask == ASY_ASK_CREATE)
		put_value(body, talk, ASY_EMAIL, "login");
	if (name && name->present)
	{
		const char *blank = strrchr(name->text, ' ');

		asy_json_put_text(body, "firstName", blank ? pnstrdup(name->text, blank - name->text) : name->text);
		asy_json_put_text(body, "lastName", blank ? blank + 1 : name->text);
	}
	if (asy_given(talk, ASY_USER_METADATA))
	{
		char	   *metadata = asy_metadata_to_send(talk, ASY_USER_METADATA);
		char	   *from = strchr(metadata, '{');
		char	   *to = strrchr(metadata, '}');

		/* Its members, among the profile's; of two with one name the later counts. */
		if (from && to)
		{
			*to = '\0';
			for (from++; *from && strchr(" \t\r\n", *from);)
				from++;
			if (*from)
				asy_json_put_raw(body, NULL, from);
		}
	}
	put_value(body, talk, ASY_EMAIL, "email");
	put_value(body, talk, ASY_PHONE, "mobilePhone");
	put_value(body, talk, ASY_NAME, "displayName");
	put_value(body, talk, ASY_NICKNAME, "nickName");
	appendStringInfoChar(body, '}');
	if (password && password->present)
	{
		asy_json_put_raw(body, "credentials", "{\"password\":{");
		asy_json_put_text(body, "value", password->text);
		appendStringInfoString(body, "}}");
	}
	appendStringInfoChar(body, '}');
	return body;
}

/* The call that makes him blocked or not; NULL if he is already. */
static const char *
lifecycle(const AsyTalk *talk, const AsyJson *json)
{
	const AsyValue *blocked = asy_given(talk, ASY_BLOCKED);
	int			status = asy_json_member(json, 0, "status");

	if (blocked == NULL || !blocked->present || blocked->flag == is_blocked(json, 0))
		return NULL;
	return blocked->flag ? "suspend" : asy_json_is(json, status, "SUSPENDED") ? "unsuspend" :
		asy_json_is(json, status, "LOCKED_OUT") ? "unlock" : "activate?sendEmail=false";
}

/* Write (or look), change the status where that is asked for, look again. */
static AsyTurn
write_user(AsyTalk *talk)
{
	const AsyJson *json;
	const char *call;
	char	   *id;

	if (talk->step == 0)
	{
		AsyRequest *request;

		if (talk->ask == ASY_ASK_UPDATE && (talk->in.given & ~ASY_BIT(ASY_BLOCKED)) == 0)
		{
			asy_send(talk, "GET", "/users/%s", asy_http_encode(talk->in.subject));
			return ASY_SEND;
		}
		request = talk->ask == ASY_ASK_CREATE ? asy_send(talk, "POST", "/users?activate=true") :
			asy_send(talk, "POST", "/users/%s", asy_http_encode(talk->in.subject));
		request->repeatable = talk->ask == ASY_ASK_UPDATE;
		asy_request_body(request, body_of(talk), "application/json");
		return ASY_SEND;
	}
	if (talk->step == 2)
	{
		/* The status was changed. */
		if (!asy_good(talk))
			return ASY_FAIL;
		asy_send(talk, "GET", "/users/%s", asy_http_encode(talk->state));
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	call = talk->step == 1 ? lifecycle(talk, json) : NULL;
	id = asy_subject_of(talk, json, 0);
	if (call == NULL || id == NULL)
		return asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
	talk->state = MemoryContextStrdup(talk->context, id);
	if (talk->ask == ASY_ASK_CREATE)
		talk->created = talk->state;
	asy_send(talk, "POST", "/users/%s/lifecycle/%s", asy_http_encode(id), call);
	return ASY_SEND;
}

static AsyTurn
delete(AsyTalk *talk)
{
	const AsyFault *fault = talk->step > 0 ? talk->answers[0].fault : NULL;

	/* Who was deactivated before is gone after the first. */
	if (talk->step == 2 && fault && fault->class == ASY_FAULT_MISSING)
		return ASY_DONE;
	if (!asy_good(talk))
		return ASY_FAIL;
	if (talk->step == 2)
		return ASY_DONE;
	asy_send(talk, "DELETE", "/users/%s", asy_http_encode(talk->in.subject));
	return ASY_SEND;
}

const AsyProvider asy_provider_okta = {
	.name = "okta",
	.title = "Okta",
	.api_path = "/api/v1",
	.secrets = secrets,
	.can = ASY_CAN_CHANGES,
	.page_size = 200,
	.page_max = 200,
	.concurrency = 4,
	.merge = ASY_MERGES_KEYS,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_NAME) | ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_BLOCKED) |
	ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.authorize = authorize,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = list,
		[ASY_ASK_CREATE] = write_user,
		[ASY_ASK_UPDATE] = write_user,
		[ASY_ASK_DELETE] = delete,
	},
};
