#!/usr/bin/env bash
# The tests themselves, part by part; called by script/test, as a user that may run
# a server, in a copy of the tree. Counts one for every check, regress and isolation
# file, one for every assertion of TAP and pgTAP, and one for a runner that died.
set -euo pipefail

# shellcheck source=cluster.sh
. script/lib/cluster.sh

tree=$PWD
wanted=("$@")
logs=$tree/.build/logs
dest=$tree/.build/dest
mkdir -p "$logs" "$dest"
bindir=$("$PG_CONFIG" --bindir)
pgxs=$(dirname "$("$PG_CONFIG" --pgxs)")/..
export PATH="$tree/bin:$bindir:$PATH"

passed=0
failed=0
skipped=0
culprits=()
child=
told=		# the last line has been printed

stop_all()
{
	local status=$?
	trap - EXIT
	[ -z "$child" ] || kill -TERM "$child" 2>/dev/null || true
	[ ! -d .cluster ] || cluster_stop >/dev/null 2>&1 || true
	if [ -z "$told" ]; then
		echo "$passed passed, $((failed + 1)) failed: the suite itself died"
		status=1
	fi
	exit "$status"
}
trap stop_all EXIT
trap 'exit 143' TERM INT HUP

matches()	# NAME: was this part asked for?
{
	local word
	[ ${#wanted[@]} -gt 0 ] || return 0
	for word in "${wanted[@]}"; do
		[[ $1 != *"$word"* ]] || return 0
	done
	return 1
}

# run NAME SECONDS COMMAND …: its output into $log, its exit status into $status
run()
{
	local limit=$2
	log=$logs/${1//\//_}.log
	began=$SECONDS
	status=0
	shift 2
	timeout -k 10 "$limit" "$@" >"$log" 2>&1 &
	child=$!
	wait "$child" || status=$?
	child=
	[ "$status" -ne 124 ] || echo "timed out after $limit seconds" >>"$log"
}

# score NAME PASSED FAILED: adds it up, says it in a line
score()
{
	passed=$((passed + $2))
	failed=$((failed + $3))
	if [ "$3" -eq 0 ]; then
		printf 'ok      %-44s %4d passed %4d s\n' "$1" "$2" $((SECONDS - began))
	else
		printf 'FAILED  %-44s %4d passed, %d failed %4d s\n' "$1" "$2" "$3" $((SECONDS - began))
		culprits+=("$1")
	fi
}

show_log()	# [LINES]
{
	echo "-------- $log"
	tail -n "${1:-60}" "$log"
	echo "--------"
}

score_status()	# NAME: one for its exit status
{
	if [ "$status" -eq 0 ]; then score "$1" 1 0; else
		score "$1" 0 1
		show_log
	fi
}

# TAP as prove -v repeats it. A skipped assertion counts as nothing, a plan not
# kept and a runner that died as one failure.
score_tap()	# NAME
{
	local good bad skips
	read -r good bad skips < <(awk '
		/^(not )?ok [0-9]+.*# *[Ss][Kk][Ii][Pp]/ { s++; next }
		/^ok [0-9]+/ { g++ }
		/^not ok [0-9]+/ && !/# *[Tt][Oo][Dd][Oo]/ { b++ }
		END { print g + 0, b + 0, s + 0 }' "$log")
	if [ "$bad" -eq 0 ] && { [ "$status" -ne 0 ] || [ $((good + skips)) -eq 0 ]; }; then
		bad=1
	fi
	if [ "$skips" -gt 0 ]; then
		skipped=$((skipped + skips))
		grep -iE '^ok [0-9]+.*# *skip' "$log"
	fi
	score "$1" "$good" "$bad"
	if [ "$bad" -gt 0 ]; then
		echo "-------- $log"
		grep -E -A 8 '^not ok' "$log" | grep -v '^ok ' | head -n 200 || true
		grep -vE '^(ok |not ok |#)' "$log" | tail -n 25 || true
		echo "--------"
	fi
}

# pg_regress says "test NAME ... ok" up to 15, TAP from 16 on. A file that is not
# spoken of has failed.
score_regress()	# KIND NAMES: one for each
{
	local kind=$1 name
	shift
	for name; do
		if grep -qE "^(test +$name +\.\.\. +ok\b|ok +[0-9]+ +[-+] $name( |\$))" "$log"; then
			score "$kind/$name" 1 0
		else
			score "$kind/$name" 0 1
		fi
		began=$SECONDS
	done
}

tell()
{
	[ ${#culprits[@]} -eq 0 ] || printf 'failed: %s\n' "${culprits[@]}"
	[ "$skipped" -eq 0 ] || echo "$skipped skipped"
	if [ $((passed + failed + skipped)) -eq 0 ]; then
		echo "nothing is called ${wanted[*]}" >&2
		failed=1
	fi
	echo "$passed passed, $failed failed"
	told=yes
	[ "$failed" -eq 0 ]
	exit
}

check()	# NAME SECONDS COMMAND …
{
	matches "$1" || return 0
	run "$@"
	score_status "$1"
}

files()	# DIRECTORY PATTERN KIND: the names of the parts asked for, without path and ending
{
	local file name
	while IFS= read -r file; do
		name=$(basename "$file")
		name=${name%.*}
		if matches "$3/$name"; then echo "$name"; fi
	done < <(find "$1" -maxdepth 1 -name "$2" 2>/dev/null | LC_ALL=C sort)
}

mapfile -t regress < <(files test/sql '*.sql' regress)
mapfile -t isolation < <(files test/isolation/specs '*.spec' isolation)
mapfile -t pgtap < <(files test/pgtap '*.sql' pgtap)
mapfile -t tap < <(files test/t '*.pl' t)
mapfile -t scripts < <(files test '*.sh' script)

# ---- build, install below $dest

build()
{
	PG_CFLAGS="-Wall -Wextra -Werror" make -s with_llvm=no PG_CONFIG="$PG_CONFIG" &&
		make -s install with_llvm=no PG_CONFIG="$PG_CONFIG" DESTDIR="$dest"
}

export -f build
export PG_CONFIG dest
run build 300 bash -c build
if [ "$status" -ne 0 ]; then
	score_status build
	tell
fi
if matches build; then score_status build; fi

# Where a server finds what stands below $dest: from 18 on in a list of
# directories, before by a patch of Debian's; else installed for good.
conf=("dynamic_library_path = '$dest$("$PG_CONFIG" --pkglibdir):\$libdir'")
if [ "$PG_MAJOR" -ge 18 ]; then
	conf+=("extension_control_path = '$dest$("$PG_CONFIG" --sharedir):\$system'")
else
	conf+=("extension_destdir = '$dest'")
fi
# What makes tests quick, and a lock or a loop that never ends an error.
conf+=("fsync = off" "full_page_writes = off" "statement_timeout = '180s'" "idle_in_transaction_session_timeout = '180s'"
	"log_line_prefix = '%m [%p] %u@%d %a '" "max_connections = 60")
export TEMP_CONFIG=$tree/.build/test.conf
printf '%s\n' "${conf[@]}" >"$TEMP_CONFIG"

# ---- the checks of ci/

while IFS= read -r file; do
	check "ci/$(basename "$file" .sh)" 120 "$file"
done < <(find ci -name '*.sh' | LC_ALL=C sort)

# ---- SQL against one server of our own

server()	# NAME SETTING …: false, and counted as a failure, if it does not start
{
	local name=$1
	shift
	log=$logs/$name.log
	began=$SECONDS
	status=0
	cluster_start "${conf[@]}" "$@" >"$log" 2>&1 || status=$?
	[ "$status" -eq 0 ] || score_status "$name"
	return "$status"
}

installcheck()	# KIND VARIABLE OTHER NAMES
{
	local kind=$1 variable=$2 other=$3
	shift 3
	[ $# -gt 0 ] || return 0
	run "$kind" 420 make -s installcheck with_llvm=no PG_CONFIG="$PG_CONFIG" TAP_TESTS= "$variable=$*" "$other="
	score_regress "$kind" "$@"
	if [ "$status" -ne 0 ]; then
		show_log 20
		find . -name regression.diffs -path "*$([ "$kind" = isolation ] && echo output_iso)*" -exec head -n 400 {} +
	fi
}

# Each file in a database of its own.
run_pgtap()	# LABEL NAMES
{
	local label=$1 name
	shift
	for name; do
		createdb -T template0 -E UTF8 "tap_$name"
		run "pgtap/$name$label" 180 pg_prove --verbose -d "tap_$name" "test/pgtap/$name.sql"
		score_tap "pgtap/$name$label"
		dropdb --force "tap_$name"
	done
}

with_server()
{
	server server || return 0
	# The specs first: while nobody has made Supabase's roles, authsync has to do without them.
	installcheck isolation ISOLATION REGRESS "${isolation[@]}"
	installcheck regress REGRESS ISOLATION "${regress[@]}"
	run_pgtap "" "${pgtap[@]}"
	for name in "${scripts[@]}"; do
		run "script/$name" 300 bash "test/$name.sh"
		if grep -qE '^(not )?ok [0-9]+' "$log"; then score_tap "script/$name"; else score_status "script/$name"; fi
	done
	if [ ${#pgtap[@]} -gt 0 ] && server server-preloaded "shared_preload_libraries = 'authsync'"; then
		run_pgtap " (preloaded)" "${pgtap[@]}"
	fi
	cluster_stop
}

cluster_use test 65439
if [ $((${#regress[@]} + ${#isolation[@]} + ${#pgtap[@]} + ${#scripts[@]})) -gt 0 ]; then
	with_server
fi

# ---- TAP: each file makes the servers it needs

export PG_REGRESS=$pgxs/test/regress/pg_regress
export PG_TEST_TIMEOUT_DEFAULT=60
for name in "${tap[@]}"; do
	export TESTDIR=$tree/.build/tap/$name
	export TESTDATADIR=$TESTDIR/data TESTLOGDIR=$TESTDIR/log AUTHSYNC_TREE=$tree
	mkdir -p "$TESTDIR" "$TESTLOGDIR"
	limit=300
	[ "$name" != 170_real_servers ] || limit=600		# it fetches them first
	run "t/$name" "$limit" prove --verbose -I "$pgxs/test/perl" -I "$tree/test/t" "test/t/$name.pl"
	score_tap "t/$name"
	# What a test says of its failures goes to its own log, and the server's to another.
	if [ "${culprits[*]: -1}" = "t/$name" ]; then
		find "$TESTDIR" -name 'regress_log_*' -exec grep -hE -A 40 '#   Failed test' {} + | head -n 200 || true
		find "$TESTDIR" \( -name '*.log' -o -name 'regress_log_*' \) -exec tail -n 30 {} +
	else
		rm -rf "$TESTDIR"
	fi
done

tell
