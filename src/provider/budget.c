/*
 * budget.c
 *	  How many requests a server still takes: a bucket of leaves to ask for each,
 *	  which fills at its rate, and the pause that the provider asked for.
 *
 * Shared by all processes where the library is preloaded, else each has its
 * own. One spinlock-like LWLock guards all buckets: it is held for a few
 * additions, never while anybody waits.
 *
 * Who works in the background leaves half of the bucket to people who wait.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "compat.h"
#include "provider/drive.h"

/* Servers with a bucket at one time; the one longest unused makes room. */
#define BUCKETS 128

#define TRANCHE "authsync_budget"

typedef struct Bucket
{
	Oid			database;
	Oid			server;			/* InvalidOid: free */
	double		leaves;
	TimestampTz filled_at;
	TimestampTz paused_until;
	TimestampTz used_at;
} Bucket;

static Bucket *shared = NULL;
static LWLock *lock = NULL;

#if defined(ASY_HAS_SHMEM_REQUEST_HOOK)
static shmem_request_hook_type next_request = NULL;
#endif
static shmem_startup_hook_type next_startup = NULL;

static void
request(void)
{
#if defined(ASY_HAS_SHMEM_REQUEST_HOOK)
	if (next_request)
		next_request();
#endif
	RequestAddinShmemSpace(sizeof(Bucket) * BUCKETS);
	RequestNamedLWLockTranche(TRANCHE, 1);
}

static void
startup(void)
{
	bool		found;

	if (next_startup)
		next_startup();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	shared = ShmemInitStruct("authsync budget", sizeof(Bucket) * BUCKETS, &found);
	if (!found)
		memset(shared, 0, sizeof(Bucket) * BUCKETS);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	LWLockRelease(AddinShmemInitLock);
}

void
asy_budget_init(void)
{
	if (!process_shared_preload_libraries_in_progress || IsBinaryUpgrade)
		return;
#if defined(ASY_HAS_SHMEM_REQUEST_HOOK)
	next_request = shmem_request_hook;
	shmem_request_hook = request;
#else
	request();
#endif
	next_startup = shmem_startup_hook;
	shmem_startup_hook = startup;
}

/* The server's bucket; a new one is full. Under the lock, where there is one. */
static Bucket *
bucket_of(const AsyServer *server, TimestampTz now)
{
	static Bucket own[BUCKETS];
	Bucket	   *all = shared ? shared : own;
	Bucket	   *oldest = &all[0];

	for (int i = 0; i < BUCKETS; i++)
	{
		Bucket	   *b = &all[i];

		if (b->server == server->oid && b->database == MyDatabaseId && OidIsValid(b->server))
			return b;
		if (!OidIsValid(b->server) ? OidIsValid(oldest->server) : OidIsValid(oldest->server) && b->used_at < oldest->used_at)
			oldest = b;
	}
	memset(oldest, 0, sizeof(Bucket));
	oldest->database = MyDatabaseId;
	oldest->server = server->oid;
	oldest->leaves = Max(server->rate, 1);
	oldest->filled_at = now;
	return oldest;
}

int
asy_budget_take(const AsyServer *server)
{
	TimestampTz now = GetCurrentTimestamp();
	int			wait = 0;
	Bucket	   *b;

	if (lock)
		LWLockAcquire(lock, LW_EXCLUSIVE);
	b = bucket_of(server, now);
	b->used_at = now;
	if (b->paused_until > now)
		wait = (int) Min((b->paused_until - now) / 1000 + 1, 1000);
	else if (server->rate > 0)
	{
		double		full = Max(server->rate, 1);
		double		floor = server->background ? full / 2 : 0;

		if (now > b->filled_at)
			b->leaves = Min(full, b->leaves + (now - b->filled_at) / 1e6 * server->rate);
		b->filled_at = now;
		if (b->leaves >= floor + 1)
			b->leaves -= 1;
		else
			wait = (int) Max((floor + 1 - b->leaves) / server->rate * 1000, 1);
	}
	if (lock)
		LWLockRelease(lock);
	return wait;
}

void
asy_budget_pause(const AsyServer *server, int ms)
{
	TimestampTz now = GetCurrentTimestamp();
	Bucket	   *b;

	if (lock)
		LWLockAcquire(lock, LW_EXCLUSIVE);
	b = bucket_of(server, now);
	b->used_at = now;
	b->paused_until = Max(b->paused_until, now + (TimestampTz) ms * 1000);
	b->leaves = 0;
	if (lock)
		LWLockRelease(lock);
}
