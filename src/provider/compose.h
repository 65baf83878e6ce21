/*
 * compose.h
 *	  What drivers share that put users together.
 */
#ifndef AUTHSYNC_COMPOSE_H
#define AUTHSYNC_COMPOSE_H

#include "provider/provider.h"

/* The text that a write gives a field; NULL: it gives none, or null. */
extern const char *asy_given_text(const AsyTalk *talk, AsyField field);

/* Puts the value that a write gives a field, null too, by the field's type; nothing where it gives none. */
extern void asy_put_given(StringInfo out, const AsyTalk *talk, AsyField field, const char *name);

/* Indexes JSON of our own, in the database's encoding; false if it is no object. */
extern bool asy_index_object(const char *text, AsyJson *json);

/* The object, but members of changes (an object) instead of its own, without those that are null there or in drop (NULL at its end; or NULL). */
extern StringInfo asy_object_with(const AsyJson *json, int node, const char *changes, const char *const *drop);

/* The first answer is the user whom the talk is about: it ends. */
extern AsyTurn asy_end_with_user(AsyTalk *talk);

/*
 * A 404 may be the user's or a wrong url's. Where the list at that path (below
 * the base) answers, it is he who is missing. True: the turn is over, and *turn
 * is its end. *probing is false at first, and kept by the driver.
 */
extern bool asy_is_probe(AsyTalk *talk, bool *probing, const char *list, AsyTurn *turn);

/* The last segment of header Location, decoded; NULL: there is none. */
extern char *asy_location_id(const AsyHttpAnswer *answer);

#endif
