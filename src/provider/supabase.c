/*
 * supabase.c
 *	  Supabase Auth (GoTrue): its Admin API.
 *
 * Facts that this file stands on, from the server's source (2.196):
 *	  - a list is ordered by created_at alone; its pages are offsets, so that a
 *		deletion moves everybody after it one place down. Walked from the last
 *		page to the first in ascending order, a deletion moves users into pages
 *		not yet read and never out of them, and who signs up meanwhile stands
 *		behind the end.
 *	  - X-Total-Count is counted apart from the page.
 *	  - there is no look-up by e-mail but a filter LIKE '%…%' on the lower-case
 *		address, with % and _ alive in it.
 *	  - no list says what changed, none shows who was deleted.
 *	  - a 404 means that the user is gone only where it says user_not_found.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "provider/provider.h"

static const char *const secrets[] = {"service_key", NULL};

static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{ASY_EMAIL, "/email", 0},
	{ASY_PHONE, "/phone", 0},
	{ASY_NAME, "/user_metadata/full_name", 0},
	{ASY_NAME, "/user_metadata/name", 0},
	{ASY_NICKNAME, "/user_metadata/nickname", 0},
	{ASY_NICKNAME, "/user_metadata/user_name", 0},
	{ASY_PICTURE, "/user_metadata/avatar_url", 0},
	{ASY_PICTURE, "/user_metadata/picture", 0},
	{ASY_CREATED_AT, "/created_at", 0},
	{ASY_UPDATED_AT, "/updated_at", 0},
	{ASY_LAST_SIGN_IN_AT, "/last_sign_in_at", 0},
	{ASY_DELETED_AT, "/deleted_at", 0},
	{ASY_USER_METADATA, "/user_metadata", 0},
	{ASY_APP_METADATA, "/app_metadata", 0},
	{ASY_IDENTITIES, "/identities", 0},
	{0, NULL, 0}
};

static bool
has(const AsyJson *json, int node, const char *member)
{
	AsyJsonKind kind = asy_json_kind(json, asy_json_member(json, node, member));

	return kind != ASY_JSON_NONE && kind != ASY_JSON_NULL;
}

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	(void) talk;
	if (wanted & ASY_BIT(ASY_EMAIL_VERIFIED))
	{
		user->value[ASY_EMAIL_VERIFIED].present = true;
		user->value[ASY_EMAIL_VERIFIED].flag = has(json, node, "email_confirmed_at");
	}
	if (wanted & ASY_BIT(ASY_PHONE_VERIFIED))
	{
		user->value[ASY_PHONE_VERIFIED].present = true;
		user->value[ASY_PHONE_VERIFIED].flag = has(json, node, "phone_confirmed_at");
	}
	if (wanted & ASY_BIT(ASY_BLOCKED))
	{
		TimestampTz until;

		user->value[ASY_BLOCKED].present = true;
		user->value[ASY_BLOCKED].flag = asy_json_time(json, asy_json_member(json, node, "banned_until"), 0, &until) &&
			until > GetCurrentTimestamp();
	}
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	const AsyAnswer *answer = &talk->answers[i];
	const char *code = fault->code ? fault->code : "";

	if (fault->status == 404)
		fault->class = strcmp(code, "user_not_found") == 0 ? ASY_FAULT_MISSING :
			strcmp(code, "validation_failed") == 0 ? ASY_FAULT_MISSING :	/* the id is no UUID: nobody has it */
			strcmp(code, "feature_disabled") == 0 ? ASY_FAULT_UNSUPPORTED : ASY_FAULT_ADDRESS;
	else if (fault->status == 403)
		fault->class = strcmp(code, "not_admin") == 0 ? ASY_FAULT_SCOPE : ASY_FAULT_KEY;
	else if (fault->status == 422 && (strcmp(code, "email_exists") == 0 || strcmp(code, "phone_exists") == 0))
		fault->class = ASY_FAULT_EXISTS;
	else if (fault->status == 500 && answer->has_json)
	{
		/* What a trigger or a constraint of the database said comes through with its own SQLSTATE. */
		if (strcmp(code, "23505") == 0)
			fault->class = ASY_FAULT_EXISTS;
		else if (strcmp(code, "P0001") == 0 || strncmp(code, "23", 2) == 0)
			fault->class = ASY_FAULT_REJECTED;
	}
	if (fault->class == ASY_FAULT_SCOPE)
		fault->hint = "It takes the service_role key (or a secret key, sb_secret_…), not the anon one.";
}

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	const char *key = asy_server_secret(talk->server, secrets[0]);

	/* GoTrue looks at the one, the gateway before it at the other. */
	asy_request_header(request, "apikey", key);
	asy_request_header(request, "Authorization", psprintf("Bearer %s", key));
}

