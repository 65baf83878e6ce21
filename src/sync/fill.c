/*
 * fill.c
 *	  The bookkeeping filled, and kept short.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"

#include "sync/drift.h"
#include "sync/fill.h"
#include "sync/prepared.h"
#include "sync/progress.h"
#include "sync/signups.h"
#include "sync/trust.h"
#include "sync/watch.h"

/* Blocks of the audit log in one transaction: some 50,000 entries. */
#define BLOCKS_AT_ONCE 2000

/* As long as people ask "how many this month". */
#define HORIZON "(pg_catalog.now() - '31 days'::pg_catalog.interval)"

#define MAINTAINER_KEY 0x61736d74	/* "asmt" */

/* One at a time, until the transaction ends. */
static bool
is_alone(void)
{
	return DatumGetBool(DirectFunctionCall2(pg_try_advisory_xact_lock_int4, Int32GetDatum(MAINTAINER_KEY), Int32GetDatum(0)));
}

/* The fingerprint now; NULL where the triggers do not let the part be kept. */
static char *
fingerprint(const AsyBinding *b, const char *part)
{
	asy_db_exec(psprintf("SELECT %s", asy_trust_fingerprint(b, part)));
	return asy_db_text(0, 1);
}

/* Forgets that the part was filled, and the gaps that are seen by now. What follows reads later than this. */
static void
begin_part(const char *part)
{
	asy_db_exec(psprintf("DELETE FROM authsync.gaps AS g WHERE g.part = '%s'", part));
	asy_db_exec(psprintf("DELETE FROM authsync.bookkeeping AS k WHERE k.part IN ('%s', 'history')", part));
}

static void
tell(AsyFill *fill, const char *part, const char *why)
{
	if (fill->told)
		return;
	fill->told = true;
	ereport(WARNING,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("the bookkeeping of %s cannot be filled", part),
			 errdetail("%s", why),
			 errhint("SELECT * FROM authsync.setup(); answers come from the full comparison meanwhile.")));
}

#define TRIGGERS_MISSING "A trigger that keeps it is missing, disabled or not ENABLE ALWAYS, or the table is filled by a subscription."

/* ---- drift and totals ---- */

static void
fill_drift(AsyBinding *b, const char *print)
{
	const char *created = b->source_expr[ASY_CREATED_AT];

	begin_part(ASY_PART_DRIFT);
	asy_progress_show("maintain", "comparing users and profiles", 0, 3);
	asy_db_exec(psprintf("WITH gone AS (DELETE FROM authsync.suspects)"
						 " INSERT INTO authsync.suspects (user_id) SELECT d.user_id FROM (%s) AS d WHERE d.user_id IS NOT NULL", asy_drift_rows(b, false)));
	asy_db_exec(psprintf("WITH old AS (DELETE FROM authsync.changes RETURNING signups)"
						 " INSERT INTO authsync.changes (users, owing, profiles, signups)"
						 " SELECT c.users, c.owing, (SELECT pg_catalog.count(*) FROM %s), (SELECT COALESCE(pg_catalog.sum(o.signups), 0) FROM old AS o)"
						 " FROM (SELECT pg_catalog.count(*) AS users, pg_catalog.count(*) FILTER (WHERE %s) AS owing FROM %s AS u) AS c",
						 b->profiles_name, b->owes_expr, b->users_name));
	asy_db_exec(psprintf("WITH gone AS (DELETE FROM authsync.arrivals)"
						 " INSERT INTO authsync.arrivals (user_id, created_at) SELECT %s, %s FROM %s AS u WHERE %s >= " HORIZON,
						 b->source_expr[ASY_USER_ID], created ? created : "pg_catalog.now()", b->users_name, created ? created : "NULL"));
	asy_db_exec(psprintf("INSERT INTO authsync.bookkeeping (part, fingerprint, filled_at, horizon)"
						 " VALUES ('drift', %s, pg_catalog.clock_timestamp(), " HORIZON ")", quote_literal_cstr(print)));
}

/* ---- the extract of the audit log ---- */

