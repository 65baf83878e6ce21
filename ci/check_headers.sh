#!/usr/bin/env bash
# The mistake it stops: a header that works only because of what happens to be
# included before it.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

pg_config=${PG_CONFIG:-pg_config}
server=$("$pg_config" --includedir-server)
bad=0

while read -r header; do
	if grep -nE '#[[:space:]]*include[[:space:]]*"postgres\.h"' "$header"; then
		echo "$header: postgres.h is included by the .c file, first of all, never by a header"
		bad=1
	fi
	if ! printf '#include "postgres.h"\n#include "%s"\n' "${header#src/}" |
		gcc -x c -fsyntax-only -Wall -Wextra -Werror -Wno-unused-parameter -Wno-sign-compare -Wno-unused-const-variable \
			-Isrc -isystem "$server" -D_GNU_SOURCE -; then
		echo "$header: does not compile alone"
		bad=1
	fi
done < <(find src -type f -name '*.h' | LC_ALL=C sort)

exit $bad
