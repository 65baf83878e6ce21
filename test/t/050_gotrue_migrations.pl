# GoTrue migrates its own tables at each start, and does not start if a migration
# fails. Nothing of ours may be in its way; where a column that feeds a profile goes
# or changes, sign-ups go on and the mapping follows or lint() says what is missing.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('migrations');
auth_database($node, 'app');
add_signups($node, 'app', 1, 20);
$node->safe_psql('app', q{CREATE EXTENSION authsync; SELECT backfill_all_missing_profiles(100, false)});
# A column that GoTrue never had, to be mapped and to go.
$node->safe_psql('app', q{
	ALTER TABLE public.profiles ADD COLUMN IF NOT EXISTS phone text;
	SELECT * FROM authsync.setup(columns => '{"phone": {"from": "phone", "sync": "always"}}');});

my $i = 100;

# What psql prints, the error included
sub answer
{
	my ($rc, $out, $err) = $node->psql('app', shift);
	return "$out$err";
}

# The views answer; or, where a column is gone that they name, lint() says what to do,
# and that helps.
sub views_follow
{
	my $statuses = q{SELECT string_agg(DISTINCT status, ' ') FROM auth_profile_mismatch};
	my $signups = 'SELECT count(*) > 0 FROM signup_audit_summary';
	if (answer($statuses) ne 'healthy' || answer($signups) ne 't')
	{
		like($node->safe_psql('app', q{SELECT hint FROM authsync.lint() WHERE severity <> 'info'}), qr/authsync\.setup\(\)/, '  lint() says how to mend the views');
		$node->safe_psql('app', 'SELECT * FROM authsync.setup()');
	}
	is(answer($statuses), 'healthy', '  the view answers');
	is(answer($signups), 't', '  and the audit view');
	is($node->safe_psql('app', q{SELECT status, count FROM verify_profile_completeness() WHERE status <> 'PASS'}), '', '  and the functions');
}

# As GoTrue: its role, its search_path, each statement a transaction of its own.
sub migrates
{
	my ($sql) = @_;
	my ($rc, $out, $err) = as_role($node, 'app', 'supabase_auth_admin', $sql);
	is($err, '', "migrates: $sql");

	# A sign-up, a login and a change of e-mail by the same role, in a new session
	# and in one that has its plans.
	$i++;
	is(sign_up($node, 'app', $i), '', '  and a sign-up goes through');
	is($node->safe_psql('app', "SELECT email FROM public.profiles WHERE id = '" . uid($i) . "'"), "user$i\@example.test", '  with its profile');
	($rc, $out, $err) = as_role($node, 'app', 'supabase_auth_admin',
		"UPDATE users SET last_sign_in_at = now() WHERE id = '" . uid(1) . "'; UPDATE users SET email = 'moved$i\@example.test' WHERE id = '" . uid(1) . "'");
	is($err, '', '  a login and a new e-mail too');
	is($node->safe_psql('app', "SELECT email FROM public.profiles WHERE id = '" . uid(1) . "'"), "moved$i\@example.test", '  which the profile follows');
	views_follow();
}

# Nobody writes the audit log here, and the test server logs every statement: not at issue.
sub lint
{
	return $node->safe_psql('app', q{SELECT string_agg(format('%s %s %s: %s', severity, check_name, object, detail), E'\n' ORDER BY severity, check_name) FROM authsync.lint()
		WHERE severity <> 'info' AND check_name NOT IN ('audit_log_off', 'log_shows_parameters')});
}

my $sound = lint();

# One session that stays through all of it, as a pooled connection does.
my $pooled = $node->background_psql('app', extra_params => [ '-U', 'supabase_auth_admin' ]);
my $j = 5000;
sub pooled_sign_up
{
	$j++;
	$pooled->query_safe(AuthsyncTest::users_sql($j, $j));
	is($node->safe_psql('app', "SELECT email FROM public.profiles WHERE id = '" . uid($j) . "'"), "user$j\@example.test", '  an old session signs up, too');
}
pooled_sign_up();

