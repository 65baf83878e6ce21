/*
 * rest.c
 *	  Any JSON API that lists users, described by options alone.
 *
 * Where a column stands in a user's JSON, its option <column>_pointer says (RFC
 * 6901); without it, below the column's own name. What a write calls it,
 * <column>_field says; the column's own name without it. A "!" before either
 * turns true and false round: blocked_pointer '!/active'.
 *
 * How a listing goes on, option cursor says:
 *	  none      all at once
 *	  page      cursor_param is a page's number. Pages overlap, so size_param is
 *				needed, or else total_pointer: then a deletion meanwhile is an error
 *	  offset    cursor_param is how many users stand before the page; it overlaps
 *	  token     cursor_param takes what stood at cursor_pointer of the page before:
 *				a token, or the whole url of the next page
 *	  link      the next page is in header Link, rel="next"
 *
 * What has no path cannot be asked so: without find_path and get_path the whole
 * list is read. A 404 means that a user is missing where another user is found
 * by the same path, and after a write where he is not found by get_path either:
 * a mistake in a path must not make everybody look deleted.
 */
#include "postgres.h"

#include "provider/compose.h"
#include "provider/paging.h"

#define COLUMN_POINTER(column) {#column "_pointer", false, NULL, "where " #column " is in a user's JSON"}
#define COLUMN_FIELD(column) {#column "_field", false, NULL, "what " #column " is called in a write"}

static const AsyProviderOption options[] = {
	{"list_path", false, "/users", "where all users are listed"},
	{"get_path", false, NULL, "one user, {id} in it"},
	{"find_path", false, NULL, "those with an e-mail, {email} in it"},
	{"create_path", false, NULL, "where a new user is posted to"},
	{"update_path", false, NULL, "where a change goes to, {id} in it"},
	{"update_method", false, "PATCH", "PATCH, PUT or POST"},
	{"delete_path", false, NULL, "what is deleted, {id} in it"},
	{"users_pointer", false, NULL, "where the array of users is in a listing; not given: it is the listing"},
	{"user_pointer", false, NULL, "where the user is in an answer about one; not given: he is the answer"},
	{"total_pointer", false, NULL, "where a listing says how many users there are"},
	{"cursor", false, "none", "none, page, offset, token or link"},
	{"cursor_param", false, NULL, "the parameter that says which page"},
	{"cursor_pointer", false, NULL, "where a listing has the next token"},
	{"size_param", false, NULL, "the parameter that says how many users a page has"},
	{"first_page", false, "1", "the number of the first page, 0 or 1"},
	{"time_format", false, "rfc3339", "rfc3339, seconds or milliseconds"},
	{"auth_header", false, "Authorization", "the header that the token goes in"},
	{"auth_scheme", false, "Bearer", "the word before the token; none: there is no word"},
	COLUMN_POINTER(id),
	COLUMN_POINTER(email),
	COLUMN_POINTER(phone),
	COLUMN_POINTER(email_verified),
	COLUMN_POINTER(phone_verified),
	COLUMN_POINTER(name),
	COLUMN_POINTER(nickname),
	COLUMN_POINTER(picture),
	COLUMN_POINTER(blocked),
	COLUMN_POINTER(created_at),
	COLUMN_POINTER(updated_at),
	COLUMN_POINTER(last_sign_in_at),
	COLUMN_POINTER(deleted_at),
	COLUMN_POINTER(user_metadata),
	COLUMN_POINTER(app_metadata),
	COLUMN_POINTER(identities),
	COLUMN_FIELD(email),
	COLUMN_FIELD(phone),
	COLUMN_FIELD(email_verified),
	COLUMN_FIELD(phone_verified),
	COLUMN_FIELD(name),
	COLUMN_FIELD(nickname),
	COLUMN_FIELD(picture),
	COLUMN_FIELD(blocked),
	COLUMN_FIELD(user_metadata),
	COLUMN_FIELD(app_metadata),
	COLUMN_FIELD(password),
	COLUMN_FIELD(password_hash),
	{NULL, false, NULL, NULL}
};

static const char *const secrets[] = {"token", NULL};

static const AsyMapping mappings[] = {
	{0, NULL, 0}
};

