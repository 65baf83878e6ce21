/*
 * cognito.c
 *	  Amazon Cognito: a user pool, by the API of its administrators.
 *
 * Facts that this file stands on, from the service's description and its SDK:
 *	  - everything is a POST to one url, signed (SigV4), the call in a header.
 *	  - all errors are HTTP 400, throttling too; the kind is in __type, maybe
 *		behind a '#', or in header x-amzn-ErrorType.
 *	  - a list goes on by a token; a page may hold fewer than asked for, or
 *		nobody, though more follow. 60 at most. The token runs out.
 *	  - how many users there are is only estimated.
 *	  - all that is known of a user is a list of attributes, each a text.
 *	  - administrators' calls take a user's name, which is not "sub", the id that
 *		is in tokens: the subject here is sub, and ListUsers, which filters by it,
 *		gives the name first. It shows one user as the list shows him.
 *	  - a change has no answer but {}.
 *
 * Custom attributes are user_metadata, without "custom:", all values text. A
 * name is "name", else given and family name. The name of a new user is the
 * e-mail, else the phone; with option username 'generated' one that is made up,
 * as pools want it that take the e-mail as an alias.
 */
#include "postgres.h"

#include <math.h>

#include "utils/timestamp.h"

#include "provider/compose.h"

static const AsyProviderOption options[] = {
	{"region", true, NULL, "the region of the pool, such as eu-central-1"},
	{"user_pool_id", true, NULL, "the pool, such as eu-central-1_AbCdEfGhI"},
	{"access_key_id", true, NULL, "the id of the access key that requests are signed with"},
	{"username", false, "email", "email, or generated where the pool takes e-mails as aliases"},
	{NULL, false, NULL, NULL}
};

static const char *const secrets[] = {"secret_access_key", "session_token", NULL};

static const AsyMapping mappings[] = {
	{0, NULL, 0}
};

/* The columns that are attributes. */
static const struct
{
	AsyField	field;
	const char *attribute;
}			attributes[] = {
	{ASY_ID, "sub"},
	{ASY_EMAIL, "email"},
	{ASY_PHONE, "phone_number"},
	{ASY_EMAIL_VERIFIED, "email_verified"},
	{ASY_PHONE_VERIFIED, "phone_number_verified"},
	{ASY_NAME, "name"},
	{ASY_NICKNAME, "nickname"},
	{ASY_PICTURE, "picture"}
};