static void
start_signups(AsyBinding *b, const char *print)
{
	begin_part(ASY_PART_SIGNUPS);
	asy_db_exec("WITH gone AS (DELETE FROM authsync.signups RETURNING action)"
				" INSERT INTO authsync.changes (users, owing, profiles, signups)"
				" SELECT 0, 0, 0, -pg_catalog.count(*) FROM gone AS g WHERE g.action = 'user_signedup' HAVING pg_catalog.count(*) > 0");
	asy_db_exec(psprintf("INSERT INTO authsync.bookkeeping (part, fingerprint, end_block) VALUES ('signups', %s,"
						 " pg_catalog.pg_relation_size(%u) / pg_catalog.current_setting('block_size')::pg_catalog.int8)",
						 quote_literal_cstr(print), b->audit));
}

/* What is in the log beyond end_block came later, by the triggers. */
static void
go_on_with_signups(AsyBinding *b, int64 next, int64 end)
{
	int64		to = Min(next + BLOCKS_AT_ONCE, end);

	asy_db_exec(psprintf("WITH kept AS (INSERT INTO authsync.signups (audit_id, user_id, email, action, actor_id, ip_address, created_at)"
						 " %s ON CONFLICT (audit_id) DO NOTHING RETURNING action)"
						 " INSERT INTO authsync.changes (users, owing, profiles, signups)"
						 " SELECT 0, 0, 0, pg_catalog.count(*) FROM kept AS k WHERE k.action = 'user_signedup' HAVING pg_catalog.count(*) > 0",
						 asy_signups_from_log(b, psprintf("a.ctid >= '(" INT64_FORMAT ",0)'::pg_catalog.tid AND a.ctid < '(" INT64_FORMAT ",0)'::pg_catalog.tid",
														  next, to))));
	asy_db_exec(psprintf("UPDATE authsync.bookkeeping SET next_block = " INT64_FORMAT ", filled_at = %s WHERE part = 'signups'",
						 to, to >= end ? "pg_catalog.clock_timestamp()" : "NULL"));
	asy_progress_show("maintain", "reading the audit log", to, end);
}

static bool
fill_signups(AsyBinding *b, AsyFill *fill, const char *print)
{
	int64		next = 0;
	int64		end = 0;
	bool		begun;

	asy_db_exec(psprintf("SELECT k.next_block, k.end_block FROM authsync.bookkeeping AS k WHERE k.part = 'signups' AND k.filled_at IS NULL"
						 " AND k.fingerprint = %s AND NOT EXISTS (SELECT FROM authsync.gaps AS g WHERE g.part = 'signups')", quote_literal_cstr(print)));
	begun = SPI_processed == 1;
	if (begun)
	{
		next = asy_db_int64(0, 1);
		end = asy_db_int64(0, 2);
		go_on_with_signups(b, next, end);
		return true;
	}
	if (fill->restarts++ > 3)
	{
		tell(fill, "sign-ups", "Entries of the audit log change faster than they are read.");
		return false;
	}
	start_signups(b, print);
	return true;
}

/* ---- who signed up and is in neither table ---- */

static void
fill_history(AsyBinding *b)
{
	asy_progress_show("maintain", "looking for those who have left", 0, 1);
	asy_db_exec("DELETE FROM authsync.bookkeeping AS k WHERE k.part = 'history'");
	asy_db_exec(psprintf("WITH gone AS (DELETE FROM authsync.departed)"
						 " INSERT INTO authsync.departed (user_id) SELECT a.user_id %s", asy_drift_history(b, true)));
	asy_db_exec("INSERT INTO authsync.bookkeeping (part, fingerprint, filled_at) SELECT 'history', " ASY_HISTORY_FINGERPRINT ", pg_catalog.clock_timestamp()"
				" FROM authsync.bookkeeping AS d, authsync.bookkeeping AS s WHERE d.part = 'drift' AND s.part = 'signups'");
}

/* Whether the part can be filled now, under which fingerprint. */
static bool
can_fill(AsyBinding *b, AsyFill *fill, const char *part, char **print)
{
	const char *why;

	if (!asy_trust_is_possible(b, part, &why))
		return false;			/* lint() says so; it is no trouble of this run */
	*print = fingerprint(b, part);
	if (*print == NULL)
		tell(fill, part, TRIGGERS_MISSING);
	return *print != NULL;
}

