/*
 * provider.h
 *	  Auth providers: what one is, and how to talk to one. The only header of
 *	  this floor that the others include.
 *
 * A provider is one file and one row of provider_list.h. Its file holds a const
 * AsyProvider: options, secrets, capabilities, where each field of a user stands
 * in its JSON, and a function for each thing that can be asked of it.
 *
 * Such a function sends nothing. It is called in turns: each time it looks at
 * the answers to what it wrote down last (none at step 0) and either writes down
 * the next requests, or says that it is done, or that it failed:
 *
 *	  step 0            step 1                         step 2
 *	  asy_send(GET …) → answers[0], asy_found_all(…),  → …, return ASY_DONE
 *	  return ASY_SEND   asy_send(GET …), ASY_SEND
 *
 * talk.c does the rest for all of them alike: credentials, tokens, the rate
 * budget, many at once, tries after a failure, what an answer's status means.
 * So drivers know no SQL, no catalog and no network, and everything that can be
 * asked of one provider can be asked of many at the same time.
 *
 * A talk and all that it gives out live in a context of its own, below the one
 * that was current when it began.
 */
#ifndef AUTHSYNC_PROVIDER_H
#define AUTHSYNC_PROVIDER_H

#include "utils/timestamp.h"

#include "ground/fault.h"
#include "ground/http.h"
#include "ground/json.h"

/* ---- a user ---- */

/* The columns of the foreign table users, in its order. */
typedef enum AsyField
{
	ASY_ID,						/* the subject: the provider's id as text */
	ASY_EMAIL,
	ASY_PHONE,
	ASY_EMAIL_VERIFIED,
	ASY_PHONE_VERIFIED,
	ASY_NAME,
	ASY_NICKNAME,
	ASY_PICTURE,
	ASY_BLOCKED,
	ASY_CREATED_AT,
	ASY_UPDATED_AT,
	ASY_LAST_SIGN_IN_AT,
	ASY_DELETED_AT,
	ASY_USER_METADATA,
	ASY_APP_METADATA,
	ASY_IDENTITIES,
	ASY_RAW,					/* everything, as the provider said it */
	ASY_PASSWORD,				/* only ever written */
	ASY_PASSWORD_HASH,			/* only ever written */
	ASY_NFIELDS
} AsyField;

typedef enum AsyFieldType
{
	ASY_TEXT,
	ASY_BOOL,
	ASY_TIME,
	ASY_JSON
} AsyFieldType;

typedef struct AsyFieldInfo
{
	const char *name;			/* of the column */
	AsyFieldType type;
} AsyFieldInfo;

extern const AsyFieldInfo asy_fields[ASY_NFIELDS];

/* Sets of fields */
#define ASY_BIT(field) ((uint32) 1 << (field))
#define ASY_ALL_FIELDS (ASY_BIT(ASY_NFIELDS) - 1)

/* null where !present. */
typedef struct AsyValue
{
	bool		present;
	bool		flag;			/* ASY_BOOL */
	TimestampTz time;			/* ASY_TIME */
	const char *text;			/* ASY_TEXT, and the JSON of ASY_JSON */
} AsyValue;

typedef struct AuthUser
{
	AsyValue	value[ASY_NFIELDS];
} AuthUser;

/* ---- what can be asked ---- */

typedef enum AsyAsk
{
	ASY_ASK_TOKEN,				/* a bearer token, where the secret is not one */
	ASY_ASK_LIST,				/* every user, or those changed since */
	ASY_ASK_GET,				/* one, by subject */
	ASY_ASK_FIND,				/* those with an e-mail */
	ASY_ASK_COUNT,				/* how many a complete listing has, exactly */
	ASY_ASK_CREATE,
	ASY_ASK_UPDATE,
	ASY_ASK_DELETE,
	ASY_NASKS
} AsyAsk;

