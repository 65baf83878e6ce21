/*
 * binding.c
 *	  The binding: read from authsync.bindings, resolved, cached.
 *
 * The cache is dropped when any of the bound tables, the bindings table or a
 * schema changes. A binding in use may become stale but not free: its memory
 * goes with the transaction. A table that is bound but missing cannot tell us
 * when it comes back, so such a binding is not cached.
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "access/htup_details.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "compat.h"
#include "sync/binding.h"
#include "sync/columns.h"
#include "sync/foreign.h"
#include "sync/trust.h"
#include "sync/watch.h"

const char *const asy_field_name[ASY_NFIELDS] = {
	"user_id", "subject", "email", "phone", "name", "nickname", "picture", "email_verified",
	"created_at", "user_metadata", "app_metadata", "account_type",
	"user_metadata_changed", "app_metadata_changed"
};

const Oid	asy_field_type[ASY_NFIELDS] = {
	UUIDOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, BOOLOID,
	TIMESTAMPTZOID, JSONBOID, JSONBOID, TEXTOID, BOOLOID, BOOLOID
};

const char *const asy_mode_name[] = {"off", "safe", "strict"};

static AsyBinding *cached = NULL;
static bool cached_is_valid = false;
static Oid	bindings_table = InvalidOid;	/* of the cached binding */

/* ---- the cache ---- */

static void
on_relation_change(Datum arg pg_attribute_unused(), Oid relid)
{
	if (cached == NULL || relid == InvalidOid || relid == bindings_table ||
		relid == cached->users || relid == cached->profiles || relid == cached->audit)
		cached_is_valid = false;
}

static void
on_schema_change(Datum arg pg_attribute_unused(), int cacheid pg_attribute_unused(), uint32 hashvalue pg_attribute_unused())
{
	cached_is_valid = false;
}

static void
watch_catalogs(void)
{
	static bool done = false;

	if (done)
		return;
	CacheRegisterRelcacheCallback(on_relation_change, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, on_schema_change, (Datum) 0);
	done = true;
}

/*
 * The table of that name. Anything else that goes by it now counts as missing:
 * we read as the extension's owner, and reading a view runs its owner's code;
 * so may a foreign table that is not fit.
 */
static Oid
find_table(const char *schema, const char *name)
{
	Oid			nsp = schema ? get_namespace_oid(schema, true) : InvalidOid;
	Oid			relid = OidIsValid(nsp) && name ? get_relname_relid(name, nsp) : InvalidOid;
	char		kind = OidIsValid(relid) ? get_rel_relkind(relid) : '\0';

	if (kind == RELKIND_FOREIGN_TABLE)
		return asy_foreign_is_fit(relid) ? relid : InvalidOid;
	return kind == RELKIND_RELATION || kind == RELKIND_PARTITIONED_TABLE ? relid : InvalidOid;
}

void
asy_binding_invalidate(void)
{
	Oid			now = find_table("authsync", "bindings");	/* another one than last time, if the extension was made anew */

	cached_is_valid = false;
	if (OidIsValid(now))
		CacheInvalidateRelcacheByRelid(now);
}

/* ---- building ---- */

static bool
has_unique_index(Oid relid, AttrNumber attnum)
{
	static const char sql[] =
		"SELECT EXISTS (SELECT FROM pg_catalog.pg_index AS i WHERE i.indrelid = $1 AND i.indisunique AND i.indimmediate"
		" AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = $2)";
	Oid			types[] = {OIDOID, INT2OID};
	Datum		values[] = {ObjectIdGetDatum(relid), Int16GetDatum(attnum)};

	asy_db_run(sql, true, 2, types, values, NULL);
	return asy_db_bool(0, 1);
}

/* A restricted write cannot leave a trigger for later: these are made immediate around it. */
static void
find_deferrable(AsyBinding *b)
{
	static const char sql[] =
		"SELECT DISTINCT pg_catalog.format('SET CONSTRAINTS %I.%I IMMEDIATE', n.nspname, c.conname),"
		" CASE WHEN c.condeferred THEN pg_catalog.format('SET CONSTRAINTS %I.%I DEFERRED', n.nspname, c.conname) END"
		" FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.connamespace"
		" WHERE c.conrelid = $1 AND c.condeferrable";
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(b->profiles)};
	uint64		n = asy_db_run(sql, true, 1, types, values, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		char	   *back = asy_db_text(i, 2);

		b->deferrable = lappend(b->deferrable, asy_db_text(i, 1));
		if (back)
			b->deferrable_back = lappend(b->deferrable_back, back);
	}
}

