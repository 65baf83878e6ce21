/*
 * binding.h
 *	  Which tables are users and profiles, and the mapping of columns between
 *	  them, resolved against the catalogs.
 *
 * The stored row (authsync.bindings) holds names only; everything here is
 * derived from it and from the tables as they are now, and derived again when
 * one of them changes. A column that disappears leaves the mapping; lint()
 * says so.
 */
#ifndef AUTHSYNC_BINDING_H
#define AUTHSYNC_BINDING_H

#include "access/attnum.h"
#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"

#include "ground/db.h"

/*
 * What can be known of a user. Each is an SQL expression over the users table
 * (source_expr) and an array parameter of the statements that write profiles.
 */
typedef enum AsyField
{
	ASY_USER_ID,
	ASY_SUBJECT,
	ASY_EMAIL,
	ASY_PHONE,
	ASY_NAME,
	ASY_NICKNAME,
	ASY_PICTURE,
	ASY_EMAIL_VERIFIED,
	ASY_CREATED_AT,
	ASY_USER_METADATA,
	ASY_APP_METADATA,
	ASY_ACCOUNT_TYPE,			/* said by the caller of backfill_user_profile */
	ASY_USER_METADATA_CHANGED,	/* in the update that is being followed */
	ASY_APP_METADATA_CHANGED,
	ASY_NFIELDS
} AsyField;

extern const char *const asy_field_name[ASY_NFIELDS];
extern const Oid asy_field_type[ASY_NFIELDS];

typedef enum AsyMode
{
	ASY_OFF,
	ASY_SAFE,
	ASY_STRICT
} AsyMode;

extern const char *const asy_mode_name[];

/* One column of profiles that authsync fills. */
typedef struct AsyColumn
{
	char	   *name;
	AttrNumber	attnum;
	char	   *source;			/* as said or found, e.g. user_metadata.full_name */
	char	   *value;			/* SQL over s.<field>: the user's value or NULL */
	char	   *changed;		/* SQL over s: whether the update at hand changed what it is made of; NULL: take it so */
	char	   *text_value;		/* the value before its cast, where that may fail; else NULL */
	char	   *fill;			/* SQL where the user has none, or NULL: the default */
	bool		fill_is_stable; /* the default may be evaluated again later */
	char	   *refused;		/* SQL: true where the user's value is outside allow, or NULL */
	char	   *fallback;		/* text of the mapping's default, or NULL */
	bool		always;			/* kept equal, not only filled at creation */
	bool		guard;			/* only authsync and operators may change it */
	bool		by_hand;		/* named in setup(columns => ...) */
	bool		has_allow;
	bool		is_plain;		/* comparing it runs nobody's code but the server's: see asy_columns_type_is_plain */
} AsyColumn;

typedef struct AsyBinding
{
	MemoryContext context;		/* owns all of this; lives at least until the transaction ends */
	AsyExtension ext;
	char	   *face;			/* quoted schema of the face */
	AsyMode		mode;
	char	   *columns_text;	/* the mapping as stored, jsonb text */

	Oid			users;			/* InvalidOid: bound, but not there now */
	bool		users_are_foreign;	/* foreign tables, see foreign.h; where one is, the mode is off */
	bool		profiles_are_foreign;
	bool		are_together;	/* both, on one server, and a join can be left to it */
	char	   *stored_name[6]; /* users, profiles, audit log: schema and table as stored */
	char	   *users_name;		/* schema.table, quoted */
	char	   *source_expr[ASY_NFIELDS];	/* over u; NULL: this users table has none */
	char	   *owes_expr;		/* over u: owes a profile */
	char	   *gone_expr;		/* over u: is deleted though the row stands */
	Bitmapset  *watched;		/* attnums of users whose change matters */
	Bitmapset  *compared;		/* those among them by which users and profiles are compared */
	Bitmapset  *owes_from;		/* those that decide whether a profile is owed */
	AttrNumber	gone_attnum;	/* deleted_at of users, or 0 */
	AttrNumber	user_metadata_attnum;	/* likewise */
	AttrNumber	app_metadata_attnum;
	AttrNumber	users_key;		/* attnum of the id */
	bool		users_key_is_unique;	/* an index says so */
	char	   *users_key_name; /* quoted */
	Oid			users_owner;

	Oid			profiles;		/* InvalidOid: none bound, or not there now */
	char	   *profiles_name;	/* NULL: none bound */
	Oid			profiles_owner;
	char	   *key;			/* column, unquoted; NULL: none found */
	AttrNumber	key_attnum;
	bool		key_is_text;
	bool		key_is_arbiter; /* a unique index lets ON CONFLICT decide */
	bool		key_is_nullable;
	char	   *email;			/* profiles' e-mail column, unquoted, or NULL */
	AttrNumber	email_attnum;	/* likewise, or 0 */
	char	   *created_at;		/* profiles' created_at column, or NULL */
	List	   *columns;		/* AsyColumn; without the key */
	List	   *deferrable;		/* char *: SET CONSTRAINTS name; */
	List	   *deferrable_back;	/* char *: puts the declared mode back */
	bool		uses[ASY_NFIELDS];	/* fields that the statements take */
	int16		field_len[ASY_NFIELDS];	/* of asy_field_type */
	bool		field_byval[ASY_NFIELDS];

	Oid			audit;			/* InvalidOid: none */
	char	   *audit_name;
	AttrNumber	audit_id;		/* attnums of its columns */
	AttrNumber	audit_payload;
	bool		audit_id_is_unique;	/* an index says so, and it is a uuid */

	bool		keeps_drift;	/* the tables are such that drift can be kept, see trust.h */
	bool		keeps_signups;	/* likewise sign-ups */
	Oid			events;			/* user_events, and what numbers its rows */
	Oid			events_sequence;
	Oid			suspects;		/* tables of the bookkeeping, see watch.h */
	Oid			gaps;
	Oid			changes;
	Oid			signups;

	struct AsyStatements *statements;	/* prepared, see prepared.h */
	struct AsyDirect *direct;	/* see direct.h */
	struct AsyExprs *new_row;	/* a user's fields, over the trigger's new row; NULL: by a statement */
	bool		new_row_is_known;	/* ... and whether that has been tried */
} AsyBinding;

/*
 * The binding, from the cache or built anew. NULL if no users table is bound.
 * The pointer is good until the transaction ends. Reads as the extension's
 * owner; connects to SPI by itself; takes no lock that outlives the call.
 */
extern AsyBinding *asy_binding_get(void);

/* As get, holding the bound tables as require does; NULL if none is bound. */
extern AsyBinding *asy_binding_hold(void);

/* The cached binding if it is good, without looking anywhere; else NULL. */
extern AsyBinding *asy_binding_peek(void);

/*
 * As get, but an error (55000, with the way out) where there is none or the
 * table is gone. Holds ACCESS SHARE on the bound tables until the transaction
 * ends: whatever is made of their names from here on means those tables.
 */
extern AsyBinding *asy_binding_require(void);

/* As require, and profiles must be there, with a key. 55000 else. */
extern AsyBinding *asy_binding_require_profiles(void);

/* Forget the cached one; others' caches hear of it at commit. */
extern void asy_binding_invalidate(void);

/* Whether a table is foreign: there are no triggers then, and no books. */
#define asy_binding_is_foreign(b) ((b)->users_are_foreign || (b)->profiles_are_foreign)

/* The column of that name, or NULL. */
extern AsyColumn *asy_binding_column(const AsyBinding *binding, const char *name);

#endif
