/*
 * keycloak.c
 *	  Keycloak: its Admin REST API, as a service account of the realm.
 *
 * Facts that this file stands on, from the server's source (26):
 *	  - a list is ordered by user name, its pages are positions; how many there
 *		are is asked for by itself.
 *	  - a page is cut first, then whom the key may not see is dropped from it:
 *		a page may be short, or empty, though more follow. A key with query-users
 *		alone sees nobody, with HTTP 200.
 *	  - the unfiltered list has no service accounts, any filter by field has.
 *	  - no list says what changed, and a user has no time of change.
 *	  - asked for one, many versions say "not enabled" while brute-force
 *		protection keeps him out (26.4 does not); the list does not. What is sent
 *		back would stay.
 *	  - a change replaces the profile as a whole, attributes too.
 *	  - a new user is disabled unless told otherwise.
 *	  - the token lives for a few minutes.
 *
 * Attributes are user_metadata: name to array of strings. What is given as
 * anything but an array becomes an array of one string. picture, nickname and
 * phone are the attributes picture, nickname and phoneNumber. The user name of
 * a new user is the e-mail, else the phone. A name is cut at its first blank:
 * one without a blank leaves no last name, and where the realm's profile wants
 * one (it does unless told otherwise) the user is asked for it at his next login.
 */
#include "postgres.h"

#include "provider/compose.h"
#include "provider/grant.h"
#include "provider/paging.h"

static const AsyProviderOption options[] = {
	{"realm", true, NULL, "the realm whose users these are"},
	{"client_id", true, NULL, "a confidential client with a service account in that realm"},
	{NULL, false, NULL, NULL}
};

static const char *const secrets[] = {"client_secret", NULL};

static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{ASY_EMAIL, "/email", 0},
	{ASY_EMAIL_VERIFIED, "/emailVerified", 0},
	{ASY_PHONE, "/attributes/phoneNumber/0", 0},
	{ASY_PHONE_VERIFIED, "/attributes/phoneNumberVerified/0", 0},
	{ASY_NICKNAME, "/attributes/nickname/0", 0},
	{ASY_PICTURE, "/attributes/picture/0", 0},
	{ASY_CREATED_AT, "/createdTimestamp", 1000},
	{ASY_USER_METADATA, "/attributes", 0},
	{0, NULL, 0}
};

static char hint_roles[] = "Its service account needs role view-users of client realm-management, and manage-users to write.";

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	bool		enabled;

	(void) talk;
	if (wanted & ASY_BIT(ASY_NAME))
	{
		char	   *first = asy_json_text(json, asy_json_member(json, node, "firstName"));
		char	   *last = asy_json_text(json, asy_json_member(json, node, "lastName"));
		bool		both = first && first[0] && last && last[0];

		user->value[ASY_NAME].text = both ? psprintf("%s %s", first, last) : first && first[0] ? first : last;
		user->value[ASY_NAME].present = user->value[ASY_NAME].text && user->value[ASY_NAME].text[0];
	}
	if ((wanted & ASY_BIT(ASY_BLOCKED)) && asy_json_bool(json, asy_json_member(json, node, "enabled"), &enabled))
	{
		user->value[ASY_BLOCKED].present = true;
		user->value[ASY_BLOCKED].flag = !enabled;
	}
}

static bool
says(const AsyFault *fault, const char *text)
{
	return (fault->detail && strstr(fault->detail, text)) || (fault->code && strstr(fault->code, text));
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	(void) talk;
	(void) i;
	if (fault->status == 404 && says(fault, "User not found"))
		fault->class = ASY_FAULT_MISSING;
	else if (fault->status == 404 && says(fault, "ealm"))
		fault->hint = "Check the server's option realm.";
	if (fault->class == ASY_FAULT_SCOPE)
		fault->hint = hint_roles;
}

static char *
realm_path(const AsyTalk *talk)
{
	return psprintf("/admin/realms/%s", asy_http_encode(asy_server_option(talk->server, "realm")));
}

static AsyTurn
token(AsyTalk *talk)
{
	const AsyServer *server = talk->server;

	if (talk->step > 0)
		return asy_grant_take(talk);
	asy_grant_client_credentials(talk, psprintf("%s/realms/%s/protocol/openid-connect/token", server->base,
												asy_http_encode(asy_server_option(server, "realm"))),
								 asy_server_option(server, "client_id"), asy_server_secret(server, secrets[0]), NULL);
	return ASY_SEND;
}

/* ---- the listing ---- */

