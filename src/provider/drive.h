/*
 * drive.h
 *	  What the files behind a talk share: its turns under way.
 */
#ifndef AUTHSYNC_DRIVE_H
#define AUTHSYNC_DRIVE_H

#include "provider/provider.h"

/* Which users (and cursors) a listing has shown, by 64 bits each of a keyed hash. */
typedef struct AsySeen
{
	uint64	   *slots;			/* 0: free */
	uint32		size;			/* a power of two */
	uint32		n;
	uint64		key;
} AsySeen;

/* False if it was there before. In a context of its own making, below the current one at first. */
extern bool asy_seen_add(AsySeen *seen, MemoryContext context, const char *text);

/* Whether it was added before. */
extern bool asy_seen_has(const AsySeen *seen, const char *text);

/* One request of the turn under way. */
typedef struct AsyUnderWay
{
	AsyTransfer *transfer;		/* NULL: not sent, or answered */
	bool		answered;
	const char *token;			/* that it was sent with last; NULL: none */
	int			renewed;		/* how often its token was refused, and it went out with another */
	int			tries;			/* that failed for a passing reason */
	int			throttled;		/* times in a row */
	int64		not_before;		/* asy_clock_ms */
} AsyUnderWay;

typedef struct AsyDrive
{
	AsyTalkState state;
	MemoryContext turn;			/* the requests under way and their answers */
	MemoryContext page;			/* the answers that the users found stand in */
	AsyUnderWay under_way[ASY_TALK_WIDTH];
	AsyFound   *found;
	int			nfound;
	int			found_size;
	AsySeen		users;
	AsySeen		cursors;
	char	   *token;			/* that the newest request was sent with */
	AsyTalkCost cost;
} AsyDrive;

/* status.c: what an answer's status means, before the driver mends it. NULL: 2xx. */
extern AsyFault *asy_status_fault(const AsyTalk *talk, int answer);

/* status.c: how long to wait, as the answer says it; -1: it does not. */
extern int	asy_status_retry_after(const AsyHttpAnswer *answer);

/* status.c: how long nothing more is to be asked, where an answer that was given says so; 0: ask on. */
extern int	asy_status_used_up(const AsyHttpAnswer *answer);

/* Everything secret that a request of it may hold, for asy_fault_quote. palloc'd, NULL at the end. */
extern const char *const *asy_talk_secrets(const AsyTalk *talk);

/* token.c: the token of that server, NULL with a fault where there is none to be had. */
extern const char *asy_token_get(AsyTalk *talk);
extern void asy_token_forget(const AsyServer *server, const char *token);

/* budget.c: leave for one request; else how many ms to wait before asking again. */
extern int	asy_budget_take(const AsyServer *server);

/* budget.c: the provider wants nothing for so long; what its answers say of the limit. */
extern void asy_budget_pause(const AsyServer *server, int ms);

#endif
