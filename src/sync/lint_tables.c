/*
 * lint_tables.c
 *	  Checks of keys, indexes and constraints around users and profiles.
 */
#include "postgres.h"

#include "utils/builtins.h"

#include "sync/lint.h"

/* A unique index that decides who has a row already; its name is left to the server. */
static char *
key_not_unique(AsyBinding *b)
{
	if (b->key_is_arbiter)
		return NULL;

	/* Across partitions only an index that holds the partition key is unique: one that starts with the key is the best there is. */
	return psprintf("SELECT %s || '.' || %s, 'no unique index on it alone (whole table, not deferrable): two profiles of one user are possible, and each look-up reads the table',"
					" 'CREATE UNIQUE INDEX ' || CASE k.relkind WHEN 'p' THEN '' ELSE 'CONCURRENTLY ' END || 'ON ' || %s || ' (' || %s || ');'"
					" FROM pg_catalog.pg_class AS k WHERE k.oid = $2 AND NOT (k.relkind = 'p' AND EXISTS (SELECT FROM pg_catalog.pg_index AS i"
					"   WHERE i.indrelid = $2 AND i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = $6))",
					quote_literal_cstr(b->profiles_name), quote_literal_cstr(quote_identifier(b->key)),
					quote_literal_cstr(b->profiles_name), quote_literal_cstr(quote_identifier(b->key)));
}

static char *
users_not_unique(AsyBinding *b)
{
	return psprintf("SELECT %1$s || '.' || %2$s, 'no unique index on it: each look-up of a user reads the table, and one id may stand for two users',"
					" 'CREATE UNIQUE INDEX CONCURRENTLY ON ' || %1$s || ' (' || %2$s || ');'"
					" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid"
					"   AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indkey[0] = %3$d)",
					quote_literal_cstr(b->users_name), quote_literal_cstr(quote_identifier(b->users_key_name)), b->users_key);
}

static const char index_invalid[] =
	"SELECT i.indexrelid::pg_catalog.regclass::pg_catalog.text, 'left invalid by a build that failed: kept up at every write, used by no query',"
	" pg_catalog.format('REINDEX INDEX CONCURRENTLY %s;', i.indexrelid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_index AS i JOIN pg_catalog.pg_class AS k ON k.oid = i.indexrelid"
	" WHERE i.indrelid IN ($1, $2) AND NOT i.indisvalid AND k.relkind = 'i'";

static const char unlogged[] =
	"SELECT k.oid::pg_catalog.regclass::pg_catalog.text, 'UNLOGGED: empty after a crash, and on every standby',"
	" pg_catalog.format('ALTER TABLE %s SET LOGGED;', k.oid::pg_catalog.regclass)"
	" FROM pg_catalog.pg_class AS k WHERE k.oid IN ($1, $2) AND k.relpersistence = 'u'";

/* f: foreign key; the line makes it over with ON DELETE CASCADE, which stands before DEFERRABLE and NOT VALID. */
#define FOREIGN_KEY "pg_catalog.format('%I on %s', f.conname, f.conrelid::pg_catalog.regclass)"
#define WITH_CASCADE \
	"pg_catalog.format('ALTER TABLE %1$s DROP CONSTRAINT %2$I, ADD CONSTRAINT %2$I %3$s;', f.conrelid::pg_catalog.regclass, f.conname," \
	" pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.pg_get_constraintdef(f.oid), ' ON DELETE (RESTRICT|SET NULL|SET DEFAULT)( \\([^)]*\\))?', '')," \
	"  '( NOT)? DEFERRABLE.*$| NOT VALID$| NOT ENFORCED$|$', ' ON DELETE CASCADE\\&'))"
#define NULLED_BUT_NOT_NULL \
	"(f.confdeltype = 'n' AND EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = f.conrelid AND a.attnum = ANY (f.conkey) AND a.attnotnull))"

static const char foreign_key_blocks[] =
	"SELECT " FOREIGN_KEY ", CASE WHEN f.confdeltype = 'n' THEN 'ON DELETE SET NULL of a column that is NOT NULL: deleting a user with a row here fails'"
	"  ELSE 'without ON DELETE: deleting a user with a row here fails' END, " WITH_CASCADE
	" FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = $1 AND f.conparentid = 0"
	" AND (f.confdeltype IN ('a', 'r') OR " NULLED_BUT_NOT_NULL ") ORDER BY f.conrelid <> $2, f.oid";