/* Everything in the current context, which is the binding's own. */
static AsyBinding *
build(const AsyExtension *ext, MemoryContext context)
{
	static const char sql[] =
		"SELECT users_schema, users_table, profiles_schema, profiles_table, key_column,"
		" audit_schema, audit_table, mode, columns::pg_catalog.text"
		" FROM authsync.bindings ORDER BY bound_at DESC LIMIT 1";
	AsyBinding *b;
	char	   *names[9];

	if (asy_db_query(sql) == 0)
		return NULL;
	for (size_t i = 0; i < lengthof(names); i++)
		names[i] = asy_db_text(0, i + 1);

	b = palloc0(sizeof(AsyBinding));
	b->context = context;
	b->ext = *ext;
	b->face = pstrdup(quote_identifier(get_namespace_name(ext->face)));
	b->mode = strcmp(names[7], "off") == 0 ? ASY_OFF : strcmp(names[7], "strict") == 0 ? ASY_STRICT : ASY_SAFE;
	b->columns_text = names[8];

	for (int f = 0; f < ASY_NFIELDS; f++)
		get_typlenbyval(asy_field_type[f], &b->field_len[f], &b->field_byval[f]);
	b->events = get_relname_relid("user_events", ext->face);
	b->events_sequence = OidIsValid(b->events) ? asy_identity_sequence(b->events, get_attnum(b->events, "id")) : InvalidOid;
	b->suspects = find_table("authsync", "suspects");
	b->gaps = find_table("authsync", "gaps");
	b->changes = find_table("authsync", "changes");
	b->signups = find_table("authsync", "signups");

	b->stored_name[0] = names[0];
	b->stored_name[1] = names[1];
	b->stored_name[2] = names[2];
	b->stored_name[3] = names[3];
	b->stored_name[4] = names[5];
	b->stored_name[5] = names[6];
	b->users_name = quote_qualified_identifier(names[0], names[1]);
	b->users = find_table(names[0], names[1]);
	if (OidIsValid(b->users))
	{
		b->users_owner = asy_db_relation_owner(b->users);
		b->users_are_foreign = OidIsValid(asy_foreign_server(b->users));
		asy_columns_resolve_users(b);
		b->users_key_is_unique = has_unique_index(b->users, b->users_key);
	}

	b->audit = find_table(names[5], names[6]);
	if (OidIsValid(b->audit))
	{
		if (get_attnum(b->audit, "id") == InvalidAttrNumber || get_attnum(b->audit, "payload") == InvalidAttrNumber ||
			get_attnum(b->audit, "created_at") == InvalidAttrNumber)
			b->audit = InvalidOid;
		else
		{
			b->audit_name = quote_qualified_identifier(names[5], names[6]);
			b->audit_id = get_attnum(b->audit, "id");
			b->audit_payload = get_attnum(b->audit, "payload");
			b->audit_id_is_unique = get_atttype(b->audit, b->audit_id) == UUIDOID && has_unique_index(b->audit, b->audit_id);
		}
	}

	if (names[3])
	{
		b->profiles_name = quote_qualified_identifier(names[2], names[3]);
		b->profiles = find_table(names[2], names[3]);
		if (OidIsValid(b->profiles) && OidIsValid(b->users))
		{
			b->profiles_are_foreign = OidIsValid(asy_foreign_server(b->profiles));

			/* By the mapping, and so the connection, that reads: another would not see what is not committed. */
			b->profiles_owner = b->profiles_are_foreign ? ext->owner : asy_db_relation_owner(b->profiles);
			if (names[4] && get_attnum(b->profiles, names[4]) != InvalidAttrNumber)
				b->key = names[4];
			asy_columns_resolve_profiles(b, asy_mapping_parse(b->columns_text));
			if (b->key)
			{
				b->key_is_arbiter = has_unique_index(b->profiles, b->key_attnum);
				b->are_together = b->users_are_foreign && b->profiles_are_foreign && !b->key_is_text &&
					asy_foreign_server(b->users) == asy_foreign_server(b->profiles);
				find_deferrable(b);
			}
		}
	}
	if (asy_binding_is_foreign(b))
		b->mode = ASY_OFF;
	b->keeps_drift = asy_trust_is_possible(b, ASY_PART_DRIFT, NULL);
	b->keeps_signups = asy_trust_is_possible(b, ASY_PART_SIGNUPS, NULL);
	return b;
}

