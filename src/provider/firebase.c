/*
 * firebase.c
 *	  Firebase Authentication, and Google's Identity Platform that it is.
 *
 * Facts that this file stands on, from its documentation and its emulator:
 *	  - a list is ordered by id and goes on by a token; a full last page has one
 *		too, and the page after it may have no member "users" at all.
 *	  - one user is looked up by POST; nobody is HTTP 200 without "users".
 *	  - errors are HTTP 400 with a word in error/message, " : " and more behind it.
 *	  - custom claims are a string of JSON, and only an update takes them.
 *	  - no list says what changed; a user has no time of change.
 *	  - a user's JSON holds his password's hash and salt: they are taken out.
 *
 * The key is a service account's: a token is got for an assertion signed with
 * it. Secret token is sent as it is instead; the emulator wants "owner".
 */
#include "postgres.h"

#include <time.h>

#include "ground/sign.h"
#include "provider/compose.h"
#include "provider/grant.h"
#include "provider/paging.h"

static const AsyProviderOption options[] = {
	{"project_id", true, NULL, "the project whose users these are"},
	{"tenant_id", false, NULL, "the tenant of Identity Platform whose users these are"},
	{"client_email", false, NULL, "the service account, as its key file has it"},
	{"token_url", false, "https://oauth2.googleapis.com/token", "where its assertions get a token"},
	{NULL, false, NULL, NULL}
};

static const char *const secrets[] = {"private_key", "token", NULL};

static const AsyMapping mappings[] = {
	{ASY_ID, "/localId", 0},
	{ASY_EMAIL, "/email", 0},
	{ASY_PHONE, "/phoneNumber", 0},
	{ASY_NAME, "/displayName", 0},
	{ASY_PICTURE, "/photoUrl", 0},
	{ASY_CREATED_AT, "/createdAt", 1000},
	{ASY_LAST_SIGN_IN_AT, "/lastLoginAt", 1000},
	{ASY_IDENTITIES, "/providerUserInfo", 0},
	{0, NULL, 0}
};

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	static const char *const hidden[] = {"passwordHash", "salt", NULL};
	const struct
	{
		AsyField	field;
		const char *member;
	}			flags[] = {{ASY_EMAIL_VERIFIED, "emailVerified"}, {ASY_BLOCKED, "disabled"}};
	AsyJson		claims;
	char	   *text;

	(void) talk;
	for (size_t i = 0; i < lengthof(flags); i++)
		if (wanted & ASY_BIT(flags[i].field))
		{
			/* What is false is not there. */
			user->value[flags[i].field].present = true;
			asy_json_bool(json, asy_json_member(json, node, flags[i].member), &user->value[flags[i].field].flag);
		}
	if ((wanted & ASY_BIT(ASY_APP_METADATA)) &&
		(text = asy_json_text(json, asy_json_member(json, node, "customAttributes"))) != NULL && asy_index_object(text, &claims))
	{
		user->value[ASY_APP_METADATA].present = true;
		user->value[ASY_APP_METADATA].text = asy_json_source(&claims, 0);
	}
	if (wanted & ASY_BIT(ASY_RAW))
	{
		user->value[ASY_RAW].present = true;
		user->value[ASY_RAW].text = asy_object_with(json, node, "{}", hidden)->data;
	}
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	static const struct
	{
		const char *word;
		AsyFaultClass class;
	}			words[] = {
		{"USER_NOT_FOUND", ASY_FAULT_MISSING},
		{"EMAIL_EXISTS", ASY_FAULT_EXISTS},
		{"PHONE_NUMBER_EXISTS", ASY_FAULT_EXISTS},
		{"DUPLICATE_LOCAL_ID", ASY_FAULT_EXISTS},
		{"DUPLICATE_EMAIL", ASY_FAULT_EXISTS},
		{"RESOURCE_EXHAUSTED", ASY_FAULT_THROTTLED},
		{"QUOTA_EXCEEDED", ASY_FAULT_THROTTLED},
		{"TOO_MANY_ATTEMPTS_TRY_LATER", ASY_FAULT_THROTTLED},
		{"PERMISSION_DENIED", ASY_FAULT_SCOPE},
		{"INSUFFICIENT_PERMISSION", ASY_FAULT_SCOPE},
		{"CONFIGURATION_NOT_FOUND", ASY_FAULT_ADDRESS},
		{"PROJECT_NOT_FOUND", ASY_FAULT_ADDRESS},
		{"TENANT_NOT_FOUND", ASY_FAULT_ADDRESS},
		{"INVALID_PAGE_SELECTION", ASY_FAULT_INCOMPLETE}
	};

	(void) talk;
	(void) i;
	if (fault->status >= 400 && fault->status < 500 && fault->detail)
		for (size_t w = 0; w < lengthof(words); w++)
		{
			size_t		len = strlen(words[w].word);

			if (strncmp(fault->detail, words[w].word, len) == 0 && (fault->detail[len] == '\0' || strchr(" :", fault->detail[len])))
				fault->class = words[w].class;
		}
	if (fault->class == ASY_FAULT_ADDRESS)
		fault->hint = "Check the server's options url, project_id, tenant_id and token_url, and that Authentication is set up in the project.";
	else if (fault->class == ASY_FAULT_SCOPE)
		fault->hint = "The service account needs role Firebase Authentication Admin (firebaseauth.users.get, .create, .update, .delete).";
}

