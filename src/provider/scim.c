/*
 * scim.c
 *	  Any SCIM 2.0 server (RFC 7643, 7644; cursors: RFC 9865), as its client.
 *
 * Facts that this file stands on, seen at servers:
 *	  - names are to be looked up in any case.
 *	  - a page may hold fewer than asked for, itemsPerPage may say what was
 *		asked. Some begin again with the first user past the end.
 *	  - a server without cursors ignores them.
 *	  - filters are an extra: what is not understood is HTTP 400, or nothing.
 *	  - a PATCH may be answered with the user or with nothing.
 *	  - what changed since can be asked for where meta.lastModified is kept and
 *		compared (option filter_changes): not everywhere, so it is off.
 *	  - a 404 says nothing certain of a user. Where the list answers, the address
 *		is right, and it is he who is missing.
 *
 * The e-mail is the primary one, else the one of type "work", else the first,
 * else the user name where it is one. A change of it renames a user who is
 * named after it. Schema extensions are in raw alone.
 */
#include "postgres.h"

#include "utils/json.h"

#include "provider/compose.h"
#include "provider/grant.h"
#include "provider/paging.h"
#include "provider/scim_user.h"

static const AsyProviderOption options[] = {
	{"token_url", false, NULL, "where client_id and client_secret get a token; without it secret token is one"},
	{"client_id", false, NULL, "with token_url"},
	{"scope", false, NULL, "with token_url"},
	{"paging", false, "index", "index, or cursor where the server has RFC 9865"},
	{"sort_by", false, NULL, "an attribute that listings are sorted by"},
	{"filter_changes", false, "off", "on where the server can filter by meta.lastModified"},
	{"patch", false, "on", "off where the server has no PATCH"},
	{NULL, false, NULL, NULL}
};

static const char *const secrets[] = {"token", "client_secret", NULL};

/* Names come in any case: the rest is asy_scim_read_user's. */
static const AsyMapping mappings[] = {
	{ASY_ID, "/id", 0},
	{0, NULL, 0}
};

static bool
is_set(const AsyTalk *talk, const char *option, const char *value)
{
	const char *is = asy_server_option(talk->server, option);

	return is && pg_strcasecmp(is, value) == 0;
}

static void
classify(const AsyTalk *talk, int i, AsyFault *fault)
{
	(void) i;
	if (fault->status == 400 && fault->code && (strcmp(fault->code, "expiredCursor") == 0 || strcmp(fault->code, "invalidCursor") == 0))
		fault->class = ASY_FAULT_INCOMPLETE;
	else if (fault->status == 400 && fault->code && strcmp(fault->code, "uniqueness") == 0)
		fault->class = ASY_FAULT_EXISTS;
	else if (fault->class == ASY_FAULT_REJECTED && fault->status == 400 && talk->ask == ASY_ASK_LIST)
		fault->hint = "Check the server's options sort_by, filter_changes and page_size: not every server knows sorting and filters.";
}

static AsyTurn
token(AsyTalk *talk)
{
	const AsyServer *server = talk->server;
	const char *url = asy_server_option(server, "token_url");
	const char *id = asy_server_option(server, "client_id");
	const char *secret = asy_server_secret(server, "client_secret");

	if (talk->step > 0)
		return asy_grant_take(talk);
	if (url == NULL || url[0] == '\0')
	{
		const char *fixed = asy_server_secret(server, "token");

		return fixed ? asy_grant_static(talk, fixed) : asy_fail(talk, ASY_FAULT_KEY, "There is neither secret token nor option token_url.");
	}
	if (id == NULL || secret == NULL)
		return asy_fail(talk, ASY_FAULT_KEY, "Option token_url takes option client_id and secret client_secret.");
	asy_grant_client_credentials(talk, url, id, secret, asy_server_option(server, "scope"));
	return ASY_SEND;
}

/* ---- the listing ---- */

typedef struct Walk
{
	AsyPaging  *paging;			/* NULL: by cursor, so far */
	char	   *query;			/* what every page is asked for with */
	int64		first_total;
} Walk;

static void
ask_page(AsyTalk *talk, int64 start, int size)
{
	asy_send(talk, "GET", "/Users?startIndex=" INT64_FORMAT "&count=%d%s", start + 1, size, ((Walk *) talk->state)->query);
}

static bool
read_page(AsyTalk *talk, int answer, AsyPage *page)
{
	const AsyJson *json = &talk->answers[answer].json;

	page->array = asy_scim_member(json, 0, "Resources");
	if (asy_json_kind(json, page->array) == ASY_JSON_NULL)
		page->array = -1;
	if (asy_json_int64(json, asy_scim_member(json, 0, "totalResults"), &page->total) && page->total >= 0 &&
		(page->array >= 0 || page->total == 0 || page->start > 0))
		return true;
	asy_fail(talk, ASY_FAULT_GARBLED, "The answer is no list of SCIM: it lacks totalResults or Resources.");
	return false;
}

