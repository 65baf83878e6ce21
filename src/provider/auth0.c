/*
 * auth0.c
 *	  Auth0: its Management API v2.
 *
 * Facts that this file stands on, from the documentation and the SDK:
 *	  - no query shows more than its first 1,000 rows, and pages are offsets. So a
 *		listing is walked by time: each request asks for those at or after the
 *		last row's time (inclusive: others may share it), and only where one
 *		instant fills a whole page are its further pages asked for. A deletion
 *		between those shows in the total, and the instant is read once more; an
 *		instant of 1,000 and more is divided by how the ids begin.
 *	  - a short page is no end: how many rows a page may have (100, or 50) is the
 *		tenant's. The end is where nothing new comes any more.
 *	  - total may stop at 1,000; so there is no exact count.
 *	  - lists come from an index that lags; one user alone does not. Signing in
 *		moves updated_at.
 *	  - who was never blocked has no "blocked"; what was never set is absent.
 *	  - a password goes into no PATCH with an e-mail; null clears a field.
 *	  - DELETE says 204 also where nobody was.
 *	  - x-ratelimit-reset stands on every answer, a 503 for a slow search too.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "provider/compose.h"
#include "provider/grant.h"

/* The wall: no query shows more rows. */
#define ROWS_MAX 1000

/* A page of so many may be all that the tenant gives at once. */
#define PAGE_SURE 50

/* How often an instant is read anew because it shrank meanwhile. */
#define REPEATS_MAX 20

static const char *const secrets[] = {"client_secret", NULL};

static const AsyProviderOption options[] = {
	{"client_id", true, NULL, "the client id of the machine-to-machine application"},
	{"audience", false, NULL, "the identifier of the Management API; else the url with /api/v2/"},
	{"connection", false, "Username-Password-Authentication", "the connection that new users belong to"},
	{"verify_email", false, "off", "on: Auth0 sends its verification e-mail to new users and new addresses"},
	{NULL}
};

static const AsyMapping mappings[] = {
	{ASY_ID, "/user_id", 0},
	{ASY_EMAIL, "/email", 0},
	{ASY_PHONE, "/phone_number", 0},
	{ASY_EMAIL_VERIFIED, "/email_verified", 0},
	{ASY_PHONE_VERIFIED, "/phone_verified", 0},
	{ASY_NAME, "/name", 0},
	{ASY_NICKNAME, "/nickname", 0},
	{ASY_PICTURE, "/picture", 0},
	{ASY_BLOCKED, "/blocked", 0},
	{ASY_CREATED_AT, "/created_at", 0},
	{ASY_CREATED_AT, "/created_at/$date", 0},	/* old rows */
	{ASY_UPDATED_AT, "/updated_at", 0},
	{ASY_UPDATED_AT, "/updated_at/$date", 0},
	{ASY_LAST_SIGN_IN_AT, "/last_login", 0},
	{ASY_USER_METADATA, "/user_metadata", 0},
	{ASY_APP_METADATA, "/app_metadata", 0},
	{ASY_IDENTITIES, "/identities", 0},
	{0, NULL, 0}
};

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	(void) talk;
	(void) json;
	(void) node;
	if (wanted & ASY_BIT(ASY_BLOCKED))
		user->value[ASY_BLOCKED].present = true;	/* absent is false */
}

static void
classify(const AsyTalk *talk, int i pg_attribute_unused(), AsyFault *fault)
{
	const char *code = fault->code ? fault->code : "";
	const char *detail = fault->detail ? fault->detail : "";

	if (talk->ask == ASY_ASK_TOKEN)
	{
		/* Under load the token endpoint says 500 and means 429. */
		if (fault->status >= 500 && strstr(detail, "limit"))
			fault->class = ASY_FAULT_THROTTLED;
		else if (fault->status == 403)
			fault->hint = "Authorize the application for the Auth0 Management API, and see the option audience.";
		return;
	}
	if (fault->status == 404 && (strcmp(code, "inexistent_user") == 0 || strstr(detail, "user does not exist")))
		fault->class = ASY_FAULT_MISSING;
	else if (strcmp(code, "operation_not_supported") == 0)
		fault->class = ASY_FAULT_UNSUPPORTED;
	else if (fault->status == 400 && talk->ask == ASY_ASK_LIST && talk->step > 1)
		fault->class = ASY_FAULT_INCOMPLETE;
	else if (fault->status == 400 && strstr(detail, "already exists"))
		fault->class = ASY_FAULT_EXISTS;
	else if (fault->status == 403)
		fault->hint = "Grant it to the application: Auth0 Management API, Machine to Machine Applications.";
}

