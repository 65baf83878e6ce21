#!/usr/bin/env bash
# Runs what the documents say, against the server that PGHOST, PGPORT and PGUSER (a superuser) name; prints TAP.
#
# Each ```sql block of a document is one assertion: it succeeds (```sql fails: it fails). Where a block without a language
# follows, that is what it prints (what it complains, if it fails), and is compared. A document's blocks run in order in a fresh
# database with the auth server's tables, a profiles table and a few people, not all of them in step.
# Besides: relative links lead somewhere, and the reference names every object.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
db=authsync_readme_$$
role=grafana		# the one role that the documents make
count=0
failed=0
unset PGDATABASE PGOPTIONS
export PGTZ=UTC PGDATESTYLE='ISO, MDY'

clean_up() {
	psql -Xqd postgres -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" >/dev/null 2>&1 || true
	[ ! -e "$work/role" ] || psql -Xqd postgres -c "DROP ROLE IF EXISTS $role" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean_up EXIT

if [ -n "$(psql -XqAtd postgres -c "SELECT FROM pg_roles WHERE rolname = '$role'")" ]; then
	echo "Bail out! role $role exists already"
	exit 1
fi
touch "$work/role"

status() {		# COMMAND ...: 0 or 1, for tap
	if "$@"; then echo 0; else echo 1; fi
}

tap() {		# RESULT NAME [FILE ...]: the files say more, if it is not ok
	local result=$1 name=$2
	shift 2
	count=$((count + 1))
	if [ "$result" -eq 0 ]; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		[ $# -eq 0 ] || sed 's/^/# /' "$@"
	fi
}

prepare() {
	psql -Xqd postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" \
		-c "DROP ROLE IF EXISTS $role" -c "CREATE DATABASE $db TEMPLATE template0 ENCODING 'UTF8'"
	psql -Xqd "$db" -v ON_ERROR_STOP=1 -f test/fixture/auth_schema.sql -f test/fixture/profiles.sql -f - >/dev/null <<'SQL'
SET session_replication_role = replica;
INSERT INTO auth.users (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
                        email_confirmed_at, confirmation_token, recovery_token, email_change, email_change_token_new)
SELECT '00000000-0000-0000-0000-000000000000', ('a0000000-0000-4000-8000-00000000000' || n)::uuid, 'authenticated', 'authenticated',
       name || '@example.com', '{"provider": "email", "providers": ["email"]}', jsonb_build_object('display_name', initcap(name)),
       at, at, at, '', '', '', ''
  FROM (SELECT n, name, now() - make_interval(days => 40 - n::int) AS at
          FROM unnest('{ana,ben,chloe,dora,eve}'::text[]) WITH ORDINALITY AS p(name, n)) AS people;
INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
SELECT id, id, jsonb_build_object('sub', id, 'email', email), 'email', created_at, updated_at FROM auth.users;
INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at)
SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(),
       json_build_object('action', 'user_signedup', 'actor_id', id, 'actor_username', email, 'log_type', 'team'), created_at FROM auth.users;
INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at)
SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), json_build_object('action', action, 'actor_id', actor, 'actor_username', who,
           'log_type', 'team', 'traits', json_build_object('user_id', subject, 'user_email', who)), now() - make_interval(days => days)
  FROM (VALUES ('user_signedup', 'a0000000-0000-4000-8000-000000000009', 'gone@example.com', 'a0000000-0000-4000-8000-000000000009', 50),
               ('user_deleted', '00000000-0000-0000-0000-000000000000', 'gone@example.com', 'a0000000-0000-4000-8000-000000000009', 45),
               ('user_signedup', 'a0000000-0000-4000-8000-000000000008', 'fred@example.com', 'a0000000-0000-4000-8000-000000000008', 60))
           AS entry (action, actor, who, subject, days);
INSERT INTO public.profiles (id, email, display_name) VALUES
    ('a0000000-0000-4000-8000-000000000001', 'ana@example.com', 'Ana'),
    ('a0000000-0000-4000-8000-000000000004', 'dora@before.example', 'Dora'),
    ('a0000000-0000-4000-8000-000000000005', 'Eve@example.com', 'Eve'),
    ('a0000000-0000-4000-8000-000000000009', 'gone@example.com', 'Gone');
SQL
}

