/*
 * json.c
 *	  A JSON document that somebody else wrote.
 *
 * The tokens are PostgreSQL's own (json_lex); what is added is the index, so
 * that a page of users is read once and each of its values only when wanted.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/json.h"

#include "compat.h"
#include "ground/json.h"
#include "ground/parse.h"

/* What may come next. */
typedef enum Expected
{
	VALUE,
	VALUE_OR_END,				/* after [ */
	KEY_OR_END,					/* after { */
	KEY,						/* after a comma in an object */
	COLON,
	COMMA_OR_END,
	NOTHING						/* after the document */
} Expected;

static AsyJsonNode *
new_node(AsyJson *json, int *size, AsyJsonKind kind, int start, int end)
{
	AsyJsonNode *node;

	if (json->n == *size)
	{
		*size *= 2;
		json->nodes = repalloc_huge(json->nodes, sizeof(AsyJsonNode) * *size);
	}
	node = &json->nodes[json->n++];
	node->kind = kind;
	node->start = start;
	node->end = end;
	node->next = json->n;
	return node;
}

static AsyJsonKind
kind_of(JsonTokenType token)
{
	switch (token)
	{
		case JSON_TOKEN_STRING:
			return ASY_JSON_STRING;
		case JSON_TOKEN_NUMBER:
			return ASY_JSON_NUMBER;
		case JSON_TOKEN_TRUE:
			return ASY_JSON_TRUE;
		case JSON_TOKEN_FALSE:
			return ASY_JSON_FALSE;
		case JSON_TOKEN_NULL:
			return ASY_JSON_NULL;
		case JSON_TOKEN_OBJECT_START:
			return ASY_JSON_OBJECT;
		case JSON_TOKEN_ARRAY_START:
			return ASY_JSON_ARRAY;
		default:
			return ASY_JSON_NONE;
	}
}

/* Goes to the end of the container that has just begun; false where there is none. */
static bool
skip(JsonLexContext *lex)
{
	int64		inside = 1;

	while (inside > 0)
	{
		if (json_lex(lex) != JSON_SUCCESS || lex->token_type == JSON_TOKEN_END)
			return false;
		if (lex->token_type == JSON_TOKEN_OBJECT_START || lex->token_type == JSON_TOKEN_ARRAY_START)
			inside++;
		else if (lex->token_type == JSON_TOKEN_OBJECT_END || lex->token_type == JSON_TOKEN_ARRAY_END)
			inside--;
	}
	return true;
}

const char *
asy_json_index(const char *text, size_t len, AsyJson *json)
{
	JsonLexContext *lex;
	Expected	expected = VALUE;
	int			open[ASY_JSON_DEPTH_MAX];
	int			depth = 0;
	int			size;
	char	   *clean;

	if (len > MaxAllocSize / 2)
		return "is too long";
	if (!pg_verify_mbstr(PG_UTF8, text, (int) len, true))
		return "is not UTF-8";
	clean = memchr(text, '\\', len) ? asy_parse_clean_json(text, len) : NULL;
	if (clean)
		text = clean;
	lex = asy_json_scanner(text, len);
	size = (int) Min(16 + len / 12, 4096);
	json->text = text;
	json->n = 0;
	json->nodes = palloc(sizeof(AsyJsonNode) * size);
	for (;;)
	{
		AsyJsonKind kind;
		int			start;
		int			end;

		if (json_lex(lex) != JSON_SUCCESS)
			return "is no JSON";
		start = (int) (lex->token_start ? lex->token_start - text : 0);
		end = (int) (lex->token_terminator - text);
		if (lex->token_type == JSON_TOKEN_END)
			return expected == NOTHING ? NULL : "is cut short";
		switch (expected)
		{
			case NOTHING:
				return "goes on after its end";
			case COLON:
				if (lex->token_type != JSON_TOKEN_COLON)
					return "is no JSON";
				expected = VALUE;
				continue;
			case KEY:
			case KEY_OR_END:
				if (lex->token_type == JSON_TOKEN_STRING)
				{
					new_node(json, &size, ASY_JSON_STRING, start, end);
					expected = COLON;
					continue;
				}
				if (expected == KEY || lex->token_type != JSON_TOKEN_OBJECT_END)
					return "is no JSON";
				break;
			case COMMA_OR_END:
				if (lex->token_type == JSON_TOKEN_COMMA)
				{
					expected = json->nodes[open[depth - 1]].kind == ASY_JSON_OBJECT ? KEY : VALUE;
					continue;
				}
				break;
			case VALUE:
			case VALUE_OR_END:
				kind = kind_of(lex->token_type);
				if (kind == ASY_JSON_NONE)
				{
					if (expected == VALUE || lex->token_type != JSON_TOKEN_ARRAY_END)
						return "is no JSON";
					break;
				}
				if (kind == ASY_JSON_OBJECT || kind == ASY_JSON_ARRAY)
				{
					if (depth == ASY_JSON_DEPTH_MAX)
					{
						/* One value of one user shall not make the others unreadable: what is deeper stays as it is written. */
						if (!skip(lex))
							return "is cut short";
						new_node(json, &size, kind, start, (int) (lex->token_terminator - text));
						expected = COMMA_OR_END;
						continue;
					}
					open[depth++] = json->n;
					expected = kind == ASY_JSON_OBJECT ? KEY_OR_END : VALUE_OR_END;
				}
				else
					expected = depth > 0 ? COMMA_OR_END : NOTHING;
				new_node(json, &size, kind, start, end);
				continue;
		}

		/* The end of the innermost container, and of no other kind. */
		{
			AsyJsonNode *container = &json->nodes[open[depth - 1]];

			if (lex->token_type != (container->kind == ASY_JSON_OBJECT ? JSON_TOKEN_OBJECT_END : JSON_TOKEN_ARRAY_END))
				return "is no JSON";
			container->end = end;
			container->next = json->n;
			depth--;
			expected = depth > 0 ? COMMA_OR_END : NOTHING;
		}
	}
}

