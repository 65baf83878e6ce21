#!/usr/bin/env bash
# The command line, against the server that PGHOST, PGPORT and PGUSER (a superuser) name; prints TAP.
# Makes its own databases and one role, and drops them.
# shellcheck disable=SC2016    # what is in single quotes is Perl, and its variables too
set -euo pipefail
cd "$(dirname "$0")/.."

cli=$PWD/bin/authsync
work=$(mktemp -d)
db=authsync_cli_$$
reader=authsync_cli_reader_$$
count=0
failed=0
unset SUPABASE_DB_URL DATABASE_URL PGDATABASE PGPASSWORD PGSERVICE

clean_up() {
	wait
	for name in "$db" "${db}_bare" "${db}_odd"; do
		psql -Xqd postgres -c "DROP DATABASE IF EXISTS $name WITH (FORCE)" >/dev/null 2>&1 || true
	done
	psql -Xqd postgres -c "DROP ROLE IF EXISTS $reader" >/dev/null 2>&1 || true
	rm -rf "$work"
}
trap clean_up EXIT

ok() {		# NAME COMMAND ...: the command's success is the assertion
	local name=$1
	shift
	count=$((count + 1))
	if "$@" >"$work/why" 2>&1; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		{ echo "asserted: $*"; cat "$work/why"; echo "status $status"; cat "$work/out" "$work/err"; } | sed 's/^/# /'
	fi
}

run() {		# ARGUMENTS ...: as a job, without a terminal
	status=0
	"$cli" "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
}

on_terminal() {		# INPUT ARGUMENTS ...: on a terminal, on which INPUT is typed
	local input=$1
	shift
	status=0
	: >"$work/err"
	{ sleep 0.5; printf '%s\n' "$input"; sleep 0.5; } | TERM=dumb script -qec "$(printf '%q ' "$cli" "$@")" /dev/null >"$work/out" || status=$?
}

status_is() { [ "$status" -eq "$1" ]; }
said() { grep -qF -- "$1" "$work/out"; }
complained() { grep -qF -- "$1" "$work/err"; }
silent() { [ ! -s "$work/out" ]; }
not() { ! "$@"; }
sql() { psql -XqAtd "$db" -v ON_ERROR_STOP=1 -c "$1"; }
sql_is() { [ "$(sql "$1")" = "$2" ]; }

json() {	# PERL: true of the object in $d
	perl -MJSON::PP -0777 -e '$d = decode_json(<STDIN>); exit !('"$1"')' <"$work/out"
}

users() {	# FROM TO: users without profiles, as an accident leaves them
	sql "SET session_replication_role = replica;
	     INSERT INTO auth.users (instance_id, id, aud, role, email, raw_app_meta_data, raw_user_meta_data, created_at, updated_at,
	                             confirmation_token, recovery_token, email_change, email_change_token_new)
	     SELECT '00000000-0000-0000-0000-000000000000', ('00000000-0000-4000-a000-' || lpad(n::text, 12, '0'))::uuid, 'authenticated',
	            'authenticated', 'user' || n || '@mail.example', '{}', jsonb_build_object('display_name', 'User ' || n), now(), now(), '', '', '', ''
	       FROM generate_series($1, $2) AS n"
}

make_database() {
	psql -Xqd postgres -c "CREATE DATABASE $1 TEMPLATE template0 ENCODING 'UTF8'"
	psql -Xqd "$1" -v ON_ERROR_STOP=1 -f test/fixture/auth_schema.sql -f test/fixture/profiles.sql >/dev/null
}

status=0
touch "$work/out" "$work/err"

# ---- Words that are not understood

run help
ok 'help: status' status_is 0
ok 'help: says what there is' said 'authsync diagnose'
run --version
ok '--version is the extension'"'"'s' said "authsync $(sed -n "s/^default_version *= *'\(.*\)'/\1/p" authsync.control)"
run
ok 'no command: status' status_is 2
ok 'no command: hint' complained 'authsync help'
run polish
ok 'unknown command: status' status_is 2
ok 'unknown command: named' complained 'unknown command: polish'
run lint --polish
ok 'unknown option: status' status_is 2
ok 'unknown option: named' complained 'unknown option: --polish'
run lint --apply
ok 'option of another command: status' status_is 2
run lint --json=yes
ok 'value for a flag: status' status_is 2
run diagnose --max-rows many
ok 'no number: status' status_is 2
run lint --dbname
ok 'no value: status' status_is 2
run lint one two three
ok 'too many words: status' status_is 2

