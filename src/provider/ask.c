/*
 * ask.c
 *	  What drivers write requests down with, and say what they found.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/datetime.h"
#include "utils/memutils.h"

#include "provider/compose.h"
#include "provider/drive.h"

/* ---- the server ---- */

static const char *
named(const AsyNamed *list, const char *name)
{
	for (; list && list->name; list++)
		if (strcmp(list->name, name) == 0)
			return list->value;
	return NULL;
}

const char *
asy_server_option(const AsyServer *server, const char *name)
{
	return named(server->options, name);
}

const char *
asy_server_secret(const AsyServer *server, const char *name)
{
	return named(server->secrets, name);
}

/* ---- requests ---- */

AsyRequest *
asy_send_url(AsyTalk *talk, const char *method, const char *url)
{
	AsyRequest *request;

	if (talk->nrequests == ASY_TALK_WIDTH)
		elog(ERROR, "a turn of more than %d requests", ASY_TALK_WIDTH);
	request = &talk->requests[talk->nrequests++];
	memset(request, 0, sizeof(AsyRequest));
	request->method = method;
	request->url = url;
	request->repeatable = strcmp(method, "GET") == 0 || strcmp(method, "DELETE") == 0;
	asy_request_header(request, "Accept", "application/json");
	return request;
}

AsyRequest *
asy_send(AsyTalk *talk, const char *method, const char *path,...)
{
	va_list		args;
	char	   *text;

	va_start(args, path);
	text = asy_format(path, args);
	va_end(args);
	return asy_send_url(talk, method, psprintf("%s%s", talk->server->base, text));
}

bool
asy_send_next(AsyTalk *talk, const char *url)
{
	char	   *origin = asy_http_origin(url);
	char	   *ours = asy_http_origin(talk->server->url);

	if (origin == NULL || ours == NULL || strcmp(origin, ours) != 0)
	{
		asy_fail(talk, ASY_FAULT_GARBLED, "The next page is said to be elsewhere: %s",
				 asy_fault_quote(url, strlen(url), asy_talk_secrets(talk)));
		return false;
	}
	if (!asy_cursor_is_new(talk, url))
		return false;
	asy_send_url(talk, "GET", pstrdup(url));
	return true;
}

bool
asy_cursor_is_new(AsyTalk *talk, const char *cursor)
{
	if (asy_seen_add(&talk->drive->cursors, talk->context, cursor))
		return true;
	asy_fail(talk, ASY_FAULT_INCOMPLETE, "It goes round in circles: the same cursor came twice.");
	return false;
}

void
asy_request_header(AsyRequest *request, const char *name, const char *value)
{
	if (request->nheaders >= (int) lengthof(request->headers) - 1)
		elog(ERROR, "too many headers");
	request->headers[request->nheaders++] = psprintf("%s: %s", name, value);
}

void
asy_request_body(AsyRequest *request, StringInfo body, const char *type)
{
	if (GetDatabaseEncoding() != PG_UTF8)
	{
		char	   *text = pg_server_to_any(body->data, body->len, PG_UTF8);

		if (text != body->data)
		{
			resetStringInfo(body);
			appendStringInfoString(body, text);
		}
	}
	request->body = body;
	asy_request_header(request, "Content-Type", type);
}

AsyTurn
asy_fail(AsyTalk *talk, AsyFaultClass class, const char *detail,...)
{
	MemoryContext old = MemoryContextSwitchTo(talk->context);
	va_list		args;

	talk->fault = asy_fault(class, NULL);
	va_start(args, detail);
	talk->fault->detail = asy_format(detail, args);
	va_end(args);
	MemoryContextSwitchTo(old);
	return ASY_FAIL;
}

/* ---- answers ---- */

/* The talk outlives the turn that the fault was made in. */
static AsyFault *
kept(AsyTalk *talk, const AsyFault *fault)
{
	MemoryContext old = MemoryContextSwitchTo(talk->context);
	AsyFault   *copy = palloc(sizeof(AsyFault));

	*copy = *fault;
	copy->code = fault->code ? pstrdup(fault->code) : NULL;
	copy->detail = fault->detail ? pstrdup(fault->detail) : NULL;
	copy->hint = fault->hint ? pstrdup(fault->hint) : NULL;
	MemoryContextSwitchTo(old);
	return copy;
}

