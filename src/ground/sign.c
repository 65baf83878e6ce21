/*
 * sign.c
 *	  Signatures that a provider asks for.
 *
 * OpenSSL's objects are not in a memory context: nothing that could raise an
 * error stands between their making and their freeing.
 */
#include "postgres.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "common/base64.h"

#include "ground/sign.h"

/* Enough for a key of 16384 bits. */
#define SIGNATURE_MAX 2048

char *
asy_base64(const void *bytes, size_t len)
{
	int			size = pg_b64_enc_len((int) len);
	char	   *text = palloc(size + 1);
	int			n = pg_b64_encode(bytes, (int) len, text, size);

	if (n < 0)
		elog(ERROR, "no room for base64");
	text[n] = '\0';
	return text;
}

char *
asy_base64url(const void *bytes, size_t len)
{
	char	   *text = asy_base64(bytes, len);

	for (char *c = text; *c; c++)
	{
		if (*c == '+')
			*c = '-';
		else if (*c == '/')
			*c = '_';
		else if (*c == '=')
			*c = '\0';
	}
	return text;
}

/* No passphrase is ever asked for at the terminal. */
static int
no_passphrase(char *buffer, int size, int writing, void *arg)
{
	(void) buffer;
	(void) size;
	(void) writing;
	(void) arg;
	return -1;
}

/* Raises nothing; how long the signature is, 0: there is none. */
static size_t
sign(const char *text, size_t text_len, const char *pem, size_t pem_len, unsigned char *signature)
{
	BIO		   *bio = BIO_new_mem_buf(pem, (int) pem_len);
	EVP_PKEY   *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
	EVP_MD_CTX *context = key ? EVP_MD_CTX_new() : NULL;
	size_t		len = SIGNATURE_MAX;
	bool		good;

	good = context && EVP_PKEY_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_size(key) <= SIGNATURE_MAX &&
		EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
		EVP_DigestSign(context, signature, &len, (const unsigned char *) text, text_len) == 1;
	EVP_MD_CTX_free(context);
	EVP_PKEY_free(key);
	BIO_free(bio);
	if (!good)
		ERR_clear_error();		/* others of this process look at that queue */
	return good ? len : 0;
}

char *
asy_jwt_rs256(const char *claims, const char *pem)
{
	static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
	unsigned char signature[SIGNATURE_MAX];
	char	   *text = psprintf("%s.%s", asy_base64url(header, strlen(header)), asy_base64url(claims, strlen(claims)));
	size_t		len = sign(text, strlen(text), pem, strlen(pem), signature);

	return len > 0 ? psprintf("%s.%s", text, asy_base64url(signature, len)) : NULL;
}
