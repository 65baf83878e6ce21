/*
 * rowhash.c
 *	  A hash of a row as it is stored.
 *
 * To tell whether anybody has touched a row since, not against forgery. What
 * a text form would depend on (time zone, date style, a type's own output
 * function) is left out of it by looking at the bytes. Values that hold OIDs
 * (enums) hash differently in a restored copy: there the row counts as changed.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/tupmacs.h"
#include "common/hashfn.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/typcache.h"

#include "compat.h"
#include "ground/rowhash.h"

static uint64
add(uint64 hash, const void *bytes, size_t n)
{
	return hash_bytes_extended(bytes, (int) n, hash);
}

char *
asy_rowhash_of(HeapTupleHeader row)
{
	TupleDesc	desc = lookup_rowtype_tupdesc(HeapTupleHeaderGetTypeId(row), HeapTupleHeaderGetTypMod(row));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(row), .t_data = row};
	Datum	   *values = palloc(sizeof(Datum) * desc->natts);
	bool	   *nulls = palloc(sizeof(bool) * desc->natts);
	uint64		hash = 0;

	ItemPointerSetInvalid(&tuple.t_self);
	heap_deform_tuple(&tuple, desc, values, nulls);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped || nulls[i])
			continue;
		hash = add(hash, NameStr(att->attname), strlen(NameStr(att->attname)) + 1);
		if (att->attlen == -1)
		{
			struct varlena *value = PG_DETOAST_DATUM_PACKED(values[i]);

			hash = add(hash, VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
			if ((Pointer) value != DatumGetPointer(values[i]))
				pfree(value);
		}
		else if (att->attlen == -2)
			hash = add(hash, DatumGetCString(values[i]), strlen(DatumGetCString(values[i])));
		else if (att->attbyval)
			hash = add(hash, &values[i], sizeof(Datum));
		else
			hash = add(hash, DatumGetPointer(values[i]), att->attlen);
	}
	ReleaseTupleDesc(desc);
	pfree(values);
	pfree(nulls);
	return psprintf("%016llx", (unsigned long long) hash);
}
