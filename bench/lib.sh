# shellcheck shell=bash
#
# What the metrics are measured with. To be sourced after script/lib/cluster.sh, in the copy of the tree that bench/run makes.
#
#   new_users_db NAME, new_full_db NAME    a database as others have it: users and profiles (and the audit log)
#   add_peer NAME / add_authsync NAME      what is compared, put into it; authsync with its books filled
#   q NAME …                               psql
#   took NAME SQL [BEFORE]                 milliseconds of one statement; BEFORE runs in the same session, untimed
#   calls NAME N SQL [BEFORE]              N lines: the same statement N times in one session
#   cpu NAME SQL [BEFORE]                  microseconds of the server's processor time
#   rec METRIC VARIANT VALUE               notes one measurement; bench/rows.tsv says what is made of it

mkdir -p results
: >results/raw.tsv
: >results/log
began=$SECONDS

# What takes minutes at the full size is repeated less often, what is a difference of two close numbers more often; a loop of sign-ups is long enough for the clock.
BENCH_HEAVY=$((BENCH_REPEATS < 3 ? BENCH_REPEATS : 3))
BENCH_MORE=$((BENCH_USERS >= 100000 ? BENCH_REPEATS + 4 : BENCH_REPEATS))
BENCH_SIGNUPS=$((BENCH_USERS >= 1000000 ? 20000 : BENCH_USERS >= 100000 ? 10000 : 500))
BENCH_SECONDS=$((BENCH_USERS >= 100000 ? 5 : 1))
export BENCH_HEAVY BENCH_MORE BENCH_SIGNUPS BENCH_SECONDS

say()
{
	printf '%4d s  %s\n' $((SECONDS - began)) "$*"
}

calc()
{
	awk "BEGIN { printf \"%.6g\\n\", $1 }"
}

rec()
{
	case $3 in
		'' | *[!0-9.e+-]*) echo "no number for $1, $2: \"$3\"" >&2; return 1 ;;
	esac
	printf '%s\t%s\t%s\n' "$1" "$2" "$3" >>results/raw.tsv
}

# ---- the server

# As a packager builds it: the server's own flags.
bench_build()
{
	bench_dest=$BENCH_INSTALLED
	[ -z "$bench_dest" ] || return 0
	bench_dest=$PWD/.dest
	if ! { make -s -j2 with_llvm=no PG_CONFIG="$PG_CONFIG" && make -s install with_llvm=no PG_CONFIG="$PG_CONFIG" DESTDIR="$bench_dest"; } >results/log 2>&1; then
		cat results/log >&2
		return 1
	fi
}

bench_server()
{
	local conf=("dynamic_library_path = '$bench_dest$("$PG_CONFIG" --pkglibdir):\$libdir'")
	if [ "$PG_MAJOR" -ge 18 ]; then
		conf+=("extension_control_path = '$bench_dest$("$PG_CONFIG" --sharedir):\$system'")
	else
		conf+=("extension_destdir = '$bench_dest'")
	fi
	if [ "$BENCH_USERS" -lt 100000 ] && [ "$BENCH_SIZE" != curves ]; then
		conf+=("shared_buffers = 128MB" "fsync = off")		# no numbers are wanted
	else
		conf+=("shared_buffers = 2GB" "max_wal_size = 8GB" "min_wal_size = 2GB" "checkpoint_timeout = 30min")
	fi
	# autovacuum would come at other moments in every run.
	conf+=("work_mem = 64MB" "maintenance_work_mem = 512MB" "effective_cache_size = 16GB" "random_page_cost = 1.1"
		"autovacuum = off" "jit = off" "max_connections = 50" "log_min_messages = error" "log_lock_waits = off"
		"log_autovacuum_min_duration = -1" "client_min_messages = warning")
	cluster_use bench 65440
	cluster_start "${conf[@]}"
	PATH="$CLUSTER_BIN:$PATH"
}

tell_machine()
{
	local size="$BENCH_USERS users, $BENCH_AUDIT audit entries, "
	[ "$BENCH_SIZE" != curves ] || size=
	echo "$(nproc) cores of $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
		"$(awk '/^MemTotal/ { printf "%.0f GB", $2 / 1048576 }' /proc/meminfo)," \
		"$(. /etc/os-release && echo "$PRETTY_NAME"), $("$PG_CONFIG" --version | sed 's/ (.*//');" \
		"$size$(date -u +%F)," \
		"load before: $(cut -d ' ' -f 1 /proc/loadavg)"
}

# ---- databases

q()
{
	local db=$1
	shift
	psql -XqAt -v ON_ERROR_STOP=1 -d "$db" "$@" 2>>results/log || { tail -n 5 results/log >&2; return 1; }
}

