/*
 * clerk.c
 *	  Clerk: its Backend API.
 *
 * Facts that this file stands on, from its OpenAPI description:
 *	  - a deep offset times out, and offsets lose users when others are deleted:
 *		the list is walked by starting_after, which created_at's order allows.
 *	  - no filter says what was updated; users/count is exact.
 *	  - e-mails and phones are lists; the main one is known by its id. Those that
 *		this side adds are verified at once, and adding one makes it the main
 *		one, but leaves the others.
 *	  - from the version of 2026-05-12 on, metadata are changed by a call of their
 *		own: merged at every level, null removes. Blocking is a call of its own too.
 *	  - times are milliseconds.
 *
 * unsafe_metadata are our user_metadata: the user writes them himself. Only this
 * side writes public_metadata, and he reads them: our app_metadata, which rights
 * may hang on. private_metadata stand in raw alone. Blocked is "banned"; "locked",
 * by wrong passwords and for an hour, is not.
 */
#include "postgres.h"

#include "provider/compose.h"

static const char *const secrets[] = {"secret_key", NULL};

static const AsyProviderOption options[] = {
	{"api_version", false, "2026-05-12", "the version of Clerk's API to speak"},
	{NULL}
};

static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{ASY_NICKNAME, "/username", 0},
	{ASY_BLOCKED, "/banned", 0},
	{ASY_CREATED_AT, "/created_at", 1000},
	{ASY_UPDATED_AT, "/updated_at", 1000},
	{ASY_LAST_SIGN_IN_AT, "/last_sign_in_at", 1000},
	{ASY_USER_METADATA, "/unsafe_metadata", 0},
	{ASY_APP_METADATA, "/public_metadata", 0},
	{ASY_IDENTITIES, "/external_accounts", 0},
	{0, NULL, 0}
};

/* The main e-mail or phone; -1 if there is none. */
static int
main_one(const AsyJson *json, int node, const char *list, const char *which)
{
	char	   *id = asy_json_text(json, asy_json_member(json, node, which));
	int			array = asy_json_member(json, node, list);

	for (int e = asy_json_first(json, array); id && e >= 0; e = asy_json_after(json, array, e))
		if (asy_json_is(json, asy_json_member(json, e, "id"), id))
			return e;
	return -1;
}

static void
read_address(const AsyJson *json, int address, const char *name, AsyField field, AsyField verified, uint32 wanted, AuthUser *user)
{
	if (address < 0)
		return;
	if (wanted & ASY_BIT(field))
		asy_read_field(json, asy_json_member(json, address, name), field, 0, user);
	if (wanted & ASY_BIT(verified))
	{
		user->value[verified].present = true;
		user->value[verified].flag = asy_json_is(json, asy_json_pointer(json, address, "/verification/status"), "verified");
	}
}

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	(void) talk;
	read_address(json, main_one(json, node, "email_addresses", "primary_email_address_id"), "email_address",
				 ASY_EMAIL, ASY_EMAIL_VERIFIED, wanted, user);
	read_address(json, main_one(json, node, "phone_numbers", "primary_phone_number_id"), "phone_number",
				 ASY_PHONE, ASY_PHONE_VERIFIED, wanted, user);
	if (wanted & ASY_BIT(ASY_NAME))
	{
		char	   *first = asy_json_text(json, asy_json_member(json, node, "first_name"));
		char	   *last = asy_json_text(json, asy_json_member(json, node, "last_name"));

		user->value[ASY_NAME].text = psprintf("%s%s%s", first ? first : "", first && last && first[0] && last[0] ? " " : "", last ? last : "");
		user->value[ASY_NAME].present = user->value[ASY_NAME].text[0] != '\0';
	}
	/* Without an image of his own the url leads to one that Clerk drew. */
	if ((wanted & ASY_BIT(ASY_PICTURE)) && asy_json_kind(json, asy_json_member(json, node, "has_image")) != ASY_JSON_FALSE)
		asy_read_field(json, asy_json_member(json, node, "image_url"), ASY_PICTURE, 0, user);
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	const char *code = fault->code ? fault->code : "";

	(void) i;
	(void) talk;
	if (strcmp(code, "form_identifier_exists") == 0)
		fault->class = ASY_FAULT_EXISTS;
}

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	const char *version = asy_server_option(talk->server, "api_version");

	asy_request_header(request, "Authorization", psprintf("Bearer %s", asy_server_secret(talk->server, secrets[0])));
	asy_request_header(request, "Clerk-API-Version", version ? version : options[0].byname);
}

