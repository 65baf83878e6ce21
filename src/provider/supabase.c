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
 *	  - users of one created_at stand in an order that depends on the page: one
 *		may be on both sides of a border, or on neither. So those at a border are
 *		read once more, within one page.
 *	  - there is no look-up by e-mail but a filter LIKE '%…%' on the address,
 *		with %, _ and \ alive in it.
 *	  - no list says what changed, none shows who was deleted.
 *	  - a 404 means that the user is gone only where it says user_not_found.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "ground/parse.h"
#include "provider/compose.h"

/* What bcrypt takes. */
#define PASSWORD_MAX 72

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
		const char *detail = fault->detail ? fault->detail : "";

		if (strcmp(code, "23505") == 0)
			fault->class = strstr(detail, "\"users_") || strstr(detail, "\"identities_") ? ASY_FAULT_EXISTS : ASY_FAULT_REJECTED;
		else if (strcmp(code, "23503") == 0 && talk->ask == ASY_ASK_DELETE)
			fault->class = ASY_FAULT_REFERRED;
		else if (strcmp(code, "P0001") == 0 || strncmp(code, "23", 2) == 0)
			fault->class = ASY_FAULT_REJECTED;
	}
	if (fault->class == ASY_FAULT_BROKEN && fault->detail && strstr(fault->detail, "Database error finding user"))
		fault->hint = "A row of auth.users may hold NULL where the server wants ''; authsync.lint() in that database names it (user_null).";
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

/* A page that is shorter than it should be is asked for again so often: the count is taken apart from it. */
#define SHORT_MAX 5

/* Window around users of one time: rows on either side of them at first, and how often it may grow. */
#define WINDOW_MARGIN 16
#define WINDOWS_MAX 8

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

typedef struct Walk
{
	int64		page;			/* the one asked for; 0: the count */
	int64		size;			/* users a page */
	int			shorts;
	bool		above;			/* a page was read: its first user's time is first */
	TimestampTz first;

	/* Users of one time over a border between pages: their order is not the same in both. */
	bool		tied;
	TimestampTz tie;
	int64		to;				/* position behind the last of them */
	int64		from;			/* and of the first */
	int64		next_to;		/* the same as to, of those who begin the page below */
	bool		in_window;
	int64		margin;
	int			windows;
} Walk;

static void
ask_page(AsyTalk *talk, int64 page, int64 per_page)
{
	asy_send(talk, "GET", "/admin/users?page=" INT64_FORMAT "&per_page=" INT64_FORMAT "&sort=created_at+asc", page, per_page);
}

/* One page that has all from from to to in it. */
static AsyTurn
ask_window(AsyTalk *talk, Walk *walk)
{
	int64		from = Max(walk->from - walk->margin, 0);
	int64		to = walk->to + walk->margin;
	int64		size = to - from;

	while (from / size != (to - 1) / size)
		size++;
	walk->in_window = true;
	ask_page(talk, from / size + 1, size);
	return ASY_SEND;
}

/* The time of a user; false, with a fault, where he has none. */
static bool
time_of(AsyTalk *talk, const AsyJson *json, int user, TimestampTz *time)
{
	if (asy_json_time(json, asy_json_member(json, user, "created_at"), 0, time))
		return true;
	asy_fail(talk, ASY_FAULT_GARBLED, "A user of the list has no created_at.");
	return false;
}

/* Goes on with the page below, or ends. */
static AsyTurn
go_down(AsyTalk *talk, Walk *walk)
{
	walk->in_window = false;
	walk->shorts = 0;
	if (--walk->page == 0)
		return ASY_DONE;
	ask_page(talk, walk->page, walk->size);
	return ASY_SEND;
}

