# Whoever waits for a provider stays interruptible in every phase of a request, keeps
# nobody else waiting, and leaves nothing behind when it fails.
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use List::Util qw(max sum);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $limit = 1;		# second; the goal is 200 ms, measured on a machine that does nothing else
my $double = start_double();
my $mute = listener();
my ($full, $queue) = full_listener();
my $node;
{
	local $ENV{LD_PRELOAD} = names_library(PostgreSQL::Test::Utils::tempdir());
	$node = new_server('interrupts');
}
my $db = 'interrupts';
new_database($node, $db);
$node->safe_psql($db, 'SET client_min_messages = error; CREATE EXTENSION authsync');

# ---- a request that hangs, in each phase

my %phases = (
	'looking up the name' => [ 'dns', 'https://mute.test' ],
	'connecting' => [ 'connect', 'http://127.0.0.1:' . $full->sockport ],
	'in the TLS handshake' => [ 'tls', 'https://127.0.0.1:' . $mute->sockport ],
	'waiting for the first byte' => [ 'first_byte', $double->url ],
	'in the body' => [ 'body', $double->url ],
	'throttled' => [ 'throttled', $double->url ],
);
new_provider($node, $db, $phases{$_}[0], $phases{$_}[1], connect_timeout_ms => 60000, timeout_ms => 60000) for sort keys %phases;

sub prepare
{
	my ($server) = @_;
	$double->reset;
	$double->add('supabase', count => 100);
	$double->fault(match => 'supabase', kind => 'hang', times => 0) if $server eq 'first_byte';
	$double->fault(match => 'per_page=1000', kind => 'stall', times => 0) if $server eq 'body';
	$double->fault(match => 'supabase', kind => 'status', status => 429, headers => { 'Retry-After' => 100 }, times => 0) if $server eq 'throttled';
}

my %took;

# Begins a statement on that server, and returns it with its backend once it waits for the provider.
sub hanging
{
	my ($server, $sql) = @_;
	prepare($server);
	my $run = start_psql($node, $db, $sql || "SELECT count(id) FROM $server.users", name => $server);
	my $pid = backend($node, $db, $server);
	ok(wait_until(sub { $node->safe_psql('postgres', "SELECT wait_event_type || ' ' || wait_event FROM pg_stat_activity WHERE pid = $pid") =~ /^Extension / }, 10), "$server: it waits for the provider, and says so");
	wait_until(sub { $double->stats->{in_flight} > 0 }, 5) if $server =~ /first_byte|body/;
	sleep 0.1 if $server eq 'body';		# until half of the body has come
	return ($run, $pid);
}

# How long it takes from the call until the backend is done with it.
sub measure
{
	my ($server, $what, $run, $pid, $call) = @_;
	my $since = time;
	is($node->safe_psql('postgres', "SELECT $call($pid)"), 't', "$server, $what: it is sent");
	my $status = finish_psql($run);
	my $took = time - $since;
	isnt($status, 0, "$server, $what: the statement ends");
	like(${ $run->{err} }, $what eq 'cancel' ? qr/canceling statement due to user request/ : qr/terminating connection due to administrator command|server closed the connection/, "$server, $what: as it should");
	cmp_ok($took, '<', $limit, "$server, $what: within $limit s");
	is_clean(${ $run->{err} }, "$server, $what: no secret");
	push @{ $took{$what}{$server} }, $took;
}

for my $phase (sort keys %phases)
{
	my $server = $phases{$phase}[0];
	subtest "$phase: cancel, terminate, statement_timeout, DROP DATABASE" => sub {
		my ($run, $pid) = hanging($server);

		# Another database, another session: its DROP asks every backend to let its files go.
		new_database($node, 'unrelated');
		my $since = time;
		$node->safe_psql('postgres', 'DROP DATABASE unrelated');
		push @{ $took{drop}{$server} }, time - $since;
		cmp_ok(time - $since, '<', $limit, "$server: an unrelated DROP DATABASE is not held up");
		measure($server, 'cancel', $run, $pid, 'pg_cancel_backend');
		measure($server, 'terminate', hanging($server), 'pg_terminate_backend');

		prepare($server);
		my $t = trouble($node, $db, "SET statement_timeout = 300; SELECT count(id) FROM $server.users");
		is($t->{state}, $server eq 'throttled' ? '53400' : '57014', "$server: statement_timeout works");
		cmp_ok($t->{took}, '<', 0.3 + $limit, "$server: in time");
		like($t->{detail}, qr/It asks to wait 100 s/, "$server: it is said how long the provider wants to be left alone") if $server eq 'throttled';
		push @{ $took{timeout}{$server} }, $t->{took} - 0.3 if $server ne 'throttled';
	};
}
for my $what (sort keys %took)
{
	note(sprintf '%-9s %s', $what, join ', ', map { sprintf '%s %d ms', $_, 1000 * max(@{ $took{$what}{$_} }) } sort keys %{ $took{$what} });
}

# After an interrupt the session goes on with what is left of libcurl's state.
subtest 'a session goes on after it was interrupted' => sub {
	for my $server (qw(dns connect tls first_byte body))
	{
		prepare($server);
		$double->fault(match => 'nothing', kind => 'hang');
		my $sql = "SET statement_timeout = 200;\nDO \$\$ BEGIN PERFORM count(id) FROM $server.users; EXCEPTION WHEN query_canceled THEN RAISE NOTICE 'caught'; END \$\$;";
		$sql .= "\nSET statement_timeout = 0; SELECT count(*) FROM authsync.providers;";
		my $t = trouble($node, $db, "$sql\nSELECT count(*) FROM throttled.users" =~ s/throttled/first_byte/r);
		like($t->{err}, qr/caught/, "$server: the handler is reached") or next;
	} continue { $double->reset; }
	my $t = trouble($node, $db, "SET statement_timeout = 200; DO \$\$ BEGIN PERFORM count(id) FROM dns.users; EXCEPTION WHEN query_canceled THEN NULL; END \$\$; SET statement_timeout = 0; SELECT count(id) FROM body.users");
	is($t->{out}, 0, 'and another server answers at once, whatever the look-up still does');
	cmp_ok($t->{took}, '<', 5, '… soon');
};

