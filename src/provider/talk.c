/*
 * talk.c
 *	  Talks with providers: any number at once, each turn by turn.
 *
 * A turn's requests go out as soon as the driver has written them down, while
 * whoever asked still reads the page that came before. The turn ends when all
 * of them are answered; what failed for a passing reason is sent again before
 * that, and the driver never hears of it:
 *
 *	  429 (and what a driver says is one)   until it is let through, or the
 *											statement could not wait so long
 *	  401 where there is a token            twice a request, with a new token: a long walk outlives several
 *	  a broken connection, 5xx              twice, where twice does no harm
 *	  no way there                          once
 */
#include "postgres.h"

#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "provider/drive.h"

/* A token may have been withdrawn before it was used the first time. */
#define TOKENS_A_REQUEST 2

/* No id and no e-mail is longer anywhere. */
#define NAME_MAX_BYTES 1000

/* More turns than any listing has: 100 users each would be a hundred million. */
#define TURNS_MAX 1000000

static void take_turn(AsyTalk *talk);

/* Between half of it and all of it, so that many do not come back together. */
static int
with_jitter(int ms)
{
	uint32		random = 0;

	if (!pg_strong_random(&random, sizeof(random)))
		random = (uint32) MyProcPid;
	return ms / 2 + (int) (random % (uint32) (ms / 2 + 1));
}

static AsyTalk *
make(const AsyServer *server, AsyAsk ask, const AsyInput *in)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "authsync talk", ALLOCSET_DEFAULT_SIZES);
	AsyTalk    *talk = MemoryContextAllocZero(context, sizeof(AsyTalk));

	talk->server = server;
	talk->ask = ask;
	if (in)
		talk->in = *in;
	talk->page_size = server->page_size;
	if (talk->in.limit > 0 && talk->in.limit < talk->page_size)
		talk->page_size = (int) talk->in.limit;
	talk->context = context;
	talk->answers = MemoryContextAllocZero(context, sizeof(AsyAnswer) * ASY_TALK_WIDTH);
	talk->drive = MemoryContextAllocZero(context, sizeof(AsyDrive));
	talk->drive->turn = AllocSetContextCreate(context, "authsync turn", ALLOCSET_DEFAULT_SIZES);
	return talk;
}

AsyTalk *
asy_talk_begin(const AsyServer *server, AsyAsk ask, const AsyInput *in)
{
	AsyTalk    *talk = make(server, ask, in);

	take_turn(talk);
	return talk;
}

AsyTalk *
asy_talk_sketch(const AsyServer *server, AsyAsk ask, const AsyInput *in)
{
	AsyTalk    *talk = make(server, ask, in);
	MemoryContext old = MemoryContextSwitchTo(talk->drive->turn);

	if (server->provider->ask[ask])
		server->provider->ask[ask] (talk);
	MemoryContextSwitchTo(old);
	return talk;
}

static void
fail(AsyTalk *talk)
{
	if (talk->fault == NULL)
		talk->fault = asy_fault(ASY_FAULT_GARBLED, "Nothing is known of the reason.");
	talk->drive->state = ASY_TALK_FAILED;
}

/* Nobody is called so; and as a segment of a path it would lead elsewhere. */
static bool
asks_for_nobody(const AsyTalk *talk)
{
	const char *text = talk->ask == ASY_ASK_FIND ? talk->in.email : talk->in.subject;

	if (talk->ask == ASY_ASK_LIST || text == NULL)
		return false;
	return text[0] == '\0' || strlen(text) > NAME_MAX_BYTES || strcmp(text, ".") == 0 || strcmp(text, "..") == 0;
}

/*
 * Calls the driver with what has come, in a context of the turn to come. What
 * the one before the last left is freed: its page was taken long ago.
 */
