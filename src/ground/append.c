/*
 * append.c
 *	  Rows into a journal of ours, without SPI.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/hio.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/pg_class.h"
#include "nodes/execnodes.h"
#include "utils/rel.h"

#include "ground/append.h"

struct AsyAppend
{
	Relation	rel;
	CatalogIndexState indexes;	/* NULL: none */
	BulkInsertState bulk;		/* from the second row on */
	int64		n;
};

static AsyAppend *
begin(Relation rel)
{
	AsyAppend  *append = palloc0(sizeof(AsyAppend));

	append->rel = rel;
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

void
asy_append_row(AsyAppend *append, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(append->rel), values, nulls);

	if (append->n++ == 1)
		append->bulk = GetBulkInsertState();
	if (append->indexes)
		CatalogTupleInsertWithInfo(append->rel, tuple, append->indexes);
	else
		heap_insert(append->rel, tuple, GetCurrentCommandId(true), 0, append->bulk);
	heap_freetuple(tuple);
}

void
asy_append_end(AsyAppend *append)
{
	if (append->indexes)
		CatalogCloseIndexes(append->indexes);
	if (append->bulk)
		FreeBulkInsertState(append->bulk);
	table_close(append->rel, NoLock);
	pfree(append);
}