/* ---- lists ---- */

static void
ask_after(AsyTalk *talk, const char *id)
{
	asy_send(talk, "GET", "/users?limit=%d&order_by=%%2Bcreated_at%s%s", Max(Min(talk->page_size, 500), 1),
			 id ? "&starting_after=" : "", id ? asy_http_encode(id) : "");
}

/* A short page may be all that Clerk gives at once: only an empty one is the last. */
static bool
has_more(const AsyJson *json)
{
	return asy_json_count(json, 0) > 0;
}

static AsyTurn
list(AsyTalk *talk)
{
	static bool counting;		/* its address says in the state that the count is asked for */
	AsyTurn		turn;
	int64		there;

	if (talk->state == &counting)
	{
		const AsyJson *json = asy_answer_json(talk, 0);

		if (json == NULL || !asy_json_int64(json, asy_json_member(json, 0, "total_count"), &there))
			return talk->fault ? ASY_FAIL : asy_fail(talk, ASY_FAULT_GARBLED, "The answer has no total_count.");
		return there == 0 ? ASY_DONE : asy_fail(talk, ASY_FAULT_INCOMPLETE, "Nobody came of " INT64_FORMAT " users that there are.", there);
	}
	turn = asy_list_after(talk, "", "/users", ask_after, has_more);
	if (turn == ASY_DONE && talk->distinct == 0)
	{
		/* Nobody at all is worth a second look. */
		talk->state = &counting;
		asy_send(talk, "GET", "/users/count");
		return ASY_SEND;
	}
	return turn;
}

static AsyTurn
count(AsyTalk *talk)
{
	const AsyJson *json;

	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/users/count");
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (!asy_json_int64(json, asy_json_member(json, 0, "total_count"), &talk->count) || talk->count < 0)
		return asy_fail(talk, ASY_FAULT_GARBLED, "The answer has no total_count.");
	return ASY_DONE;
}

/* Those with either form, each once; of any of their addresses, which is for the asker to see. */
static AsyTurn
find(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		char	   *lower = asy_lower(talk->in.email);

		asy_send(talk, "GET", "/users?limit=500&email_address=%s%s%s", asy_http_encode(lower),
				 strcmp(lower, talk->in.email) == 0 ? "" : "&email_address=", strcmp(lower, talk->in.email) == 0 ? "" : asy_http_encode(talk->in.email));
		return ASY_SEND;
	}
	return asy_answer_json(talk, 0) && asy_found_all(talk, 0, 0) >= 0 ? ASY_DONE : ASY_FAIL;
}

/* ---- one user ---- */

/* Its 404 is the same for a user who is not there and for a path that is none: the list tells. */
static bool
is_probe(AsyTalk *talk, bool *probing, AsyTurn *turn)
{
	return asy_is_probe(talk, probing, "/users?limit=1", turn);
}