static void
take_turn(AsyTalk *talk)
{
	AsyDrive   *d = talk->drive;
	MemoryContext answers = d->turn;
	MemoryContext old;
	AsyTurn		what;

	if (d->page)
		MemoryContextDelete(d->page);
	d->page = answers;
	d->turn = AllocSetContextCreate(talk->context, "authsync turn", ALLOCSET_DEFAULT_SIZES);
	d->found = NULL;
	d->nfound = d->found_size = 0;
	talk->nanswers = talk->step == 0 ? 0 : talk->nrequests;
	talk->nrequests = 0;
	old = MemoryContextSwitchTo(d->turn);
	if (talk->server->provider->ask[talk->ask] == NULL)
		what = asy_fail(talk, ASY_FAULT_UNSUPPORTED, "%s has no such call.", talk->server->provider->title);
	else if (talk->step == 0 && asks_for_nobody(talk))
		what = asy_fail(talk, ASY_FAULT_MISSING, "Nobody can have that id.");
	else
		what = talk->server->provider->ask[talk->ask] (talk);
	MemoryContextSwitchTo(old);
	if (talk->fault && what == ASY_SEND)
		what = ASY_FAIL;		/* a helper found one, and the driver went on */
	if (++talk->step > TURNS_MAX)
		what = asy_fail(talk, ASY_FAULT_INCOMPLETE, "It has no end.");
	d->cost.pages += d->nfound > 0 ? 1 : 0;
	memset(d->under_way, 0, sizeof(d->under_way));

	/* Whom nobody asked for by name is missing; the one asked for simply is not there. */
	if (what == ASY_FAIL && talk->fault && talk->fault->class == ASY_FAULT_MISSING &&
		(talk->ask == ASY_ASK_GET || talk->ask == ASY_ASK_FIND))
	{
		talk->fault = NULL;
		what = ASY_DONE;
	}
	switch (what)
	{
		case ASY_FAIL:
			fail(talk);
			break;
		case ASY_DONE:
			d->state = ASY_TALK_DONE;
			break;
		case ASY_SEND:
			Assert(talk->nrequests > 0);
			d->state = d->nfound > 0 ? ASY_TALK_PAGE : ASY_TALK_BUSY;
			break;
	}
}

/* ---- one request ---- */

static void
authorize(AsyTalk *talk, AsyRequest *request)
{
	const AsyProvider *p = talk->server->provider;

	if (talk->ask == ASY_ASK_TOKEN)
		return;					/* the driver does that itself */
	if (p->authorize)
		p->authorize(talk, request);
	else
	{
		const char *bearer = talk->drive->token ? talk->drive->token : asy_server_secret(talk->server, p->secrets[0]);

		asy_request_header(request, "Authorization", psprintf("Bearer %s", bearer ? bearer : ""));
	}
}

/* False: it must wait, or the talk has failed. */
static bool
start(AsyTalk *talk, int i)
{
	AsyDrive   *d = talk->drive;
	AsyUnderWay *u = &d->under_way[i];
	AsyRequest *request = &talk->requests[i];
	int			bare = request->nheaders;
	MemoryContext old;
	AsyHttpRequest http;
	int			wait;

	if (talk->ask != ASY_ASK_TOKEN && talk->server->provider->ask[ASY_ASK_TOKEN])
	{
		const char *token = asy_token_get(talk);

		if (token == NULL)
			return false;
		if (d->token == NULL || strcmp(d->token, token) != 0)
			d->token = MemoryContextStrdup(talk->context, token);
		u->token = d->token;
	}
	wait = asy_budget_take(talk->server);
	if (wait > 0)
	{
		u->not_before = asy_clock_ms() + wait;
		d->cost.throttled_ms += wait;
		return false;
	}
	old = MemoryContextSwitchTo(d->turn);
	authorize(talk, request);
	request->headers[request->nheaders] = NULL;
	http.method = request->method;
	http.url = request->url;
	http.headers = request->headers;
	http.body = request->body ? request->body->data : NULL;
	http.body_len = request->body ? request->body->len : 0;
	http.sigv4 = request->sigv4;
	http.sigv4_key = request->sigv4_key;
	u->transfer = asy_http_start(&http, &talk->server->limits);
	request->nheaders = bare;	/* libcurl has its own copies */
	MemoryContextSwitchTo(old);
	d->cost.requests++;
	return true;
}

static bool
is_json(const AsyHttpAnswer *http)
{
	char	   *type = asy_http_header(http, "content-type");
	bool		json = type && (strstr(type, "json") || strstr(type, "JSON"));

	if (type)
		pfree(type);
	return json;
}

