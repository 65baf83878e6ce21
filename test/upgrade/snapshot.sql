-- Everything that the catalogs say about the extension authsync, one sorted line a
-- fact, so that two databases can be compared by diff: one installed at a version,
-- one upgraded to it, one restored from a dump.
--
-- Without OIDs, and without the order of columns, which an ADD COLUMN changes and on
-- which nothing may rely. For psql -XAtq.
SET search_path = pg_catalog;
WITH
ext AS (
    SELECT e.* FROM pg_extension AS e WHERE e.extname = 'authsync'
),
members AS (
    SELECT d.classid, d.objid
      FROM pg_depend AS d, ext
     WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = ext.oid AND d.deptype = 'e'
),
relations AS (
    SELECT c.*, c.oid::regclass::text AS name
      FROM pg_class AS c JOIN members AS m ON m.classid = 'pg_class'::regclass AND m.objid = c.oid
),
-- Indexes and owned sequences hang on their tables and are no members themselves.
indexes AS (
    SELECT i.*, r.name FROM pg_index AS i JOIN relations AS r ON r.oid = i.indrelid
),
routines AS (
    SELECT p.*, p.oid::regprocedure::text AS name
      FROM pg_proc AS p JOIN members AS m ON m.classid = 'pg_proc'::regclass AND m.objid = p.oid
),
types AS (
    SELECT t.*, t.oid::regtype::text AS name
      FROM pg_type AS t JOIN members AS m ON m.classid = 'pg_type'::regclass AND m.objid = t.oid
),
schemas AS (
    SELECT n.*, n.nspname::text AS name
      FROM pg_namespace AS n JOIN members AS m ON m.classid = 'pg_namespace'::regclass AND m.objid = n.oid
),
wrappers AS (
    SELECT f.*, f.fdwname::text AS name
      FROM pg_foreign_data_wrapper AS f JOIN members AS m ON m.classid = 'pg_foreign_data_wrapper'::regclass AND m.objid = f.oid
),
-- Ours and, where the extension put them on somebody else's table, those too.
triggers AS (
    SELECT t.* FROM pg_trigger AS t
     WHERE NOT t.tgisinternal
       AND (t.tgrelid IN (SELECT oid FROM relations) OR t.tgfoid IN (SELECT oid FROM routines))
),
acls (kind, name, acl) AS (
    SELECT 'routine', name, COALESCE(proacl, acldefault('f', proowner)) FROM routines
    UNION ALL
    SELECT 'relation', name, COALESCE(relacl, acldefault(CASE relkind WHEN 'S' THEN 's' ELSE 'r' END::"char", relowner)) FROM relations
    UNION ALL
    SELECT 'column', format('%s.%I', r.name, a.attname), a.attacl
      FROM relations AS r JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attacl IS NOT NULL
    UNION ALL
    SELECT 'schema', name, COALESCE(nspacl, acldefault('n', nspowner)) FROM schemas
    UNION ALL
    SELECT 'type', name, COALESCE(typacl, acldefault('T', typowner)) FROM types
    UNION ALL
    SELECT 'wrapper', name, COALESCE(fdwacl, acldefault('F', fdwowner)) FROM wrappers
),
facts (kind, name, fact) AS (
    SELECT 'extension', extname::text, format('version %s, schema %s, owner %s, relocatable %s', extversion, extnamespace::regnamespace, extowner::regrole, extrelocatable)
      FROM ext
    UNION ALL
    SELECT 'dumped', t.relation::regclass::text, COALESCE(NULLIF(t.condition, ''), 'all rows')
      FROM ext, unnest(ext.extconfig, ext.extcondition) AS t (relation, condition)
    UNION ALL
    SELECT 'member', i.identity, i.type
      FROM members AS m, pg_identify_object(m.classid, m.objid, 0) AS i
    UNION ALL
    -- what the extension put onto objects of others, to go with it
    SELECT 'belongs', i.identity, i.type
      FROM ext, pg_depend AS d, pg_identify_object(d.classid, d.objid, d.objsubid) AS i
     WHERE d.refclassid = 'pg_extension'::regclass AND d.refobjid = ext.oid AND d.deptype = 'x'
    UNION ALL
    SELECT 'owner', i.identity, o.role::text
      FROM (SELECT 'pg_proc'::regclass, oid, proowner::regrole FROM routines
            UNION ALL SELECT 'pg_class', oid, relowner FROM relations
            UNION ALL SELECT 'pg_type', oid, typowner FROM types
            UNION ALL SELECT 'pg_namespace', oid, nspowner FROM schemas
            UNION ALL SELECT 'pg_foreign_data_wrapper', oid, fdwowner FROM wrappers) AS o (class, oid, role),
           pg_identify_object(o.class, o.oid, 0) AS i
    UNION ALL
    SELECT 'comment', i.identity, d.description
      FROM pg_description AS d, pg_identify_object(d.classoid, d.objoid, d.objsubid) AS i
     WHERE (d.classoid, d.objoid) IN (SELECT classid, objid FROM members)
        OR (d.classoid = 'pg_extension'::regclass AND d.objoid = (SELECT oid FROM ext))
        OR (d.classoid = 'pg_constraint'::regclass AND d.objoid IN (SELECT c.oid FROM pg_constraint AS c WHERE c.conrelid IN (SELECT oid FROM relations) OR c.contypid IN (SELECT oid FROM types)))
        OR (d.classoid = 'pg_class'::regclass AND d.objoid IN (SELECT indexrelid FROM indexes))
        OR (d.classoid = 'pg_trigger'::regclass AND d.objoid IN (SELECT oid FROM triggers))
        OR (d.classoid = 'pg_policy'::regclass AND d.objoid IN (SELECT p.oid FROM pg_policy AS p WHERE p.polrelid IN (SELECT oid FROM relations)))
    UNION ALL
    SELECT 'right', format('%s %s', a.kind, a.name),
           format('%s: %s%s, from %s', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type,
                  CASE WHEN x.is_grantable THEN ' with grant option' END, x.grantor::regrole)
      FROM acls AS a, aclexplode(a.acl) AS x
    UNION ALL
    -- What pg_dump takes as given by the extension, and so does not repeat. The owner's
    -- own rights stand there or not, as default privileges had it at the time.
    SELECT 'initial right', i.identity,
           format('%s: %s', CASE x.grantee WHEN 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END, x.privilege_type)
      FROM pg_init_privs AS p JOIN members AS m ON (m.classid, m.objid) = (p.classoid, p.objoid),
           pg_identify_object(p.classoid, p.objoid, p.objsubid) AS i, aclexplode(p.initprivs) AS x
     WHERE p.privtype = 'e' AND x.grantee <> x.grantor
    UNION ALL
    SELECT 'routine', name, CASE prokind WHEN 'a' THEN 'aggregate' ELSE pg_get_functiondef(oid) END FROM routines
    UNION ALL
    SELECT 'relation', name,
           format('kind %s, persistence %s, row security %s, forced %s, options %s, replica identity %s, partition of %s, access method %s',
                  relkind, relpersistence, relrowsecurity, relforcerowsecurity, reloptions, relreplident,
                  (SELECT string_agg(inhparent::regclass::text, ' ') FROM pg_inherits WHERE inhrelid = relations.oid),
                  (SELECT amname FROM pg_am WHERE pg_am.oid = relam))
      FROM relations
    UNION ALL
    SELECT 'column', format('%s.%I', r.name, a.attname),
           format('%s%s%s identity %s generated %s default %s statistics %s storage %s options %s',
                  format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN ' NOT NULL' END,
                  ' COLLATE ' || NULLIF(a.attcollation, t.typcollation)::regcollation, NULLIF(a.attidentity, ''), NULLIF(a.attgenerated, ''),
                  pg_get_expr(d.adbin, d.adrelid), COALESCE(a.attstattarget, -1), a.attstorage,
                  -- only what ALTER TABLE can set; a server may keep marks of its own there
                  (SELECT string_agg(o, ' ' ORDER BY o) FROM unnest(a.attoptions) AS o WHERE o LIKE 'n\_distinct%'))
      FROM relations AS r
      JOIN pg_attribute AS a ON a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
      JOIN pg_type AS t ON t.oid = a.atttypid
      LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    UNION ALL
    SELECT 'constraint', format('%s.%I', COALESCE(r.name, t.name), c.conname),
           format('%s%s', pg_get_constraintdef(c.oid), CASE WHEN NOT c.convalidated THEN ' (not validated)' END)
      FROM pg_constraint AS c LEFT JOIN relations AS r ON r.oid = c.conrelid LEFT JOIN types AS t ON t.oid = c.contypid
     WHERE r.oid IS NOT NULL OR t.oid IS NOT NULL
    UNION ALL
    SELECT 'index', i.indexrelid::regclass::text,
           format('%s, valid %s, clustered %s, replica identity %s', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisclustered, i.indisreplident)
      FROM indexes AS i
    UNION ALL
    SELECT 'sequence', r.name,
           format('%s start %s step %s from %s to %s cache %s cycle %s, of %s', format_type(s.seqtypid, NULL), s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
                  (SELECT format('%s.%s', d.refobjid::regclass, a.attname) FROM pg_depend AS d
                     JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = r.oid AND d.deptype IN ('a', 'i') AND d.refclassid = 'pg_class'::regclass))
      FROM relations AS r JOIN pg_sequence AS s ON s.seqrelid = r.oid
    UNION ALL
    SELECT 'statistics', s.stxname::text, pg_get_statisticsobjdef(s.oid)
      FROM pg_statistic_ext AS s WHERE s.stxrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT 'trigger', format('%s on %s', t.tgname, t.tgrelid::regclass), format('%s, enabled %s', pg_get_triggerdef(t.oid), t.tgenabled)
      FROM triggers AS t
    UNION ALL
    SELECT 'event trigger', e.evtname::text, format('%s %s %s enabled %s', e.evtevent, e.evtfoid::regprocedure, e.evttags, e.evtenabled)
      FROM pg_event_trigger AS e WHERE e.evtfoid IN (SELECT oid FROM routines)
    UNION ALL
    SELECT 'rule', format('%s on %s', w.rulename, r.name), pg_get_ruledef(w.oid)
      FROM pg_rewrite AS w JOIN relations AS r ON r.oid = w.ev_class
    UNION ALL
    SELECT 'policy', format('%s on %s', p.polname, r.name),
           format('%s %s to %s using %s check %s', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END, p.polcmd,
                  (SELECT string_agg(CASE o WHEN 0 THEN 'PUBLIC' ELSE o::regrole::text END, ', ' ORDER BY o::regrole::text) FROM unnest(p.polroles) AS o),
                  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
      FROM pg_policy AS p JOIN relations AS r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'label', format('%s.%s', t.name, e.enumlabel),
           format('number %s', row_number() OVER (PARTITION BY t.oid ORDER BY e.enumsortorder))
      FROM types AS t JOIN pg_enum AS e ON e.enumtypid = t.oid
    UNION ALL
    SELECT 'type', name, format('kind %s, base %s, not null %s, default %s, collation %s', typtype, format_type(NULLIF(typbasetype, 0), typtypmod), typnotnull, typdefault, NULLIF(typcollation, 0)::regcollation)
      FROM types
    UNION ALL
    SELECT 'wrapper', name, format('handler %s, validator %s, options %s', NULLIF(fdwhandler, 0)::regprocedure, NULLIF(fdwvalidator, 0)::regprocedure, fdwoptions)
      FROM wrappers
)
SELECT format('%s %s: %s', kind, name, replace(COALESCE(fact, ''), E'\n', '\n')) COLLATE "C" AS line
  FROM facts
 ORDER BY line;
