-- What psql shows of the face, and the comment of every object.
-- In a database of its own; only commands whose output is the same from version 14 on.
\set home :DBNAME
CREATE DATABASE regress_authsync_face TEMPLATE template0 ENCODING 'UTF8';
ALTER DATABASE regress_authsync_face SET lc_messages = 'C';
\c regress_authsync_face
\set ECHO none
\i test/fixture/auth_schema.sql
\i test/fixture/profiles.sql
\set ECHO all
CREATE EXTENSION authsync;
\d user_events
\d signup_audit_summary
\d auth_profile_mismatch
\d authsync.quarantine
\d authsync.progress
\d authsync.bindings
\d authsync.plans
\df authsync.uid
\df authsync.grant_access
\df authsync.revoke_access
\df ensure_profile_exists
\df backfill_*_profile
\pset format unaligned
SELECT object, comment FROM (
    SELECT pg_describe_object(d.classid, d.objid, 0) AS object, obj_description(d.objid, d.classid::regclass::name) AS comment
      FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
     WHERE e.extname = 'authsync' AND d.deptype = 'e' AND d.classid IN ('pg_proc'::regclass, 'pg_class'::regclass, 'pg_namespace'::regclass)) AS members
 WHERE object NOT LIKE 'sequence %'
 ORDER BY object COLLATE "C";
\pset format aligned
\c :home
DROP DATABASE regress_authsync_face;
