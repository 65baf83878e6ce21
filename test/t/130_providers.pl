# The contract of the providers: one and the same set of cases for each row of the
# registry, against the double. What a driver says that it cannot is no failure; what
# it does wrong is, and a row that test/providers does not describe is too.
use strict;
use warnings;
use AuthsyncContract;
use AuthsyncDouble;
use AuthsyncTest;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(sleep time);

our $ids = 'SELECT jsonb_agg(id)';
our $known = 40;		# users, where the number does not matter

sub listing { my ($w, $from) = @_; return AuthsyncContract::ask($w, "$ids FROM " . ($from || $w->{users})); }
sub run { return AuthsyncContract::ask(@_); }
sub small { my ($w, $size) = @_; return server($w, "by$size", options => { page_size => $size }); }
sub fault { my ($w, %f) = @_; return $w->{double}->fault(times => 0, %f); }
sub one { my ($w, $from, $id) = @_; return (row_of($w, $from, 'id = ' . quoted($id)))[0]; }

# A row to insert: columns and values, with what differs.
sub insert_of
{
	my ($w, $from, %more) = @_;
	my %new = (%{ $w->{d}{new} }, %more);
	my @columns = grep { defined $new{$_} } sort keys %new;
	return "INSERT INTO $from (" . join(', ', @columns) . ') VALUES (' . join(', ', map { quoted($new{$_}) } @columns) . ') RETURNING id';
}

# ---- listing

sub list_sizes
{
	my ($w) = @_;
	my $page = $w->{d}{page};
	in_case($w, 'list: sizes around a page');
	for ([ 'main', $w->{users}, $page ], [ 'page_size 5', small($w, 5), 5 ])
	{
		my ($what, $from, $size) = @$_;
		for my $n (0, 1, $size - 1, $size, $size + 1, 2 * $size + 1)
		{
			my @want = given_users($w, $n ? (count => $n) : ());
			same_ids($w, listing($w, $from), \@want, "$n users, $what");
		}
	}
	for my $variant (sort keys %{ $w->{d}{variants} || {} })
	{
		my $from = server($w, "v$variant", options => { %{ $w->{d}{variants}{$variant} }, page_size => 20 });
		for my $n (0, 1, 19, 20, 21, 41, 300)
		{
			my @want = given_users($w, $n ? (count => $n) : ());
			same_ids($w, listing($w, $from), \@want, "$n users, option cursor '$variant'");
		}
	}
	in_case($w, 'list: thousands');
	my @want = given_users($w, count => 3100);
	same_ids($w, listing($w), \@want, '3,100 users');
	# An import gives many the same time.
	@want = given_users($w, count => 1300, step_ms => 0, template => { updated_at => '2025-01-01T00:00:00Z' });
	same_ids($w, listing($w), \@want, '1,300 users of one instant');
}

