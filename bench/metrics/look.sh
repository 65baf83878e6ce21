# shellcheck shell=bash
# The questions: by the books, by comparing everything, and as plain views answer them. A few users have drifted.

measure_look()
{
	local i someone compared="SET authsync.trust_bookkeeping = off"
	local merge="SET enable_hashjoin = off; SET enable_nestloop = off; SET max_parallel_workers_per_gather = 0"
	local anti="SELECT count(*) FROM auth.users AS u WHERE NOT EXISTS (SELECT FROM public.profiles AS p WHERE p.id = u.id)"

	new_full_db look
	add_authsync look
	q look -f bench/peer_events.sql -f bench/peer_look.sql -f bench/peer_backfill.sql
	someone=$(q look -c "SELECT bench.id($((BENCH_USERS - 1)), 'user')")
	look_is_sound

	for ((i = 0; i < BENCH_HEAVY; i++)); do
		rec view peer "$(took look "SELECT * FROM app.mismatches WHERE status <> 'healthy'")"
		rec view ours "$(took_warm look "SELECT * FROM auth_profile_mismatch WHERE status <> 'healthy'")"
		rec list peer "$(took look "SELECT * FROM app.list_mismatches(20)")"
		rec list ours "$(took_warm look "SELECT * FROM get_auth_profile_mismatches(20)")"
		rec diagnose seed "$(took look "SELECT * FROM app.diagnose()")"
		rec diagnose onepass "$(took look "SELECT * FROM app.diagnose_in_one_pass()")"
		rec diagnose ours "$(took_warm look "SELECT * FROM diagnose_auth_profile_consistency()")"
		say "look: $((i + 1)) of $BENCH_HEAVY"
	done
	for ((i = 0; i < BENCH_REPEATS; i++)); do
		rec verify peer "$(took look "SELECT * FROM app.verify()")"
		rec verify ours "$(took_warm look "SELECT * FROM verify_profile_completeness()")"
		rec verify cold "$(took look "SELECT * FROM verify_profile_completeness()")"
		rec monitor peer "$(took look "SELECT * FROM app.monitor('1 hour')")"
		rec monitor ours "$(took_warm look "SELECT * FROM monitor_signup_health()")"
		rec monitor cold "$(took look "SELECT * FROM monitor_signup_health()")"
		rec recent peer "$(took look "SELECT * FROM app.recent_issues('10 minutes')")"
		rec recent ours "$(took_warm look "SELECT * FROM check_recent_signup_issues()")"
		rec recent cold "$(took look "SELECT * FROM check_recent_signup_issues()")"
		rec history peer "$(took look "SELECT * FROM app.history('$someone')")"
		rec history ours "$(took_warm look "SELECT * FROM get_user_signup_events('$someone')")"
		rec history cold "$(took look "SELECT * FROM get_user_signup_events('$someone')")"
		rec full merge "$(took_warm look "$anti" "$merge")"
		rec full ours "$(took_warm look "SELECT backfill_all_missing_profiles()" "$compared")"
	done
	# For information, and long: once.
	rec view_compared ours "$(took look "SELECT * FROM auth_profile_mismatch WHERE status <> 'healthy'" "$compared")"
	rec diagnose_compared ours "$(took look "SELECT * FROM diagnose_auth_profile_consistency()" "$compared")"
	rec memory ours "$(memory look "$compared; SET max_parallel_workers_per_gather = 0" "SELECT backfill_all_missing_profiles(); SELECT count(*) FROM verify_profile_completeness()")"

	# A backfill that finds nothing to do.
	q look -c "SELECT backfill_all_missing_profiles(1000, false)" -c "VACUUM ANALYZE public.profiles" >>results/log
	for ((i = 0; i < BENCH_REPEATS; i++)); do
		rec healthy seed "$(took look "SELECT app.backfill_batch(100, false)")"
		rec healthy merge "$(took_warm look "$anti" "$merge")"
		rec healthy ours "$(took_warm look "SELECT backfill_all_missing_profiles(100, false)")"
	done
	drop_dbs look
}

# Before anything is timed: it is what it says. Ten are missing, ten differ, and the books say what the comparison says.
look_is_sound()
{
	local by_books compared
	by_books=$(q look -c "SELECT string_agg(concat_ws(' ', metric, count), E'\n') FROM diagnose_auth_profile_consistency()")
	compared=$(q look -c "SET authsync.trust_bookkeeping = off" -c "SELECT string_agg(concat_ws(' ', metric, count), E'\n') FROM diagnose_auth_profile_consistency()")
	[ "$by_books" = "$compared" ] || { printf 'books and comparison disagree:\n%s\n%s\n' "$by_books" "$compared" >&2; return 1; }
	[ "$(q look -c "SELECT count(*) FROM get_auth_profile_mismatches(NULL) WHERE status = 'auth_only' OR status = 'email_mismatch'")" = 20 ] ||
		{ echo "not 20 have drifted" >&2; return 1; }
}
