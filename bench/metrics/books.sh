# shellcheck shell=bash
# What the bookkeeping costs those who write: the sign-up comes from metrics/signup.sh, here is the audit log.
# The peer makes its diagnostics quick by expression indexes instead.

measure_books()
{
	local i db mix n=$((BENCH_SIGNUPS * 2)) bulk=$((BENCH_USERS * 3 / 20))
	local actions="e.payload ->> 'action' IN ('user_signedup', 'user_invited', 'user_confirmation_requested')"
	local -A one

	for db in bare indexed ours; do new_users_db "audit_$db"; done
	add_authsync audit_ours
	q audit_indexed -c "CREATE INDEX entries_by_time ON auth.audit_log_entries (created_at) WHERE ${actions//e./}" \
		-c "CREATE INDEX entries_by_actor ON auth.audit_log_entries ((payload ->> 'actor_id')) WHERE ${actions//e./}"

	for db in bare indexed ours; do cpu "audit_$db" "CALL bench.audit($n, 10)" >>results/log; done
	for ((i = 0; i < BENCH_REPEATS; i++)); do
		for mix in 10 0; do
			for db in bare indexed ours; do one[$db]=$(calc "$(cpu "audit_$db" "CALL bench.audit($n, $mix)") / $n"); done
			for db in bare indexed ours; do rec "audit_one_in_$mix" "$db" "${one[$db]}"; done
		done
	done
	for ((i = 0; i < BENCH_HEAVY; i++)); do
		for db in bare indexed ours; do
			rec audit_bulk "$db" "$(calc "$(cpu "audit_$db" "$(bulk_entries "$bulk")") / $bulk")"
		done
	done
	books_are_trusted audit_ours
	drop_dbs audit_bare audit_indexed audit_ours
}

bulk_entries()	# HOW MANY
{
	echo "INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
		SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), json_build_object('action', CASE WHEN k % 10 = 0 THEN 'user_signedup' ELSE 'token_refreshed' END,
			'actor_id', bench.id(k, 'late'), 'actor_username', 'late' || k || '@mail.example', 'actor_via_sso', false, 'log_type', 'team'), now(), '192.0.2.1'
		FROM generate_series(1, $1) AS k"
}
