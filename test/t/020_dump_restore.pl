# A dump is restored by whoever finds it, years later, with no step by hand: views
# answer at once, triggers work, events and their numbers go on.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('origin');
my $other = new_server('other');
my $dir = PostgreSQL::Test::Utils::tempdir();

# Every kind of drift, events, a quarantine row, a plan, a mapping said by hand.
sub prepare
{
	my ($db, $face, $create) = @_;
	auth_database($node, $db);
	add_signups($node, $db, 1, 40);
	# Profiles may outlive their users here.
	$node->safe_psql($db, 'ALTER TABLE public.profiles DROP CONSTRAINT profiles_id_fkey');
	$node->safe_psql($db, $create);
	$node->safe_psql($db, "SELECT $face.backfill_all_missing_profiles(100, false)");
	add_signups($node, $db, 41, 60);
	$node->safe_psql($db, qq{
		SELECT * FROM authsync.setup(columns => '{"avatar_url": {"from": "user_metadata.photo", "sync": "always"}}');
		SELECT $face.track_user_event(id, 'welcome_sent', '{"how": "mail"}') FROM auth.users WHERE email LIKE 'user2%';
		DELETE FROM public.profiles WHERE email LIKE 'user3%';
		UPDATE public.profiles SET email = 'old-' || email WHERE email LIKE 'user4_\@%';
		DELETE FROM auth.users WHERE email IN ('user21\@example.test', 'user22\@example.test', 'user33\@example.test');
		ALTER TABLE public.profiles ADD CONSTRAINT not_this_one CHECK (email <> 'user61\@example.test');
	});
	sign_up($node, $db, 61);
}

# What a restored copy must be able to do, at once.
sub works
{
	my ($server, $db, $face, $source, $what) = @_;

	is(contents($server, $db, $face), $source, "$what: says what its origin says");
	my $last = $server->safe_psql($db, "SELECT max(id) FROM $face.user_events");
	is(sign_up($server, $db, 101), '', "$what: a sign-up goes through");
	is($server->safe_psql($db, "SELECT email FROM public.profiles WHERE id = '" . uid(101) . "'"), 'user101@example.test',
		"$what: and has its profile");
	is($server->safe_psql($db, "SELECT string_agg(event_type, ' ' ORDER BY id) FROM $face.user_events WHERE user_id = '" . uid(101) . "' AND id > $last"),
		'auth_user_created profile_bootstrap_ok', "$what: and its events, numbered after the old ones");
	cmp_ok($server->safe_psql($db, "SELECT $face.track_user_event('" . uid(101) . "', 'hello')"), '>', $last, "$what: an application's event too");
	$server->safe_psql($db, "UPDATE auth.users SET email = 'new\@example.test' WHERE id = '" . uid(101) . "'");
	is($server->safe_psql($db, "SELECT email FROM public.profiles WHERE id = '" . uid(101) . "'"), 'new@example.test', "$what: an e-mail follows");
	is($server->safe_psql($db, "SELECT (backfill_all_missing_profiles->>'remaining')::int, backfill_all_missing_profiles->>'plan_id' IS NOT NULL FROM $face.backfill_all_missing_profiles(100, false)"),
		'1|t', "$what: a backfill has a plan of its own, and leaves the impossible one");
	is(sign_up($server, $db, 62), '', "$what: sign-up after the backfill");
	is($server->safe_psql($db, "SELECT count(*) FROM authsync.quarantine"), 1, "$what: the quarantine row came along, and is one");
	is($server->safe_psql($db, "SELECT string_agg(severity || ' ' || check_name || ' ' || object, ', ') FROM authsync.lint() WHERE severity = 'error'") =~ s/^.*quarantine.*$//r,
		'', "$what: lint finds no error");
}

my $roles = "$dir/roles.sql";
prepare('plain', 'public', 'CREATE EXTENSION authsync');
prepare('elsewhere', 'app', 'CREATE SCHEMA app; CREATE EXTENSION authsync SCHEMA app');
system_or_bail('pg_dumpall', '--roles-only', '-d', $node->connstr('postgres'), '-f', $roles);
# Its own superuser is there already; all others are new.
$other->psql('postgres', slurp_file($roles), on_error_stop => 0);

