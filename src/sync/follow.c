/*
 * follow.c
 *	  Profiles follow users: what a sign-up, a change and a deletion mean.
 *
 * GoTrue writes app_metadata, role and confirmation by UPDATEs after the
 * INSERT, in the same transaction. So we remember whose profile this
 * transaction made: for them an update rewrites every column, not only those
 * that are kept equal, and the profile ends as if all had been there at once.
 */
#include "postgres.h"

#include "access/xact.h"
#include "lib/stringinfo.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "ground/guc.h"
#include "sync/direct.h"
#include "sync/follow.h"
#include "sync/record.h"

bool		asy_follow_probing = false;
bool		asy_follow_hopeful = false;
AsyFailure *asy_follow_spent = NULL;

/* Users whose profile this transaction made; lives in TopTransactionContext. */
static HTAB *fresh = NULL;

/* A subtransaction was rolled back since: some of them may not be there. */
static bool shaken = false;

static void
forget_fresh(XactEvent event pg_attribute_unused(), void *arg pg_attribute_unused())
{
	fresh = NULL;
	shaken = false;
}

static void
note_rollback(SubXactEvent event, SubTransactionId sub pg_attribute_unused(),
			  SubTransactionId parent pg_attribute_unused(), void *arg pg_attribute_unused())
{
	if (event == SUBXACT_EVENT_ABORT_SUB && fresh)
		shaken = true;
}

