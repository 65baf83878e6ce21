# shellcheck shell=bash
# A sign-up: processor time in a loop of the server, and how many a second eight clients get through.
# The same databases tell what the bookkeeping adds to it.

signup_dbs=(bare peer ours unwatched)

signup_rate()	# NAME: sign-ups a second
{
	PGOPTIONS="-c synchronous_commit=off" pgbench -n -M prepared -c 8 -j 2 -T "$BENCH_SECONDS" -f bench/sign_up.pgbench "$1" 2>>results/log |
		sed -n 's/^tps = \([0-9.]*\).*/\1/p'
}

# Nobody is left out of step, and both have made the same.
signup_is_sound()
{
	local same
	same=$(q signup_ours -c "SELECT count(*) FROM auth.users AS u LEFT JOIN public.profiles AS p ON p.id = u.id
		WHERE p.id IS NULL OR (u.created_at > now() - interval '1 hour' AND u.raw_user_meta_data ->> 'display_name' = 'Ada Person'
		AND (p.email, p.display_name, p.account_type, p.avatar_url) IS DISTINCT FROM
			(u.email, 'Ada Person', 'business', 'https://pictures.example/ada.png'))")
	[ "$same" = 10 ] || { echo "sign-ups are not followed: $same" >&2; return 1; }
	same=$(q signup_peer -c "SELECT count(*) FROM app.user_events WHERE event_type = 'profile_bootstrap_error'")
	[ "$same" = 0 ] || { echo "the peer's trigger fails" >&2; return 1; }
}

measure_signup()
{
	local i db bare

	for db in "${signup_dbs[@]}"; do new_users_db "signup_$db"; done
	add_peer signup_peer
	add_authsync signup_ours
	add_authsync signup_unwatched
	q signup_unwatched -c "DO \$\$ DECLARE t record; BEGIN
		FOR t IN SELECT tgrelid::regclass AS rel, tgname FROM pg_trigger WHERE tgrelid IN ('auth.users'::regclass, 'public.profiles'::regclass) AND tgfoid::regproc::text LIKE 'authsync.watch%'
		LOOP EXECUTE format('ALTER TABLE %s DISABLE TRIGGER %I', t.rel, t.tgname); END LOOP; END \$\$"

	settle
	for db in "${signup_dbs[@]}"; do cpu "signup_$db" "CALL bench.sign_up($((BENCH_SIGNUPS / 5)))" >>results/log; done
	for ((i = 0; i < BENCH_MORE; i++)); do
		for db in "${signup_dbs[@]}"; do
			one[$db]=$(calc "$(cpu "signup_$db" "CALL bench.sign_up($BENCH_SIGNUPS)") / $BENCH_SIGNUPS")
		done
		bare=${one[bare]}
		rec signup_total bare "$bare"
		for db in peer ours unwatched; do
			rec signup_total "$db" "${one[$db]}"
			rec signup "$db" "$(calc "${one[$db]} - $bare")"
		done
	done

	for ((i = 0; i < BENCH_MORE; i++)); do
		for db in bare peer ours; do rec rate "$db" "$(signup_rate "signup_$db")"; done
		settle
	done
	signup_is_sound
	drop_dbs signup_bare signup_peer signup_ours signup_unwatched
}

declare -A one
