# Installed afresh, upgraded and restored, a version is the same version, by a
# snapshot of the catalogs. The upgrade is one made for this test (test/upgrade/0.2):
# a column, a function, a changed function and a changed view on top of what is
# built; then the same with a statement left out of the upgrade, which the snapshot
# has to notice.
use strict;
use warnings;
use AuthsyncTest;
use File::Copy qw(copy);
use File::Path qw(make_path);
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $fixture = "$tree/test/upgrade/0.2";
my $control = slurp_file("$tree/authsync.control");
my ($built) = $control =~ /^default_version *= *'([^']+)'/m or die 'no default_version';
-f "$tree/authsync--$built.sql" or die "authsync--$built.sql is not built: make first";

# ---- an extension directory of our own, with versions 0.1, 0.2 and the way between

my $node = PostgreSQL::Test::Cluster->new('upgrade');
$node->init;
my $dest = PostgreSQL::Test::Utils::tempdir();
my $share = $node->config_data('--sharedir');
my $dir = "$dest$share/extension";
make_path($dir);
$node->append_conf('postgresql.conf',
	$node->pg_version >= 18 ? "extension_control_path = '$dest$share:\$system'" : "extension_destdir = '$dest'");
$node->start;

sub write_file
{
	my ($name, $text) = @_;
	open(my $fh, '>', "$dir/$name") or die "$name: $!";
	print $fh $text;
	close $fh;
}

# Replaces just one place of the built script, as an editor of the source would.
sub edit
{
	my ($text, $place, $new) = @_;
	my $n = () = $text =~ /$place/g;
	die "the built script has $n places like $place: test/upgrade/0.2 has to be made anew" unless $n == 1;
	$text =~ s/$place/$new/;
	return $text;
}

