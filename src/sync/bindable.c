/*
 * bindable.c
 *	  What may be bound, and by whom.
 */
#include "postgres.h"

#include "catalog/catalog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"

#include "compat.h"
#include "sync/bindable.h"
#include "sync/columns.h"
#include "sync/foreign.h"

static bool
is_extension_member(Oid relid)
{
	static const char sql[] =
		"SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass"
		" AND d.objid = $1 AND d.deptype = 'e'";
	Oid			types[] = {OIDOID};
	Datum		values[] = {ObjectIdGetDatum(relid)};

	return asy_db_run(sql, true, 1, types, values, NULL) > 0;
}

void
asy_bindable_check_kind(Oid relid, const char *what, Oid extension_owner)
{
	char		kind = get_rel_relkind(relid);
	char	   *name = asy_db_relation_name(relid);
	const char *why = NULL;

	if (IsCatalogRelationOid(relid) || strncmp(name, "information_schema.", 19) == 0)
		why = "It belongs to PostgreSQL itself.";
	else if (get_rel_persistence(relid) == RELPERSISTENCE_TEMP)
		why = "A temporary table is gone when its session ends.";
	else if (is_extension_member(relid))
		why = "It is part of an extension.";
	else if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && kind != RELKIND_FOREIGN_TABLE)
		why = "It is not a table.";
	if (why)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("%s cannot be the %s", name, what),
				 errdetail("%s", why),
				 errhint("Name an ordinary or partitioned table, or a foreign table of postgres_fdw.")));
	if (kind == RELKIND_FOREIGN_TABLE)
	{
		asy_foreign_check_fit(relid, what, extension_owner);
		asy_foreign_require_mapping(relid, extension_owner);
	}
}

void
asy_bindable_check_users(Oid relid, Oid caller, Oid extension_owner)
{
	bool		foreign = get_rel_relkind(relid) == RELKIND_FOREIGN_TABLE;	/* gets no trigger */

	asy_bindable_check_kind(relid, "users", extension_owner);
	if (pg_class_aclcheck(relid, caller, ACL_SELECT) != ACLCHECK_OK ||
		(!foreign && pg_class_aclcheck(relid, caller, ACL_TRIGGER) != ACLCHECK_OK))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("permission denied to make %s the users", asy_db_relation_name(relid)),
				 errdetail("That needs %s on the table.", foreign ? "SELECT" : "SELECT and TRIGGER"),
				 errhint("GRANT %s ON %s TO %s;", foreign ? "SELECT" : "SELECT, TRIGGER", asy_db_relation_name(relid),
						 quote_identifier(GetUserNameFromId(caller, false)))));
	if (get_attnum(relid, "id") == InvalidAttrNumber && get_attnum(relid, "user_id") == InvalidAttrNumber)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("%s cannot be the users", asy_db_relation_name(relid)),
				 errdetail("A users table has a column \"id\" (or \"user_id\") of type uuid."),
				 errhint("Name the table of the auth server, such as auth.users.")));
	if (!((get_attnum(relid, "id") && get_atttype(relid, get_attnum(relid, "id")) == UUIDOID) ||
		  (get_attnum(relid, "user_id") && get_atttype(relid, get_attnum(relid, "user_id")) == UUIDOID)))
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s cannot be the users", asy_db_relation_name(relid)),
				 errdetail("Its id is not of type uuid."),
				 errhint("Name the table of the auth server, such as auth.users.")));
}

void
asy_bindable_check_profiles(Oid relid, Oid caller, Oid extension_owner)
{
	asy_bindable_check_kind(relid, "profiles", extension_owner);
	if (!asy_class_ownercheck(relid, caller))
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be owner of table %s to make it the profiles", asy_db_relation_name(relid)),
				 errdetail("authsync writes that table as its owner, so only its owner may hand it over."),
				 errhint("Call authsync.setup() as the owner, or as a member of the owner.")));
}

/* The type may be a domain of the owner's, whose checks are his code: it runs as he, and restricted. */
typedef struct Cast
{
	Oid			owner;
	char	   *sql;
} Cast;

static void
try_cast(void *arg)
{
	Cast	   *cast = arg;
	AsyIdentity saved;

	asy_db_become(&saved, cast->owner, true);
	asy_db_query(cast->sql);
	asy_db_restore(&saved);
}

/* A default that the column does not take would send every sign-up to quarantine. */
static void
check_fallback(Oid profiles, AttrNumber att, const AsyMapping *m)
{
	Oid			type;
	int32		typmod;
	Oid			collation;
	AsyFailure *failure;
	Cast		cast;

	get_atttypetypmodcoll(profiles, att, &type, &typmod, &collation);
	cast.owner = asy_db_relation_owner(profiles);
	cast.sql = psprintf("SELECT %s::%s", quote_literal_cstr(m->fallback),
						format_type_extended(type, typmod, FORMAT_TYPE_TYPEMOD_GIVEN | FORMAT_TYPE_FORCE_QUALIFY));
	failure = asy_db_try(try_cast, &cast);
	if (failure)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("column \"%s\" does not take its default", m->column),
				 errdetail("%s", failure->message),
				 errhint("Give a \"default\" that the column's type takes.")));
}

void
asy_bindable_check_columns(Oid users, Oid profiles, List *mappings)
{
	bool		foreign = get_rel_relkind(users) == RELKIND_FOREIGN_TABLE || get_rel_relkind(profiles) == RELKIND_FOREIGN_TABLE;
	ListCell   *lc;
	int			keys = 0;

	foreach(lc, mappings)
	{
		AsyMapping *m = lfirst(lc);
		AttrNumber	att = get_attnum(profiles, m->column);

		if (att == InvalidAttrNumber)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_COLUMN),
					 errmsg("column \"%s\" of %s does not exist", m->column, asy_db_relation_name(profiles)),
					 errdetail("The mapping names it."),
					 errhint("\\d %s", asy_db_relation_name(profiles))));
		if (m->guard && foreign)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("column \"%s\" of %s cannot be guarded", m->column, asy_db_relation_name(profiles)),
					 errdetail("A guard is a trigger, and there are none while users or profiles are a foreign table."),
					 errhint("Leave \"guard\" out, and REVOKE UPDATE on that column where the table is.")));
		if (m->fallback)
			check_fallback(profiles, att, m);
		if (m->key && ++keys > 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("only one column can be the key"),
					 errdetail("\"key\": true stands at more than one column."),
					 errhint("Leave it at the column that holds the user's id.")));
		if (m->key)
		{
			Oid			type = getBaseType(get_atttype(profiles, att));

			if (type != UUIDOID && type != TEXTOID && type != VARCHAROID)
				ereport(ERROR,
						(errcode(ERRCODE_DATATYPE_MISMATCH),
						 errmsg("column \"%s\" cannot be the key", m->column),
						 errdetail("A key is of type uuid or text."),
						 errhint("Name the column that holds the user's id.")));
		}
	}
}
