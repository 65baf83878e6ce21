# What the real Supabase Auth server does to a listing, and what a user of it can do to everybody's: users of one created_at,
# people who go and come at the same time, metadata that are deep or large, addresses that are patterns.
use strict;
use warnings;
use AuthsyncDouble;
use AuthsyncTest;
use JSON::PP ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $double = start_double();
my $node = new_server('supabase');
my $db = 'supabase';
new_database($node, $db);
$node->safe_psql($db, 'SET client_min_messages = error; CREATE EXTENSION authsync');
new_provider($node, $db, 'prod', $double->url);

sub sql { return $node->safe_psql($db, "SET client_min_messages = error; $_[0]"); }
sub page_size { $node->safe_psql($db, "ALTER SERVER prod OPTIONS ($_[0])"); }
sub all_ids { return join ' ', sort map { $_->{id} } $double->users('supabase'); }
sub listed { return sql(q{SELECT string_agg(id, ' ' ORDER BY id COLLATE "C") FROM prod.users}); }

# ---- users of one time: their order depends on the page

page_size("ADD page_size '100'");
for my $case ([ 'all of one time', 1, 730 ], [ 'in groups of 30', 25, 30 ], [ 'in groups of 250', 3, 250 ], [ 'in pairs', 150, 2 ])
{
	my ($name, $groups, $each) = @$case;
	$double->reset;
	$double->add('supabase', count => $each, start => $_ * $each, step_ms => 0, created_at => sprintf('2026-01-01T%02d:%02d:00Z', int($_ / 60), $_ % 60))
		for 0 .. $groups - 1;
	$double->set('supabase', shuffle_ties => JSON::PP::true);
	for my $size (100, 33, 7)
	{
		page_size("SET page_size '$size'");
		is(listed(), all_ids(), "$name, $size a page: everybody, once");
	}
}

# ---- one goes and one comes between two pages: the count is the same

