#!/usr/bin/env bash
# The mistake it stops: a function left without "static" under a common name.
# Libraries are loaded with global symbols, so that on servers before 16 another
# extension's http_request() could be called in place of ours.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

if [ ! -f authsync.so ]; then
	echo "authsync.so is not built: make first"
	exit 1
fi

symbols=$(nm --dynamic --defined-only --format=posix authsync.so | cut -d' ' -f1)
if [ -z "$symbols" ]; then
	echo "authsync.so exports nothing at all"
	exit 1
fi
if grep -vE '^(authsync_.*|asy_.*|pg_finfo_(authsync|asy)_.*|Pg_magic_func|_PG_init|_init|_fini)$' <<<"$symbols"; then
	echo "exported without the prefix authsync_ (called by SQL or the postmaster) or asy_ (by other files of ours)"
	exit 1
fi