/* A time in seconds, with a fraction, perhaps as 1.7E9. */
static void
read_time(const AsyJson *json, int node, AsyField field, AuthUser *user)
{
	char	   *text = asy_json_text(json, node);
	char	   *end = text;
	double		seconds = text ? strtod(text, &end) : 0;

	if (end == text || *end || seconds <= 0 || seconds > 1e11)
		return;
	user->value[field].present = true;
	user->value[field].time = (TimestampTz) rint(seconds * 1000) * 1000 -
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
}

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	int			list = asy_json_member(json, node, "Attributes");
	StringInfoData custom;
	char	   *given = NULL;
	char	   *family = NULL;
	bool		enabled;

	(void) talk;
	initStringInfo(&custom);
	appendStringInfoChar(&custom, '{');
	for (int e = asy_json_first(json, list); e >= 0; e = asy_json_after(json, list, e))
	{
		char	   *name = asy_json_text(json, asy_json_member(json, e, "Name"));
		int			value = asy_json_member(json, e, "Value");
		AsyJson		identities;

		if (name == NULL)
			continue;
		for (size_t i = 0; i < lengthof(attributes); i++)
			if ((wanted & ASY_BIT(attributes[i].field)) && strcmp(name, attributes[i].attribute) == 0)
				asy_read_field(json, value, attributes[i].field, 0, user);
		if ((wanted & ASY_BIT(ASY_USER_METADATA)) && strncmp(name, "custom:", 7) == 0)
			asy_json_put_raw(&custom, name + 7, asy_json_source(json, value));
		else if ((wanted & ASY_BIT(ASY_NAME)) && strcmp(name, "given_name") == 0)
			given = asy_json_text(json, value);
		else if ((wanted & ASY_BIT(ASY_NAME)) && strcmp(name, "family_name") == 0)
			family = asy_json_text(json, value);
		else if ((wanted & ASY_BIT(ASY_IDENTITIES)) && strcmp(name, "identities") == 0)
		{
			/* A string of JSON. */
			char	   *text = asy_json_text(json, value);

			user->value[ASY_IDENTITIES].present = text && asy_json_index(text, strlen(text), &identities) == NULL;
			user->value[ASY_IDENTITIES].text = text;
		}
	}
	appendStringInfoChar(&custom, '}');
	if (wanted & ASY_BIT(ASY_USER_METADATA))
	{
		user->value[ASY_USER_METADATA].present = true;
		user->value[ASY_USER_METADATA].text = custom.data;
	}
	if ((wanted & ASY_BIT(ASY_NAME)) && !user->value[ASY_NAME].present && (given || family))
	{
		user->value[ASY_NAME].present = true;
		user->value[ASY_NAME].text = given && family ? psprintf("%s %s", given, family) : given ? given : family;
	}
	if ((wanted & ASY_BIT(ASY_BLOCKED)) && asy_json_bool(json, asy_json_member(json, node, "Enabled"), &enabled))
	{
		user->value[ASY_BLOCKED].present = true;
		user->value[ASY_BLOCKED].flag = !enabled;
	}
	if (wanted & ASY_BIT(ASY_CREATED_AT))
		read_time(json, asy_json_member(json, node, "UserCreateDate"), ASY_CREATED_AT, user);
	if (wanted & ASY_BIT(ASY_UPDATED_AT))
		read_time(json, asy_json_member(json, node, "UserLastModifiedDate"), ASY_UPDATED_AT, user);
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	static const struct
	{
		const char *kind;
		AsyFaultClass class;
	}			kinds[] = {
		{"UserNotFoundException", ASY_FAULT_MISSING},
		{"UsernameExistsException", ASY_FAULT_EXISTS},
		{"AliasExistsException", ASY_FAULT_EXISTS},
		{"TooManyRequestsException", ASY_FAULT_THROTTLED},
		{"ThrottlingException", ASY_FAULT_THROTTLED},
		{"RequestLimitExceeded", ASY_FAULT_THROTTLED},
		{"NotAuthorizedException", ASY_FAULT_KEY},
		{"UnrecognizedClientException", ASY_FAULT_KEY},
		{"InvalidSignatureException", ASY_FAULT_KEY},
		{"IncompleteSignatureException", ASY_FAULT_KEY},
		{"MissingAuthenticationTokenException", ASY_FAULT_KEY},
		{"InvalidClientTokenId", ASY_FAULT_KEY},
		{"ExpiredTokenException", ASY_FAULT_KEY},
		{"AccessDeniedException", ASY_FAULT_SCOPE},
		{"ResourceNotFoundException", ASY_FAULT_ADDRESS},
		{"UnknownOperationException", ASY_FAULT_UNSUPPORTED},
		{"InternalErrorException", ASY_FAULT_BROKEN},
		{"ServiceUnavailable", ASY_FAULT_BROKEN},
		{"InvalidParameterException", ASY_FAULT_REJECTED},
		{"InvalidPasswordException", ASY_FAULT_REJECTED}
	};
	const AsyAnswer *answer = &talk->answers[i];
	char	   *kind = answer->has_json ? asy_json_text(&answer->json, asy_json_member(&answer->json, 0, "__type")) : NULL;
	char	   *end;

	if (kind == NULL)
		kind = asy_http_header(answer->http, "x-amzn-errortype");
	if (kind == NULL)
		return;
	if (strchr(kind, '#'))
		kind = strchr(kind, '#') + 1;
	if ((end = strpbrk(kind, ":,")) != NULL)
		*end = '\0';
	fault->code = asy_fault_quote(kind, strlen(kind), NULL);
	for (size_t k = 0; k < lengthof(kinds); k++)
		if (strcmp(kind, kinds[k].kind) == 0)
			fault->class = kinds[k].class;
	if (fault->class == ASY_FAULT_REJECTED && talk->ask == ASY_ASK_LIST)
		fault->class = ASY_FAULT_INCOMPLETE;	/* nothing in it but the token, which has run out */
	if (fault->class == ASY_FAULT_ADDRESS)
		fault->hint = "Check the server's options url, region and user_pool_id.";
	else if (fault->class == ASY_FAULT_SCOPE)
		fault->hint = "Its policy must allow cognito-idp:ListUsers on the pool, and cognito-idp:Admin* to write.";
}

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	const char *secret = asy_server_secret(talk->server, "secret_access_key");
	const char *session = asy_server_secret(talk->server, "session_token");

	request->sigv4 = psprintf("aws:amz:%s:cognito-idp", asy_server_option(talk->server, "region"));
	request->sigv4_key = psprintf("%s:%s", asy_server_option(talk->server, "access_key_id"), secret ? secret : "");
	if (session)
		asy_request_header(request, "X-Amz-Security-Token", session);
}