/* A key file has its line breaks as \n. */
static char *
with_line_breaks(const char *pem)
{
	char	   *out = palloc(strlen(pem) + 1);
	char	   *o = out;

	for (const char *c = pem; *c; c++)
	{
		bool		escaped = c[0] == '\\' && c[1] == 'n';

		*o++ = escaped ? '\n' : *c;
		c += escaped;
	}
	*o = '\0';
	return out;
}

static AsyTurn
token(AsyTalk *talk)
{
	const AsyServer *server = talk->server;
	const char *fixed = asy_server_secret(server, "token");
	const char *key = asy_server_secret(server, "private_key");
	const char *email = asy_server_option(server, "client_email");
	const char *url = asy_server_option(server, "token_url");
	StringInfoData claims;
	int64		now = (int64) time(NULL);
	char	   *jwt;

	if (talk->step > 0)
		return asy_grant_take(talk);
	if (fixed)
		return asy_grant_static(talk, fixed);
	if (email == NULL || email[0] == '\0')
		return asy_fail(talk, ASY_FAULT_KEY, "Secret private_key needs option client_email.");
	initStringInfo(&claims);
	appendStringInfoChar(&claims, '{');
	asy_json_put_text(&claims, "iss", email);
	asy_json_put_text(&claims, "scope", "https://www.googleapis.com/auth/identitytoolkit https://www.googleapis.com/auth/cloud-platform");
	asy_json_put_text(&claims, "aud", url);
	asy_json_put_raw(&claims, "iat", psprintf(INT64_FORMAT, now));
	asy_json_put_raw(&claims, "exp", psprintf(INT64_FORMAT, now + 3600));
	appendStringInfoChar(&claims, '}');
	if ((jwt = asy_jwt_rs256(claims.data, with_line_breaks(key))) == NULL)
		return asy_fail(talk, ASY_FAULT_KEY, "Secret private_key is no RSA key in PEM, which begins with -----BEGIN PRIVATE KEY-----.");
	asy_grant_send(talk, url, psprintf("grant_type=%s&assertion=%s", asy_http_encode("urn:ietf:params:oauth:grant-type:jwt-bearer"), jwt));
	return ASY_SEND;
}

/* ---- requests ---- */

/* The project's accounts, with ":what" or what else follows. */
static char *
accounts(const AsyTalk *talk, const char *what)
{
	const char *tenant = asy_server_option(talk->server, "tenant_id");

	return psprintf("/v1/projects/%s%s%s/accounts%s", asy_http_encode(asy_server_option(talk->server, "project_id")),
					tenant && tenant[0] ? "/tenants/" : "", tenant && tenant[0] ? asy_http_encode(tenant) : "", what);
}

static AsyRequest *
post(AsyTalk *talk, const char *what, StringInfo body)
{
	AsyRequest *request = asy_send(talk, "POST", "%s", accounts(talk, what));

	asy_request_body(request, body, "application/json");
	return request;
}

/* Those with that id, or e-mail. */
static void
look_up(AsyTalk *talk, const char *by, const char *value)
{
	StringInfo	body = makeStringInfo();

	appendStringInfoChar(body, '{');
	asy_json_put_raw(body, by, "[");
	asy_json_put_text(body, NULL, value);
	appendStringInfoString(body, "]}");
	post(talk, ":lookup", body)->repeatable = true;
}