/* The window shows all of that time only where it shows somebody before and somebody after them, or the ends of the list. */
static AsyTurn
read_window(AsyTalk *talk, Walk *walk, const AsyJson *json, int users, int64 total)
{
	int64		first = Max(walk->from - walk->margin, 0);
	int64		last = walk->to + walk->margin;
	TimestampTz time = walk->tie;
	bool		before = first == 0;
	bool		after = last >= total;

	for (int e = asy_json_first(json, users); e >= 0; e = asy_json_after(json, users, e))
	{
		if (!time_of(talk, json, e, &time))
			return ASY_FAIL;
		before |= time < walk->tie;
		after |= time > walk->tie;
	}
	if (!before || !after)
	{
		if (++walk->windows > WINDOWS_MAX)
			return asy_fail(talk, ASY_FAULT_INCOMPLETE, "Users who were created at one time stand on several pages, and move faster than they can be read.");
		walk->margin *= 4;
		return ask_window(talk, walk);
	}
	walk->tied = false;
	walk->to = walk->next_to;
	return go_down(talk, walk);
}

/*
 * Whether the border above this page runs through users of one time. They are
 * read once more, in one page, as soon as the first of them was seen.
 */
static AsyTurn
look_at_border(AsyTalk *talk, Walk *walk, const AsyJson *json, int users)
{
	int64		begin = (walk->page - 1) * walk->size;
	int			before = 0;		/* users of this page before those of the first one's time above */
	int			alike = 0;		/* users at its begin who have one time */
	int			n = 0;
	TimestampTz lowest = 0;
	TimestampTz time = 0;

	for (int e = asy_json_first(json, users); e >= 0; e = asy_json_after(json, users, e), n++)
	{
		if (!time_of(talk, json, e, &time))
			return ASY_FAIL;
		if (n == 0)
			lowest = time;
		if (time == lowest)
			alike = n + 1;
		if (walk->above && time < walk->first)
			before = n + 1;
	}
	if (n == 0)
		return go_down(talk, walk);
	if (walk->above && time == walk->first)
		walk->tied = true;
	if (walk->tied)
	{
		walk->tie = walk->first;
		walk->from = begin + before;
		if (before == 0 && walk->page > 1)
			return go_down(talk, walk);	/* the whole page is of that time: it goes on below */
		walk->margin = WINDOW_MARGIN;
		walk->windows = 0;
		walk->first = lowest;
		walk->next_to = begin + alike;
		return ask_window(talk, walk);
	}
	walk->above = true;
	walk->first = lowest;
	walk->to = begin + alike;
	return go_down(talk, walk);
}

static AsyTurn
list(AsyTalk *talk)
{
	Walk	   *walk = talk->state;
	const AsyFault *fault;
	const AsyJson *json;
	int64		total;
	int64		expected;
	int			users;

	if (talk->step == 0)
	{
		walk = talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		walk->size = talk->page_size;
		ask_page(talk, 1, 1);
		return ASY_SEND;
	}
	fault = talk->answers[0].fault;
	if (fault && fault->class == ASY_FAULT_TOO_LONG && walk->page > 0 && !walk->in_window && walk->size > 1)
	{
		/* Users with much metadata: the same ones, half as many at once, or fewer, so that a page ends where this one did. */
		int64		end = walk->page * walk->size;

		walk->size /= 2;
		while (end % walk->size != 0)
			walk->size--;
		walk->page = end / walk->size;
		ask_page(talk, walk->page, walk->size);
		return ASY_SEND;
	}
	if ((total = total_of(talk)) < 0)
		return ASY_FAIL;
	if (walk->page == 0)
	{
		walk->page = (total + walk->size - 1) / walk->size;
		if (walk->page == 0)
			return ASY_DONE;
		ask_page(talk, walk->page, walk->size);
		return ASY_SEND;
	}
	json = &talk->answers[0].json;
	users = asy_json_member(json, 0, "users");
	if (asy_found_all(talk, 0, users) < 0)
		return ASY_FAIL;
	if (walk->in_window)
		return read_window(talk, walk, json, users, total);

	/*
	 * How many come in all is no proof: one who goes and one who comes between
	 * two pages leave the count as it was. But each page must be full, else
	 * somebody gives fewer at once than were asked for.
	 */
	expected = Min(walk->size, total - (walk->page - 1) * walk->size);
	if (expected <= 0 && asy_json_count(json, users) == 0)
	{
		/* Far behind the end, which was elsewhere when they were counted: not every page of nobody is asked for. */
		walk->page = Min(walk->page, total / walk->size + 2);
		return go_down(talk, walk);
	}
	if (asy_json_count(json, users) < expected)
	{
		if (++walk->shorts > SHORT_MAX)
			return asy_fail(talk, ASY_FAULT_INCOMPLETE, "Page " INT64_FORMAT " has %d users, where " INT64_FORMAT " were to come; server option page_size asks for fewer.",
							walk->page, asy_json_count(json, users), expected);
		ask_page(talk, walk->page, walk->size);
		return ASY_SEND;
	}
	return look_at_border(talk, walk, json, users);
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

/* No other id is anybody's; and the server takes any spelling of one. */
static bool
is_uuid(const char *text)
{
	pg_uuid_t	uuid;

	return asy_parse_uuid(text, strlen(text), &uuid);
}

static AsyTurn
get(AsyTalk *talk)
{
	if (!is_uuid(talk->in.subject))
		return asy_fail(talk, ASY_FAULT_MISSING, "An id of Supabase Auth is a UUID.");
	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/admin/users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return asy_end_with_user(talk);
}

/* As a pattern of LIKE that means just this text. */
static char *
literal_pattern(const char *text)
{
	StringInfoData pattern;

	initStringInfo(&pattern);
	for (; *text; text++)
	{
		if (strchr("%_\\", *text))
			appendStringInfoChar(&pattern, '\\');
		appendStringInfoChar(&pattern, *text);
	}
	return pattern.data;
}

/* The filter finds it anywhere in the address or the full name; another page follows only where this one is full. */
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
			 asy_http_encode(literal_pattern(talk->in.email)));
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