bool
asy_fill_next(AsyBinding *b, AsyFill *fill)
{
	char	   *print = NULL;

	if (!is_alone())
	{
		fill->busy = true;
		return false;
	}
	if (b->mode == ASY_OFF)
		return false;
	if (!asy_trust_is_given(b, ASY_PART_DRIFT) && fill->restarts <= 3 && can_fill(b, fill, ASY_PART_DRIFT, &print))
	{
		fill->restarts++;
		fill_drift(b, print);
		return true;
	}
	if (!asy_trust_is_given(b, ASY_PART_SIGNUPS) && can_fill(b, fill, ASY_PART_SIGNUPS, &print) && fill_signups(b, fill, print))
		return true;
	if (OidIsValid(b->audit) && asy_trust_is_given(b, ASY_PART_DRIFT) && asy_trust_is_given(b, ASY_PART_SIGNUPS) &&
		!asy_trust_is_given(b, ASY_PART_HISTORY))
	{
		fill_history(b);
		return true;
	}
	return false;
}

/* ---- short ---- */

/* Over g.user_id: known from the sign-up log only. */
static char *
left_for_good(const AsyBinding *b)
{
	return psprintf("EXISTS (SELECT FROM authsync.signups AS x WHERE x.user_id = g.user_id AND x.action <> 'user_deleted')"
					" AND NOT EXISTS (SELECT FROM %s AS u WHERE u.%s = g.user_id) AND NOT EXISTS (SELECT FROM %s AS p WHERE p.%s = g.user_id)",
					b->users_name, quote_identifier(b->users_key_name), b->profiles_name, quote_identifier(b->key));
}

/* Suspects who turned out to be in step go; those of whom only the log knows move. */
static void
prune_suspects(AsyBinding *b)
{
	bool		few = asy_trust_is_used(b, ASY_PART_DRIFT);

	asy_db_exec(psprintf("WITH drifting AS MATERIALIZED (%s),"
						 " gone AS (DELETE FROM authsync.suspects AS s WHERE NOT EXISTS (SELECT FROM drifting AS d WHERE d.user_id = s.user_id) RETURNING s.user_id)"
						 " INSERT INTO authsync.departed (user_id) SELECT DISTINCT g.user_id FROM gone AS g WHERE %s",
						 asy_drift_rows(b, few), left_for_good(b)));
	asy_db_exec("DELETE FROM authsync.suspects AS s WHERE EXISTS (SELECT FROM authsync.suspects AS o WHERE o.user_id = s.user_id AND o.ctid < s.ctid)");
}

static void
fold_changes(void)
{
	asy_db_exec("SELECT FROM authsync.changes LIMIT 2");
	if (SPI_processed < 2)
		return;
	asy_db_exec("WITH old AS (DELETE FROM authsync.changes RETURNING *),"
				" lately AS (INSERT INTO authsync.arrivals (user_id, created_at) SELECT o.user_id, o.created_at FROM old AS o WHERE o.user_id IS NOT NULL AND o.created_at >= " HORIZON ")"
				" INSERT INTO authsync.changes (users, owing, profiles, signups)"
				" SELECT pg_catalog.sum(o.users), pg_catalog.sum(o.owing), pg_catalog.sum(o.profiles), pg_catalog.sum(o.signups) FROM old AS o HAVING pg_catalog.count(*) > 0");
}

static void
fold_arrivals(void)
{
	asy_db_exec("UPDATE authsync.bookkeeping SET horizon = " HORIZON " WHERE part = 'drift' AND EXISTS"
				" (SELECT FROM authsync.arrivals AS a WHERE a.created_at < " HORIZON ")");
	if (SPI_processed > 0)
		asy_db_exec("DELETE FROM authsync.arrivals AS a WHERE a.created_at < " HORIZON);
	asy_db_exec("WITH old AS (DELETE FROM authsync.registrations AS r WHERE r.quarter IN"
				" (SELECT x.quarter FROM authsync.registrations AS x GROUP BY x.quarter HAVING pg_catalog.count(*) > 1) RETURNING *)"
				" INSERT INTO authsync.registrations (quarter, departed) SELECT o.quarter, pg_catalog.sum(o.departed) FROM old AS o GROUP BY o.quarter");
}

/*
 * A transaction that sees the past could only fail on what others have
 * deleted since: such a one leaves it to the next.
 */
void
asy_fill_tidy(AsyBinding *b)
{
	if (IsolationUsesXactSnapshot() || !is_alone())
		return;
	if (b->keeps_drift)
		prune_suspects(b);
	fold_changes();
	fold_arrivals();
}