page_size("SET page_size '100'");
$double->reset;
$double->add('supabase', count => 500);
my @there = map { $_->{id} } $double->users('supabase');
my @gone = @there[ 3, 150, 250, 350 ];
for my $n (0 .. $#gone)
{
	$double->hook(match => 'per_page=100', skip => $n + 1, do => { delete => [ $gone[$n] ], create => [ { email => "new$n\@example.com" } ] });
}
my %listed = map { $_ => 1 } split / /, listed();
my %left = map { $_ => 1 } @there;
delete @left{@gone};
is(join(' ', grep { !$listed{$_} } sort keys %left), '', 'four go and four come during a listing: no error, and nobody who stayed is missing');

# ---- a page that is shorter than it should be

$double->reset;
$double->add('supabase', count => 250);
page_size("SET page_size '1000'");
$double->fault(match => 'per_page=1000', kind => 'status', status => 200, times => 1,
	headers => { 'X-Total-Count' => 250, 'Content-Type' => 'application/json' }, body => '{"users":[],"aud":"authenticated"}');
is(sql('SELECT count(id) FROM prod.users'), 250, 'a page that was empty is asked for again');
$double->fault(match => 'per_page=1000', kind => 'status', status => 200, times => 0,
	headers => { 'X-Total-Count' => 250, 'Content-Type' => 'application/json' }, body => '{"users":[],"aud":"authenticated"}');
my $t = trouble($node, $db, 'SELECT count(id) FROM prod.users');
is($t->{state}, '08P01', '… and where it stays so, that is an error, not an empty list');
like($t->{detail}, qr/Page 1 has 0 users, where 250 were to come/, '… which says what is missing');

# ---- what one user can do

$double->reset;
$double->add('supabase', count => 30);
my $deep = '{"a":' x 70 . '1' . '}' x 70;
$double->add('supabase', users => [ { email => 'deep@example.com', user_metadata => JSON::PP->new->max_depth(200)->decode($deep) } ]);
is(sql('SELECT count(id) FROM prod.users'), 31, 'metadata 70 deep hide nobody');
is(sql(q{SELECT length(user_metadata::text) FROM prod.users WHERE email = 'deep@example.com'}), length($deep) + 70, '… and are there');

$double->reset;
$double->add('supabase', count => 64, template => { user_metadata => { x => 'y' x 20000 } });
page_size(q{ADD max_response_bytes '200000'});
is(sql('SELECT count(id), count(DISTINCT id) FROM prod.users'), '64|64', 'pages that are too long are asked for in halves');
page_size(q{SET max_response_bytes '10000'});
$t = trouble($node, $db, 'SELECT count(id) FROM prod.users');
is($t->{state}, '08P01', '… but a single user who is too long is an error');
like($t->{detail}, qr/longer than 10000 bytes; server option max_response_bytes/, '… which says what helps');
page_size('DROP max_response_bytes');

# ---- looking people up

$double->reset;
$double->add('supabase', users => [ map { { email => $_ } } 'a_b@x.test', 'axb@x.test', 'a%b@x.test' ]);
is(sql(q{SELECT string_agg(email, ' ' ORDER BY email COLLATE "C") FROM prod.users WHERE email IN ('a_b@x.test', 'axb@x.test', 'nobody@x.test', 'A_B@x.test', NULL)}),
	'a_b@x.test axb@x.test', 'an address that is a pattern finds one, once');
is(sql(q{SELECT count(*) FROM prod.users WHERE email = 'a%b@x.test'}), 1, '… with % too');
my $before = $double->requests;
is(sql(q{SELECT count(*) FROM prod.users WHERE email = ''}), 0, 'nobody has an empty address');
is(sql(q{SELECT count(*) FROM prod.users WHERE id IN ('', '.', '..', 'x', '%2e%2e', repeat('a', 100000))}), 0, 'nobody has an id that is no UUID');
is($double->requests, $before, '… and nobody is asked');
my ($id) = map { $_->{id} } $double->users('supabase');
is(sql(qq{SELECT count(*) FROM prod.users WHERE id IN ('$id', upper('$id'), '{$id}')}), 1, 'an id in other spellings is another id');

# ---- what would be ignored without a word

sql(q{UPDATE prod.users SET email_verified = true, phone = '4915100000' WHERE email = 'axb@x.test'});
for my $case ([ 'email_verified = false', 'confirmation' ], [ 'email = NULL', 'not taken away' ], [ "email = ''", 'not taken away' ], [ 'phone = NULL', 'not taken away' ],
	[ 'password = NULL', 'not taken away' ], [ "password_hash = 'x'", 'once the user is there' ])
{
	$t = trouble($node, $db, "UPDATE prod.users SET $case->[0] WHERE email = 'axb\@x.test'");
	is($t->{state}, '0A000', "UPDATE SET $case->[0] is refused");
	like($t->{detail}, qr/$case->[1]/, '… with the reason');
}
$t = trouble($node, $db, q{INSERT INTO prod.users (email, password) VALUES ('long@x.test', repeat('x', 73))});
is($t->{state}, '22023', 'a password of 73 bytes is refused here');
$t = trouble($node, $db, q{INSERT INTO prod.users (email) VALUES ('axb@x.test') ON CONFLICT DO NOTHING});
is($t->{state}, '0A000', 'ON CONFLICT is refused');

# ---- what the database behind it says

sub leaked
{
	my ($match, $code, $message) = @_;
	$double->fault(match => $match, kind => 'status', status => 500, headers => { 'Content-Type' => 'application/json' },
		body => JSON::PP::encode_json({ code => $code, message => $message }));
}
leaked('DELETE /', '23503', 'update or delete on table "users" violates foreign key constraint "orders_user_id_fkey" on table "orders"');
$t = trouble($node, $db, q{DELETE FROM prod.users WHERE email = 'axb@x.test'});
is($t->{state}, '23503', 'a foreign key in the way of a deletion');
leaked('POST /', '23505', 'duplicate key value violates unique constraint "profiles_email_key"');
is(trouble($node, $db, q{INSERT INTO prod.users (email) VALUES ('n1@x.test')})->{state}, '22023', 'a trigger that failed for a row of its own is no user who exists');
leaked('POST /', '23505', 'duplicate key value violates unique constraint "users_email_partial_key"');
is(trouble($node, $db, q{INSERT INTO prod.users (email) VALUES ('n1@x.test')})->{state}, '23505', '… one that is there is');
$double->fault(match => 'POST /', kind => 'after_effect', then => 'status', status => 504);
$t = trouble($node, $db, q{INSERT INTO prod.users (email) VALUES ('n2@x.test')});
is($t->{state}, '08006', 'no answer to a write');
like("$t->{detail} $t->{hint}", qr/may have done it all the same.*Look at the user/, '… says that it may have been done');

done_testing();
