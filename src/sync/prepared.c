/*
 * prepared.c
 *	  The prepared statements of a binding; they go with its memory.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "sync/prepared.h"
#include "sync/signups.h"
#include "sync/statement.h"
#include "sync/trust.h"
#include "sync/watch.h"

typedef struct AsyStatements
{
	SPIPlanPtr	prepared[ASY_NPREPARED];
	bool		known_empty[ASY_NPREPARED];	/* there is no such statement for this binding */
	MemoryContextCallback free;
} AsyStatements;

static void
free_prepared(void *arg)
{
	AsyStatements *s = arg;

	for (int i = 0; i < ASY_NPREPARED; i++)
		if (s->prepared[i])
			SPI_freeplan(s->prepared[i]);
}

/* The parameters of a writing statement: one array type a field in use. */
static int
array_types(const AsyBinding *b, Oid *types)
{
	int			n = 0;

	for (int f = 0; f < ASY_NFIELDS; f++)
		if (b->uses[f])
			types[n++] = get_array_type(asy_field_type[f]);
	return n;
}

/* The e-mails of $1 that exactly one user has: $1 text[]. */
static char *
sql_alone(const AsyBinding *b)
{
	return psprintf("SELECT s.position FROM pg_catalog.unnest($1) WITH ORDINALITY AS s(email, position)"
					" WHERE (SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS u WHERE pg_catalog.lower(%s) = pg_catalog.lower(s.email) LIMIT 2) AS x) = 1",
					b->users_name, b->source_expr[ASY_EMAIL]);
}

static char *
prepared_text(AsyBinding *b, AsyPrepared kind)
{
	switch (kind)
	{
		case ASY_PREPARED_BY_IDS:
		case ASY_PREPARED_HELD:
			/* Foreign users are not held: over there that would be FOR SHARE, which waits and makes log-ins wait. */
			return asy_sql_source(b, psprintf("%s AS u WHERE u.%s = ANY ($1) ORDER BY u.%s%s", b->users_name,
											  quote_identifier(b->users_key_name), quote_identifier(b->users_key_name),
											  kind == ASY_PREPARED_HELD && !b->users_are_foreign ? " FOR KEY SHARE SKIP LOCKED" : ""));
		case ASY_PREPARED_NEW_ROWS:
			return asy_sql_source(b, "new_users AS u");
		case ASY_PREPARED_NEW_ROWS_LEFT:
			return asy_sql_source(b, psprintf("new_users AS u WHERE EXISTS (SELECT FROM %s AS x WHERE x.%s = u.%s)", b->users_name,
											  quote_identifier(b->users_key_name), quote_identifier(b->users_key_name)));
		case ASY_PREPARED_INSERT:
			return asy_sql_insert(b, false);
		case ASY_PREPARED_INSERT_HASHED:
			return asy_sql_insert(b, true);
		case ASY_PREPARED_INSERT_ONE:
			return asy_sql_insert_one(b);
		case ASY_PREPARED_INSERT_AWAY:
			return asy_sql_insert_away(b);
		case ASY_PREPARED_MADE_AWAY:
			return asy_sql_made_away(b);
		case ASY_PREPARED_UPDATE_ALWAYS:
			return asy_sql_update(b, ASY_UPDATE_ALWAYS);
		case ASY_PREPARED_UPDATE_ALL:
			return asy_sql_update(b, ASY_UPDATE_ALL);
		case ASY_PREPARED_EXISTING:
			return asy_sql_existing(b);
		case ASY_PREPARED_LINKABLE:
			return asy_sql_linkable(b);
		case ASY_PREPARED_ALONE:
			return b->source_expr[ASY_EMAIL] ? sql_alone(b) : NULL;
		case ASY_PREPARED_LINK:
			return asy_sql_link(b);
		case ASY_PREPARED_REFUSED:
			return asy_sql_refused(b);
		case ASY_PREPARED_DIFFERING:
			return asy_sql_differing_of(b);
		case ASY_PREPARED_EVENTS:
			return psprintf("INSERT INTO %s.user_events (user_id, event_type, subject, details)"
							" SELECT e.user_id, e.type, e.subject, e.details::pg_catalog.jsonb FROM ROWS FROM"
							" (pg_catalog.unnest($1), pg_catalog.unnest($2), pg_catalog.unnest($3), pg_catalog.unnest($4))"
							" AS e(user_id, type, subject, details)", b->face);
		case ASY_PREPARED_OWES:
			return psprintf("SELECT (SELECT %1$s FROM (SELECT ($1).*) AS u), (SELECT %1$s FROM (SELECT ($2).*) AS u)", b->owes_expr);
		case ASY_PREPARED_KEEP_SIGNUPS:
			return psprintf("WITH kept AS (INSERT INTO authsync.signups (audit_id, user_id, email, action, actor_id, ip_address, created_at)"
							" %s ON CONFLICT (audit_id) DO NOTHING RETURNING user_id, action)"
							" SELECT k.user_id, k.action, EXISTS (SELECT FROM %s AS u WHERE u.%s = k.user_id) FROM kept AS k",
							asy_signups_from_log(b, "a.id OPERATOR(pg_catalog.=) ANY ($1)"), b->users_name, quote_identifier(b->users_key_name));
		case ASY_PREPARED_TRUST_DRIFT:
			return asy_trust_query(b, ASY_PART_DRIFT);
		case ASY_PREPARED_TRUST_SIGNUPS:
			return asy_trust_query(b, ASY_PART_SIGNUPS);
		case ASY_PREPARED_TRUST_HISTORY:
			return asy_trust_query(b, ASY_PART_HISTORY);
		case ASY_PREPARED_SUSPECTS_ARE_FEW:
			return psprintf("WITH few AS MATERIALIZED (SELECT GREATEST(10000, c.reltuples / 20)::pg_catalog.int8 AS n FROM pg_catalog.pg_class AS c WHERE c.oid = %u)"
							" SELECT (SELECT pg_catalog.count(*) FROM (SELECT FROM authsync.suspects LIMIT (SELECT f.n + 1 FROM few AS f)) AS s) <= f.n FROM few AS f",
							b->users);
		case ASY_NPREPARED:
			break;
	}
	return NULL;
}

