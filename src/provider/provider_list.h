/*
 * provider_list.h
 *	  Every provider, a row each: for declarations (provider.h) and for the table (registry.c).
 */
#ifdef PROVIDER
PROVIDER(supabase)
PROVIDER(auth0)
PROVIDER(okta)
PROVIDER(clerk)
PROVIDER(workos)
PROVIDER(keycloak)
PROVIDER(scim)
PROVIDER(rest)
PROVIDER(firebase)
PROVIDER(cognito)
#endif
