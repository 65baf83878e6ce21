# What the TAP tests have in common: a server, a database with GoTrue's schema,
# people in it, and questions asked of both.
package AuthsyncTest;
use strict;
use warnings;
use Exporter 'import';
use File::Basename;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our @EXPORT = qw($tree new_server auth_database run_file uid add_users add_signups sign_up
  as_role sqlstate backend start_psql finish_psql wait_until contents new_database
  dump_to restore_sql);

our $tree = $ENV{AUTHSYNC_TREE} || dirname(dirname(dirname(File::Spec->rel2abs(__FILE__))));

# A started server; a backend that is killed does not take it down for good.
sub new_server
{
	my ($name, %opt) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);
	$node->init(%{ $opt{init} || {} });
	$node->append_conf('postgresql.conf', "restart_after_crash = on\n" . ($opt{conf} || ''));
	$node->start;
	return $node;
}

sub run_file
{
	my ($node, $db, $file) = @_;
	system_or_bail('psql', '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null', '-d', $node->connstr($db), '-f', $file);
}

sub new_database
{
	my ($node, $db) = @_;
	$node->safe_psql('postgres', "CREATE DATABASE $db TEMPLATE template0");
}

# A database as an application on GoTrue has it: auth schema, profiles, nobody in it.
sub auth_database
{
	my ($node, $db, %opt) = @_;
	new_database($node, $db);
	run_file($node, $db, "$tree/test/fixture/auth_schema.sql");
	run_file($node, $db, "$tree/test/fixture/profiles.sql") unless $opt{no_profiles};
}

# The id of user number i
sub uid
{
	return sprintf('00000000-0000-4000-8000-%012d', shift);
}

# Users by number, as GoTrue's own two INSERTs leave them.
sub users_sql
{
	my ($from, $to) = @_;
	return qq{
		INSERT INTO auth.users (instance_id, id, aud, role, email, encrypted_password, email_confirmed_at,
			confirmation_token, recovery_token, email_change_token_new, email_change,
			raw_app_meta_data, raw_user_meta_data, created_at, updated_at)
		SELECT '00000000-0000-0000-0000-000000000000', ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid,
			'authenticated', 'authenticated', 'user' || i || '\@example.test', '', now(), '', '', '', '',
			'{"provider": "email", "providers": ["email"]}', jsonb_build_object('full_name', 'User ' || i),
			now() - interval '1 hour', now()
		FROM generate_series($from, $to) AS i;
		INSERT INTO auth.identities (provider_id, user_id, identity_data, provider, created_at, updated_at)
		SELECT id, id, jsonb_build_object('sub', id, 'email', email, 'email_verified', true), 'email', created_at, updated_at
		FROM (SELECT ('00000000-0000-4000-8000-' || lpad(i::text, 12, '0'))::uuid FROM generate_series($from, $to) AS i) AS n (id)
		JOIN auth.users USING (id);};
}

sub add_users
{
	my ($node, $db, $from, $to) = @_;
	$node->safe_psql($db, users_sql($from, $to));
}

# The same, with what the audit log says of a self sign-up.
sub add_signups
{
	my ($node, $db, $from, $to) = @_;
	add_users($node, $db, $from, $to);
	$node->safe_psql($db, qq{
		INSERT INTO auth.audit_log_entries (instance_id, id, payload, created_at, ip_address)
		SELECT '00000000-0000-0000-0000-000000000000', gen_random_uuid(), json_build_object('action', 'user_signedup',
			'actor_id', id, 'actor_username', email, 'actor_via_sso', false, 'log_type', 'team',
			'traits', json_build_object('provider', 'email')), created_at, ''
		FROM auth.users WHERE right(id::text, 12)::bigint BETWEEN $from AND $to;});
}

# One sign-up, the way GoTrue comes: as its own role, with its own search_path.
# Returns what psql says on stderr.
sub sign_up
{
	my ($node, $db, $i) = @_;
	my ($rc, $out, $err) = as_role($node, $db, 'supabase_auth_admin', users_sql($i, $i));
	return $err;
}

