/*
 * value.c
 *	  Small functions that the views and the statements are made of.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rls.h"
#include "utils/uuid.h"

#include "compat.h"
#include "ground/db.h"
#include "ground/parse.h"
#include "ground/rowhash.h"
#include "sync/entry.h"
#include "sync/foreign.h"

PG_FUNCTION_INFO_V1(authsync_read_entry);
PG_FUNCTION_INFO_V1(authsync_to_user_id);
PG_FUNCTION_INFO_V1(authsync_clean_json);
PG_FUNCTION_INFO_V1(authsync_canonical);
PG_FUNCTION_INFO_V1(authsync_guard_rows);
PG_FUNCTION_INFO_V1(authsync_row_hash);
PG_FUNCTION_INFO_V1(authsync_uid);

/* read_entry(json): user_id, email, action, actor_id of an entry that is kept; NULL if it is not. */
Datum
authsync_read_entry(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	TupleDesc	desc = fcinfo->flinfo->fn_extra;
	AsyEntry	entry;
	Datum		values[4];
	bool		nulls[4] = {false};

	if (!asy_entry_read(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), &entry))
		PG_RETURN_NULL();
	if (desc == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(fcinfo->flinfo->fn_mcxt);

		if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
			elog(ERROR, "return type must be a row type");
		fcinfo->flinfo->fn_extra = desc = BlessTupleDesc(desc);
		MemoryContextSwitchTo(old);
	}
	values[0] = UUIDPGetDatum(&entry.user_id);
	nulls[0] = !entry.has_user_id;
	values[1] = entry.email ? CStringGetTextDatum(entry.email) : (Datum) 0;
	nulls[1] = entry.email == NULL;
	values[2] = CStringGetTextDatum(entry.action);
	values[3] = UUIDPGetDatum(&entry.actor_id);
	nulls[3] = !entry.has_actor_id;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* to_user_id(text): the uuid; NULL if it is none, or the nil UUID, which stands for nobody. */
Datum
authsync_to_user_id(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	pg_uuid_t  *uuid = palloc(sizeof(pg_uuid_t));

	if (!asy_parse_user_id(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), uuid))
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(uuid);
}

/*
 * clean_json(json): the same document, in such a form that any value can be
 * taken out. The type json keeps escapes that are no text and fails only then;
 * one such entry must not make the whole audit log unreadable.
 */
Datum
authsync_clean_json(PG_FUNCTION_ARGS)
{
	text	   *t = PG_GETARG_TEXT_PP(0);
	char	   *clean = asy_parse_clean_json(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t));

	if (clean)
		PG_RETURN_TEXT_P(cstring_to_text_with_len(clean, VARSIZE_ANY_EXHDR(t)));
	PG_RETURN_TEXT_P(t);
}

/* ---- canonical ---- */

typedef struct Canonical
{
	Oid			type;
	int32		typmod;
	char	   *input;
	char	   *output;
	MemoryContext context;
} Canonical;

static void
convert(void *arg)
{
	Canonical  *c = arg;
	Oid			input,
				param,
				output;
	bool		varlena;
	MemoryContext old;
	Datum		value;

	getTypeInputInfo(c->type, &input, &param);
	getTypeOutputInfo(c->type, &output, &varlena);
	value = OidInputFunctionCall(input, c->input, param, c->typmod);
	old = MemoryContextSwitchTo(c->context);
	c->output = OidOutputFunctionCall(output, value);
	MemoryContextSwitchTo(old);
}

/*
 * canonical(text, regtype, typmod): the text as the type would write it, or as
 * it is where the type does not take it: for comparing without failing.
 */
Datum
authsync_canonical(PG_FUNCTION_ARGS)
{
	Canonical	c = {.context = CurrentMemoryContext};

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	c.input = text_to_cstring(PG_GETARG_TEXT_PP(0));
	c.type = PG_GETARG_OID(1);
	c.typmod = PG_GETARG_INT32(2);
	if (asy_db_try(convert, &c))
		c.output = c.input;
	PG_RETURN_TEXT_P(cstring_to_text(c.output));
}

/*
 * signup_guard(regclass, ...), mismatch_guard(...): no rows, or 42501 where row
 * security would hide rows of a table from the caller: a comparison over half
 * the rows is wrong, not partial. 55000 where somebody has put a view, whose
 * code would run as the caller, in a table's place.
 */
Datum
authsync_guard_rows(PG_FUNCTION_ARGS)
{
	Datum	   *tables;
	int			n;

	deconstruct_array(PG_GETARG_ARRAYTYPE_P(0), REGCLASSOID, sizeof(Oid), true, TYPALIGN_INT, &tables, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		Oid			relid = DatumGetObjectId(tables[i]);
		char		kind = get_rel_relkind(relid);

		if (kind != RELKIND_RELATION && kind != RELKIND_PARTITIONED_TABLE && !(kind == RELKIND_FOREIGN_TABLE && asy_foreign_is_fit(relid)))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s is no table any more", asy_db_relation_name(relid)),
					 errdetail("authsync was bound to a table of that name."),
					 errhint("SELECT * FROM authsync.setup();")));
		if (check_enable_rls(relid, InvalidOid, true) == RLS_ENABLED)
			ereport(ERROR,
					(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
					 errmsg("row security hides rows of %s from role \"%s\"", asy_db_relation_name(relid),
							GetUserNameFromId(GetUserId(), false)),
					 errdetail("A comparison that sees only some rows would call healthy users broken."),
					 errhint("Use the functions, which look as the extension's owner: SELECT * FROM get_auth_profile_mismatches();")));
	}
	InitMaterializedSRF(fcinfo, 0);
	return (Datum) 0;
}

/* row_hash(record): of the row as it is stored; see rowhash.h. */
Datum
authsync_row_hash(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(asy_rowhash_of(PG_GETARG_HEAPTUPLEHEADER(0))));
}

/* uid(): the subject of the request's claims as a uuid; NULL without, or if it is none. */
Datum
authsync_uid(PG_FUNCTION_ARGS)
{
	const char *claims = GetConfigOption("request.jwt.claims", true, false);
	Datum		subject;
	pg_uuid_t  *uuid;
	text	   *t;
	LOCAL_FCINFO(get, 2);

	if (claims == NULL || claims[0] == '\0')
		PG_RETURN_NULL();
	InitFunctionCallInfoData(*get, NULL, 2, InvalidOid, NULL, NULL);
	get->args[0].value = DirectFunctionCall1(json_in, CStringGetDatum(claims));
	get->args[0].value = DirectFunctionCall1(authsync_clean_json, get->args[0].value);
	get->args[0].isnull = false;
	get->args[1].value = CStringGetTextDatum("sub");
	get->args[1].isnull = false;
	subject = json_object_field_text(get);
	if (get->isnull)
		PG_RETURN_NULL();
	t = DatumGetTextPP(subject);
	uuid = palloc(sizeof(pg_uuid_t));
	if (!asy_parse_uuid(VARDATA_ANY(t), VARSIZE_ANY_EXHDR(t), uuid))
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(uuid);
}