static void
try_again(AsyTalk *talk, int i, int wait_ms)
{
	AsyUnderWay *u = &talk->drive->under_way[i];

	asy_http_end(u->transfer);
	u->transfer = NULL;
	u->not_before = asy_clock_ms() + wait_ms;
	talk->drive->cost.retries++;
}

/* Whether the statement is over before that. */
static bool
outlasts_statement(int wait_ms)
{
	return get_timeout_active(STATEMENT_TIMEOUT) &&
		TimestampTzPlusMilliseconds(GetCurrentTimestamp(), (int64) wait_ms) >= get_timeout_finish_time(STATEMENT_TIMEOUT);
}

/* An answer has come: it is one, or the request goes out again. */
static void
take_answer(AsyTalk *talk, int i)
{
	AsyDrive   *d = talk->drive;
	AsyUnderWay *u = &d->under_way[i];
	AsyAnswer  *answer = &talk->answers[i];
	AsyFault   *fault;

	memset(answer, 0, sizeof(AsyAnswer));
	answer->http = asy_http_answer(u->transfer);
	d->cost.bytes += answer->http->wire_bytes;
	d->cost.waited_ms += answer->http->took_ms;
	if (answer->http->fault == NULL && answer->http->len > 0 && is_json(answer->http))
	{
		const char *wrong = asy_json_index(answer->http->body, answer->http->len, &answer->json);

		answer->has_json = wrong == NULL;
		if (wrong && answer->http->status >= 200 && answer->http->status < 300)
			answer->fault = asy_fault(ASY_FAULT_GARBLED, "The answer %s; it begins: %s", wrong,
									  asy_fault_quote(answer->http->body, answer->http->len, asy_talk_secrets(talk)));
	}
	if (answer->fault == NULL)
		answer->fault = asy_status_fault(talk, i);
	fault = answer->fault;
	if (fault && fault->class == ASY_FAULT_THROTTLED)
	{
		int			wait = fault->retry_after_ms >= 0 ? fault->retry_after_ms : with_jitter(Min(1000 << Min(u->throttled, 6), 60000));

		u->throttled++;
		asy_budget_pause(talk->server, Max(wait, 1));
		if (outlasts_statement(wait))
		{
			u->answered = true;
			return;
		}
		d->cost.throttled_ms += wait;
		try_again(talk, i, Max(wait, 1));
		return;
	}
	if (fault && fault->class == ASY_FAULT_KEY && u->token && u->renewed < TOKENS_A_REQUEST)
	{
		u->renewed++;
		asy_token_forget(talk->server, u->token);	/* unless another request has brought a newer one already */
		try_again(talk, i, 0);
		return;
	}
	if (fault && strcmp(talk->requests[i].method, "GET") != 0 && talk->ask >= ASY_ASK_CREATE &&
		(fault->class == ASY_FAULT_TIMEOUT || fault->class == ASY_FAULT_BROKEN || fault->class == ASY_FAULT_CUT_OFF))
	{
		fault->detail = psprintf("%s%sThe provider may have done it all the same.", fault->detail ? fault->detail : "",
								 fault->detail == NULL ? "" : fault->detail[strlen(fault->detail) - 1] == '.' ? " " : ". ");
		fault->hint = "Look at the user before trying again.";
	}
	if (fault && talk->requests[i].repeatable && u->tries < asy_fault_tries(fault->class))
	{
		try_again(talk, i, with_jitter(200 << u->tries++));
		return;
	}
	/* The last one that it lets through in this window: who asks before the next is refused. */
	if (answer->http->fault == NULL && asy_status_used_up(answer->http) > 0)
		asy_budget_pause(talk->server, asy_status_used_up(answer->http));
	u->answered = true;
}

/* Sends what may be sent now; brings wake down to when the rest may. */
static void
send_due(AsyTalk *talk, int64 *wake)
{
	AsyDrive   *d = talk->drive;
	int			in_flight = 0;

	for (int i = 0; i < talk->nrequests; i++)
		if (d->under_way[i].transfer && !d->under_way[i].answered)
			in_flight++;
	for (int i = 0; i < talk->nrequests && in_flight < talk->server->concurrency && talk->fault == NULL; i++)
	{
		AsyUnderWay *u = &d->under_way[i];

		if (u->answered || u->transfer)
			continue;
		if (u->not_before <= asy_clock_ms() && start(talk, i))
			in_flight++;
		else
			*wake = *wake == 0 ? u->not_before : Min(*wake, u->not_before);
	}
}