static void
remember_fresh(Datum user_id)
{
	if (fresh == NULL)
	{
		static bool registered = false;
		HASHCTL		ctl = {.keysize = UUID_LEN, .entrysize = UUID_LEN, .hcxt = TopTransactionContext};

		fresh = hash_create("authsync fresh profiles", 64, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
		if (!registered)
		{
			RegisterXactCallback(forget_fresh, NULL);
			RegisterSubXactCallback(note_rollback, NULL);
		}
		registered = true;
	}
	hash_search(fresh, DatumGetUUIDP(user_id), HASH_ENTER, NULL);
}

static bool
is_fresh(Datum user_id)
{
	return fresh && hash_search(fresh, DatumGetUUIDP(user_id), HASH_FIND, NULL) != NULL;
}

bool
asy_follow_made_here(Datum user_id)
{
	return !shaken && is_fresh(user_id);
}

static bool
is_strict(const AsyBinding *b)
{
	return b->mode == ASY_STRICT || asy_follow_probing || asy_follow_hopeful;
}

/* ---- writing down ---- */

typedef struct Notes
{
	AsyBinding *b;
	AsyUsers   *users;			/* the failed go to quarantine; may be NULL */
	AsyEvents  *events;
	Datum	   *release;		/* users to let out of quarantine */
	int			nrelease;
} Notes;

static bool
has_failures(const AsyUsers *users)
{
	for (int i = 0; users && i < users->n; i++)
		if (users->outcome[i] == ASY_FAILED)
			return true;
	return false;
}

/* A sign-up that went well writes events only, and those without a statement, where nobody made the table another. */
static void
write_notes(void *arg)
{
	Notes	   *notes = arg;
	AsyIdentity saved;
	bool		appended;

	asy_db_act_as(&saved, notes->b->ext.owner, false);
	asy_db_bound_lock_waits(&saved, asy_guc_profile_lock_timeout, true);
	appended = asy_events_append(notes->b, notes->events);
	asy_db_restore(&saved);
	if (appended && notes->nrelease == 0 && !has_failures(notes->users))
		return;

	asy_db_become(&saved, notes->b->ext.owner, false);
	asy_db_bound_lock_waits(&saved, asy_guc_profile_lock_timeout, false);
	SPI_connect();
	if (notes->users)
		asy_quarantine_put(notes->b, notes->users);
	asy_quarantine_release(notes->release, notes->nrelease);
	if (!appended)
		asy_events_write(notes->b, notes->events);
	SPI_finish();
	asy_db_restore(&saved);
}

static void
record(Notes *notes)
{
	AsyFailure *failure;

	if (is_strict(notes->b))
	{
		write_notes(notes);
		return;
	}
	failure = asy_db_try(write_notes, notes);
	if (failure)
		ereport(WARNING,
				(errcode(failure->sqlerrcode),
				 errmsg("authsync could not write down what happened to %d users: %s", notes->events->n, failure->message),
				 errhint("The users are safe; SELECT * FROM verify_profile_completeness() shows what is missing.")));
}

/* ---- the profiles table that is not there ---- */

/* NULL if profiles can be written; else why not. */
static AsyFailure *
unwritable(const AsyBinding *b)
{
	if (!OidIsValid(b->profiles))
		return asy_failure_make(ERRCODE_UNDEFINED_TABLE, psprintf("profiles table %s does not exist", b->profiles_name));
	if (b->key == NULL)
		return asy_failure_make(ERRCODE_UNDEFINED_COLUMN,
								psprintf("profiles table %s has lost the column of the user's id", b->profiles_name));
	return NULL;
}

/* Writes what is picked; in strict mode raises. */
static void
write_profiles(AsyBinding *b, AsyUsers *users, const int *pick, int n, AsyWriteKind kind, bool new_users, bool proven)
{
	AsyFailure *failure = n > 0 ? unwritable(b) : NULL;
	AsyWrite	how = {.kind = kind, .new_users = new_users && asy_follow_hopeful,
	.proven = proven && asy_follow_hopeful, .catch = !is_strict(b), .lock_budget_ms = asy_guc_profile_lock_timeout};

	if (failure == NULL && n > 0)
		failure = asy_follow_spent;
	if (failure && is_strict(b))
		asy_failure_throw(failure);
	if (failure)
		for (int i = 0; i < n; i++)
		{
			users->outcome[pick[i]] = ASY_FAILED;
			users->failure[pick[i]] = failure;
		}
	else
		asy_profile_write(b, users, pick, n, how);
}

static void
note_failures(Notes *notes)
{
	for (int i = 0; i < notes->users->n; i++)
		if (notes->users->outcome[i] == ASY_FAILED)
			asy_events_add(notes->events, asy_user_id(notes->users, i), "profile_bootstrap_error",
						   asy_failure_json(notes->users->failure[i]));
}

/* existing: only the columns that an update writes. */
static void
note_refusals(Notes *notes, const int *pick, int n, bool existing)
{
	ListCell   *lc;

	foreach(lc, asy_profile_refusals(notes->b, notes->users, pick, n))
	{
		AsyRefusal *refusal = lfirst(lc);
		AsyColumn  *column = asy_binding_column(notes->b, refusal->column);
		StringInfoData json;

		if (existing && !column->always && !is_fresh(asy_user_id(notes->users, refusal->position)))
			continue;
		initStringInfo(&json);
		appendStringInfoString(&json, "{\"column\": ");
		escape_json(&json, refusal->column);
		appendStringInfoChar(&json, '}');
		asy_events_add(notes->events, asy_user_id(notes->users, refusal->position), "profile_value_refused", json.data);
	}
}

/* ---- a sign-up ---- */

bool
asy_follow_can_be_bare(AsyBinding *b)
{
	ListCell   *lc;

	if (!asy_follow_hopeful || b->profiles_name == NULL || unwritable(b) || !asy_direct_is_possible(b))
		return false;
	foreach(lc, b->columns)
		if (((AsyColumn *) lfirst(lc))->refused)
			return false;		/* what was refused is found by a statement */
	return true;
}

void
asy_follow_created(AsyBinding *b, AsyUsers *users, bool alone)
{
	Notes		notes = {.b = b, .users = users, .events = asy_events_new()};
	int		   *pick = palloc(sizeof(int) * Max(users->n, 1));
	int			n = 0;
	int			existing = 0;
	int			made = 0;

	if (b->profiles_name)
		for (int i = 0; i < users->n; i++)
			if (users->owes[i])
				pick[n++] = i;
	write_profiles(b, users, pick, n, ASY_WRITE_INSERT, true, alone);

	/* Another trigger has made it before us, perhaps without the e-mail. */
	for (int i = 0; i < n; i++)
		if (users->outcome[pick[i]] == ASY_EXISTS)
			pick[existing++] = pick[i];
	write_profiles(b, users, pick, existing, ASY_WRITE_ALWAYS, false, false);

	for (int i = 0; i < users->n; i++)
	{
		asy_events_add(notes.events, asy_user_id(users, i), "auth_user_created", NULL);
		if (users->outcome[i] == ASY_UPDATED)
			asy_events_add(notes.events, asy_user_id(users, i), "profile_updated", NULL);
		if (users->outcome[i] == ASY_CREATED || users->outcome[i] == ASY_LINKED)
		{
			asy_events_add(notes.events, asy_user_id(users, i), "profile_bootstrap_ok",
						   users->outcome[i] == ASY_LINKED ? "{\"linked\": true}" : NULL);
			if (users->outcome[i] == ASY_LINKED)
				continue;		/* what it holds was there before the user */
			remember_fresh(asy_user_id(users, i));
			pick[made++] = i;
		}
	}
	note_failures(&notes);
	note_refusals(&notes, pick, made, false);
	record(&notes);
}

/* ---- a change ---- */

/* {"changed": ["email", ...]}: names of columns, never their values. */
static char *
changed_json(const AsyBinding *b, const Bitmapset *changed)
{
	StringInfoData json;
	int			att = -1;
	bool		first = true;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"changed\": [");
	while ((att = bms_next_member(changed, att)) >= 0)
	{
		if (!first)
			appendStringInfoString(&json, ", ");
		first = false;
		escape_json(&json, get_attname(b->users, att, true));
	}
	appendStringInfoString(&json, "]}");
	return json.data;
}