# ---- Could not tell

PGHOST=$work run lint
ok 'no server: status' status_is 2
ok 'no server: nothing on standard output' silent
ok 'no server: says so' complained 'connection to server'
psql -Xqd postgres -c "CREATE DATABASE ${db}_bare TEMPLATE template0 ENCODING 'UTF8'"
for command in diagnose backfill lint setup status monitor; do
	run "$command" "${db}_bare"
	ok "$command without the extension: status" status_is 2
	ok "$command without the extension: hint" complained 'CREATE EXTENSION authsync'
done
psql -Xqd "${db}_bare" -c 'SET client_min_messages = error; CREATE EXTENSION authsync'
for command in diagnose backfill status monitor; do
	run "$command" --json "${db}_bare"
	ok "$command unbound: status" status_is 2
	ok "$command unbound: nothing on standard output" silent
	ok "$command unbound: hint" complained 'authsync.setup()'
done

# ---- Connection strings, seen by a psql that only says what it was given

mkdir "$work/fake"
printf '#!/bin/sh\nfor word; do case $word in --dbname=*) echo "$word" ;; esac; done >%q\necho "$PGPASSWORD" >>%q\nexit 2\n' \
	"$work/given" "$work/given" >"$work/fake/psql"
chmod +x "$work/fake/psql"

given() {	# NAME URL DBNAME PASSWORD: URL becomes that argument and that password
	: >"$work/given"
	PATH=$work/fake:$PATH DATABASE_URL=$2 run lint
	ok "$1" diff <(printf -- '--dbname=%s\n%s\n' "$3" "$4") "$work/given"
	: >"$work/given"
	PATH=$work/fake:$PATH run lint -d "$2"
	ok "$1, as an argument" diff <(printf -- '--dbname=%s\n%s\n' "$3" "$4") "$work/given"
}
given 'URI' 'postgresql://u:pw@h:1/d' 'postgresql://u@h:1/d' 'pw'
given 'URI, escapes' 'postgres://u:a%40b%2Fc%25%5C@h/d?sslmode=require' 'postgres://u@h/d?sslmode=require' "a@b/c%\\"
given 'URI, password as a parameter' 'postgresql://h/d?user=u&p%61ssword=p%26w&connect_timeout=3' 'postgresql://h/d?user=u&connect_timeout=3' 'p&w'
given 'URI without password' 'postgresql://u@h/d' 'postgresql://u@h/d' ''
given 'URI with several hosts' 'postgresql://u:p:w@h1:1,[::1]:2/d' 'postgresql://u@h1:1,[::1]:2/d' 'p:w'
given 'pairs' "host=h password = 'a b\\'c' user=u" 'host=h user=u ' "a b'c"
given 'pairs, unquoted' 'password=a\ b dbname=d' 'dbname=d ' 'a b'
given 'name' 'shop' 'shop' ''

refused() {		# NAME URL
	: >"$work/given"
	PATH=$work/fake:$PATH DATABASE_URL=$2 run lint
	ok "$1: status" status_is 2
	ok "$1: psql is not started" test ! -s "$work/given"
	ok "$1: the password is not said" not complained 'hush'
}
refused 'raw @' 'postgresql://u:hush@hush@h/d'
refused 'raw /' 'postgresql://u:hush/hush@h/d'
refused 'raw ?' 'postgresql://u:hush?hush@h/d'
refused 'raw %' 'postgresql://u:hush%zz@h/d'
refused 'another scheme' 'postgresql+driver://u:hush@h/d'
refused 'no scheme' 'u:hush@h/d'
refused 'no scheme, parameters' 'u:hush@h/d?sslmode=require'
refused 'half a quote' "host=h password='hush"
refused 'sslpassword' 'postgresql://h/d?sslpassword=hush'

PATH=$work/fake:$PATH SUPABASE_DB_URL=postgresql://first/d DATABASE_URL=postgresql://second/d run lint
ok 'SUPABASE_DB_URL comes before DATABASE_URL' grep -qF 'first' "$work/given"
PATH=$work/fake:$PATH SUPABASE_DB_URL=postgresql://first/d run lint shop
ok 'an argument comes before both' grep -qx -- '--dbname=shop' "$work/given"

# ---- A database that has drifted: three without profile, one with another address, one profile left behind

make_database "$db"
sql 'SET client_min_messages = error; CREATE EXTENSION authsync'
export PGDATABASE=$db

