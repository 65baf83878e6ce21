/*
 * token.c
 *	  Tokens that a provider gives for a secret, kept by this process until
 *	  shortly before they run out: some are counted, and cost money.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "provider/drive.h"

/* A token said to last for no time lasts a minute. */
#define LIFE_MIN_S 60

typedef struct Key
{
	Oid			server;
	uint32		credentials;	/* hash of url and secrets: who changes them asks anew */
} Key;

typedef struct Entry
{
	Key			key;
	char	   *token;			/* malloc'd; NULL: forgotten */
	int64		renew_at;		/* asy_clock_ms */
} Entry;

static HTAB *tokens = NULL;

static Key
key_of(const AsyServer *server)
{
	Key			key;

	memset(&key, 0, sizeof(key));
	key.server = server->oid;
	key.credentials = string_hash(server->base, 4096);
	for (const AsyNamed *s = server->secrets; s && s->name; s++)
		key.credentials = key.credentials * 31 + string_hash(s->value ? s->value : "", 4096);
	for (const AsyNamed *o = server->options; o && o->name; o++)
		key.credentials = key.credentials * 31 + string_hash(o->value ? o->value : "", 4096);
	return key;
}

static Entry *
entry_of(const AsyServer *server)
{
	Key			key = key_of(server);
	Entry	   *entry;
	bool		found;

	if (tokens == NULL)
	{
		HASHCTL		ctl = {.keysize = sizeof(Key), .entrysize = sizeof(Entry), .hcxt = TopMemoryContext};

		tokens = hash_create("authsync tokens", 16, &ctl, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	entry = hash_search(tokens, &key, HASH_ENTER, &found);
	if (!found)
		entry->token = NULL;
	return entry;
}

static void
drop(Entry *entry)
{
	if (entry->token)
	{
		explicit_bzero(entry->token, strlen(entry->token));
		free(entry->token);
		entry->token = NULL;
	}
}

void
asy_token_forget(const AsyServer *server, const char *token)
{
	Entry	   *entry = entry_of(server);

	if (entry->token && strcmp(entry->token, token) == 0)
		drop(entry);
}

const char *
asy_token_get(AsyTalk *talk)
{
	Entry	   *entry = entry_of(talk->server);
	MemoryContext old;
	AsyTalk    *ask;

	if (entry->token && asy_clock_ms() < entry->renew_at)
		return entry->token;
	drop(entry);

	/* All who need it wait for it; what is under way goes on meanwhile. */
	old = MemoryContextSwitchTo(talk->context);
	ask = asy_talk_begin(talk->server, ASY_ASK_TOKEN, NULL);
	while (asy_talk_state(ask) == ASY_TALK_BUSY)
		asy_talks_wait(&ask, 1, 0);
	if (asy_talk_state(ask) == ASY_TALK_FAILED || ask->token == NULL)
	{
		talk->fault = ask->fault ? ask->fault : asy_fault(ASY_FAULT_GARBLED, "No token came.");
		MemoryContextSwitchTo(old);
		return NULL;
	}
	entry = entry_of(talk->server);
	drop(entry);
	entry->token = strdup(ask->token);
	if (entry->token == NULL)
		ereport(ERROR, (errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	entry->renew_at = asy_clock_ms() + (int64) Max(ask->expires_in, LIFE_MIN_S / 2) * 900;
	asy_talk_end(ask);
	MemoryContextSwitchTo(old);
	return entry->token;
}