/* What a provider can do beyond the asks that it answers; words of authsync.providers. */
#define ASY_CAN_CHANGES			0x0001	/* its list can be of those changed since */
#define ASY_CAN_DELETED			0x0002	/* tells of deletions */
#define ASY_CAN_SET_ID			0x0004	/* takes the id of a new user from us */
#define ASY_CAN_SET_HASH		0x0008	/* takes a password's hash */
#define ASY_CAN_SIGN_OUT		0x0010
#define ASY_CAN_RECOVERY_LINK	0x0020
#define ASY_CAN_CHECK_PASSWORD	0x0040
#define ASY_CAN_WEBHOOK			0x0080

/* How an update of metadata is taken. */
typedef enum AsyMerge
{
	ASY_REPLACES,				/* what is sent is what is there afterwards */
	ASY_MERGES_KEYS,			/* top-level keys are replaced, null removes one */
	ASY_MERGES_DEEP				/* the same at every level */
} AsyMerge;

typedef struct AsyTalk AsyTalk;
typedef struct AsyServer AsyServer;
typedef struct AsyProvider AsyProvider;
typedef struct AsyRequest AsyRequest;

typedef enum AsyTurn
{
	ASY_SEND,					/* requests were written down */
	ASY_DONE,
	ASY_FAIL					/* talk->fault says why */
} AsyTurn;

typedef AsyTurn (*AsyAskFunction) (AsyTalk *talk);

/* Where a field stands in a user's JSON. */
typedef struct AsyMapping
{
	AsyField	field;
	const char *pointer;		/* RFC 6901, from the user's own node */
	int64		units;			/* ASY_TIME: 0 as RFC 3339 has it, else units a second since 1970 */
} AsyMapping;

/* An option of the server that one provider has and others have not. */
typedef struct AsyProviderOption
{
	const char *name;
	bool		required;
	const char *byname;			/* its value when it is not given; NULL: none */
	const char *help;
} AsyProviderOption;

struct AsyProvider
{
	const char *name;
	const char *title;
	const char *api_path;		/* stands before every path unless option api_path says otherwise */
	const AsyProviderOption *options;	/* ended by a NULL name */
	const char *const *secrets; /* ended by NULL; the first is the one it cannot do without */
	uint32		can;			/* ASY_CAN_… */
	int			page_size;		/* how many users it gives at once, unless told */
	int			page_max;		/* and at most; 0: as many as one asks for */
	int			concurrency;	/* requests at once, unless told */
	double		rate;			/* requests a second, unless told; 0: no limit is known */
	AsyMerge	merge;
	uint32		writes;			/* the fields that create takes, and update but for: */
	uint32		fixed;			/* those that update does not take */
	const AsyMapping *mappings; /* ended by a NULL pointer */

	/* Credentials for a request; NULL: "Authorization: Bearer" with the token, or the first secret. */
	void		(*authorize) (AsyTalk *talk, AsyRequest *request);

	/* What the mappings cannot say, after them; NULL: nothing. Fills what of wanted it knows. */
	void		(*read_user) (const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user);

	/* Mends the fault that an answer's status stands for: class, code, detail. NULL: it is right already. */
	void		(*classify) (const AsyTalk *talk, int answer, AsyFault *fault);

	AsyAskFunction ask[ASY_NASKS];	/* NULL: cannot be asked */
};

/* ---- the registry ---- */

#define PROVIDER(name) extern const AsyProvider asy_provider_##name;
#include "provider/provider_list.h"
#undef PROVIDER

/* NULL if there is none of that name. */
extern const AsyProvider *asy_provider(const char *name);

/* The n-th, from 0; NULL after the last. */
extern const AsyProvider *asy_provider_n(int n);

/* The capabilities as words, palloc'd; *n how many. */
extern char **asy_provider_capabilities(const AsyProvider *provider, int *n);

/* ---- a server: a provider's service in one environment ---- */

typedef struct AsyNamed
{
	const char *name;
	const char *value;
} AsyNamed;

