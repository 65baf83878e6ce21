# Every way in which the books can be left behind: they are not believed any
# more, what is answered is still right, and maintain() makes them good again.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('trust', conf => "wal_level = logical\n");
auth_database($node, 'app');
$node->safe_psql('app', 'SET client_min_messages = error; CREATE EXTENSION authsync');
run_file($node, 'app', "$tree/test/property/driver.sql");
add_signups($node, 'app', 1, 20);

sub app { return $node->safe_psql('app', 'SET client_min_messages = error; ' . shift); }
sub trusted { return app("SELECT authsync.bookkeeping_is_trusted('history')"); }
sub maintain { $node->safe_psql('app', 'SELECT count(*) FROM authsync.setup()'); return $node->safe_psql('app', 'CALL authsync.maintain()'); }

is(trusted(), 'f', 'before the first fill');
is(app('SELECT difference FROM property.difference()'), '', '… the answers are the same');
maintain();
is(trusted(), 't', 'filled');
is(app(q{SELECT count(*) FROM authsync.lint() WHERE check_name ~ 'bookkeeping|watch'}), 0, '… and lint() is content');

my $new = 'INSERT INTO auth.users (id, email, created_at) VALUES (gen_random_uuid(), gen_random_uuid() || \'@example.test\', now())';
my @ways = (
	['TRUNCATE of profiles', 'TRUNCATE profiles'],
	['TRUNCATE of the audit log', 'TRUNCATE auth.audit_log_entries'],
	['a trigger off and on, with a change between, in one transaction', 'BEGIN; ALTER TABLE profiles DISABLE TRIGGER authsync_watched; DELETE FROM profiles; ALTER TABLE profiles ENABLE ALWAYS TRIGGER authsync_watched; COMMIT'],
	['all triggers off and on, as a data-only restore does', "ALTER TABLE auth.users DISABLE TRIGGER ALL; $new; ALTER TABLE auth.users ENABLE TRIGGER ALL"],
	['a trigger dropped', "DROP TRIGGER on_auth_users_watched_deleted ON auth.users; DELETE FROM auth.users WHERE id IN (SELECT id FROM auth.users LIMIT 1)"],
	['a trigger of the audit log disabled', 'ALTER TABLE auth.audit_log_entries DISABLE TRIGGER authsync_signups_kept'],
	['not ENABLE ALWAYS', "ALTER TABLE auth.users ENABLE TRIGGER on_auth_users_watched; SET session_replication_role = replica; $new"],
	['e-mails rewritten by ALTER TYPE', q{ALTER TABLE profiles ALTER COLUMN email TYPE text USING 'x' || email}],
	['VACUUM FULL', 'VACUUM FULL profiles', 'alone'],
	['renamed away and back, with a change between', 'ALTER TABLE profiles RENAME TO away; DELETE FROM away; ALTER TABLE away RENAME TO profiles'],
	['another mapping', q{SELECT authsync.setup(columns => '{"email": {"from": "user_metadata.mail"}}')}, undef, q{SELECT authsync.setup(columns => '{}')}],
	['mode off and on', q{SELECT authsync.setup(mode => 'off'); DELETE FROM profiles; SELECT authsync.setup(mode => 'safe')}],
	['a child table', 'CREATE TABLE heir () INHERITS (profiles)', undef, 'DROP TABLE heir; VACUUM profiles; ANALYZE profiles'],
	['a subscription', q{CREATE SUBSCRIPTION sub CONNECTION 'dbname=nowhere' PUBLICATION p WITH (connect = false, slot_name = NONE, enabled = false);
		INSERT INTO pg_subscription_rel SELECT oid, 'auth.users'::regclass, 'r', NULL FROM pg_subscription}, undef, 'DROP SUBSCRIPTION sub']);

