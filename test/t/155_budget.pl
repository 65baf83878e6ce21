# The rate budget: shared by all sessions where the library is preloaded, each session's own where it is not; and the pause that a provider asks for.
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $double = start_double();
$double->add('supabase', count => 50);
my @ids = map { $_->{id} } $double->users('supabase');

# What two sessions say that ask for twenty users each, at the same time.
sub two_sessions
{
	my ($node, $db) = @_;
	my $sql = "EXPLAIN (ANALYZE, COSTS OFF, SUMMARY OFF) SELECT id FROM prod.users WHERE id IN ('" . join("', '", @ids[ 0 .. 19 ]) . "')";
	my @runs = map {
		my $run = { in => '', out => '', err => '' };
		$run->{h} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr($db), '-c', $sql ], '<', \$run->{in}, '>', \$run->{out}, '2>', \$run->{err});
		$run;
	} 1, 2;
	$_->{h}->finish for @runs;
	is(scalar(grep { $_->{out} =~ /rows=20/ } @runs), 2, 'two sessions ask for twenty users each') or diag(map { $_->{out} . $_->{err} } @runs);
	return join "\n", map { $_->{out} } @runs;
}

for my $preload (1, 0)
{
	my $node = new_server($preload ? 'shared' : 'own', conf => $preload ? "shared_preload_libraries = 'authsync'\n" : '');
	my $db = 'budget';
	new_database($node, $db);
	$node->safe_psql($db, 'SET client_min_messages = error; CREATE EXTENSION authsync');
	new_provider($node, $db, 'prod', $double->url, rate_limit => 20);
	my $said = two_sessions($node, $db);
	# Twenty leaves are there at first; the other twenty come at twenty a second, if there is one bucket for both.
	if ($preload) { like($said, qr/Waited For Leave To Ask/, 'preloaded: they share one budget, and one of them waits'); }
	else { unlike($said, qr/Waited For Leave To Ask/, 'not preloaded: each has its own, and nobody waits'); }
	next unless $preload;

	# What one session is told, the other one heeds.
	new_provider($node, $db, 'other', $double->url);
	$double->fault(match => $ids[0], kind => 'status', status => 429, headers => { 'Retry-After' => 2 }, times => 1);
	my $run = { in => '', out => '', err => '' };
	my $before = $double->requests;
	$run->{h} = IPC::Run::start([ 'psql', '-XqAt', '-d', $node->connstr($db), '-c', "SELECT count(*) FROM other.users WHERE id = '$ids[0]'" ],
		'<', \$run->{in}, '>', \$run->{out}, '2>', \$run->{err});
	my $end = time + 60;
	select(undef, undef, undef, 0.02) until $double->requests > $before or time > $end;
	select(undef, undef, undef, 0.3);
	my $since = time;
	is($node->safe_psql($db, "SELECT count(*) FROM other.users WHERE id = '$ids[1]'"), 1, 'another session asks while the provider wants a pause');
	cmp_ok(time - $since, '>=', 1, '… and waits for its end as well');
	$run->{h}->finish;
	is($run->{out}, "1\n", '… which the first one has waited for, with no error');
}

done_testing();