# blocks DOCUMENT: leaves N.sql, N.line, and N.fails and N.expected where there are.
blocks() {
	rm -f "$work"/*.sql "$work"/*.line "$work"/*.fails "$work"/*.expected
	awk -v dir="$work" '
		function begin(kind) { inside = kind; file = dir "/" n "." kind; printf "" >file }
		/^```/ && inside { close(file); after = inside == "sql"; inside = ""; next }
		/^```sql$/ || /^```sql fails$/ {
			n++
			print NR >(dir "/" n ".line"); close(dir "/" n ".line")
			if ($2 == "fails") { print "" >(dir "/" n ".fails"); close(dir "/" n ".fails") }
			begin("sql"); next
		}
		/^```$/ && after { begin("expected"); next }
		/^```/ { inside = "other"; file = "/dev/null"; next }
		inside { print >file; next }
		/[^ \t]/ { after = 0 }
	' "$1"
}

run_block() {		# DOCUMENT N
	local name status=0
	name="$1:$(cat "$work/$2.line"): $(grep -m 1 . "$work/$2.sql")"
	psql -Xqd "$db" -v ON_ERROR_STOP=1 -f - <"$work/$2.sql" 2>&1 >"$work/out" | sed -E 's/^psql:<stdin>:[0-9]+: //' >"$work/err" || status=1
	if [ -e "$work/$2.fails" ]; then
		tap $((1 - status)) "$name" "$work/out" "$work/err"
		cp "$work/err" "$work/out"
	else
		tap "$status" "$name" "$work/out" "$work/err"
	fi
	if [ -e "$work/$2.expected" ]; then
		status=0
		diff -uBZ --label document --label server "$work/$2.expected" "$work/out" >"$work/diff" || status=1
		tap "$status" "$name: what it prints" "$work/diff" "$work/err"
	fi
}

for document in README.md doc/authsync.md doc/providers.md; do
	prepare
	blocks "$document"
	n=1
	while [ -e "$work/$n.sql" ]; do
		run_block "$document" "$n"
		n=$((n + 1))
	done
	tap "$(status [ "$n" -gt 1 ])" "$document has examples"
done

# ---- The reference names every object, the set of settings is the library's

psql -XqAtd "$db" -c 'SET client_min_messages = error; CREATE EXTENSION IF NOT EXISTS authsync' -c "SELECT authsync.uid()" >/dev/null
members="SELECT pg_describe_object(classid, objid, 0), coalesce(p.proname, c.relname)
           FROM pg_depend AS d LEFT JOIN pg_proc AS p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
           LEFT JOIN pg_class AS c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid AND c.relkind IN ('r', 'v')
          WHERE d.deptype = 'e' AND d.refobjid = (SELECT oid FROM pg_extension WHERE extname = 'authsync')
            AND coalesce(p.proname, c.relname) IS NOT NULL
         UNION ALL SELECT 'setting ' || name, name FROM pg_settings WHERE name LIKE 'authsync.%'
         ORDER BY 1"
psql -XqAt -F '|' -d "$db" -c 'LOAD '"'authsync'" -c "$members" >"$work/members"
while IFS='|' read -r what name; do
	tap "$(grep -qE "(^|[^a-z_])${name//./\\.}([^a-z_]|\$)" doc/authsync.md; echo $?)" "doc/authsync.md: $what"
done <"$work/members"
tap "$(status [ "$(wc -l <"$work/members")" -gt 30 ])" 'objects were found'

# ---- and every check of lint

grep -hoE '^[[:space:]]*\{"[a-z_]+", "(error|warning|info)"' src/sync/lint_*.c | cut -d '"' -f 2 >"$work/checks"
tap "$([ "$(wc -l <"$work/checks")" -gt 30 ]; echo $?)" 'checks were found'
while read -r name; do
	tap "$(grep -qF "\`$name\`" doc/authsync.md; echo $?)" "doc/authsync.md: check $name"
done <"$work/checks"

# ---- Links, and the files that CONTRIBUTING names

while IFS=: read -r document target; do
	tap "$([ -e "$(dirname "$document")/${target%%#*}" ]; echo $?)" "$document: link to $target"
done < <(grep -oHE '\]\([^):#][^):]*\)' ./*.md doc/*.md | sed -E 's/\]\(([^)]*)\)/\1/')
while read -r file; do
	tap "$([ -e "$file" ]; echo $?)" "CONTRIBUTING.md: $file"
done < <(sed '1,/^## Where is/d' CONTRIBUTING.md | tr '`' '\n' | grep -xE '[a-z]+/[a-z0-9_./]+' | LC_ALL=C sort -u)

echo "1..$count"
[ "$failed" -eq 0 ]