# While pages are read users come and go: who was there all the time is there once, or the walk says that it is not complete.
sub list_moving
{
	my ($w) = @_;
	my ($complete, $rounds) = (0, 0);
	for my $what ('created', 'deleted', 'both')
	{
		in_case($w, "list: users $what meanwhile");
		for my $size (5, 10)
		{
			my $from = small($w, $size);
			my %froms = ($from => $size);
			$froms{ server($w, "m$_", options => { %{ $w->{d}{variants}{$_} }, page_size => 20 }) } = 20 for $size == 10 ? sort keys %{ $w->{d}{variants} || {} } : ();
			for my $table (sort keys %froms)
			{
				for my $round (1 .. ($ENV{AUTHSYNC_ROUNDS} || 4))
				{
					srand 1000 * $size + $round;
					my @all = given_users($w, count => 12 * $froms{$table} + 3);
					my %left = map { $_ => 1 } @all;
					my %mail = map { $_->{id} => $_->{email} } $w->{double}->users($w->{name});
					my @orders = (\@all, [ sort @all ], [ sort { $mail{$a} cmp $mail{$b} } @all ]);
					for my $skip (1 .. 9)
					{
						my %do;
						if ($what ne 'created' && $skip % ($round > 4 ? 1 + int rand 3 : $round > 3 ? 1 : $round) == 0)
						{
							# The first ones, the last ones, anybody, or the one after whom the next page comes
							my @there = grep { $left{$_} } @all;
							my @gone = $round == 1 ? @there[ 0 .. 1 ] : $round == 2 ? @there[ -2, -1 ] : $round % 4 == 0 ? grep { $left{$_} } map { $$_[ $skip * $froms{$table} - 1 ] } @orders : map { $there[ rand @there ] } 1 .. 3;
							delete @left{@gone};
							$do{delete} = \@gone;
						}
						if ($what ne 'deleted')
						{
							$do{create} = [ map { { email => sprintf('%s%d.%d@example.test', $round == 2 ? 'zz' : $_ % 2 ? 'aaa' : 'mmm', $skip, $_), name => 'New' } } 1 .. 2 ];
						}
						$w->{double}->hook(match => $w->{d}{list}, skip => $skip, times => 1, do => \%do) if %do;
					}
					my $t = listing($w, $table);
					$rounds++;
					if ($t->{state} eq '08P01')
					{
						check($w, $t->{out} eq '', "$table, round $round: an error and no row", shown($t));
						next;
					}
					next if !check($w, $t->{state} eq '00000', "$table, round $round: a result or 08P01", shown($t));
					$complete++;
					my %count;
					$count{$_}++ for id_list($t->{out});
					my @lacking = grep { !$count{$_} } keys %left;
					my @twice = grep { $count{$_} > 1 } keys %count;
					check($w, !@lacking, "$table, round $round: " . @lacking . ' living users of ' . keys(%left) . ' are missing from a result without error');
					check($w, !@twice, "$table, round $round: " . @twice . ' users twice');
				}
			}
		}
	}
	check($w, $complete * 3 >= $rounds, "a third of the walks at least comes to an end all the same: $complete of $rounds");
}

sub list_parts
{
	my ($w) = @_;
	in_case($w, 'limit');
	my @all = given_users($w, count => 250);
	my %all = map { $_ => 1 } @all;
	for my $n (0, 1, 7, 200, 1000)
	{
		my $t = run($w, "$ids FROM (SELECT id FROM $w->{users} LIMIT $n) AS l");
		my %seen = map { $_ => 1 } $t->{out} eq '' ? () : id_list($t->{out});
		my $want = $n > 250 ? 250 : $n;
		check($w, $t->{state} eq '00000' && keys(%seen) == $want && !(grep { !$all{$_} } keys %seen), "LIMIT $n gives $want users", shown($t));
	}
	my $before = log_of($w);
	run($w, "SELECT id FROM $w->{users} LIMIT 1");
	my @sent = sent_since($w, $before);
	check($w, @sent <= 2, 'LIMIT 1 is one request, or two', scalar @sent);

	in_case($w, 'count(*)');
	my $t = good($w, "SELECT count(*) FROM $w->{users}", 'count(*)');
	check($w, $t->{out} eq '250', 'it is that of the listing', $t->{out});
	my $plan = run($w, "EXPLAIN (VERBOSE, COSTS OFF) SELECT count(*) FROM $w->{users}")->{out};
	my $pushed = $plan !~ /^Aggregate/;
	check($w, $pushed == ($w->{d}{counts} ? 1 : 0), 'it is pushed down where the provider counts exactly', $pushed ? 'pushed' : 'not pushed');
	$before = log_of($w);
	run($w, "SELECT count(*) FROM $w->{users}");
	check($w, sent_since($w, $before) <= 2, 'one request, or two', scalar sent_since($w, $before)) if $pushed;
	cannot($w) if !$w->{d}{counts};
}

# ---- looking for some

