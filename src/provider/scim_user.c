/*
 * scim_user.c
 *	  A user as SCIM has him (RFC 7643): out of his JSON, and changes to it.
 */
#include "postgres.h"

#include "provider/compose.h"
#include "provider/scim_user.h"

int
asy_scim_member(const AsyJson *json, int node, const char *name)
{
	int			found = asy_json_member(json, node, name);
	size_t		len = strlen(name);

	for (int k = found < 0 ? asy_json_first_key(json, node) : -1; k >= 0; k = asy_json_after_key(json, node, k))
		if (json->nodes[k].end - json->nodes[k].start == (int) len + 2 &&
			pg_strncasecmp(json->text + json->nodes[k].start + 1, name, len) == 0)
			found = k + 1;
	return found;
}

/* Of several e-mails, phones, photos the one that counts. */
static int
chosen(const AsyJson *json, int array)
{
	int			best = -1;
	int			rank = 0;

	for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
	{
		char	   *type = asy_json_text(json, asy_scim_member(json, e, "type"));
		bool		primary = false;
		int			this;

		asy_json_bool(json, asy_scim_member(json, e, "primary"), &primary);
		this = primary ? 3 : type && pg_strcasecmp(type, "work") == 0 ? 2 : 1;
		if (this > rank)
		{
			rank = this;
			best = e;
		}
	}
	return best;
}

static int
value_of(const AsyJson *json, int node, const char *attribute)
{
	return asy_scim_member(json, chosen(json, asy_scim_member(json, node, attribute)), "value");
}

void
asy_scim_read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user)
{
	int			meta = asy_scim_member(json, node, "meta");
	int			name = asy_scim_member(json, node, "name");
	const struct
	{
		AsyField	field;
		int			node;
	}			fields[] = {
		{ASY_ID, asy_scim_member(json, node, "id")},
		{ASY_EMAIL, wanted & ASY_BIT(ASY_EMAIL) ? value_of(json, node, "emails") : -1},
		{ASY_PHONE, wanted & ASY_BIT(ASY_PHONE) ? value_of(json, node, "phoneNumbers") : -1},
		{ASY_PICTURE, wanted & ASY_BIT(ASY_PICTURE) ? value_of(json, node, "photos") : -1},
		{ASY_NICKNAME, asy_scim_member(json, node, "nickName")},
		{ASY_NAME, asy_scim_member(json, name, "formatted")},
		{ASY_NAME, asy_scim_member(json, node, "displayName")},
		{ASY_CREATED_AT, asy_scim_member(json, meta, "created")},
		{ASY_UPDATED_AT, asy_scim_member(json, meta, "lastModified")}
	};
	bool		active = true;

	(void) talk;
	for (size_t i = 0; i < lengthof(fields); i++)
		if ((wanted & ASY_BIT(fields[i].field)) && !user->value[fields[i].field].present)
			asy_read_field(json, fields[i].node, fields[i].field, 0, user);
	if ((wanted & ASY_BIT(ASY_EMAIL)) && !user->value[ASY_EMAIL].present)
	{
		char	   *username = asy_json_text(json, asy_scim_member(json, node, "userName"));

		user->value[ASY_EMAIL].present = username && strchr(username, '@');
		user->value[ASY_EMAIL].text = username;
	}
	if ((wanted & ASY_BIT(ASY_NAME)) && !user->value[ASY_NAME].present)
	{
		char	   *given = asy_json_text(json, asy_scim_member(json, name, "givenName"));
		char	   *family = asy_json_text(json, asy_scim_member(json, name, "familyName"));

		user->value[ASY_NAME].text = given && family ? psprintf("%s %s", given, family) : given ? given : family;
		user->value[ASY_NAME].present = user->value[ASY_NAME].text && user->value[ASY_NAME].text[0];
	}
	if (wanted & ASY_BIT(ASY_BLOCKED))
	{
		asy_json_bool(json, asy_scim_member(json, node, "active"), &active);
		user->value[ASY_BLOCKED].present = true;
		user->value[ASY_BLOCKED].flag = !active;
	}
}

/* ---- writing ---- */

/* An array of one, or the one that he has with another value in the element that counts; NULL: the attribute goes. */
static char *
with_value(const AsyJson *json, int array, const AsyValue *value, const char *type, bool primary)
{
	StringInfoData out;
	int			old = chosen(json, array);

	initStringInfo(&out);
	appendStringInfoChar(&out, '[');
	for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
		if (e != old)
			asy_json_put_raw(&out, NULL, asy_json_source(json, e));
		else if (value->present)
		{
			StringInfoData new;

			initStringInfo(&new);
			appendStringInfoChar(&new, '{');
			asy_json_put_text(&new, "value", value->text);
			appendStringInfoChar(&new, '}');
			asy_json_put_raw(&out, NULL, asy_object_with(json, e, new.data, NULL)->data);
		}
	if (old < 0 && value->present)
	{
		asy_json_put_raw(&out, NULL, "{");
		asy_json_put_text(&out, "value", value->text);
		asy_json_put_text(&out, "type", type);
		if (primary)
			asy_json_put_raw(&out, "primary", "true");
		appendStringInfoChar(&out, '}');
	}
	appendStringInfoChar(&out, ']');
	return out.len > 2 ? out.data : NULL;
}

