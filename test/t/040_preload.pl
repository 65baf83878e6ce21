# Everything here works without shared_preload_libraries, and the same with it; and
# authsync.enabled is a switch that needs no lock and no restart.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('switch');
auth_database($node, 'app');
add_users($node, 'app', 1, 5);

sub profile
{
	return $node->safe_psql('app', "SELECT count(*) FROM public.profiles WHERE id = '" . uid(shift) . "'");
}

sub events
{
	return $node->safe_psql('app', 'SELECT count(*) FROM user_events');
}

# What must be the same either way.
sub the_same
{
	my ($what, $i) = @_;
	is(sign_up($node, 'app', $i), '', "$what: a sign-up");
	is(profile($i), 1, "$what: has its profile");
	is($node->safe_psql('app', q{SELECT trigger_enabled FROM monitor_signup_health()}), 't', "$what: the trigger counts as enabled");
	is($node->safe_psql('app', q{SELECT worker_running FROM monitor_signup_health()}), 'f', "$what: nothing asks for a worker");
	is($node->safe_psql('app', q{SELECT status, count(*) = (SELECT count(*) FROM auth.users) FROM auth_profile_mismatch GROUP BY status}), 'healthy|t', "$what: the view");
}

# Off and on again by a reload, heard by sessions that have long been there.
sub switch
{
	my ($what, $i) = @_;
	my $pooled = $node->background_psql('app');
	is($pooled->query_safe("SELECT count(*) FROM user_events") > 0, 1, "$what: an old session");
	$pooled->query_safe(AuthsyncTest::users_sql($i, $i));
	is(profile($i), 1, "$what: on");

	$node->append_conf('postgresql.conf', "authsync.enabled = off");
	$node->reload;
	my $n = events();
	ok(wait_until(sub { $node->safe_psql('app', 'SELECT name FROM pg_settings WHERE name = $$authsync.enabled$$ AND setting = $$off$$') ne '' || $node->safe_psql('app', "SHOW authsync.enabled") eq 'off' }), "$what: reloaded");
	# A reload reaches an idle session with its next statement, or the one after.
	ok(wait_until(sub { $pooled->query_safe('SHOW authsync.enabled') eq 'off' }), "$what: the old session has heard of it");
	$pooled->query_safe(AuthsyncTest::users_sql($i + 1, $i + 1));
	is(sign_up($node, 'app', $i + 2), '', "$what: off, a sign-up goes through");
	is(profile($i + 1), 0, "$what: off, in the old session");
	is(profile($i + 2), 0, "$what: off, in a new one");
	$node->safe_psql('app', "UPDATE auth.users SET email = 'moved$i\@example.test' WHERE id = '" . uid($i) . "'");
	is($node->safe_psql('app', "SELECT email FROM public.profiles WHERE id = '" . uid($i) . "'"), "user$i\@example.test", "$what: off, no e-mail follows");
	$node->safe_psql('app', "BEGIN; DELETE FROM auth.users WHERE id = '" . uid($i + 2) . "'; ROLLBACK");
	is(events(), $n, "$what: off, no event");
	is($node->safe_psql('app', q{SELECT trigger_enabled FROM monitor_signup_health()}), 'f', "$what: off, and the monitor says so");

	$node->adjust_conf('postgresql.conf', 'authsync.enabled', 'on');
	$node->reload;
	ok(wait_until(sub { $pooled->query_safe('SHOW authsync.enabled') eq 'on' }), "$what: on again");
	$pooled->query_safe(AuthsyncTest::users_sql($i + 3, $i + 3));
	is(profile($i + 3), 1, "$what: on again, in the old session");
	$pooled->quit;
	is($node->safe_psql('app', q{SELECT backfill_all_missing_profiles(100, false)->>'successful'}), 2, "$what: a backfill makes up for it");
	$node->safe_psql('app', q{SELECT resync_profiles(100, false)});
	is($node->safe_psql('app', q{SELECT drift_total FROM monitor_signup_health()}), 0, "$what: in step");
	$node->psql('app', 'SET authsync.enabled = off; ' . AuthsyncTest::users_sql(1000 + $i, 1000 + $i),
		on_error_stop => 0, extra_params => [ '-U', 'supabase_auth_admin' ]);
	is(profile(1000 + $i), 1, "$what: no session switches it for itself");
}

$node->safe_psql('app', 'CREATE EXTENSION authsync; SELECT backfill_all_missing_profiles(100, false)');
the_same('not preloaded', 11);
switch('not preloaded', 12);

$node->append_conf('postgresql.conf', "shared_preload_libraries = 'authsync'");
$node->restart;
the_same('preloaded', 16);
switch('preloaded', 17);

is(sqlstate($node, 'app', 'SET authsync.no_such_setting = 1'), '42602', 'the prefix is reserved') if $node->pg_version >= 15;

$node->stop;
done_testing;