/* The profile goes with its user, unless something else holds on to it. Often that is meant. */
static const char foreign_key_holds[] =
	"SELECT " FOREIGN_KEY ", 'without ON DELETE: a user whose profile has a row here cannot be deleted', " WITH_CASCADE
	" FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f' AND f.confrelid = $2 AND f.conrelid <> $2 AND f.conparentid = 0"
	" AND (f.confdeltype IN ('a', 'r') OR " NULLED_BUT_NOT_NULL ")"
	" AND EXISTS (SELECT FROM pg_catalog.pg_constraint AS o WHERE o.contype = 'f' AND o.conrelid = $2 AND o.confrelid = $1 AND o.confdeltype = 'c') ORDER BY f.oid";

static const char foreign_key_unindexed[] =
	"SELECT " FOREIGN_KEY ", 'no index that starts with its column: each deletion of a user reads this table',"
	" pg_catalog.format('CREATE INDEX CONCURRENTLY ON %s (%I);', f.conrelid::pg_catalog.regclass, a.attname)"
	" FROM pg_catalog.pg_constraint AS f JOIN pg_catalog.pg_attribute AS a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]"
	" JOIN pg_catalog.pg_class AS k ON k.oid = f.conrelid AND k.relkind = 'r' JOIN pg_catalog.pg_class AS u ON u.oid = $1"
	" WHERE f.contype = 'f' AND f.confrelid IN ($1, $2) AND k.relnamespace <> u.relnamespace"
	" AND NOT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = f.conrelid AND i.indisvalid AND i.indpred IS NULL AND i.indkey[0] = ANY (f.conkey)) ORDER BY f.oid";

static char *
foreign_key_missing(AsyBinding *b)
{
	if (b->key_is_text || b->users_are_foreign)
		return NULL;
	return psprintf("SELECT %1$s || '.' || %2$s, 'no foreign key to the users: a deleted user leaves his profile behind',"
					" 'ALTER TABLE ' || %1$s || ' ADD FOREIGN KEY (' || %2$s || ') REFERENCES ' || %3$s || ' (' || %4$s || ') ON DELETE CASCADE NOT VALID;'"
					" WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS f WHERE f.contype = 'f' AND f.conrelid = $2 AND f.confrelid = $1)",
					quote_literal_cstr(b->profiles_name), quote_literal_cstr(quote_identifier(b->key)),
					quote_literal_cstr(b->users_name), quote_literal_cstr(quote_identifier(b->users_key_name)));
}

/* SET CONSTRAINTS goes by schema and name, so these are set along with those of profiles. */
static const char deferrable_namesake[] =
	"SELECT pg_catalog.format('%I on %s', o.conname, o.conrelid::pg_catalog.regclass),"
	" 'has the name of a deferrable constraint of profiles: in a transaction that signs somebody up it is checked at once, then as declared',"
	" pg_catalog.format('ALTER TABLE %s RENAME CONSTRAINT %I TO %I;', o.conrelid::pg_catalog.regclass, o.conname, k.relname || '_' || o.conname)"
	" FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_constraint AS o ON o.connamespace = c.connamespace AND o.conname = c.conname AND o.conrelid <> c.conrelid"
	" JOIN pg_catalog.pg_class AS k ON k.oid = o.conrelid"
	" WHERE c.conrelid = $2 AND c.condeferrable AND o.condeferrable AND o.conparentid = 0 ORDER BY o.oid";

const AsyLintCheck asy_lint_tables[] = {
	{"key_not_unique", "warning", ASY_LINT_LOCAL_PROFILES, NULL, key_not_unique},
	{"users_not_unique", "warning", ASY_LINT_LOCAL_USERS, NULL, users_not_unique},
	{"index_invalid", "warning", ASY_LINT_USERS, index_invalid, NULL},
	{"unlogged", "warning", ASY_LINT_USERS, unlogged, NULL},
	{"foreign_key_blocks", "warning", ASY_LINT_USERS, foreign_key_blocks, NULL},
	{"foreign_key_holds", "info", ASY_LINT_PROFILES, foreign_key_holds, NULL},
	{"foreign_key_unindexed", "info", ASY_LINT_USERS, foreign_key_unindexed, NULL},
	{"foreign_key_missing", "info", ASY_LINT_LOCAL_PROFILES, NULL, foreign_key_missing},
	{"deferrable_namesake", "warning", ASY_LINT_PROFILES, deferrable_namesake, NULL},
	{NULL}
};
