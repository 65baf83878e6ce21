# A backfill that is killed at any moment and run again loses nothing and doubles
# nothing. The kill is SIGKILL, so the whole server goes through crash recovery.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $users = 60_000;
my $node = new_server('kill');
srand(20240601);

# Users first, extension afterwards: none of them has a profile. One can have none.
sub prepare
{
	my ($db) = @_;
	auth_database($node, $db);
	add_users($node, $db, 1, $users);
	$node->safe_psql($db, "ALTER TABLE public.profiles ADD CONSTRAINT refuses_one CHECK (email <> 'user777\@example.test')");
	$node->safe_psql($db, 'CREATE EXTENSION authsync');
}

# What must be true at any time: a profile belongs to one user, and has one event.
sub sound
{
	my ($db, $what) = @_;
	is( $node->safe_psql($db, q{
		SELECT count(*) - count(DISTINCT p.id),
			count(*) FILTER (WHERE u.id IS NULL),
			count(*) FILTER (WHERE coalesce(e.n, 0) <> 1),
			(SELECT count(*) FROM user_events WHERE event_type = 'profile_backfilled') - count(*)
		FROM public.profiles AS p
		LEFT JOIN auth.users AS u USING (id)
		LEFT JOIN (SELECT user_id AS id, count(*) AS n FROM user_events
				WHERE event_type = 'profile_backfilled' GROUP BY 1) AS e USING (id)}),
		'0|0|0|0', $what);
}

sub profiles
{
	return $node->safe_psql(shift, 'SELECT count(*) FROM public.profiles');
}

sub working
{
	my ($run) = @_;
	$run->{h}->pump_nb;
	return $run->{h}->pumpable;
}

# The process that every start and every recovery has anew; '' while there is no server.
sub incarnation
{
	my ($out) = run_command([ 'psql', '-XAtq', '-d', $node->connstr('postgres'), '-c', "SELECT pid FROM pg_stat_activity WHERE backend_type = 'checkpointer'" ]);
	return $out;
}

# Kills the process with SIGKILL and waits until the server has been through it and is back.
sub kill_backend
{
	my ($pid) = @_;
	my $before = incarnation();
	my $killed = kill 'KILL', $pid;
	return 0 unless $killed;
	wait_until(sub { my $now = incarnation(); $now ne '' && $now ne $before }) or die 'the server did not come back';
	return 1;
}

sub complete
{
	my ($db, $what) = @_;
	is(profiles($db), $users - 1, "$what: every profile but the impossible one");
	sound($db, "$what: one profile and one event for each");
	is($node->safe_psql($db, 'SELECT user_id, sqlstate, constraint_name FROM authsync.quarantine'),
		uid(777) . '|23514|refuses_one', "$what: the impossible one waits in quarantine, once");
	is($node->safe_psql($db, 'SELECT status, count(*) FROM verify_profile_completeness() GROUP BY 1 ORDER BY 1'),
		"FAIL|1\nPASS|2", "$what: verify knows of just that one");
	is($node->safe_psql($db, 'SELECT count(*) FROM authsync.progress'), '0', "$what: no progress is shown of the dead");
}

# ---- the procedure commits batch by batch: each kill keeps what was committed

prepare('called');
my ($before, $grew, $rounds) = (0, 0, 0);
while ($rounds < 20 and $before < 0.7 * $users)		# how far a round gets is the machine's; the last must find work left
{
	my $round = ++$rounds;
	my $run = start_psql($node, 'called', 'CALL backfill_missing_profiles(10)', name => 'victim');
	my $pid = backend($node, 'called', 'victim');
	wait_until(sub { profiles('called') >= $before + 500 or !working($run) });
	sleep rand(0.02);
	ok(kill_backend($pid), "round $round: killed at work");
	isnt(finish_psql($run), 0, "round $round: its client knows");
	my $now = profiles('called');
	cmp_ok($now, '>=', $before, "round $round: what was committed stands ($now)");
	$grew++ if $now > $before;
	$before = $now;
	sound('called', "round $round: nothing half done");
}
cmp_ok($rounds, '>=', 3, "killed $rounds times");
is($grew, $rounds, 'every round got further than the one before');
cmp_ok($before, '<', $users - 1, "the last kill came before the end ($before profiles)");

my $result = $node->safe_psql('called', 'CALL backfill_missing_profiles(1000)');
is($node->safe_psql('called', qq{
	SELECT j->>'dry_run', (j->>'successful')::int, (j->>'remaining')::int, (j->>'quarantined')::int, (j->>'failed')::int
	FROM (SELECT '$result'::jsonb AS j) AS r}),
	'false|' . ($users - 1 - $before) . '|1|1|1', 'the last run says what it did');
complete('called', 'procedure');

# ---- the function is one transaction: a kill undoes it all

prepare('selected');
my $whole = time;
$node->safe_psql('selected', 'BEGIN; SELECT backfill_all_missing_profiles(100, false); ROLLBACK');
$whole = time - $whole;
is(profiles('selected'), 0, 'rolled back by hand');

my $hits = 0;
for my $round (1 .. 12)
{
	my $run = start_psql($node, 'selected', 'SELECT backfill_all_missing_profiles(100, false)', name => 'victim');
	my $pid = backend($node, 'selected', 'victim');
	sleep rand($whole * 0.4);
	kill_backend($pid);
	if (finish_psql($run) != 0)
	{
		$hits++;
		is(profiles('selected'), 0, "round $round: nothing of it stands");
	}
	else
	{
		$node->safe_psql('selected', q{DELETE FROM public.profiles; DELETE FROM user_events; DELETE FROM authsync.quarantine_rows});
	}
}
cmp_ok($hits, '>=', 4, "killed in the middle ($hits of 12)");
is($node->safe_psql('selected', q{SELECT count(*) FROM user_events}), 0, 'no event of a profile that is not');

$node->safe_psql('selected', 'SELECT backfill_all_missing_profiles(100, false)');
complete('selected', 'function');

# ---- and a sign-up goes on as before

is(sign_up($node, 'called', 900_001), '', 'a new sign-up');
is($node->safe_psql('called', "SELECT count(*) FROM public.profiles WHERE id = '" . uid(900_001) . "'"), 1, 'gets its profile');

$node->stop;
done_testing;