static AsyTurn
get(AsyTalk *talk)
{
	AsyTurn		turn;

	if (talk->step == 0)
	{
		talk->state = MemoryContextAllocZero(talk->context, sizeof(bool));
		asy_send(talk, "GET", "/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return is_probe(talk, talk->state, &turn) ? turn : asy_end_with_user(talk);
}

/* A field as text, or as the only one of a list; null where an update empties it. */
static void
put_value(StringInfo body, const AsyTalk *talk, AsyField field, const char *name, bool listed)
{
	const AsyValue *value = asy_given(talk, field);

	if (value == NULL || (!value->present && talk->ask == ASY_ASK_CREATE))
		return;
	asy_json_put_raw(body, name, listed ? "[" : "");
	if (value->present)
		asy_json_put_text(body, NULL, value->text);
	else
		appendStringInfoString(body, "null");
	if (listed)
		appendStringInfoChar(body, ']');
}

static void
put_profile(StringInfo body, const AsyTalk *talk)
{
	const AsyValue *name = asy_given(talk, ASY_NAME);
	const char *blank = name && name->present ? strrchr(name->text, ' ') : NULL;

	if (name && (name->present || talk->ask == ASY_ASK_UPDATE))
	{
		asy_json_put_text(body, "first_name", blank ? pnstrdup(name->text, blank - name->text) : name->present ? name->text : NULL);
		asy_json_put_text(body, "last_name", blank ? blank + 1 : NULL);
	}
	put_value(body, talk, ASY_NICKNAME, "username", false);
	if (asy_given(talk, ASY_PASSWORD) && asy_given(talk, ASY_PASSWORD)->present)
		put_value(body, talk, ASY_PASSWORD, "password", false);
	else if (talk->ask == ASY_ASK_CREATE)
		asy_json_put_raw(body, "skip_password_requirement", "true");
}

static void
put_metadata(StringInfo body, const AsyTalk *talk)
{
	if (asy_given(talk, ASY_USER_METADATA))
		asy_json_put_raw(body, "unsafe_metadata", asy_metadata_to_send(talk, ASY_USER_METADATA));
	if (asy_given(talk, ASY_APP_METADATA))
		asy_json_put_raw(body, "public_metadata", asy_metadata_to_send(talk, ASY_APP_METADATA));
}

/* What an update may be made of, in the order of its calls. */
typedef enum Part
{
	BEFORE,						/* his addresses, where one is given */
	EMAIL,
	PHONE,
	PROFILE,
	METADATA,
	BLOCKED,
	AFTER,						/* where the last answer was no user */
	NPARTS
} Part;

typedef struct Write
{
	int			part;			/* the one to come */
	bool		has_user;		/* the last answer is one */
	bool		probing;		/* whether the list is where it should be */
	const char *subject;
	const char *known[NPARTS];	/* EMAIL, PHONE: the id of that address, where he has it already */
	bool		is_main[NPARTS];
} Write;

/* Whether the address given is one that he has. */
static void
look_for(AsyTalk *talk, Write *write, const AsyJson *json, Part part, AsyField field, const char *name, const char *list, const char *which)
{
	const AsyValue *value = asy_given(talk, field);
	int			array = asy_json_member(json, 0, list);

	for (int e = asy_json_first(json, array); e >= 0 && value && value->present; e = asy_json_after(json, array, e))
	{
		char	   *address = asy_json_text(json, asy_json_member(json, e, name));
		char	   *id = asy_json_text(json, asy_json_member(json, e, "id"));

		if (address == NULL || id == NULL || strcmp(asy_lower(address), asy_lower(value->text)) != 0)
			continue;
		write->known[part] = MemoryContextStrdup(talk->context, id);
		write->is_main[part] = e == main_one(json, 0, list, which);
	}
}

/* An address: a new one, or one of his becomes the main one. An empty one is left alone: Clerk has none. */
static AsyRequest *
send_address(AsyTalk *talk, const Write *write, AsyField field, const char *name, const char *path)
{
	StringInfo	body = makeStringInfo();
	AsyRequest *request;

	if (asy_given(talk, field) == NULL || !asy_given(talk, field)->present || write->is_main[write->part])
		return NULL;
	appendStringInfoChar(body, '{');
	if (write->known[write->part])
		request = asy_send(talk, "PATCH", "%s/%s", path, asy_http_encode(write->known[write->part]));
	else
	{
		asy_json_put_text(body, "user_id", write->subject);
		put_value(body, talk, field, name, false);
		request = asy_send(talk, "POST", "%s", path);
	}
	asy_json_put_raw(body, "verified", "true");
	asy_json_put_raw(body, "primary", "true");
	appendStringInfoChar(body, '}');
	asy_request_body(request, body, "application/json");
	return request;
}

static AsyRequest *
send_one(AsyTalk *talk, const Write *write)
{
	const AsyValue *blocked = asy_given(talk, ASY_BLOCKED);
	const char *user = asy_http_encode(write->subject);
	StringInfo	body = makeStringInfo();
	AsyRequest *request;

	switch ((Part) write->part)
	{
		case BEFORE:
			return asy_given(talk, ASY_EMAIL) || asy_given(talk, ASY_PHONE) ? asy_send(talk, "GET", "/users/%s", user) : NULL;
		case EMAIL:
			return send_address(talk, write, ASY_EMAIL, "email_address", "/email_addresses");
		case PHONE:
			return send_address(talk, write, ASY_PHONE, "phone_number", "/phone_numbers");
		case BLOCKED:
			if (blocked == NULL || !blocked->present || (!blocked->flag && talk->ask == ASY_ASK_CREATE))
				return NULL;
			return asy_send(talk, "POST", "/users/%s/%s", user, blocked->flag ? "ban" : "unban");
		case AFTER:
			return write->has_user ? NULL : asy_send(talk, "GET", "/users/%s", user);
		default:
			appendStringInfoChar(body, '{');
			if (write->part == PROFILE)
				put_profile(body, talk);
			else
				put_metadata(body, talk);
			if (body->len == 1)
				return NULL;
			appendStringInfoChar(body, '}');
			request = asy_send(talk, "PATCH", "/users/%s%s", user, write->part == METADATA ? "/metadata" : "");
			request->repeatable = true;
			asy_request_body(request, body, "application/json");
			return request;
	}
}

/* One call after the other; the last answer that is a user is what he has become. */
static AsyTurn
write_user(AsyTalk *talk)
{
	Write	   *write = talk->state;
	const AsyJson *json = NULL;
	AsyTurn		turn;

	if (talk->step == 0)
	{
		write = talk->state = MemoryContextAllocZero(talk->context, sizeof(Write));
		write->subject = talk->in.subject;
		if (talk->ask == ASY_ASK_CREATE)
		{
			StringInfo	body = makeStringInfo();

			appendStringInfoChar(body, '{');
			put_value(body, talk, ASY_EMAIL, "email_address", true);
			put_value(body, talk, ASY_PHONE, "phone_number", true);
			put_profile(body, talk);
			put_metadata(body, talk);
			appendStringInfoChar(body, '}');
			asy_request_body(asy_send(talk, "POST", "/users"), body, "application/json");
			return ASY_SEND;
		}
	}
	else if (is_probe(talk, &write->probing, &turn))
		return turn;
	else if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (json && talk->step == 1 && talk->ask == ASY_ASK_CREATE)
	{
		char	   *id = asy_subject_of(talk, json, 0);

		if (id == NULL)
			return asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
		write->subject = talk->created = MemoryContextStrdup(talk->context, id);
		write->has_user = true;
		write->part = BLOCKED;
	}
	else if (json && write->part == BEFORE + 1)
	{
		look_for(talk, write, json, EMAIL, ASY_EMAIL, "email_address", "email_addresses", "primary_email_address_id");
		look_for(talk, write, json, PHONE, ASY_PHONE, "phone_number", "phone_numbers", "primary_phone_number_id");
	}
	for (; write->part < NPARTS; write->part++)
		if (send_one(talk, write))
		{
			write->has_user = write->part != EMAIL && write->part != PHONE;
			write->part++;
			return ASY_SEND;
		}
	return asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
}

static AsyTurn
delete(AsyTalk *talk)
{
	AsyTurn		turn;

	if (talk->step == 0)
	{
		talk->state = MemoryContextAllocZero(talk->context, sizeof(bool));
		asy_send(talk, "DELETE", "/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	if (is_probe(talk, talk->state, &turn))
		return turn;
	return asy_good(talk) ? ASY_DONE : ASY_FAIL;
}

const AsyProvider asy_provider_clerk = {
	.name = "clerk",
	.title = "Clerk",
	.api_path = "/v1",
	.options = options,
	.secrets = secrets,
	.page_size = 500,
	.page_max = 500,
	.concurrency = 8,
	.merge = ASY_MERGES_DEEP,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_NAME) | ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_BLOCKED) |
	ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_APP_METADATA) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.authorize = authorize,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_COUNT] = count,
		[ASY_ASK_CREATE] = write_user,
		[ASY_ASK_UPDATE] = write_user,
		[ASY_ASK_DELETE] = delete,
	},
};
