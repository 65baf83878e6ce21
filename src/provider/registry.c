/*
 * registry.c
 *	  Which providers there are.
 */
#include "postgres.h"

#include "provider/provider.h"

static const AsyProvider *const providers[] = {
#define PROVIDER(name) &asy_provider_##name,
#include "provider/provider_list.h"
#undef PROVIDER
	NULL
};

const AsyFieldInfo asy_fields[ASY_NFIELDS] = {
	[ASY_ID] = {"id", ASY_TEXT},
	[ASY_EMAIL] = {"email", ASY_TEXT},
	[ASY_PHONE] = {"phone", ASY_TEXT},
	[ASY_EMAIL_VERIFIED] = {"email_verified", ASY_BOOL},
	[ASY_PHONE_VERIFIED] = {"phone_verified", ASY_BOOL},
	[ASY_NAME] = {"name", ASY_TEXT},
	[ASY_NICKNAME] = {"nickname", ASY_TEXT},
	[ASY_PICTURE] = {"picture", ASY_TEXT},
	[ASY_BLOCKED] = {"blocked", ASY_BOOL},
	[ASY_CREATED_AT] = {"created_at", ASY_TIME},
	[ASY_UPDATED_AT] = {"updated_at", ASY_TIME},
	[ASY_LAST_SIGN_IN_AT] = {"last_sign_in_at", ASY_TIME},
	[ASY_DELETED_AT] = {"deleted_at", ASY_TIME},
	[ASY_USER_METADATA] = {"user_metadata", ASY_JSON},
	[ASY_APP_METADATA] = {"app_metadata", ASY_JSON},
	[ASY_IDENTITIES] = {"identities", ASY_JSON},
	[ASY_RAW] = {"raw", ASY_JSON},
	[ASY_PASSWORD] = {"password", ASY_TEXT},
	[ASY_PASSWORD_HASH] = {"password_hash", ASY_TEXT},
};

const AsyProvider *
asy_provider_n(int n)
{
	return n >= 0 && n < (int) lengthof(providers) - 1 ? providers[n] : NULL;
}

const AsyProvider *
asy_provider(const char *name)
{
	for (int n = 0; providers[n]; n++)
		if (strcmp(providers[n]->name, name) == 0)
			return providers[n];
	return NULL;
}

char **
asy_provider_capabilities(const AsyProvider *p, int *n)
{
	const struct
	{
		const char *word;
		bool		can;
	}			words[] = {
		{"list", p->ask[ASY_ASK_LIST] != NULL},
		{"get", p->ask[ASY_ASK_GET] != NULL},
		{"create", p->ask[ASY_ASK_CREATE] != NULL},
		{"update", p->ask[ASY_ASK_UPDATE] != NULL},
		{"delete", p->ask[ASY_ASK_DELETE] != NULL},
		{"changes", (p->can & ASY_CAN_CHANGES) != 0},
		{"deleted", (p->can & ASY_CAN_DELETED) != 0},
		{"set_id", (p->can & ASY_CAN_SET_ID) != 0},
		{"set_password_hash", (p->can & ASY_CAN_SET_HASH) != 0},
		{"sign_out", (p->can & ASY_CAN_SIGN_OUT) != 0},
		{"recovery_link", (p->can & ASY_CAN_RECOVERY_LINK) != 0},
		{"check_password", (p->can & ASY_CAN_CHECK_PASSWORD) != 0},
		{"webhook", (p->can & ASY_CAN_WEBHOOK) != 0},
	};
	char	  **list = palloc(sizeof(char *) * lengthof(words));

	*n = 0;
	for (size_t i = 0; i < lengthof(words); i++)
		if (words[i].can)
			list[(*n)++] = pstrdup(words[i].word);
	return list;
}