run diagnose
ok 'diagnose in step: status' status_is 0
ok 'diagnose in step: says so' said 'in step'
run monitor
ok 'monitor in step: status' status_is 0
run status
ok 'status in step: status' status_is 0
ok 'status: users' said 'auth.users'
ok 'status: mode' grep -qE '^mode +safe' "$work/out"
ok 'status: trigger' said 'on_auth_user_created on auth.users'
run lint
ok 'lint on a sound database: status' status_is 0

users 1 4
sql "SET session_replication_role = replica;
     INSERT INTO public.profiles (id, email) VALUES ('00000000-0000-4000-a000-000000000004', 'before@mail.example'),
                                                    ('00000000-0000-4000-a000-000000000005', 'left@mail.example')"

run diagnose
ok 'diagnose: status' status_is 1
ok 'diagnose: what mends missing profiles' said 'mend: SELECT public.backfill_user_profile('"'00000000-0000-4000-a000-000000000003'"');'
ok 'diagnose: what mends an address' said 'mend: SELECT public.resync_profiles(dry_run => false);'
ok 'diagnose: backfill' said 'authsync backfill --apply'
ok 'diagnose: lint' said 'Lint'
sql 'SELECT public.resync_profiles(dry_run => false)' >/dev/null
ok 'the line to paste mends' sql_is "SELECT email FROM public.profiles WHERE id = '00000000-0000-4000-a000-000000000004'" 'user4@mail.example'
run diagnose --json --max-rows 2
ok 'diagnose --json' json '$d->{command} eq "diagnose" && $d->{exit_status} == 1 && @{$d->{mismatches}} == 2 && $d->{health}{drift_total} == 4 && @{$d->{counts}} == 9 && ref $d->{lint}'
ok 'diagnose --json is one line' test "$(wc -l <"$work/out")" -eq 1
run monitor
ok 'monitor: status' status_is 1
ok 'monitor: health' grep -qE '^health_percentage +25' "$work/out"
run monitor --json --since '2 days'
ok 'monitor --json' json '$d->{exit_status} == 1 && $d->{health}{signups_missing_profiles} == 3'
run monitor --since never
ok 'an interval that is none: status' status_is 2
run status --json
ok 'status --json' json '$d->{exit_status} == 1 && $d->{binding}{mode} eq "safe" && @{$d->{triggers}} && ref $d->{progress} && $d->{health}{drift_total} == 4'

# ---- Backfill

run backfill
ok 'backfill, dry: status' status_is 1
ok 'backfill, dry: says how many' said 'Would backfill 3 profiles'
ok 'backfill, dry: nothing is changed' sql_is 'SELECT count(*) FROM public.profiles' 2
run backfill --json
ok 'backfill --json, dry' json '$d->{exit_status} == 1 && $d->{result}{dry_run} && $d->{result}{total_missing} == 3'
run backfill --apply
ok 'backfill --apply of a job that does not say --yes: status' status_is 2
ok 'backfill --apply of a job that does not say --yes: hint' complained '--yes'
run setup --apply
ok 'setup --apply of a job that does not say --yes: status' status_is 2
on_terminal n backfill --apply
ok 'backfill, no: status' status_is 1
ok 'backfill, no: asked' said 'Would backfill 3 profiles'
ok 'backfill, no: says that nothing was changed' said 'nothing was changed'
ok 'backfill, no: nothing was changed' sql_is 'SELECT count(*) FROM public.profiles' 2
run backfill --apply --yes --max-users 1 --json
ok 'backfill --max-users: what remains is drift' status_is 1
ok 'backfill --max-users: the rest remains' json '$d->{result}{processed} == 1 && $d->{result}{remaining} == 2 && @{$d->{verify}} == 3'

sql "ALTER TABLE public.profiles ADD CONSTRAINT no_user_2 CHECK (email <> 'user2@mail.example')"
on_terminal y backfill --apply
ok 'backfill, yes, one bad row: status' status_is 1
ok 'backfill, yes, one bad row: its constraint' said 'no_user_2'
ok 'backfill, yes, one bad row: the others are made' sql_is "SELECT count(*) FROM public.auth_profile_mismatch WHERE status = 'auth_only'" 1
run diagnose
ok 'diagnose: the error' said '23514'
ok 'diagnose: the quarantine' said 'of no_user_2'
sql 'ALTER TABLE public.profiles DROP CONSTRAINT no_user_2'
sql "SET session_replication_role = replica; DELETE FROM public.profiles WHERE email = 'left@mail.example'"
run backfill --apply --yes
ok 'backfill, all made: status' status_is 0
ok 'backfill: verifies afterwards' said '0 users missing profiles'
run diagnose
ok 'diagnose afterwards: status' status_is 0

