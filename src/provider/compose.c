/*
 * compose.c
 *	  What drivers share that put users together.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "provider/compose.h"

const char *
asy_given_text(const AsyTalk *talk, AsyField field)
{
	const AsyValue *value = asy_given(talk, field);

	return value && value->present ? value->text : NULL;
}

void
asy_put_given(StringInfo out, const AsyTalk *talk, AsyField field, const char *name)
{
	const AsyValue *value = asy_given(talk, field);

	if (value == NULL)
		return;
	if (!value->present)
		asy_json_put_raw(out, name, NULL);
	else if (asy_fields[field].type == ASY_BOOL)
		asy_json_put_raw(out, name, value->flag ? "true" : "false");
	else if (asy_fields[field].type == ASY_TIME)
		asy_json_put_text(out, name, asy_time_text(value->time));
	else if (asy_fields[field].type == ASY_JSON)
		asy_json_put_raw(out, name, asy_metadata_to_send(talk, field));
	else
		asy_json_put_text(out, name, value->text);
}

bool
asy_index_object(const char *text, AsyJson *json)
{
	char	   *copy = pstrdup(text);

	copy = pg_server_to_any(copy, strlen(copy), PG_UTF8);
	return asy_json_index(copy, strlen(copy), json) == NULL && asy_json_kind(json, 0) == ASY_JSON_OBJECT;
}

StringInfo
asy_object_with(const AsyJson *json, int node, const char *changes, const char *const *drop)
{
	StringInfo	out = makeStringInfo();
	AsyJson		new;

	if (!asy_index_object(changes, &new))
		elog(ERROR, "an object that was built is none");
	appendStringInfoChar(out, '{');
	for (int k = asy_json_first_key(json, node); k >= 0; k = asy_json_after_key(json, node, k))
	{
		char	   *key = asy_json_text(json, k);
		bool		stays = asy_json_member(&new, 0, key) < 0;

		for (int i = 0; stays && drop && drop[i]; i++)
			stays = strcmp(key, drop[i]) != 0;
		if (stays)
			asy_json_put_raw(out, key, asy_json_source(json, k + 1));
	}
	for (int k = asy_json_first_key(&new, 0); k >= 0; k = asy_json_after_key(&new, 0, k))
		if (asy_json_kind(&new, k + 1) != ASY_JSON_NULL)
			asy_json_put_raw(out, asy_json_text(&new, k), asy_json_source(&new, k + 1));
	appendStringInfoChar(out, '}');
	return out;
}

AsyTurn
asy_end_with_user(AsyTalk *talk)
{
	return asy_good(talk) && asy_answer_json(talk, 0) && asy_found(talk, 0, 0) ? ASY_DONE : ASY_FAIL;
}

bool
asy_is_probe(AsyTalk *talk, bool *probing, const char *list, AsyTurn *turn)
{
	const AsyFault *fault = talk->nanswers > 0 ? talk->answers[0].fault : NULL;

	if (*probing)
	{
		*turn = asy_good(talk) && asy_answer_json(talk, 0) ?
			asy_fail(talk, ASY_FAULT_MISSING, "The answer is HTTP 404, and the list is where it should be.") : ASY_FAIL;
		return true;
	}
	if (fault == NULL || fault->class != ASY_FAULT_ADDRESS || fault->status != 404)
		return false;
	*probing = true;
	asy_send(talk, "GET", "%s", list);
	*turn = ASY_SEND;
	return true;
}

char *
asy_location_id(const AsyHttpAnswer *answer)
{
	char	   *location = asy_http_header(answer, "location");
	char	   *segment = location ? strrchr(location, '/') : NULL;
	char	   *out;
	int			n = 0;

	if (segment == NULL || segment[1] == '\0' || segment[1] == '?')
		return NULL;
	out = palloc(strlen(segment));
	for (const char *c = segment + 1; *c && *c != '?'; c++)
	{
		unsigned int byte;

		if (*c == '%' && sscanf(c + 1, "%2x", &byte) == 1 && byte >= ' ' && byte < 0x7F)
		{
			out[n++] = (char) byte;
			c += 2;
		}
		else
			out[n++] = *c;
	}
	out[n] = '\0';
	return out;
}
