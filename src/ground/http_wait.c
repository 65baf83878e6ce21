/*
 * http_wait.c
 *	  The one loop around libcurl.
 *
 * libcurl resolves names in a thread of its own, which must never run one of
 * the server's signal handlers: every signal is blocked while libcurl may start
 * one, so that it inherits the full mask. The wait itself is done with signals
 * open and in slices, with the server's interrupts served in between, so that
 * neither a cancel nor another session's barrier waits for a provider.
 */
#include "postgres.h"

#include <curl/curl.h>
#include <curl/multi.h>
#include <signal.h>

#include "miscadmin.h"
#include "pgstat.h"
#include "portability/instr_time.h"
#include "storage/pmsignal.h"

#include "ground/http_transfer.h"

/* The longest that an interrupt waits for the next look. */
#define SLICE_MS 50

/* Connections kept open between requests, for this process. */
#define CONNECTIONS_KEPT 64L

static CURLM *multi = NULL;

int64
asy_clock_ms(void)
{
	instr_time	now;

	INSTR_TIME_SET_CURRENT(now);
	return (int64) INSTR_TIME_GET_MILLISEC(now);
}

static void
block_signals(sigset_t *saved)
{
	sigset_t	all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, saved);
}

static void
restore_signals(const sigset_t *saved)
{
	pthread_sigmask(SIG_SETMASK, saved, NULL);
}

bool
asy_http_add(AsyTransfer *transfer)
{
	sigset_t	saved;
	bool		added;

	if (multi == NULL)
	{
		multi = curl_multi_init();
		if (multi == NULL)
			return false;
		curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, CONNECTIONS_KEPT);
	}
	block_signals(&saved);
	added = curl_multi_add_handle(multi, transfer->easy) == CURLM_OK;
	restore_signals(&saved);
	transfer->in_multi = added;
	return added;
}

void
asy_http_remove(AsyTransfer *transfer)
{
	sigset_t	saved;

	block_signals(&saved);
	if (transfer->in_multi)
		curl_multi_remove_handle(multi, transfer->easy);
	transfer->in_multi = false;
	curl_easy_cleanup(transfer->easy);
	transfer->easy = NULL;
	curl_slist_free_all(transfer->header_list);
	transfer->header_list = NULL;
	restore_signals(&saved);
}

/* Lets libcurl do what can be done now. */
static void
turn(void)
{
	sigset_t	saved;
	int			running;
	int			queued;
	CURLMsg    *message;

	block_signals(&saved);
	curl_multi_perform(multi, &running);
	restore_signals(&saved);
	while ((message = curl_multi_info_read(multi, &queued)) != NULL)
	{
		AsyTransfer *transfer;
		CURLcode	code;

		if (message->msg != CURLMSG_DONE)
			continue;
		code = message->data.result;
		if (curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **) &transfer) == CURLE_OK)
			asy_http_conclude(transfer, code);
	}
}

int
asy_http_wait(AsyTransfer *const *transfers, int n, int64 deadline)
{
	for (;;)
	{
		int64		left;

		for (int i = 0; i < n; i++)
			if (transfers[i]->done)
				return i;
		CHECK_FOR_INTERRUPTS();
		if (multi)
			turn();
		for (int i = 0; i < n; i++)
			if (transfers[i]->done)
				return i;
		left = deadline == 0 ? SLICE_MS : deadline - asy_clock_ms();
		if (left <= 0)
			return -1;
		CHECK_FOR_INTERRUPTS();
		pgstat_report_wait_start(asy_wait_event("AuthsyncHttp"));
		if (n > 0)
			curl_multi_poll(multi, NULL, 0, (int) Min(left, SLICE_MS), NULL);
		else
			pg_usleep(Min(left, SLICE_MS) * 1000L);
		pgstat_report_wait_end();
		if (!PostmasterIsAlive())
			ereport(FATAL,
					(errcode(ERRCODE_ADMIN_SHUTDOWN),
					 errmsg("terminating connection due to unexpected postmaster exit")));
	}
}
