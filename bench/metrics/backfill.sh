# shellcheck shell=bash
# Every second profile missing: profiles a second.

backfill_is_done()
{
	[ "$(q backfill -c "SELECT count(*) FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id WHERE p.id IS NULL")" = 0 ] ||
		{ echo "the backfill has left somebody out" >&2; return 1; }
}

measure_backfill()
{
	local i way missing ms

	new_users_db half
	q half -c "SET session_replication_role = replica" -c "TRUNCATE public.profiles" -c "INSERT INTO public.profiles (id, email, display_name)
		SELECT id, email, raw_user_meta_data ->> 'display_name' FROM auth.users WHERE get_byte(uuid_send(id), 15) % 2 = 0" -c "VACUUM (ANALYZE, FREEZE) public.profiles"
	missing=$(q half -c "SELECT (SELECT count(*) FROM auth.users) - (SELECT count(*) FROM public.profiles)")
	copy_db half half_peer
	q half_peer -f bench/peer_events.sql -f bench/peer_backfill.sql
	copy_db half half_ours
	add_authsync half_ours

	for ((i = 0; i < BENCH_HEAVY; i++)); do
		for way in loop windows ours; do
			case $way in ours) copy_db half_ours backfill ;; *) copy_db half_peer backfill ;; esac
			settle
			case $way in
				loop) ms=$(took backfill "SELECT app.backfill_one_by_one()") ;;
				windows) ms=$(took backfill "CALL app.backfill_by_windows(10000)") ;;
				ours) ms=$(took backfill "CALL backfill_missing_profiles(10000)") ;;
			esac
			backfill_is_done
			rec backfill "$way" "$(calc "$missing / $ms * 1000")"
		done
	done
	drop_dbs backfill half half_peer half_ours
}
