/*
 * append.c
 *	  Rows into a journal of ours, without SPI.
 *
 * By the functions that write system catalogs, whose tables are as plain as
 * ours: the heap many rows at a time, the indexes row by row.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "executor/tuptable.h"
#include "nodes/execnodes.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "ground/append.h"

/* Rows written at once: one record in the log for each page that they fill. */
#define ROWS_AT_ONCE 500

struct AsyAppend
{
	Relation	rel;
	CatalogIndexState indexes;	/* NULL: none */
	TupleTableSlot *slot[ROWS_AT_ONCE]; /* made as they are needed */
	int			nslots;
	int			n;				/* slots that hold a row */
	MemoryContext scratch;		/* what writing them leaves behind */
};

static AsyAppend *
begin(Relation rel)
{
	AsyAppend  *append = palloc0(sizeof(AsyAppend));

	append->rel = rel;
	append->scratch = CurrentMemoryContext;
	if (rel->rd_rel->relhasindex)
		append->indexes = CatalogOpenIndexes(rel);
	return append;
}

AsyAppend *
asy_append_begin(Oid relid)
{
	return begin(table_open(relid, RowExclusiveLock));
}

AsyAppend *
asy_append_begin_if_plain(Oid relid, int n)
{
	Relation	rel = table_open(relid, RowExclusiveLock);
	bool		plain = rel->rd_rel->relkind == RELKIND_RELATION && RelationGetNumberOfAttributes(rel) == n &&
		rel->trigdesc == NULL && (rel->rd_att->constr == NULL || rel->rd_att->constr->num_check == 0);
	AsyAppend  *append = plain ? begin(rel) : NULL;

	for (int i = 0; append && append->indexes && i < append->indexes->ri_NumIndices; i++)
	{
		const IndexInfo *index = append->indexes->ri_IndexRelationInfo[i];

		plain &= index->ii_Predicate == NIL && index->ii_Expressions == NIL && index->ii_ExclusionOps == NULL &&
			append->indexes->ri_IndexRelationDescs[i]->rd_index->indimmediate;
	}
	if (plain)
		return append;
	if (append)
		asy_append_end(append);
	else
		table_close(rel, NoLock);
	return NULL;
}

static void
write_rows(AsyAppend *append)
{
	MemoryContext old = MemoryContextSwitchTo(append->scratch);

	if (append->indexes)
		CatalogTuplesMultiInsertWithInfo(append->rel, append->slot, append->n, append->indexes);
	else
		heap_multi_insert(append->rel, append->slot, append->n, GetCurrentCommandId(true), 0, NULL);
	MemoryContextSwitchTo(old);
	for (int i = 0; i < append->n; i++)
		ExecClearTuple(append->slot[i]);
	append->n = 0;
}

void
asy_append_row(AsyAppend *append, Datum *values, bool *nulls)
{
	TupleDesc	desc = RelationGetDescr(append->rel);
	HeapTuple	tuple = heap_form_tuple(desc, values, nulls);

	/* Many at a time, the indexes would miss a row that is toasted on its way in. */
	if (append->indexes && tuple->t_len > TOAST_TUPLE_THRESHOLD)
	{
		CatalogTupleInsertWithInfo(append->rel, tuple, append->indexes);
		heap_freetuple(tuple);
		return;
	}
	if (append->n == ROWS_AT_ONCE)
	{
		if (append->scratch == CurrentMemoryContext)
			append->scratch = AllocSetContextCreate(CurrentMemoryContext, "authsync rows", ALLOCSET_DEFAULT_SIZES);
		write_rows(append);
		MemoryContextReset(append->scratch);
	}
	if (append->n == append->nslots)
		append->slot[append->nslots++] = MakeSingleTupleTableSlot(desc, &TTSOpsHeapTuple);
	ExecStoreHeapTuple(tuple, append->slot[append->n++], true);
}

void
asy_append_end(AsyAppend *append)
{
	if (append->n > 0)
		write_rows(append);
	for (int i = 0; i < append->nslots; i++)
		ExecDropSingleTupleTableSlot(append->slot[i]);
	if (append->indexes)
		CatalogCloseIndexes(append->indexes);
	table_close(append->rel, NoLock);
	pfree(append);
}