sub as_role
{
	my ($node, $db, $role, $sql) = @_;
	return $node->psql($db, $sql, extra_params => [ '-U', $role ]);
}

# The SQLSTATE that a statement ends with; 00000 if it ends well.
sub sqlstate
{
	my ($node, $db, $sql, %opt) = @_;
	my ($rc, $out, $err) = $node->psql($db, $sql,
		extra_params => [ '-v', 'VERBOSITY=sqlstate', ($opt{role} ? ('-U', $opt{role}) : ()) ]);
	return '00000' if $rc == 0;
	return $err =~ /(?:ERROR|FATAL): +([0-9A-Z]{5})/ ? $1 : "no SQLSTATE: $err";
}

# psql in the background, told some statements
sub start_psql
{
	my ($node, $db, $sql, %opt) = @_;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/statements.sql';
	append_to_file($file, $sql);
	my ($out, $err) = ('', '');
	my $run = { out => \$out, err => \$err, since => time };
	$run->{h} = IPC::Run::start(
		[ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', ($opt{role} ? ('-U', $opt{role}) : ()),
			'-d', $node->connstr($db) . " application_name=" . ($opt{name} || 'background') ],
		'<', $file, '>', \$out, '2>', \$err,
		IPC::Run::timeout($opt{timeout} || $PostgreSQL::Test::Utils::timeout_default));
	return $run;
}

# Waits for its end: exit status, and {took} seconds. One that does not end is killed.
sub finish_psql
{
	my ($run) = @_;
	my $ended = eval { $run->{h}->finish; 1 };
	$run->{took} = time - $run->{since};
	return $run->{h}->full_result(0) >> 8 if $ended;
	$run->{h}->kill_kill;
	return 'does not end';
}

# The process that works for start_psql(name => …), once it is at work
sub backend
{
	my ($node, $db, $name) = @_;
	my $pid = '';
	wait_until(sub {
		$pid = $node->safe_psql($db, "SELECT pid FROM pg_stat_activity WHERE application_name = '$name' AND state = 'active'");
		return $pid ne '';
	});
	return $pid;
}

# True as soon as the condition is; false after some seconds.
sub wait_until
{
	my ($condition, $seconds) = @_;
	my $end = time + ($seconds || $PostgreSQL::Test::Utils::timeout_default);
	while (time < $end)
	{
		return 1 if $condition->();
		sleep 0.01;
	}
	return 0;
}

# What a database says through the face, one string: two that agree are in the same state.
sub contents
{
	my ($node, $db, $face) = @_;
	$face ||= 'public';
	return $node->safe_psql($db, qq{
		SELECT 'metric', metric, count FROM $face.diagnose_auth_profile_consistency();
		SELECT 'status', status, count(*) FROM $face.auth_profile_mismatch GROUP BY status ORDER BY status;
		SELECT 'signups', count(*), md5(string_agg(s::text, ' ' ORDER BY audit_id)) FROM $face.signup_audit_summary AS s;
		SELECT 'profiles', count(*), md5(string_agg(p::text, ' ' ORDER BY id)) FROM public.profiles AS p;
		SELECT 'events', count(*), max(id), md5(string_agg(e::text, ' ' ORDER BY id)) FROM $face.user_events AS e;
		SELECT 'quarantine', count(*), md5(string_agg(q::text, ' ' ORDER BY user_id)) FROM authsync.quarantine AS q;
		SELECT 'binding', md5(string_agg(b::text, ' ')) FROM authsync.bindings AS b;
	});
}

sub dump_to
{
	my ($node, $db, @options) = @_;
	system_or_bail('pg_dump', '-d', $node->connstr($db), @options);
}

sub restore_sql
{
	my ($node, $db, $file, @options) = @_;
	system_or_bail('psql', '-X', '-q', '-o', '/dev/null', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', $file, @options);
}

1;
