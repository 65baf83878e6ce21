# What can go wrong between us and a provider, A1 to A40 of the fault list: each is an
# error of its own SQLSTATE that says what it should, shows no secret and sends no more
# than it may; never a short result.
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use POSIX qw(strftime);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $tmp = PostgreSQL::Test::Utils::tempdir();
my $double = start_double();
my $bystander = listener();
my $node;
{
	# Proxies in the environment (A32), and names that lead where they please (A1 to A3).
	my $proxy = 'http://127.0.0.1:' . $bystander->sockport;
	local %ENV = (%ENV, http_proxy => $proxy, https_proxy => $proxy, HTTPS_PROXY => $proxy, ALL_PROXY => $proxy, all_proxy => $proxy, no_proxy => '',
		LD_PRELOAD => names_library($tmp));
	$node = new_server('faults');
}
my $db = 'faults';
new_database($node, $db);
$node->safe_psql($db, 'SET client_min_messages = error; CREATE EXTENSION authsync');

my $page = 'per_page=1000';		# the request for a page, not the one that counts
my ($list, $count, $nusers) = ('SELECT id, email FROM prod.users', 'SELECT count(id) FROM prod.users', 25);

new_provider($node, $db, 'prod', $double->url);
new_provider($node, $db, 'quick', $double->url, timeout_ms => 500, connect_timeout_ms => 400);
new_provider($node, $db, 'small', $double->url, page_size => 10);
new_provider($node, $db, 'tight', $double->url, max_response_bytes => 1000000);

sub fresh
{
	$double->reset;
	$double->add('supabase', count => $nusers, created_at => '2026-01-01T00:00:00Z');
}

# The statement fails with that state, a fitting detail, nothing returned, no secret, and so many requests.
sub fails
{
	my ($name, $sql, $state, $detail, $requests, %opt) = @_;
	my $before = $double->requests;
	my $t = trouble($node, $db, $sql, %opt);
	my $sent = $double->requests - $before;
	is($t->{state}, $state, "$name: $state");
	like($t->{detail}, $detail, "$name: the detail says it");
	is($t->{out}, '', "$name: no result");
	is_clean($t->{out} . $t->{err}, "$name: no secret");
	is($sent, $requests, "$name: $requests requests") if defined $requests;
	diag("$name: $t->{err}") if $t->{state} ne $state || $t->{detail} !~ $detail;
	return $t;
}

sub works
{
	my ($name, $sql, $result, $requests) = @_;
	my $before = $double->requests;
	my $t = trouble($node, $db, $sql);
	my $sent = $double->requests - $before;
	is($t->{out}, $result, "$name: the result");
	diag("$name: $t->{err}") if $t->{out} ne $result;
	is($sent, $requests, "$name: $requests requests") if defined $requests;
	return $t;
}

# Long ones, in the background: stalled and slow with nothing but the defaults, and the default time to connect.
my ($full, $queue) = full_listener();
new_provider($node, $db, 'crowded', 'http://127.0.0.1:' . $full->sockport . '/supabase');
my $long = start_double();
$long->add('supabase', count => $nusers);
new_provider($node, $db, 'long', $long->url);
$long->fault(match => $page, kind => 'stall', times => 1);
my %long = (stall => start_psql($node, $db, 'SELECT count(id) FROM long.users', name => 'stall', timeout => 150));
wait_until(sub { $long->stats->{pending_faults} == 0 });
$long->fault(match => $page, kind => 'drip', every_ms => 50, times => 1);
$long{drip} = start_psql($node, $db, 'SELECT count(id) FROM long.users', name => 'drip', timeout => 150);
$long{full} = start_psql($node, $db, 'SELECT count(id) FROM crowded.users', name => 'full', timeout => 150);

# ---- the way there

subtest 'A1 the name is unknown' => sub {
	new_provider($node, $db, 'nobody', 'https://nobody.test');
	my $t = fails('NXDOMAIN', 'SELECT count(id) FROM nobody.users', '08001', qr/resolve host: nobody\.test/, 0);
	cmp_ok($t->{took}, '<', 5, 'it is told soon');
};

subtest 'A2 DNS says nothing' => sub {
	new_provider($node, $db, 'mute', 'https://mute.test', connect_timeout_ms => 600);
	my $t = fails('mute', 'SELECT count(id) FROM mute.users', '08006', qr/given up after \d+ ms, looking up the name/, 0);
	cmp_ok($t->{took}, '>=', 0.6, 'the time is waited');
	cmp_ok($t->{took}, '<', 3, 'and not much more, whatever the look-up still does');
	note(sprintf 'DNS mute, 600 ms allowed: %d ms', $t->{took} * 1000);
};