static AsyTurn
token(AsyTalk *talk)
{
	const char *audience = asy_server_option(talk->server, "audience");
	StringInfo	body;
	AsyRequest *request;

	if (talk->step == 0)
	{
		body = makeStringInfo();
		appendStringInfoChar(body, '{');
		asy_json_put_text(body, "grant_type", "client_credentials");
		asy_json_put_text(body, "client_id", asy_server_option(talk->server, "client_id"));
		asy_json_put_text(body, "client_secret", asy_server_secret(talk->server, secrets[0]));
		asy_json_put_text(body, "audience", audience ? audience : psprintf("%s/api/v2/", talk->server->url));
		appendStringInfoChar(body, '}');
		request = asy_send_url(talk, "POST", psprintf("%s/oauth/token", talk->server->url));
		request->repeatable = true;
		asy_request_body(request, body, "application/json");
		return ASY_SEND;
	}
	return asy_grant_read(talk);
}

/* ---- the listing, by time ---- */

/* Users of one instant whose ids begin alike; before it is divided, all of them. */
typedef struct Part
{
	char	   *prefix;			/* escaped */
	char	   *but;			/* " AND NOT user_id:…*" for each part that was cut off it */
	struct Part *next;
} Part;

typedef struct Walk
{
	const char *field;			/* created_at, updated_at */
	char	   *from;			/* where the window begins */
	TimestampTz at;				/* the same, once a user was seen */
	bool		after;			/* only those later than that */
	Part	   *parts;			/* only those of that very time, part by part, by pages; NULL: not so */
	int			page;
	int64		total;			/* of the part, at the page before */
	int			repeats;
	int			per_page;
	char	   *last;			/* the last user of the page before */
	bool		confirming;		/* the very first page was empty: once more, with the total */
	bool		looking;		/* whether he exists, and once more at a page that was empty */
} Walk;

static char *
to_ms(TimestampTz time)
{
	char	   *text = asy_time_text(time);

	strcpy(strchr(text, '.') + 4, "Z");
	return text;
}

/* Whether an empty answer would be as good as any: then it is asked for in more words. */
static bool
has_total(const Walk *walk)
{
	return walk->parts || walk->after || walk->confirming;
}

static void
ask_page(AsyTalk *talk, const Walk *walk)
{
	const Part *part = walk->parts;
	char	   *q = psprintf("%s:%c%s TO %s]", walk->field, walk->after ? '{' : '[', walk->from, part ? walk->from : "*");

	if (part && part->prefix[0])
		q = psprintf("%s AND user_id:%s*", q, part->prefix);
	if (part)
		q = psprintf("%s%s", q, part->but);
	asy_send(talk, "GET", "/users?q=%s&sort=%s:1&per_page=%d&page=%d&include_totals=%s&search_engine=v3&primary_order=true",
			 asy_http_encode(q), walk->field, walk->per_page, walk->page, has_total(walk) ? "true" : "false");
}

static void
push_part(AsyTalk *talk, Walk *walk, const char *prefix, const char *but)
{
	Part	   *part = MemoryContextAlloc(talk->context, sizeof(Part));

	part->prefix = MemoryContextStrdup(talk->context, prefix);
	part->but = MemoryContextStrdup(talk->context, but);
	part->next = walk->parts;
	walk->parts = part;
	walk->page = 0;
	walk->total = 0;
}

/* What follows that prefix in an id, NULL if it begins otherwise. */
static const char *
past(const char *id, const char *prefix)
{
	for (; *prefix; prefix++, id++)
	{
		prefix += *prefix == '\\';
		if (*id != *prefix)
			return NULL;
	}
	return id;
}

/*
 * More in a part than Auth0 shows of one query: those whose ids go on alike become
 * parts of their own, for each way that this page shows; the rest stays one.
 */
