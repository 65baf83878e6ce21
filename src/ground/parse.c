/*
 * parse.c
 *	  Text that others wrote, read without failing.
 */
#include "postgres.h"

#include "mb/pg_wchar.h"
#include "utils/datetime.h"

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

/* That many digits as a number; -1 if they are not all there. */
static int
digits_at(const char **c, const char *end, int n)
{
	int			value = 0;

	if (end - *c < n)
		return -1;
	for (int i = 0; i < n; i++, (*c)++)
	{
		if (**c < '0' || **c > '9')
			return -1;
		value = value * 10 + (**c - '0');
	}
	return value;
}

static bool
taken(const char **c, const char *end, const char *one_of)
{
	if (*c >= end || !strchr(one_of, **c))
		return false;
	(*c)++;
	return true;
}

/* Digits after the point, as microseconds; what is finer is cut. */
static int
fraction_at(const char **c, const char *end)
{
	int			value = 0;
	int			n = 0;

	for (; *c < end && **c >= '0' && **c <= '9'; (*c)++, n++)
		if (n < 6)
			value = value * 10 + (**c - '0');
	for (; n < 6; n++)
		value *= 10;
	return value;
}

bool
asy_parse_time(const char *s, size_t len, TimestampTz *time)
{
	const char *c = s;
	const char *end = s + len;
	int			year, month, day, hour, minute, second;
	int			fraction = 0;
	int			east = 0;		/* minutes */
	int64		days;

	if ((year = digits_at(&c, end, 4)) < 1 || !taken(&c, end, "-") ||
		(month = digits_at(&c, end, 2)) < 1 || month > 12 || !taken(&c, end, "-") ||
		(day = digits_at(&c, end, 2)) < 1 || day > day_tab[isleap(year)][month - 1] || !taken(&c, end, "Tt ") ||
		(hour = digits_at(&c, end, 2)) < 0 || hour > 23 || !taken(&c, end, ":") ||
		(minute = digits_at(&c, end, 2)) < 0 || minute > 59 || !taken(&c, end, ":") ||
		(second = digits_at(&c, end, 2)) < 0 || second > 60)
		return false;
	if (taken(&c, end, ".,"))
		fraction = fraction_at(&c, end);
	if (c < end && !taken(&c, end, "Zz"))
	{
		bool		west = *c == '-';
		int			hours;
		int			minutes = 0;

		if (!taken(&c, end, "+-") || (hours = digits_at(&c, end, 2)) < 0 || hours > 15)
			return false;
		taken(&c, end, ":");
		if (c < end && ((minutes = digits_at(&c, end, 2)) < 0 || minutes > 59))
			return false;
		east = (hours * 60 + minutes) * (west ? -1 : 1);
	}
	if (c != end)
		return false;
	days = date2j(year, month, day) - POSTGRES_EPOCH_JDATE;
	*time = (((days * 24 + hour) * 60 + minute - east) * 60 + second) * USECS_PER_SEC + fraction;
	return IS_VALID_TIMESTAMP(*time);
}

bool
asy_parse_epoch(const char *s, size_t len, int64 units_a_second, TimestampTz *time)
{
	const char *c = s;
	const char *end = s + len;
	int64		whole = 0;
	int64		fraction = 0;
	int64		us_a_unit = USECS_PER_SEC / units_a_second;
	bool		negative = taken(&c, end, "-");

	if (c == end)
		return false;
	for (; c < end && *c >= '0' && *c <= '9'; c++)
	{
		if (whole > PG_INT64_MAX / 10 - 1)
			return false;
		whole = whole * 10 + (*c - '0');
	}
	if (taken(&c, end, "."))
		fraction = fraction_at(&c, end) / units_a_second;
	if (c != end || whole > PG_INT64_MAX / us_a_unit / 2)
		return false;
	whole = whole * us_a_unit + fraction;
	*time = (negative ? -whole : whole) - (int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY;
	return IS_VALID_TIMESTAMP(*time);
}