sub get_one
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'get: by id');
	my @all = given_users($w, count => $known);
	my $before = log_of($w);
	check($w, (one($w, $w->{users}, $all[7]) || { id => '' })->{id} eq $all[7], 'by id');
	check($w, sent_since($w, $before) <= 2, 'one request, or two', scalar sent_since($w, $before));
	my $t = good($w, "SELECT id FROM $w->{users} WHERE id = " . quoted($d->{unknown_id}), 'an id that nobody has');
	check($w, $t->{out} eq '', 'an id that nobody has: no row', $t->{out});
	if ($d->{odd_id})
	{
		$w->{double}->add($w->{name}, users => [ { id => $d->{odd_id}, email => 'odd@example.test' } ]);
		my $row = one($w, $w->{users}, $d->{odd_id});
		check($w, $row && $row->{id} eq $d->{odd_id}, "an id that has to be encoded: $d->{odd_id}", $row ? encoded($row->{id}) : 'no row');
		$t = run($w, "DELETE FROM $w->{users} WHERE id = " . quoted($d->{odd_id}));
		check($w, !(grep { $_->{id} eq $d->{odd_id} } $w->{double}->users($w->{name})) && $w->{double}->users($w->{name}) == $known, '… and is deleted, he alone', shown($t));
	}

	in_case($w, 'get: hostile ids');
	@all = given_users($w, count => $known);
	my @hostile = ('../x', '..', '.', '../../users', 'a/b?c=d', '%2e%2e', '%2F..%2F', '', ' ', 'x' x 300, q{'"}, q{a" or "1"="1}, q{x' OR '1'='1}, "\x{1f600}", "a\r\nX-Evil: 1", "a\tb", '*', '(', '\\', 'me', '#', ';', 'users', 'count');
	for my $id (@hostile, map { "$_/../$all[0]" } 'x')
	{
		$t = run($w, "$ids FROM $w->{users} WHERE id = E" . (quoted($id) =~ s/\\/\\\\/gr =~ s/\r/\\r/gr =~ s/\n/\\n/gr));
		my $clean = $t->{state} eq '00000' ? $t->{out} eq '' : $t->{state} =~ /^(22|08P01|42704)/;
		check($w, $clean, 'no row or a clean error for ' . encoded(substr $id, 0, 20), shown($t));
	}
	my %odd = map { $_->{path} => 1 } grep { $_->{path} !~ $d->{paths} || $_->{path} =~ m{/(\.|%2e){1,2}(/|$)}i || join('', %{ $_->{headers} }) =~ /X-Evil/i } log_of($w);
	check($w, !%odd, 'no request leaves the path of one user', join ' ', map { substr $_, 0, 60 } sort keys %odd);
	check($w, $w->{double}->users($w->{name}) == $known, 'nobody is gone');
}

sub find_some
{
	my ($w) = @_;
	in_case($w, 'find: by e-mail');
	my @mails = ('plain@example.test', 'Mixed.Case@Example.test', 'a+b@example.test', 'per%cent@example.test', 'under_score@example.test', 'underXscore@example.test', q{o'brien@example.test},
		q{qu"ote@example.test}, 'back\\slash@example.test', "\x{fc}mlaut\@example.test", 'a&b=c@example.test', 'star*@example.test');
	given_users($w, count => $known);
	$w->{double}->add($w->{name}, users => [ map { { email => $_, name => 'Findable' } } @mails ]);
	my %id = map { $_->{email} => $_->{id} } $w->{double}->users($w->{name});
	for my $mail (@mails)
	{
		my $t = run($w, "$ids FROM $w->{users} WHERE email = " . quoted($mail));
		same_ids($w, $t, [ $id{$mail} ], "$mail");
	}
	for my $other ('PLAIN@example.test', 'nobody@example.test', '%@example.test', '_lain@example.test', 'plain@example.tes', 'lain@example.test', '', '*', q{" or "a" = "a})
	{
		my $t = good($w, "$ids FROM $w->{users} WHERE email = " . quoted($other), "nobody has $other");
		check($w, $t->{out} eq '', "nobody has $other: no row", $t->{out});
	}
	same_ids($w, run($w, "$ids FROM $w->{users} WHERE lower(email) = 'mixed.case\@example.test'"), [ $id{ $mails[1] } ], 'lower(email)');
	my $t = good($w, "$ids FROM $w->{users} WHERE email IS NULL", 'IS NULL');

	in_case($w, 'find: IN lists');
	my @all = given_users($w, count => 200);
	my @some = @all[ map { $_ * 7 } 0 .. 24 ];
	same_ids($w, run($w, "$ids FROM $w->{users} WHERE id IN (" . join(', ', map { quoted($_) } @some, @some[ 0 .. 3 ]) . ", NULL, " . quoted($w->{d}{unknown_id}) . ')'), \@some, 'ids, some twice, NULL, unknown');
	my %mail = map { $_->{id} => $_->{email} } $w->{double}->users($w->{name});
	same_ids($w, run($w, "$ids FROM $w->{users} WHERE email IN (" . join(', ', map { quoted($mail{$_}) } @some, @some[ 0 .. 3 ]) . ", NULL, 'nobody\@example.test')"), \@some, 'e-mails, some twice, NULL, unknown');
	$t = good($w, "$ids FROM $w->{users} WHERE id = ANY (ARRAY[NULL, NULL]::text[])", 'nothing but NULL');
	check($w, $t->{out} eq '', 'nothing but NULL: no row', $t->{out});
	$t = good($w, "SELECT count(*) FROM (VALUES " . join(', ', map { '(' . quoted($_) . ')' } @some[ 0 .. 4 ]) . ") AS v (id) JOIN $w->{users} AS u USING (id)", 'a join');
	check($w, $t->{out} eq '5', 'a join: 5 rows', $t->{out});
}

sub changes
{
	my ($w) = @_;
	in_case($w, 'updated_at >=');
	cannot($w) unless $w->{caps}{changes};
	given_users($w, count => $known);
	$w->{double}->add($w->{name}, users => [ map { { email => "late$_\@example.test", created_at => '2025-01-01T00:00:00Z', updated_at => sprintf('2025-06-01T00:00:%02d.%03dZ', $_ / 4, 678 + $_ % 4) } } 0 .. 59 ]);
	for my $condition (">= '2025-06-01T00:00:03.679Z'", "> '2025-06-01T00:00:03.679Z'", ">= '2025-06-01T00:00:03.6785Z'", ">= '2025-06-01T00:00:14.681Z'", "> '2025-06-01T00:00:14.681Z'", ">= '2030-01-01'", ">= '-infinity'", ">= 'infinity'",
		">= '0044-03-15 BC'", '>= NULL', "BETWEEN '2025-06-01T00:00:03.679Z' AND '2025-06-01T00:00:05Z'")
	{
		for my $from ($w->{users}, small($w, 5))
		{
			my $here = good($w, "$ids FROM (SELECT id, updated_at FROM $from OFFSET 0) AS l WHERE updated_at $condition", "filtered here: $condition");
			same_ids($w, run($w, "$ids FROM $from WHERE updated_at $condition"), [ id_list($here->{out}) ], "updated_at $condition");
		}
	}
	if ($w->{caps}{changes})
	{
		my $before = log_of($w);
		my $t = run($w, "SELECT count(*) FROM (SELECT id FROM $w->{users} WHERE updated_at >= '2025-06-01T00:00:14.681Z') AS l");
		check($w, $t->{out} eq '1' && sent_since($w, $before) <= 2, 'it is asked for, not filtered', "$t->{out} rows, " . sent_since($w, $before) . ' requests');
	}
}

sub columns
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'every column');
	given_users($w, count => 3);
	$w->{double}->add($w->{name}, users => [ $d->{full} ]);
	my $row = one($w, $w->{users}, $d->{full}{id});
	fits($w, $row, $d->{expect}, 'got');
	check($w, $row && ref $row->{raw} eq 'HASH', 'raw is there');
	check($w, $row && !defined $row->{password} && !defined $row->{password_hash}, 'passwords are null');
	check($w, $row && encoded($row) !~ /ZG91YmxlL/, 'no hash of a password in any column');
	my $listed = decoded(run($w, "SELECT jsonb_agg(u) FROM $w->{users} AS u")->{out} || '[]');
	my ($same) = grep { $_->{id} eq $d->{full}{id} } @$listed;
	fits($w, $same, $d->{expect}, 'listed');
	# Who has nothing but an id and an e-mail: no error, and no text where there is none
	my ($poor) = $w->{double}->control('POST', 'users', { provider => $w->{name}, users => [ { email => 'poor@example.test' } ] })->{ids}[0];
	$row = one($w, $w->{users}, $poor);
	check($w, $row && $row->{email} eq 'poor@example.test' && !defined $row->{phone} && !defined $row->{last_sign_in_at} && (!defined $row->{blocked} || !$row->{blocked}), 'what a user does not have is null', $row ? encoded($row) : 'no row');
}

# ---- writing

sub creating
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'create');
	given_users($w, count => 3);
	my $t = good($w, insert_of($w, $w->{users}), 'INSERT');
	my $id = (split /\n/, $t->{out})[0] // '';
	my ($there) = grep { $_->{email} && $_->{email} eq 'new@example.test' } $w->{double}->users($w->{name});
	check($w, $there && $there->{id} eq $id, 'RETURNING has the id', $id);
	my $row = one($w, $w->{users}, $id);
	my %want = map { $_ => $_ =~ /metadata/ ? decoded($d->{new}{$_}) : $d->{new}{$_} eq 'true' ? JSON::PP::true : $d->{new}{$_} } grep { !/password/ } keys %{ $d->{new} };
	if ($row && $want{user_metadata}) { delete @{ $row->{user_metadata} }{ grep { !exists $want{user_metadata}{$_} } keys %{ $row->{user_metadata} || {} } }; }
	fits($w, $row, \%want, 'read back');
	check($w, $row && !$row->{blocked}, 'he is not blocked');
	$t = good($w, "INSERT INTO $w->{users} (email" . ($d->{new}{password} ? ', password' : '') . ") SELECT 'lots' || i || '\@example.test'" . ($d->{new}{password} ? ", 'Canary-Pa55word'" : '') . " FROM generate_series(1, 20) AS i RETURNING id", '20 at once');
	good($w, "INSERT INTO $w->{users} (email" . ($d->{new}{password} ? ', password' : '') . ") SELECT 'batch' || i || '\@example.test'" . ($d->{new}{password} ? ", 'Canary-Pa55word'" : '') . ' FROM generate_series(1, 20) AS i', '20 in a batch');
	check($w, 20 == grep({ ($_->{email} // '') =~ /^batch/ } $w->{double}->users($w->{name})), '20 in a batch: 20 users');
	my %ids = map { $_ => 1 } grep { /./ } split /\n/, $t->{out};
	check($w, keys(%ids) == 20 && 20 == grep({ $ids{ $_->{id} } && $_->{email} =~ /^lots/ } $w->{double}->users($w->{name})), '20 at once: 20 ids, of 20 users', scalar keys %ids);

	in_case($w, 'create: exists');
	my $n = $w->{double}->users($w->{name});
	failed($w, insert_of($w, $w->{users}), '23505', 'the same e-mail again');
	check($w, $w->{double}->users($w->{name}) == $n, 'nobody was made');

	in_case($w, 'create: invalid');
	for my $column (sort keys %{ $d->{invalid} || {} })
	{
		failed($w, insert_of($w, $w->{users}, email => 'other@example.test', $column => $d->{invalid}{$column}), '22023', "$column '$d->{invalid}{$column}'");
	}
	if ($d->{refusal})
	{
		fault($w, match => $d->{create}, kind => 'status', times => 1, %{ $d->{refusal} }, headers => { 'content-type' => 'application/json' });
		failed($w, insert_of($w, $w->{users}, email => 'other@example.test'), '22023', 'a password that is too weak');
	}
	check($w, $w->{double}->users($w->{name}) == $n, 'nobody was made');

	in_case($w, 'create: id of one\'s own');
	if ($w->{caps}{set_id})
	{
		$t = good($w, insert_of($w, $w->{users}, id => $d->{new_id}, email => 'chosen@example.test'), 'INSERT with an id');
		check($w, (split /\n/, $t->{out})[0] eq $d->{new_id}, 'RETURNING has it', $t->{out});
		check($w, one($w, $w->{users}, $d->{new_id}), 'he has it');
		failed($w, insert_of($w, $w->{users}, id => $d->{new_id}, email => 'chosen2@example.test'), '23505', 'the same id again');
	}
	else
	{
		my $before = log_of($w);
		failed($w, insert_of($w, $w->{users}, id => 'mine', email => 'chosen@example.test'), '0A000', 'INSERT with an id');
		check($w, !sent_since($w, $before), 'nothing was sent');
		cannot($w);
	}
	in_case($w, 'create: lost answer');
	given_users($w, count => 3);
	good($w, "SELECT count(*) FROM $w->{users}", 'with a token that is good');
	fault($w, match => $d->{create}, kind => 'after_effect', then => 'close', times => 1);
	run($w, insert_of($w, $w->{users}));
	my @made = grep { $_->{email} && $_->{email} eq 'new@example.test' } $w->{double}->users($w->{name});
	check($w, @made == 1, 'one user, and not two', scalar @made);
	given_users($w, count => 3);
	fault($w, match => $d->{create}, kind => 'status', %{ $d->{broken} || { status => 500, body => '{"message":"oops"}' } });
	my $before = log_of($w);
	failed($w, insert_of($w, $w->{users}), '08006', '500');
	my @posts = grep { $d->{call} ? $_->{headers}{ $d->{call} } =~ /Create/ : $_->{path} =~ ($d->{create_only} || qr/./) } sent_since($w, $before, $d->{create} =~ s/\?$//r);
	check($w, @posts == 1, 'a create that failed is sent once', scalar @posts);
}

sub gone_before
{
	my ($w, $match, $id) = @_;
	return $w->{double}->hook(match => $match, skip => $w->{d}{one_url} ? 1 : 0, times => 1, do => { delete => [$id] });
}

sub updating
{
	my ($w) = @_;
	my $d = $w->{d};
	my $where = sub { 'WHERE id = ' . quoted($_[0]) };
	in_case($w, 'update: each column');
	for my $column (sort keys %{ $d->{writes} })
	{
		my @all = given_users($w, count => 3);
		my $value = $d->{writes}{$column};
		my $old = one($w, $w->{users}, $all[1]);
		my $t = good($w, "UPDATE $w->{users} SET $column = " . quoted($value) . ' ' . $where->($all[1]), $column);
		my $row = one($w, $w->{users}, $all[1]);
		next if $t->{state} ne '00000' || $column =~ /password/;
		fits($w, $row, { $column => $value eq 'true' ? JSON::PP::true : $value }, $column);
		my $lost = join ', ', grep { $_ ne $column && $_ !~ /updated_at|raw|identities|_verified|metadata/ && encoded($row->{$_}) ne encoded($old->{$_}) } sort keys %$row;
		check($w, $lost eq '', "$column: nothing else has changed", $lost);
		if ($value eq 'true')
		{
			$t = run($w, "UPDATE $w->{users} SET $column = false " . $where->($all[1]));
			check($w, $t->{state} =~ /^(00000|0A000)$/, "$column false: works or is refused", shown($t));
			fits($w, one($w, $w->{users}, $all[1]), { $column => JSON::PP::false }, "$column false") if $t->{state} eq '00000';
		}
		elsif ($column !~ /email/)
		{
			$t = run($w, "UPDATE $w->{users} SET $column = NULL " . $where->($all[1]));
			check($w, $t->{state} =~ /^(00000|0A000|22023|23502)$/, "$column NULL: works or is refused", shown($t));
			$row = one($w, $w->{users}, $all[1]);
			# A name that is not there may be said by what is.
			check($w, !defined $row->{$column} || $column eq 'name', "$column NULL: it is gone", encoded($row->{$column})) if $t->{state} eq '00000';
		}
	}
	in_case($w, 'update: many rows, RETURNING');
	my @all = given_users($w, count => 30);
	my ($plain) = grep { $d->{writes}{$_} && $_ ne 'email' } qw(name blocked);
	my $t = good($w, "UPDATE $w->{users} SET $plain = " . quoted($d->{writes}{$plain}) . ' WHERE id IN (' . join(', ', map { quoted($_) } @all[ 0 .. 11 ]) . ') RETURNING id', '12 rows');
	check($w, 12 == grep({ /./ } split /\n/, $t->{out}), '12 ids', $t->{out});
	$t = run($w, "SELECT count(*) FROM $w->{users} WHERE $plain = " . quoted($d->{writes}{$plain}));
	check($w, $t->{out} eq '12', '12 have it', $t->{out});

	in_case($w, 'update: exists');
	@all = given_users($w, count => 3);
	my ($mail) = map { $_->{email} } grep { $_->{id} eq $all[0] } $w->{double}->users($w->{name});
	if ($d->{one_url}) { cannot($w); }
	else
	{
		$t = run($w, "UPDATE $w->{users} SET email = " . quoted($mail) . ' ' . $where->($all[1]));
		my @have = grep { $_->{email} eq $mail } $w->{double}->users($w->{name});
		check($w, $t->{state} eq '23505' || ($t->{state} eq '00000' && @have == 2), 'the e-mail of another: 23505, or the provider allows it', shown($t));
	}
	in_case($w, 'update: metadata');
	cannot($w) unless @{ $d->{metadata} || [] };
	for my $column (@{ $d->{metadata} || [] })
	{
		my $in = sub { my ($text) = @_; return $d->{metadata_lists} ? $text =~ s/"(\w+)":"(\w*)"/"$1":["$2"]/gr : $text; };
		my @steps = ('{"keep":"1","gone":"x"}', '{"keep":"2"}', '{"keep":"2","odd key\\"\\\\ \u00fc":"\u20ac"}', '{}', '{"again":"3"}');
		@steps = ('{"keep":"1","gone":"x","nest":{"a":1,"b":{"c":[1,2]}}}', '{"keep":"2","nest":{"a":3}}', '{"nest":{"b":{}},"t":true}', '{}', '{"again":"3"}') unless $d->{metadata_flat} || $d->{metadata_lists};
		splice @steps, 2, 1 if $d->{metadata_lists} || $d->{metadata_flat};
		@all = given_users($w, count => 3);
		for my $step (map { $in->($_) } @steps)
		{
			$t = good($w, "UPDATE $w->{users} SET $column = " . quoted($step) . ' ' . $where->($all[1]), "$column to $step");
			my $row = one($w, $w->{users}, $all[1]);
			my $have = { %{ ($row || {})->{$column} || {} } };
			delete @$have{ grep { $_ ne 'again' } @{ ($d->{metadata_has} || {})->{$column} || [] } };
			delete @$have{ qw(full_name avatar_url user_name) } if $d->{metadata_has};
			check($w, encoded($have) eq encoded(decoded($step)), "$column is $step", encoded($have)) if $t->{state} eq '00000';
		}
	}
	in_case($w, 'update: column not taken');
	@all = given_users($w, count => 3);
	for my $column (@{ $d->{unwritable} })
	{
		my $value = $column =~ /_at$/ ? "'2025-01-01'" : $column =~ /metadata|identities|raw/ ? q{'{"a": "1"}'} : $column =~ /verified|blocked/ ? 'true' : q{'x'};
		my $before = log_of($w);
		failed($w, "UPDATE $w->{users} SET $column = $value " . $where->($all[1]), '0A000', $column);
		my @sent = sent_since($w, $before);
		check($w, !@sent, "$column: nothing is sent", scalar @sent);
	}
	in_case($w, 'update, delete: gone');
	@all = given_users($w, count => 3);
	my $change = "UPDATE $w->{users} SET $plain = " . quoted($d->{writes}{$plain});
	$t = good($w, "$change " . $where->($d->{unknown_id}), 'nobody is changed');
	# He is deleted after he was read, before he is written.
	gone_before($w, $d->{change}, $all[1]);
	failed($w, "$change " . $where->($all[1]), '42704', 'update: he goes in between');
	$w->{double}->control('POST', 'reset', { provider => $w->{name} });
	@all = given_users($w, count => 3);
	gone_before($w, $d->{remove}, $all[1]);
	$t = good($w, "DELETE FROM $w->{users} " . $where->($all[1]), 'delete: he goes in between');
	check($w, $w->{double}->users($w->{name}) == 2, 'the others are there');
}

sub deleting
{
	my ($w) = @_;
	in_case($w, 'delete');
	my @all = given_users($w, count => 10);
	my $t = good($w, "DELETE FROM $w->{users} WHERE id = " . quoted($all[2]) . ' RETURNING id', 'DELETE');
	check($w, $t->{out} =~ /\Q$all[2]\E/, 'RETURNING has the id', $t->{out});
	check($w, !grep({ $_->{id} eq $all[2] } $w->{double}->users($w->{name})) && $w->{double}->users($w->{name}) == 9, 'he is gone, he alone', scalar $w->{double}->users($w->{name}));
	good($w, "DELETE FROM $w->{users} WHERE id = " . quoted($all[2]), 'twice');
	good($w, "DELETE FROM $w->{users} WHERE id = " . quoted($w->{d}{unknown_id}), 'unknown');
	$t = good($w, "DELETE FROM $w->{users} WHERE id IN (" . join(', ', map { quoted($_) } @all[ 4 .. 6 ]) . ')', 'three');
	check($w, $w->{double}->users($w->{name}) == 6, 'three more are gone', scalar $w->{double}->users($w->{name}));
	my $id = quoted($all[8]);
	$t = run($w, "DELETE FROM $w->{users} USING (VALUES (1), (2)) AS twice (n) WHERE id = $id");
	check($w, $t->{state} eq '00000', 'joined to two rows', shown($t));
}

do "$tree/test/providers/cases/$_.pl" or die "$_.pl: " . ($@ || $!) for qw(trouble more);

# ---- all of it, for every row of the registry

my $node = new_server('providers', init => { extra => [ '--encoding=UTF8', '--no-locale' ] });
my $db = 'providers';
new_database($node, $db);
$node->safe_psql($db, 'SET client_min_messages = error; CREATE EXTENSION authsync; SELECT authsync.arm()');

# The names that the validator lists are the registry's.
my ($rc, $out, $err) = $node->psql($db, q{CREATE SERVER x FOREIGN DATA WRAPPER authsync OPTIONS (provider 'no such', url 'https://example.com')});
my @names = grep { $node->safe_psql($db, 'SELECT authsync.provider_capabilities(' . quoted($_) . ') IS NOT NULL') eq 't' } $err =~ /\b([a-z]\w+)\b/g;
my %seen;
@names = grep { !$seen{$_}++ } @names;
cmp_ok(scalar @names, '>', 0, 'the registry has rows: ' . join ' ', @names);
if ($ENV{AUTHSYNC_PROVIDERS}) { my %only = map { $_ => 1 } split ' ', $ENV{AUTHSYNC_PROVIDERS}; @names = grep { $only{$_} } @names; }

ok(-e "$tree/test/providers/$_.pl", "$_ is described in test/providers") for @names;
my @can_run = grep { -e "$tree/test/providers/$_.pl" } @names;

# A key that nobody reads, or one misspelt, would leave its cases out without a word.
my %explained = map { $_ => 1 } map { /`(\w+)`/g } map { /^\| (`.*?`) \|/ ? $1 : () } split /\n/, slurp_file("$tree/test/providers/README.md");
for my $name (@can_run)
{
	my @odd = grep { !$explained{$_} } sort keys %{ AuthsyncContract::description($name) };
	is("@odd", '', "$name: every key is explained in test/providers/README.md");
}
my $began = time;
my $all = run_workers($node, $db, 4, sub
{
	my ($w) = @_;
	$_->($w) for \&list_sizes, \&list_moving, \&list_parts, \&get_one, \&find_some, \&changes, \&columns, \&creating, \&updating, \&deleting, \&garbled_writes, \&habits, \&troubles;
}, @can_run);

my @cases;
my %have_case;
for my $name (@can_run)
{
	my $r = $all->{$name};
	ok(!$r->{died}, "$name: the cases came to their end") or diag($r->{died});
	for my $case (@{ $r->{cases} })
	{
		push @cases, $case unless $have_case{$case}++;
		my $bad = $r->{results}{$case}{bad};
		push @$bad, 'nothing was checked' unless $r->{results}{$case}{good} || @$bad || $r->{results}{$case}{cannot};
		my $why = ($r->{untried} || {})->{$case};
		if ($why) { SKIP: { skip("$name: $case: $why", 1); } next; }
		ok(!@$bad, "$name: $case") or diag(join "\n", map { "$name: $case: $_" } @$bad[ 0 .. ($#$bad > 7 ? 7 : $#$bad) ]);
	}
}

my $table = '| case | ' . join(' | ', @can_run) . " |\n|" . ' --- |' x (@can_run + 1) . "\n";
for my $case (@cases)
{
	$table .= "| $case | " . join(' | ', map
	{
		my $r = $all->{$_}{results}{$case};
		!$r ? 'not run' : ($all->{$_}{untried} || {})->{$case} ? 'not tried' : @{ $r->{bad} } ? 'FAILED' : $r->{cannot} ? "\x{2013}" : 'ok';
	} @can_run) . " |\n";
}
utf8::encode($table);
mkdir "$tree/.build";
open my $file, '>', "$tree/.build/contract.md" or die "contract.md: $!";
print $file $table;
close $file;
note("driver x case, as in .build/contract.md:\n$table");
note(sprintf 'took %.0f s: %s', time - $began, join ', ', map { sprintf '%s %.0f', $_, $all->{$_}{took} || 0 } @can_run);

like($node->safe_psql($db, 'SELECT 1'), qr/^1$/, 'the server is alive');
unlike(slurp_file($node->logfile), qr/terminated by signal|PANIC|TRAP:/, '… and no backend has died');
$node->stop;
done_testing();
