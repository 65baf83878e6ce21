# shellcheck shell=bash
# Installing into a database at work: eight clients sign users up (three hundred a second) while CREATE EXTENSION, setup() and
# the first fill run. How long the users table was locked against them, and the slowest sign-up; beside that the slowest one of
# a quiet time of the same length, or of half a minute.

slowest()	# FILE …: milliseconds, from the moment at which the client sent it
{
	cat "$@" | awk '{ t = ($3 - $7) / 1000; if (t > m) m = t } END { if (NR < 1) exit 1; print m }'
}

clients()	# NAME PREFIX: in the background
{
	rm -f "$2".*
	pgbench -n -M prepared -c 8 -j 2 -R 300 -T 3600 -l --log-prefix="$2" -f bench/sign_up.pgbench "$1" >>results/log 2>&1 &
	pgbench=$!
}

# From the server's side: then pgbench ends as if it had run to its end, and its log is whole.
stop_clients()
{
	q postgres -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgbench'" >>results/log
	wait "$pgbench" || true
}

measure_locks()
{
	local i pgbench sampler length
	local -a ms

	for ((i = 0; i < (BENCH_HEAVY < 2 ? BENCH_HEAVY : 2); i++)); do
		new_full_db locks
		settle
		clients locks results/with
		sleep 1
		PGAPPNAME="bench watches" psql -XqAt -v ON_ERROR_STOP=1 -d locks -c "SELECT bench.watch_locks()" >results/held 2>>results/log &
		sampler=$!
		wait_until locks "SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bench watches' AND state = 'active'"
		length=$SECONDS
		mapfile -t ms < <(timed locks <<<"SELECT pg_advisory_lock(42) \\g /dev/null
			\\timing on
			\\o /dev/null
			CREATE EXTENSION authsync;
			SELECT * FROM authsync.setup();
			CALL authsync.maintain();")
		wait "$sampler"
		length=$((SECONDS - length))
		stop_clients
		books_are_trusted locks || { echo "the first fill beside sign-ups is not trusted" >&2; return 1; }
		rec extension ours "${ms[0]:-}"
		rec fill busy "$(calc "${ms[2]:-} / 1000")"
		rec lock ours "$(cat results/held)"
		rec slowest ours "$(slowest results/with.*)"

		settle
		clients locks results/quiet
		sleep $((length < BENCH_SECONDS * 2 ? BENCH_SECONDS * 2 : length > 30 ? 30 : length))
		stop_clients
		rec slowest bare "$(slowest results/quiet.*)"
		rm -f results/with.* results/quiet.* results/held
	done

	new_full_db locks
	q locks -c "CREATE EXTENSION authsync" >>results/log
	rec fill alone "$(calc "$(took locks "CALL authsync.maintain()") / 1000")"
	drop_dbs locks
}