/* What a talk keeps, for options are looked up by name, and there may be millions of users. */
typedef struct Rest
{
	const char *pointer[ASY_NFIELDS];
	bool		turned[ASY_NFIELDS];	/* true and false round */
	int64		units;
	const char *users;
	const char *user;
	const char *total;
	AsyPaging  *paging;
	int64		page;			/* by number, where sizes cannot be chosen */
	int64		first_total;
	int			lost;			/* how far the question is, whether a 404 is the user's */
	bool		asked_again;	/* the answer to a write had no user */
} Rest;

static const char *
option(const AsyTalk *talk, const char *name)
{
	const char *value = asy_server_option(talk->server, name);

	return value && value[0] ? value : NULL;
}

static bool
is(const AsyTalk *talk, const char *name, const char *value)
{
	const char *given = option(talk, name);

	return given && strcmp(given, value) == 0;
}

static Rest *
rest_of(AsyTalk *talk)
{
	Rest	   *r = talk->state;
	MemoryContext old;

	if (r)
		return r;
	old = MemoryContextSwitchTo(talk->context);
	r = talk->state = palloc0(sizeof(Rest));
	for (int f = 0; f < ASY_NFIELDS; f++)
	{
		const char *pointer = option(talk, psprintf("%s_pointer", asy_fields[f].name));

		if (pointer == NULL)
			pointer = psprintf("/%s", asy_fields[f].name);
		r->turned[f] = pointer[0] == '!';
		r->pointer[f] = pointer + r->turned[f];
	}
	r->units = is(talk, "time_format", "seconds") ? 1 : is(talk, "time_format", "milliseconds") ? 1000 : 0;
	r->users = option(talk, "users_pointer") ? option(talk, "users_pointer") : "";
	r->user = option(talk, "user_pointer") ? option(talk, "user_pointer") : "";
	r->total = option(talk, "total_pointer");
	r->first_total = -1;
	MemoryContextSwitchTo(old);
	return r;
}

static void
read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	const Rest *r = talk->state;
	const char *secret[] = {option(talk, "password_field"), option(talk, "password_hash_field"), NULL};

	/* There are servers that say it back. */
	if ((wanted & ASY_BIT(ASY_RAW)) && asy_json_kind(json, node) == ASY_JSON_OBJECT)
	{
		const char *drop[] = {secret[0] ? secret[0] : "password", secret[1] ? secret[1] : "password_hash", NULL};

		user->value[ASY_RAW].text = asy_object_with(json, node, "{}", drop)->data;
	}
	for (int f = 0; r && f < ASY_RAW; f++)
		if (wanted & ASY_BIT(f))
		{
			asy_read_field(json, asy_json_pointer(json, node, r->pointer[f]), f, r->units, user);
			if (asy_fields[f].type == ASY_BOOL && r->turned[f])
				user->value[f].flag = !user->value[f].flag;
		}
}

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	const char *token = asy_server_secret(talk->server, secrets[0]);
	const char *scheme = is(talk, "auth_scheme", "none") ? "" : psprintf("%s ", option(talk, "auth_scheme"));

	asy_request_header(request, option(talk, "auth_header"), psprintf("%s%s", scheme, token));
}

/* ---- the listing ---- */

/* The path with name=value behind it. */
static char *
with(const char *path, const char *name, const char *value)
{
	return psprintf("%s%c%s=%s", path, strchr(path, '?') ? '&' : '?', asy_http_encode(name), value);
}

/* One page of the list; cursor NULL: the first. */
static char *
page_path(const AsyTalk *talk, const char *cursor, int size)
{
	const char *size_param = option(talk, "size_param");
	const char *cursor_param = option(talk, "cursor_param");
	char	   *path = pstrdup(option(talk, "list_path"));

	if (size_param)
		path = with(path, size_param, psprintf("%d", size));
	return cursor && cursor_param ? with(path, cursor_param, cursor) : path;
}

static void
ask_page(AsyTalk *talk, int64 start, int size)
{
	int64		at = is(talk, "cursor", "page") ? start / size + atoi(option(talk, "first_page")) : start;

	asy_send(talk, "GET", "%s", page_path(talk, psprintf(INT64_FORMAT, at), size));
}

/* The array of a listing, and the total where one is due; false with a fault. */
static bool
read_page(AsyTalk *talk, int answer, AsyPage *page)
{
	const Rest *r = talk->state;
	const AsyJson *json = &talk->answers[answer].json;

	page->array = asy_json_pointer(json, 0, r->users);
	if (asy_json_kind(json, page->array) != ASY_JSON_ARRAY)
		asy_fail(talk, ASY_FAULT_GARBLED, "There is no array of users at %s of the listing (option users_pointer).",
				 r->users[0] ? r->users : "the root");
	else if (r->total && !(asy_json_int64(json, asy_json_pointer(json, 0, r->total), &page->total) && page->total >= 0))
		asy_fail(talk, ASY_FAULT_GARBLED, "There is no number of users at %s of the listing (option total_pointer).", r->total);
	return talk->fault == NULL;
}

