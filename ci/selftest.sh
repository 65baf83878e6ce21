#!/usr/bin/env bash
# The mistake it stops: a check that can no longer fail.  Builds a small sound
# tree, sees every check pass on it, then seeds one mistake at a time and sees
# the right check fail and say why.  Prints TAP.
set -euo pipefail
ci=$(realpath "$(dirname "$0")")
pg_config=${PG_CONFIG:-pg_config}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
n=0
failed=0

sound_tree()
{
	rm -rf "$work/tree"
	mkdir -p "$work/tree"/{src/{ground,provider,sync,face},sql/upgrade,script}
	cd "$work/tree"
	printf "comment = 'toy'\ndefault_version = '0.1'\n" >authsync.control
	printf '{"version": "0.1.0", "provides": {"authsync": {"version": "0.1.0"}}}\n' >META.json
	printf '# Changes\n\n## [Unreleased]\n- all of it\n' >CHANGELOG.md
	printf '#!/usr/bin/env bash\necho "$#"\n' >script/run
	echo '#define ASY_NOW (PG_VERSION_NUM >= 150000)' >src/compat.h
	printf 'extern void asy_db_begin(Datum first);\n' >src/ground/db.h
	printf '#include "postgres.h"\n#include <curl/curl.h>\n' >src/ground/http.c
	printf '/* Supabase */\n#include "postgres.h"\n#include "ground/db.h"\n' >src/sync/plan.c
	printf 'extern int asy_plan;\n' >src/sync/plan.h
	printf 'extern int asy_provider;\n' >src/provider/provider.h
	printf 'const char *name = "supabase";\n' >src/provider/supabase.c
	printf '#ifdef PROVIDER\nPROVIDER(supabase)\nPROVIDER(auth0)\nPROVIDER(rest)\n#endif\n' >src/provider/provider_list.h
	printf '#include "sync/plan.h"\n#include "utils/guc.h"\nconst char *r = "supabase_auth_admin";\n' >src/face/sql_admin.c
	printf '#include "face/none.h"\n' >src/authsync.c && : >src/face/none.h
	cat >authsync--0.1.sql <<-'SQL'
		CREATE TABLE t (a int); -- not IF NOT EXISTS
		CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql SECURITY DEFINER
		    SET search_path = pg_catalog, pg_temp
		    AS $_$ BEGIN CREATE TABLE IF NOT EXISTS x (); RETURN 1; END $_$;
		COMMENT ON FUNCTION f() IS 'SECURITY DEFINER; OR REPLACE';
	SQL
	echo 'CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql RETURN 1;' >sql/upgrade/toy--0.1--0.2.sql
	library 'int asy_db_begin(void) { return hidden(); } int authsync_x(void) { return 1; } void _PG_init(void) {}'
}

library()
{
	printf 'static int hidden(void) { return 1; } %s' "$1" |
		gcc -x c -shared -fPIC -w -o authsync.so -
}

report()	# NAME STATUS
{
	n=$((n + 1))
	if [ "$2" = 0 ]; then echo "ok $n - $1"; else
		echo "not ok $n - $1"
		sed 's/^/# /' "$work/out"
		failed=1
	fi
}

# stops CHECK WORDS MISTAKE: the check fails on the mistake and says WORDS
stops()
{
	local status=0
	sound_tree
	eval "$3"
	if PG_CONFIG=$pg_config "$ci/$1" "$work/tree" >"$work/out" 2>&1; then status=1; fi
	grep -qF -- "$2" "$work/out" || status=1
	report "$1 stops: $3" "$status"
}

sound_tree
for check in "$ci"/check_*.sh; do
	status=0
	PG_CONFIG=$pg_config "$check" "$work/tree" >"$work/out" 2>&1 || status=1
	report "$(basename "$check") passes a sound tree" "$status"
done

