/*
 * paging.h
 *	  Listings whose pages are positions: from the n-th user on, so many.
 *
 * Such a list loses users when somebody before the border between two pages is
 * deleted: those behind him move up into the page that was read already. So
 * pages overlap: each begins with users of the one before it. One that does not
 * shows that the list has moved, and is not taken; the walk steps back until it
 * finds a page with a user whom it has seen, and goes on from there.
 *
 * That is enough, because whoever is there all the time keeps his place among
 * the others who are: a page that shows somebody seen before shows everybody
 * who comes after him, as far as it goes. It holds for pages that are asked for
 * at the same time, too.
 */
#ifndef AUTHSYNC_PAGING_H
#define AUTHSYNC_PAGING_H

#include "provider/provider.h"

typedef struct AsyPage
{
	int64		start;			/* how many users stand before it */
	int			size;			/* how many were asked for */
	int			array;			/* read: the node of the users; -1: there are none */
	int64		total;			/* read: how many the provider says there are in all; -1: it does not */
} AsyPage;

typedef struct AsyPaging
{
	/* by the driver */
	void		(*ask) (AsyTalk *talk, int64 start, int size);	/* writes one request down */
	bool		(*read) (AsyTalk *talk, int answer, AsyPage *page); /* false: with a fault */
	bool		by_stride;		/* a page may be short though more follow; the driver compares with the count itself */
	bool		by_number;		/* start must be a multiple of size */
	int64		total;			/* known before the first page; else -1 */

	/* the walk */
	int64		at;				/* where the next page begins */
	int			size;
	int			overlap;
	int64		back;			/* how far it steps back; 0: it does not */
	int			steps_back;
	int64		first_total;
	int64		nobody_from;	/* where a page had nobody */
	int64		hidden;			/* places of pages where nobody was; by_stride */
	int			n;				/* pages asked for in this turn */
	AsyPage		pages[ASY_TALK_WIDTH];
} AsyPaging;

/* In talk->context. */
extern AsyPaging *asy_paging_new(AsyTalk *talk, void (*ask) (AsyTalk *talk, int64 start, int size),
								 bool (*read) (AsyTalk *talk, int answer, AsyPage *page));

/* Takes the pages that have come, if it asked for any, and asks for the next. */
extern AsyTurn asy_paging_turn(AsyTalk *talk, AsyPaging *paging);

/* ASY_DONE if as many users came as there were before or after, whichever is less; -1: not known. */
extern AsyTurn asy_paging_complete(AsyTalk *talk, int64 before, int64 after);

#endif
