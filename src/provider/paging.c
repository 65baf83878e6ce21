/*
 * paging.c
 *	  Listings whose pages are positions.
 */
#include "postgres.h"

#include "provider/drive.h"
#include "provider/paging.h"

/* So often the list may have moved before the walk gives up. Each time it overlaps more, up to half a page. */
#define STEPS_BACK_MAX 100

/* Page numbers meet every position only where there are enough sizes to choose from. */
#define BY_NUMBER_MIN 20

AsyPaging *
asy_paging_new(AsyTalk *talk, void (*ask) (AsyTalk *talk, int64 start, int size),
			   bool (*read) (AsyTalk *talk, int answer, AsyPage *page))
{
	AsyPaging  *p = MemoryContextAllocZero(talk->context, sizeof(AsyPaging));

	p->ask = ask;
	p->read = read;
	p->total = -1;
	p->first_total = -1;
	p->nobody_from = PG_INT64_MAX;
	p->size = Max(talk->page_size, 2);
	p->overlap = 1;
	return p;
}

/*
 * The page that shows most from there on. By number it begins where its size
 * says, so the size is chosen, somewhat smaller than the largest.
 */
static AsyPage
fitting(const AsyPaging *p, int64 from)
{
	AsyPage		best = {.start = from, .size = p->size, .array = -1, .total = -1};

	if (!p->by_number)
		return best;
	best.size = 0;
	best.start = from;
	for (int size = p->size; size >= 2 && size > best.start + best.size - from; size--)
		if (size - from % size > best.start + best.size - from)
		{
			best.start = from - from % size;
			best.size = size;
		}
	return best;
}

static AsyTurn
ask(AsyTalk *talk, AsyPaging *p)
{
	/* Where the end is not known, and where a few are wanted, one after the other. */
	int			width = p->total < 0 || talk->in.limit > 0 ? 1 : Min(Max(talk->server->concurrency, 1), ASY_TALK_WIDTH);

	if (p->by_number)
		p->size = Max(p->size, BY_NUMBER_MIN);
	for (p->n = 0; p->n < width;)
	{
		AsyPage		page = fitting(p, p->at);

		p->pages[p->n++] = page;
		p->ask(talk, page.start, page.size);
		p->at = Max(page.start + page.size - p->overlap, page.start + 1);
		if (page.start + page.size >= p->total)
			break;
	}
	return ASY_SEND;
}

/* Whether anybody of the page has been seen on another. */
static bool
is_joined(const AsyTalk *talk, const AsyJson *json, int array)
{
	for (int e = asy_json_first(json, array); e >= 0; e = asy_json_after(json, array, e))
	{
		char	   *subject = asy_subject_of(talk, json, e);

		if (subject && asy_seen_has(&talk->drive->users, subject))
			return true;
	}
	return false;
}

static AsyTurn
step_back(AsyTalk *talk, AsyPaging *p, const AsyPage *page)
{
	if (++p->steps_back > STEPS_BACK_MAX)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, "The list changed %d times while it was read; " INT64_FORMAT " users had come.",
						p->steps_back, talk->distinct);
	p->back = p->back > 0 ? p->back * 2 : p->size;
	p->at = page->start - p->back;
	if (p->total >= 0)
		p->at = Min(p->at, p->total - p->size);
	p->at = Max(p->at, 0);

	/* Where one deletion came between two pages, the next comes soon. */
	p->overlap = Max(Min(Max(p->overlap * 4, 8), p->by_number ? p->size / 8 : p->size / 2), 1);
	return ask(talk, p);
}

AsyTurn
asy_paging_complete(AsyTalk *talk, int64 before, int64 after)
{
	int64		least = before < 0 ? after : after < 0 ? before : Min(before, after);

	if (talk->in.limit > 0 && talk->distinct >= talk->in.limit)
		return ASY_DONE;
	if (talk->distinct < least)
		return asy_fail(talk, ASY_FAULT_INCOMPLETE, INT64_FORMAT " users came of " INT64_FORMAT " that there are.", talk->distinct, least);
	return ASY_DONE;
}

AsyTurn
asy_paging_turn(AsyTalk *talk, AsyPaging *p)
{
	for (int i = 0; i < p->n; i++)
	{
		AsyPage    *page = &p->pages[i];
		const AsyJson *json = asy_answer_json(talk, i);
		int64		reached;
		int			n;
		int			fresh = 0;
		bool		ended;

		if (json == NULL || !p->read(talk, i, page))
			return ASY_FAIL;
		if (page->total >= 0)
		{
			p->total = page->total;
			if (p->first_total < 0)
				p->first_total = page->total;
		}
		n = asy_json_count(json, page->array);
		p->nobody_from = n == 0 ? Min(p->nobody_from, page->start) : p->nobody_from > page->start ? p->nobody_from : PG_INT64_MAX;

		/* Beyond the end some begin again with the first, which looks like a page that joins. */
		if (page->start > 0 && ((page->total >= 0 && page->start >= page->total) || !is_joined(talk, json, page->array)))
			return step_back(talk, p, page);
		p->back = 0;
		if (page->array >= 0 && (fresh = asy_found_all(talk, i, page->array)) < 0)
			return ASY_FAIL;
		if (talk->in.limit > 0 && talk->distinct >= talk->in.limit)
			return ASY_DONE;

		reached = page->start + (p->by_stride ? page->size : n);
		if (p->by_stride)
			ended = n < page->size && reached >= Min(p->total, p->nobody_from);
		else
			ended = p->total < 0 ? fresh == 0 && n < page->size : reached >= p->total;
		if (ended)
			return p->by_stride ? ASY_DONE : asy_paging_complete(talk, p->first_total, p->total);
		if (p->by_stride)
			p->hidden += page->size - n;
		else if (n == 0)
			return asy_fail(talk, ASY_FAULT_INCOMPLETE, "Nobody came from position " INT64_FORMAT " on, of " INT64_FORMAT " users that there are.",
							page->start, p->total);
		else if (n < page->size)
			p->size = Max(n, 2);	/* it gives no more at once */

		/* What was asked for at the same time may begin too far on now. */
		p->at = Max(reached - p->overlap, page->start + 1);
		if (i + 1 < p->n && p->pages[i + 1].start >= reached)
			break;
	}
	return ask(talk, p);
}