/* ---- the listing: how many there are, then from the last page to the first ---- */

/* How many users the list says that there are; -1, with a fault, where it does not, or is none. */
static int64
total_of(AsyTalk *talk)
{
	const AsyJson *json = asy_answer_json(talk, 0);
	char	   *total;

	if (json == NULL)
		return -1;
	if (asy_json_kind(json, asy_json_member(json, 0, "users")) != ASY_JSON_ARRAY)
	{
		asy_found_all(talk, 0, -1);
		return -1;
	}
	total = asy_http_header(talk->answers[0].http, "x-total-count");
	if (total == NULL || total[0] == '\0' || strspn(total, "0123456789") != strlen(total) || strlen(total) > 15)
	{
		asy_fail(talk, ASY_FAULT_GARBLED, "The list does not say how many users there are (X-Total-Count).");
		return -1;
	}
	return strtoll(total, NULL, 10);
}

static void
ask_page(AsyTalk *talk, int64 page, int per_page)
{
	asy_send(talk, "GET", "/admin/users?page=" INT64_FORMAT "&per_page=%d&sort=created_at+asc", page, per_page);
}

static int64
pages_of(const AsyTalk *talk, int64 users)
{
	return (users + talk->page_size - 1) / talk->page_size;
}

static AsyTurn
list(AsyTalk *talk)
{
	typedef struct
	{
		int64		page;		/* the one just asked for; 0: the count */
		int64		total;
	}			Walk;
	Walk	   *walk = talk->state;
	int64		total;
	int			users;

	if (talk->step == 0)
	{
		talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		ask_page(talk, 1, 1);
		return ASY_SEND;
	}
	if ((total = total_of(talk)) < 0)
		return ASY_FAIL;
	if (walk->page == 0)
	{
		walk->total = total;
		walk->page = pages_of(talk, total);
		if (walk->page == 0)
			return ASY_DONE;
		ask_page(talk, walk->page, talk->page_size);
		return ASY_SEND;
	}
	users = asy_json_member(&talk->answers[0].json, 0, "users");
	if (asy_found_all(talk, 0, users) < 0)
		return ASY_FAIL;

	/* Nothing but deletions makes a page shorter, and those are counted. Where one is empty that should be full, all below it may be. */
	walk->total = Min(walk->total, total);
	walk->page = Min(walk->page - 1, pages_of(talk, total));
	if (walk->page == 0 || (asy_json_count(&talk->answers[0].json, users) == 0 && total / talk->page_size > walk->page))
	{
		if (talk->distinct < walk->total)
			return asy_fail(talk, ASY_FAULT_INCOMPLETE, INT64_FORMAT " users came of " INT64_FORMAT " that there are.", talk->distinct, walk->total);
		return ASY_DONE;
	}
	ask_page(talk, walk->page, talk->page_size);
	return ASY_SEND;
}

static AsyTurn
count(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		ask_page(talk, 1, 1);
		return ASY_SEND;
	}
	if ((talk->count = total_of(talk)) < 0)
		return ASY_FAIL;
	return ASY_DONE;
}

/* ---- one user ---- */

static AsyTurn
get(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/admin/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	if (asy_answer_json(talk, 0) == NULL || !asy_found(talk, 0, 0))
		return ASY_FAIL;
	return ASY_DONE;
}

/*
 * The filter finds more than is wanted, and goes on to the next page only
 * where all of this one came by accident.
 */
