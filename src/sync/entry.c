/*
 * entry.c
 *	  What an entry of the audit log says of somebody coming or going.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "compat.h"
#include "ground/parse.h"
#include "sync/entry.h"

static const char *const actions[] = {"user_signedup", "user_invited", "user_confirmation_requested", "user_deleted"};

/* What the SQL looks for first, in the text as it is. */
#define FIRST_SIGN "\"user_"

static bool
contains(const char *payload, size_t len, const char *what)
{
	return memmem(payload, len, what, strlen(what)) != NULL;
}

bool
asy_entry_may_matter(const char *payload, size_t len)
{
	static const char prefix[] = "user_";
	const size_t n = sizeof(prefix) - 1;
	const char *end = payload + len;

	/* By the prefix's last character: memchr() is several times quicker than memmem(). */
	for (const char *at = payload; (at = memchr(at, prefix[n - 1], end - at)) != NULL; at++)
		if ((size_t) (at - payload) >= n - 1 && memcmp(at - (n - 1), prefix, n) == 0)
			for (size_t i = 0; i < lengthof(actions); i++)
				if ((size_t) (end - at) > strlen(actions[i] + n) && memcmp(at + 1, actions[i] + n, strlen(actions[i] + n)) == 0)
					return true;

	/* Or the words are spelled in escapes. */
	return memchr(payload, '\\', len) != NULL && contains(payload, len, FIRST_SIGN);
}

/* ---- taking the values out ---- */

typedef enum Value
{
	ACTION,
	ACTOR_ID,
	ACTOR_USERNAME,
	TRAITS_USER_ID,
	TRAITS_USER_EMAIL,
	NVALUES
} Value;

static const char *const value_name[NVALUES] = {"action", "actor_id", "actor_username", "user_id", "user_email"};

typedef struct Reader
{
	JsonLexContext *lex;
	bool		in_traits;		/* a value of the document's own key "traits" */
	const char *text[NVALUES];	/* as ->> and #>> would give them: the last of several; NULL if null or none */
	const char *start[NVALUES]; /* of one that is no string, being read */
	Value		string;			/* the scalar that comes next is its text; NVALUES: is nobody's */
} Reader;

/* Which one a key of that name is, at the present level (an array is one, too); NVALUES: none. */
static Value
value_of(const Reader *r, const char *key)
{
	int			from = r->in_traits ? TRAITS_USER_ID : ACTION;
	int			to = r->in_traits ? NVALUES : TRAITS_USER_ID;

	if (r->lex->lex_level == (r->in_traits ? 2 : 1))
		for (int v = from; v < to; v++)
			if (strcmp(key, value_name[v]) == 0)
				return v;
	return NVALUES;
}

static bool
is_traits(const Reader *r, const char *key)
{
	return r->lex->lex_level == 1 && strcmp(key, "traits") == 0;
}

static asy_json_result
key_begins(void *arg, char *key, bool isnull pg_attribute_unused())
{
	Reader	   *r = arg;
	Value		v = value_of(r, key);

	if (is_traits(r, key))
		r->in_traits = true;
	else if (v < NVALUES)
	{
		r->text[v] = NULL;
		r->start[v] = r->lex->token_start;
		if (r->lex->token_type == JSON_TOKEN_STRING)
			r->string = v;
	}
	ASY_JSON_GO_ON;
}

static asy_json_result
scalar(void *arg, char *token, JsonTokenType type pg_attribute_unused())
{
	Reader	   *r = arg;

	if (r->string < NVALUES)
	{
		r->text[r->string] = token;
		r->start[r->string] = NULL;
		r->string = NVALUES;
	}
	ASY_JSON_GO_ON;
}

static asy_json_result
key_ends(void *arg, char *key, bool isnull)
{
	Reader	   *r = arg;
	Value		v;

	if (is_traits(r, key))
		r->in_traits = false;
	v = value_of(r, key);
	if (v < NVALUES && r->start[v] && !isnull)
		r->text[v] = pnstrdup(r->start[v], r->lex->prev_token_terminator - r->start[v]);
	ASY_JSON_GO_ON;
}

static bool
take_values(const char *payload, size_t len, Reader *r)
{
	char	   *clean = asy_parse_clean_json(payload, len);
	JsonSemAction sem = {
		.semstate = r, .object_field_start = key_begins, .object_field_end = key_ends, .scalar = scalar
	};

	memset(r, 0, sizeof(Reader));
	r->string = NVALUES;
	r->lex = asy_json_lexer(clean ? clean : unconstify(char *, payload), len, GetDatabaseEncoding());
	return pg_parse_json(r->lex, &sem) == JSON_SUCCESS;
}

bool
asy_entry_read(const char *payload, size_t len, AsyEntry *entry)
{
	Reader		r;
	const char *const *text = r.text;

	if (!contains(payload, len, FIRST_SIGN) || !take_values(payload, len, &r) || text[ACTION] == NULL)
		return false;
	entry->action = NULL;
	for (size_t i = 0; i < lengthof(actions); i++)
		if (strcmp(text[ACTION], actions[i]) == 0)
			entry->action = actions[i];
	if (entry->action == NULL)
		return false;

	entry->has_user_id = (text[TRAITS_USER_ID] && asy_parse_user_id(text[TRAITS_USER_ID], strlen(text[TRAITS_USER_ID]), &entry->user_id)) ||
		(text[ACTOR_ID] && asy_parse_user_id(text[ACTOR_ID], strlen(text[ACTOR_ID]), &entry->user_id));
	entry->has_actor_id = text[ACTOR_ID] && asy_parse_uuid(text[ACTOR_ID], strlen(text[ACTOR_ID]), &entry->actor_id);
	if (text[TRAITS_USER_EMAIL] && text[TRAITS_USER_EMAIL][0])
		entry->email = text[TRAITS_USER_EMAIL];
	else if (text[ACTOR_USERNAME] && strchr(text[ACTOR_USERNAME], '@') && strcmp(entry->action, "user_deleted") != 0)
		entry->email = text[ACTOR_USERNAME];
	else
		entry->email = NULL;
	return true;
}