StringInfo
asy_scim_changes(const AsyTalk *talk, const AsyJson *json, int node)
{
	StringInfo	out = makeStringInfo();
	const AsyValue *value;

	appendStringInfoChar(out, '{');
	if ((value = asy_given(talk, ASY_EMAIL)) != NULL)
	{
		char	   *username = asy_json_text(json, asy_scim_member(json, node, "userName"));
		char	   *email = asy_json_text(json, value_of(json, node, "emails"));

		if (value->present && (node < 0 || (username && strchr(username, '@') && (email == NULL || pg_strcasecmp(username, email) == 0))))
			asy_json_put_text(out, "userName", value->text);
		asy_json_put_raw(out, "emails", with_value(json, asy_scim_member(json, node, "emails"), value, "work", true));
	}
	else if (node < 0 && asy_given_text(talk, ASY_PHONE))
		asy_json_put_text(out, "userName", asy_given_text(talk, ASY_PHONE));
	if ((value = asy_given(talk, ASY_PHONE)) != NULL)
		asy_json_put_raw(out, "phoneNumbers", with_value(json, asy_scim_member(json, node, "phoneNumbers"), value, "work", false));
	if ((value = asy_given(talk, ASY_PICTURE)) != NULL)
		asy_json_put_raw(out, "photos", with_value(json, asy_scim_member(json, node, "photos"), value, "photo", false));
	if ((value = asy_given(talk, ASY_NAME)) != NULL)
	{
		const char *family = value->present ? strchr(value->text, ' ') : NULL;

		asy_json_put_raw(out, "name", value->present ? "{" : NULL);
		if (value->present)
		{
			asy_json_put_text(out, "formatted", value->text);
			asy_json_put_text(out, "givenName", family ? pnstrdup(value->text, family - value->text) : value->text);
			if (family && family[1])
				asy_json_put_text(out, "familyName", family + 1);
			appendStringInfoChar(out, '}');
		}
		asy_put_given(out, talk, ASY_NAME, "displayName");
	}
	asy_put_given(out, talk, ASY_NICKNAME, "nickName");
	asy_put_given(out, talk, ASY_PASSWORD, "password");
	value = asy_given(talk, ASY_BLOCKED);
	if (value || node < 0)
		asy_json_put_raw(out, "active", value && value->present && value->flag ? "false" : "true");
	appendStringInfoChar(out, '}');
	return out;
}

/* value NULL: remove. */
static void
put_operation(StringInfo out, const char *path, const char *value)
{
	asy_json_put_raw(out, NULL, "{");
	asy_json_put_text(out, "op", value ? "replace" : "remove");
	asy_json_put_text(out, "path", path);
	if (value)
		asy_json_put_raw(out, "value", value);
	appendStringInfoChar(out, '}');
}

StringInfo
asy_scim_patch(const AsyJson *was, const char *changes)
{
	StringInfo	out = makeStringInfo();
	AsyJson		json;
	int			none;

	if (!asy_index_object(changes, &json))
		elog(ERROR, "an object that was built is none");
	appendStringInfoString(out, "{\"schemas\":[\"urn:ietf:params:scim:api:messages:2.0:PatchOp\"],\"Operations\":[");
	none = out->len;
	for (int k = asy_json_first_key(&json, 0); k >= 0; k = asy_json_after_key(&json, 0, k))
	{
		char	   *path = asy_json_text(&json, k);
		int			old = asy_scim_member(was, 0, path);

		if (asy_json_kind(&json, k + 1) != ASY_JSON_NULL)
			put_operation(out, path, asy_json_source(&json, k + 1));
		else if (old >= 0)
			put_operation(out, path, NULL);

		/* Of a value with parts, those stay that are not named. */
		for (int o = asy_json_kind(&json, k + 1) == ASY_JSON_OBJECT ? asy_json_first_key(was, old) : -1; o >= 0; o = asy_json_after_key(was, old, o))
			if (asy_scim_member(&json, k + 1, asy_json_text(was, o)) < 0)
				put_operation(out, psprintf("%s.%s", path, asy_json_text(was, o)), NULL);
	}
	if (out->len == none)
		return NULL;
	appendStringInfoString(out, "]}");
	return out;
}