struct AsyServer
{
	const AsyProvider *provider;
	Oid			oid;			/* what tokens and the rate budget are kept by */
	const char *name;			/* for messages */
	const char *url;			/* without a slash at its end */
	const char *base;			/* the same with the api_path */
	AsyHttpLimits limits;
	int			page_size;
	int			concurrency;
	double		rate;			/* requests a second; 0: no limit */
	bool		background;		/* gives way to people who wait */
	const AsyNamed *options;	/* of the server, defaults filled in; ended by a NULL name */
	const AsyNamed *secrets;	/* ended by a NULL name */
};

/* The rate budget's shared memory; in _PG_init. */
extern void asy_budget_init(void);

/* NULL where it is not set. */
extern const char *asy_server_option(const AsyServer *server, const char *name);
extern const char *asy_server_secret(const AsyServer *server, const char *name);

/* ---- a talk ---- */

/* The most requests that one turn may write down. */
#define ASY_TALK_WIDTH 16

typedef struct AsyInput
{
	const char *subject;		/* GET, UPDATE, DELETE */
	const char *email;			/* FIND */
	bool		has_since;		/* LIST: those changed at or after since will do */
	TimestampTz since;
	int64		limit;			/* LIST: no more are wanted; 0: all */
	const AuthUser *user;		/* CREATE, UPDATE: the new values */
	const AuthUser *old;		/* UPDATE: the metadata before, where known; else NULL */
	uint32		given;			/* CREATE, UPDATE: which of them */
} AsyInput;

struct AsyRequest
{
	const char *method;
	const char *url;
	StringInfo	body;			/* NULL: none */
	int			nheaders;
	const char *headers[12];	/* NULL after the last */
	const char *sigv4;
	const char *sigv4_key;
	bool		repeatable;		/* sent twice it does no more than sent once */
};

typedef struct AsyAnswer
{
	const AsyHttpAnswer *http;
	bool		has_json;
	AsyJson		json;			/* its root is node 0 */
	AsyFault   *fault;			/* NULL: 2xx */
} AsyAnswer;

struct AsyTalk
{
	const AsyServer *server;
	AsyAsk		ask;
	AsyInput	in;
	int			page_size;		/* LIST: users a page */

	/* for the driver */
	int			step;			/* turns so far */
	void	   *state;			/* its own, in context */
	int			nrequests;
	AsyRequest	requests[ASY_TALK_WIDTH];
	int			nanswers;
	AsyAnswer  *answers;		/* to the requests of the last turn, in their order */

	/* what came of it */
	AsyFault   *fault;
	int64		count;			/* COUNT */
	int64		distinct;		/* LIST: different users so far */
	char	   *token;			/* TOKEN */
	int			expires_in;		/* TOKEN: seconds */
	char	   *created;		/* CREATE: the subject, where the answer has no user */

	MemoryContext context;
	struct AsyDrive *drive;		/* talk.c's own */
};

/*
 * -- for drivers --
 *
 * A driver is called in a context that lives until the turn after next; what it
 * keeps longer goes into talk->context.
 */

/* Writes a request down: method, and a path (printf-like) below the server's base. */
extern AsyRequest *asy_send(AsyTalk *talk, const char *method, const char *path,...) pg_attribute_printf(3, 4);

/* The same with a whole url. */
extern AsyRequest *asy_send_url(AsyTalk *talk, const char *method, const char *url);

/* Whether a listing's cursor has not been there before; false, with a fault, where it goes round in circles. */
extern bool asy_cursor_is_new(AsyTalk *talk, const char *cursor);

/* A url that the provider itself gave; false, with a fault, where it leads to another origin. */
extern bool asy_send_next(AsyTalk *talk, const char *url);

extern void asy_request_header(AsyRequest *request, const char *name, const char *value);

/* A body; its bytes are the caller's to build, in the database's encoding. */
extern void asy_request_body(AsyRequest *request, StringInfo body, const char *type);

/* Fails the talk. */
extern AsyTurn asy_fail(AsyTalk *talk, AsyFaultClass class, const char *detail,...) pg_attribute_printf(3, 4);

/* Whether every answer is 2xx; else talk->fault is the first that is not. */
extern bool asy_good(AsyTalk *talk);

