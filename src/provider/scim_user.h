/*
 * scim_user.h
 *	  A user as SCIM has him; scim.c's own.
 */
#ifndef AUTHSYNC_SCIM_USER_H
#define AUTHSYNC_SCIM_USER_H

#include "provider/provider.h"

/* A member, in any case. */
extern int	asy_scim_member(const AsyJson *json, int node, const char *name);

extern void asy_scim_read_user(const AsyTalk *talk, const AsyJson *json, int node, uint32 wanted, AuthUser *user);

/* The attributes that the columns given stand for, by the user as he is (node -1: there is none yet). */
extern StringInfo asy_scim_changes(const AsyTalk *talk, const AsyJson *json, int node);

/* The changes as a PATCH: null removes what is there. NULL: there is nothing to do. */
extern StringInfo asy_scim_patch(const AsyJson *was, const char *changes);

#endif
