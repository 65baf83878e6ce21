/*
 * default_profiles.h
 *	  The profiles table that setup() makes where there is none.
 */
#ifndef AUTHSYNC_DEFAULT_PROFILES_H
#define AUTHSYNC_DEFAULT_PROFILES_H

#include "sync/attach.h"

/*
 * Makes public.profiles, owned by the current user, who needs CREATE on the
 * schema. An ordinary table: it survives DROP EXTENSION, and no constraint,
 * default or policy of it needs authsync. Returns its OID. SPI connected.
 */
extern Oid asy_default_profiles_create(Oid users, Oid extension_owner, AsySteps *steps);

#endif
