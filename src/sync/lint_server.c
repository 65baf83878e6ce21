/*
 * lint_server.c
 *	  Checks of settings: what would show a secret, and what keeps triggers
 *	  from firing.
 */
#include "postgres.h"

#include "sync/lint.h"

#define SETTING(name) "pg_catalog.current_setting('" name "')"
#define SET_ALL(setting) "'ALTER SYSTEM SET " setting "; -- then SELECT pg_reload_conf();'"

/*
 * The auth server sends password hashes, tokens and addresses as parameters;
 * a statement that is logged brings them along unless their length is 0.
 */
#define LOGS_PARAMETERS SETTING("log_parameter_max_length") " <> '0'"

static const char log_shows_parameters[] =
	"SELECT 'log_parameter_max_length', pg_catalog.format('%s: the server log gets the parameters of every statement, and with them the tokens and"
	" password hashes of whoever signs up or in', v.setting), " SET_ALL("log_parameter_max_length = 0")
	" FROM (SELECT pg_catalog.concat_ws(', ', CASE WHEN " SETTING("log_statement") " IN ('mod', 'all') THEN 'log_statement = ' || " SETTING("log_statement") " END,"
	"  CASE WHEN " SETTING("log_min_duration_statement") " = '0' THEN 'log_min_duration_statement = 0' END) AS setting) AS v"
	" WHERE v.setting <> '' AND " LOGS_PARAMETERS;

static const char log_shows_slow[] =
	"SELECT 'log_parameter_max_length', pg_catalog.format('%s = %s: the server log gets the parameters of slow statements, tokens and password hashes among them',"
	"  v.name, pg_catalog.current_setting(v.name)), " SET_ALL("log_parameter_max_length = 0")
	" FROM (VALUES ('log_min_duration_statement'), ('log_min_duration_sample')) AS v(name)"
	" WHERE pg_catalog.current_setting(v.name) NOT IN ('-1', CASE v.name WHEN 'log_min_duration_statement' THEN '0' ELSE '-1' END) AND " LOGS_PARAMETERS;

static const char log_shows_errors[] =
	"SELECT 'log_parameter_max_length_on_error', 'the server log gets the parameters of every statement that fails, tokens and password hashes among them',"
	" " SET_ALL("log_parameter_max_length_on_error = 0")
	" WHERE " SETTING("log_parameter_max_length_on_error") " <> '0'";

static const char log_shows_ddl[] =
	"SELECT 'log_statement', pg_catalog.format('%s: the server log gets every password that is set by CREATE or ALTER ROLE, or in a user mapping', " SETTING("log_statement") "),"
	" 'SET log_statement = ''none''; -- in the session that sets one'"
	" WHERE " SETTING("log_statement") " <> 'none'";

static const char replication_role[] =
	"SELECT 'session_replication_role', pg_catalog.format('%s in this session: no ordinary trigger fires, and who is loaded so gets no profile', " SETTING("session_replication_role") "),"
	" 'RESET session_replication_role; -- then CALL authsync.maintain();'"
	" WHERE " SETTING("session_replication_role") " = 'replica'";

static const char replication_role_kept[] =
	"SELECT pg_catalog.concat_ws(' in ', r.rolname, d.datname), 'session_replication_role = replica is set for all its sessions: no ordinary trigger fires there',"
	" CASE WHEN r.oid IS NULL THEN pg_catalog.format('ALTER DATABASE %I RESET session_replication_role;', d.datname)"
	"  ELSE pg_catalog.format('ALTER ROLE %I%s RESET session_replication_role;', r.rolname, ' IN DATABASE ' || pg_catalog.quote_ident(d.datname)) END"
	" FROM pg_catalog.pg_db_role_setting AS s LEFT JOIN pg_catalog.pg_roles AS r ON r.oid = s.setrole LEFT JOIN pg_catalog.pg_database AS d ON d.oid = s.setdatabase"
	" WHERE 'session_replication_role=replica' = ANY (s.setconfig) AND (s.setdatabase = 0 OR d.datname = pg_catalog.current_database())";

static const char lock_unbounded[] =
	"SELECT 'authsync.profile_lock_timeout', '0: a sign-up waits without limit for whoever holds a lock on profiles', " SET_ALL("authsync.profile_lock_timeout = ''1s''")
	" WHERE " SETTING("authsync.profile_lock_timeout") " = '0'";

const AsyLintCheck asy_lint_server[] = {
	{"log_shows_parameters", "warning", ASY_LINT_NOTHING, log_shows_parameters, NULL},
	{"log_shows_slow", "info", ASY_LINT_NOTHING, log_shows_slow, NULL},
	{"log_shows_errors", "warning", ASY_LINT_NOTHING, log_shows_errors, NULL},
	{"log_shows_ddl", "info", ASY_LINT_NOTHING, log_shows_ddl, NULL},
	{"replication_role", "warning", ASY_LINT_NOTHING, replication_role, NULL},
	{"replication_role_kept", "error", ASY_LINT_NOTHING, replication_role_kept, NULL},
	{"lock_unbounded", "warning", ASY_LINT_NOTHING, lock_unbounded, NULL},
	{NULL}
};