/* The JSON of an answer; NULL, with a fault, where it has none. */
extern const AsyJson *asy_answer_json(AsyTalk *talk, int answer);

/*
 * That node is a user of the listing, or the one asked for. False where the
 * listing has shown him before, or, with a fault, where the node is no user.
 */
extern bool asy_found(AsyTalk *talk, int answer, int node);

/* Every element of an array; the number of new ones, or -1 with a fault. */
extern int	asy_found_all(AsyTalk *talk, int answer, int array);

/*
 * A whole listing whose cursor is the id of a user (after.c): ask writes down the
 * request for the page after him, or the first; more says whether an answer's
 * page has another one after it. users points to the array, one is the path that
 * a single user's id follows. The last answer of a turn is the page; before it may
 * stand that of the cursor's user, who is looked at where a page is empty.
 */
typedef void (*AsyAskAfter) (AsyTalk *talk, const char *id);
typedef bool (*AsyMoreAfter) (const AsyJson *json);
extern AsyTurn asy_list_after(AsyTalk *talk, const char *users, const char *one, AsyAskAfter ask, AsyMoreAfter more);

/* The subject of a node; NULL if it has none. */
extern char *asy_subject_of(const AsyTalk *talk, const AsyJson *json, int node);

/* The value that a write gives a field; NULL: not given. */
extern const AsyValue *asy_given(const AsyTalk *talk, AsyField field);

/*
 * The metadata as it must be sent, by the provider's way to merge, so that what
 * is there afterwards is what was given. palloc'd.
 */
extern char *asy_metadata_to_send(const AsyTalk *talk, AsyField field);

/* ASCII letters in lower case; palloc'd. */
extern char *asy_lower(const char *text);

/* No provider has users from before 1970. */
#define ASY_TIME_MIN (-(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

/* A time as RFC 3339 has it, in UTC, to the microsecond, from 1970 to 9999; palloc'd. */
extern char *asy_time_text(TimestampTz time);

/* A value for the field, read from JSON by its type. */
extern void asy_read_field(const AsyJson *json, int node, AsyField field, int64 units, AuthUser *user);

/* -- for those who ask -- */

/* What a user of a page says of the fields wanted. */
extern void asy_read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user);

typedef struct AsyFound
{
	const AsyJson *json;
	int			node;
} AsyFound;

typedef enum AsyTalkState
{
	ASY_TALK_BUSY,
	ASY_TALK_PAGE,				/* users have come; there may be more */
	ASY_TALK_DONE,				/* that was all */
	ASY_TALK_FAILED
} AsyTalkState;

/* Begins; in is copied, what it points to is not. */
extern AsyTalk *asy_talk_begin(const AsyServer *server, AsyAsk ask, const AsyInput *in);

/* The requests that it would send first, without sending them; for EXPLAIN. */
extern AsyTalk *asy_talk_sketch(const AsyServer *server, AsyAsk ask, const AsyInput *in);

/*
 * Drives them all until one is not busy, and returns which. Where it was at
 * ASY_TALK_PAGE it goes on from there, and that page is gone. deadline as in
 * asy_http_wait: -1 when it has passed.
 */
extern int	asy_talks_wait(AsyTalk *const *talks, int n, int64 deadline);

extern AsyTalkState asy_talk_state(const AsyTalk *talk);

/* The users that its state stands for (ASY_TALK_PAGE, ASY_TALK_DONE). */
extern const AsyFound *asy_talk_found(const AsyTalk *talk, int *n);

/* It, one alone, to its end, with all pages or the last; raises its fault. */
extern void asy_talk_finish(AsyTalk *talk);

/* What it sent and received so far. */
typedef struct AsyTalkCost
{
	int			requests;
	int			retries;
	int			pages;
	int64		bytes;
	int64		waited_ms;		/* for answers */
	int64		throttled_ms;	/* for leave to ask */
} AsyTalkCost;

extern const AsyTalkCost *asy_talk_cost(const AsyTalk *talk);

/* Lets everything go. */
extern void asy_talk_end(AsyTalk *talk);

#endif