/* Takes what has come; whether that was all of the turn. */
static bool
take_answers(AsyTalk *talk)
{
	MemoryContext old = MemoryContextSwitchTo(talk->drive->turn);
	bool		all = true;

	for (int i = 0; i < talk->nrequests; i++)
	{
		AsyUnderWay *u = &talk->drive->under_way[i];

		if (u->transfer && !u->answered && asy_http_is_done(u->transfer))
			take_answer(talk, i);
		all = all && u->answered;
	}
	MemoryContextSwitchTo(old);
	return all;
}

/* What is in flight for any of the talks. */
typedef struct Flying
{
	AsyTransfer **transfers;
	int			n;
	int			size;
} Flying;

static void
note_flying(Flying *f, AsyTalk *talk)
{
	for (int i = 0; i < talk->nrequests; i++)
	{
		AsyUnderWay *u = &talk->drive->under_way[i];

		if (u->transfer == NULL || u->answered)
			continue;
		if (f->n == f->size)
		{
			f->size *= 2;
			f->transfers = repalloc(f->transfers, sizeof(AsyTransfer *) * f->size);
		}
		f->transfers[f->n++] = u->transfer;
	}
}

/* Does what can be done now. */
static void
advance(AsyTalk *talk, int64 *wake)
{
	AsyDrive   *d = talk->drive;

	while (d->state == ASY_TALK_BUSY)
	{
		if (take_answers(talk))
			take_turn(talk);
		else
		{
			send_due(talk, wake);
			if (talk->fault == NULL)
				return;
			fail(talk);
		}
	}
}

int
asy_talks_wait(AsyTalk *const *talks, int n, int64 deadline)
{
	Flying		f = {.size = 64};
	int			ready = -1;

	f.transfers = palloc(sizeof(AsyTransfer *) * f.size);
	for (int i = 0; i < n; i++)
		if (talks[i]->drive->state == ASY_TALK_PAGE)
			talks[i]->drive->state = ASY_TALK_BUSY;
	for (;;)
	{
		int64		wake = deadline;

		f.n = 0;
		for (int i = 0; i < n && ready < 0; i++)
		{
			advance(talks[i], &wake);
			if (talks[i]->drive->state != ASY_TALK_BUSY)
				ready = i;
			else
				note_flying(&f, talks[i]);
		}
		if (ready >= 0 || (deadline != 0 && asy_clock_ms() >= deadline))
			break;
		/* Nothing in flight: all wait for leave to ask. */
		if (f.n == 0 && wake == 0)
			wake = asy_clock_ms() + 10;
		asy_http_wait(f.transfers, f.n, wake);
	}
	pfree(f.transfers);

	/* The next turn of a listing sets out before this page is read. */
	if (ready >= 0 && talks[ready]->drive->state == ASY_TALK_PAGE)
	{
		int64		wake = 0;

		send_due(talks[ready], &wake);
	}
	return ready;
}

AsyTalkState
asy_talk_state(const AsyTalk *talk)
{
	return talk->drive->state;
}

const AsyFound *
asy_talk_found(const AsyTalk *talk, int *n)
{
	*n = talk->drive->nfound;
	return talk->drive->found;
}

void
asy_talk_finish(AsyTalk *talk)
{
	while (asy_talk_state(talk) == ASY_TALK_BUSY || asy_talk_state(talk) == ASY_TALK_PAGE)
		asy_talks_wait(&talk, 1, 0);
	if (asy_talk_state(talk) == ASY_TALK_FAILED)
		asy_fault_throw(talk->fault, talk->server->name);
}

const AsyTalkCost *
asy_talk_cost(const AsyTalk *talk)
{
	return &talk->drive->cost;
}

void
asy_talk_end(AsyTalk *talk)
{
	MemoryContextDelete(talk->context);
}
