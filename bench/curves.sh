# shellcheck shell=bash
# The same questions at several sizes: results/curves.tsv, lines of "users, curve, milliseconds" (a sign-up: microseconds).
# The drift stays the same, a hundred users (and a hundred who have left), so that what follows the number of users and what follows the drift can be told apart;
# the audit log has 2.5 entries a user. bench/run keeps the lines of other sizes.

measure_curves()
{
	local users i off="SET authsync.trust_bookkeeping = off"
	local view="SELECT * FROM auth_profile_mismatch WHERE status <> 'healthy'" diagnose="SELECT * FROM diagnose_auth_profile_consistency()"
	local verify="SELECT * FROM verify_profile_completeness()" dry="SELECT backfill_all_missing_profiles()"

	[ $# -gt 0 ] || set -- 10000 100000 1000000
	for users; do
		export BENCH_USERS=$users BENCH_AUDIT=$((users * 5 / 2)) BENCH_GONE=100 BENCH_SIGNUPS=2000
		say "$users users"
		drop_dbs curves bench_full bench_users
		template_full
		drop_dbs bench_users
		q postgres -c "ALTER DATABASE bench_full RENAME TO curves"		# at ten million users a copy of it is too much
		add_authsync curves
		q curves -c "DELETE FROM public.profiles WHERE id IN (SELECT id FROM public.profiles ORDER BY id LIMIT 80)" -c "CALL authsync.maintain()" \
			-c "VACUUM ANALYZE public.profiles" >>results/log
		settle
		for ((i = 0; i < BENCH_REPEATS; i++)); do
			curve view "$(took_warm curves "$view")"
			curve diagnose "$(took_warm curves "$diagnose")"
			curve verify "$(took_warm curves "$verify")"
			curve dry "$(took_warm curves "$dry")"
			curve monitor "$(took_warm curves "SELECT * FROM monitor_signup_health()")"
			# One is enough of what takes a minute.
			if [ "$i" -eq 0 ] || [ "$users" -le 100000 ]; then
				curve view_compared "$(took curves "$view" "$off")"
				curve diagnose_compared "$(took curves "$diagnose" "$off")"
				curve verify_compared "$(took curves "$verify" "$off")"
				curve dry_compared "$(took curves "$dry" "$off")"
			fi
		done
		for ((i = 0; i < BENCH_REPEATS; i++)); do
			curve signup "$(calc "$(cpu curves "CALL bench.sign_up($BENCH_SIGNUPS)") / $BENCH_SIGNUPS / 1000")"
		done
		drop_dbs curves
	done
}

curve()	# NAME MILLISECONDS
{
	printf '%s\t%s\t%s\n' "$users" "$1" "$2" >>results/curves.tsv
}