subtest 'A3 the name leads where nothing is sent' => sub {
	my $inside = listener();
	my $port = $inside->sockport;
	my %leads = ('v4-10-0-0-1' => '10.0.0.1', 'v4-169-254-169-254' => '169.254.169.254', 'v4-192-168-1-1' => '192.168.1.1', 'v4-172-16-0-1' => '172.16.0.1',
		'v4-127-0-0-1' => '127.0.0.1', 'v6---1' => '::1', 'v6---ffff-127.0.0.1' => '::ffff:127.0.0.1', 'v6-fd00--1' => 'fd00::1', 'v6-fe80--1' => 'fe80::1',
		'v4-0-0-0-0' => '0.0.0.0', 'v4-100-64-0-1' => '100.64.0.1', 'v4-224-0-0-1' => '224.0.0.1', 'v4-255-255-255-255' => '255.255.255.255');
	my $n = 0;
	for my $name (sort keys %leads)
	{
		my $server = 'leads' . $n++;
		new_provider($node, $db, $server, "https://$name.test:$port");
		fails($name, "SELECT count(id) FROM $server.users", '08001', qr/\Qleads to $leads{$name}; nothing was sent\E/, 0);
	}
	new_provider($node, $db, 'turns', "https://turns.test:$port", connect_timeout_ms => 300);
	my $again = 'DO $$ BEGIN PERFORM count(id) FROM turns.users; EXCEPTION WHEN connection_failure OR sqlclient_unable_to_establish_sqlconnection THEN END $$;';
	like(trouble($node, $db, "$again SELECT count(id) FROM turns.users")->{state}, qr/^0800[16]$/, 'a name that leads elsewhere the second time');
	is(callers($inside), 0, 'nobody came in');
};

subtest 'A4 refused' => sub {
	my $gone = listener();
	new_provider($node, $db, 'gone', 'http://127.0.0.1:' . $gone->sockport);
	close $gone;
	fails('refused', 'SELECT count(id) FROM gone.users', '08001', qr/connect/i, 0);
	like($node->safe_psql($db, q{SELECT ok, detail FROM authsync.ping('gone')}), qr/^f\|could not reach provider "gone"/, 'ping() says it as an answer');
};

subtest 'A5 nobody takes the connection' => sub {
	new_provider($node, $db, 'crowded2', 'http://127.0.0.1:' . $full->sockport . '/supabase', connect_timeout_ms => 400);
	my $t = fails('blackhole', 'SELECT count(id) FROM crowded2.users', '08006', qr/given up after \d+ ms, connecting/, 0);
	cmp_ok($t->{took}, '<', 3, 'after connect_timeout_ms');
};

subtest 'A6 TLS' => sub {
	my %why = (good => undef, expired => qr/certificate has expired/, elsewhere => qr/no alternative certificate subject name|does not match/);
	my %made = (good => certificate($tmp, 'good', 'IP:127.0.0.1,DNS:localhost', 2), expired => certificate($tmp, 'expired', 'IP:127.0.0.1', -1),
		elsewhere => certificate($tmp, 'elsewhere', 'DNS:elsewhere.test', 2));
	my %tls = map { $_ => start_double(tls => $made{$_}) } keys %made;

	for my $kind (sort keys %tls)
	{
		new_provider($node, $db, "tls_$kind", $tls{$kind}->url, ca_file => "$tmp/ca.pem");
		next unless $why{$kind};
		fails($kind, "SELECT count(id) FROM tls_$kind.users", '08001', $why{$kind}, 0);
		is($tls{$kind}->requests, 0, "$kind: nothing came");
	}
	$tls{good}->add('supabase', count => 3);
	is($node->safe_psql($db, 'SELECT count(id) FROM tls_good.users'), 3, 'the right one, with ca_file');
	new_provider($node, $db, 'tls_unknown', $tls{good}->url);
	fails('signed by nobody known', 'SELECT count(id) FROM tls_unknown.users', '08001', qr/certificate/, 0);
	my $other = start_double(tls => [ "$tmp/ca.pem", "$tmp/ca.key" ]);
	new_provider($node, $db, 'tls_self', $other->url);
	fails('signed by itself', 'SELECT count(id) FROM tls_self.users', '08001', qr/certificate/, 0);
	is($other->requests, 0, '… nothing came');
	is(scalar($tls{good}->log('supabase')), 2, 'the good one saw the good one\'s two requests alone');
	is(trouble($node, $db, "ALTER SERVER tls_self OPTIONS (ADD verify 'off')")->{state}, 'HV00D', 'there is no switch that turns it off');

	my ($free, $in, $out, $err) = (listener(), '', '', '');
	my $port = $free->sockport;
	close $free;
	my $old = IPC::Run::start([ 'openssl', 's_server', '-accept', $port, '-cert', $made{good}[0], '-key', $made{good}[1], '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0', '-quiet' ], '<', \$in, '>', \$out, '2>', \$err);
	my $up = wait_until(sub { my $s = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port); close $s if $s; $s; }, 10);
	ok($up, 'a server of TLS 1.1');
	new_provider($node, $db, 'tls_old', "https://127.0.0.1:$port", ca_file => "$tmp/ca.pem");
	fails('TLS 1.1', 'SELECT count(id) FROM tls_old.users', '08001', qr/protocol|alert|version/i, 0);
	$old->pump_nb, $old->kill_kill(grace => 0);
	is_clean($out . $err, '… the key did not go there');
};

