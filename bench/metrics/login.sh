# shellcheck shell=bash
# A login: what the trigger adds that looks at every update of a user.

measure_login()
{
	local i a b rounds=$((BENCH_USERS >= 100000 ? 30 : 2))

	new_users_db login_bare
	new_users_db login_ours
	add_authsync login_ours
	# Until there is room on the pages: then an update changes no index, as most logins do not where autovacuum has been.
	for i in bare ours; do
		cpu "login_$i" "CALL bench.log_in($((rounds * 3)))" >>results/log
		q "login_$i" -c "VACUUM auth.users"
	done
	for ((i = 0; i < BENCH_MORE; i++)); do
		if [ $((i % 2)) -eq 0 ]; then
			a=$(cpu login_bare "CALL bench.log_in($rounds)")
			b=$(cpu login_ours "CALL bench.log_in($rounds)")
		else
			b=$(cpu login_ours "CALL bench.log_in($rounds)")
			a=$(cpu login_bare "CALL bench.log_in($rounds)")
		fi
		rec login_total bare "$(calc "$a / $rounds / 1000")"
		rec login ours "$(calc "($b - $a) / $rounds / 1000")"
	done
	drop_dbs login_bare login_ours
}