static void
ask_count(AsyTalk *talk)
{
	StringInfo	body = makeStringInfo();

	appendStringInfoString(body, "{\"returnUserInfo\":false}");
	post(talk, ":query", body)->repeatable = true;
}

static bool
read_count(AsyTalk *talk, int i, int64 *count)
{
	const AsyJson *json = asy_answer_json(talk, i);

	if (json && asy_json_int64(json, asy_json_member(json, 0, "recordsCount"), count))
		return true;
	if (json)
		asy_fail(talk, ASY_FAULT_GARBLED, "The answer does not say how many users there are (recordsCount).");
	return false;
}

/* ---- reading ---- */

typedef struct Walk
{
	int64		before;			/* how many there were at first */
	bool		at_end;			/* and at last is being asked for */
} Walk;

static void
ask_page(AsyTalk *talk, const char *cursor)
{
	asy_send(talk, "GET", "%s?maxResults=%d%s%s", accounts(talk, ":batchGet"), talk->page_size,
			 cursor ? "&nextPageToken=" : "", cursor ? asy_http_encode(cursor) : "");
}

/* The users of an answer of its kind, of whom there may be none; false with a fault. */
static bool
take_users(AsyTalk *talk)
{
	const AsyJson *json = asy_answer_json(talk, 0);
	int			users;

	if (json == NULL)
		return false;
	users = asy_json_member(json, 0, "users");
	if (users < 0 && asy_json_kind(json, 0) == ASY_JSON_OBJECT && asy_json_kind(json, asy_json_member(json, 0, "error")) == ASY_JSON_NONE)
		return true;
	return asy_found_all(talk, 0, users) >= 0;
}

static AsyTurn
list(AsyTalk *talk)
{
	Walk	   *walk = talk->state;
	int64		after;
	char	   *next;

	if (talk->step == 0)
	{
		talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		ask_page(talk, NULL);
		ask_count(talk);
		return ASY_SEND;
	}
	if (walk->at_end)
		return read_count(talk, 0, &after) ? asy_paging_complete(talk, walk->before, after) : ASY_FAIL;
	if (!take_users(talk) || (talk->nanswers > 1 && !read_count(talk, 1, &walk->before)))
		return ASY_FAIL;
	next = asy_json_text(&talk->answers[0].json, asy_json_member(&talk->answers[0].json, 0, "nextPageToken"));
	if (next && next[0])
	{
		if (!asy_cursor_is_new(talk, next))
			return ASY_FAIL;
		ask_page(talk, next);
	}
	else if (talk->distinct >= walk->before)
		return ASY_DONE;
	else
	{
		/* Deleted meanwhile, or cut short? */
		walk->at_end = true;
		ask_count(talk);
	}
	return ASY_SEND;
}

static AsyTurn
count(AsyTalk *talk)
{
	if (talk->step > 0)
		return read_count(talk, 0, &talk->count) ? ASY_DONE : ASY_FAIL;
	ask_count(talk);
	return ASY_SEND;
}

static AsyTurn
get(AsyTalk *talk)
{
	if (talk->step > 0)
		return take_users(talk) ? ASY_DONE : ASY_FAIL;
	look_up(talk, "localId", talk->in.subject);
	return ASY_SEND;
}

static AsyTurn
find(AsyTalk *talk)
{
	if (talk->step > 0)
		return take_users(talk) ? ASY_DONE : ASY_FAIL;
	look_up(talk, "email", asy_lower(talk->in.email));
	return ASY_SEND;
}

/* ---- writing ---- */

/* What is cleared is named. */
static void
put_deletions(StringInfo body, const AsyTalk *talk)
{
	static const struct
	{
		AsyField	field;
		const char *name;
	}			names[] = {{ASY_EMAIL, "EMAIL"}, {ASY_NAME, "DISPLAY_NAME"}, {ASY_PICTURE, "PHOTO_URL"}};
	bool		any = false;

	for (size_t i = 0; i < lengthof(names); i++)
		if (asy_given(talk, names[i].field) && !asy_given(talk, names[i].field)->present)
		{
			if (!any)
				asy_json_put_raw(body, "deleteAttribute", "[");
			asy_json_put_text(body, NULL, names[i].name);
			any = true;
		}
	if (any)
		appendStringInfoChar(body, ']');
	if (asy_given(talk, ASY_PHONE) && !asy_given(talk, ASY_PHONE)->present)
		asy_json_put_raw(body, "deleteProvider", "[\"phone\"]");
}

