/*
 * compat.h
 *	  The one place that looks at PG_VERSION_NUM: each shim gives the newest
 *	  server's spelling on the older ones.
 */
#ifndef AUTHSYNC_COMPAT_H
#define AUTHSYNC_COMPAT_H

#include "fmgr.h"
#include "utils/guc.h"

#if PG_VERSION_NUM < 140000
#error "authsync needs PostgreSQL 14 or newer"
#endif

/* 15: a prefix can be reserved (88103567c) */
#if PG_VERSION_NUM < 150000
#define MarkGUCPrefixReserved(prefix) EmitWarningsOnPlaceholders(prefix)
#endif

/* 15: the materialize-mode prologue became one call (9e98583898, renamed a19e5cee6) */
#if PG_VERSION_NUM < 150000
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"
static inline void
InitMaterializedSRF(FunctionCallInfo fcinfo, bits32 flags)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	MemoryContext old;
	TupleDesc	desc;

	if (rsinfo == NULL || !IsA(rsinfo, ReturnSetInfo) || !(rsinfo->allowedModes & SFRM_Materialize))
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("set-valued function called in context that cannot accept a set")));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	old = MemoryContextSwitchTo(rsinfo->econtext->ecxt_per_query_memory);
	rsinfo->returnMode = SFRM_Materialize;
	rsinfo->setResult = tuplestore_begin_heap(true, false, work_mem);
	rsinfo->setDesc = CreateTupleDescCopy(desc);
	MemoryContextSwitchTo(old);
}
#endif

/* 15: shared memory is asked for in a hook (4f2400cb3f) */
#if PG_VERSION_NUM >= 150000
#define ASY_HAS_SHMEM_REQUEST_HOOK
#endif

/* 16: varlena macros moved to a header of their own (d952373a98) */
#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

/* 16: one function for every object's privilege (c727f511bd) */
#if PG_VERSION_NUM < 160000
#include "utils/acl.h"
#define asy_proc_aclcheck(oid, role, mode) pg_proc_aclcheck(oid, role, mode)
#define asy_class_ownercheck(oid, role) pg_class_ownercheck(oid, role)
#define asy_server_ownercheck(oid, role) pg_foreign_server_ownercheck(oid, role)
#else
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_server.h"
#include "catalog/pg_proc.h"
#include "utils/acl.h"
#define asy_proc_aclcheck(oid, role, mode) object_aclcheck(ProcedureRelationId, oid, role, mode)
#define asy_class_ownercheck(oid, role) object_ownercheck(RelationRelationId, oid, role)
#define asy_server_ownercheck(oid, role) object_ownercheck(ForeignServerRelationId, oid, role)
#endif

/* 16: one setting can be looked up (3057465acf) */
#include "utils/guc_tables.h"
#if PG_VERSION_NUM < 160000
static inline struct config_generic *
find_option(const char *name, bool create_placeholders, bool skip_errors, int elevel)
{
	(void) create_placeholders;
	(void) skip_errors;
	(void) elevel;
	for (int i = 0; i < GetNumConfigOptions(); i++)
		if (strcmp(get_guc_variables()[i]->name, name) == 0)
			return get_guc_variables()[i];
	return NULL;
}
#endif

/* 16: privileges of a statement stand beside its range table (a61b1f748); 18: and what is not pruned (d47cbf474) */
#include "executor/executor.h"
#include "utils/rel.h"
#if PG_VERSION_NUM >= 160000
#include "parser/parse_relation.h"
#endif
/* For an INSERT into that table, its only relation. */
static inline void
asy_init_range_table(EState *estate, Relation rel)
{
	RangeTblEntry *rte = makeNode(RangeTblEntry);
	List	   *table = list_make1(rte);

	rte->rtekind = RTE_RELATION;
	rte->relid = RelationGetRelid(rel);
	rte->relkind = rel->rd_rel->relkind;
	rte->rellockmode = RowExclusiveLock;
#if PG_VERSION_NUM >= 160000
	{
		List	   *privileges = NIL;

		addRTEPermissionInfo(&privileges, rte);
#if PG_VERSION_NUM >= 180000
		ExecInitRangeTable(estate, table, privileges, bms_make_singleton(1));
#else
		ExecInitRangeTable(estate, table, privileges);
#endif
	}
#else
	ExecInitRangeTable(estate, table);
#endif
}

/* 16: what the JSON parser calls says whether to go on */
#include "common/jsonapi.h"
#if PG_VERSION_NUM < 160000
#define asy_json_result void
#define ASY_JSON_GO_ON return
#else
#define asy_json_result JsonParseErrorType
#define ASY_JSON_GO_ON return JSON_SUCCESS
#endif

