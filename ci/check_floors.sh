#!/usr/bin/env bash
# The mistake it stops: a lower floor that reaches up (or sideways), and a file
# that knows what only one place may know.  See ci/README.md.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

bad=0
complain()
{
	printf '%s\n' "$*"
	bad=1
}

# floor PATH: the number of the floor that a file below src/ stands on
floor()
{
	case $1 in
		src/compat.h | src/ground/*) echo 0 ;;
		src/provider/*) echo 1 ;;
		src/sync/*) echo 2 ;;
		src/fdw/* | src/worker/*) echo 3 ;;
		src/face/*) echo 4 ;;
		src/authsync.c) echo 5 ;;
		*) echo none ;;
	esac
}

# The registry's names, and Supabase Auth's other one; "rest" is a word of English too.
providers=$(sed -nE 's/^PROVIDER\((\w+)\)$/\1/p' src/provider/provider_list.h | { grep -vx rest || true; } | paste -sd"|")
[ -n "$providers" ] || complain 'src/provider/provider_list.h: has no PROVIDER(name)'
providers="${providers:-none}|gotrue"

sources=$(find src -type f -name '*.[ch]' | LC_ALL=C sort)

for file in $sources; do
	here=$(floor "$file")
	if [ "$here" = none ]; then
		complain "$file: stands on no floor (ground, provider, sync, fdw, worker, face, authsync.c, compat.h)"
		continue
	fi

	while IFS=: read -r line included; do
		# An include is ours if it names a file beside this one or below src;
		# anything else is the server's.
		target=
		for candidate in "$(dirname "$file")/$included" "src/$included"; do
			if [ -f "$candidate" ]; then
				target=$(realpath --relative-to=. "$candidate")
				break
			fi
		done
		if [ -z "$target" ]; then
			case $included in
				ground/* | provider/* | sync/* | fdw/* | worker/* | face/*)
					complain "$file:$line: includes $included, which does not exist" ;;
			esac
			continue
		fi
		[ "$(dirname "$target")" = "$(dirname "$file")" ] && [ "$here" != 5 ] && continue

		there=$(floor "$target")
		if [ "$there" = none ] || [ "$there" -ge "$here" ]; then
			[ "$target" = src/compat.h ] ||
				complain "$file:$line: floor $here includes $target of floor $there: only lower floors may be included"
		elif [ "$there" = 1 ] && [ "$target" != src/provider/provider.h ]; then
			complain "$file:$line: of src/provider only provider.h is for others, not $target"
		fi
	done < <(sed -nE 's/^[[:space:]]*#[[:space:]]*include[[:space:]]*"([^"]+)".*/\1/;T;=;p' "$file" | paste -d: - -)

	# What only one place may know
	if [ "$file" != src/compat.h ]; then
		while read -r hit; do
			complain "$file:$hit: the server's version is looked at in src/compat.h only"
		done < <(grep -nE '\bPG_(VERSION|MAJORVERSION)_NUM\b' "$file" || true)
	fi
	case $file in
		src/ground/http*.c) ;;
		*)
			while read -r hit; do
				complain "$file:$hit: libcurl is used in src/ground/http*.c only"
			done < <(grep -nE '#[[:space:]]*include[[:space:]]*[<"]curl/' "$file" || true)
			;;
	esac
	case $file in
		src/provider/*) ;;
		*)
			# Code and messages; a comment may name whom it likes.  -w: the roles
			# and columns that people really have (auth0_id, …) are other words.
			while read -r hit; do
				complain "$file: names a provider outside src/provider: $hit"
			done < <(gcc -fpreprocessed -dD -E -P -x c "$file" 2>/dev/null |
				grep -wiE "$providers" || true)
			;;
	esac
done

# 600 lines is the most that one reads at a sitting.  Frozen releases
# (sql/released) are not source, they are what was shipped.
while read -r file; do
	lines=$(wc -l <"$file")
	[ "$lines" -le 600 ] || complain "$file: $lines lines, 600 are allowed"
done < <(find src sql script bin ci test bench Makefile \( -path sql/released -o -path bench/results \) -prune -o -type f \
	\( -name '*.[ch]' -o -name '*.sql' -o -name '*.sh' -o -name '*.p[lm]' -o -name '*.py' \
	-o -name '*.spec' -o -name Makefile -o -path 'script/*' -o -path 'bin/*' -o -path 'bench/*' \) -print 2>/dev/null | LC_ALL=C sort)

exit $bad