AsyJsonKind
asy_json_kind(const AsyJson *json, int node)
{
	return node < 0 ? ASY_JSON_NONE : json->nodes[node].kind;
}

/* Whether the text between a string node's quotes is that of len bytes. */
static bool
string_is(const AsyJson *json, int node, const char *text, size_t len)
{
	const AsyJsonNode *n = &json->nodes[node];
	size_t		inside = n->end - n->start - 2;
	const char *s = json->text + n->start + 1;

	if (inside == len && memcmp(s, text, len) == 0)
		return true;
	if (inside > len && memchr(s, '\\', inside))
	{
		char	   *plain = asy_json_text(json, node);
		bool		same = strlen(plain) == len && memcmp(plain, text, len) == 0;

		pfree(plain);
		return same;
	}
	return false;
}

static int
member(const AsyJson *json, int node, const char *name, size_t len)
{
	int			found = -1;

	for (int key = asy_json_first_key(json, node); key >= 0; key = asy_json_after_key(json, node, key))
		if (string_is(json, key, name, len))
			found = key + 1;
	return found;
}

int
asy_json_member(const AsyJson *json, int node, const char *name)
{
	return member(json, node, name, strlen(name));
}

int
asy_json_pointer(const AsyJson *json, int node, const char *pointer)
{
	char		token[256];

	while (node >= 0 && *pointer == '/')
	{
		size_t		len = 0;

		for (pointer++; *pointer && *pointer != '/'; pointer++)
		{
			char		c = *pointer;

			if (c == '~' && (pointer[1] == '0' || pointer[1] == '1'))
				c = *++pointer == '0' ? '~' : '/';
			if (len == sizeof(token) - 1)
				return -1;
			token[len++] = c;
		}
		token[len] = '\0';
		if (asy_json_kind(json, node) == ASY_JSON_OBJECT)
			node = member(json, node, token, len);
		else if (asy_json_kind(json, node) == ASY_JSON_ARRAY && len > 0 && strspn(token, "0123456789") == len && len < 9)
		{
			int			e = asy_json_first(json, node);

			for (int i = atoi(token); i > 0 && e >= 0; i--)
				e = asy_json_after(json, node, e);
			node = e;
		}
		else
			return -1;
	}
	return *pointer ? -1 : node;
}

int
asy_json_first(const AsyJson *json, int array)
{
	if (asy_json_kind(json, array) != ASY_JSON_ARRAY)
		return -1;
	return asy_json_after(json, array, -1);
}

int
asy_json_after(const AsyJson *json, int array, int element)
{
	int			next = element < 0 ? array + 1 : json->nodes[element].next;

	return next < json->nodes[array].next ? next : -1;
}

int
asy_json_count(const AsyJson *json, int array)
{
	int			n = 0;

	for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
		n++;
	return n;
}

int
asy_json_first_key(const AsyJson *json, int object)
{
	if (asy_json_kind(json, object) != ASY_JSON_OBJECT)
		return -1;
	return object + 1 < json->nodes[object].next ? object + 1 : -1;
}

