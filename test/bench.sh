#!/usr/bin/env bash
# The bench at its smallest: it runs, every row of its table has numbers, and a row without any is an error. Prints TAP.
# Starts a cluster of its own. Says nothing of how quick anything is.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
count=0
failed=0
trap 'rm -rf "$work"' EXIT

ok() {		# NAME COMMAND ...: the command's success is the assertion
	local name=$1
	shift
	count=$((count + 1))
	if "$@" >"$work/why" 2>&1; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		sed 's/^/# /' "$work/why" "$work/out" "$work/err"
	fi
}

status=0
env -u KEEP BENCH_INSTALLED="${dest:-}" BENCH_REPEATS=1 bench/run small >"$work/out" 2>"$work/err" || status=$?
results=bench/results/small

ok "the bench runs" test "$status" -eq 0
ok "and complains of nothing" test ! -s "$work/err"
ok "its table stands in a file" test -s "$results/table.md"

# Seven cells: what, the peer and his number, ours, their ratio, the goal, whether it is met.
number='-?[0-9][0-9,.]*'
row=2		# below the head
while IFS='|' read -r _ _ what unit peer _; do
	row=$((row + 1))
	line=$(sed -n "${row}p" "$results/table.md")
	ok "a number for: $what${peer:+ (beside: $peer)}" grep -qE "^\| ${what//[()\`]/.} \| ${peer//[()\`]/.} \| ${peer:+$number $unit} \| $number $unit \|" <<<"$line"
done < <(grep -v '^#' bench/rows.tsv | tr '\t' '|')		# tabs are blanks to read: two of them would be one
ok "no row that nobody asked for" test "$(grep -c '^| ' "$results/table.md")" -eq "$(($(grep -vc '^#' bench/rows.tsv) + 2))"

not() { ! "$@"; }
table() { awk -v OUT=table -f bench/table.awk bench/rows.tsv "$1" >"$work/table" 2>"$work/complaint"; }
grep -v '^verify' "$results/raw.tsv" >"$work/raw.tsv" || true
ok "a metric that was not measured is an error" not table "$work/raw.tsv"
ok "which says which" grep -q 'verify_profile_completeness' "$work/complaint"
printf 'signup\tpeer\t%s\n' 10 20 30 >"$work/raw.tsv"
printf 'signup\tours\t%s\n' 20 10 15 >>"$work/raw.tsv"
table "$work/raw.tsv" || true
ok "a ratio is the median of the ratios, not the ratio of medians" grep -qF '| 20.0 µs | 15.0 µs | 0.50 × | ≤ 0.70 × | yes |' "$work/table"
sed -i '/ours/s/\t1.$/\t90/' "$work/raw.tsv"
table "$work/raw.tsv" || true
ok "a goal that is missed is said to be" grep -qF '**no**' "$work/table"

draw() { python3 bench/curve "$1" >"$work/out.svg" && grep -q '<polyline' "$work/out.svg"; }
if command -v python3 >/dev/null; then
	printf '10000\tview\t3\n100000\tview\t4\n10000\tdiagnose_compared\t300\n100000\tdiagnose_compared\t3000\n' >"$work/curves.tsv"
	ok "the picture is drawn from times" draw "$work/curves.tsv"
	: >"$work/curves.tsv"
	ok "but not from none" not draw "$work/curves.tsv"
else
	count=$((count + 1))
	echo "ok $count # skip no python3 here"
fi

echo "1..$count"
exit $((failed > 0))