typedef struct Walk
{
	AsyPaging  *paging;
	int64		before;			/* how many there were at first */
	bool		at_end;			/* and at last is being asked for */
	int			repeats;
} Walk;

/* How often a list that seems too short is read once more. */
#define REPEATS_MAX 2

static int64
count_of(AsyTalk *talk)
{
	const AsyJson *json = asy_answer_json(talk, 0);
	int64		count;

	if (json == NULL)
		return -1;
	if (!asy_json_int64(json, 0, &count) || count < 0)
	{
		asy_fail(talk, ASY_FAULT_GARBLED, "The count of users is no number.");
		return -1;
	}
	return count;
}

static void
ask_page(AsyTalk *talk, int64 start, int size)
{
	asy_send(talk, "GET", "%s/users?briefRepresentation=false&first=" INT64_FORMAT "&max=%d", realm_path(talk), start, size);
}

static AsyTurn
sees_too_few(AsyTalk *talk, int64 there)
{
	asy_fail(talk, ASY_FAULT_SCOPE, "It sees " INT64_FORMAT " users of " INT64_FORMAT ": it lacks view-users, or may not view some of them.",
			 talk->distinct, there);
	talk->fault->hint = hint_roles;
	return ASY_FAIL;
}

static bool
read_page(AsyTalk *talk, int answer, AsyPage *page)
{
	const AsyJson *json = &talk->answers[answer].json;
	Walk	   *walk = talk->state;

	page->array = 0;
	page->total = walk->before;
	if (asy_json_kind(json, 0) == ASY_JSON_ARRAY && page->start == 0 && asy_json_count(json, 0) == 0 && walk->before > 0)
	{
		sees_too_few(talk, walk->before);
		return false;
	}
	return true;
}

static AsyTurn
list(AsyTalk *talk)
{
	Walk	   *walk = talk->state;
	int64		count;
	AsyTurn		turn;

	if (talk->step == 0)
	{
		walk = talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		asy_send(talk, "GET", "%s/users/count", realm_path(talk));
		return ASY_SEND;
	}
	if (walk->paging == NULL || walk->at_end)
	{
		if ((count = count_of(talk)) < 0)
			return ASY_FAIL;
		if (walk->at_end)
		{
			/* Whoever came and went meanwhile makes a page short, or the count too large: it is read once more. */
			if (talk->distinct >= Min(walk->before, count) || ++walk->repeats > REPEATS_MAX)
			{
				if (walk->paging->hidden > 0 && walk->before == count && talk->distinct < count)
					return sees_too_few(talk, count);
				return asy_paging_complete(talk, walk->before, count);
			}
			walk->at_end = false;
		}
		walk->before = count;
		walk->paging = asy_paging_new(talk, ask_page, read_page);
		walk->paging->by_stride = true;
		walk->paging->total = count;
	}
	turn = asy_paging_turn(talk, walk->paging);
	if (turn != ASY_DONE || (talk->in.limit > 0 && talk->distinct >= talk->in.limit))
		return turn;
	walk->at_end = true;
	asy_send(talk, "GET", "%s/users/count", realm_path(talk));
	return ASY_SEND;
}

static AsyTurn
count(AsyTalk *talk)
{
	if (talk->step > 0)
		return (talk->count = count_of(talk)) < 0 ? ASY_FAIL : ASY_DONE;
	asy_send(talk, "GET", "%s/users/count", realm_path(talk));
	return ASY_SEND;
}

/* ---- one user ---- */

static void
ask_user(AsyTalk *talk, const char *subject)
{
	asy_send(talk, "GET", "%s/users/%s", realm_path(talk), asy_http_encode(subject));
}

/* A client's own account, which the list does not show. */
static bool
is_service(const AsyJson *json, int node)
{
	char	   *username;

	if (asy_json_kind(json, asy_json_member(json, node, "serviceAccountClientId")) == ASY_JSON_STRING)
		return true;
	/* 26 does not say so any more, but in the name; nobody else may have one that begins so without an address. */
	username = asy_json_text(json, asy_json_member(json, node, "username"));
	return username && strncmp(username, "service-account-", 16) == 0 && asy_json_text(json, asy_json_member(json, node, "email")) == NULL;
}