/* id: whom to change; NULL: he is new. only_claims: what he could not be given at once. */
static StringInfo
body_of(const AsyTalk *talk, const char *id, bool only_claims)
{
	static const struct
	{
		AsyField	field;
		const char *name;
	}			texts[] = {
		{ASY_EMAIL, "email"}, {ASY_PHONE, "phoneNumber"}, {ASY_NAME, "displayName"}, {ASY_PICTURE, "photoUrl"}, {ASY_PASSWORD, "password"}
	};
	StringInfo	body = makeStringInfo();
	const AsyValue *value;

	appendStringInfoChar(body, '{');
	if (id || asy_given_text(talk, ASY_ID))
		asy_json_put_text(body, "localId", id ? id : asy_given_text(talk, ASY_ID));
	for (size_t i = 0; i < lengthof(texts) && !only_claims; i++)
		if (asy_given_text(talk, texts[i].field))
			asy_json_put_text(body, texts[i].name, asy_given_text(talk, texts[i].field));
	if (!only_claims && (value = asy_given(talk, ASY_EMAIL_VERIFIED)) != NULL && value->present)
		asy_json_put_raw(body, "emailVerified", value->flag ? "true" : "false");
	if (!only_claims && (value = asy_given(talk, ASY_BLOCKED)) != NULL && value->present)
		asy_json_put_raw(body, id ? "disableUser" : "disabled", value->flag ? "true" : "false");
	if (id && asy_given(talk, ASY_APP_METADATA))
		asy_json_put_text(body, "customAttributes", asy_metadata_to_send(talk, ASY_APP_METADATA));
	if (id && !only_claims)
		put_deletions(body, talk);
	appendStringInfoChar(body, '}');
	return body;
}

static AsyTurn
create(AsyTalk *talk)
{
	bool		claims = asy_given_text(talk, ASY_APP_METADATA) != NULL;
	const AsyJson *json;
	char	   *id;

	if (talk->step == 0)
	{
		post(talk, "", body_of(talk, NULL, false));
		return ASY_SEND;
	}
	if (talk->step == (claims ? 3 : 2))
		return take_users(talk) ? ASY_DONE : ASY_FAIL;
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (talk->step == 1)
	{
		id = asy_json_text(json, asy_json_member(json, 0, "localId"));
		if (id == NULL || id[0] == '\0')
			return asy_fail(talk, ASY_FAULT_GARBLED, "The user was made, but the answer has no localId.");
		talk->created = MemoryContextStrdup(talk->context, id);
	}
	if (talk->step == 1 && claims)
		post(talk, ":update", body_of(talk, talk->created, true));
	else
		look_up(talk, "localId", talk->created);
	return ASY_SEND;
}

static AsyTurn
update(AsyTalk *talk)
{
	if (talk->step == 0)
		post(talk, ":update", body_of(talk, talk->in.subject, false));
	else if (talk->step == 2)
		return take_users(talk) ? ASY_DONE : ASY_FAIL;
	else if (!asy_good(talk))
		return ASY_FAIL;
	else
		look_up(talk, "localId", talk->in.subject);
	return ASY_SEND;
}

static AsyTurn
delete(AsyTalk *talk)
{
	StringInfo	body = makeStringInfo();

	if (talk->step > 0)
		return asy_good(talk) ? ASY_DONE : ASY_FAIL;
	appendStringInfoChar(body, '{');
	asy_json_put_text(body, "localId", talk->in.subject);
	appendStringInfoChar(body, '}');
	post(talk, ":delete", body)->repeatable = true;
	return ASY_SEND;
}

const AsyProvider asy_provider_firebase = {
	.name = "firebase",
	.title = "Firebase Authentication",
	.api_path = "",
	.options = options,
	.secrets = secrets,
	.can = ASY_CAN_SET_ID,
	.page_size = 1000,
	.page_max = 1000,
	.concurrency = 4,
	.merge = ASY_REPLACES,
	.writes = ASY_BIT(ASY_ID) | ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_NAME) |
	ASY_BIT(ASY_PICTURE) | ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_APP_METADATA) | ASY_BIT(ASY_PASSWORD),
	.fixed = ASY_BIT(ASY_ID),
	.mappings = mappings,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_TOKEN] = token,
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_COUNT] = count,
		[ASY_ASK_CREATE] = create,
		[ASY_ASK_UPDATE] = update,
		[ASY_ASK_DELETE] = delete,
	},
};