# A copy of the files: it leaves no WAL behind that would slow down what comes next.
copy_db()	# FROM TO
{
	local how=
	if [ "$PG_MAJOR" -ge 15 ]; then how="STRATEGY file_copy"; fi
	q postgres -c "DROP DATABASE IF EXISTS $2" -c "CREATE DATABASE $2 TEMPLATE $1 $how"
}

drop_dbs()
{
	local db
	for db; do q postgres -c "DROP DATABASE IF EXISTS $db"; done
}

exists_db()
{
	[ "$(q postgres -c "SELECT count(*) FROM pg_database WHERE datname = '$1'")" = 1 ]
}

# The templates: made once, at first use.
template_users()
{
	! exists_db bench_users || return 0
	q postgres -c "CREATE DATABASE bench_users TEMPLATE template0 ENCODING 'UTF8'"
	q bench_users -f test/fixture/auth_schema.sql -f test/fixture/profiles.sql -f bench/tools.sql >>results/log
	q bench_users -v users="$BENCH_USERS" -v missing=10 -v differing=10 -f bench/data_users.sql
	say "made $BENCH_USERS users"
}

template_full()
{
	template_users
	! exists_db bench_full || return 0
	copy_db bench_users bench_full
	q bench_full -v users="$BENCH_USERS" -v entries="$BENCH_AUDIT" -v gone="${BENCH_GONE:-$((BENCH_USERS / 2000))}" -f bench/data_audit.sql
	say "made $BENCH_AUDIT audit entries"
}

# No "&&" here: what stands before one may fail without stopping anything.
new_users_db()
{
	template_users
	copy_db bench_users "$1"
}

new_full_db()
{
	template_full
	copy_db bench_full "$1"
}

add_peer()
{
	q "$1" -f bench/peer_events.sql -f bench/peer_signup.sql >>results/log
}

add_authsync()
{
	q "$1" -c "CREATE EXTENSION authsync" -c "CALL authsync.maintain()" -c "VACUUM ANALYZE" >>results/log
	books_are_trusted "$1" || { echo "the books of $1 are not trusted" >&2; return 1; }
}

books_are_trusted()
{
	[ "$(q "$1" -c "SELECT bool_and(authsync.bookkeeping_is_trusted(p)) FROM unnest('{drift,signups,history}'::text[]) AS p")" = t ]
}

# ---- clocks

timed()	# NAME: SQL from standard input, its times
{
	q "$1" | sed -n 's/^Time: \([0-9.]*\) ms.*/\1/p'
}

calls()
{
	local i
	{
		echo "${4:-};"
		printf '%s\n' '\o /dev/null' '\timing on'
		for ((i = 0; i < $2; i++)); do echo "$3;"; done
	} | timed "$1"
}

took() { calls "$1" 1 "$2" "${3:-}"; }

# The last of several: what a session pays that has asked before (a monitor, a pool).
took_warm() { calls "$1" 4 "$2" "${3:-}" | tail -n 1; }

cpu()
{
	q "$1" <<SQL | tail -n 1
SET synchronous_commit = off;
${3:-SELECT};
SELECT bench.cpu() AS before \\gset
$2;
SELECT bench.cpu() - :before;
SQL
}

# By how many megabytes the server's own memory grows (its peak, seen from outside every 10 ms) while a session runs something.
memory()	# NAME BEFORE SQL
{
	local pid start peak=0 now session there="SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bench memory'"
	psql -XqAt -v ON_ERROR_STOP=1 -d "$1" -c "SET application_name = 'bench memory'" -c "$2" -c "SELECT pg_sleep(2)" -c "$3" >>results/log 2>&1 &
	session=$!
	wait_until "$1" "$there"
	pid=$(q "$1" -c "SELECT pid FROM pg_stat_activity WHERE application_name = 'bench memory'")
	start=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status")
	while now=$(awk '/^RssAnon/ { print $2 }' "/proc/$pid/status" 2>>results/log) && [ -n "$now" ]; do
		[ "$now" -le "$peak" ] || peak=$now
		sleep 0.01
	done
	wait "$session"
	calc "($peak - $start) / 1024"
}

# Until a query says "t"; half a minute at most.
wait_until()	# NAME SQL
{
	local i
	for ((i = 0; i < 300; i++)); do
		if [ "$(q "$1" -c "$2")" = t ]; then return 0; fi
		sleep 0.1
	done
	echo "waited in vain for: $2" >&2
	return 1
}

# Where the server has been for a while, all that a checkpoint would do amid the next measurement.
settle()
{
	q postgres -c CHECKPOINT
}