for my $sql (
	# what its past migrations did, in kind
	'ALTER TABLE users ADD COLUMN web3_address text',
	"ALTER TABLE users ADD COLUMN risk smallint NOT NULL DEFAULT 0, ADD CONSTRAINT users_risk_check CHECK (risk BETWEEN 0 AND 9)",
	'ALTER TABLE users DROP COLUMN risk',
	'ALTER TABLE users ALTER COLUMN email TYPE varchar(320)',
	'ALTER TABLE users ALTER COLUMN phone TYPE varchar(40)',
	'ALTER TABLE users ALTER COLUMN phone TYPE text',
	'ALTER TABLE users ALTER COLUMN raw_user_meta_data SET DEFAULT NULL',
	'ALTER TABLE users ALTER COLUMN encrypted_password TYPE text',
	'ALTER TABLE users ALTER COLUMN created_at SET DEFAULT now()',
	'ALTER TABLE users ALTER COLUMN deleted_at TYPE timestamptz(3)',
	'ALTER TABLE users RENAME CONSTRAINT users_pkey TO users_primary',
	'ALTER TABLE users RENAME CONSTRAINT users_primary TO users_pkey',
	'ALTER INDEX users_email_partial_key RENAME TO users_email_unique',
	'CREATE INDEX CONCURRENTLY users_created_at_idx ON users (created_at DESC)',
	'DROP INDEX CONCURRENTLY users_created_at_idx',
	'ALTER TABLE users ENABLE ROW LEVEL SECURITY',
	'ALTER TABLE audit_log_entries ENABLE ROW LEVEL SECURITY',
	"ALTER TABLE audit_log_entries ADD COLUMN request_id text NOT NULL DEFAULT ''",
	'ALTER TABLE audit_log_entries ALTER COLUMN payload TYPE jsonb',
	'ALTER TABLE audit_log_entries ALTER COLUMN payload TYPE json',
	'ALTER TABLE audit_log_entries ALTER COLUMN ip_address TYPE text',
	'ALTER TABLE audit_log_entries DROP COLUMN ip_address',
	"ALTER TABLE audit_log_entries ADD COLUMN ip_address varchar(64) NOT NULL DEFAULT ''",
	'CREATE INDEX CONCURRENTLY audit_created_at_idx ON audit_log_entries (created_at)',
	'ALTER TABLE audit_log_entries RENAME CONSTRAINT audit_log_entries_pkey TO audit_primary',
	"COMMENT ON TABLE users IS 'Auth: Stores user login data within a secure schema.'",
	'GRANT SELECT ON users TO dashboard_user WITH GRANT OPTION',
	'ALTER TABLE users DROP COLUMN is_anonymous',
	'ALTER TABLE users ADD COLUMN is_anonymous boolean NOT NULL DEFAULT false',
	'ALTER TABLE users DROP COLUMN is_sso_user CASCADE',
	'ALTER TABLE users DROP COLUMN deleted_at',
	'ALTER TABLE users ADD COLUMN deleted_at timestamptz')
{
	migrates($sql);
	pooled_sign_up();
}
# Columns that came back are known to the views from the next setup() on.
$node->safe_psql('app', 'SELECT * FROM authsync.setup()');
is(lint(), $sound, 'and lint() has nothing new to say');

# Deleted softly in the column that is new by now
$node->safe_psql('app', "UPDATE auth.users SET deleted_at = now() WHERE id = '" . uid(7) . "'");
is($node->safe_psql('app', "SELECT count(*) FROM user_events WHERE event_type = 'auth_user_deleted' AND user_id = '" . uid(7) . "'"), 1, 'a soft deletion is noticed in the new column');
$node->safe_psql('app', "UPDATE auth.users SET deleted_at = NULL WHERE id = '" . uid(7) . "'");

# A source of the mapping goes: sign-ups go on, and lint() says what is missing.
migrates('ALTER TABLE users DROP COLUMN phone CASCADE');
pooled_sign_up();
like(lint(), qr/phone/, "lint() names the source that is gone");
isnt(lint(), $sound, 'as something new');

# It comes back, under another type: the mapping follows.
migrates('ALTER TABLE users ADD COLUMN phone varchar(30)');
$node->safe_psql('app', "UPDATE auth.users SET phone = '351910000001' WHERE id = '" . uid(101) . "'");
is($node->safe_psql('app', "SELECT phone FROM public.profiles WHERE id = '" . uid(101) . "'"), '351910000001', 'back again, it is copied as before');
$node->safe_psql('app', 'SELECT * FROM authsync.setup()');
is(lint(), $sound, 'and lint() is content');

$pooled->quit;
$node->stop;
done_testing;
