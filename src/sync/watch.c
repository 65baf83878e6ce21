/*
 * watch.c
 *	  The bookkeeping as it is written.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/stratnum.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "ground/append.h"
#include "sync/watch.h"

void
asy_watch_suspects(const AsyBinding *b, const Datum *ids, int64 n)
{
	AsyAppend  *append;
	bool		nulls[1] = {false};

	if (n == 0 || !b->keeps_drift)
		return;
	if (n > ASY_SUSPECTS_MAX)
	{
		asy_watch_gap(b, ASY_PART_DRIFT, "many users changed at once");
		return;
	}
	append = asy_append_begin(b->suspects);
	for (int64 i = 0; i < n; i++)
	{
		Datum		values[1] = {ids[i]};

		asy_append_row(append, values, nulls);
	}
	asy_append_end(append);
}

/* A row of authsync.changes. */
static void
append_change(AsyAppend *append, const AsyArrival *arrival, int64 users, int64 owing, int64 profiles, int64 signups)
{
	bool		dated = arrival && arrival->created_at != DT_NOEND;
	Datum		values[6] = {
		arrival ? UUIDPGetDatum(&arrival->user_id) : (Datum) 0,
		dated ? TimestampTzGetDatum(arrival->created_at) : (Datum) 0,
		Int64GetDatum(users), Int64GetDatum(owing), Int64GetDatum(profiles), Int64GetDatum(signups)
	};
	bool		nulls[6] = {arrival == NULL, !dated};

	asy_append_row(append, values, nulls);
}

void
asy_watch_totals(const AsyBinding *b, int64 users, int64 owing, int64 profiles, int64 signups)
{
	AsyAppend  *append;

	if (!b->keeps_drift)
		users = owing = profiles = 0;
	if (users == 0 && owing == 0 && profiles == 0 && signups == 0)
		return;
	append = asy_append_begin(b->changes);
	append_change(append, NULL, users, owing, profiles, signups);
	asy_append_end(append);
}

void
asy_watch_arrivals(const AsyBinding *b, const AsyArrival *arrivals, int64 n)
{
	AsyAppend  *append = asy_append_begin(b->changes);
	Datum	   *suspects = NULL;
	int64		nsuspects = 0;

	for (int64 i = 0; i < n; i++)
	{
		append_change(append, &arrivals[i], 1, arrivals[i].owes ? 1 : 0, 0, 0);
		if (arrivals[i].owes && !arrivals[i].made)
		{
			if (suspects == NULL)
				suspects = palloc_extended(sizeof(Datum) * (n - i), MCXT_ALLOC_HUGE);
			suspects[nsuspects++] = UUIDPGetDatum(&arrivals[i].user_id);
		}
	}
	asy_append_end(append);
	asy_watch_suspects(b, suspects, nsuspects);
}

void
asy_watch_arrival_again(const AsyBinding *b, const AsyArrival *arrival)
{
	AsyAppend  *append = asy_append_begin(b->changes);

	append_change(append, arrival, 0, 0, 0, 0);
	asy_append_end(append);
}

/*
 * Whether the profile holds the user's e-mail, as far as bytes can tell: where
 * only the definition of email_mismatch could (case, say), the user is made a
 * suspect, which is never wrong.
 */
static bool
has_users_email(const AsyBinding *b, const AsyUsers *users, int i)
{
	const char *written;
	text	   *email;

	if (b->email == NULL || users->value[ASY_EMAIL] == NULL)
		return true;
	written = users->profile_email[i];
	email = users->isnull[ASY_EMAIL][i] ? NULL : DatumGetTextPP(users->value[ASY_EMAIL][i]);
	if (email == NULL || VARSIZE_ANY_EXHDR(email) == 0)
		return written == NULL || written[0] == '\0' ||
			strcmp(written, psprintf("%s@users.invalid", asy_db_uuid_text(asy_user_id(users, i)))) == 0;
	return written && strlen(written) == VARSIZE_ANY_EXHDR(email) &&
		memcmp(written, VARDATA_ANY(email), VARSIZE_ANY_EXHDR(email)) == 0;
}

void
asy_watch_made(const AsyBinding *b, const AsyUsers *users, const int *pick, int n)
{
	Datum	   *suspects;
	int64		nsuspects = 0;
	int64		made = 0;

	if (!b->keeps_drift)
		return;
	suspects = palloc_extended(sizeof(Datum) * Max(n, 1), MCXT_ALLOC_HUGE);
	for (int i = 0; i < n; i++)
		if (users->outcome[pick[i]] == ASY_CREATED)
		{
			made++;
			if (!b->key_is_arbiter || !has_users_email(b, users, pick[i]))
				suspects[nsuspects++] = asy_user_id(users, pick[i]);
		}
	asy_watch_totals(b, 0, 0, made, 0);
	asy_watch_suspects(b, suspects, nsuspects);
	pfree(suspects);
}

/* Whether the first column has that value in a row that is there, or that somebody is adding or deleting. */
static bool
has_key(Relation rel, Datum value)
{
	SnapshotData dirty;
	ScanKeyData key;
	SysScanDesc scan;
	bool		found;

	list_free(RelationGetIndexList(rel));	/* knows the primary key from here on */
	InitDirtySnapshot(dirty);
	ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_UUID_EQ, value);
	scan = systable_beginscan(rel, rel->rd_pkindex, true, &dirty, 1, &key);
	found = HeapTupleIsValid(systable_getnext(scan));
	systable_endscan(scan);
	return found;
}

bool
asy_watch_signup(const AsyBinding *b, Datum *values, bool *nulls, bool signed_up)
{
	Relation	rel = table_open(b->signups, RowExclusiveLock);
	bool		is_new = !has_key(rel, values[0]);

	if (is_new)
	{
		AsyAppend  *append = asy_append_begin(b->signups);

		asy_append_row(append, values, nulls);
		asy_append_end(append);
		asy_watch_totals(b, 0, 0, 0, signed_up);
	}
	table_close(rel, NoLock);
	return is_new;
}

/* Where the last gap of each part was noted: a second one there says nothing new. */
typedef struct Noted
{
	const char *part;
	TimestampTz transaction;
	SubTransactionId sub;
} Noted;

void
asy_watch_gap(const AsyBinding *b, const char *part, const char *reason)
{
	static Noted noted[] = {{ASY_PART_DRIFT, 0, 0}, {ASY_PART_SIGNUPS, 0, 0}};
	Noted	   *n = strcmp(part, ASY_PART_DRIFT) == 0 ? &noted[0] : &noted[1];
	Oid			nsp = b ? InvalidOid : get_namespace_oid("authsync", true);
	Oid			gaps = b ? b->gaps : OidIsValid(nsp) ? get_relname_relid("gaps", nsp) : InvalidOid;
	AsyAppend  *append;
	Datum		values[2] = {CStringGetTextDatum(part), CStringGetTextDatum(reason)};
	bool		nulls[2] = {false, false};

	if (!OidIsValid(gaps) ||
		(n->transaction == GetCurrentTransactionStartTimestamp() && n->sub == GetCurrentSubTransactionId()))
		return;
	append = asy_append_begin(gaps);
	asy_append_row(append, values, nulls);
	asy_append_end(append);
	n->transaction = GetCurrentTransactionStartTimestamp();
	n->sub = GetCurrentSubTransactionId();
}
