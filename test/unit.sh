#!/usr/bin/env bash
# What needs no server: the pure parts, each linked with its test and nothing else. Prints TAP.
set -euo pipefail
cd "$(dirname "$0")/.."

pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for test in test/unit/*.c; do
	name=$(basename "$test" .c)
	gcc -Wall -Wextra -Werror -D_GNU_SOURCE -Isrc -isystem "$("$pg_config" --includedir-server)" \
		-o "$work/$name" "$test" "src/sync/$name.c" -L"$("$pg_config" --pkglibdir)" -L"$("$pg_config" --libdir)" -lpgport
	"$work/$name"
done