/* ---- calls ---- */

/* A body with the pool in it, and its user where there is one; what else it takes follows. */
static StringInfo
begin(const AsyTalk *talk, const char *username)
{
	StringInfo	body = makeStringInfo();

	appendStringInfoChar(body, '{');
	asy_json_put_text(body, "UserPoolId", asy_server_option(talk->server, "user_pool_id"));
	if (username)
		asy_json_put_text(body, "Username", username);
	return body;
}

static AsyRequest *
call(AsyTalk *talk, const char *what, StringInfo body)
{
	AsyRequest *request = asy_send(talk, "POST", "/");

	appendStringInfoChar(body, '}');
	asy_request_header(request, "X-Amz-Target", psprintf("AWSCognitoIdentityProviderService.%s", what));
	asy_request_body(request, body, "application/x-amz-json-1.1");
	return request;
}

/* Those of whom that attribute is the value; attribute NULL: all. cursor NULL: from the first. */
static void
list_users(AsyTalk *talk, const char *attribute, const char *value, const char *cursor)
{
	StringInfo	body = begin(talk, NULL);
	StringInfoData filter;

	asy_json_put_raw(body, "Limit", psprintf("%d", attribute ? 60 : Min(talk->page_size, 60)));
	if (attribute)
	{
		initStringInfo(&filter);
		appendStringInfo(&filter, "%s = \"", attribute);
		for (const char *c = value; *c; c++)
			appendStringInfo(&filter, "%s%c", *c == '"' || *c == '\\' ? "\\" : "", *c);
		appendStringInfoChar(&filter, '"');
		asy_json_put_text(body, "Filter", filter.data);
	}
	if (cursor)
		asy_json_put_text(body, "PaginationToken", cursor);
	call(talk, "ListUsers", body)->repeatable = true;
}

/* Takes a page, and asks for the next: all pages of those of whom attribute is the value. */
static AsyTurn
pages(AsyTalk *talk, const char *attribute, const char *value)
{
	const AsyJson *json;
	char	   *next;

	if ((json = asy_answer_json(talk, 0)) == NULL || asy_found_all(talk, 0, asy_json_member(json, 0, "Users")) < 0)
		return ASY_FAIL;
	next = asy_json_text(json, asy_json_member(json, 0, "PaginationToken"));
	if (next == NULL || next[0] == '\0')
		return ASY_DONE;
	if (!asy_cursor_is_new(talk, next))
		return ASY_FAIL;
	list_users(talk, attribute, value, next);
	return ASY_SEND;
}

static AsyTurn
list(AsyTalk *talk)
{
	if (talk->step > 0)
		return pages(talk, NULL, NULL);
	list_users(talk, NULL, NULL, NULL);
	return ASY_SEND;
}

static AsyTurn
get(AsyTalk *talk)
{
	if (talk->step > 0)
		return pages(talk, "sub", talk->in.subject);
	list_users(talk, "sub", talk->in.subject, NULL);
	return ASY_SEND;
}

static AsyTurn
find(AsyTalk *talk)
{
	if (talk->step > 0)
		return pages(talk, "email", talk->in.email);
	list_users(talk, "email", talk->in.email, NULL);
	return ASY_SEND;
}

/* ---- writing ---- */

/* One call after the other: of two at once the service may refuse one. */
typedef enum Stage
{
	NAME_ASKED,					/* whom sub is */
	NAMED,
	ATTRIBUTES_SET,
	ATTRIBUTES_GONE,
	PASSWORD_SET,
	BLOCKED_SET,
	SHOWN
} Stage;

typedef struct Write
{
	Stage		stage;
	const char *username;
	const char *subject;
} Write;

