# shellcheck shell=bash
# Many users in one statement, as an import makes them; and what a reader of profiles meets while such a statement is open.

bulk_statement()	# ROWS
{
	echo "INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
		SELECT instance_id, id, aud, role, email, encrypted_password, raw_app_meta_data, raw_user_meta_data, created_at, updated_at FROM bench.newcomers LIMIT $1"
}

# While the rows of an open transaction stand, a session reads profiles at random: how often it looks into pg_subtrans.
lookups()	# NAME ROWS
{
	local db=$1 writer count bulk_done="SELECT count(*) = 1 FROM pg_stat_activity WHERE application_name = 'bench waits' AND wait_event = 'PgSleep'"
	count="SELECT sum(blks_hit + blks_read) FROM pg_stat_slru WHERE lower(name) LIKE 'subtrans%'"
	psql -XqAt -d "$db" -c "BEGIN" -c "$(bulk_statement "$2")" -c "SET application_name = 'bench waits'" -c "SELECT pg_sleep($((BENCH_SECONDS + 3)))" -c ROLLBACK >>results/log 2>&1 &
	writer=$!
	while kill -0 "$writer" 2>>results/log && [ "$(q "$db" -c "$bulk_done")" != t ]; do sleep 0.1; done
	# Another transaction ends: from now on snapshots reach beyond the ids of those subtransactions.
	q "$db" -c "SELECT pg_current_xact_id()" -c "SELECT pg_stat_reset_slru(name) FROM pg_stat_slru WHERE lower(name) LIKE 'subtrans%'" >>results/log
	pgbench -n -c 1 -T "$BENCH_SECONDS" -f bench/read_profiles.pgbench "$db" >>results/log 2>&1
	kill -0 "$writer" || return 1		# its rows must have been open all the while: no number is better than a 0
	sleep 1
	q "$db" -c "$count"
	wait "$writer"
}

# Everybody has his profile, save the ten of before.
bulk_is_sound()	# VARIANT
{
	local without
	without=$(q bulk -c "SELECT count(*) FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL")
	[ "$1" = bare ] || [ "$without" = 10 ] || { echo "$without users have no profile after an import ($1)" >&2; return 1; }
}

measure_bulk()
{
	local i db rows=$((BENCH_USERS / 2)) bare x
	local -A ms

	new_users_db bulk_template
	q bulk_template -v rows="$rows" -f bench/newcomers.sql
	copy_db bulk_template bulk_peer_template
	add_peer bulk_peer_template
	copy_db bulk_template bulk_ours_template
	add_authsync bulk_ours_template

	for ((i = 0; i < BENCH_HEAVY; i++)); do
		for db in bare peer ours; do
			case $db in bare) copy_db bulk_template bulk ;; *) copy_db "bulk_${db}_template" bulk ;; esac
			settle
			ms[$db]=$(took bulk "$(bulk_statement "$rows")" "SELECT count(*) FROM bench.newcomers")
			bulk_is_sound "$db"
		done
		bare=${ms[bare]}
		for db in peer ours; do
			x=$(calc "(${ms[$db]} - $bare) * 1000 / $rows")
			rec bulk "$db" "$x"
		done
		rec bulk_total bare "$(calc "$bare * 1000 / $rows")"
	done

	for db in peer ours; do
		copy_db "bulk_${db}_template" bulk
		rec subtrans "$db" "$(lookups bulk $((rows * 3 / 10)))"
	done
	drop_dbs bulk bulk_peer_template bulk_ours_template bulk_template
}