# ---- time

subtest 'A7 no answer' => sub {
	fresh();
	$double->fault(match => 'supabase', kind => 'hang', times => 0);
	my $t = fails('hang', 'SELECT count(id) FROM quick.users', '08006', qr/given up after \d{3,4} ms, waiting for the first byte of the answer \(0 bytes/, 1);
	like($t->{hint}, qr/timeout_ms/, 'the hint names the option');
	fails('hang, one user', q{SELECT email FROM quick.users WHERE id = '00000000-0000-4000-8000-000000000001'}, '08006', qr/waiting for the first byte/, 1);
	fails('hang of a write', q{INSERT INTO quick.users (email) VALUES ('a7@example.test')}, '08006', qr/waiting for the first byte/, 1);
};

subtest 'A8 an answer that stops' => sub {
	fresh();
	$double->fault(match => $page, kind => 'stall', times => 0);
	fails('stall', 'SELECT id FROM quick.users', '08006', qr/given up after \d{3,4} ms, while the answer came in \([1-9]\d+ bytes/, 2);
};

subtest 'A9 an answer that drips' => sub {
	fresh();
	$double->fault(match => $page, kind => 'drip', every_ms => 5, times => 0);
	fails('drip', 'SELECT id FROM quick.users', '08006', qr/given up after \d{3,4} ms, while the answer came in \([1-9]\d* bytes/, 2);
};

subtest 'A10 an answer that breaks off' => sub {
	for ([ 'RST in the body', kind => 'reset', after => 900 ], [ 'closed in the body', kind => 'truncate' ], [ 'shorter than Content-Length', kind => 'long_length', close => \1 ])
	{
		my ($name, %fault) = @$_;
		fresh();
		$double->fault(match => $page, times => 0, %fault);
		fails($name, $count, '08P01', qr/bytes of it had come/, 4);
		fails("$name, the rows themselves", $list, '08P01', qr/bytes of it had come/, undef);
		fresh();
		$double->fault(match => $page, times => 2, %fault);
		works("$name twice", $count, $nusers, 4);
	}
	fresh();
	$double->fault(match => $page, times => 0, kind => 'reset', after => 0);
	fails('RST at once', $count, '08006', qr/ended before an answer came/);
	cmp_ok(scalar(grep { $_->{query} =~ /$page/ } $double->log('supabase')), '<=', 4, 'RST at once: three times, and by libcurl once where the connection was an old one');
	$double->fault(match => 'POST', times => 0, kind => 'reset', after => 0);
	fails('RST of a write', q{INSERT INTO prod.users (email) VALUES ('a10@example.test')}, '08006', qr/ended before an answer came/, 1);
};

# ---- too much, or too often

# How long the first request and the next that was let through lie apart, and how many there were.
sub gap
{
	my @log = grep { ($_->{query} || '') =~ /\Q$page\E/ } $double->log('supabase');
	return (scalar @log, @log > 1 ? $log[1]{at} - $log[0]{at} : -1);
}

subtest 'A11 429 with Retry-After' => sub {
	for ([ 'seconds', '1', 1, 9 ], [ 'a date', undef, 0.9, 9 ], [ 'none', '0', 0, 9 ], [ 'negative', '-5', 0.4, 9 ], [ 'junk', 'soon', 0.4, 9 ])
	{
		my ($name, $value, $least, $most) = @$_;
		fresh();
		$value = strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime(time + 3)) unless defined $value;
		$double->fault(match => $page, kind => 'status', status => 429, headers => { 'Retry-After' => $value }, times => 1);
		my $t = works("$name ($value)", $count, $nusers, 3);
		my ($n, $gap) = gap();
		is($n, 2, "$name: once more, and nothing meanwhile");
		cmp_ok($gap, '>=', $least, "$name: not before it was told");
		cmp_ok($gap, '<', $most, "$name: and not long after");
	}
	fresh();
	$double->fault(match => $page, kind => 'status', status => 429, headers => { 'Retry-After' => '1000000000' }, times => 0);
	fails('a thousand million seconds, of which we wait an hour', "SET statement_timeout = '2s'; $count", '53400', qr/HTTP 429.*It asks to wait 3600 s/, 2);
	fresh();
	$double->fault(match => 'POST', kind => 'status', status => 429, headers => { 'Retry-After' => '1' }, times => 1);
	works('a write that was refused', q{INSERT INTO prod.users (email) VALUES ('a11@example.test') RETURNING email}, 'a11@example.test', 2);
	fresh();
	$double->fault(match => $page, kind => 'status', status => 503, headers => { 'Retry-After' => '1' }, times => 1);
	works('503 with Retry-After', $count, $nusers, 3);
	cmp_ok((gap())[1], '>=', 1, '… is waited for as well');
};

subtest 'A12 429 with a reset, or nothing' => sub {
	for ([ 'x-ratelimit-reset', int(time) + 3, 1 ], [ 'x-rate-limit-reset', 1, 1 ], [ 'x-nothing', 1, 0.4 ])
	{
		my ($header, $value, $least) = @$_;
		$value = int(time) + 2 if $value > 1000;
		fresh();
		$double->fault(match => $page, kind => 'status', status => 429, headers => { $header => $value }, times => 1);
		works("$header: $value", $count, $nusers, 3);
		cmp_ok((gap())[1], '>=', $least, "$header: waited");
		cmp_ok((gap())[1], '<', 9, "$header: not for ever");
	}
};

subtest 'A13 5xx' => sub {
	for my $status (500, 502, 503, 504)
	{
		fresh();
		$double->fault(match => $page, kind => 'status', status => $status, body => '{"msg":"down"}', times => 0);
		fails($status, $count, '08006', qr/^HTTP $status: down$/, $status == 504 ? 2 : 4);
	}
	fresh();
	$double->fault(match => $page, kind => 'status', status => 502, times => 2);
	works('twice 502', $count, $nusers, 4);
	fresh();
	$double->fault(match => 'POST', kind => 'status', status => 500, times => 0);
	fails('500 to a POST', q{INSERT INTO prod.users (email) VALUES ('a13@example.test')}, '08006', qr/^HTTP 500/, 1);
};

# ---- who asks, and where

subtest 'A15 the key is withdrawn in mid run' => sub {
	fresh();
	$double->hook(match => 'page=2&per_page=10', times => 1, do => { set => { revoked => \1 } });
	fails('revoked', 'SELECT id FROM small.users', '28000', qr/^HTTP 403, bad_jwt: /, 3);
	fails('… from then on', $list, '28000', qr/^HTTP 403, bad_jwt: /, 1);
	$double->set('supabase', revoked => \0);
	works('given back', $count, $nusers, 2);
	for my $status (401, 403)
	{
		fresh();
		$double->fault(match => $page, kind => 'status', status => $status, body => '{"msg":"no"}', times => 0);
		fails($status, $count, '28000', qr/^HTTP $status/, 2);
	}
};

subtest 'A18 nothing is there' => sub {
	fresh();
	new_provider($node, $db, 'astray', $double->url, api_path => '/nowhere');
	fails('404', 'SELECT id FROM astray.users', '08001', qr/^HTTP 404/, 1);
	fails('404, the count', 'SELECT count(*) FROM astray.users', '08001', qr/^HTTP 404/, 1);
	fails('404, one user', q{SELECT id FROM astray.users WHERE id = '00000000-0000-4000-8000-000000000001'}, '08001', qr/^HTTP 404/, 1);
	fails('404, a look-up', q{SELECT id FROM astray.users WHERE email = 'x@example.test'}, '08001', qr/^HTTP 404/, 1);
	like($node->safe_psql($db, q{SELECT ok, detail FROM authsync.ping('astray')}), qr/^f\|nothing of provider "astray" answers at this address/, 'ping() says it');
};

subtest 'A16 the token runs out in mid run' => sub {
	new_provider($node, $db, 'keycloak', $double->url('keycloak'), provider => 'keycloak', realm => 'test', client_id => 'authsync', page_size => 10, secret => 's3cret', secret_name => 'client_secret');
	for my $skip (0, 4, 8)
	{
		$double->reset;
		$double->add('keycloak', count => 80);
		$double->hook(match => 'GET /keycloak/admin/realms/test/users?', skip => $skip, times => 1, do => { expire_tokens => \1 });
		works("after $skip pages", 'SELECT count(id), count(DISTINCT id) FROM keycloak.users', '80|80');
		is(scalar(grep { $_->{path} =~ /token$/ } $double->log('keycloak')), 2, "after $skip pages: one new token");
	}
};

subtest 'A17 the token endpoint' => sub {
	my $sql = 'SELECT count(id) FROM keycloak.users';
	my $again = sub { $double->reset; $double->add('keycloak', count => 80); };
	$again->();
	$double->fault(match => '/token', kind => 'status', status => 429, headers => { 'Retry-After' => 1 });
	my $t = works('429', $sql, 80);
	cmp_ok($t->{took}, '>=', 1, '429: it is waited for');
	$again->();
	$double->fault(match => '/token', kind => 'status', status => 503, times => 0);
	fails('503', $sql, '08006', qr/^HTTP 503/);
	is((grep { $_->{path} !~ /token$/ } $double->log('keycloak')) . '', '0', '503: nobody is asked without a token');
	cmp_ok(scalar($double->log('keycloak')), '<=', 3, '503: three times at most');
	$again->();
	$double->fault(match => '/token', kind => 'status', status => 401, body => '{"error":"unauthorized_client","error_description":"Invalid client secret"}', times => 0);
	fails('401', $sql, '28000', qr/^HTTP 401, unauthorized_client: Invalid client secret/, 1);
	for my $body ('{}', '{"access_token":null}', '{"access_token":""}', '[]')
	{
		$again->();
		$double->fault(match => '/token', kind => 'status', status => 200, body => $body, times => 0);
		fails("200 $body", $sql, '08P01', qr/token|access_token/i, 1);
	}
	my $token = do { $again->(); $double->set('keycloak', token_ttl => 1); trouble($node, $db, $sql); (grep { $_->{path} !~ /token$/ } $double->log('keycloak'))[0]{headers}{authorization} =~ s/^Bearer //r };
	for my $life ('', ',"expires_in":0', ',"expires_in":-5', ',"expires_in":"junk"', ',"expires_in":1e300')
	{
		$double->fault(match => '/token', kind => 'status', status => 200, body => qq({"access_token":"$token","token_type":"Bearer"$life}), times => 1);
		my $t = trouble($node, $db, $sql);
		like($t->{state}, qr/^(?:00000|28000)$/, "a token of the life '$life' is taken") or diag($t->{err});
		is_clean($t->{err}, "a token of the life '$life': it is not shown", $token);
	}
};

subtest 'A27 the cursor is refused' => sub {
	new_provider($node, $db, 'okta', $double->url('okta'), provider => 'okta', page_size => 10, secret => 'okta-test-token', secret_name => 'token');
	for my $status (400, 404, 410)
	{
		$double->reset;
		$double->add('okta', count => 45);
		$double->fault(match => 'GET /okta/api/v1/users?', skip => 2, kind => 'status', status => $status, body => '{"errorCode":"E0000031","errorSummary":"Invalid cursor"}', times => 0);
		my $t = trouble($node, $db, 'SELECT id FROM okta.users');
		isnt($t->{state}, '00000', "$status in the middle is an error ($t->{state})");
		is($t->{out}, '', "$status: never a short result");
		like($t->{detail}, qr/HTTP $status, E0000031: Invalid cursor/, "$status: it is said");
		is(trouble($node, $db, q{SELECT count(*) FROM (SELECT id FROM okta.users LIMIT 12) AS u})->{out} || 'none', 'none', "$status: nor a short count") if $status == 400;
	}
	$double->reset;
	$double->add('okta', count => 45);
	works('and from the beginning', 'SELECT count(id), count(DISTINCT id) FROM okta.users', '45|45');
};

subtest 'A33 the wall' => sub {
	new_provider($node, $db, 'auth0', $double->url('auth0'), provider => 'auth0', client_id => 'm2m', rate_limit => 10000, secret => 's3cret', secret_name => 'client_secret');
	$double->reset;
	$double->add('auth0', count => 2300);
	works('2,300 users, of which pages show 1,000', 'SELECT count(id), count(DISTINCT id) FROM auth0.users', '2300|2300');
	$double->fault(match => 'GET /auth0/api/v2/users?', skip => 7, kind => 'status', status => 400, body => '{"statusCode":400,"error":"Bad Request","message":"You can only page through the first 1000 records","errorCode":"invalid_paging"}', times => 0);
	my $t = trouble($node, $db, 'SELECT id FROM auth0.users');
	isnt($t->{state}, '00000', 'a wall where none was known is an error');
	is($t->{out}, '', '… never a short result');
};

# ---- answers that are none

my $long_text = 'x' x 2000;
sub answers
{
	my ($name, $body, $detail, %more) = @_;
	for my $what ([ 'the page', $page, $count, 2 ], [ 'the count', 'per_page=1&', 'SELECT count(*) FROM prod.users', 1 ], [ 'a listing\'s count', 'per_page=1&', $list, 1 ])
	{
		my ($where, $match, $sql, $requests) = @$what;
		fresh();
		$double->fault(match => $match, kind => 'status', status => 200, times => 0, body => $body, headers => $more{headers} || {});
		my $t = fails("$name, $where", $sql, '08P01', $detail, $requests);
		cmp_ok(length $t->{detail}, '<', 320, "$name, $where: little is quoted");
	}
}

subtest 'A19 200 without users' => sub {
	for my $body ('{"error":"no"}', '{}', 'null', '[]', '{"users":null}', '{"users":{}}', '""', '0')
	{
		answers($body, $body, qr/X-Total-Count|no list of users/);
		answers("$body of nobody", $body, qr/no list of users/, headers => { 'X-Total-Count' => 0 });
		answers("$body of 25", $body, qr/no list of users/, headers => { 'X-Total-Count' => 25 });
	}
	answers('an empty page', '{"users":[]}', qr/X-Total-Count/);
	fresh();
	$double->fault(match => $page, kind => 'status', status => 200, times => 0, body => '{"users":[]}', headers => { 'X-Total-Count' => 25 });
	fails('empty, but there are 25', $count, '08P01', qr/Page 1 has 0 users, where 25 were to come/, 7);
	fresh();
	$double->fault(match => 'per_page=1&', kind => 'status', status => 200, times => 0, body => '{"users":[]}', headers => { 'X-Total-Count' => '99999999999999' });
	works('a number that cannot be, at first', "SET statement_timeout = '20s'; $count", 25, 3);
	for my $total ('-1', '25.5', '0x19', '', '9' x 30)
	{
		$double->reset;
		$double->fault(match => 'per_page=1&', kind => 'status', status => 200, times => 0, body => '{"users":[]}', headers => { 'X-Total-Count' => $total });
		fails("X-Total-Count: '$total'", 'SELECT count(*) FROM prod.users', '08P01', qr/X-Total-Count/, 1);
	}
	fresh();
	$double->fault(match => $page, kind => 'status', status => 200, times => 0, body => '{"users":[{"email":"a@example.test"}]}', headers => { 'X-Total-Count' => 25 });
	fails('a user without an id', $count, '08P01', qr/A user without an id: \{"email"/, 2);
};

subtest 'A20 a login page' => sub {
	fresh();
	$double->fault(match => $page, kind => 'html', body => "<html><title>Please sign in</title>$long_text");
	my $t = fails('html', $count, '08P01', qr{of type text/html.* where JSON was to come; it begins: <html><title>Please}, 2);
	cmp_ok(length $t->{detail}, '<', 320, '… little is quoted');
	$double->fault(match => $page, kind => 'wrong_type', times => 1);
	fails('JSON that says it is html', $count, '08P01', qr{of type text/html}, 2);
	$double->fault(match => $page, kind => 'status', status => 204, times => 1);
	fails('204', $count, '08P01', qr/where JSON was to come/, 2);
};

subtest 'A21 JSON that is none' => sub {
	my $good = '{"users":[{"id":"1"}]}';
	for ([ 'cut short', '{"users":[{"id":"1"' ], [ 'trailing garbage', "$good x" ], [ 'two documents', "$good$good" ], [ 'a BOM', "\x{feff}$good" ], [ 'NaN', '{"users":[{"id":NaN}]}' ],
		[ 'nothing', '' ], [ 'a long one', "{\"a\": $long_text" ], [ 'deep', '[' x 70 . ']' x 70 ], [ 'a comma too many', '{"users":[{"id":"1"},]}' ])
	{
		my ($name, $body) = @$_;
		answers($name, $body, qr/is no JSON|is cut short|goes on after its end|no list of users|where JSON was to come/, headers => { 'X-Total-Count' => 1 });
	}
	fresh();
	$double->fault(match => $page, kind => 'garbage', body_base64 => 'eyJ1c2VycyI6W3siaWQiOiL//iJ9XX0=', headers => { 'X-Total-Count' => 1 });
	fails('not UTF-8', $count, '08P01', qr/is not UTF-8/, 2);
	$double->fault(match => $page, kind => 'deep', depth => 100000);
	fails('very deep', $count, '08P01', qr/no list of users/, 2);
	my $key = service_key();
	$double->fault(match => $page, kind => 'status', status => 200, body => qq({"you sent":"Bearer $key", ));
	fails('an answer that repeats the key', $count, '08P01', qr/Bearer \*\*\*/, 2);
	$double->fault(match => $page, kind => 'status', status => 400, body => qq({"msg":"bad key $key"}));
	fails('an error that repeats the key', $count, '22023', qr/bad key \*\*\*/, 2);
	my $escaped = substr($key, 0, 40) . sprintf('\u%04x', ord substr($key, 40, 1)) . substr($key, 41);
	$double->fault(match => $page, kind => 'status', status => 200, body => qq({"you sent":"Bearer $escaped", ));
	is_clean(trouble($node, $db, $count)->{err}, '… escaped', substr($key, 0, 40), substr($key, -40));
	$double->fault(match => $page, kind => 'status', status => 502, body => ('y' x 65500) . $key);
	is_clean(trouble($node, $db, $count)->{err}, '… far behind', substr($key, 0, 30));
};

subtest 'A22 far too much' => sub {
	my $more = sub { $node->safe_psql($db, "DO \$\$ BEGIN $_[0] EXCEPTION WHEN OTHERS THEN END \$\$; " . backend_memory()) };
	my $before = $more->('');
	for ([ 'huge', 'huge', bytes => 1 << 30 ], [ 'gzip bomb', 'gzip_bomb', bytes => 1 << 30 ], [ 'endless chunks', 'endless_chunks', size => 65536, every_ms => 1 ])
	{
		my ($name, $kind, %fault) = @$_;
		fresh();
		$double->fault(match => $page, kind => $kind, times => 1, %fault);
		works("$name, once", 'SELECT count(id) FROM tight.users', $nusers, 4);
		$double->fault(match => 'supabase', kind => $kind, times => 0, skip => 1, %fault);
		fails($name, 'SELECT count(id) FROM tight.users', '08P01', qr/longer than 1000000 bytes; server option max_response_bytes/);
		cmp_ok($more->('PERFORM count(id) FROM tight.users;') - $before, '<', 16, "$name: and not in memory either");
	}
	fresh();
	$double->fault(match => 'supabase', kind => 'gzip_bomb', times => 0, bytes => 1 << 30);
	cmp_ok($more->('PERFORM count(id) FROM prod.users;') - $before, '<', 200, 'with the default limit');
	fresh();
	$double->fault(match => $page, kind => 'big_header', bytes => 1 << 20, times => 0);
	fails('a header of a megabyte', $count, '08P01', qr/header/i, 2);
};

# ---- listings that move

subtest 'A23 pages of another size' => sub {
	fresh();
	my $i = 0;
	my @all = map { qq({"id":"$_->{id}","email":"$_->{email}","created_at":"2026-01-01T00:00:0${\ ($i++ % 10)}Z"}) } $double->users('supabase');
	my %h = (headers => { 'X-Total-Count' => $nusers });
	$double->fault(match => 'per_page=10', kind => 'status', status => 200, times => 0, body => '{"users":[' . join(',', @all) . ']}', %h);
	works('all on every page', 'SELECT count(id), count(DISTINCT id) FROM small.users', "$nusers|$nusers");
	fresh();
	$double->fault(match => 'per_page=10', kind => 'status', status => 200, times => 0, body => '{"users":[' . join(',', @all[ 0 .. 4 ]) . ']}', %h);
	fails('fewer than asked for', 'SELECT id FROM small.users', '08P01', qr/Page 2 has 5 users, where 10 were to come/, undef);
};

subtest 'A24 a user on two pages' => sub {
	fresh();
	$double->hook(match => 'page=2&per_page=10', do => { delete => [ map { $_->{id} } ($double->users('supabase'))[ 0, 1 ] ] });
	works('moved down', 'SELECT count(id) = count(DISTINCT id), count(id) >= 23 FROM small.users', 't|t', 4);
};

subtest 'A25 deleted meanwhile' => sub {
	for my $p (3, 2, 1)
	{
		fresh();
		my @gone = map { $_->{id} } ($double->users('supabase'))[ 0, 3, 8, 11, 12, 21 ];
		$double->hook(match => "page=$p&per_page=10", do => { delete => \@gone });
		my $found = trouble($node, $db, 'SELECT string_agg(id, \',\') FROM small.users')->{out};
		my @lost = grep { index($found, $_->{id}) < 0 } $double->users('supabase');
		is(scalar(@lost), 0, "before page $p: nobody who is there is missed");
	}
};

subtest 'A26 created meanwhile' => sub {
	fresh();
	my @old = $double->users('supabase');
	$double->hook(match => 'page=2&per_page=10', do => { create => [ map { { email => "new$_\@example.test" } } 1 .. 15 ] });
	my $found = trouble($node, $db, 'SELECT string_agg(id, \',\') FROM small.users')->{out};
	is(scalar(grep { index($found, $_->{id}) < 0 } @old), 0, 'nobody who was there before is missed');
	works('… and the next listing has all', 'SELECT count(id) FROM small.users', 40, 5);
};

subtest 'A28 a listing without an end' => sub {
	fresh();
	my $before = $double->requests;
	$double->fault(match => 'supabase', kind => 'status', status => 200, times => 0, body => '{"users":[]}', headers => { 'X-Total-Count' => 5000000 });
	my $t = fails('pages that are empty, though there should be more', "SET statement_timeout = '20s'; SELECT id FROM small.users", '08P01', qr/Page 500000 has 0 users, where 10 were to come/, undef);
	cmp_ok($double->requests - $before, '<', 10, 'the loop is seen');
	cmp_ok($t->{took}, '<', 10, 'soon');
};

subtest 'A31 redirects' => sub {
	my $inside = listener();
	my $port = $inside->sockport;
	for my $to ("http://127.0.0.1:$port/", "https://127.0.0.1:$port/", "http://127.0.0.1:$port/supabase/auth/v1/admin/users", 'http://169.254.169.254/latest/meta-data', 'file:///etc/passwd', "gopher://127.0.0.1:$port/", '/supabase/auth/v1/admin/users')
	{
		for my $status (301, 302, 303, 307, 308)
		{
			next if $status != 302 && $to !~ m{users$};
			fresh();
			$double->fault(match => $page, kind => 'redirect', location => $to, status => $status, times => 0);
			fails("$status to $to", $count, '08001', qr/^HTTP $status: It redirects, which is not followed/, 2);
		}
	}
	is(callers($inside), 0, 'nobody came');
};

subtest 'A32 proxies of the environment' => sub {
	my ($pid) = slurp_file($node->data_dir . '/postmaster.pid') =~ /^(\d+)/;
	like(slurp_file("/proc/$pid/environ"), qr/https_proxy=http:/, 'the postmaster has them');
	is(callers($bystander), 0, 'nobody went through one');
};

# ---- writes

subtest 'A34 created, and not told' => sub {
	for my $then ('hang', 'reset', 'close', { status => 504 })
	{
		fresh();
		my $name = ref $then ? 504 : $then;
		$double->fault(match => 'POST', kind => 'after_effect', then => $then, times => 1);
		fails($name, qq{INSERT INTO quick.users (email) VALUES ('a34$name\@example.test')}, '08006', qr/./, 1);
		is(scalar(grep { $_->{email} eq "a34$name\@example.test" } $double->users('supabase')), 1, "$name: he is there");
		fails("$name, once more", qq{INSERT INTO quick.users (email) VALUES ('a34$name\@example.test')}, '23505', qr/email_exists/, 1);
		is(scalar($double->users('supabase')), $nusers + 1, "$name: and no second one");
		next if $name eq 'hang';
		$double->fault(match => 'POST', kind => 'after_effect', then => $then, times => 1);
		my $before = $double->requests;
		my $t = trouble($node, $db, qq{SELECT FROM prod.users WHERE email = 'x'; INSERT INTO prod.users (email) VALUES ('a34warm\@example.test')});
		is($t->{state}, '08006', "$name, over a connection that was open: not told either");
		is($double->requests - $before, 2, '… and not sent again by libcurl');
	}
};

subtest 'A35 writes of what has changed' => sub {
	fresh();
	my ($id) = map { $_->{id} } $double->users('supabase');
	$double->hook(match => 'DELETE', do => { delete => [$id] });
	is(trouble($node, $db, "DELETE FROM prod.users WHERE id = '$id'")->{state}, '00000', 'DELETE of somebody who has gone: he is gone');
	fresh();
	$double->fault(match => 'DELETE', kind => 'status', status => 404, body => '{"message":"no route"}');
	fails('404 that does not speak of him', "DELETE FROM prod.users WHERE id = '$id'", '08001', qr/^HTTP 404: no route/, 2);
	for ([ 409, '23505' ], [ 412, '22023' ])
	{
		my ($status, $state) = @$_;
		$double->fault(match => 'PUT', kind => 'status', status => $status, body => '{"msg":"changed meanwhile"}', times => 0);
		fails("$status", "UPDATE prod.users SET email = 'n\@example.test' WHERE id = '$id'", $state, qr/^HTTP $status: changed meanwhile/, 2);
		fresh();
	}
	$double->hook(match => 'PUT', do => { delete => [$id] });
	fails('UPDATE of somebody who has gone', "UPDATE prod.users SET email = 'n\@example.test' WHERE id = '$id'", '42704', qr/user_not_found/, 2);
};

subtest 'by default, without an option' => sub {
	my %given_up = (full => qr/after (?:49|5\d)\d\d ms, connecting/, stall => qr/after (?:149|1[5-9]\d|2[0-7]\d)\d\d ms, while the answer came in/, drip => qr/after (?:149|1[5-9]\d|2[0-7]\d)\d\d ms, while the answer came in/);
	for my $which (sort keys %given_up)
	{
		isnt(finish_psql($long{$which}), 0, $which);
		like(${ $long{$which}{err} }, $given_up{$which}, "$which: given up");
		note("$which: $1") if ${ $long{$which}{err} } =~ /(given up after \d+ ms)/;
	}
};

# Of these a foreign table shows nothing: A14 (hours of 5xx: state, log, breaker), A29 and A30 (versions of a user in order), A36 to
# A38 (somebody made anew, a migration, a mass deletion: identities and the brake), A39 (two watched servers of one tenant), A40 (one
# slow provider beside others, in the worker).
for my $case (qw(A14 A29 A30 A36 A37 A38 A39 A40)) { SKIP: { skip "$case: the worker's", 1; } }

$node->stop;
done_testing();
