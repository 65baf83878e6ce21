# CREATE EXTENSION and setup() on a database that works: whoever holds a lock on the
# users makes them wait, but not longer than authsync.lock_timeout, and behind them
# nobody queues up.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $node = new_server('locks');
my $i = 100;

sub triggers
{
	my ($db) = @_;
	return $node->safe_psql($db, q{SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
		WHERE t.tgrelid = 'auth.users'::regclass AND p.pronamespace = to_regnamespace('authsync')::oid});
}

# Runs a statement while somebody holds a lock, with sign-ups one after the other.
# Returns what the statement said, how long it took, and the longest sign-up.
sub against_lock
{
	my ($db, $lock, $sql) = @_;
	my $holder = $node->background_psql($db);
	$holder->query_safe("BEGIN; $lock");
	my $run = start_psql($node, $db, $sql);
	my ($slowest, $signed) = (0, 0);
	my $client = $node->background_psql($db, extra_params => [ '-U', 'supabase_auth_admin' ]);
	while ($run->{h}->pumpable)
	{
		$i++;
		my $began = time;
		$client->query_safe(AuthsyncTest::users_sql($i, $i));
		my $took = time - $began;
		$slowest = $took if $took > $slowest;
		$signed++;
		sleep 0.01;
		$run->{h}->pump_nb;
	}
	my $status = finish_psql($run);
	$client->quit;
	$holder->query_safe('COMMIT');
	$holder->quit;
	return { status => $status, said => ${ $run->{err} }, out => ${ $run->{out} }, took => $run->{took}, slowest => $slowest, signed => $signed };
}

my $open_signup = AuthsyncTest::users_sql(99, 99);

# ---- CREATE EXTENSION against a sign-up that does not end

auth_database($node, 'created');
add_users($node, 'created', 1, 50);
my $r = against_lock('created', $open_signup, q{SET authsync.lock_timeout = '1500ms'; CREATE EXTENSION authsync});
is($r->{status}, 0, 'CREATE EXTENSION does not fail') or diag($r->{said});
like($r->{said}, qr/NOTICE/, 'but says something');
like($r->{said}, qr/authsync\.setup\(\)/, 'namely what is left to do');
cmp_ok($r->{took}, '>', 1.4, "it waited as long as it may ($r->{took} s)");
cmp_ok($r->{took}, '<', 4, 'and no longer');
cmp_ok($r->{slowest}, '<', 0.5, "no sign-up queued up behind it (the slowest of $r->{signed} took $r->{slowest} s)");
cmp_ok($r->{signed}, '>', 20, 'they went on all the time');
is(triggers('created'), 0, 'no trigger yet');
is($node->safe_psql('created', q{SELECT count(*) FROM auth_profile_mismatch WHERE status = 'auth_only'}), 51 + $r->{signed}, 'the view answers all the same');
like($node->safe_psql('created', q{SELECT string_agg(concat_ws(' ', severity, check_name, detail, hint), E'\n') FROM authsync.lint() WHERE severity <> 'info'}), qr/authsync\.setup\(\)/, 'and lint() knows what is missing');
is(sqlstate($node, 'created', 'SELECT * FROM authsync.setup()'), '00000', 'setup() later');
cmp_ok(triggers('created'), '>', 0, 'attaches the triggers');
is(sign_up($node, 'created', 90), '', 'a sign-up');
is($node->safe_psql('created', "SELECT count(*) FROM public.profiles WHERE id = '" . uid(90) . "'"), 1, 'has its profile');

# ---- setup() against the same, and against a reader that holds on to a lock

my $had = triggers('created');
$node->safe_psql('created', q{SELECT * FROM authsync.setup(mode => 'off')});
is(triggers('created') < $had, 1, 'mode off takes triggers away');
for my $lock (AuthsyncTest::users_sql(98, 98), 'LOCK TABLE auth.users IN SHARE ROW EXCLUSIVE MODE')
{
	# Behind the second lock sign-ups wait of themselves; what counts is the statement.
	my $self = $lock =~ /^LOCK/;
	if ($self)
	{
		my $holder = $node->background_psql('created');
		$holder->query_safe("BEGIN; $lock");
		my $run = start_psql($node, 'created', q{SET authsync.lock_timeout = '1s'; SELECT * FROM authsync.setup(mode => 'safe')});
		is(finish_psql($run), 0, 'setup() does not fail at a lock') or diag(${ $run->{err} });
		cmp_ok($run->{took}, '<', 3.5, "setup() gives up in time ($run->{took} s)");
		$holder->query_safe('COMMIT');
		$holder->quit;
	}
	else
	{
		$r = against_lock('created', $lock, q{SET authsync.lock_timeout = '1s'; SELECT * FROM authsync.setup(mode => 'safe')});
		is($r->{status}, 0, 'setup() does not fail at an open sign-up') or diag($r->{said});
		cmp_ok($r->{took}, '<', 3.5, "it gives up in time ($r->{took} s)");
		cmp_ok($r->{slowest}, '<', 0.5, "no sign-up queued up behind it (the slowest of $r->{signed} took $r->{slowest} s)");
		like($r->{said} . $r->{out}, qr/authsync\.setup\(\)/, 'it says what is left to do');
	}
	is(triggers('created') < $had, 1, 'the trigger is still away');
}
is(sqlstate($node, 'created', q{SELECT * FROM authsync.setup(mode => 'safe')}), '00000', 'setup() without a lock in its way');
is(triggers('created'), $had, 'puts it back');
is($node->safe_psql('created', q{SELECT count(*) FROM authsync.setup() WHERE action IN ('created', 'changed')}), 0, 'and once more has nothing to do');

# ---- a lock on the profiles, and DROP EXTENSION

$node->safe_psql('created', q{SELECT * FROM authsync.setup(mode => 'off')});
my $holder = $node->background_psql('created');
$holder->query_safe('BEGIN; LOCK TABLE public.profiles IN ACCESS EXCLUSIVE MODE');
my $run = start_psql($node, 'created', q{SET authsync.lock_timeout = '1s'; SELECT * FROM authsync.setup(mode => 'safe')}, timeout => 15);
is(finish_psql($run), 0, 'setup() does not fail at a lock on the profiles') or diag(${ $run->{err} });
cmp_ok($run->{took}, '<', 5, "and gives up in time ($run->{took} s)");
my $began = time;
is(sign_up($node, 'created', 91), '', 'a sign-up goes through meanwhile');
cmp_ok(time - $began, '<', 2.5, 'within authsync.profile_lock_timeout');
$holder->query_safe('COMMIT');
$holder->quit;

# ---- how long the locks are held: with nobody in the way, a sign-up hardly notices

auth_database($node, 'large');
add_signups($node, 'large', 10_001, 60_000);
$i = 100;
$r = against_lock('large', 'SELECT 1', 'CREATE EXTENSION authsync');
is($r->{status}, 0, 'CREATE EXTENSION on 50,000 users') or diag($r->{said});
cmp_ok($r->{slowest}, '<', 0.25, "stops no sign-up for long (the slowest of $r->{signed} took $r->{slowest} s)");
$r = against_lock('large', 'SELECT 1', "SELECT * FROM authsync.setup(mode => 'strict')");
cmp_ok($r->{slowest}, '<', 0.25, "nor does setup() (the slowest of $r->{signed} took $r->{slowest} s)");

$node->stop;
done_testing;