for my $case ([ 'plain', 'public' ], [ 'elsewhere', 'app' ])
{
	my ($db, $face) = @$case;
	my $source = contents($node, $db, $face);
	like($source, qr/status\|$_\|[1-9]/, "$db: has $_ to restore") for qw(healthy auth_only profile_only email_mismatch);

	dump_to($node, $db, '-f', "$dir/$db.sql");
	dump_to($node, $db, '-Fc', '-f', "$dir/$db.dump");
	unlike(slurp_file("$dir/$db.sql"), qr/^(?!--).*CREATE (?:VIEW|FUNCTION) \w+\.(?:auth_profile_mismatch|signup_audit_summary)/m, "$db: the views come with the extension");

	my @targets = ([ $node, 'same cluster' ], [ $other, 'other cluster' ]);
	for my $target (@targets)
	{
		my ($server, $where) = @$target;
		my $i = 0;
		my @ways = (
			[ 'psql', sub { restore_sql($server, $_[0], "$dir/$db.sql") } ],
			[ 'psql -1', sub { restore_sql($server, $_[0], "$dir/$db.sql", '-1') } ],
			[ 'pg_restore -j4', sub { system_or_bail('pg_restore', '--exit-on-error', '-j4', '-d', $server->connstr($_[0]), "$dir/$db.dump") } ],
			[ 'pg_restore -1', sub { system_or_bail('pg_restore', '-1', '-d', $server->connstr($_[0]), "$dir/$db.dump") } ],
			[ 'section by section', sub {
				my $copy = shift;
				system_or_bail('pg_restore', '--exit-on-error', "--section=$_", '-d', $server->connstr($copy), "$dir/$db.dump") for qw(pre-data data post-data);
			} ],
			[ 'sections, data with triggers disabled', sub {
				my $copy = shift;
				system_or_bail('pg_restore', '--exit-on-error', ($_ eq 'data' ? '--disable-triggers' : ()), "--section=$_", '-d', $server->connstr($copy), "$dir/$db.dump") for qw(pre-data data post-data);
			} ]);
		for my $way (@ways)
		{
			my $copy = "${db}_" . ++$i;
			new_database($server, $copy);
			$way->[1]->($copy);
			works($server, $copy, $face, $source, "$db, $where, $way->[0]");
			$server->safe_psql('postgres', "DROP DATABASE $copy");
		}
	}

	# A dump of a restored copy is as good as the first.
	new_database($node, "${db}_second");
	restore_sql($node, "${db}_second", "$dir/$db.sql");
	dump_to($node, "${db}_second", '-f', "$dir/${db}_second.sql");
	new_database($other, "${db}_third");
	restore_sql($other, "${db}_third", "$dir/${db}_second.sql");
	works($other, "${db}_third", $face, $source, "$db, dump of a copy");
}

# ---- data alone, into a database that is bound already

my $source = contents($node, 'plain');
auth_database($node, 'filled');
$node->safe_psql('filled', q{
	ALTER TABLE public.profiles DROP CONSTRAINT profiles_id_fkey, ADD CONSTRAINT not_this_one CHECK (email <> 'user61@example.test');
	CREATE EXTENSION authsync;});
dump_to($node, 'plain', '--data-only', '-f', "$dir/data.sql");
{
	local $ENV{PGOPTIONS} = '-c session_replication_role=replica';
	restore_sql($node, 'filled', "$dir/data.sql");
}
my $filled = contents($node, 'filled');
is($filled =~ s/^binding.*//mr, $source =~ s/^binding.*//mr, 'data only: says what its origin says');
is($node->safe_psql('filled', q{SELECT count(*) > 0 FROM authsync.lint() WHERE hint LIKE '%authsync.maintain()%'}), 't', 'data only: lint asks for maintain()');
$node->safe_psql('filled', $_) for 'ALTER TABLE public.profiles DROP CONSTRAINT not_this_one', 'CALL backfill_missing_profiles()', 'CALL authsync.maintain()';
is($node->safe_psql('filled', q{SELECT count(*) FROM authsync.lint() WHERE hint LIKE '%authsync.maintain()%'}), 0, 'data only: and is content when all is made up for');
is(sign_up($node, 'filled', 101), '', 'data only: a sign-up goes through');
is($node->safe_psql('filled', "SELECT count(*) FROM public.profiles WHERE id = '" . uid(101) . "'"), 1, 'data only: and has its profile');
cmp_ok($node->safe_psql('filled', "SELECT min(id) FROM user_events WHERE user_id = '" . uid(101) . "'"), '>',
	$node->safe_psql('plain', 'SELECT max(id) FROM user_events'), 'data only: its events are numbered after the old ones');

$node->stop;
$other->stop;
done_testing;