static AsyTurn
divide(AsyTalk *talk, Walk *walk, const AsyJson *json, int users)
{
	Part	   *part = walk->parts;
	Part	   *rest;
	StringInfoData but;
	bool		seen[128] = {false};

	initStringInfo(&but);
	appendStringInfoString(&but, part->but);
	walk->parts = part->next;
	push_part(talk, walk, part->prefix, "");
	rest = walk->parts;
	for (int e = asy_json_first(json, users); e >= 0; e = asy_json_after(json, users, e))
	{
		const char *next = past(asy_subject_of(talk, json, e), part->prefix);
		char	   *prefix;

		if (next == NULL || *next <= ' ' || *next > '~' || seen[(int) *next])
			continue;
		seen[(int) *next] = true;
		prefix = psprintf("%s%s%c", part->prefix, strchr("+-=&><!(){}[]^\"~*?:\\/", *next) ? "\\" : "", *next);
		appendStringInfo(&but, " AND NOT user_id:%s*", prefix);
		push_part(talk, walk, prefix, "");
	}
	if (walk->parts == rest || but.len > 4000)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "%d users or more have %s %s, and Auth0 shows no more of one query.",
						ROWS_MAX, walk->field, walk->from);
	rest->but = MemoryContextStrdup(talk->context, but.data);
	ask_page(talk, walk);
	return ASY_SEND;
}

/* A page of one instant. */
static AsyTurn
list_instant(AsyTalk *talk, Walk *walk, const AsyJson *json)
{
	int			users = asy_json_member(json, 0, "users");
	int64		limit;
	int64		total;
	int64		read;

	if (asy_found_all(talk, 0, users) < 0)
		return ASY_FAIL;
	if (!asy_json_int64(json, asy_json_member(json, 0, "total"), &total) || total < 0)
		return asy_fail(talk, ASY_FAULT_GARBLED, "The list does not say how many users there are (total).");
	if (total >= ROWS_MAX)
		return divide(talk, walk, json, users);
	if (walk->page == 0 && asy_json_int64(json, asy_json_member(json, 0, "limit"), &limit) && limit > 0 && limit < walk->per_page)
		walk->per_page = (int) limit;	/* it gives fewer than were asked for */
	read = (int64) walk->page * walk->per_page + asy_json_count(json, users);
	if (walk->page > 0 && total < walk->total)
	{
		/* Some went, and those behind them moved to pages that were read. */
		if (++walk->repeats > REPEATS_MAX)
			return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The users of %s %s change faster than they can be read.", walk->field, walk->from);
		walk->page = 0;
	}
	else if (read < total && asy_json_count(json, users) == 0)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "A page is empty where users were to come.");
	else if (read < total)
		walk->page++;
	else
	{
		walk->parts = walk->parts->next;
		walk->after = walk->parts == NULL;
		walk->page = 0;
	}
	walk->total = total;
	ask_page(talk, walk);
	return ASY_SEND;
}

/* The first and last time of a page, and its last user; false, with a fault, where it has none or they are out of order. */
static bool
times_of(AsyTalk *talk, Walk *walk, const AsyJson *json, int users, TimestampTz *first, TimestampTz *at)
{
	int			last = -1;

	/* An old row may have an object there, whose place in the order nobody knows: it counts only where all are like it. */
	for (int old = 0; old < 2 && last < 0; old++)
		for (int e = asy_json_first(json, users); e >= 0; e = asy_json_after(json, users, e))
		{
			int			node = asy_json_member(json, e, walk->field);
			TimestampTz time;

			if (!asy_json_time(json, old ? asy_json_member(json, node, "$date") : node, 0, &time))
				continue;
			if (last < 0)
				*first = time;
			else if (time < *at && !talk->in.has_since)
			{
				asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list is not in the order asked for.");
				return false;
			}
			last = e;
			*at = time;
		}
	if (last < 0)
		asy_fail(talk, ASY_FAULT_INCOMPLETE, "No user of a page has a %s to go on from.", walk->field);
	else
		walk->last = MemoryContextStrdup(talk->context, asy_subject_of(talk, json, last));
	return last >= 0;
}