stops check_floors.sh 'floor 0 includes src/sync/plan.h' "echo '#include \"sync/plan.h\"' >>src/ground/http.c"
stops check_floors.sh 'floor 0 includes src/sync/plan.h' "echo '#include \"../sync/plan.h\"' >>src/ground/http.c"
stops check_floors.sh 'floor 3 includes src/fdw/scan.h' "mkdir src/fdw src/worker; : >src/fdw/scan.h; echo '# include \"fdw/scan.h\"' >src/worker/loop.c"
stops check_floors.sh 'only provider.h is for others' ": >src/provider/paging.h; echo '#include \"provider/paging.h\"' >>src/sync/plan.c"
stops check_floors.sh 'does not exist' "echo '#include \"ground/gone.h\"' >>src/sync/plan.c"
stops check_floors.sh 'stands on no floor' "mkdir src/util; : >src/util/util.c"
stops check_floors.sh '601 lines, 600 are allowed' "seq 601 | sed 's,.*,/* & */,' >src/sync/big.c"
stops check_floors.sh '601 lines, 600 are allowed' "seq 601 | sed 's/^/-- /' >sql/10_big.sql"
stops check_floors.sh 'in src/compat.h only' "echo '#if PG_VERSION_NUM >= 160000' >>src/sync/plan.c; echo '#endif' >>src/sync/plan.c"
stops check_floors.sh 'in src/ground/http*.c only' "echo '#include <curl/curl.h>' >>src/sync/plan.c"
stops check_floors.sh 'names a provider outside' "echo 'const char *who = \"Auth0\";' >>src/sync/plan.c"
stops check_floors.sh 'names a provider outside' "echo 'PROVIDER(toy)' >>src/provider/provider_list.h; echo 'const char *who = \"toy\";' >>src/sync/plan.c"
stops check_floors.sh 'has no PROVIDER' ': >src/provider/provider_list.h'
stops check_headers.sh 'does not compile alone' "echo 'extern TriggerData asy_data;' >src/sync/lone.h"
stops check_headers.sh 'never by a header' "echo '#include \"postgres.h\"' >src/sync/lone.h"
stops check_version.sh 'META.json says 0.2.0' "sed -i 's/\"0.1.0\"/\"0.2.0\"/' META.json"
stops check_version.sh 'META.json says 0.1.1' "sed -i 's/\"version\": \"0.1.0\"}}/\"version\": \"0.1.1\"}}/' META.json"
stops check_version.sh 'CHANGELOG.md begins with 0.0.9' "sed -i 's/Unreleased/0.0.9/' CHANGELOG.md"
stops check_exports.sh 'http_request' "library 'int http_request(void) { return hidden(); }'"
stops check_exports.sh 'not built' 'rm authsync.so'
stops check_sql.sh 'would take over' "echo 'CREATE OR REPLACE VIEW v AS SELECT 1;' >>authsync--0.1.sql"
stops check_sql.sh 'would take over' "echo 'CREATE SCHEMA IF NOT EXISTS s;' >>authsync--0.1.sql"
stops check_sql.sh 'would take over' "echo 'CREATE TABLE IF NOT EXISTS s (a int);' >>sql/upgrade/toy--0.1--0.2.sql"
stops check_sql.sh 'SECURITY DEFINER without' "sed -i '/SET search_path/d' authsync--0.1.sql"
stops check_sql.sh 'SECURITY DEFINER without' "sed -i 's/, pg_temp//' authsync--0.1.sql"
stops check_sql.sh 'SECURITY DEFINER without' "echo 'ALTER FUNCTION f() SECURITY DEFINER;' >>sql/upgrade/toy--0.1--0.2.sql"
stops check_words.sh 'sql/10_x.sql:1' "echo '-- TO''DO: all' >sql/10_x.sql"
if command -v shellcheck >/dev/null; then
	stops check_words.sh 'SC2086' "echo 'rm \$1' >>script/run"
fi

echo "1..$n"
exit $failed