/* Then one statement serves for any number of users. */
static bool
looks_at_no_profile(const AsyBinding *b, AsyPrepared kind)
{
	if (kind == ASY_PREPARED_INSERT_ONE)
		return b->key_is_arbiter;
	return kind >= ASY_PREPARED_EVENTS;
}

/* The statement, prepared at first use by the identity that runs it; NULL: none for this binding. */
SPIPlanPtr
asy_prepared(AsyBinding *b, AsyPrepared kind)
{
	AsyStatements *s = b->statements;
	Oid			types[ASY_NFIELDS];
	int			n;
	char	   *sql;

	if (s == NULL)
	{
		s = MemoryContextAllocZero(b->context, sizeof(AsyStatements));
		s->free.func = free_prepared;
		s->free.arg = s;
		MemoryContextRegisterResetCallback(b->context, &s->free);
		b->statements = s;
	}
	if (s->prepared[kind] || s->known_empty[kind])
		return s->prepared[kind];

	sql = prepared_text(b, kind);
	if (sql == NULL)
	{
		s->known_empty[kind] = true;
		return NULL;
	}
	if (kind == ASY_PREPARED_OWES)
		types[0] = types[1] = get_rel_type_id(b->users), n = 2;
	else if (kind >= ASY_PREPARED_TRUST_DRIFT)
		n = 0;
	else if (kind == ASY_PREPARED_BY_IDS || kind == ASY_PREPARED_HELD || kind == ASY_PREPARED_KEEP_SIGNUPS)
		types[0] = get_array_type(UUIDOID), n = 1;
	else if (kind == ASY_PREPARED_ALONE)
		types[0] = TEXTARRAYOID, n = 1;
	else if (kind == ASY_PREPARED_NEW_ROWS || kind == ASY_PREPARED_NEW_ROWS_LEFT)
		n = 0;
	else if (kind == ASY_PREPARED_INSERT_ONE)
	{
		n = 0;
		for (int f = 0; f < ASY_NFIELDS; f++)
			if (b->uses[f])
				types[n++] = asy_field_type[f];
	}
	else if (kind == ASY_PREPARED_EVENTS)
	{
		types[0] = get_array_type(UUIDOID);
		types[1] = types[2] = types[3] = TEXTARRAYOID;
		n = 4;
	}
	else
		n = array_types(b, types);
	/*
	 * What looks at the profiles is planned for the number of users at hand:
	 * for one, by index. A plan for any number would scan a small table, and
	 * serializable sign-ups would take each other for conflicts.
	 */
	s->prepared[kind] = asy_db_prepare(sql, n, types, looks_at_no_profile(b, kind));
	return s->prepared[kind];
}