# Six batches of a quarter of a second: time enough for the bar.
sql "CREATE FUNCTION public.slowly() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.3); RETURN NULL; END';
     CREATE TRIGGER slowly AFTER INSERT ON public.profiles EXECUTE FUNCTION public.slowly()"
users 101 160
on_terminal y backfill --apply --batch-size 10
ok 'backfill on a terminal: status' status_is 0
ok 'backfill on a terminal: bar' grep -qE '\[#+ +\] [1-5]0 of 60' "$work/out"
users 201 230
run backfill --apply --yes --batch-size 10
ok 'backfill of a job: no bar' not said '['

# ---- What others may write reaches no terminal as it is

sql "INSERT INTO auth.users (instance_id, id, aud, role, email, created_at, updated_at)
     VALUES ('00000000-0000-0000-0000-000000000000', '00000000-0000-4000-a000-000000000301', 'authenticated', 'authenticated', E'\\x1b[2Ja@x', now(), now());
     SET session_replication_role = replica; DELETE FROM public.profiles WHERE id = '00000000-0000-4000-a000-000000000301'"
run diagnose
ok 'no escape sequence is printed' not grep -q "$(printf '\033')" "$work/out"
ok 'the rest of the address is' said '[2Ja@x'
run diagnose --json
ok 'nor in JSON, where it is escaped' json '$d->{mismatches}[0]{auth_email} eq "\x1b[2Ja\@x"'
sql "DELETE FROM auth.users WHERE id = '00000000-0000-4000-a000-000000000301'"

# ---- The log

run backfill --log-dir "$work/log" --json
run lint --log-dir "$work/log"
logfile=$work/log/authsync-$(date +%F).log
ok 'log: its name' test -f "$logfile"
ok 'log: for its owner only' test "$(stat -c %a "$logfile")" = 600
ok 'log: both runs' test "$(grep -cE '^[0-9-]+T[0-9:]+[+-][0-9]+ exit status 0$' "$logfile")" -eq 2
ok 'log: what was printed' grep -qF '"total_missing": 0' "$logfile"
PGHOST=$work run lint --log-dir "$work/log"
ok 'log: what was complained' grep -qF 'connection to server' "$logfile"
run lint --log-dir /proc/nowhere
ok 'log that cannot be written: status' status_is 2

# ---- Lint and setup

sql 'ALTER TABLE auth.users DISABLE TRIGGER on_auth_user_created'
run lint
ok 'lint, an error: status' status_is 1
ok 'lint, an error: its mend' said 'mend: ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created'
run lint --json
ok 'lint --json' json '$d->{exit_status} == 1 && grep { $_->{severity} eq "error" } @{$d->{lint}}'
run setup
ok 'setup, an error stands: status' status_is 1
sql 'ALTER TABLE auth.users ENABLE TRIGGER on_auth_user_created'
run setup
ok 'setup, dry: status' status_is 0
ok 'setup, dry: keeps' said 'kept'
run setup --mode off
ok 'setup --mode, dry: nothing is changed' sql_is 'SELECT DISTINCT mode FROM authsync.bindings' safe
on_terminal n setup --apply --mode off
ok 'setup --apply, no: nothing is changed' sql_is 'SELECT DISTINCT mode FROM authsync.bindings' safe
run setup --apply --yes --mode strict --columns '{"display_name": "user_metadata.nick"}' --users auth.users --profiles public.profiles --json
ok 'setup --apply: status' status_is 0
ok 'setup --json' json '!$d->{dry_run} && @{$d->{steps}} && ref $d->{lint}'
run status --json
ok 'setup --apply: is set' json '$d->{binding}{mode} eq "strict" && $d->{binding}{columns}{display_name} eq "user_metadata.nick"'
run setup --columns '{"display_name"'
ok 'setup, broken JSON: status' status_is 2
run setup --profiles nowhere.profiles
ok 'setup, no such table: status' status_is 2
run setup --mode lenient
ok 'setup, no such mode: status' status_is 2

# Tables that come after the extension.
psql -Xqd "${db}_bare" -v ON_ERROR_STOP=1 -f test/fixture/auth_schema.sql -f test/fixture/profiles.sql >/dev/null
run setup -d "${db}_bare"
ok 'setup of an unbound database, dry: would' said 'would'
ok 'setup of an unbound database, dry: an error stands' status_is 1
run status "${db}_bare"
ok 'setup of an unbound database, dry: still unbound' status_is 2
run setup --apply --yes -d "${db}_bare"
ok 'setup --apply of an unbound database: status' status_is 0
run status "${db}_bare"
ok 'setup --apply of an unbound database: bound' status_is 0