/* 17: its lexer can be the caller's own */
#if PG_VERSION_NUM < 170000
#define asy_json_lexer(json, len, encoding) makeJsonLexContextCstringLen(json, (int) (len), encoding, true)
#else
#define asy_json_lexer(json, len, encoding) makeJsonLexContextCstringLen(NULL, json, len, encoding, true)
#endif

/* The same for tokens without their text, of UTF-8 */
#if PG_VERSION_NUM < 170000
#define asy_json_scanner(json, len) makeJsonLexContextCstringLen(unconstify(char *, json), (int) (len), PG_UTF8, false)
#else
#define asy_json_scanner(json, len) makeJsonLexContextCstringLen(NULL, json, len, PG_UTF8, false)
#endif

/* 17: a wait has a name of its own (c9af054653) */
#if PG_VERSION_NUM >= 170000
#include "utils/wait_event.h"
#define asy_wait_event(name) WaitEventExtensionNew(name)
#else
#define asy_wait_event(name) PG_WAIT_EXTENSION
#endif

/* 18: noreturn stands before the declaration (28f04984f0) */
#if PG_VERSION_NUM < 180000
#define pg_noreturn __attribute__((noreturn))
#endif

/* 17: a path says which clauses it takes (9e9931d2bf); 18: and whether it is disabled (e222534679) */
#include "optimizer/pathnode.h"
#if PG_VERSION_NUM >= 180000
#define asy_create_joined_foreignscan_path(root, rel, rows, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, 0, startup, total, NIL, outer, NULL, NIL, private)
#define asy_create_foreignscan_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreignscan_path(root, rel, target, rows, 0, startup, total, keys, NULL, NULL, NIL, private)
#define asy_create_foreign_upper_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreign_upper_path(root, rel, target, rows, 0, startup, total, keys, NULL, NIL, private)
#elif PG_VERSION_NUM >= 170000
#define asy_create_joined_foreignscan_path(root, rel, rows, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, NIL, private)
#define asy_create_foreignscan_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreignscan_path(root, rel, target, rows, startup, total, keys, NULL, NULL, NIL, private)
#define asy_create_foreign_upper_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, keys, NULL, NIL, private)
#else
#define asy_create_joined_foreignscan_path(root, rel, rows, startup, total, outer, private) \
	create_foreignscan_path(root, rel, NULL, rows, startup, total, NIL, outer, NULL, private)
#define asy_create_foreignscan_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreignscan_path(root, rel, target, rows, startup, total, keys, NULL, NULL, private)
#define asy_create_foreign_upper_path(root, rel, target, rows, startup, total, keys, private) \
	create_foreign_upper_path(root, rel, target, rows, startup, total, keys, NULL, private)
#endif

/* 16: whose rights a foreign scan has, and a foreign modification (a61b1f748) */
#include "nodes/execnodes.h"
#include "miscadmin.h"
#include "parser/parsetree.h"
static inline Oid
asy_scan_user(ScanState *node, int scanrelid)
{
#if PG_VERSION_NUM >= 160000
	ForeignScan *plan = (ForeignScan *) node->ps.plan;

	(void) scanrelid;
	return OidIsValid(plan->checkAsUser) ? plan->checkAsUser : GetUserId();
#else
	int			rti = scanrelid > 0 ? scanrelid : bms_next_member(((ForeignScan *) node->ps.plan)->fs_relids, -1);
	RangeTblEntry *rte = exec_rt_fetch(rti, node->ps.state);

	return OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}
static inline Oid
asy_modify_user(ResultRelInfo *rri, EState *estate)
{
#if PG_VERSION_NUM >= 160000
	return ExecGetResultRelCheckAsUser(rri, estate);
#else
	RangeTblEntry *rte = rri->ri_RangeTableIndex > 0 ? exec_rt_fetch(rri->ri_RangeTableIndex, estate) : NULL;

	return rte && OidIsValid(rte->checkAsUser) ? rte->checkAsUser : GetUserId();
#endif
}

/* 18: EXPLAIN's headers (c65bc2e1d1) */
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif

/* 18: the module can say its name and version (9324c8c580) */
#if PG_VERSION_NUM >= 180000
#define ASY_MODULE_MAGIC PG_MODULE_MAGIC_EXT(.name = "authsync", .version = AUTHSYNC_VERSION)
#else
#define ASY_MODULE_MAGIC PG_MODULE_MAGIC
#endif

/* 17: asked of the open table */
#include "access/table.h"
#include "catalog/dependency.h"
static inline Oid
asy_identity_sequence(Oid relid, AttrNumber attnum)
{
#if PG_VERSION_NUM >= 170000
	Relation	rel = table_open(relid, AccessShareLock);
	Oid			sequence = getIdentitySequence(rel, attnum, true);

	table_close(rel, AccessShareLock);
	return sequence;
#else
	return getIdentitySequence(relid, attnum, true);
#endif
}

#endif