my $script = slurp_file("$tree/authsync--$built.sql");
my $upgrade = slurp_file("$fixture/upgrade.sql");
my %new = map { $_ => slurp_file("$fixture/$_.sql") =~ s/^CREATE OR REPLACE /CREATE /mr } qw(column function body view);
my $fresh = $script;
$fresh = edit($fresh, qr/(?<=\n)CREATE TABLE authsync\.quarantine_rows \(\n/, "CREATE TABLE authsync.quarantine_rows (\n$new{column}");
$fresh = edit($fresh, qr/(?<=\n)CREATE VIEW authsync\.quarantine AS\n.*?;\n/s, $new{view});
$fresh = edit($fresh, qr/(?<=\n)CREATE FUNCTION authsync\.is_running\(.*?\$\$;\n/s, "$new{body}$new{function}");

write_file('authsync.control', edit($control, qr/(?<=default_version = ')[^']+/, '0.2'));
write_file('authsync--0.1.sql', $script);
write_file('authsync--0.2.sql', $fresh);
write_file('authsync--0.1--0.2.sql', $upgrade);

sub snapshot
{
	my ($db) = @_;
	my ($out, $err) = run_command([ 'psql', '-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', $node->connstr($db), '-f', "$tree/test/upgrade/snapshot.sql" ]);
	die $err if $err ne '';
	return $out;
}

# The lines that only one of two snapshots has
sub difference
{
	my ($one, $two) = @_;
	my %one = map { $_ => 1 } split /\n/, $one;
	my %two = map { $_ => 1 } split /\n/, $two;
	return join("\n", (map { "- $_" } grep { !$two{$_} } sort keys %one), (map { "+ $_" } grep { !$one{$_} } sort keys %two));
}

sub upgraded
{
	my ($db) = @_;
	auth_database($node, $db);
	add_signups($node, $db, 1, 20);
	$node->safe_psql($db, q{
		ALTER TABLE public.profiles ADD CONSTRAINT not_this_one CHECK (email <> 'user7@example.test');
		CREATE EXTENSION authsync VERSION '0.1';
		SELECT backfill_all_missing_profiles(10, false);});
	my $before = contents($node, $db);
	$node->safe_psql($db, q{ALTER EXTENSION authsync UPDATE TO '0.2'});
	return $before;
}

# ---- the three

auth_database($node, 'fresh');
$node->safe_psql('fresh', 'CREATE EXTENSION authsync');
is($node->safe_psql('fresh', q{SELECT extversion FROM pg_extension WHERE extname = 'authsync'}), '0.2', 'fresh is 0.2');
my $snapshot = snapshot('fresh');
cmp_ok(scalar(split /\n/, $snapshot), '>', 300, 'the snapshot says a lot');
for my $fact ('extension authsync: version 0.2', 'dumped ', 'member ', 'belongs ', 'comment ', 'right routine ', 'right relation ', 'initial right ', 'routine ',
	'relation ', 'column authsync.quarantine_rows.noticed_by: ', 'constraint ', 'index ', 'sequence ', 'trigger on_auth_user_created on auth.users: ', 'policy ', 'owner ')
{
	like($snapshot, qr/^\Q$fact\E/m, "the snapshot has: $fact");
}

my $before = upgraded('upgraded');
is($node->safe_psql('upgraded', q{SELECT extversion FROM pg_extension WHERE extname = 'authsync'}), '0.2', 'upgraded is 0.2');
is(difference($snapshot, snapshot('upgraded')), '', 'upgraded = fresh');
is(contents($node, 'upgraded') =~ s/^quarantine.*//mr, $before =~ s/^quarantine.*//mr, 'its rows are what they were');
is($node->safe_psql('upgraded', 'SELECT user_id, sqlstate, noticed_by, quarantined_rows() FROM authsync.quarantine'),
	uid(7) . '|23514|authsync|1', 'the new column, view and function work on the old rows');
is(sign_up($node, 'upgraded', 30), '', 'a sign-up goes through');
is($node->safe_psql('upgraded', "SELECT email FROM profiles WHERE id = '" . uid(30) . "'"), 'user30@example.test', 'and has its profile');

dump_to($node, 'upgraded', '-f', "$dest/dump.sql");
new_database($node, 'restored');
restore_sql($node, 'restored', "$dest/dump.sql");
is(difference($snapshot, snapshot('restored')), '', 'restored = fresh');
is(contents($node, 'restored'), contents($node, 'upgraded'), 'with the rows of its origin');

# Every official way to 0.2, from each version that was ever shipped
for my $file (glob("$tree/sql/released/authsync--*.sql"))
{
	my ($version) = $file =~ /authsync--(.+)\.sql$/;
	next if $version eq $built;
	note("released: $version");
	copy($_, $dir) or die $! for $file, glob("$tree/sql/upgrade/authsync--*--*.sql");
	copy("$tree/authsync--$built.sql", $dir) or die $!;
	auth_database($node, "released_$version" =~ tr/./_/r);
	my $db = "released_$version" =~ tr/./_/r;
	$node->safe_psql($db, "CREATE EXTENSION authsync VERSION '$version'");
	$node->safe_psql($db, "ALTER EXTENSION authsync UPDATE TO '$built'");
	auth_database($node, "${db}_fresh");
	$node->safe_psql("${db}_fresh", "CREATE EXTENSION authsync VERSION '$built'");
	is(difference(snapshot("${db}_fresh"), snapshot($db)), '', "$version, upgraded to $built = $built");
}

# ---- mistakes in an upgrade

my $i = 0;
for my $mistake (
	[ 'the closing of rights', qr/^SELECT authsync\.close_rights\(\);\n/m, qr/^\+ right routine public\.quarantined_rows\(\): PUBLIC: EXECUTE/m ],
	[ 'a COMMENT', qr/^COMMENT ON FUNCTION .*?;\n/ms, qr/^- comment public\.quarantined_rows\(\)/m ],
	[ 'a column', qr/^ALTER TABLE [^;]*ADD COLUMN[^;]*;\n/m, undef ],
	[ 'a default', qr/ DEFAULT 'authsync'/, undef ],
	[ 'a changed body', qr/^CREATE OR REPLACE FUNCTION authsync\.is_running.*?\$\$;\n/ms, qr/^- routine authsync\.is_running/m ],
	[ 'a changed view', qr/^CREATE OR REPLACE VIEW .*?;\n/ms, qr/^- (?:column authsync\.quarantine\.noticed_by|rule _RETURN on authsync\.quarantine)/m ],
	[ 'a search_path', qr/ SET search_path = pg_catalog, pg_temp/, qr/^- routine authsync\.is_running/m ],
	[ 'a constraint', qr/^ALTER TABLE [^;]*ADD CONSTRAINT[^;]*;\n/m, qr/^- constraint authsync\.quarantine_rows\.quarantine_rows_noticed_by_check/m ])
{
	my ($what, $place, $seen) = @$mistake;
	my $spoiled = $upgrade;
	die "no $what in the upgrade script" unless $spoiled =~ s/$place//;
	write_file('authsync--0.1--0.2.sql', $spoiled);
	my $db = 'spoiled_' . ++$i;
	auth_database($node, $db);
	my ($rc, $out, $err) = $node->psql($db, q{CREATE EXTENSION authsync VERSION '0.1'; ALTER EXTENSION authsync UPDATE TO '0.2'});
	if ($rc != 0)
	{
		# The script itself does not work without it: noticed as well.
		pass("$what left out: the upgrade fails ($err)");
		next;
	}
	my $diff = difference($snapshot, snapshot($db));
	isnt($diff, '', "$what left out: noticed");
	like($diff, $seen, "$what left out: and named") if $seen;
}

# A right lost by hand
write_file('authsync--0.1--0.2.sql', $upgrade);
$node->safe_psql('restored', 'GRANT SELECT ON user_events TO anon; ALTER TABLE authsync.bindings DISABLE TRIGGER binding_changed; ALTER TABLE authsync.plans ALTER COLUMN counts DROP DEFAULT');
my $diff = difference($snapshot, snapshot('restored'));
like($diff, qr/^\+ right relation public\.user_events: anon: SELECT/m, 'a GRANT by hand is noticed');
like($diff, qr/^\+ trigger binding_changed on authsync\.bindings: .*enabled D/m, 'a disabled trigger, too');
like($diff, qr/^- column authsync\.plans\.counts: /m, 'a lost default, too');

$node->stop;
done_testing;