static void
put_attribute(StringInfo out, const char *name, const char *value)
{
	asy_json_put_raw(out, NULL, "{");
	asy_json_put_text(out, "Name", name);
	asy_json_put_text(out, "Value", value);
	appendStringInfoChar(out, '}');
}

/* The attributes given, and the names of those that go. */
static void
collect(const AsyTalk *talk, StringInfo set, StringInfo gone)
{
	AsyJson		custom;

	for (size_t i = 1; i < lengthof(attributes); i++)
	{
		const AsyValue *value = asy_given(talk, attributes[i].field);

		if (value && value->present)
			put_attribute(set, attributes[i].attribute,
						  asy_fields[attributes[i].field].type != ASY_BOOL ? value->text : value->flag ? "true" : "false");
		else if (value)
			asy_json_put_text(gone, NULL, attributes[i].attribute);
	}
	if (!asy_given(talk, ASY_USER_METADATA) || !asy_index_object(asy_metadata_to_send(talk, ASY_USER_METADATA), &custom))
		return;
	for (int k = asy_json_first_key(&custom, 0); k >= 0; k = asy_json_after_key(&custom, 0, k))
	{
		char	   *name = psprintf("custom:%s", asy_json_text(&custom, k));
		char	   *value = asy_json_text(&custom, k + 1);

		if (value)
			put_attribute(set, name, value);
		else
			asy_json_put_text(gone, NULL, name);
	}
}

/* The next call of a write that has something to do; the last was good. */
static AsyTurn
go_on(AsyTalk *talk, Write *w)
{
	bool		creates = talk->ask == ASY_ASK_CREATE;
	const AsyValue *blocked = asy_given(talk, ASY_BLOCKED);
	const char *password = asy_given_text(talk, ASY_PASSWORD);
	StringInfo	set = makeStringInfo();
	StringInfo	gone = makeStringInfo();

	if (!creates)
		collect(talk, set, gone);
	while (w->stage < SHOWN && talk->nrequests == 0)
	{
		StringInfo	body = begin(talk, w->username);

		switch (++w->stage)
		{
			case ATTRIBUTES_SET:
				asy_json_put_raw(body, "UserAttributes", psprintf("[%s]", set->data));
				if (set->len > 0)
					call(talk, "AdminUpdateUserAttributes", body);
				break;
			case ATTRIBUTES_GONE:
				asy_json_put_raw(body, "UserAttributeNames", psprintf("[%s]", gone->data));
				if (gone->len > 0)
					call(talk, "AdminDeleteUserAttributes", body);
				break;
			case PASSWORD_SET:
				asy_json_put_text(body, "Password", password);
				asy_json_put_raw(body, "Permanent", "true");
				if (password)
					call(talk, "AdminSetUserPassword", body);
				break;
			case BLOCKED_SET:
				if (blocked && blocked->present && (blocked->flag || !creates))
					call(talk, blocked->flag ? "AdminDisableUser" : "AdminEnableUser", body);
				break;
			default:
				list_users(talk, "sub", w->subject, NULL);
		}
	}
	return talk->nrequests > 0 ? ASY_SEND : pages(talk, "sub", w->subject);
}

/* The name of the user that the talk is about; false: the turn is over, and *turn is its end. */
static bool
name_him(AsyTalk *talk, Write *w, AsyTurn *turn)
{
	const AsyJson *json;
	char	   *name;
	char	   *next;
	int			users;

	*turn = ASY_FAIL;
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return false;
	users = asy_json_member(json, 0, "Users");
	name = asy_json_text(json, asy_json_member(json, asy_json_first(json, users), "Username"));
	next = asy_json_text(json, asy_json_member(json, 0, "PaginationToken"));
	if (asy_json_kind(json, users) != ASY_JSON_ARRAY)
		asy_fail(talk, ASY_FAULT_GARBLED, "There is no list of users in the answer.");
	else if (name == NULL && next && next[0] && asy_cursor_is_new(talk, next))
	{
		list_users(talk, "sub", talk->in.subject, next);
		*turn = ASY_SEND;
	}
	else if (name == NULL && talk->fault == NULL)
		asy_fail(talk, ASY_FAULT_MISSING, "Nobody has this sub.");
	w->username = name ? MemoryContextStrdup(talk->context, name) : NULL;
	return name != NULL;
}