static int
by_user_id(const void *x, const void *y)
{
	return memcmp(&((const AsyChange *) x)->user_id, &((const AsyChange *) y)->user_id, UUID_LEN);
}

static const AsyChange *
find_change(const AsyChange *changes, int n, Datum user_id)
{
	const AsyChange *found = NULL;

	for (int lo = 0, hi = n - 1; lo <= hi && found == NULL;)
	{
		int			mid = (lo + hi) / 2;
		int			c = memcmp(DatumGetUUIDP(user_id), &changes[mid].user_id, UUID_LEN);

		if (c == 0)
			found = &changes[mid];
		else if (c < 0)
			hi = mid - 1;
		else
			lo = mid + 1;
	}
	return found;
}

static bool
metadata_changed(const AsyBinding *b, const AsyChange *change)
{
	return bms_is_member(b->user_metadata_attnum, change->changed) || bms_is_member(b->app_metadata_attnum, change->changed);
}

static void
set_flag(AsyUsers *users, AsyField field, int i, bool value)
{
	if (users->value[field])
		users->value[field][i] = BoolGetDatum(value);
}

static void
tell_what_changed(const AsyBinding *b, AsyUsers *users, const AsyChange *changes, int n)
{
	for (int i = 0; i < users->n; i++)
	{
		const AsyChange *change = find_change(changes, n, asy_user_id(users, i));

		set_flag(users, ASY_USER_METADATA_CHANGED, i, change && bms_is_member(b->user_metadata_attnum, change->changed));
		set_flag(users, ASY_APP_METADATA_CHANGED, i, change && bms_is_member(b->app_metadata_attnum, change->changed));
	}
}