bool
asy_good(AsyTalk *talk)
{
	for (int i = 0; i < talk->nanswers; i++)
		if (talk->answers[i].fault)
		{
			talk->fault = kept(talk, talk->answers[i].fault);
			return false;
		}
	return true;
}

const AsyJson *
asy_answer_json(AsyTalk *talk, int i)
{
	AsyAnswer  *answer = &talk->answers[i];
	char	   *type;

	if (answer->fault)
	{
		talk->fault = kept(talk, answer->fault);
		return NULL;
	}
	if (answer->has_json)
		return &answer->json;
	type = asy_http_header(answer->http, "content-type");
	asy_fail(talk, ASY_FAULT_GARBLED, "An answer of type %s where JSON was to come; it begins: %s",
			 type ? asy_fault_quote(type, strlen(type), NULL) : "(none)",
			 asy_fault_quote(answer->http->body, answer->http->len, asy_talk_secrets(talk)));
	return NULL;
}

char *
asy_subject_of(const AsyTalk *talk, const AsyJson *json, int node)
{
	for (const AsyMapping *m = talk->server->provider->mappings; m->pointer; m++)
		if (m->field == ASY_ID)
		{
			char	   *subject = asy_json_text(json, asy_json_pointer(json, node, m->pointer));

			if (subject && subject[0])
				return subject;
		}
	if (talk->server->provider->read_user)
	{
		AuthUser	user = {0};

		talk->server->provider->read_user(talk, json, node, ASY_BIT(ASY_ID), &user);
		if (user.value[ASY_ID].present && user.value[ASY_ID].text[0])
			return pstrdup(user.value[ASY_ID].text);
	}
	return NULL;
}

bool
asy_found(AsyTalk *talk, int answer, int node)
{
	AsyDrive   *d = talk->drive;
	const AsyJson *json = &talk->answers[answer].json;
	char	   *subject = asy_json_kind(json, node) == ASY_JSON_OBJECT ? asy_subject_of(talk, json, node) : NULL;

	if (subject == NULL)
	{
		char	   *source = asy_json_source(json, node);

		asy_fail(talk, ASY_FAULT_GARBLED, "A user without an id: %s", source ? asy_fault_quote(source, strlen(source), asy_talk_secrets(talk)) : "nothing");
		return false;
	}
	if (talk->ask == ASY_ASK_LIST)
	{
		bool		is_new = asy_seen_add(&d->users, talk->context, subject);

		pfree(subject);
		if (!is_new)
			return false;
		talk->distinct = d->users.n;
	}
	if (d->found == NULL)
	{
		d->found_size = 64;
		d->found = palloc(sizeof(AsyFound) * d->found_size);
	}
	else if (d->nfound == d->found_size)
	{
		d->found_size *= 2;
		d->found = repalloc(d->found, sizeof(AsyFound) * d->found_size);
	}
	d->found[d->nfound].json = json;
	d->found[d->nfound++].node = node;
	return true;
}

int
asy_found_all(AsyTalk *talk, int answer, int array)
{
	const AsyJson *json = &talk->answers[answer].json;
	int			n = 0;

	if (asy_json_kind(json, array) != ASY_JSON_ARRAY)
	{
		asy_fail(talk, ASY_FAULT_GARBLED, "There is no list of users in the answer; it begins: %s",
				 asy_fault_quote(talk->answers[answer].http->body, talk->answers[answer].http->len, asy_talk_secrets(talk)));
		return -1;
	}
	for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
	{
		if (asy_found(talk, answer, e))
			n++;
		else if (talk->fault)
			return -1;
	}
	return n;
}

/* ---- what a user's JSON says ---- */