static char *
query_of(const AsyTalk *talk)
{
	const char *sort = asy_server_option(talk->server, "sort_by");
	StringInfoData query;

	initStringInfo(&query);
	if (sort && sort[0])
		appendStringInfo(&query, "&sortBy=%s", asy_http_encode(sort));
	if (talk->in.has_since && is_set(talk, "filter_changes", "on"))
		appendStringInfo(&query, "&filter=%s", asy_http_encode(psprintf("meta.lastModified ge \"%s\"", asy_time_text(talk->in.since))));
	return MemoryContextStrdup(talk->context, query.data);
}

static AsyTurn
by_cursor(AsyTalk *talk, Walk *walk, bool *ignored)
{
	const AsyJson *json = asy_answer_json(talk, 0);
	char	   *next;
	int			array;
	int64		total = -1;
	bool		first = talk->distinct == 0;

	if (json == NULL)
		return ASY_FAIL;
	array = asy_scim_member(json, 0, "Resources");
	next = asy_json_text(json, asy_scim_member(json, 0, "nextCursor"));
	asy_json_int64(json, asy_scim_member(json, 0, "totalResults"), &total);
	if (array < 0 && total != 0)
		return asy_fail(talk, ASY_FAULT_GARBLED, "The answer is no list of SCIM: it lacks totalResults or Resources.");
	if (first)
		walk->first_total = total;
	*ignored = first && (next == NULL || next[0] == '\0') && total > asy_json_count(json, array);
	if (*ignored)
		return ASY_SEND;
	if (array >= 0 && asy_found_all(talk, 0, array) < 0)
		return ASY_FAIL;
	if (next == NULL || next[0] == '\0')
		return asy_paging_complete(talk, walk->first_total, total);
	if (!asy_cursor_is_new(talk, next))
		return ASY_FAIL;
	asy_send(talk, "GET", "/Users?cursor=%s&count=%d%s", asy_http_encode(next), talk->page_size, walk->query);
	return ASY_SEND;
}

static AsyTurn
list(AsyTalk *talk)
{
	Walk	   *walk = talk->state;
	bool		ignored = false;

	if (walk == NULL)
	{
		walk = talk->state = MemoryContextAllocZero(talk->context, sizeof(Walk));
		walk->query = query_of(talk);
		walk->first_total = -1;
		if (is_set(talk, "paging", "cursor"))
		{
			asy_send(talk, "GET", "/Users?cursor=&count=%d%s", talk->page_size, walk->query);
			return ASY_SEND;
		}
		walk->paging = asy_paging_new(talk, ask_page, read_page);
	}
	if (walk->paging == NULL)
	{
		AsyTurn		turn = by_cursor(talk, walk, &ignored);

		if (!ignored)
			return turn;
		walk->paging = asy_paging_new(talk, ask_page, read_page);
	}
	return asy_paging_turn(talk, walk->paging);
}

static AsyTurn
count(AsyTalk *talk)
{
	const AsyJson *json;

	if (talk->step == 0)
	{
		asy_send(talk, "GET", "/Users?startIndex=1&count=0");
		return ASY_SEND;
	}
	if ((json = asy_answer_json(talk, 0)) == NULL)
		return ASY_FAIL;
	if (!asy_json_int64(json, asy_scim_member(json, 0, "totalResults"), &talk->count))
		return asy_fail(talk, ASY_FAULT_GARBLED, "The list does not say how many users there are (totalResults).");
	return ASY_DONE;
}

/* ---- one user ---- */

static void
ask_user(AsyTalk *talk, const char *subject)
{
	asy_send(talk, "GET", "/Users/%s", asy_http_encode(subject));
}

/* What GET, UPDATE, DELETE keep. */
typedef struct One
{
	bool		probing;
	bool		asked_again;	/* the answer to a change had no user */
} One;

static One *
one_of(AsyTalk *talk)
{
	if (talk->state == NULL)
		talk->state = MemoryContextAllocZero(talk->context, sizeof(One));
	return talk->state;
}

static bool
is_probe(AsyTalk *talk, AsyTurn *turn)
{
	return asy_is_probe(talk, &one_of(talk)->probing, "/Users?startIndex=1&count=1", turn);
}

static AsyTurn
get(AsyTalk *talk)
{
	AsyTurn		turn;

	if (talk->step == 0)
	{
		ask_user(talk, talk->in.subject);
		return ASY_SEND;
	}
	return is_probe(talk, &turn) ? turn : asy_end_with_user(talk);
}

/*
 * By user name and by e-mail at once. Whom a filter could have missed is looked
 * for in the whole list: where one is not understood, and where more match than
 * came.
 */