/* The url of rel="next" in the Link headers; NULL: there is none. */
static char *
next_link(const AsyHttpAnswer *answer)
{
	char	   *link;

	for (int n = 0; (link = asy_http_header_n(answer, "link", n)) != NULL; n++)
		for (char *url = strchr(link, '<'), *end; url && (end = strchr(url, '>')) != NULL; url = strchr(end, '<'))
		{
			char	   *next = strchr(end, '<');
			char	   *rel = strstr(end, "rel=\"next\"");

			if (rel == NULL)
				rel = strstr(end, "rel=next");
			if (rel && (next == NULL || rel < next))
				return pnstrdup(url + 1, end - url - 1);
		}
	return NULL;
}

/* Page after page by number, all of one size: nothing shows a deletion but the total. */
static AsyTurn
by_number(AsyTalk *talk, Rest *r, int64 n, int64 total)
{
	if (total < r->first_total)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "Users were deleted while it was read; option size_param lets pages overlap.");
	if (talk->distinct >= total || n == 0)
		return asy_paging_complete(talk, r->first_total, total);
	r->page++;
	asy_send(talk, "GET", "%s", page_path(talk, psprintf(INT64_FORMAT, r->page + atoi(option(talk, "first_page"))), talk->page_size));
	return ASY_SEND;
}

static AsyTurn
list(AsyTalk *talk)
{
	Rest	   *r = rest_of(talk);
	bool		numbers = is(talk, "cursor", "page");
	AsyPage		page = {.total = -1};
	const AsyJson *json;
	char	   *next = NULL;

	if (talk->step == 0)
	{
		if ((numbers || is(talk, "cursor", "offset")) && option(talk, "cursor_param") == NULL)
			return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "Option cursor '%s' needs cursor_param.", option(talk, "cursor"));
		if (numbers && !option(talk, "size_param") && r->total == NULL)
			return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "Option cursor 'page' needs size_param or total_pointer.");
		if (is(talk, "cursor", "offset") || (numbers && option(talk, "size_param")))
		{
			r->paging = asy_paging_new(talk, ask_page, read_page);
			r->paging->by_number = numbers;
		}
		else
		{
			asy_send(talk, "GET", "%s", page_path(talk, numbers ? option(talk, "first_page") : NULL, talk->page_size));
			return ASY_SEND;
		}
	}
	if (r->paging)
		return asy_paging_turn(talk, r->paging);
	if ((json = asy_answer_json(talk, 0)) == NULL || !read_page(talk, 0, &page) || asy_found_all(talk, 0, page.array) < 0)
		return ASY_FAIL;
	if (r->first_total < 0)
		r->first_total = page.total;
	if (numbers)
		return by_number(talk, r, asy_json_count(json, page.array), page.total);
	if (is(talk, "cursor", "link"))
		next = next_link(talk->answers[0].http);
	else if (is(talk, "cursor", "token") && option(talk, "cursor_pointer"))
		next = asy_json_text(json, asy_json_pointer(json, 0, option(talk, "cursor_pointer")));
	if (next == NULL || next[0] == '\0' || strcmp(next, "false") == 0)
		return asy_paging_complete(talk, r->first_total, page.total);
	if (next[0] == '/' && is(talk, "cursor", "link"))
		next = psprintf("%s%s", asy_http_origin(talk->server->url), next);
	if (strncmp(next, "https://", 8) == 0 || strncmp(next, "http://", 7) == 0)
		return asy_send_next(talk, next) ? ASY_SEND : ASY_FAIL;
	if (!asy_cursor_is_new(talk, next))
		return ASY_FAIL;
	if (option(talk, "cursor_param") == NULL)
		return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "A token for the next page came, and option cursor_param does not say where it goes.");
	asy_send(talk, "GET", "%s", page_path(talk, asy_http_encode(next), talk->page_size));
	return ASY_SEND;
}

/* ---- one user ---- */

