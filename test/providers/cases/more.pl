# The part of the contract about what one and the same provider does here and not there
# (the settings of its double), and about answers to writes that are garbled or late.
# Read by test/t/130_providers.pl.
package main;
use strict;
use warnings;
our ($ids, $known);

my $json_type = { 'content-type' => 'application/json' };

# Looking and writing, in short; nothing in it may depend on the habit.
sub everything_once
{
	my ($w, $from, $habit, $settings) = @_;
	my $d = $w->{d};
	my $users = sub { my @all = given_users($w, @_ ? (count => $_[0]) : ()); $w->{double}->set($w->{name}, %{ $d->{settings} || {} }, %$settings); return @all; };
	for my $n (0, 1, 20, 47, 301)
	{
		my @want = $n ? $users->($n) : $users->();
		same_ids($w, listing($w, $from), \@want, "$habit: $n users");
	}
	my @all = $users->(20);
	same_ids($w, run($w, "$ids FROM $from WHERE id = " . quoted($all[7])), [ $all[7] ], "$habit: get");
	my ($mail) = map { $_->{email} } grep { $_->{id} eq $all[7] } $w->{double}->users($w->{name});
	same_ids($w, run($w, "$ids FROM $from WHERE email = " . quoted($mail)), [ $all[7] ], "$habit: find");
	for my $where ('id = ' . quoted($d->{unknown_id}), q{email = 'nobody@example.test'})
	{
		my $t = good($w, "SELECT id FROM $from WHERE $where", "$habit: nobody has $where");
		check($w, $t->{out} eq '', "$habit: nobody has $where: no row", $t->{out});
	}
	my $t = good($w, "SELECT count(*) FROM $from", "$habit: count");
	check($w, $t->{out} eq '20', "$habit: count", $t->{out});
	$t = good($w, insert_of($w, $from), "$habit: create");
	my $id = (split /\n/, $t->{out})[0] // '';
	check($w, 1 == grep({ $_->{id} eq $id } $w->{double}->users($w->{name})), "$habit: create: RETURNING has the id", $id);
	failed($w, insert_of($w, $from), '23505', "$habit: create twice");
	my ($plain) = grep { $d->{writes}{$_} && $_ ne 'email' } qw(name blocked);
	my $value = $d->{writes}{$plain};
	good($w, "UPDATE $from SET $plain = " . quoted($value) . " WHERE id = " . quoted($all[7]), "$habit: update");
	fits($w, one($w, $from, $all[7]), { $plain => $value eq 'true' ? JSON::PP::true : $value, email => $mail }, "$habit: update");
	good($w, "DELETE FROM $from WHERE id = " . quoted($all[7]), "$habit: delete") for 1 .. 2;
	check($w, 20 == $w->{double}->users($w->{name}), "$habit: he alone is gone", scalar $w->{double}->users($w->{name}));
	failed($w, "SELECT id FROM " . server($w, 'habitkey', secrets => $d->{wrong_key}), '28000', "$habit: wrong key");
}

sub habits
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'other habits of the server');
	cannot($w) unless $d->{habits};
	if ($d->{hiding})
	{
		# Some whom the key may not see are left out of pages, without a word
		given_users($w, count => 60);
		$w->{double}->set($w->{name}, %{ $d->{settings} || {} }, %{ $d->{hiding} });
		failed($w, "SELECT id FROM $_", '08P01 42501', 'users are hidden') for $w->{users}, small($w, 5);
	}
	my $n = 0;
	for my $habit (sort keys %{ $d->{habits} || {} })
	{
		my ($settings, $options) = @{ $d->{habits}{$habit} };
		$n++;
		everything_once($w, server($w, "habit$n", options => { page_size => 20, %{ $options || {} } }), $habit, $settings);

		# And while users go: nobody who stays is missing.
		for my $round (1 .. 3)
		{
			srand 77 * $n + $round;
			my @all = given_users($w, count => 200);
			$w->{double}->set($w->{name}, %{ $d->{settings} || {} }, %$settings);
			my %left = map { $_ => 1 } @all;
			for my $skip (1 .. 8)
			{
				my @there = grep { $left{$_} } @all;
				my @gone = $round == 1 ? @there[ 0 .. 1 ] : map { $there[ rand @there ] } 1 .. 2;
				delete @left{@gone};
				$w->{double}->hook(match => $d->{list}, skip => $skip, times => 1, do => { delete => \@gone });
			}
			my $t = listing($w, server($w, "habit$n"));
			check($w, $t->{state} =~ /^(00000|08P01)$/, "$habit: users go: a result or 08P01", shown($t));
			next if $t->{state} ne '00000';
			my %count;
			$count{$_}++ for id_list($t->{out});
			my @lacking = grep { !$count{$_} } keys %left;
			check($w, !@lacking && !grep({ $_ > 1 } values %count), "$habit: users go: " . @lacking . ' living users are missing from a result without error, or somebody is there twice');
		}
	}
}