int
asy_json_after_key(const AsyJson *json, int object, int key)
{
	int			next = json->nodes[key + 1].next;

	return next < json->nodes[object].next ? next : -1;
}

/* The bytes of the text, in the database's encoding. */
static char *
copied(const char *s, size_t len)
{
	char	   *text;

	if (GetDatabaseEncoding() == PG_UTF8)
		return pnstrdup(s, len);
	text = pnstrdup(s, len);
	return pg_any_to_server(text, len, PG_UTF8);
}

char *
asy_json_source(const AsyJson *json, int node)
{
	if (node < 0)
		return NULL;
	return copied(json->text + json->nodes[node].start, json->nodes[node].end - json->nodes[node].start);
}

char *
asy_json_text(const AsyJson *json, int node)
{
	const AsyJsonNode *n;
	const char *s;
	size_t		len;

	if (node < 0 || json->nodes[node].kind == ASY_JSON_NULL)
		return NULL;
	n = &json->nodes[node];
	if (n->kind != ASY_JSON_STRING)
		return asy_json_source(json, node);
	s = json->text + n->start;
	len = n->end - n->start;
	if (memchr(s, '\\', len))
	{
		JsonLexContext *lex = asy_json_lexer(unconstify(char *, s), len, PG_UTF8);
		char	   *text;

		if (json_lex(lex) != JSON_SUCCESS)
			elog(ERROR, "a JSON string that was good is not");
		text = copied(lex->strval->data, lex->strval->len);
		return text;
	}
	return copied(s + 1, len - 2);
}

bool
asy_json_is(const AsyJson *json, int node, const char *text)
{
	return asy_json_kind(json, node) == ASY_JSON_STRING && string_is(json, node, text, strlen(text));
}

bool
asy_json_bool(const AsyJson *json, int node, bool *value)
{
	AsyJsonKind kind = asy_json_kind(json, node);

	if (kind == ASY_JSON_TRUE || kind == ASY_JSON_FALSE)
	{
		*value = kind == ASY_JSON_TRUE;
		return true;
	}
	if (kind == ASY_JSON_STRING)
	{
		const AsyJsonNode *n = &json->nodes[node];
		const char *s = json->text + n->start + 1;
		int			len = n->end - n->start - 2;

		if ((len == 4 && pg_strncasecmp(s, "true", 4) == 0) || (len == 5 && pg_strncasecmp(s, "false", 5) == 0))
		{
			*value = len == 4;
			return true;
		}
	}
	return false;
}

/* The characters of a number, or of a string, without quotes. */
static const char *
characters(const AsyJson *json, int node, size_t *len)
{
	const AsyJsonNode *n;
	int			quotes;

	if (asy_json_kind(json, node) != ASY_JSON_NUMBER && asy_json_kind(json, node) != ASY_JSON_STRING)
		return NULL;
	n = &json->nodes[node];
	quotes = n->kind == ASY_JSON_STRING ? 1 : 0;
	*len = n->end - n->start - 2 * quotes;
	return json->text + n->start + quotes;
}

bool
asy_json_int64(const AsyJson *json, int node, int64 *value)
{
	size_t		len = 0;
	const char *s = characters(json, node, &len);
	bool		negative;
	int64		result = 0;

	if (s == NULL || len == 0)
		return false;
	negative = *s == '-';
	for (size_t i = negative; i < len; i++)
	{
		if (s[i] < '0' || s[i] > '9' || result > (PG_INT64_MAX - 9) / 10)
			return false;
		result = result * 10 + (s[i] - '0');
	}
	*value = negative ? -result : result;
	return len > (size_t) negative;
}

bool
asy_json_time(const AsyJson *json, int node, int64 units_a_second, TimestampTz *value)
{
	size_t		len = 0;
	const char *s = characters(json, node, &len);

	if (s == NULL)
		return false;
	return units_a_second == 0 ? asy_parse_time(s, len, value) : asy_parse_epoch(s, len, units_a_second, value);
}

void
asy_json_put_raw(StringInfo out, const char *name, const char *json)
{
	if (out->len > 0 && out->data[out->len - 1] != '{' && out->data[out->len - 1] != '[' && out->data[out->len - 1] != ':')
		appendStringInfoChar(out, ',');
	if (name)
	{
		escape_json(out, name);
		appendStringInfoChar(out, ':');
	}
	appendStringInfoString(out, json ? json : "null");
}

void
asy_json_put_text(StringInfo out, const char *name, const char *value)
{
	asy_json_put_raw(out, name, value ? "" : NULL);
	if (value)
		escape_json(out, value);
}
