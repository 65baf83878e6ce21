/*
 * json.h
 *	  A JSON document that somebody else wrote, indexed once and then looked
 *	  into.
 *
 * The index is a flat array of nodes in the order of the text: a container is
 * followed by its contents, an object's members as key, value, key, value.
 * Nodes are known by their position; -1 is "there is none", and every getter
 * takes it. The text must outlive the index; nothing is copied until asked for.
 */
#ifndef AUTHSYNC_JSON_H
#define AUTHSYNC_JSON_H

#include "lib/stringinfo.h"
#include "utils/timestamp.h"

/* What is deeper is not looked into: no provider nests a tenth as deep, and a user may nest his metadata as he likes. */
#define ASY_JSON_DEPTH_MAX 64

typedef enum AsyJsonKind
{
	ASY_JSON_NONE,				/* no such node */
	ASY_JSON_OBJECT,
	ASY_JSON_ARRAY,
	ASY_JSON_STRING,
	ASY_JSON_NUMBER,
	ASY_JSON_TRUE,
	ASY_JSON_FALSE,
	ASY_JSON_NULL
} AsyJsonKind;

typedef struct AsyJsonNode
{
	AsyJsonKind kind;
	int			start;			/* bytes of the text, with a string's quotes */
	int			end;
	int			next;			/* node after this one and its contents */
} AsyJsonNode;

typedef struct AsyJson
{
	const char *text;
	AsyJsonNode *nodes;
	int			n;
} AsyJson;

/*
 * Indexes a document: one value, valid UTF-8. A container deeper than
 * ASY_JSON_DEPTH_MAX has no contents in the index; its source is there, not
 * checked. NULL if it is good, else what is wrong, as the end of a sentence. Escapes that are no text (\u0000, half a surrogate pair) are read
 * as U+FFFD. The index lives in the current context.
 */
extern const char *asy_json_index(const char *text, size_t len, AsyJson *json);

extern AsyJsonKind asy_json_kind(const AsyJson *json, int node);

/* The value of a member of an object; of several of one name the last, as jsonb has it. */
extern int	asy_json_member(const AsyJson *json, int node, const char *name);

/* An RFC 6901 pointer from that node on: "" itself, "/a/0/b". */
extern int	asy_json_pointer(const AsyJson *json, int node, const char *pointer);

/* The elements of an array: for (e = asy_json_first(j, a); e >= 0; e = asy_json_after(j, a, e)). */
extern int	asy_json_first(const AsyJson *json, int array);
extern int	asy_json_after(const AsyJson *json, int array, int element);
extern int	asy_json_count(const AsyJson *json, int array);

/* The same for an object's members: the node is the key's, its value is the next one. */
extern int	asy_json_first_key(const AsyJson *json, int object);
extern int	asy_json_after_key(const AsyJson *json, int object, int key);

/* A string's text, a number or boolean as it stands, a container as JSON; NULL for null and none. palloc'd, in the database's encoding. */
extern char *asy_json_text(const AsyJson *json, int node);

/* The JSON of the node itself, a string with its quotes; NULL for none. palloc'd, in the database's encoding. */
extern char *asy_json_source(const AsyJson *json, int node);

/* Whether a string node is that text (which has no escapes in it). */
extern bool asy_json_is(const AsyJson *json, int node, const char *text);

/* true, false, and the strings that say so in any case; false if it is neither. */
extern bool asy_json_bool(const AsyJson *json, int node, bool *value);

/* A whole number, or a string of one. False if it is none. */
extern bool asy_json_int64(const AsyJson *json, int node, int64 *value);

/* A string as RFC 3339 has it (units 0), or a number or string of units since 1970. False if it is none. */
extern bool asy_json_time(const AsyJson *json, int node, int64 units_a_second, TimestampTz *value);

/* Appends "name": value to an object under construction, with the comma where one is due; the braces are the caller's. A NULL name: an element. NULL is null. */
extern void asy_json_put_text(StringInfo out, const char *name, const char *value);
extern void asy_json_put_raw(StringInfo out, const char *name, const char *json);

#endif