AsyBinding *
asy_binding_get(void)
{
	AsyExtension ext;
	AsyIdentity saved;
	MemoryContext context;
	MemoryContext old;
	AsyBinding *b;

	if (cached && cached_is_valid)
		return cached;

	watch_catalogs();
	AcceptInvalidationMessages();
	if (!asy_db_extension(&ext))
		return NULL;
	if (cached)
	{
		MemoryContextSetParent(cached->context, TopTransactionContext);
		cached = NULL;
	}

	/* What changes while we look makes it stale again. */
	cached_is_valid = true;
	bindings_table = find_table("authsync", "bindings");
	if (!OidIsValid(bindings_table))
		return NULL;

	context = AllocSetContextCreate(TopTransactionContext, "authsync binding", ALLOCSET_DEFAULT_SIZES);
	asy_db_become(&saved, ext.owner, false);
	SPI_connect();

	/* What this transaction has just changed is to be seen, whatever snapshot our caller reads with. */
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	old = MemoryContextSwitchTo(context);
	b = build(&ext, context);
	MemoryContextSwitchTo(old);
	PopActiveSnapshot();
	SPI_finish();
	asy_db_restore(&saved);

	if (b && cached_is_valid && OidIsValid(b->users) && (b->profiles_name == NULL || OidIsValid(b->profiles)))
	{
		MemoryContextSetParent(context, CacheMemoryContext);
		cached = b;
	}
	return b;
}

AsyBinding *
asy_binding_peek(void)
{
	return cached_is_valid ? cached : NULL;
}

/* Locks the bound tables; false if a name has come to mean something else while we waited. */
static bool
hold(const AsyBinding *b)
{
	const Oid	tables[] = {b->users, b->profiles, b->audit};

	for (int i = 0; i < 3; i++)
		if (OidIsValid(tables[i]))
			LockRelationOid(tables[i], AccessShareLock);
	for (int i = 0; i < 3; i++)
		if (OidIsValid(tables[i]) && find_table(b->stored_name[2 * i], b->stored_name[2 * i + 1]) != tables[i])
			return false;
	return true;
}

AsyBinding *
asy_binding_hold(void)
{
	for (;;)
	{
		AsyBinding *b = asy_binding_get();

		if (b == NULL || hold(b))
			return b;
		cached_is_valid = false;
	}
}

AsyBinding *
asy_binding_require(void)
{
	AsyBinding *b = asy_binding_hold();

	if (b == NULL)
		asy_error_unbound(NULL);
	if (!OidIsValid(b->users))
		asy_error_unbound(psprintf("The bound users table %s does not exist, or is no table any more.", b->users_name));
	if (b->users_key_name == NULL)
		asy_error_unbound(psprintf("The bound users table %s has no column id of type uuid.", b->users_name));
	asy_foreign_require_mapping(b->users, b->ext.owner);
	asy_foreign_require_mapping(b->profiles, b->ext.owner);
	asy_foreign_require_mapping(b->audit, b->ext.owner);
	return b;
}

AsyBinding *
asy_binding_require_profiles(void)
{
	AsyBinding *b = asy_binding_require();

	if (b->profiles_name == NULL || !OidIsValid(b->profiles))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("authsync is not bound to a profiles table"),
				 b->profiles_name ? errdetail("The bound profiles table %s does not exist, or is no table any more.", b->profiles_name) :
				 errdetail("No profiles table is set."),
				 errhint("SELECT * FROM authsync.setup();")));
	if (b->key == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("profiles table %s has no column for the user's id", b->profiles_name),
				 errdetail("The key is a column of type uuid or text with a unique index."),
				 errhint("SELECT * FROM authsync.setup(columns => '{\"user_id\": {\"from\": \"user_id\", \"key\": true}}');")));
	return b;
}

AsyColumn *
asy_binding_column(const AsyBinding *b, const char *name)
{
	ListCell   *lc;

	foreach(lc, b->columns)
		if (strcmp(((AsyColumn *) lfirst(lc))->name, name) == 0)
			return lfirst(lc);
	return NULL;
}
