#!/usr/bin/env bash
# The measuring itself; called by bench/run, as a user that may run a server, in a copy of the tree.
set -euo pipefail

# shellcheck source=../script/lib/cluster.sh
. script/lib/cluster.sh
# shellcheck source=lib.sh
. bench/lib.sh

stop_all()
{
	local status=$?
	trap - EXIT
	jobs -p | xargs -r kill -TERM 2>/dev/null || true
	[ ! -d .cluster ] || cluster_stop >/dev/null 2>&1 || true
	exit "$status"
}
trap stop_all EXIT
trap 'exit 143' TERM INT HUP

bench_build
bench_server
tell_machine >results/machine.txt

if [ "$BENCH_SIZE" = curves ]; then
	# shellcheck source=curves.sh
	. bench/curves.sh
	measure_curves "$@"
	exit
fi

metrics=("$@")
[ $# -gt 0 ] || metrics=(signup bulk login backfill look books locks provider)
for metric in "${metrics[@]}"; do
	[ -f "bench/metrics/$metric.sh" ] || { echo "no such metric: $metric" >&2; exit 2; }
done
say "$BENCH_USERS users, $BENCH_AUDIT audit entries"
for metric in "${metrics[@]}"; do
	say "$metric"
	# shellcheck disable=SC1090    # one of bench/metrics
	. "bench/metrics/$metric.sh"
	"measure_$metric"
done
say "done"

awk -v OUT=medians -f bench/table.awk bench/rows.tsv results/raw.tsv >results/medians.tsv
{
	awk -v OUT=table -v WANTED="${metrics[*]}" -f bench/table.awk bench/rows.tsv results/raw.tsv
	echo
	cat results/machine.txt
} >results/table.md
echo
cat results/table.md