void
asy_read_field(const AsyJson *json, int node, AsyField field, int64 units, AuthUser *user)
{
	AsyValue   *v = &user->value[field];
	AsyJsonKind kind = asy_json_kind(json, node);

	if (kind == ASY_JSON_NONE || kind == ASY_JSON_NULL)
		return;
	switch (asy_fields[field].type)
	{
		case ASY_TEXT:
			v->text = asy_json_text(json, node);
			v->present = v->text && v->text[0];
			break;
		case ASY_BOOL:
			v->present = asy_json_bool(json, node, &v->flag);
			break;
		case ASY_TIME:
			v->present = asy_json_time(json, node, units, &v->time);
			break;
		case ASY_JSON:
			v->text = asy_json_source(json, node);
			v->present = true;
			break;
	}
}

void
asy_read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	const AsyProvider *p = talk->server->provider;

	memset(user, 0, sizeof(AuthUser));
	if (wanted & ASY_BIT(ASY_RAW))
		asy_read_field(json, node, ASY_RAW, 0, user);
	for (const AsyMapping *m = p->mappings; m->pointer; m++)
		if ((wanted & ASY_BIT(m->field)) && !user->value[m->field].present)
			asy_read_field(json, asy_json_pointer(json, node, m->pointer), m->field, m->units, user);
	if (p->read_user)
		p->read_user(talk, json, node, wanted, user);
}

/* ---- what is written ---- */

const AsyValue *
asy_given(const AsyTalk *talk, AsyField field)
{
	return talk->in.user && (talk->in.given & ASY_BIT(field)) ? &talk->in.user->value[field] : NULL;
}

/* The object new, with null for each key that only old has; deep: at every level. */
static void
put_patch(StringInfo out, const AsyJson *old, int o, const AsyJson *new, int n, bool deep)
{
	appendStringInfoChar(out, '{');
	for (int k = asy_json_first_key(new, n); k >= 0; k = asy_json_after_key(new, n, k))
	{
		char	   *key = asy_json_text(new, k);
		int			before = asy_json_member(old, o, key);

		if (deep && asy_json_kind(new, k + 1) == ASY_JSON_OBJECT && asy_json_kind(old, before) == ASY_JSON_OBJECT)
		{
			asy_json_put_raw(out, key, "");
			put_patch(out, old, before, new, k + 1, deep);
		}
		else
			asy_json_put_raw(out, key, asy_json_source(new, k + 1));
	}
	for (int k = asy_json_first_key(old, o); k >= 0; k = asy_json_after_key(old, o, k))
	{
		char	   *key = asy_json_text(old, k);

		if (asy_json_member(new, n, key) < 0)
			asy_json_put_raw(out, key, NULL);
	}
	appendStringInfoChar(out, '}');
}

char *
asy_metadata_to_send(const AsyTalk *talk, AsyField field)
{
	const AsyValue *value = asy_given(talk, field);
	const char *new = value && value->present ? value->text : "{}";
	const char *old = talk->in.old && talk->in.old->value[field].present ? talk->in.old->value[field].text : "{}";
	AsyMerge	merge = talk->server->provider->merge;
	AsyJson		was;
	AsyJson		is;
	StringInfoData out;

	if (talk->ask != ASY_ASK_UPDATE || merge == ASY_REPLACES)
		return pstrdup(new);
	if (!asy_index_object(new, &is) || !asy_index_object(old, &was))
		return pstrdup(new);
	initStringInfo(&out);
	put_patch(&out, &was, 0, &is, 0, merge == ASY_MERGES_DEEP);
	return out.data;
}

char *
asy_lower(const char *text)
{
	char	   *copy = pstrdup(text);

	for (char *c = copy; *c; c++)
		*c = pg_ascii_tolower((unsigned char) *c);
	return copy;
}

char *
asy_time_text(TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;

	/* Four digits of a year are all that anybody reads. */
	if (time < ASY_TIME_MIN || timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
		return pstrdup("1970-01-01T00:00:00.000000Z");
	if (tm.tm_year > 9999)
		return pstrdup("9999-12-31T23:59:59.999999Z");
	return psprintf("%04d-%02d-%02dT%02d:%02d:%02d.%06dZ", tm.tm_year, tm.tm_mon, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
}