/* The path of that option with the value in the place of the mark; NULL: there is no such option. */
static char *
path_of(const AsyTalk *talk, const char *name, const char *mark, const char *value)
{
	const char *path = option(talk, name);
	const char *at = path && mark ? strstr(path, mark) : NULL;

	if (at == NULL)
		return path ? pstrdup(path) : NULL;
	return psprintf("%.*s%s%s", (int) (at - path), path, asy_http_encode(value), at + strlen(mark));
}

/* Asks on after a 404. True: the turn is over, and *turn is its end. */
static bool
is_lost(AsyTalk *talk, AsyTurn *turn)
{
	Rest	   *r = rest_of(talk);
	const AsyFault *fault = talk->answers[0].fault;
	bool		is_404 = fault && fault->status == 404 && fault->class == ASY_FAULT_ADDRESS;
	AsyPage		page = {.total = -1};
	const char *subject = talk->in.subject;
	int			first;

	enum {
		NOT_LOST, LIST_ASKED, OTHER_ASKED, SAME_ASKED
	};

	*turn = ASY_SEND;
	switch (r->lost)
	{
		case NOT_LOST:
			if (!is_404 || option(talk, "get_path") == NULL)
				return false;
			r->lost = talk->ask == ASY_ASK_GET ? LIST_ASKED : SAME_ASKED;
			if (r->lost == LIST_ASKED)
				asy_send(talk, "GET", "%s", page_path(talk, is(talk, "cursor", "page") ? option(talk, "first_page") : is(talk, "cursor", "offset") ? "0" : NULL, 1));
			break;
		case LIST_ASKED:
			if (asy_answer_json(talk, 0) == NULL || !read_page(talk, 0, &page))
				*turn = ASY_FAIL;
			else if ((first = asy_json_first(&talk->answers[0].json, page.array)) < 0)
				*turn = asy_fail(talk, ASY_FAULT_MISSING, "The answer is HTTP 404, and there are no users.");
			else if ((subject = asy_subject_of(talk, &talk->answers[0].json, first)) == NULL)
				*turn = asy_fail(talk, ASY_FAULT_GARBLED, "A user without an id (option id_pointer).");
			r->lost = OTHER_ASKED;
			break;
		case OTHER_ASKED:
			if (is_404)
				*turn = asy_fail(talk, ASY_FAULT_ADDRESS, "A user of the list is not found by id either; check option get_path.");
			else
				*turn = !asy_good(talk) ? ASY_FAIL :
					asy_fail(talk, ASY_FAULT_MISSING, "The answer is HTTP 404, and other users are found.");
			break;
		case SAME_ASKED:
			if (is_404)
				*turn = asy_fail(talk, ASY_FAULT_MISSING, "The answer is HTTP 404.");
			else
				*turn = !asy_good(talk) ? ASY_FAIL :
					asy_fail(talk, ASY_FAULT_ADDRESS, "The answer is HTTP 404, but the user is there; check the path.");
			break;
	}
	if (*turn == ASY_SEND && r->lost != LIST_ASKED)
		asy_send(talk, "GET", "%s", path_of(talk, "get_path", "{id}", subject));
	return true;
}

/* The answer is the user, at its pointer. */
static AsyTurn
end_with_user(AsyTalk *talk)
{
	const AsyJson *json = asy_answer_json(talk, 0);

	return json && asy_found(talk, 0, asy_json_pointer(json, 0, rest_of(talk)->user)) ? ASY_DONE : ASY_FAIL;
}

static AsyTurn
get(AsyTalk *talk)
{
	char	   *path = path_of(talk, "get_path", "{id}", talk->in.subject);
	AsyTurn		turn;

	rest_of(talk);
	if (path == NULL)
	{
		talk->ask = ASY_ASK_LIST;
		return list(talk);
	}
	if (talk->step == 0)
	{
		asy_send(talk, "GET", "%s", path);
		return ASY_SEND;
	}
	return is_lost(talk, &turn) ? turn : end_with_user(talk);
}

static AsyTurn
find(AsyTalk *talk)
{
	char	   *path = path_of(talk, "find_path", "{email}", talk->in.email);
	AsyPage		page = {.total = -1};

	rest_of(talk);
	if (path == NULL)
	{
		talk->ask = ASY_ASK_LIST;
		return list(talk);
	}
	if (talk->step == 0)
	{
		asy_send(talk, "GET", "%s", path);
		return ASY_SEND;
	}
	if (asy_answer_json(talk, 0) == NULL || !read_page(talk, 0, &page))
		return ASY_FAIL;

	/* More than came: it may look at something else than the e-mail. */
	if (page.total > asy_json_count(&talk->answers[0].json, page.array))
	{
		talk->ask = ASY_ASK_LIST;
		talk->step = 0;
		return list(talk);
	}
	return asy_found_all(talk, 0, page.array) < 0 ? ASY_FAIL : ASY_DONE;
}

