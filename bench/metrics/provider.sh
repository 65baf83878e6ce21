# shellcheck shell=bash
# A provider's users: listed, asked for one by one, created many at a time. The provider is bench/provider.py, on this machine.
# The peer lists by pgsql-http where that is installed; else it reads the same pages from files, which spares it the network.

measure_provider()
{
	local i users port server creates width=64 latency=50 pages=$PWD/pages one="SELECT * FROM prod.users WHERE id = 'x'"
	users=$((BENCH_USERS / 2))
	creates=$((BENCH_USERS >= 100000 ? 10000 : 256))
	mkdir -p "$pages"
	python3 bench/provider.py "$pages" "$users" "$latency" >results/provider.port 2>>results/log &
	server=$!
	for ((i = 0; i < 3000; i++)); do
		[ ! -s results/provider.port ] || break
		sleep 0.1
	done
	port=$(sed -n 's/^ready //p' results/provider.port)
	say "provider: serves $users users"

	q postgres -c "DROP DATABASE IF EXISTS provider" -c "CREATE DATABASE provider TEMPLATE template0 ENCODING 'UTF8'"
	q provider -f bench/tools.sql -f - >>results/log <<SQL
CREATE EXTENSION authsync;
CREATE SERVER prod FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'http://127.0.0.1:$port', concurrency '$width');
CREATE SCHEMA prod;
IMPORT FOREIGN SCHEMA authsync FROM SERVER prod INTO prod;
SELECT authsync.set_secret('prod', 'service_key', 'bench-key');
CREATE FUNCTION bench.page(n int) RETURNS jsonb LANGUAGE sql AS \$\$ SELECT pg_read_file('$pages/page_' || n || '.json')::jsonb \$\$;
CREATE FUNCTION bench.list(pages int) RETURNS bigint LANGUAGE sql AS \$\$
    SELECT count(u.id) FROM generate_series(1, pages) AS n, jsonb_to_recordset(bench.page(n) -> 'users') AS u(id text) \$\$;
SQL
	if [ "$(q provider -c "SELECT count(*) FROM pg_available_extensions WHERE name = 'http'")" = 1 ]; then
		q provider -c "CREATE EXTENSION http" -c "CREATE OR REPLACE FUNCTION bench.page(n int) RETURNS jsonb LANGUAGE sql AS
			\$\$ SELECT (http_get('http://127.0.0.1:$port/auth/v1/admin/users?page=' || n || '&per_page=1000')).content::jsonb \$\$" >>results/log
		say "provider: the peer is pgsql-http"
	fi
	local list="SELECT count(id) FROM prod.users" peer="SELECT bench.list($(((users + 999) / 1000)))"
	[ "$(q provider -c "$list")" = "$users" ]
	[ "$(q provider -c "$peer")" = "$users" ]

	for ((i = 0; i < BENCH_HEAVY; i++)); do
		rec users_list peer "$(calc "$users / ($(took provider "$peer") / 1000)")"
		rec users_list ours "$(calc "$users / ($(took provider "$list") / 1000)")"
		rec users_parse jsonb "$(calc "$users / ($(cpu provider "SELECT count(*) FROM (SELECT pg_read_file('$pages/page_' || n || '.json')::jsonb FROM generate_series(1, $(((users + 999) / 1000))) AS n OFFSET 0) AS pages(p) WHERE p IS NULL") / 1000000)")"
		rec users_parse ours "$(calc "$users / ($(cpu provider "$list") / 1000000)")"
		rec users_create ideal "$(calc "$width / ($latency / 1000)")"
		rec users_create ours "$(calc "$creates / ($(took provider "INSERT INTO prod.users (email) SELECT 'user' || n || '@example.com' FROM generate_series(1, $creates) AS n" "SET client_min_messages = error") / 1000)")"
	done
	for ((i = 0; i < BENCH_REPEATS; i++)); do
		rec users_get ours "$(calc "$(took_warm provider "$one") - $(python3 bench/get.py "$port")")"
	done
	rec users_memory ours "$(memory provider "SELECT 1" "$list")"
	drop_dbs provider
	kill "$server"
}
