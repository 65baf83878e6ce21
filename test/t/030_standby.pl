# On a hot standby all that looks works, and all that acts is refused at once.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = new_server('primary', init => { allows_streaming => 1 });
auth_database($primary, 'app');
add_signups($primary, 'app', 1, 30);
$primary->safe_psql('app', 'CREATE EXTENSION authsync');
$primary->safe_psql('app', q{
	SELECT backfill_all_missing_profiles(100, false);
	DELETE FROM public.profiles WHERE email LIKE 'user2%';
	UPDATE public.profiles SET email = 'x' || email WHERE email LIKE 'user1_@%';
	SELECT * FROM authsync.grant_access('service_role', 'operator');});

$primary->backup('base');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'base', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby, 'replay', $primary->lsn('flush'));

my $someone = uid(5);
my @looking = (
	'SELECT * FROM auth_profile_mismatch ORDER BY user_id',
	"SELECT * FROM auth_profile_mismatch WHERE user_id = '$someone'",
	'SELECT * FROM signup_audit_summary ORDER BY audit_id',
	'SELECT * FROM user_events ORDER BY id',
	'SELECT * FROM diagnose_auth_profile_consistency()',
	'SELECT * FROM get_auth_profile_mismatches()',
	"SELECT * FROM check_recent_signup_issues('1 day')",
	"SELECT * FROM get_user_signup_events('$someone')",
	"SELECT recent_signups_count, signups_missing_profiles, health_percentage, errors_count, trigger_enabled, drift_total, quarantined FROM monitor_signup_health('1 day')",
	'SELECT * FROM verify_profile_completeness()',
	'SELECT * FROM get_registration_stats(7)',
	"SELECT backfill_all_missing_profiles() - 'plan_id'",
	"SELECT resync_profiles() - 'plan_id'",
	'SELECT step, object, action FROM authsync.setup(dry_run => true)',
	'SELECT severity, check_name, object FROM authsync.lint() ORDER BY 1, 2, 3',
	'SELECT * FROM authsync.quarantine',
	'SELECT * FROM authsync.progress',
	'SELECT authsync.uid()',
	'SELECT * FROM authsync.plans ORDER BY plan_id');
for my $sql (@looking)
{
	my ($rc, $here, $err) = $standby->psql('app', $sql);
	is($err, '', "looks: $sql");
	is($here, $primary->safe_psql('app', $sql), 'and sees what the primary sees');
}
is($standby->safe_psql('app', q{SELECT backfill_all_missing_profiles()->>'total_missing'}), 11, 'the dry run counts');

my @acting = (
	"SELECT backfill_user_profile('" . uid(2) . "')",
	'SELECT backfill_all_missing_profiles(100, false)',
	'CALL backfill_missing_profiles()',
	"SELECT ensure_profile_exists('" . uid(2) . "')",
	'SELECT resync_profiles(100, false)',
	"SELECT track_user_event('$someone', 'hello')",
	'SELECT * FROM authsync.setup()',
	"SELECT * FROM authsync.setup(mode => 'off')",
	'SELECT * FROM authsync.probe()',
	'CALL authsync.maintain()',
	"SELECT * FROM authsync.grant_access('anon', 'reader')",
	"SELECT authsync.revoke_access('service_role')");
is(sqlstate($standby, 'app', $_), '25006', "acts, so is refused: $_") for @acting;

# Refused the same in a transaction that says it only reads.
is(sqlstate($primary, 'app', "SET default_transaction_read_only = on; $_"), '25006', "read only: $_") for @acting;

# Promoted, it acts.
$standby->promote;
is(sign_up($standby, 'app', 40), '', 'promoted: a sign-up');
is($standby->safe_psql('app', q{SELECT email FROM public.profiles WHERE id = '} . uid(40) . q{'}), 'user40@example.test', 'promoted: its profile');
is($standby->safe_psql('app', q{SELECT backfill_all_missing_profiles(100, false)->>'successful'}), 11, 'promoted: backfills');

$standby->stop;
$primary->stop;
done_testing;
