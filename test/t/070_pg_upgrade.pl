# pg_upgrade carries the extension, its binding and its events over, with no step by
# hand. Between clusters of one version here; OLD_BINDIR names another old server's
# programs (with the same authsync installed for it).
use strict;
use warnings;
use AuthsyncTest;
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $old = PostgreSQL::Test::Cluster->new('old', $ENV{OLD_BINDIR} ? (install_path => $ENV{OLD_BINDIR} =~ s{/bin/?$}{}r) : ());
my @same = ('-E', 'UTF8', '--locale', 'C');
$old->init(extra => \@same);
if ($ENV{OLD_CONF})
{
	$old->append_conf('postgresql.conf', slurp_file($ENV{OLD_CONF}));
}
$old->start;
for my $case ([ 'plain', 'public', 'CREATE EXTENSION authsync' ], [ 'elsewhere', 'app', 'CREATE SCHEMA app; CREATE EXTENSION authsync SCHEMA app' ])
{
	my ($db, $face, $create) = @$case;
	auth_database($old, $db);
	add_signups($old, $db, 1, 40);
	$old->safe_psql($db, $create);
	$old->safe_psql($db, qq{
		SELECT $face.backfill_all_missing_profiles(100, false);
		DELETE FROM public.profiles WHERE email LIKE 'user3%';
		UPDATE public.profiles SET email = 'old-' || email WHERE email LIKE 'user4_\@%';
		ALTER TABLE public.profiles ADD CONSTRAINT not_this_one CHECK (email <> 'user61\@example.test');
	});
	sign_up($old, $db, 61);
}
auth_database($old, 'without');
my $from = $old->safe_psql('postgres', 'SHOW server_version');
my %before = (plain => contents($old, 'plain'), elsewhere => contents($old, 'elsewhere', 'app'));
$old->stop;

my $new = PostgreSQL::Test::Cluster->new('new');
$new->init(extra => \@same);
my $dir = PostgreSQL::Test::Utils::tempdir();
chdir $dir or die $!;
my $bindir = $new->config_data('--bindir');
my @upgrade = ('pg_upgrade', '--no-sync', '-b', $ENV{OLD_BINDIR} || $bindir, '-B', $bindir, '-d', $old->data_dir, '-D', $new->data_dir,
	'-p', $old->port, '-P', $new->port, '-s', $new->host);
@upgrade = grep { $_ ne '--no-sync' } @upgrade if $new->pg_version < 17;
command_ok([ @upgrade, '--check' ], 'pg_upgrade --check') or show_logs();
command_ok(\@upgrade, 'pg_upgrade') or show_logs();

sub show_logs
{
	for my $file (glob($dir . '/*.{txt,log}'), glob($new->data_dir . '/pg_upgrade_output.d/*/{,log/}*.{txt,log}'))
	{
		diag("$file:\n" . slurp_file($file)) if -s $file;
	}
}

$new->append_conf('postgresql.conf', 'restart_after_crash = on');
$new->start;
note("from $from to " . $new->safe_psql('postgres', 'SHOW server_version'));
for my $case ([ 'plain', 'public' ], [ 'elsewhere', 'app' ])
{
	my ($db, $face) = @$case;
	is(contents($new, $db, $face), $before{$db}, "$db: says what it said before");
	my $last = $new->safe_psql($db, "SELECT max(id) FROM $face.user_events");
	is(sign_up($new, $db, 101), '', "$db: a sign-up goes through");
	is($new->safe_psql($db, "SELECT email FROM public.profiles WHERE id = '" . uid(101) . "'"), 'user101@example.test', "$db: and has its profile");
	cmp_ok($new->safe_psql($db, "SELECT min(id) FROM $face.user_events WHERE user_id = '" . uid(101) . "'"), '>', $last, "$db: its events are numbered after the old ones");
	is($new->safe_psql($db, "SELECT j->>'successful', j->>'remaining' FROM $face.backfill_all_missing_profiles(100, false) AS j"), '11|1', "$db: a backfill");
	is($new->safe_psql($db, "SELECT count(DISTINCT plan_id), count(*) FROM authsync.plans"), '2|2', "$db: plans are numbered on");
	is($new->safe_psql($db, "SELECT count(*) FROM authsync.setup() WHERE action IN ('created', 'changed')"), '0', "$db: setup has nothing left to do");
	# Still an extension, whole: it goes without CASCADE and comes again.
	$new->safe_psql($db, 'DROP EXTENSION authsync');
	is(sign_up($new, $db, 102), '', "$db: dropped, a sign-up goes through");
	$new->safe_psql($db, "CREATE EXTENSION authsync SCHEMA $face");
	is($new->safe_psql($db, "SELECT count(*) FROM $face.auth_profile_mismatch WHERE status = 'auth_only'"), 2, "$db: and created again");
}
is($new->safe_psql('without', 'CREATE EXTENSION authsync; SELECT count(*) FROM auth_profile_mismatch'), 0, 'new in a database that had none');

$new->stop;
done_testing;