static Write *
write_of(AsyTalk *talk, Stage stage)
{
	Write	   *w = talk->state;

	if (w == NULL)
	{
		w = talk->state = MemoryContextAllocZero(talk->context, sizeof(Write));
		w->stage = stage;
		w->subject = talk->in.subject;
	}
	return w;
}

static AsyTurn
update(AsyTalk *talk)
{
	Write	   *w = write_of(talk, NAME_ASKED);
	AsyTurn		turn;

	if (talk->step == 0)
	{
		list_users(talk, "sub", talk->in.subject, NULL);
		return ASY_SEND;
	}
	if (w->stage == NAME_ASKED && !name_him(talk, w, &turn))
		return turn;
	w->stage = Max(w->stage, NAMED);
	return asy_good(talk) ? go_on(talk, w) : ASY_FAIL;
}

static AsyTurn
delete(AsyTalk *talk)
{
	Write	   *w = write_of(talk, NAME_ASKED);
	AsyTurn		turn;

	if (talk->step == 0)
	{
		list_users(talk, "sub", talk->in.subject, NULL);
		return ASY_SEND;
	}
	if (w->stage == NAMED)
		return asy_good(talk) ? ASY_DONE : ASY_FAIL;
	if (!name_him(talk, w, &turn))
		return turn;
	w->stage = NAMED;
	call(talk, "AdminDeleteUser", begin(talk, w->username))->repeatable = true;
	return ASY_SEND;
}

/* A user name that says nothing. */
static char *
generated_name(void)
{
	uint64		random[2];

	if (!pg_strong_random(random, sizeof(random)))
		elog(ERROR, "there is no randomness to be had");
	return psprintf("u%016llx%016llx", (unsigned long long) random[0], (unsigned long long) random[1]);
}

static AsyTurn
create(AsyTalk *talk)
{
	Write	   *w = write_of(talk, NAMED);
	const AsyJson *json;
	StringInfo	body;
	StringInfo	set = makeStringInfo();
	const char *name = asy_given_text(talk, ASY_EMAIL) ? asy_given_text(talk, ASY_EMAIL) : asy_given_text(talk, ASY_PHONE);
	const char *how = asy_server_option(talk->server, "username");
	char	   *subject;

	if (talk->step == 0)
	{
		if (how && strcmp(how, "generated") == 0)
			name = generated_name();
		if (name == NULL)
			return asy_fail(talk, ASY_FAULT_REJECTED, "A user of Cognito has a user name: it takes an e-mail or a phone.");
		collect(talk, set, makeStringInfo());
		body = begin(talk, name);
		asy_json_put_raw(body, "UserAttributes", psprintf("[%s]", set->data));
		asy_json_put_text(body, "MessageAction", "SUPPRESS");
		if (asy_given_text(talk, ASY_PASSWORD))
			asy_json_put_text(body, "TemporaryPassword", asy_given_text(talk, ASY_PASSWORD));	/* looked at by the same policy */
		call(talk, "AdminCreateUser", body);
		return ASY_SEND;
	}
	if (!asy_good(talk))
		return ASY_FAIL;
	if (w->stage == NAMED)
	{
		int			user;

		if ((json = asy_answer_json(talk, 0)) == NULL)
			return ASY_FAIL;
		user = asy_json_member(json, 0, "User");
		name = asy_json_text(json, asy_json_member(json, user, "Username"));
		subject = asy_subject_of(talk, json, user);
		if (name == NULL || subject == NULL)
			return asy_fail(talk, ASY_FAULT_GARBLED, "The user was made, but the answer does not show him.");
		w->username = MemoryContextStrdup(talk->context, name);
		w->subject = talk->created = MemoryContextStrdup(talk->context, subject);
	}
	return go_on(talk, w);
}

const AsyProvider asy_provider_cognito = {
	.name = "cognito",
	.title = "Amazon Cognito",
	.api_path = "",
	.options = options,
	.secrets = secrets,
	.page_size = 60,
	.page_max = 60,
	.concurrency = 4,
	.rate = 30,
	.merge = ASY_MERGES_KEYS,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_PHONE_VERIFIED) | ASY_BIT(ASY_NAME) |
	ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_PICTURE) | ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.authorize = authorize,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_CREATE] = create,
		[ASY_ASK_UPDATE] = update,
		[ASY_ASK_DELETE] = delete,
	},
};