/* An empty page is the end, but not where the one before showed somebody who belongs on it and is not gone. */
static AsyTurn
list_empty(AsyTalk *talk, Walk *walk)
{
	const AsyFault *fault = walk->looking ? talk->answers[0].fault : NULL;

	if (walk->last == NULL && !walk->confirming && !talk->in.has_since)
	{
		walk->confirming = true;
		ask_page(talk, walk);
		return ASY_SEND;
	}
	if (walk->last == NULL || walk->after || (fault && fault->class == ASY_FAULT_MISSING))
		return ASY_DONE;
	if (fault)
		return asy_answer_json(talk, 0) ? ASY_DONE : ASY_FAIL;
	if (walk->looking)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list has become empty, and yet its last user exists.");
	walk->looking = true;
	asy_send(talk, "GET", "/users/%s", asy_http_encode(walk->last));
	ask_page(talk, walk);
	return ASY_SEND;
}

static AsyTurn
list(AsyTalk *talk)
{
	Walk	   *walk = talk->state;
	int			a = walk && walk->looking ? 1 : 0;
	const AsyFault *fault;
	const AsyJson *json;
	int			users;
	TimestampTz first = 0;
	TimestampTz at = 0;
	bool		full;
	int			found;

	if (talk->step == 0)
	{
		walk = talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		walk->field = talk->in.has_since ? "updated_at" : "created_at";
		walk->from = MemoryContextStrdup(talk->context, talk->in.has_since ? to_ms(talk->in.since) : "*");
		walk->at = PG_INT64_MIN;
		walk->per_page = Max(Min(talk->page_size, 100), 1);
		ask_page(talk, walk);
		return ASY_SEND;
	}
	fault = talk->answers[a].fault;
	if (fault && fault->status == 400 && walk->per_page > PAGE_SURE && fault->code && strcmp(fault->code, "invalid_query_string") == 0)
	{
		walk->per_page = PAGE_SURE;
		walk->looking = false;
		ask_page(talk, walk);
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, a)) == NULL)
		return ASY_FAIL;
	if (walk->parts)
		return list_instant(talk, walk, json);
	users = has_total(walk) ? asy_json_member(json, 0, "users") : 0;
	if ((found = asy_found_all(talk, a, users)) < 0)
		return ASY_FAIL;
	if (asy_json_count(json, users) == 0)
		return list_empty(talk, walk);
	walk->looking = false;
	if (!times_of(talk, walk, json, users, &first, &at))
		return ASY_FAIL;
	full = asy_json_count(json, users) >= Min(walk->per_page, PAGE_SURE);
	if (at > walk->at)
	{
		walk->at = at;
		walk->from = MemoryContextStrdup(talk->context, to_ms(at));
		walk->after = false;
		if (full && first == at)
			push_part(talk, walk, "", "");
	}
	else if (walk->after)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list goes back to users before those asked for.");
	else if (full)
		push_part(talk, walk, "", "");
	else if (found == 0)
		return ASY_DONE;
	ask_page(talk, walk);
	return ASY_SEND;
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

/* The look-up is exact. Auth0's own connections keep addresses in lower case, others as they came: so both are asked for. */
static AsyTurn
find(AsyTalk *talk)
{
	const char *forms[] = {asy_lower(talk->in.email), talk->in.email};

	if (talk->step == 0)
	{
		for (int i = 0; i < (strcmp(forms[0], forms[1]) == 0 ? 1 : 2); i++)
			asy_send(talk, "GET", "/users-by-email?email=%s", asy_http_encode(forms[i]));
		return ASY_SEND;
	}
	for (int i = 0; i < talk->nanswers; i++)
	{
		const AsyJson *json = asy_answer_json(talk, i);

		if (json == NULL)
			return ASY_FAIL;
		if (asy_json_kind(json, 0) != ASY_JSON_ARRAY)
			return asy_fail(talk, ASY_FAULT_GARBLED, "There is no list of users in the answer.");
		for (int e = asy_json_first(json, 0); e >= 0; e = asy_json_after(json, 0, e))
		{
			char	   *email = asy_json_text(json, asy_json_member(json, e, "email"));

			if (email && strcmp(email, forms[i]) == 0 && !asy_found(talk, i, e))
				return ASY_FAIL;
		}
	}
	return ASY_DONE;
}

static void
put_value(StringInfo body, const AsyTalk *talk, AsyField field)
{
	const AsyValue *value = asy_given(talk, field);
	const char *name = field == ASY_PHONE ? "phone_number" : asy_fields[field].name;

	if (value == NULL || (!value->present && (talk->ask == ASY_ASK_CREATE || asy_fields[field].type == ASY_BOOL)))
		return;
	if (asy_fields[field].type == ASY_TEXT)
		asy_json_put_text(body, name, value->present ? value->text : NULL);
	else
		asy_json_put_raw(body, name, asy_fields[field].type == ASY_JSON ? asy_metadata_to_send(talk, field) : value->flag ? "true" : "false");
}