# What is no answer, where a write or a question about one gets it.
sub garbled_writes
{
	my ($w) = @_;
	my $d = $w->{d};
	in_case($w, 'garbled answers to find, count, writes');
	for my $body ('<html>Please sign in</html>', '{"error":"x"}', 'null', '[', '[]', '{}', '42')
	{
		my $type = $body =~ /^</ ? { 'content-type' => 'text/html' } : $json_type;
		my $garble = sub
		{
			my ($match) = @_;
			my @all = given_users($w, count => 5);
			good($w, "SELECT count(*) FROM (SELECT id FROM $w->{users} OFFSET 0) AS l", 'with a token');
			fault($w, match => $match, kind => 'garbage', body => $body, headers => $type);
			return @all;
		};
		$garble->($d->{api});
		my $t = run($w, "SELECT id FROM $w->{users} WHERE email = 'x\@example.test'");
		my $nobody = ($body eq '[]' && ($d->{nobody_found} // '') eq '[]') || ($body =~ /^\{/ && defined $d->{nobody});
		check($w, $t->{state} eq '08P01' || ($nobody && $t->{state} eq '00000' && $t->{out} eq ''), "find: $body", shown($t));
		$garble->($d->{api});
		$t = run($w, "SELECT count(*) FROM $w->{users}");
		# A bare array without anybody is what an empty list is, where nothing counts.
		$nobody = $body eq '[]' && !$d->{empty} ? '0' : $body eq '42' && $d->{count_bare} ? '42' : '';
		check($w, $t->{state} =~ /^(08P01|42501)$/ || ($nobody ne '' && $t->{out} eq $nobody), "count: $body", shown($t));
		# A new user: what he is called is not known then, and that is an error. A driver may look him up.
		$garble->($d->{create});
		$t = run($w, insert_of($w, $w->{users}));
		my ($id) = $t->{state} eq '00000' ? split(/\n/, $t->{out}) : ();
		my @there = grep { ($_->{email} // '') eq 'new@example.test' } $w->{double}->users($w->{name});
		check($w, $t->{state} =~ /^08/ || (@there && $id && $id eq $there[0]{id}), "create: $body", shown($t));
	}
	in_case($w, 'throttled, broken: writes');
	my $slow = $d->{throttled} || { status => 429, body => '{"message":"Too many requests"}', headers => { 'retry-after' => '1', %$json_type } };
	my $broken = $d->{broken} || { status => 500, body => '{"message":"Internal error"}' };
	my ($plain) = grep { $d->{writes}{$_} && $_ ne 'email' } qw(name blocked);
	my $value = $d->{writes}{$plain};
	my @all = given_users($w, count => 5);
	my $skip = $d->{one_url} ? 1 : 0;
	fault($w, match => $d->{change}, skip => $skip, kind => 'status', times => 1, headers => $json_type, %$slow);
	good($w, "UPDATE $w->{users} SET $plain = " . quoted($value) . ' WHERE id = ' . quoted($all[1]), 'update, throttled once');
	fits($w, one($w, $w->{users}, $all[1]), { $plain => $value eq 'true' ? JSON::PP::true : $value }, 'update, throttled once');
	fault($w, match => $d->{remove}, skip => $skip, kind => 'status', times => 1, headers => $json_type, %$slow);
	good($w, "DELETE FROM $w->{users} WHERE id = " . quoted($all[1]), 'delete, throttled once');
	check($w, 4 == $w->{double}->users($w->{name}), 'delete, throttled once: he is gone');
	fault($w, match => $d->{remove}, skip => $skip, kind => 'status', headers => $json_type, %$broken);
	failed($w, "DELETE FROM $w->{users} WHERE id = " . quoted($all[2]), '08006', 'delete, 500 for good');
	@all = given_users($w, count => 5);
	fault($w, match => $d->{change}, skip => $skip, kind => 'status', headers => $json_type, %$broken);
	failed($w, "UPDATE $w->{users} SET $plain = " . quoted($value) . ' WHERE id = ' . quoted($all[1]), '08006', 'update, 500 for good');
	# It is done, and nobody learns of it: done again it does no harm.
	@all = given_users($w, count => 5);
	fault($w, match => $d->{remove}, skip => $skip, kind => 'after_effect', then => 'close', times => 1);
	good($w, "DELETE FROM $w->{users} WHERE id = " . quoted($all[2]), 'delete, whose answer is lost');
	check($w, 4 == $w->{double}->users($w->{name}), 'delete, whose answer is lost: he alone is gone');

	# Of many at once one is refused: the error says how many are there all the same, and they are.
	in_case($w, 'many at once, one refused');
	@all = given_users($w, count => 2);
	my ($taken) = map { $_->{email} } grep { $_->{id} eq $all[0] } $w->{double}->users($w->{name});
	my $password = $d->{new}{password} ? [ ', password', ", 'Canary-Pa55word'" ] : [ '', '' ];
	my $t = failed($w, "INSERT INTO $w->{users} (email$password->[0]) SELECT CASE i WHEN 7 THEN " . quoted($taken) . " ELSE 'batch' || i || '\@example.test' END$password->[1] FROM generate_series(1, 12) AS i", '23505', 'one of twelve is there already');
	my $made = grep { ($_->{email} // '') =~ /^batch/ } $w->{double}->users($w->{name});
	my ($told) = $t->{detail} =~ /of the 12 users of this batch (\d+) had been created/;
	check($w, defined $told && $told == $made, "the error says that $made are there", shown($t));
}

1;
