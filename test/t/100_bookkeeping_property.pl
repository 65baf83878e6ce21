# The books say what the full comparison says: random histories of interleaved
# transactions, on four shapes of profiles. AUTHSYNC_HISTORIES sets how many a
# shape (12), AUTHSYNC_SEED where to begin (1). A failure is told with its seed
# and its steps; that seed alone is: AUTHSYNC_SEED=… AUTHSYNC_HISTORIES=1.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $histories = $ENV{AUTHSYNC_HISTORIES} || 12;
my $seed = $ENV{AUTHSYNC_SEED} || 1;
my %shapes = (
	cascade => ['id', 'true', 'CREATE TABLE profiles (id uuid PRIMARY KEY REFERENCES auth.users ON DELETE CASCADE, email text, display_name text)'],
	loose => ['id', 'true', 'CREATE TABLE profiles (id uuid PRIMARY KEY, email text, display_name text)'],
	nullable => ['user_id', 'true', 'CREATE TABLE profiles (n bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid UNIQUE, email text, display_name text)'],
	without_email => ['id', 'false', 'CREATE TABLE profiles (id uuid PRIMARY KEY, display_name text)']);

my $node = new_server('property', conf => "deadlock_timeout = '20ms'\nautovacuum = off\nsynchronous_commit = off\nstatement_timeout = 0\nidle_in_transaction_session_timeout = 0\n");

for my $shape (sort keys %shapes)
{
	my ($key, $email, $table) = @{ $shapes{$shape} };

	auth_database($node, $shape, no_profiles => 1);
	$node->safe_psql($shape, "SET client_min_messages = error; $table; CREATE EXTENSION authsync");
	run_file($node, $shape, "$tree/test/property/driver.sql");
	$node->safe_psql($shape, "INSERT INTO property.shape VALUES ('$key', $email)");

	my ($status, $out, $err) = $node->psql($shape, "SET client_min_messages = error; SELECT compared || ' ' || trusted || ' ' || waited FROM property.run($seed, $histories)");
	is($status, 0, "$shape: the books say what the comparison says") or diag($err);
	my ($compared, $trusted, $waited) = ($out // '') =~ /(\d+) (\d+) (\d+)$/ ? ($1, $2, $3) : (0, 0, 0);
	note("$shape: $histories histories, $compared comparisons, $trusted of them while the books were trusted; $waited statements had to wait");
	cmp_ok($trusted * 2, '>', $compared, "$shape: most of them while the books were used");

	# It would notice: books that lack a suspect.
	$node->safe_psql($shape, q{ALTER TABLE profiles ENABLE ALWAYS TRIGGER authsync_watched});
	$node->safe_psql($shape, q{CALL authsync.maintain()});
	$node->safe_psql($shape, q{INSERT INTO auth.users (id, email, created_at) VALUES ('00000000-0000-0000-0000-0000000000ff', 'ff@example.test', now()); DELETE FROM profiles});
	is($node->safe_psql($shape, 'SELECT trusted, difference FROM property.difference()'), 't|', "$shape: in step with itself");
	$node->safe_psql($shape, 'DELETE FROM authsync.suspects');
	like($node->safe_psql($shape, 'SELECT difference FROM property.difference()'), qr/compared: /, "$shape: a suspect that is lost is noticed");
	$node->safe_psql($shape, 'INSERT INTO authsync.changes VALUES (NULL, NULL, 1, 0, 0, 0); INSERT INTO authsync.suspects SELECT id FROM auth.users');
	like($node->safe_psql($shape, 'SELECT difference FROM property.difference()'), qr/Total auth.users/, "$shape: a total that is wrong, too");
}
$node->stop;
done_testing();
