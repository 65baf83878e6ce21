/*
 * seen.c
 *	  Which users a listing has shown.
 *
 * Eight bytes a user, so that a million take sixteen megabytes at most. Two
 * users with one hash would make one of them invisible: with a secret key and
 * 64 bits the odds are one in 370,000 for a listing of ten million.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "provider/drive.h"

static bool
put(AsySeen *seen, uint64 hash)
{
	uint32		at = (uint32) hash & (seen->size - 1);

	while (seen->slots[at] != 0)
	{
		if (seen->slots[at] == hash)
			return false;
		at = (at + 1) & (seen->size - 1);
	}
	seen->slots[at] = hash;
	return true;
}

static uint64
hash_of(const AsySeen *seen, const char *text)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) text, (int) strlen(text), seen->key);

	return hash == 0 ? 1 : hash;
}

bool
asy_seen_has(const AsySeen *seen, const char *text)
{
	uint64		hash;

	if (seen->size == 0)
		return false;
	hash = hash_of(seen, text);
	for (uint32 at = (uint32) hash & (seen->size - 1); seen->slots[at] != 0; at = (at + 1) & (seen->size - 1))
		if (seen->slots[at] == hash)
			return true;
	return false;
}

bool
asy_seen_add(AsySeen *seen, MemoryContext context, const char *text)
{
	if (seen->size == 0)
	{
		if (!pg_strong_random(&seen->key, sizeof(seen->key)))
			seen->key = (uint64) GetCurrentTimestamp();
		seen->size = 256;
		seen->slots = MemoryContextAllocZero(context, sizeof(uint64) * seen->size);
	}
	if (!put(seen, hash_of(seen, text)))
		return false;
	seen->n++;
	if (seen->n > seen->size / 4 * 3)
	{
		uint64	   *old = seen->slots;
		uint32		n = seen->size;

		seen->size *= 2;
		seen->slots = MemoryContextAllocExtended(context, sizeof(uint64) * seen->size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		for (uint32 i = 0; i < n; i++)
			if (old[i] != 0)
				put(seen, old[i]);
		pfree(old);
	}
	return true;
}
