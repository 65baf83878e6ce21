/*
 * provider_list.h
 *	  Every provider, a row each. registry.c includes it twice.
 */
#ifdef PROVIDER
PROVIDER(supabase)
PROVIDER(keycloak)
PROVIDER(scim)
PROVIDER(rest)
PROVIDER(firebase)
PROVIDER(cognito)
#endif