void
asy_follow_updated(AsyBinding *b, AsyChange *changes, int n)
{
	Datum	   *ids = palloc(sizeof(Datum) * n);
	AsyUsers   *users;
	Notes		notes = {.b = b, .events = asy_events_new()};
	AsyOutcome *first;
	int		   *pick;
	int		   *kept;
	int		   *all;
	int			npick = 0;
	int			nkept = 0;
	int			nall = 0;
	int			nmade = 0;
	int			nrefusable = 0;

	qsort(changes, n, sizeof(AsyChange), by_user_id);
	for (int i = 0; i < n; i++)
		ids[i] = UUIDPGetDatum(&changes[i].user_id);
	users = notes.users = asy_users_by_ids(b, ids, n);
	tell_what_changed(b, users, changes, n);
	notes.release = palloc(sizeof(Datum) * Max(users->n, 1));
	pick = palloc(sizeof(int) * Max(users->n, 1));
	kept = palloc(sizeof(int) * Max(users->n, 1));
	all = palloc(sizeof(int) * Max(users->n, 1));
	first = palloc(sizeof(AsyOutcome) * Max(users->n, 1));

	/* What is missing is made: an anonymous user who gave his address owes a profile from now on. */
	if (b->profiles_name)
		for (int i = 0; i < users->n; i++)
			if (users->owes[i])
				pick[npick++] = i;
	write_profiles(b, users, pick, npick, ASY_WRITE_INSERT, false, false);

	for (int i = 0; i < npick; i++)
	{
		int			u = pick[i];

		first[u] = users->outcome[u];
		if (first[u] == ASY_EXISTS || first[u] == ASY_LINKED)
		{
			if (is_fresh(asy_user_id(users, u)))
				all[nall++] = u;
			else
				kept[nkept++] = u;
		}
	}
	write_profiles(b, users, kept, nkept, ASY_WRITE_ALWAYS, false, false);
	write_profiles(b, users, all, nall, ASY_WRITE_ALL, false, false);

	for (int i = 0; i < users->n; i++)
	{
		const AsyChange *change = find_change(changes, n, asy_user_id(users, i));
		bool		was_fresh = is_fresh(asy_user_id(users, i));

		if (users->gone[i])
		{
			if (change && bms_is_member(b->gone_attnum, change->changed))
			{
				asy_events_add(notes.events, asy_user_id(users, i), "auth_user_deleted", "{\"soft\": true}");
				notes.release[notes.nrelease++] = asy_user_id(users, i);
			}
			continue;
		}
		if (!was_fresh && change)
			asy_events_add(notes.events, asy_user_id(users, i), "auth_user_updated", changed_json(b, change->changed));
		if (!users->owes[i] || !b->profiles_name || users->outcome[i] == ASY_FAILED)
			continue;
		notes.release[notes.nrelease++] = asy_user_id(users, i);
		if (first[i] == ASY_CREATED || first[i] == ASY_LINKED)
		{
			asy_events_add(notes.events, asy_user_id(users, i), "profile_bootstrap_ok",
						   first[i] == ASY_LINKED ? "{\"linked\": true}" : NULL);
			if (first[i] == ASY_LINKED)
				continue;
			remember_fresh(asy_user_id(users, i));
			pick[nmade++] = i;
		}
		else
		{
			if (users->outcome[i] == ASY_UPDATED && !was_fresh)
				asy_events_add(notes.events, asy_user_id(users, i), "profile_updated", NULL);
			if (change && metadata_changed(b, change))
				all[nrefusable++] = i;
		}
	}
	note_failures(&notes);
	note_refusals(&notes, pick, nmade, false);
	note_refusals(&notes, all, nrefusable, true);
	record(&notes);
}

/* ---- a deletion ---- */

void
asy_follow_deleted(AsyBinding *b, const Datum *ids, int n)
{
	Notes		notes = {.b = b, .events = asy_events_new(), .release = (Datum *) ids, .nrelease = n};

	for (int i = 0; i < n; i++)
		asy_events_add(notes.events, ids[i], "auth_user_deleted", NULL);
	record(&notes);
}
