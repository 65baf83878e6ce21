/*
 * server.h
 *	  A provider as this database defines it: a foreign server of wrapper
 *	  authsync with its options and, where they are needed, its secrets.
 */
#ifndef AUTHSYNC_SERVER_H
#define AUTHSYNC_SERVER_H

#include "provider/provider.h"

/* The server of that name; 42704 where there is none, or one of another wrapper. */
extern Oid	asy_server_get(const char *name);

/* Its options alone, for plans and EXPLAIN: nothing can be sent with it. In the current context. */
extern AsyServer *asy_server_describe(Oid server);

/*
 * With the secrets that this role's requests are sent with: those of his user
 * mapping, else those of PUBLIC's, else the stored ones. 28000 where there is
 * none at all. SPI must not be connected by the caller for its own results.
 */
extern AsyServer *asy_server_load(Oid server, Oid role);

/* Whether that provider is ever asked with a secret of that name. */
extern bool asy_server_takes_secret(const AsyProvider *provider, const char *name);

/* A user mapping's option that says where a secret is: its name, and how ("file", "env", "vault"); false: it is none. */
extern bool asy_server_secret_option(const char *option, char **secret, const char **how);

/* 42501 unless the role may have files and the environment of the server's machine read for it. */
extern void asy_server_check_reader(Oid role, const char *option);

/* ---- stored secrets (secret.c) ---- */

/* NULL: none is stored, or it was given for another origin (*elsewhere). palloc'd. */
extern char *asy_secret_read(const AsyServer *server, const char *name, char **elsewhere);

/* Where its secrets are sent: the origins of its url and its token_url. palloc'd. */
extern char *asy_server_origins(const AsyServer *server);

/* The caller must own the server (42501). */
extern void asy_secret_store(const char *server, const char *name, const char *value);
extern bool asy_secret_forget(const char *server, const char *name);

/* From secret.c also: a secret in Supabase Vault, as that role sees it. */
extern char *asy_secret_from_vault(const char *name, Oid role);

/* ---- which copy of the database this is (armed.c) ---- */

extern bool asy_armed(void);

/* 55000 unless it is; also while authsync.enabled is off. */
extern void asy_armed_check(const char *server);

/* Whether it was not before. */
extern bool asy_armed_arm(void);

#endif