/* What the server would ignore without a word, or stumble over, is refused here. */
static bool
can_be_written(AsyTalk *talk)
{
	static const AsyField kept[] = {ASY_EMAIL, ASY_PHONE, ASY_PASSWORD};
	static const AsyField confirmed[] = {ASY_EMAIL_VERIFIED, ASY_PHONE_VERIFIED};
	const AsyValue *password = asy_given(talk, ASY_PASSWORD);

	if (password && password->present && strlen(password->text) > PASSWORD_MAX)
		return asy_fail(talk, ASY_FAULT_REJECTED, "A password has %d bytes at most.", PASSWORD_MAX) != ASY_FAIL;
	for (size_t i = 0; talk->ask == ASY_ASK_UPDATE && i < lengthof(kept); i++)
	{
		const AsyValue *value = asy_given(talk, kept[i]);
		bool		was = talk->in.old == NULL || talk->in.old->value[kept[i]].present || kept[i] == ASY_PASSWORD;

		if (value && was && (!value->present || value->text[0] == '\0'))
			return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "The %s of a user can be changed, not taken away.", asy_fields[kept[i]].name) != ASY_FAIL;
	}
	for (size_t i = 0; talk->ask == ASY_ASK_UPDATE && i < lengthof(confirmed); i++)
	{
		const AsyValue *value = asy_given(talk, confirmed[i]);
		const AsyValue *old = talk->in.old ? &talk->in.old->value[confirmed[i]] : NULL;

		if (value && !(value->present && value->flag) && old && old->present && old->flag)
			return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "A confirmation (%s) cannot be taken back.", asy_fields[confirmed[i]].name) != ASY_FAIL;
	}
	return true;
}

static AsyTurn
put_user(AsyTalk *talk)
{
	if (talk->step == 0 && !can_be_written(talk))
		return ASY_FAIL;
	if (talk->step == 0)
	{
		AsyRequest *request = talk->ask == ASY_ASK_CREATE ? asy_send(talk, "POST", "/admin/users") :
			asy_send(talk, "PUT", "/admin/users/%s", asy_http_encode(talk->in.subject));

		asy_request_body(request, body_of(talk), "application/json");
		return ASY_SEND;
	}
	return asy_end_with_user(talk);
}

static AsyTurn
remove_user(AsyTalk *talk)
{
	if (!is_uuid(talk->in.subject))
		return asy_fail(talk, ASY_FAULT_MISSING, "An id of Supabase Auth is a UUID.");
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
	.fixed = ASY_BIT(ASY_ID) | ASY_BIT(ASY_PASSWORD_HASH),
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
