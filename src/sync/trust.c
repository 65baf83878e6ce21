/*
 * trust.c
 *	  Whether the bookkeeping may be believed.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

#include "ground/guc.h"
#include "sync/drift.h"
#include "sync/entry.h"
#include "sync/prepared.h"
#include "sync/signups.h"
#include "sync/statement.h"
#include "sync/trust.h"
#include "sync/watch.h"

static bool
is_part(const char *part, const char *wanted)
{
	return strcmp(part, wanted) == 0;
}

/* A table of its own: rows of partitions and children come and go by commands that fire no trigger. */
static bool
stands_alone(Oid relid)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Form_pg_class form;
	bool		alone;

	if (!HeapTupleIsValid(tuple))
		return false;
	form = (Form_pg_class) GETSTRUCT(tuple);
	alone = form->relkind == RELKIND_RELATION && !form->relispartition && !form->relhassubclass;
	ReleaseSysCache(tuple);
	return alone;
}

bool
asy_trust_is_possible(const AsyBinding *b, const char *part, const char **why)
{
	const char *reason = NULL;

	if (is_part(part, ASY_PART_SIGNUPS))
	{
		if (OidIsValid(b->audit) && !stands_alone(b->audit))
			reason = "the audit log is partitioned, inherited or foreign";
		else if (OidIsValid(b->audit) && !b->audit_id_is_unique)
			reason = "the audit log has no unique index on its id of type uuid";
	}
	else if (!OidIsValid(b->users) || b->users_key_name == NULL || !asy_sql_has_profiles(b))
		reason = "there are no profiles, or they have no key";
	else if (!stands_alone(b->users) || !stands_alone(b->profiles))
		reason = "users or profiles are partitioned, inherited or foreign";
	else if (b->key_is_text || getBaseType(get_atttype(b->profiles, b->key_attnum)) != UUIDOID)
		reason = "the key of profiles is not of type uuid";
	else if (!b->key_is_arbiter)
		reason = "the key of profiles has no unique index";
	else if (!b->users_key_is_unique)
		reason = "the id of the users has no unique index";
	else if (is_part(part, ASY_PART_HISTORY))
		return asy_trust_is_possible(b, ASY_PART_SIGNUPS, why);
	if (why)
		*why = reason;
	return reason == NULL;
}

/* What the comparison means, in so many bytes: its text, and the types of what it compares. */
static char *
meaning(const AsyBinding *b, const char *part)
{
	StringInfoData text;
	uint64		hash;

	initStringInfo(&text);
	if (is_part(part, ASY_PART_SIGNUPS))
		appendStringInfo(&text, "%s %d", asy_signups_from_log(b, NULL), ASY_ENTRY_MEANING);
	else
	{
		int			att = -1;

		appendStringInfoString(&text, asy_drift_rows(b, true));
		while ((att = bms_next_member(b->compared, att)) >= 0)
			appendStringInfo(&text, " %d:%u", att, get_atttype(b->users, att));
		appendStringInfo(&text, " %u", get_atttype(b->profiles, b->key_attnum));
		if (b->email_attnum)
			appendStringInfo(&text, " %u", get_atttype(b->profiles, b->email_attnum));
	}
	hash = DatumGetUInt64(hash_any_extended((unsigned char *) text.data, text.len, 0));
	return psprintf("%016llx", (unsigned long long) hash);
}