for my $way (@ways)
{
	my ($what, $sql, $alone, $back) = @$way;

	add_users($node, 'app', 100, 105);
	if ($alone) { $node->safe_psql('app', $sql); }
	else { app("SET allow_system_table_mods = on; $sql"); }
	is(trusted(), 'f', "$what: not trusted");
	is(app('SELECT difference FROM property.difference()'), '', "$what: the answers are the same");
	cmp_ok(app(q{SELECT count(*) FROM authsync.lint() WHERE check_name ~ 'bookkeeping|watch'}), '>', 0, "$what: lint() says so");
	$node->safe_psql('app', "SET client_min_messages = error; $_") for grep { defined && /\S/ } split /;/, $back // '';
	maintain();
	is(trusted(), 't', "$what: made good");
	is(app('SELECT difference FROM property.difference()'), '', "$what: and right");
	app(q{DELETE FROM profiles; DELETE FROM auth.users WHERE email LIKE 'user10_@%'; SELECT backfill_all_missing_profiles(100, false)});
}

# Switched off and on again, without a restart.
$node->append_conf('postgresql.conf', 'authsync.enabled = off');
$node->reload;
wait_until(sub { $node->safe_psql('app', q{LOAD 'authsync'; SHOW authsync.enabled}) eq 'off' });
app($new);
$node->append_conf('postgresql.conf', 'authsync.enabled = on');
$node->reload;
wait_until(sub { $node->safe_psql('app', q{LOAD 'authsync'; SHOW authsync.enabled}) eq 'on' });
is(trusted(), 'f', 'authsync.enabled was off: not trusted');
is(app('SELECT difference FROM property.difference()'), '', '… the answers are the same');
maintain();
is(trusted(), 't', '… made good');

# A replica-role session is followed by the books, though not by profiles.
app("SET session_replication_role = replica; $new");
is(trusted(), 't', 'a replica-role session changes nothing about that');
is(app('SELECT difference FROM property.difference()'), '', '… and its user is known to be missing');

# A copy makes its own.
dump_to($node, 'app', '-f', "${PostgreSQL::Test::Utils::tmp_check}/app.sql");
new_database($node, 'copy');
restore_sql($node, 'copy', "${PostgreSQL::Test::Utils::tmp_check}/app.sql");
is($node->safe_psql('copy', 'SELECT authsync.bookkeeping_is_trusted()'), 'f', 'a restored database: not trusted');
$node->safe_psql('copy', 'CALL authsync.maintain()');
is($node->safe_psql('copy', "SELECT authsync.bookkeeping_is_trusted('history')"), 't', '… until it has been filled');

# A first fill that is killed goes on where it was, and tells how far it is.
auth_database($node, 'long');
$node->safe_psql('long', q{INSERT INTO auth.audit_log_entries (id, payload, created_at) SELECT gen_random_uuid(), json_build_object('action',
	CASE WHEN n % 3 = 0 THEN 'user_signedup' ELSE 'token_refreshed' END, 'actor_id', gen_random_uuid(), 'actor_username', repeat('x', 400) || '@example.test'), now()
	FROM generate_series(1, 150000) AS n; SET client_min_messages = error; CREATE EXTENSION authsync});
my $run = start_psql($node, 'long', 'CALL authsync.maintain()', name => 'filler');
my $pid = backend($node, 'long', 'filler');
ok(wait_until(sub { $node->safe_psql('long', q{SELECT done > 0 AND total > done FROM authsync.progress WHERE phase = 'reading the audit log'}) eq 't' }), 'progress is seen');
$node->safe_psql('long', "SELECT pg_terminate_backend($pid)");
isnt(finish_psql($run), 0, 'killed');
my $place = $node->safe_psql('long', q{SELECT next_block FROM authsync.bookkeeping WHERE part = 'signups' AND filled_at IS NULL});
cmp_ok($place, '>', 0, 'what it had done is kept');
is($node->safe_psql('long', q{SELECT authsync.bookkeeping_is_trusted('signups')}), 'f', '… and not believed yet');
$node->safe_psql('long', 'CALL authsync.maintain()');
is($node->safe_psql('long', q{SELECT authsync.bookkeeping_is_trusted('signups') AND (SELECT count(*) FROM authsync.signups) = 50000}), 't', 'the next goes on to the end');
is($node->safe_psql('long', q{SELECT count FROM diagnose_auth_profile_consistency() WHERE metric ~ '^Total Signup'}), 50000, '… each entry once');

$node->stop;
done_testing();
