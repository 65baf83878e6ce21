# The part of the contract in which something is wrong: keys, addresses, limits,
# garbled answers, users that are none. Read by test/t/130_providers.pl.
package main;
use strict;
use warnings;
our ($ids, $known);

my $json_type = { 'content-type' => 'application/json' };

sub reads { my ($w, $from) = @_; $from ||= $w->{users}; return ([ 'list', "SELECT id FROM $from" ], [ 'count', "SELECT count(*) FROM $from" ], [ 'get', "SELECT id FROM $from WHERE id = " . quoted($w->{d}{unknown_id}) ],
	[ 'find', "SELECT id FROM $from WHERE email = 'x\@example.test'" ]); }

sub keys_and_addresses
{
	my ($w) = @_;
	my $d = $w->{d};
	my @all = given_users($w, count => $known);

	in_case($w, 'wrong key: 28000');
	my $from = server($w, 'key', secrets => $d->{wrong_key});
	failed($w, $_->[1], '28000', $_->[0]) for reads($w, $from), [ 'create', insert_of($w, $from) ];
	$from = server($w, 'nokey', secrets => {});
	failed($w, "SELECT id FROM $from", '28000', 'no key at all', qr/\Q$w->{name}_nokey\E/);
	if (!$d->{token} && !$d->{one_url})
	{
		# In mid-walk: never a short result
		fault($w, match => $d->{list}, skip => 3, kind => 'status', status => 401, body => '{}', headers => $json_type);
		failed($w, 'SELECT id FROM ' . small($w, 5), '28000', 'it is refused in mid-walk');
	}

	in_case($w, 'not allowed: 42501');
	given_users($w, count => $known);
	if (my $less = $d->{less})
	{
		$from = server($w, 'less', %$less);
		good($w, "SELECT id FROM $from LIMIT 1", 'it may read');
		failed($w, insert_of($w, $from, email => 'less@example.test'), '42501', 'it may not create', $less->{scope});
		failed($w, "DELETE FROM $from WHERE id = " . quoted($all[0]), '42501', 'it may not delete');
		check($w, $w->{double}->users($w->{name}) == $known, 'nobody came or went');
	}
	if ($d->{none})
	{
		$from = server($w, 'none', %{ $d->{none} });
		failed($w, $_->[1], '42501 28000', "a key without rights, $_->[0]") for reads($w, $from);
	}
	fault($w, match => $d->{api}, kind => 'status', %{ $d->{denied} }{qw(status body)}, headers => $json_type);
	failed($w, $_->[1], '42501', $_->[0], $d->{denied}{scope}) for reads($w);

	in_case($w, 'wrong address: 08001');
	given_users($w, count => $known);
	my %wrong = (path => { path => "$d->{path}x" }, api => { options => { api_path => '/v999' } }, deep => { path => "$d->{path}/deeper" });
	$wrong{lost} = $d->{lost} if $d->{lost};
	for my $kind (sort keys %wrong)
	{
		$from = server($w, "wrong$kind", %{ $wrong{$kind} });
		failed($w, $_->[1], '08001', "$kind, $_->[0]") for reads($w, $from), [ 'create', insert_of($w, $from) ], [ 'delete', "DELETE FROM $from WHERE id = " . quoted($all[0]) ];
	}
	# What some gateway says of a path that it does not know
	for my $body ('404 page not found', '{"message":"no Route matched with those values"}', '<html><body>Not Found</body></html>')
	{
		given_users($w, count => $known);
		fault($w, match => $d->{api}, kind => 'status', status => 404, body => $body, headers => { 'content-type' => $body =~ /^\{/ ? 'application/json' : 'text/html' });
		failed($w, $_->[1], '08001', "a gateway's 404, $_->[0]") for reads($w);
	}
	given_users($w);
	my $listed = server($w, 'down', path => '');
	run($w, "ALTER SERVER $w->{name}_down OPTIONS (SET url 'http://127.0.0.1:1')");
	failed($w, 'SELECT id FROM ' . $listed, '08001 28000', 'nobody listens');
}

sub limits_and_breaks
{
	my ($w) = @_;
	my $d = $w->{d};
	my $slow = $d->{throttled} || { status => 429, body => '{"message":"Too many requests"}', headers => { 'retry-after' => '1', %$json_type } };
	my $broken = $d->{broken} || { status => 500, body => '{"message":"Internal error"}' };
	my @all = given_users($w, count => 20);

	in_case($w, 'throttled: waits, succeeds');
	for ([ 'list', "$ids FROM $w->{users}", sub { same_ids($w, $_[0], \@all, 'list') } ], [ 'get', "$ids FROM $w->{users} WHERE id = " . quoted($all[3]), sub { same_ids($w, $_[0], [ $all[3] ], 'get') } ],
		[ 'create', insert_of($w, $w->{users}), sub { check($w, $_[0]{state} eq '00000', 'create', shown($_[0])); check($w, 21 == $w->{double}->users($w->{name}), 'one user came'); } ])
	{
		my ($what, $sql, $sees) = @$_;
		my $before = log_of($w);
		fault($w, match => $d->{api}, kind => 'status', times => 1, headers => $json_type, %$slow);
		$sees->(run($w, $sql));
		my @sent = sent_since($w, $before);
		my ($refused) = grep { $sent[$_]{status} == $slow->{status} } 0 .. $#sent;
		my ($again) = grep { defined $refused && $_ > $refused && "$sent[$_]{method} $sent[$_]{path}" eq "$sent[$refused]{method} $sent[$refused]{path}" } 0 .. $#sent;
		check($w, defined $again && $sent[$again]{at} - $sent[$refused]{at} >= ($slow->{headers}{'retry-after'} ? 0.95 : 0.05), "$what: it waited as long as it was told",
			defined $refused && $sent[ $refused + 1 ] ? $sent[ $refused + 1 ]{at} - $sent[$refused]{at} : 'no second request');
	}
	in_case($w, 'throttled: beyond the time: 53400');
	given_users($w, count => 20);
	fault($w, match => $d->{api}, kind => 'status', headers => $json_type, %$slow, $d->{throttled} ? () : (headers => { 'retry-after' => '3600', %$json_type }));
	my $t = run($w, "SET statement_timeout = '1500ms'; SELECT id FROM $w->{users}");
	run($w, "SET statement_timeout = '60s'");
	check($w, $t->{state} =~ /^(53400|57014)$/ && $t->{took} < 10, '53400 or 57014 when the time is over', shown($t));
	my ($from) = server($w, 'fresh');		# whose budget is not on hold
	$w->{users} = $from;

	in_case($w, 'broken, then well: succeeds');
	@all = given_users($w, count => 20);
	fault($w, match => $d->{api}, kind => 'status', times => 2, headers => $json_type, %$broken);
	same_ids($w, listing($w), \@all, '500 twice');
	fault($w, match => $d->{api}, kind => 'status', times => 1, status => 503, body => '<html>Service Unavailable</html>', headers => { 'content-type' => 'text/html' });
	fault($w, match => $d->{api}, kind => 'reset', times => 1);
	same_ids($w, run($w, "$ids FROM $w->{users} WHERE id = " . quoted($all[3])), [ $all[3] ], '503, then a connection that breaks, get');

	in_case($w, 'broken for good: 08006');
	given_users($w, count => 20);
	fault($w, match => $d->{api}, kind => 'status', headers => $json_type, %$broken);
	my $before = log_of($w);
	failed($w, "SELECT id FROM $w->{users}", '08006', 'list');
	my @sent = sent_since($w, $before);
	my %tries;
	$tries{ "$_->{method} $_->{path}" }++ for @sent;
	check($w, !grep({ $_ > 3 } values %tries), 'at most three tries of each request', join ' ', values %tries);
	failed($w, "SELECT id FROM $w->{users} WHERE id = " . quoted($all[3]), '08006', 'get');
	failed($w, "SELECT count(*) FROM $w->{users}", '08006', 'count');
	@all = given_users($w, count => 40);
	fault($w, match => $d->{list}, kind => 'status', skip => 4, headers => $json_type, %$broken);
	failed($w, 'SELECT id FROM ' . small($w, 5), '08006', 'in mid-walk: no short result');
}

sub garbled
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'garbled: 08P01');
	my @all = given_users($w, count => $known);
	my @bodies = ('{}', 'null', '[]', '{"error":"x"}', '{"users":null}', '{"message":"ok"}', 'true', '42', '""', '', '[1,2]', '[null]', '[[]]', '{"users":{}}', '{"data":[{}]}');
	push @bodies, '[{"' . $d->{id_key} . '":"x"', '{"users":[';
	for my $body (@bodies)
	{
		# A bare array is what this one's list is, and it counts nothing.
		next if $body eq '[]' && !$d->{empty};
		my $missing = defined $d->{nobody} && $d->{empty} && $body =~ /^\{("message.*)?\}$/;
		given_users($w, count => $known);
		fault($w, match => $d->{list}, kind => 'garbage', body => $body, headers => $json_type);
		failed($w, "SELECT id FROM $w->{users}", $body eq '[]' || $missing ? '08P01 42501' : '08P01', "list: $body");
		given_users($w, count => $known);
		fault($w, match => $d->{api}, kind => 'garbage', body => $body, headers => $json_type);
		my $t = run($w, "SELECT id FROM $w->{users} WHERE id = " . quoted($all[3]));
		check($w, $t->{state} eq '08P01' || (defined $d->{nobody} && $t->{state} eq '00000' && $t->{out} eq ''), "get: $body: 08P01 wanted", shown($t));
	}
	given_users($w, count => $known);
	for my $fault ([ 'html', kind => 'html' ], [ 'cut', kind => 'truncate' ], [ 'wrong type', kind => 'wrong_type' ], [ 'twice', kind => 'duplicate_body' ], [ 'deep', kind => 'deep', depth => 70 ], [ 'bytes', kind => 'garbage' ])
	{
		my ($what, %fault) = @$fault;
		$w->{double}->control('POST', 'reset', { provider => $w->{name} });
		@all = given_users($w, count => $known);
		fault($w, match => $d->{api}, %fault);
		failed($w, "SELECT id FROM $w->{users}", $what eq 'cut' ? '08P01 08006' : '08P01', "list: $what");
		failed($w, "SELECT id FROM $w->{users} WHERE id = " . quoted($all[3]), $what eq 'cut' ? '08P01 08006' : '08P01', "get: $what");
	}
	if ($d->{endless})
	{
		# The third page is empty, and so the second one's last user is looked at, and asked for again.
		for my $skip (0, 1, 3)
		{
			@all = given_users($w, count => 11);
			$w->{double}->hook(match => $d->{list}, skip => 2, times => 1, do => { delete => [ $all[10] ] });
			fault($w, match => $d->{list}, skip => $skip, kind => 'garbage', body => encoded($d->{endless}->($d->{native}->($all[ $skip ? 9 : 0 ], 'who@example.test'))), headers => $json_type);
			failed($w, 'SELECT id FROM ' . small($w, 5), '08P01', "page $skip does not say whether it is the last");
		}
	}
	in_case($w, 'empty list, but users counted');
	if ($d->{empty})
	{
		given_users($w, count => $known);
		fault($w, match => $d->{list}, kind => 'garbage', body => $d->{empty}{body}, headers => { %$json_type, %{ $d->{empty}{headers} || {} } });
		failed($w, "SELECT id FROM $w->{users}", '08P01 42501', 'nobody, though somebody is counted');
		given_users($w, count => $known);
		fault($w, match => $d->{list}, skip => 4, kind => 'garbage', body => $d->{empty}{body}, headers => { %$json_type, %{ $d->{empty}{headers} || {} } });
		my $t = listing($w, small($w, 5));
		check($w, $t->{state} =~ /^(08P01|42501)$/ || ($t->{state} eq '00000' && id_list($t->{out}) == $known), 'pages that are empty in mid-walk', shown($t));
	}
	else { cannot($w); }
	if ($d->{blind})
	{
		given_users($w, count => $known);
		my $t = failed($w, 'SELECT id FROM ' . server($w, 'blind', %{ $d->{blind} }), '08P01 42501', 'a key that sees nobody');
	}
}

# ---- users that are none

sub put_at
{
	my ($node, $path, $value) = @_;
	my @path = @$path;
	my $last = pop @path;
	for my $step (@path) { $node = ref $node eq 'ARRAY' ? $node->[$step] : ($node->{$step} ||= {}); }
	if (ref $node eq 'ARRAY') { $node->[$last] = $value; } else { $node->{$last} = $value; }
}

sub hostile_users
{
	my ($w) = @_;
	my $d = $w->{d};
	my $name_of = $d->{raw_id} || sub { 'raw' . $_[0] };
	my $id_at = $d->{id_at} || [ $d->{id_key} ];
	my $mark = 'm@rk';
	# What is put where; a text is JSON as it is sent.
	my @odd = (
		[ 'NUL in e-mail', $d->{email_at}, '"a\u0000b@example.test"' ], [ 'NUL in name', $d->{name_at}, '"a\u0000b"' ], [ 'NUL in metadata', $d->{meta_at}, '{"k":"a\u0000b"}' ],
		[ 'NUL in id', $id_at, '"a\u0000b"' ],
		[ 'half a surrogate in name', $d->{name_at}, '"a\ud800b"' ], [ 'half a surrogate in metadata', $d->{meta_at}, '{"k":"\ud800"}' ], [ 'half a surrogate in e-mail', $d->{email_at}, '"a\udc00@example.test"' ],
		[ 'invalid UTF-8', $d->{name_at}, "\"a\x{dcff}b\"" ], [ 'overlong UTF-8', $d->{name_at}, "\"a\x{dcc0}\x{dc80}b\"" ],
		[ 'e-mail an object', $d->{email_at}, '{"a":1}' ], [ 'e-mail a number', $d->{email_at}, '7' ], [ 'name an array', $d->{name_at}, '[1]' ], [ 'time a word', $d->{time_at}, '"yesterday"' ],
		[ 'time an object', $d->{time_at}, '{"a":1}' ], [ 'time too large', $d->{time_at}, '1e300' ], [ 'time in year 0', $d->{time_at}, '"0000-00-00T00:00:00Z"' ], [ 'time in year 294277', $d->{time_at}, '"294277-01-10T00:00:00Z"' ],
		[ 'leap second', $d->{time_at}, '"2016-12-31T23:59:60Z"' ], [ 'metadata a text', $d->{meta_at}, '"x"' ],
		[ 'id a number', $id_at, '12345678901234567890' ], [ 'id null', $id_at, 'null' ], [ 'id empty', $id_at, '""' ], [ 'id an object', $id_at, '{}' ], [ 'id true', $id_at, 'true' ],
		[ 'depth 70', $d->{meta_at}, '{"k":' x 70 . '1' . '}' x 70 ], [ '1 MB', $d->{name_at}, '"' . 'x' x 1000000 . '"' ], [ 'id of 5,000 characters', $id_at, '"' . 'i' x 5000 . '"' ], [ 'number 1e400', $d->{meta_at}, '{"k":1e400}' ],
		[ 'a key twice', $d->{meta_at}, '{"__proto__":1,"k":1,"k":2}' ],
	);
	for ([ 'hostile users: nobody else is lost', 0 ])
	{
		in_case($w, $_->[0]);
		for my $odd (@odd)
		{
			my ($what, $path, $value) = @$odd;
			$w->{double}->control('POST', 'reset', { provider => $w->{name} });
			my $user = $d->{native}->($name_of->(1), 'odd@example.test');
			put_at($user, $path, $mark);
			my $text = encoded($user) =~ s/"\Q$mark\E"/$value/r;
			my @good = map { $d->{native}->($name_of->($_), "fine$_\@example.test") } 2 .. 4;
			if ($d->{list_filters})
			{
				# The double's filters see no user who was given as text: the page is made here.
				my $page = '[' . join(',', encoded($good[0]), $text, map { encoded($_) } @good[ 1 .. 2 ]) . ']';
				fault($w, match => $d->{list}, kind => 'garbage', body => $page, headers => $json_type);
			}
			else { $w->{double}->control('POST', 'users', { provider => $w->{name}, raw => [ $good[0], $text, @good[ 1 .. 2 ] ] }); }
			my $t = run($w, "SELECT jsonb_agg(email) FROM (SELECT * FROM $w->{users} AS u ORDER BY md5(u::text)) AS l");
			my @mails = $t->{state} eq '00000' ? grep { defined && /^fine/ } id_list($t->{out}) : ();
			my $told = $t->{state} =~ /^(08P01|22P05|22021)$/;
			check($w, $told || @mails == 3, "$what: the three others, or 08P01/22P05", shown($t));
			my $id = $name_of->(1);
			my $has_id = $path != $id_at;
			check($w, "$t->{message} $t->{detail} $t->{hint}" =~ /\Q$id\E/, "$what: the error says who", shown($t)) if $told && $has_id && $what !~ /UTF-8/;
			check($w, $t->{err} !~ /x{300}|i{300}/, "$what: the error does not quote it all");
		}
		# The same one twice in one page, and twice in the list
		$w->{double}->control('POST', 'reset', { provider => $w->{name} });
		my $user = $d->{native}->($name_of->(1), 'once@example.test');
		$w->{double}->control('POST', 'users', { provider => $w->{name}, raw => [ encoded($user), encoded($user), map { $d->{native}->($name_of->($_), "fine$_\@example.test") } 2 .. 4 ] });
		my $t = run($w, "SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM $w->{users} OFFSET 0) AS l");
		# The double's filters see no user who was given as text.
		check($w, $t->{out} eq '4|4' || ($d->{list_filters} && $t->{out} eq '3|3') || $t->{state} eq '08P01', 'twice in a page: once, or 08P01', shown($t));
	}
	in_case($w, 'hostile users: stored as they are');
	given_users($w, count => 2);
	my @texts = ("\x{1f600} \x{202e}rtl\x{200b} e\x{301}", q{'; DROP TABLE users; -- $$ %s %n \\ E'' "}, "line\nbreak\ttab", '<script>', '{"role":"service_role"}');
	my $n = 0;
	for my $text (@texts)
	{
		my $email = 'text' . ++$n . '@example.test';
		my $raw = $d->{native}->($name_of->(7 + $n), $email);
		put_at($raw, $d->{name_at}, $text);
		given_users($w);
		$w->{double}->control('POST', 'users', { provider => $w->{name}, raw => [$raw] });
		my ($row, $t) = row_of($w, $w->{users}, "email || '' = '$email'");
		check($w, $row && defined $row->{name} && index($row->{name}, $text) == 0, 'name ' . encoded($text), $row ? encoded($row->{name}) : shown($t));
	}
}

sub tokens_and_secrets
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'token that runs out in mid-walk');
	if ($d->{token})
	{
		for my $skip (1, 3)
		{
			my @all = given_users($w, count => 60);
			$w->{double}->hook(match => $d->{list}, skip => $skip, times => 1, do => { expire_tokens => JSON::PP::true });
			same_ids($w, listing($w, small($w, 5)), \@all, "after $skip pages: all of them, once");
		}
		my @all = given_users($w, count => 20);
		run($w, "SELECT count(*) FROM (SELECT id FROM $w->{users} OFFSET 0) AS l");
		my $before = log_of($w);
		run($w, "SELECT id FROM $w->{users} LIMIT 1") for 1 .. 3;
		my @tokens = grep { index($_->{path}, $d->{token}) >= 0 } (log_of($w))[ $before .. $#{ [ log_of($w) ] } ];
		check($w, !@tokens, 'a token is kept', scalar @tokens);
		# Refused for ever: it asks once for another, and then says so.
		fault($w, match => $d->{api}, kind => 'status', status => 401, body => '{"error":"invalid_token"}', headers => $json_type);
		$before = log_of($w);
		failed($w, "SELECT id FROM $w->{users}", '28000', 'refused with every token');
		check($w, log_of($w) - $before <= 8, 'it does not try for ever', log_of($w) - $before);
		given_users($w, count => 20);
		fault($w, match => $d->{token}, kind => 'status', times => 1, status => 500, body => '{}', headers => $json_type);
		@all = map { $_->{id} } $w->{double}->users($w->{name});
		same_ids($w, listing($w, server($w, 'tok')), \@all, 'the token endpoint is broken once');
		fault($w, match => $d->{token}, kind => 'html', times => 1);
		failed($w, 'SELECT id FROM ' . server($w, 'tok2'), '08P01', 'the token endpoint sends a login page');
	}
	else { cannot($w); }

	in_case($w, 'no secret in what is said');
	given_users($w, count => 3);
	my ($secret) = values %{ $d->{secrets} };
	my $password = $d->{new}{password} || $d->{writes}{password};
	my $value = (split /\n/, $secret)[1] // $secret;
	for my $status (400, 401, 403, 409, 422, 500)
	{
		given_users($w, count => 3);
		my @tokens = map { ($_->{headers}{authorization} // '') =~ /^Bearer (\S{20,})/ ? $1 : () } log_of($w);
		my $echo = encoded({ message => "you sent $secret and " . ($tokens[-1] // '') . ($password ? ' and Canary-Pa55word' : ''), error => "bad key $secret" });
		fault($w, match => $d->{api}, kind => 'status', times => 1, status => $status, body => $echo, headers => $json_type);
		run($w, insert_of($w, $w->{users}, $password ? (password => 'Canary-Pa55word') : ()));
	}
	my %tokens = map { $_ => 1 } map { ($_->{headers}{authorization} // '') =~ /^Bearer (\S{20,})/ ? $1 : () } log_of($w);
	my @found = grep { index($w->{heard}, $_) >= 0 } 'Canary-Pa55word', 'Canary-0ther-word', map({ my $line = (split /\n/, $_)[1] // $_; length $line > 5 ? $line : () } keys %{ $w->{secret} }), keys %tokens;
	check($w, !@found, 'neither a secret nor a token nor a password', join ' ', map { substr $_, 0, 12 } @found);
	my $plan = run($w, "EXPLAIN (VERBOSE, ANALYZE) SELECT * FROM $w->{users}")->{out};
	check($w, index($plan, $value) < 0, 'not in EXPLAIN either');
	in_case($w, 'the session lives');
	check($w, !$w->{crashes}, 'no crash', $w->{crashes});
	my @mistakes = grep { $_->{status} == 599 } log_of($w);
	check($w, !@mistakes, 'the double made no mistake', $mistakes[0] ? "$mistakes[0]{method} $mistakes[0]{path}" : '');
}

sub troubles
{
	my ($w) = @_;
	$_->($w) for \&keys_and_addresses, \&limits_and_breaks, \&garbled, \&hostile_users, \&tokens_and_secrets;
}

1;
