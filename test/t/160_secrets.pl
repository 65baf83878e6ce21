# The canary: secrets planted in every way that there is, used, and used wrongly, while
# the server logs all that it can; then looked for everywhere. And who may give one, to
# whom it is sent, and what a copy of the database may do with it.
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

my $tmp = PostgreSQL::Test::Utils::tempdir();
my $double = start_double();
my $elsewhere = start_double();
my $db = 'canary';
my $me = (getpwuid $<)[0];

# Good ones, each by its own way, and words that are no key but would tell as much.
my %key = map { $_ => marked_key($_) } qw(copy file env vault set public);
my %word = map { $_ => "CANARY-$_-" . int(rand 1e9) } qw(missing extra order wrong_server wrong_name line_break empty_server csv encoding insert_error set_error set_null);
my @canaries = (values %key, values %word);

sub everything
{
	return (log_statement => 'all', log_min_duration_statement => 0, log_parameter_max_length => -1, log_parameter_max_length_on_error => -1, log_min_messages => 'debug5',
		log_min_error_statement => 'debug5', log_error_verbosity => 'verbose', debug_print_plan => 'on', debug_print_parse => 'on', debug_print_rewritten => 'on',
		session_preload_libraries => "'auto_explain'", 'auto_explain.log_min_duration' => 0, 'auto_explain.log_nested_statements' => 'on', 'auto_explain.log_analyze' => 'on',
		'auto_explain.log_verbose' => 'on', log_lock_waits => 'on', log_duration => 'on', log_executor_stats => 'on');
}