/* All but the password; the closing brace is the caller's. */
static StringInfo
body_of(const AsyTalk *talk)
{
	static const AsyField fields[] = {
		ASY_EMAIL, ASY_PHONE, ASY_EMAIL_VERIFIED, ASY_PHONE_VERIFIED, ASY_NAME, ASY_NICKNAME, ASY_PICTURE, ASY_BLOCKED,
		ASY_USER_METADATA, ASY_APP_METADATA
	};
	const char *option = asy_server_option(talk->server, "verify_email");
	bool		mail = false;
	StringInfo	body = makeStringInfo();

	appendStringInfoChar(body, '{');
	for (size_t i = 0; i < lengthof(fields); i++)
		put_value(body, talk, fields[i]);
	if (asy_given(talk, ASY_EMAIL) && asy_given(talk, ASY_EMAIL)->present)
		asy_json_put_raw(body, "verify_email", option && parse_bool(option, &mail) && mail ? "true" : "false");
	return body;
}

static AsyTurn
create(AsyTalk *talk)
{
	const AsyValue *id = asy_given(talk, ASY_ID);
	StringInfo	body;

	if (talk->step > 0)
		return asy_end_with_user(talk);
	body = body_of(talk);
	asy_json_put_text(body, "connection", asy_server_option(talk->server, "connection"));
	put_value(body, talk, ASY_PASSWORD);
	if (id && id->present)
	{
		/* What stands before the bar, the connection says. */
		if (strchr(id->text, '|') == NULL)
			return asy_fail(talk, ASY_FAULT_REJECTED, "An id at Auth0 is the kind of connection, a bar, and what follows: auth0|….");
		asy_json_put_text(body, "user_id", strchr(id->text, '|') + 1);
	}
	appendStringInfoChar(body, '}');
	asy_request_body(asy_send(talk, "POST", "/users"), body, "application/json");
	return ASY_SEND;
}

static void
send_patch(AsyTalk *talk, StringInfo body)
{
	AsyRequest *request = asy_send(talk, "PATCH", "/users/%s", asy_http_encode(talk->in.subject));

	appendStringInfoChar(body, '}');
	request->repeatable = true;
	asy_request_body(request, body, "application/json");
}

/* All but the password first: that is the most that can be wrong, and costs nothing where it is. */
static AsyTurn
update(AsyTalk *talk)
{
	bool	   *password = talk->state;	/* still to be sent */
	StringInfo	body;

	if (talk->step == 0)
	{
		password = talk->state = MemoryContextAllocZero(talk->context, sizeof(bool));
		*password = asy_given(talk, ASY_PASSWORD) && asy_given(talk, ASY_PASSWORD)->present;
		body = body_of(talk);
		if (body->len > 1)
		{
			send_patch(talk, body);
			return ASY_SEND;
		}
		if (!*password)
			return get(talk);
	}
	else if (asy_answer_json(talk, 0) == NULL)
		return ASY_FAIL;
	if (*password)
	{
		*password = false;
		body = makeStringInfo();
		appendStringInfoChar(body, '{');
		put_value(body, talk, ASY_PASSWORD);
		send_patch(talk, body);
		return ASY_SEND;
	}
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

const AsyProvider asy_provider_auth0 = {
	.name = "auth0",
	.title = "Auth0",
	.api_path = "/api/v2",
	.options = options,
	.secrets = secrets,
	.can = ASY_CAN_CHANGES | ASY_CAN_SET_ID,
	.page_size = 100,
	.page_max = 100,
	.concurrency = 4,
	.merge = ASY_MERGES_KEYS,
	.writes = ASY_BIT(ASY_ID) | ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_PHONE_VERIFIED) |
	ASY_BIT(ASY_NAME) | ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_PICTURE) | ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_USER_METADATA) |
	ASY_BIT(ASY_APP_METADATA) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.read_user = read_user,
	.classify = classify,
	.ask = {
		[ASY_ASK_TOKEN] = token,
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_CREATE] = create,
		[ASY_ASK_UPDATE] = update,
		[ASY_ASK_DELETE] = delete,
	},
};