/* ---- writing ---- */

static StringInfo
body_of(const AsyTalk *talk)
{
	StringInfo	body = makeStringInfo();

	appendStringInfoChar(body, '{');
	for (int f = 0; f < ASY_NFIELDS; f++)
	{
		const AsyValue *value = f == ASY_ID ? NULL : asy_given(talk, f);
		const char *name = option(talk, psprintf("%s_field", asy_fields[f].name));

		if (value == NULL || (!value->present && talk->ask == ASY_ASK_CREATE))
			continue;
		if (name == NULL)
			name = asy_fields[f].name;
		if (name[0] == '!' && value->present)
			asy_json_put_raw(body, name + 1, value->flag ? "false" : "true");
		else
			asy_put_given(body, talk, f, name[0] == '!' ? name + 1 : name);
	}
	appendStringInfoChar(body, '}');
	return body;
}

/* Writes; and reads where the answer does not show him. */
static AsyTurn
write_user(AsyTalk *talk)
{
	bool		creates = talk->ask == ASY_ASK_CREATE;
	char	   *path = creates ? path_of(talk, "create_path", NULL, NULL) : path_of(talk, "update_path", "{id}", talk->in.subject);
	const char *method = creates ? "POST" : option(talk, "update_method");
	Rest	   *r = rest_of(talk);
	char	   *id = creates ? NULL : pstrdup(talk->in.subject);
	AsyTurn		turn;

	if (path == NULL)
		return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "The server's option %s is not given.", creates ? "create_path" : "update_path");
	if (talk->step == 0)
	{
		asy_request_body(asy_send(talk, method, "%s", path), body_of(talk), "application/json");
		return ASY_SEND;
	}
	if (!creates && is_lost(talk, &turn))
		return turn;
	if (!asy_good(talk))
		return ASY_FAIL;
	if (r->asked_again || (talk->answers[0].has_json &&
						   asy_subject_of(talk, &talk->answers[0].json, asy_json_pointer(&talk->answers[0].json, 0, r->user)) != NULL))
		return end_with_user(talk);
	if (creates && (id = asy_location_id(talk->answers[0].http)) == NULL)
		return asy_fail(talk, ASY_FAULT_GARBLED, "The user was made, but the answer shows neither him (option user_pointer) nor a Location.");
	if (creates)
		talk->created = MemoryContextStrdup(talk->context, id);
	if ((path = path_of(talk, "get_path", "{id}", id)) == NULL)
		return ASY_DONE;
	r->asked_again = true;
	asy_send(talk, "GET", "%s", path);
	return ASY_SEND;
}

static AsyTurn
delete(AsyTalk *talk)
{
	char	   *path = path_of(talk, "delete_path", "{id}", talk->in.subject);
	AsyTurn		turn;

	if (path == NULL)
		return asy_fail(talk, ASY_FAULT_UNSUPPORTED, "The server's option delete_path is not given.");
	if (talk->step == 0)
	{
		asy_send(talk, "DELETE", "%s", path);
		return ASY_SEND;
	}
	return is_lost(talk, &turn) ? turn : asy_good(talk) ? ASY_DONE : ASY_FAIL;
}

const AsyProvider asy_provider_rest = {
	.name = "rest",
	.title = "A JSON API",
	.api_path = "",
	.options = options,
	.secrets = secrets,
	.page_size = 100,
	.concurrency = 4,
	.merge = ASY_REPLACES,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_EMAIL_VERIFIED) | ASY_BIT(ASY_PHONE_VERIFIED) | ASY_BIT(ASY_NAME) |
	ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_PICTURE) | ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_USER_METADATA) | ASY_BIT(ASY_APP_METADATA) |
	ASY_BIT(ASY_PASSWORD) | ASY_BIT(ASY_PASSWORD_HASH),
	.mappings = mappings,
	.authorize = authorize,
	.read_user = read_user,
	.ask = {
		[ASY_ASK_LIST] = list,
		[ASY_ASK_GET] = get,
		[ASY_ASK_FIND] = find,
		[ASY_ASK_CREATE] = write_user,
		[ASY_ASK_UPDATE] = write_user,
		[ASY_ASK_DELETE] = delete,
	},
};
