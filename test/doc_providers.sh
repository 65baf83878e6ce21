#!/usr/bin/env bash
# Whether doc/providers.md and README.md say of every provider of the registry what it is: a section with its title, each of
# its options and secrets, which options are required, and its capabilities. Asks the server that PGHOST, PGPORT and PGUSER
# (a superuser) name, whose errors list them; then damages copies of both documents and sees each mistake found. Prints TAP.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
db=authsync_doc_providers_$$
count=0
failed=0
unset PGDATABASE PGOPTIONS
trap 'psql -Xqd postgres -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" >/dev/null 2>&1 || true; rm -rf "$work"' EXIT

tap() {		# RESULT NAME [FILE ...]: the files say more, if it is not ok
	local result=$1 name=$2
	shift 2
	count=$((count + 1))
	if [ "$result" -eq 0 ]; then
		echo "ok $count - $name"
	else
		failed=$((failed + 1))
		echo "not ok $count - $name"
		[ $# -eq 0 ] || sed 's/^/# /' "$@"
	fi
}

status() {		# COMMAND ...: 0 or 1, for tap
	if "$@"; then echo 0; else echo 1; fi
}

# ---- The registry: lines of provider, kind, value

psql -Xqd postgres -c 'SET client_min_messages = warning' -c "DROP DATABASE IF EXISTS $db WITH (FORCE)" -c "CREATE DATABASE $db"
psql -XqAt -F '|' -v ON_ERROR_STOP=1 -d "$db" >"$work/registry" -f - <<'SQL'
SET client_min_messages = warning;
CREATE EXTENSION authsync;
CREATE TABLE registry (provider text, kind text, value text);

CREATE FUNCTION said(statement text, OUT message text, OUT hint text) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE statement;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
END $$;

CREATE FUNCTION server(provider text, options text) RETURNS text LANGUAGE sql
    RETURN format('CREATE SERVER %I FOREIGN DATA WRAPPER authsync OPTIONS (provider %L, %s)', provider, provider, options);

DO $$
DECLARE
    url text := 'url ''https://example.com''';
    p text;
    known text[];
    needed text[];
    options text;
    answer record;
    parts text[];
BEGIN
    FOREACH p IN ARRAY string_to_array(substring((said(server('none such', url))).hint FROM 'Providers are (.*)\.'), ', ') LOOP
        known := string_to_array(substring((said(server(p, 'no_such_option ''x'''))).hint FROM 'also (.*)\.'), ', ');
        needed := '{}';
        options := url;
        LOOP
            answer := said(server(p, options));
            EXIT WHEN answer.message IS NULL;
            parts := regexp_match(answer.message, 'option "(.*)" is missing');
            IF parts IS NULL THEN
                RAISE EXCEPTION '%: %', p, answer.message;
            END IF;
            needed := needed || parts;
            options := options || format(', %I ''x''', parts[1]);
        END LOOP;

        parts := regexp_match((said(format('SELECT authsync.set_secret(%L, ''no such secret'', ''x'')', p))).hint, 'Secrets of (.*) are (.*); and ');
        INSERT INTO registry VALUES (p, 'title', parts[1]), (p, 'capabilities', array_to_string(authsync.provider_capabilities(p), ' '));
        INSERT INTO registry SELECT p, 'secret', s FROM string_to_table(parts[2], ', ') AS s;
        INSERT INTO registry SELECT p, 'option', o FROM unnest(known) AS o;
        INSERT INTO registry SELECT p, CASE WHEN o = ANY (needed) THEN 'required' ELSE 'optional' END, o FROM unnest(known) AS o;
    END LOOP;
END $$;
SELECT provider, kind, value FROM registry;
SQL

# ---- What the documents lack of it

section() {		# DOCUMENT TITLE: the lines below that heading
	awk -v heading="## $2" '/^## / { inside = $0 == heading; next } inside' "$1"
}

options() {		# The tables of options in a section: name, and yes or no, a line each
	awk -F ' *[|] *' '/^[|] option [|] required [|]/ { table = 1; next } !/^[|]/ { table = 0 }
		table && /^[|] `/ { n = split($2, name, "`"); for (i = 2; i <= n; i += 2) print name[i], $3 }' "$work/section"
}

lacks() {		# PROVIDERS README: a line for each
	local provider kind value title anchor
	while IFS='|' read -r provider kind value; do
		case $kind in
			title)
				title=$value
				anchor=$(printf '%s' "$title" | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9_-')
				section "$1" "$title" >"$work/section"
				[ -s "$work/section" ] || echo "$provider: no section \"$title\""
				grep -qF "provider '$provider'" "$work/section" || echo "$provider: no start to copy"
				grep -qF "[$title](#$anchor)" "$1" || echo "$provider: not in the contents"
				sed -n "s/^$provider|option|//p" "$work/registry" >"$work/known"
				options | cut -d ' ' -f 1 | grep -vxFf "$work/known" | sed "s/^/$provider: there is no option /" || true
				;;
			option) options | grep "^$value " >/dev/null || echo "$provider: no option $value" ;;
			required) options | grep -xF "$value yes" >/dev/null || echo "$provider: option $value is required" ;;
			optional) options | grep -xF "$value no" >/dev/null || echo "$provider: option $value is not required" ;;
			secret) grep -qF "| \`$value\` |" "$work/section" || echo "$provider: no secret $value" ;;
			capabilities) grep -qF "| [$title](doc/providers.md#$anchor) | \`$provider\` | $value |" "$2" || echo "$provider: its capabilities are $value" ;;
		esac
	done < <(cat "$work/registry")
}

tap "$(status [ "$(cut -d '|' -f 1 "$work/registry" | sort -u | wc -l)" -gt 4 ])" 'providers were found'
tap "$(status [ "$(grep -c '|option|' "$work/registry")" -gt 4 ])" 'options were found'
lacks doc/providers.md README.md >"$work/lacks"
while read -r provider; do
	grep "^$provider: " "$work/lacks" >"$work/mine" || true
	tap "$(status [ ! -s "$work/mine" ])" "doc/providers.md, README.md: $provider" "$work/mine"
done < <(cut -d '|' -f 1 "$work/registry" | uniq)

# ---- That it finds what it should

finds() {		# LACK SED-SCRIPT [DOCUMENT]: damaged so, that is lacking
	cp doc/providers.md README.md "$work"
	sed -i "$2" "$work/${3:-providers.md}"
	lacks "$work/providers.md" "$work/README.md" >"$work/lacks"
	tap "$(status grep -qxF "$1" "$work/lacks")" "damaged: $1" "$work/lacks"
}

finds 'auth0: no section "Auth0"' 's/^## Auth0$/## Somebody else/'
finds 'auth0: not in the contents' 's/\[Auth0\](#auth0)//'
finds 'auth0: no start to copy' "s/provider 'auth0'/provider 'clerk'/"
finds 'auth0: no option verify_email' '/^| .verify_email. |/d'
finds 'auth0: option client_id is required' 's/^\(| .client_id. |\) yes |/\1 no |/'
finds 'auth0: option audience is not required' 's/^\(| .audience. |\) no |/\1 yes |/'
finds 'auth0: there is no option made_up' 's/^\(| .\)audience\(. |\)/\1made_up\2/'
finds 'auth0: no secret client_secret' '/^| .client_secret. |/d'
finds 'auth0: its capabilities are list get create update delete changes set_id' '/^|.*.auth0. |/s/ changes//' README.md

echo "1..$count"
[ "$failed" -eq 0 ]
