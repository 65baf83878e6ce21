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
#include "utils/rel.h"

#include "ground/append.h"

struct AsyAppend
{
	Relation	rel;
	BulkInsertState bulk;		/* from the second row on */
	int64		n;
};

AsyAppend *
asy_append_begin(Oid relid)
{
	AsyAppend  *append = palloc0(sizeof(AsyAppend));

	append->rel = table_open(relid, RowExclusiveLock);
	return append;
}

void
asy_append_row(AsyAppend *append, Datum *values, bool *nulls)
{
	HeapTuple	tuple = heap_form_tuple(RelationGetDescr(append->rel), values, nulls);

	if (append->n++ == 1)
		append->bulk = GetBulkInsertState();

	/* Ours have no index; one that somebody gave them is served all the same. */
	if (append->rel->rd_rel->relhasindex)
		CatalogTupleInsert(append->rel, tuple);
	else
		heap_insert(append->rel, tuple, GetCurrentCommandId(true), 0, append->bulk);
	heap_freetuple(tuple);
}

void
asy_append_end(AsyAppend *append)
{
	if (append->bulk)
		FreeBulkInsertState(append->bulk);
	table_close(append->rel, NoLock);
	pfree(append);
}