# ---- Another schema, another role

make_database "${db}_odd"
psql -Xqd "${db}_odd" -c 'SET client_min_messages = error' -c 'CREATE SCHEMA "My Face"' -c 'CREATE EXTENSION authsync SCHEMA "My Face"'
for command in diagnose backfill lint setup status monitor; do
	run "$command" --json "${db}_odd"
	ok "$command where the face is elsewhere" status_is 0
	ok "$command where the face is elsewhere: JSON" json '$d->{exit_status} == 0'
done

psql -Xqd postgres -c "CREATE ROLE $reader LOGIN"
sql "SELECT missing_grant FROM authsync.grant_access('$reader', 'reader') WHERE missing_grant ~ 'USAGE ON SCHEMA public'" >"$work/missing"
sql "$(cat "$work/missing")"
for command in diagnose lint status monitor; do
	run "$command" -U "$reader"
	ok "$command as a reader" status_is 0
done
run backfill -U "$reader"
ok 'backfill as a reader: status' status_is 2
ok 'backfill as a reader: says why' complained 'permission denied for function backfill_all_missing_profiles'
sql "SELECT * FROM authsync.grant_access('$reader', 'operator')" >/dev/null
for command in 'backfill' 'backfill --apply --yes'; do
	# shellcheck disable=SC2086
	run $command -U "$reader"
	ok "$command as an operator" status_is 0
done

# ---- Following, and being stopped

status=0
timeout 5 "$cli" status --follow --json >"$work/out" 2>"$work/err" </dev/null || status=$?
ok 'status --follow looks again and again' test "$(grep -c '^{"command" : "status"' "$work/out")" -ge 2

# ---- A password that must be seen nowhere

# The pattern stands in a file, for grep's own command line is looked at as well.
od -An -N12 -tx1 /dev/urandom | tr -d ' \n' >"$work/secret"
secret=$(cat "$work/secret")
url="postgresql://$PGUSER:$secret@/$db?host=${PGHOST//\//%2F}&port=$PGPORT"

watch_processes() {		# who shows the secret, who is psql, for a second
	rm -f "$work/shown" "$work/seen"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		grep -lasF -f "$work/secret" /proc/[0-9]*/cmdline >>"$work/shown" || true
		grep -las -e --no-psqlrc /proc/[0-9]*/cmdline >>"$work/seen" || true
		sleep 0.1
	done
}

sh -c 'sleep 2; :' "$secret" &
watch_processes
ok 'the watch sees a secret on a command line' test -s "$work/shown"
wait

# While somebody holds the users table, a look has to wait, and can be looked at.
held() {	# ARGUMENTS ...
	psql -Xq -c 'BEGIN; LOCK TABLE auth.users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3)' >/dev/null &
	until sql_is "SELECT count(*) FROM pg_locks WHERE relation = 'auth.users'::regclass AND mode = 'AccessExclusiveLock' AND granted" 1; do sleep 0.05; done
	status=0
	"$cli" "$@" >"$work/out" 2>"$work/err" </dev/null &
	local job=$!
	sleep 0.5
	watch_processes
	wait "$job" || status=$?
	wait
}
DATABASE_URL=$url held monitor --log-dir "$work/log"
ok 'password in DATABASE_URL: it connects' status_is 0
ok 'password in DATABASE_URL: psql was seen' test -s "$work/seen"
ok 'password in DATABASE_URL: on no command line' test ! -s "$work/shown"
cp "$work/out" "$work/all"
cat "$work/err" >>"$work/all"
held monitor --dbname "$url" --log-dir "$work/log"
ok 'password in an argument: it connects' status_is 0
ok 'password in an argument: psql was seen' test -s "$work/seen"
ok 'password in an argument: soon on no command line' test ! -s "$work/shown"
cat "$work/out" "$work/err" >>"$work/all"
DATABASE_URL=${url/\/$db/\/nowhere} run monitor --log-dir "$work/log"
ok 'password, no such database: status' status_is 2
cat "$work/out" "$work/err" >>"$work/all"
ok 'password: not in what was printed' not grep -qF -f "$work/secret" "$work/all"
ok 'password: not in the log' not grep -qF -f "$work/secret" "$logfile"

echo "1..$count"
[ "$failed" -eq 0 ]