static AsyTurn
get(AsyTalk *talk)
{
	const AsyJson *json;
	bool		enabled;

	if (talk->step == 0)
	{
		ask_user(talk, talk->in.subject);
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (is_service(json, 0))
		return ASY_DONE;
	if (talk->step == 1 && asy_json_bool(json, asy_json_member(json, 0, "enabled"), &enabled) && !enabled)
	{
		/* Disabled, or kept out for a while: the list knows. */
		ask_user(talk, talk->in.subject);
		asy_send(talk, "GET", "%s/users?briefRepresentation=false&search=%s", realm_path(talk),
				 asy_http_encode(psprintf("id:%s", talk->in.subject)));
		return ASY_SEND;
	}
	if (talk->nanswers > 1 && (json = asy_answer_json(talk, 1)) != NULL && asy_json_count(json, 0) == 1)
	{
		int			node = asy_json_first(json, 0);
		char	   *subject = asy_subject_of(talk, json, node);

		if (subject && strcmp(subject, talk->in.subject) == 0)
			return asy_found(talk, 1, node) ? ASY_DONE : ASY_FAIL;
	}
	return asy_end_with_user(talk);
}

static AsyTurn
find(AsyTalk *talk)
{
	const AsyJson *json;

	if (talk->step == 0)
	{
		asy_send(talk, "GET", "%s/users?briefRepresentation=false&exact=true&email=%s", realm_path(talk), asy_http_encode(talk->in.email));
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (asy_json_kind(json, 0) != ASY_JSON_ARRAY)
		return asy_fail(talk, ASY_FAULT_GARBLED, "There is no list of users in the answer.");
	for (int e = asy_json_first(json, 0); e >= 0; e = asy_json_after(json, 0, e))
		if (!is_service(json, e) && !asy_found(talk, 0, e))
			return ASY_FAIL;
	return ASY_DONE;
}

/* ---- writing ---- */

/* The columns that are attributes. */
static const struct
{
	AsyField	field;
	const char *attribute;
}			own_attributes[] = {
	{ASY_PHONE, "phoneNumber"},
	{ASY_PHONE_VERIFIED, "phoneNumberVerified"},
	{ASY_NICKNAME, "nickname"},
	{ASY_PICTURE, "picture"}
};

/* All attributes as they shall be, from those given or those that he has; nothing where they stay. */
static void
put_attributes(StringInfo out, const AsyTalk *talk, const AsyJson *json, int node)
{
	const AsyValue *value = asy_given(talk, ASY_USER_METADATA);
	const AsyValue *own[lengthof(own_attributes)];
	bool		touched = value != NULL;
	AsyJson		given;

	for (size_t i = 0; i < lengthof(own_attributes); i++)
		if ((own[i] = asy_given(talk, own_attributes[i].field)) != NULL)
			touched = true;
	if (!touched)
		return;
	if (value)
	{
		node = value->present && asy_index_object(value->text, &given) ? 0 : -1;
		json = &given;
	}
	asy_json_put_raw(out, "attributes", "{");
	for (int k = asy_json_first_key(json, node); k >= 0; k = asy_json_after_key(json, node, k))
	{
		char	   *key = asy_json_text(json, k);
		AsyJsonKind kind = asy_json_kind(json, k + 1);
		bool		stays = kind != ASY_JSON_NULL;

		for (size_t i = 0; i < lengthof(own_attributes); i++)
			stays = stays && !(own[i] && strcmp(key, own_attributes[i].attribute) == 0);
		if (stays && kind == ASY_JSON_ARRAY)
			asy_json_put_raw(out, key, asy_json_source(json, k + 1));
		else if (stays)
		{
			asy_json_put_raw(out, key, "[");
			asy_json_put_text(out, NULL, asy_json_text(json, k + 1));
			appendStringInfoChar(out, ']');
		}
	}
	for (size_t i = 0; i < lengthof(own_attributes); i++)
		if (own[i] && own[i]->present)
		{
			asy_json_put_raw(out, own_attributes[i].attribute, "[");
			asy_json_put_text(out, NULL, own_attributes[i].field != ASY_PHONE_VERIFIED ? own[i]->text : own[i]->flag ? "true" : "false");
			appendStringInfoChar(out, ']');
		}
	appendStringInfoChar(out, '}');
}

/* The members that the columns given stand for; the braces are the caller's. */
static void
put_members(StringInfo out, const AsyTalk *talk, const AsyJson *json, int attributes)
{
	const AsyValue *value;

	if ((value = asy_given(talk, ASY_EMAIL)) != NULL)
		asy_json_put_text(out, "email", value->present ? value->text : "");
	asy_put_given(out, talk, ASY_EMAIL_VERIFIED, "emailVerified");
	if ((value = asy_given(talk, ASY_NAME)) != NULL)
	{
		char	   *first = pstrdup(value->present ? value->text : "");
		char	   *last = strchr(first, ' ');

		if (last)
			*last++ = '\0';
		asy_json_put_text(out, "firstName", first);
		asy_json_put_text(out, "lastName", last ? last : "");
	}
	value = asy_given(talk, ASY_BLOCKED);
	if (value || talk->ask == ASY_ASK_CREATE)
		asy_json_put_raw(out, "enabled", value && value->present && value->flag ? "false" : "true");
	put_attributes(out, talk, json, attributes);
}

/* The password as a credential. */
static StringInfo
credential(const AsyTalk *talk)
{
	StringInfo	out = makeStringInfo();

	appendStringInfoString(out, "{\"type\":\"password\",\"temporary\":false");
	asy_json_put_text(out, "value", asy_given_text(talk, ASY_PASSWORD));
	appendStringInfoChar(out, '}');
	return out;
}

static AsyTurn
create(AsyTalk *talk)
{
	const char *email = asy_given_text(talk, ASY_EMAIL);
	const char *username = email ? email : asy_given_text(talk, ASY_PHONE);
	StringInfo	body = makeStringInfo();
	char	   *id;

	switch (talk->step)
	{
		case 0:
			if (username == NULL)
				return asy_fail(talk, ASY_FAULT_REJECTED, "A user of Keycloak has a user name: it takes an e-mail or a phone.");
			appendStringInfoChar(body, '{');
			asy_json_put_text(body, "username", username);
			put_members(body, talk, NULL, -1);
			if (asy_given_text(talk, ASY_PASSWORD))
				asy_json_put_raw(body, "credentials", psprintf("[%s]", credential(talk)->data));
			appendStringInfoChar(body, '}');
			asy_request_body(asy_send(talk, "POST", "%s/users", realm_path(talk)), body, "application/json");
			return ASY_SEND;
		case 1:
			if (!asy_good(talk))
				return ASY_FAIL;
			if ((id = asy_location_id(talk->answers[0].http)) == NULL)
				return asy_fail(talk, ASY_FAULT_GARBLED, "The user was made, but the answer has no Location.");
			talk->created = MemoryContextStrdup(talk->context, id);
			ask_user(talk, talk->created);
			return ASY_SEND;
		default:
			return asy_end_with_user(talk);
	}
}

/* Reads him, writes him, sets the password, reads him again. */
static AsyTurn
update(AsyTalk *talk)
{
	/* Not ours to say: whether he is kept out for a while, and what the server only shows. */
	static const char *const drop[] = {"enabled", "access", NULL};
	bool		password = asy_given_text(talk, ASY_PASSWORD) != NULL;
	char	   *path = psprintf("%s/users/%s", realm_path(talk), asy_http_encode(talk->in.subject));
	const AsyJson *json;
	StringInfo	given = makeStringInfo();

	if (talk->step > 0 && !asy_good(talk))
		return ASY_FAIL;
	if (talk->step == (password ? 4 : 3))
		return asy_end_with_user(talk);
	if (talk->step == 1)
	{
		if ((json = asy_answer_json(talk, 0)) == NULL)
			return ASY_FAIL;
		appendStringInfoChar(given, '{');
		put_members(given, talk, json, asy_json_member(json, 0, "attributes"));
		appendStringInfoChar(given, '}');
		asy_request_body(asy_send(talk, "PUT", "%s", path), asy_object_with(json, 0, given->data, drop), "application/json");
	}
	else if (talk->step == 2 && password)
		asy_request_body(asy_send(talk, "PUT", "%s/reset-password", path), credential(talk), "application/json");
	else
		asy_send(talk, "GET", "%s", path);
	return ASY_SEND;
}

static AsyTurn
delete(AsyTalk *talk)
{
	if (talk->step > 0)
		return asy_good(talk) ? ASY_DONE : ASY_FAIL;
	asy_send(talk, "DELETE", "%s/users/%s", realm_path(talk), asy_http_encode(talk->in.subject));
	return ASY_SEND;
}

const AsyProvider asy_provider_keycloak = {
	.name = "keycloak",
	.title = "Keycloak",
	.api_path = "",
	.options = options,
	.secrets = secrets,
	.page_size = 500,
	.concurrency = 4,
	.merge = ASY_REPLACES,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_PHONE_VERIFIED) | ASY_BIT(ASY_NAME) |
	ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_PICTURE) | ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_PASSWORD),
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