static AsyTurn
find(AsyTalk *talk)
{
	static const char *const attributes[] = {"userName", "emails.value"};

	if (talk->step == 0)
	{
		for (size_t i = 0; i < lengthof(attributes); i++)
		{
			StringInfoData filter;

			initStringInfo(&filter);
			appendStringInfo(&filter, "%s eq ", attributes[i]);
			escape_json(&filter, talk->in.email);
			asy_send(talk, "GET", "/Users?startIndex=1&count=100&filter=%s", asy_http_encode(filter.data));
		}
		return ASY_SEND;
	}
	for (int i = 0; i < talk->nanswers; i++)
	{
		AsyPage		page = {.total = -1};
		const AsyFault *fault = talk->answers[i].fault;

		if ((fault == NULL || (fault->status != 400 && fault->status != 501)) && (asy_answer_json(talk, i) == NULL || !read_page(talk, i, &page)))
			return ASY_FAIL;
		if (fault || page.total > asy_json_count(&talk->answers[i].json, page.array))
		{
			talk->ask = ASY_ASK_LIST;
			return list(talk);
		}
	}
	for (int i = 0; i < talk->nanswers; i++)
	{
		const AsyJson *json = &talk->answers[i].json;
		const AsyJson *first = &talk->answers[0].json;
		int			array = asy_scim_member(json, 0, "Resources");

		for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
		{
			char	   *id = asy_subject_of(talk, json, e);
			int			others = i > 0 ? asy_scim_member(first, 0, "Resources") : -1;
			bool		again = false;

			for (int o = asy_json_first(first, others); o >= 0 && id && !again; o = asy_json_after(first, others, o))
				again = strcmp(id, asy_subject_of(talk, first, o)) == 0;
			if (!again && !asy_found(talk, i, e))
				return ASY_FAIL;
		}
	}
	return ASY_DONE;
}

/* ---- writing ---- */

static AsyTurn
create(AsyTalk *talk)
{
	static const char schemas[] = "{\"schemas\":[\"urn:ietf:params:scim:schemas:core:2.0:User\"]}";
	AsyJson		json;
	StringInfo	changes;

	if (talk->step > 0)
		return asy_end_with_user(talk);
	changes = asy_scim_changes(talk, NULL, -1);
	if (!asy_index_object(schemas, &json))
		elog(ERROR, "a constant is no JSON");
	asy_request_body(asy_send(talk, "POST", "/Users"), asy_object_with(&json, 0, changes->data, NULL), "application/scim+json");
	return ASY_SEND;
}

/* Reads him, changes him, and reads him again where the answer does not show him. */
static AsyTurn
update(AsyTalk *talk)
{
	/* The server's own, and not to be sent. */
	static const char *const drop[] = {"meta", NULL};
	One		   *one = one_of(talk);
	AsyTurn		turn;
	const AsyJson *json;
	StringInfo	body;
	char	   *changes;

	if (talk->step == 0)
		ask_user(talk, talk->in.subject);
	else if (is_probe(talk, &turn))
		return turn;
	else if (!asy_good(talk))
		return ASY_FAIL;
	else if (talk->step == 1)
	{
		if ((json = asy_answer_json(talk, 0)) == NULL)
			return ASY_FAIL;
		changes = asy_scim_changes(talk, json, 0)->data;
		if (is_set(talk, "patch", "off"))
			asy_request_body(asy_send(talk, "PUT", "/Users/%s", asy_http_encode(talk->in.subject)),
							 asy_object_with(json, 0, changes, drop), "application/scim+json");
		else if ((body = asy_scim_patch(json, changes)) != NULL)
			asy_request_body(asy_send(talk, "PATCH", "/Users/%s", asy_http_encode(talk->in.subject)), body, "application/scim+json");
		else
			return asy_end_with_user(talk);
	}
	else if (talk->answers[0].has_json || one->asked_again)
		return asy_end_with_user(talk);
	else
	{
		one->asked_again = true;
		ask_user(talk, talk->in.subject);
	}
	return ASY_SEND;
}

static AsyTurn
delete(AsyTalk *talk)
{
	AsyTurn		turn;

	if (talk->step == 0)
	{
		asy_send(talk, "DELETE", "/Users/%s", asy_http_encode(talk->in.subject));
		return ASY_SEND;
	}
	return is_probe(talk, &turn) ? turn : asy_good(talk) ? ASY_DONE : ASY_FAIL;
}

const AsyProvider asy_provider_scim = {
	.name = "scim",
	.title = "SCIM 2.0",
	.api_path = "",
	.options = options,
	.secrets = secrets,
	.can = ASY_CAN_CHANGES,
	.page_size = 200,
	.concurrency = 4,
	.merge = ASY_REPLACES,
	.writes = ASY_BIT(ASY_EMAIL) | ASY_BIT(ASY_PHONE) | ASY_BIT(ASY_NAME) | ASY_BIT(ASY_NICKNAME) | ASY_BIT(ASY_PICTURE) |
	ASY_BIT(ASY_BLOCKED) | ASY_BIT(ASY_PASSWORD),
	.mappings = mappings,
	.read_user = asy_scim_read_user,
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