sub found
{
	my ($text) = @_;
	my @found;
	for my $canary (@canaries)
	{
		my $tail = length $canary > 60 ? substr($canary, -40) : $canary;
		# As text, and as the bytes that a plan's constant is printed as.
		push @found, substr($canary, -20) if index($text, $tail) >= 0 || index($text, join(' ', map { ord } split //, $tail)) >= 0;
	}
	return "@found";
}

sub copy_of
{
	my ($text, $options) = @_;
	return 'COPY authsync.new_secret (server, name, value) FROM STDIN' . ($options ? " WITH ($options)" : '') . ";\n$text\n\\.\n";
}

# What a role can read: each row of each relation, as text.
sub readable
{
	my ($node, $role) = @_;
	my ($rc, $out, $err) = $node->psql($db, q{
		SELECT format('SELECT t::text FROM %I.%I AS t', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
		 WHERE c.relkind IN ('r', 'v', 'm', 'p') AND n.nspname <> 'vault' AND NOT (n.nspname = 'authsync' AND c.relname = 'secrets')
		   AND n.nspname !~ '^pg_toast' AND has_table_privilege(c.oid, 'SELECT') AND has_schema_privilege(n.oid, 'USAGE')
		   AND NOT (n.nspname = 'information_schema' AND c.relname IN ('routine_privileges', 'role_routine_grants', 'parameters', 'element_types', 'triggers'))
		 ORDER BY 1 \gexec
		SELECT pg_get_functiondef(p.oid) FROM pg_proc AS p WHERE p.pronamespace = 'authsync'::regnamespace AND p.prokind IN ('f', 'p');
		SELECT pg_get_viewdef(c.oid) FROM pg_class AS c WHERE c.relnamespace = 'authsync'::regnamespace AND c.relkind = 'v'},
		on_error_stop => 0, extra_params => [ '-U', $role ]);
	return $out . $err;
}

sub plant
{
	my ($node) = @_;
	new_database($node, $db);
	$node->safe_psql($db, q{SET client_min_messages = error; CREATE EXTENSION authsync; CREATE SCHEMA vault;
		CREATE TABLE vault.kept (name text, decrypted_secret text); CREATE VIEW vault.decrypted_secrets AS SELECT * FROM vault.kept});
	$node->safe_psql($db, "COPY vault.kept FROM STDIN;\nprod_key\t$key{vault}\n\\.\n");
	append_to_file("$tmp/key", "$key{file}\n") unless -e "$tmp/key";
	new_provider($node, $db, $_, $double->url, secret => $_ eq 'by_copy' ? $key{copy} : undef, timeout_ms => 3000) for qw(by_copy by_file by_env by_vault by_public by_set);
	$node->safe_psql($db, qq{CREATE USER MAPPING FOR CURRENT_USER SERVER by_file OPTIONS (service_key_file '$tmp/key');
		CREATE USER MAPPING FOR CURRENT_USER SERVER by_env OPTIONS (service_key_env 'AUTHSYNC_CANARY');
		CREATE USER MAPPING FOR CURRENT_USER SERVER by_vault OPTIONS (service_key_vault 'prod_key');
		CREATE USER MAPPING FOR PUBLIC SERVER by_public OPTIONS (service_key_env 'AUTHSYNC_PUBLIC');});
	my $login = join ' ', map { "CREATE ROLE $_ LOGIN;" } qw(ordinary reader operator keeper);
	$node->safe_psql($db, "$login SELECT authsync.grant_access('reader', 'reader'), authsync.grant_access('operator', 'operator'), authsync.grant_access('keeper', 'operator')");
}

# What is done with them; all that psql said.
sub use_them
{
	my ($node) = @_;
	my $said = '';
	my $say = sub { my $t = trouble($node, $db, @_); $said .= "$t->{out}\n$t->{err}\n"; return $t };

	for my $server (qw(by_copy by_file by_env by_vault by_public))
	{
		$double->reset;
		$double->add('supabase', count => 3);
		is($say->("SELECT count(id) FROM $server.users")->{out}, 3, "$server: it works");
		is($say->("SELECT ok FROM authsync.ping('$server')")->{out}, 't', "$server: so does ping()");
		my $mine = $server =~ s/by_//r;
		is((grep { $_->{headers}{authorization} ne "Bearer $key{$mine}" } $double->log('supabase')) . '', '0', "$server: by that key and no other");
		$say->("EXPLAIN (VERBOSE) SELECT * FROM $server.users WHERE email = 'x'; EXPLAIN (ANALYZE, VERBOSE, BUFFERS, FORMAT json) SELECT * FROM $server.users");
		$double->set('supabase', revoked => \1);
		is($say->("SELECT id FROM $server.users")->{state}, '28000', "$server: refused");
		is($say->("SELECT ok FROM authsync.ping('$server')")->{out}, 'f', "$server: ping() says so");
		$double->set('supabase', revoked => \0);
		$double->fault(match => 'supabase', kind => 'status', status => 401, body => qq({"msg":"Bearer $key{$mine} is no good"}), times => 2);
		is($say->("SELECT id FROM $server.users")->{state}, '28000', "$server: refused by somebody who repeats it");
		$say->("SELECT * FROM authsync.ping('$server')");
		$double->fault(match => 'supabase', kind => 'garbage', body => qq({"key": "$key{$mine}"), times => 1);
		is($say->("SELECT id FROM $server.users")->{state}, '08P01', "$server: garbage with the key in it");
		$say->("INSERT INTO $server.users (email, password) VALUES ('p\@example.test', 'not a canary') RETURNING id; UPDATE $server.users SET name = 'x'; DELETE FROM $server.users");
	}

	# Malformed: what COPY cannot take apart, and what we cannot take.
	is($say->(copy_of("by_set\t$word{missing}"))->{state}, '22P04', 'a column is missing');
	is($say->(copy_of("by_set\tservice_key\t$word{extra}\t$word{extra}"))->{state}, '22P04', 'a column too many');
	is($say->(copy_of("by_set\t$word{order}\tservice_key"))->{state}, '22023', 'the order is wrong');
	is($say->(copy_of("nowhere\tservice_key\t$word{wrong_server}"))->{state}, '42704', 'there is no such server');
	is($say->(copy_of("by_set\tno_such_name\t$word{wrong_name}"))->{state}, '22023', 'nor such a secret');
	is($say->(copy_of("by_set\tservice_key\tx\\n$word{line_break}"))->{state}, '22023', 'a line break in it');
	is($say->(copy_of("\\N\tservice_key\t$word{empty_server}"))->{state}, '22004', 'no server');
	is($say->(copy_of("by_set,service_key,\"$word{csv}", 'FORMAT csv'))->{state}, '22P04', 'CSV with a quote that is not closed');
	is($say->(copy_of("by_set\tservice_key\t$word{encoding}\xff\xfe"))->{state}, '22021', 'not UTF-8');
	is($say->(copy_of("by_set\tservice_key\t$word{missing}"), role => 'operator')->{state}, '42501', 'by somebody who does not own the server');

	# As literals: here the log had them, but for what we could keep from it.
	is($say->(q{SELECT authsync.set_secret('by_set', 'service_key', 'x')})->{err} =~ /WARNING:  01000: the server's log may have this secret/ ? 1 : 0, 1, 'set_secret() warns');
	return $said;
}

# A statement that hangs, seen from outside again and again.
sub watch
{
	my ($node) = @_;
	my $seen = '';
	for my $server (qw(by_copy by_vault))
	{
		$double->reset;
		$double->fault(match => 'supabase', kind => 'hang', times => 0);
		my $run = start_psql($node, $db, "SELECT count(id) FROM $server.users", name => "watched_$server");
		my $pid = backend($node, $db, "watched_$server");
		$seen .= $node->safe_psql('postgres', 'SELECT a::text FROM pg_stat_activity AS a') for 1 .. 10;
		$seen .= join "\0", map { slurp_file("/proc/$pid/$_") } qw(cmdline status);
		$node->safe_psql('postgres', "SELECT pg_cancel_backend($pid), pg_log_backend_memory_contexts($pid)");
		finish_psql($run);
		$seen .= ${ $run->{err} };
	}
	$double->reset;
	$double->add('supabase', count => 3);
	return $seen;
}

for my $preload (0, 1)
{
	my $how = $preload ? 'preloaded' : 'not preloaded';
	my $node;
	{
		local %ENV = (%ENV, AUTHSYNC_CANARY => $key{env}, AUTHSYNC_PUBLIC => $key{public});
		my %c = everything();
		$node = new_server("canary$preload", conf => join('', map { "$_ = $c{$_}\n" } sort keys %c) . ($preload ? "shared_preload_libraries = 'authsync'\n" : ''));
	}
	subtest "$how: what is done with them" => sub {
		plant($node);
		is(found(use_them($node)), '', 'no error, EXPLAIN or answer shows one');
		is(found(watch($node)), '', 'pg_stat_activity and the process list show none');
	};
	subtest "$how: nobody finds one" => sub {
		# The superuser's own look comes last: it may show what is in vault, and is not looked at.
		for my $role ('ordinary', 'reader', 'operator', $me)
		{
			my $all = readable($node, $role);
			cmp_ok(length $all, '>', 500_000, "$role: there is much to read");
			is(found($all), '', "$role: none in any table, view or function");
		}
		is($node->safe_psql($db, q{SELECT count(*) FROM authsync.secrets WHERE name = 'service_key' AND server = 'by_copy'}), 1, 'the superuser finds what was stored, where it is stored');
		for my $role (qw(ordinary reader operator))
		{
			is(trouble($node, $db, 'SELECT * FROM authsync.secrets', role => $role)->{state}, '42501', "$role: may not");
		}
		$node->safe_psql($db, 'GRANT SELECT ON authsync.secrets TO ordinary');
		is(trouble($node, $db, 'SELECT count(*) FROM authsync.secrets', role => 'ordinary')->{out}, 0, 'with a stray GRANT, row security shows no row');
		$node->safe_psql($db, 'REVOKE SELECT ON authsync.secrets FROM ordinary');

		dump_to($node, $db, '-N', 'vault', '-f', "$tmp/dump$preload.sql");
		dump_to($node, $db, '-Fc', '-Z0', '-N', 'vault', '-f', "$tmp/dump$preload.bin");
		system_or_bail('pg_dumpall', '-d', $node->connstr('postgres'), '--exclude-database', $db, '-f', "$tmp/dumpall$preload.sql");
		is(found(slurp_file("$tmp/dump$preload.sql") . slurp_file("$tmp/dump$preload.bin") . slurp_file("$tmp/dumpall$preload.sql")), '', 'no dump has one');
		like(slurp_file("$tmp/dump$preload.sql"), qr/CREATE SERVER by_copy/, '(there was something to dump)');

		$node->stop;
		# At its start the postmaster itself logs its whole environment, from debug3 on.
		my $log = slurp_file($node->logfile) =~ s/ DEBUG:  00000: \tAUTHSYNC_(CANARY|PUBLIC)=.*//gr;
		cmp_ok(length $log, '>', 1_000_000, 'the server logged all that it could');
		is(found($log), '', 'its log has none');
		unlike($log, qr/PANIC|was terminated by signal/, '… and nothing crashed');
		$node->start;
	};
	if ($preload) { $node->stop; next; }
	rights($node);
	copies($node);
	$node->stop;
}

# ---- who may

sub rights
{
	my ($node) = @_;
	my $state = sub { my ($role, $sql) = @_; return trouble($node, $db, $sql, role => $role)->{state} };
	my $super = sub { return $node->safe_psql($db, shift) };

	subtest 'who gives a secret' => sub {
		$super->("GRANT USAGE ON FOREIGN DATA WRAPPER authsync TO keeper; ALTER SERVER by_set OWNER TO keeper; GRANT USAGE ON FOREIGN SERVER by_set TO ordinary, reader, operator");
		my $copy = copy_of("by_set\tservice_key\t$key{set}");
		my $set = qq{SELECT authsync.set_secret('by_set', 'service_key', 'x')};
		for my $role (qw(ordinary reader operator))
		{
			is($state->($role, $copy), '42501', "$role: not by COPY");
			is($state->($role, $set), '42501', "$role: nor by set_secret()");
			is($state->($role, q{SELECT authsync.forget_secret('by_set', 'service_key')}), '42501', "$role: nor takes one away");
		}
		is($state->('keeper', $copy), '00000', 'its owner does');
		is(trouble($node, $db, q{SELECT ok FROM authsync.ping('by_set')}, role => 'keeper')->{out}, 't', '… and it works');
		is(trouble($node, $db, q{SELECT authsync.forget_secret('by_set', 'service_key'), authsync.forget_secret('by_set', 'service_key')}, role => 'keeper')->{out}, 't|f', '… and takes it away');
		my $twice = copy_of("by_set\tservice_key\tthe one before\nby_set\tservice_key\t$key{set}\nby_set\tjwt_secret\t" . 'x' x 5000);
		is(trouble($node, $db, "BEGIN; ${copy}${twice}SELECT ok FROM authsync.ping('by_set'); COMMIT; SELECT ok FROM authsync.ping('by_set')", role => 'keeper')->{out}, "t\nt", 'the last of several given at once counts');
		is($super->(q{SELECT string_agg(name || ' ' || length(value) || ' ' || set_by, ', ' ORDER BY name) FROM authsync.secrets WHERE server = 'by_set'}), 'jwt_secret 5000 keeper, service_key ' . length($key{set}) . ' keeper',
			'… and each is there once, however long');
		trouble($node, $db, q{SELECT authsync.forget_secret('by_set', 'service_key'), authsync.forget_secret('by_set', 'jwt_secret')}, role => 'keeper');
		my $t = trouble($node, $db, q{SELECT count(id) FROM by_set.users});
		is($t->{state}, '28000', 'without one nobody asks');
		is($t->{message}, 'provider "by_set" has no service_key', '… and it says so');
		like($t->{hint}, qr/^COPY authsync\.new_secret \(server, name, value\) FROM STDIN; then a line of by_set, service_key/, '… with the line that gives one');
		is($state->('ordinary', 'SELECT id FROM by_copy.users'), '42501', 'who has no right on the table does not read it');
		is($state->('ordinary', q{SELECT * FROM authsync.ping('by_copy')}), '42501', '… nor pings');
		is(trouble($node, $db, q{SELECT ok FROM authsync.ping('by_copy')}, role => 'reader')->{out}, 't', 'a reader does');
	};

	subtest 'what errors of literals leave in the log' => sub {
		my $before = -s $node->logfile;
		for my $sql (qq{SELECT authsync.set_secret('nowhere', 'service_key', '$word{set_error}')}, qq{SELECT authsync.set_secret(NULL, 'service_key', '$word{set_null}')},
			qq{INSERT INTO authsync.new_secret VALUES ('nowhere', 'service_key', '$word{insert_error}')})
		{
			isnt($state->($me, "SET log_statement = 'none'; SET log_min_duration_statement = -1; SET log_duration = off; SET log_min_messages = error; SET log_min_error_statement = error;\n"
				. "SET auto_explain.log_min_duration = -1; SET debug_print_parse = off; SET debug_print_rewritten = off; SET debug_print_plan = off; SET log_executor_stats = off;\n$sql"), '00000', 'an error');
		}
		my $log = substr(slurp_file($node->logfile), $before);
		like($log, qr/provider "nowhere" does not exist/, 'the log has the errors');
		is(found($log), '', '… and not the statements');
	};

	subtest 'whose secret, and where it goes' => sub {
		is($state->('ordinary', qq{CREATE USER MAPPING FOR ordinary SERVER by_set OPTIONS (service_key_file '$tmp/key')}), '42501', 'an ordinary role names no file');
		is($state->('ordinary', q{CREATE USER MAPPING FOR ordinary SERVER by_set OPTIONS (service_key_env 'PATH')}), '42501', '… nor the environment');
		is($state->('keeper', qq{CREATE USER MAPPING FOR keeper SERVER by_set OPTIONS (service_key_file '$tmp/key')}), '42501', '… nor does the server\'s owner');
		$super->(qq{CREATE USER MAPPING FOR ordinary SERVER by_set OPTIONS (service_key_file '$tmp/key'); GRANT USAGE ON SCHEMA by_set TO ordinary, keeper; GRANT SELECT ON by_set.users TO ordinary, keeper});
		my $before = $double->requests;
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '42501', 'a superuser\'s mapping on a server whose owner may read no files');
		is($double->requests, $before, '… nothing is sent');
		$super->('GRANT pg_read_server_files TO keeper');
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '00000', '… whose owner may');
		is($state->('ordinary', q{ALTER USER MAPPING FOR ordinary SERVER by_set OPTIONS (SET service_key_file '/etc/passwd')}), '42501', '… but its role cannot point it elsewhere');
		$super->('REVOKE pg_read_server_files FROM keeper; DROP USER MAPPING FOR ordinary SERVER by_set');
		$super->(q{CREATE USER MAPPING FOR ordinary SERVER by_set OPTIONS (service_key_file '/nonexistent/key')});
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '42501', 'the same for a file that is not there: nothing is learnt of files');
		$super->('DROP USER MAPPING FOR ordinary SERVER by_set');

		# The vault is read as the role that asks, and for PUBLIC's mapping as the server's owner.
		is($state->('ordinary', q{CREATE USER MAPPING FOR ordinary SERVER by_set OPTIONS (service_key_vault 'prod_key')}), '00000', 'anybody names a secret of the vault');
		my $t = trouble($node, $db, 'SELECT id FROM by_set.users', role => 'ordinary');
		is($t->{state}, '42501', '… which he may not read, so that it is not sent');
		$super->('GRANT USAGE ON SCHEMA vault TO ordinary; GRANT SELECT ON vault.decrypted_secrets TO ordinary');
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '00000', '… until he may');
		is($state->('ordinary', q{ALTER USER MAPPING FOR ordinary SERVER by_set OPTIONS (SET service_key_vault 'no_such')}), '00000', 'one that there is not');
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '28000', '… is said');
		$super->(q{DROP USER MAPPING FOR ordinary SERVER by_set; CREATE USER MAPPING FOR PUBLIC SERVER by_set OPTIONS (service_key_vault 'prod_key')});
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '42501', 'PUBLIC\'s is read as the server\'s owner, who may not');
		$super->('GRANT USAGE ON SCHEMA vault TO keeper; GRANT SELECT ON vault.decrypted_secrets TO keeper; REVOKE ALL ON vault.decrypted_secrets FROM ordinary');
		is($state->('ordinary', 'SELECT id FROM by_set.users'), '00000', '… and then may');

		# A view that belongs to another: his mapping, also where only the count is asked for.
		$super->(qq{CREATE USER MAPPING FOR reader SERVER by_set OPTIONS (service_key_vault 'prod_key'); GRANT USAGE ON SCHEMA by_set TO reader; GRANT SELECT ON by_set.users TO reader;
			CREATE VIEW public.theirs AS SELECT id FROM by_set.users; ALTER VIEW theirs OWNER TO keeper; GRANT SELECT ON theirs TO reader});
		is($state->('reader', 'SELECT count(id) FROM theirs'), '00000', 'through a view its owner asks');
		is($state->('reader', 'SELECT count(*) FROM theirs'), '00000', '… for the count too');
		is($state->('reader', 'SELECT count(*) FROM by_set.users'), '42501', '… and for himself the one who asks, with his mapping');
		$super->('DROP VIEW theirs; DROP USER MAPPING FOR PUBLIC SERVER by_set; DROP USER MAPPING FOR reader SERVER by_set');
	};

	subtest 'a secret goes where it was meant to go' => sub {
		give_secret($node, $db, 'by_set', $key{set});
		my $before = $elsewhere->requests;
		$super->("ALTER SERVER by_set OPTIONS (SET url '" . $elsewhere->url . "')");
		my $t = trouble($node, $db, 'SELECT id FROM by_set.users');
		is($t->{state}, '28000', 'the url was changed');
		like($t->{detail}, qr{^One was given while its url led to http://127\.0\.0\.1:\d+; it is not sent anywhere else}, '… it says so');
		is($elsewhere->requests, $before, '… nothing is sent');
		$super->("ALTER SERVER by_set OPTIONS (SET url '" . $double->url . "/')");
		is($state->($me, 'SELECT id FROM by_set.users'), '00000', 'changed back');
		$super->("DROP SERVER by_set CASCADE; DROP SCHEMA by_set CASCADE");
		new_provider($node, $db, 'by_set', $elsewhere->url, secret => undef);
		is($state->($me, 'SELECT id FROM by_set.users'), '28000', 'dropped, and made anew elsewhere');
		is($elsewhere->requests, $before, '… nothing is sent');
		give_secret($node, $db, 'by_set', $key{set});
		is($state->($me, 'SELECT id FROM by_set.users'), '00000', '… until it is given again');

		# Somebody else makes a server of the same name, at the same place: he has a key that he was never given.
		$super->("DROP SERVER by_set CASCADE; GRANT CREATE ON DATABASE $db TO keeper");
		is($state->('keeper', "CREATE SERVER by_set FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url '" . $elsewhere->url . "')"), '00000', 'made anew by somebody else, at the same place');
		is($state->('keeper', q{SELECT ok FROM authsync.ping('by_set')}), '28000', '… the old secret is not his');
	};

	subtest 'options refuse secrets' => sub {
		for my $option (qw(service_key api_key apikey token password client_secret secret private_key webhook_secret jwt_secret access_token))
		{
			for my $sql ("CREATE SERVER refused FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://a.example.com', $option 'x')",
				"ALTER SERVER by_copy OPTIONS (ADD $option 'x')", "CREATE USER MAPPING FOR ordinary SERVER by_copy OPTIONS ($option 'x')")
			{
				my $t = trouble($node, $db, $sql);
				is($t->{state}, 'HV00D', "$option: " . ($sql =~ /^(\w+ \w+)/)[0]);
				like($t->{hint}, qr/^COPY authsync\.new_secret/, '… with the way to give one');
			}
		}
	};
	addresses($node);
}

# ---- where none is ever sent (S9)

sub addresses
{
	my ($node) = @_;
	my $inside = listener();
	my $port = $inside->sockport;
	my @urls = (
		(map { "http://$_:$port" } qw(example.com 10.0.0.1 192.168.0.1 169.254.169.254 0.0.0.0 [::] 8.8.8.8 localhost.example.com 127.0.0.1.example.com)),
		(map { "https://$_:$port" } qw(10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 169.254.169.254 169.254.170.2 100.64.0.1 100.127.255.255 0.0.0.0 0 224.0.0.1 255.255.255.255 240.0.0.1
			[::] [fe80::1] [fc00::1] [fd12:3456::1] [fec0::1] [ff02::1] [::ffff:10.0.0.1] [::ffff:169.254.169.254] [::ffff:127.0.0.1] [::ffff:7f00:1] [::127.0.0.1] [64:ff9b::7f00:1] [64:ff9b::a00:1] [::ffff:0:127.0.0.1]
			[2002:7f00:1::] [2002:a00:1::] [2001:0:4136:e378:8000:63bf:3fff:fdd2] [64:ff9b:1::a00:1] [0:0:0:0:0:ffff:0a00:0001])),
		(map { "https://$_:$port" } qw(2852039166 0xa9fea9fe 0251.0376.0251.0376 0xa9.0xfe.0xa9.0xfe 167772161 012.0.0.1 0x0a000001 10.1 192.168.257 0xC0A80001)),
		"https://user:pass\@127.0.0.1:$port", "http://user\@127.0.0.1:$port", "https://127.0.0.1:$port\@10.0.0.1", "https://10.0.0.1\@127.0.0.1:$port/", "http://127.0.0.1:$port#\@example.com", "http://127.0.0.1:$port?x",
		"http://127.0.0.1:$port/ x", "http://127.0.0.1:$port/\r\nX-Injected: 1", "\thttp://127.0.0.1:$port", "ftp://127.0.0.1:$port", "file:///etc/passwd", "gopher://127.0.0.1:$port", "dict://127.0.0.1:$port", "ldap://127.0.0.1:$port",
		"//127.0.0.1:$port", "127.0.0.1:$port", 'https://', 'http:127.0.0.1', 'javascript:alert(1)', "https://127.0.0.1:99999", 'https://127.0.0.1:-1', "https://[::1", "https://10.0.0.1\\\@127.0.0.1:$port");
	subtest scalar(@urls) . ' urls to which nothing is sent' => sub {
		my (%at, $n);
		for my $url (@urls)
		{
			my $quoted = $url =~ s/'/''/gr;
			my $create = trouble($node, $db, "DROP SERVER IF EXISTS ssrf CASCADE; CREATE SERVER ssrf FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url '$quoted', connect_timeout_ms '300')");
			my $name = $url =~ s/[\r\n\t]/./gr =~ s/:$port/:PORT/gr;
			if ($create->{state} eq '22023') { $at{validator}++; next; }
			is($create->{state}, '00000', "$name: taken or not") or next;
			my $t = trouble($node, $db, copy_of("ssrf\tservice_key\t$key{copy}") . q{SELECT ok, detail FROM authsync.ping('ssrf')});
			like($t->{out}, qr/^f\|.*nothing was sent/, "$name: refused before it connects") or diag($t->{out} . $t->{err});
			$at{connect}++;
		}
		note(join ', ', map { "$at{$_} by the $_" } sort keys %at);
		is(callers($inside), 0, 'nobody came in');
	};
	is(trouble($node, $db, "CREATE SERVER mine FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://10.0.0.1', private_network 'on')", role => 'keeper')->{state}, '42501', 'private networks are opened by a superuser alone');
	is(trouble($node, $db, "CREATE SERVER mine FOREIGN DATA WRAPPER authsync OPTIONS (provider 'supabase', url 'https://a.example.com', ca_file '/tmp/ca.pem')", role => 'keeper')->{state}, '42501', '… and so is a ca_file given');
}

# ---- copies of the database

sub copies
{
	my ($node) = @_;
	$double->reset;
	$double->add('supabase', count => 3);
	dump_to($node, $db, '-N', 'vault', '-f', "$tmp/copy.sql");
	new_database($node, 'restored');
	restore_sql($node, 'restored', "$tmp/copy.sql");
	$node->safe_psql('postgres', "CREATE DATABASE cloned TEMPLATE $db");
	for my $copy (qw(restored cloned))
	{
		subtest "a copy that was $copy" => sub {
			my $state = sub { return trouble($node, $copy, shift)->{state} };
			my ($id) = map { $_->{id} } $double->users('supabase');
			if ($copy eq 'restored')
			{
				is($state->('SELECT id FROM by_copy.users'), '28000', 'has no secret');
				give_secret($node, $copy, 'by_copy', $key{copy});
			}
			is($node->safe_psql($copy, 'SELECT count(id) FROM by_copy.users'), 3, 'reads, once it has a secret');
			my $before = $double->requests;
			my $t = trouble($node, $copy, q{INSERT INTO by_copy.users (email) VALUES ('c@example.test')});
			is($t->{state}, '55000', 'does not write');
			like($t->{hint}, qr/SELECT authsync\.arm\(\)/, '… and says how to');
			is($state->(q{COPY by_copy.users (email) FROM STDIN;} . "\nc\@example.test\n\\.\n"), '55000', '… by COPY');
			is($double->requests, $before, '… nothing is sent');
			is($state->("UPDATE by_copy.users SET email = 'd\@example.test' WHERE id = '$id'"), '55000', '… an UPDATE');
			is($state->("DELETE FROM by_copy.users WHERE id = '$id'"), '55000', '… a DELETE');
			is($state->("BEGIN READ ONLY; SELECT authsync.arm()"), '25006', 'arm() writes');
			is($node->safe_psql($copy, 'SELECT authsync.arm(); SELECT authsync.arm()'), "t\nf", 'arm() once, and once more');
			is($state->(q{INSERT INTO by_copy.users (email) VALUES ('} . $copy . q{@example.test')}), '00000', 'now it writes');
			is($state->("DELETE FROM by_copy.users WHERE email = '$copy\@example.test'"), '00000', '… and deletes');
		};
	}
	is(trouble($node, $db, q{INSERT INTO by_copy.users (email) VALUES ('o@example.test')})->{state}, '00000', 'the one that they were taken from writes all the while');
}

done_testing();