static AsyTurn
find(AsyTalk *talk)
{
	const int	per_page = 50;
	const AsyJson *json;
	int			users;
	bool		full;

	if (talk->step > 0)
	{
		if ((json = asy_answer_json(talk, 0)) == NULL)
			return ASY_FAIL;
		users = asy_json_member(json, 0, "users");
		full = asy_json_count(json, users) >= per_page;
		if (asy_found_all(talk, 0, users) < 0)
			return ASY_FAIL;
		if (!full)
			return ASY_DONE;
	}
	asy_send(talk, "GET", "/admin/users?page=%d&per_page=%d&sort=created_at+asc&filter=%s", talk->step + 1, per_page,
			 asy_http_encode(asy_lower(talk->in.email)));
	return ASY_SEND;
}

static void
put_value(StringInfo body, const AsyTalk *talk, AsyField field, const char *name)
{
	const AsyValue *value = asy_given(talk, field);

	if (value && value->present)
		asy_json_put_text(body, name, value->text);
}

static StringInfo
body_of(const AsyTalk *talk)
{
	StringInfo	body = makeStringInfo();
	const AsyValue *value;

	appendStringInfoChar(body, '{');
	if (talk->ask == ASY_ASK_CREATE)
	{
		put_value(body, talk, ASY_ID, "id");
		put_value(body, talk, ASY_PASSWORD_HASH, "password_hash");
	}
	put_value(body, talk, ASY_EMAIL, "email");
	put_value(body, talk, ASY_PHONE, "phone");
	put_value(body, talk, ASY_PASSWORD, "password");
	if ((value = asy_given(talk, ASY_EMAIL_VERIFIED)) != NULL && value->present && value->flag)
		asy_json_put_raw(body, "email_confirm", "true");
	if ((value = asy_given(talk, ASY_PHONE_VERIFIED)) != NULL && value->present && value->flag)
		asy_json_put_raw(body, "phone_confirm", "true");
	if ((value = asy_given(talk, ASY_BLOCKED)) != NULL && value->present && (value->flag || talk->ask == ASY_ASK_UPDATE))
		asy_json_put_text(body, "ban_duration", value->flag ? "876000h" : "none");	/* a hundred years: there is no "for ever" */
	if (asy_given(talk, ASY_USER_METADATA))
		asy_json_put_raw(body, "user_metadata", asy_metadata_to_send(talk, ASY_USER_METADATA));
	if (asy_given(talk, ASY_APP_METADATA))
		asy_json_put_raw(body, "app_metadata", asy_metadata_to_send(talk, ASY_APP_METADATA));
	appendStringInfoChar(body, '}');
	return body;
}

static AsyTurn
put_user(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		AsyRequest *request = talk->ask == ASY_ASK_CREATE ? asy_send(talk, "POST", "/admin/users") :
			asy_send(talk, "PUT", "/admin/users/%s", asy_http_encode(talk->in.subject));

		asy_request_body(request, body_of(talk), "application/json");
		return ASY_SEND;
	}
	if (asy_answer_json(talk, 0) == NULL || !asy_found(talk, 0, 0))
		return ASY_FAIL;
	return ASY_DONE;
}

static AsyTurn
remove_user(AsyTalk *talk)
{
	if (talk->step == 0)
	{
		asy_send(talk, "DELETE", "/admin/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return asy_good(talk) ? ASY_DONE : ASY_FAIL;
}

const AsyProvider asy_provider_supabase = {
	.name = "supabase",
	.title = "Supabase Auth",
	.api_path = "/auth/v1",
	.secrets = secrets,
	.can = ASY_CAN_SET_ID | ASY_CAN_SET_HASH,
	.page_size = 1000,
	.concurrency = 8,
	.merge = ASY_MERGES_KEYS,
	.writes = ASY_BIT(ASY_ID) | ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_PHONE_VERIFIED) |
	ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_APP_METADATA) | ASY_BIT(ASY_PASSWORD) | ASY_BIT(ASY_PASSWORD_HASH),
	.mappings = mappings,
	.authorize = authorize,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_COUNT] = count,
		[ASY_ASK_CREATE] = put_user,
		[ASY_ASK_UPDATE] = put_user,
		[ASY_ASK_DELETE] = remove_user,
	},
};