# ---- nothing is left

subtest 'a caught error leaks nothing' => sub {
	my $rounds = 200;
	my $loop = sub {
		my ($sql, $n) = @_;
		return "DO \$\$ BEGIN FOR i IN 1..$n LOOP BEGIN PERFORM $sql; RAISE NOTICE 'no error'; EXCEPTION WHEN OTHERS THEN NULL; END; END LOOP; END \$\$;";
	};
	my $fds = q{SELECT count(*) FROM pg_ls_dir('/proc/self/fd');};
	my $rss = backend_memory('VmRSS') . ';';
	my %sql = (refused => 'count(id) FROM refused.users', garbled => 'count(id) FROM body.users', timeout => 'count(id) FROM brief.users',
		forbidden => 'count(id) FROM forbidden.users', html => q{id FROM body.users WHERE id = '00000000-0000-4000-8000-000000000001'},
		local => 'count(id), 1 / (count(*) - 100) FROM body.users');
	new_provider($node, $db, 'brief', $double->url, timeout_ms => 10);
	new_provider($node, $db, 'forbidden', 'https://v4-10-0-0-1.test');
	my $gone = listener();
	new_provider($node, $db, 'refused', 'http://127.0.0.1:' . $gone->sockport);
	close $gone;
	for my $what (sort keys %sql)
	{
		$double->reset;
		$double->add('supabase', count => 100);
		$double->fault(match => 'per_page=1000', kind => 'garbage', body => '{"users": [' . '"x",' x 5000, times => 0) if $what eq 'garbled';
		$double->fault(match => 'supabase', kind => 'html', times => 0) if $what eq 'html';
		$double->fault(match => 'supabase', kind => 'hang', times => 0) if $what eq 'timeout';
		my ($first, $n) = $what eq 'refused' ? (5, 15) : (20, $rounds);		# where it waits between its two tries, fewer
		my $t = trouble($node, $db, $loop->($sql{$what}, $first) . $fds . $rss . $loop->($sql{$what}, $n) . $fds . $rss);
		my ($fds0, $rss0, $fds1, $rss1) = split /\n/, $t->{out};
		is($t->{state}, '00000', "$what: it goes on to the end") or diag($t->{err});
		unlike($t->{err}, qr/no error/, "$what: every time it is an error");
		cmp_ok($fds1, '<=', $fds0 + 2, "$what: no file or connection is left after $n of them ($fds0, then $fds1)");
		cmp_ok($rss1, '<=', $rss0 + 4, "$what: no memory ($rss0 MB, then $rss1)");
		ok(wait_until(sub { $double->stats->{open} <= 2 }, 10), "$what: nor a connection over there, when the session has ended");
	}
};

# ---- two at once

subtest 'two foreign tables in one query' => sub {
	$double->reset;
	$double->add('supabase', count => 2500);
	my $t = trouble($node, $db, 'SELECT count(*), count(DISTINCT a.id), bool_and(a.email = b.email) FROM body.users AS a JOIN first_byte.users AS b USING (id)');
	is($t->{out}, '2500|2500|t', 'joined') or diag($t->{err});
	is(trouble($node, $db, 'SELECT count(*) FROM body.users AS a WHERE EXISTS (SELECT FROM first_byte.users AS b WHERE b.id = a.id)')->{out}, 2500, 'a semi-join');
	is(trouble($node, $db, 'SET enable_hashjoin = off; SET enable_mergejoin = off; SELECT count(*) FROM (SELECT * FROM body.users LIMIT 30) AS a JOIN first_byte.users AS b USING (id)')->{out}, 30,
		'a nested loop, the inner one scanned again and again');

	# While one is read, the other's next page comes: a cursor on each, turn by turn.
	$t = trouble($node, $db, q{BEGIN; DECLARE a CURSOR FOR SELECT id FROM body.users; DECLARE b CURSOR FOR SELECT id FROM first_byte.users;
		CREATE TEMP TABLE seen (which text, id text);
		DO $$ DECLARE a refcursor := 'a'; b refcursor := 'b'; x text; y text;
		BEGIN
			FOR i IN 1..2500 LOOP FETCH a INTO x; FETCH b INTO y; INSERT INTO seen VALUES ('a', x), ('b', y); END LOOP;
		END $$;
		SELECT which, count(DISTINCT id) FROM seen GROUP BY which ORDER BY which; COMMIT});
	is($t->{out}, "a|2500\nb|2500", 'two cursors, turn by turn') or diag($t->{err});

	# One of them fails: the other's requests are let go with it.
	$double->fault(match => 'per_page=1000', skip => 3, times => 0, kind => 'html');
	$t = trouble($node, $db, 'SELECT count(*) FROM body.users AS a JOIN first_byte.users AS b USING (id)');
	is($t->{state}, '08P01', 'one of them fails, and so does the query');
	is($t->{out}, '', '… with no result');
};

# ---- the server goes down

subtest 'a fast shutdown does not wait' => sub {
	my ($run) = hanging('first_byte');
	my $since = time;
	$node->stop('fast');
	my $took = time - $since;
	cmp_ok($took, '<', 2 + $limit, 'within two seconds');
	note(sprintf 'fast shutdown: %d ms', 1000 * $took);
	isnt(finish_psql($run), 0, 'the statement has ended');
};

done_testing();