char *
asy_trust_fingerprint(const AsyBinding *b, const char *part)
{
	bool		signups = is_part(part, ASY_PART_SIGNUPS);
	char	   *tables = signups ? psprintf("%u", b->audit) : psprintf("%u, %u", b->users, b->profiles);

	return psprintf("(SELECT CASE WHEN pg_catalog.count(*) FILTER (WHERE t.tgenabled = 'A') = %d"
					" AND NOT EXISTS (SELECT FROM pg_catalog.pg_subscription_rel AS s WHERE s.srrelid IN (%s)) THEN"
					" pg_catalog.concat_ws(' ', '%s', pg_catalog.string_agg(pg_catalog.concat_ws(':', t.oid, t.xmin, t.tgtype), ' ' ORDER BY t.oid),"
					" (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(':', c.oid, c.relfilenode, c.relkind, c.relhassubclass, c.relispartition), ' ' ORDER BY c.oid)"
					" FROM pg_catalog.pg_class AS c WHERE c.oid IN (%s))) END"
					" FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid IN (%s) AND t.tgfoid IN (%s))",
					signups ? 4 : 6, tables, meaning(b, part), tables, tables,
					signups ? "'authsync.signups_kept()'::pg_catalog.regprocedure,"
					" 'authsync.signups_changed()'::pg_catalog.regprocedure, 'authsync.signups_deleted()'::pg_catalog.regprocedure,"
					" 'authsync.watch_truncated()'::pg_catalog.regprocedure"
					: "'authsync.handle_updated_user()'::pg_catalog.regprocedure, 'authsync.watch_inserted_users()'::pg_catalog.regprocedure,"
					" 'authsync.watch_deleted_users()'::pg_catalog.regprocedure, 'authsync.watch_profile()'::pg_catalog.regprocedure,"
					" 'authsync.watch_truncated()'::pg_catalog.regprocedure");
}

static char *
undisturbed(const AsyBinding *b, const char *part)
{
	return psprintf("EXISTS (SELECT FROM authsync.bookkeeping AS k WHERE k.part = '%1$s' AND k.filled_at IS NOT NULL AND k.fingerprint = %2$s)"
					" AND NOT EXISTS (SELECT FROM authsync.gaps AS g WHERE g.part = '%1$s')",
					part, asy_trust_fingerprint(b, part));
}

char *
asy_trust_query(const AsyBinding *b, const char *part)
{
	if (!is_part(part, ASY_PART_HISTORY))
		return psprintf("SELECT %s", undisturbed(b, part));
	if (!OidIsValid(b->audit))
		return psprintf("SELECT %s", undisturbed(b, ASY_PART_DRIFT));

	/* Of both; made when both were complete, and not filled again since. */
	return psprintf("SELECT %s AND %s AND EXISTS (SELECT FROM authsync.bookkeeping AS h, authsync.bookkeeping AS d, authsync.bookkeeping AS s"
					" WHERE h.part = 'history' AND d.part = 'drift' AND s.part = 'signups' AND h.fingerprint = "
					ASY_HISTORY_FINGERPRINT ")",
					undisturbed(b, ASY_PART_DRIFT), undisturbed(b, ASY_PART_SIGNUPS));
}

static AsyPrepared
plan_of(const char *part)
{
	return is_part(part, ASY_PART_DRIFT) ? ASY_PREPARED_TRUST_DRIFT :
		is_part(part, ASY_PART_SIGNUPS) ? ASY_PREPARED_TRUST_SIGNUPS : ASY_PREPARED_TRUST_HISTORY;
}

bool
asy_trust_is_given(AsyBinding *b, const char *part)
{
	if (!asy_trust_is_possible(b, part, NULL))
		return false;
	if (is_part(part, ASY_PART_SIGNUPS) && !OidIsValid(b->audit))
		return true;
	asy_db_look_prepared(asy_prepared(b, plan_of(part)), NULL);
	return asy_db_bool(0, 1);
}

/* Suspects cost two look-ups each: beyond a twentieth of the users it is cheaper to compare. */
static bool
are_few(AsyBinding *b)
{
	asy_db_look_prepared(asy_prepared(b, ASY_PREPARED_SUSPECTS_ARE_FEW), NULL);
	return asy_db_bool(0, 1);
}

bool
asy_trust_is_used(AsyBinding *b, const char *part)
{
	return asy_guc_trust_bookkeeping && asy_trust_is_given(b, part) &&
		(is_part(part, ASY_PART_SIGNUPS) || are_few(b));
}
