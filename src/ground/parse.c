/*
 * parse.c
 *	  Text that others wrote, read without failing.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"

#include "ground/parse.h"

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool
asy_parse_uuid(const char *s, size_t len, pg_uuid_t *uuid)
{
	int			n = 0;

	if (len != 36)
		return false;
	for (int i = 0; i < 36; i++)
	{
		bool		dash = i == 8 || i == 13 || i == 18 || i == 23;
		int			digit = hex_digit(s[i]);

		if (dash ? s[i] != '-' : digit < 0)
			return false;
		if (dash)
			continue;
		uuid->data[n / 2] = n % 2 == 0 ? digit << 4 : uuid->data[n / 2] | digit;
		n++;
	}
	return true;
}

bool
asy_parse_user_id(const char *s, size_t len, pg_uuid_t *uuid)
{
	static const pg_uuid_t nobody = {{0}};

	return asy_parse_uuid(s, len, uuid) && memcmp(uuid, &nobody, UUID_LEN) != 0;
}

/* The code unit of an escape that begins here, or -1. */
static int
unit_at(const char *s, const char *end)
{
	int			unit = 0;

	if (end - s < 6 || s[0] != '\\' || s[1] != 'u')
		return -1;
	for (int i = 2; i < 6; i++)
	{
		int			digit = hex_digit(s[i]);

		if (digit < 0)
			return -1;
		unit = unit * 16 + digit;
	}
	return unit;
}

char *
asy_parse_clean_json(const char *s, size_t len)
{
	const char *end = s + len;
	char	   *copy = NULL;
	bool		utf8 = GetDatabaseEncoding() == PG_UTF8;

	for (const char *c = s; (c = memchr(c, '\\', end - c)) != NULL;)
	{
		int			unit = unit_at(c, end);
		int			next;

		if (unit < 0)
		{
			if (end - c < 2)
				break;
			c += 2;				/* any other escape, the backslash's own too */
			continue;
		}
		next = unit >= 0xD800 && unit <= 0xDBFF ? unit_at(c + 6, end) : -1;
		if (next >= 0xDC00 && next <= 0xDFFF && utf8)
		{
			c += 12;
			continue;
		}
		if (unit == 0 || (unit >= 0xD800 && unit <= 0xDFFF) || (unit > 0x7F && !utf8))
		{
			if (copy == NULL)
				copy = pnstrdup(s, len);
			memcpy(copy + (c - s), utf8 ? "\\ufffd" : "\\u003f", 6);
		}
		c += 6;
	}
	return copy;
}
