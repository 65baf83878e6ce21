# bench/rows.tsv and results/raw.tsv to the table (OUT=table) or to medians (OUT=medians).
# WANTED: the metric files that have run, separated by blanks. A row without numbers is an error.

function sort_values(a, n,    i, j, t)
{
	for (i = 2; i <= n; i++) {
		t = a[i]
		for (j = i - 1; j > 0 && a[j] > t; j--)
			a[j + 1] = a[j]
		a[j + 1] = t
	}
}

function median(a, n)
{
	sort_values(a, n)
	return n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
}

function median_of(key,    i, a)
{
	for (i = 1; i <= count[key]; i++)
		a[i] = value[key, i]
	return median(a, count[key])
}

# Of what was measured in the same repeat; never the ratio of two medians.
function paired(over, under,    i, n, a)
{
	n = count[over] < count[under] ? count[over] : count[under]
	for (i = 1; i <= n; i++)
		a[i] = value[under, i] == 0 ? 0 : value[over, i] / value[under, i]
	return median(a, n)
}

function short(x)
{
	if (x < 0) return "-" short(-x)
	if (x >= 1000) {
		x = sprintf("%.0f", x)
		return length(x) > 6 ? substr(x, 1, length(x) - 6) "," substr(x, length(x) - 5, 3) "," substr(x, length(x) - 2) : substr(x, 1, length(x) - 3) "," substr(x, length(x) - 2)
	}
	return sprintf(x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x)
}

function told(kind, ratio)
{
	if (kind == "of") return short(ratio) " ×"
	if (kind == "rate") return short(ratio) " × as many"
	return ratio >= 1 ? short(ratio) " × faster" : short(1 / ratio) " × slower"
}

BEGIN {
	FS = "\t"
	all = WANTED == ""
	split(WANTED, names, " ")
	for (i in names)
		wanted[names[i]] = 1
	if (OUT == "table") {
		print "| what | peer | peer's | authsync's | ratio | goal | met |"
		print "| --- | --- | --- | --- | --- | --- | --- |"
	}
}

FILENAME != ARGV[1] {
	key = $1 SUBSEP $2
	if (!(key in count)) {
		order[++nkeys] = key
		label[nkeys] = $1 "\t" $2
	}
	value[key, ++count[key]] = $3 + 0
	next
}

!/^#/ && NF {
	row[++nrows] = $0
}

END {
	if (OUT == "medians") {
		print "metric\tvariant\tn\tmedian"
		for (i = 1; i <= nkeys; i++)
			printf "%s\t%d\t%.6g\n", label[i], count[order[i]], median_of(order[i])
		exit
	}
	for (i = 1; i <= nrows; i++) {
		split(row[i], f, "\t")
		if (!all && !(f[1] in wanted))
			continue
		peer = f[2] SUBSEP f[6]
		ours = f[2] SUBSEP f[7]
		if (!(ours in count) || (f[6] != "" && !(peer in count))) {
			print "no numbers for: " f[3] " (" f[2] ")" >"/dev/stderr"
			bad = 1
			continue
		}
		goal = f[9]
		o = median_of(ours)
		p = f[6] == "" ? "" : median_of(peer)
		ratio = ""
		if (f[6] != "")
			ratio = f[8] == "of" || f[8] == "rate" ? paired(ours, peer) : paired(peer, ours)
		if (ratio != "" && ratio == 0 || o == 0)
			ratio = ""
		met = ""
		if (goal != "") {
			ok = f[8] == "of" ? ratio <= goal : f[8] == "rate" || f[8] == "faster" ? ratio >= goal : o <= goal
			met = ok ? "yes" : "**no**"
			goal = (f[8] == "of" || f[8] == "limit" ? "≤ " : "≥ ") short(goal + 0) (f[8] == "limit" ? " " f[4] : " ×")
			sub(/\.00/, "", goal)
		}
		printf "| %s | %s | %s | %s | %s | %s | %s |\n", f[3], f[5], p == "" ? "" : short(p) " " f[4], short(o) " " f[4],
			ratio == "" ? "" : told(f[8], ratio), goal, met
	}
	exit bad
}
