# Users and profiles that are foreign tables, as where the application's database is
# hosted and loads no extension: "hosted" is that one, "ours" has authsync, and "twin"
# is a copy of hosted into which authsync could be loaded. What ours says of hosted is
# what twin says of itself.
use strict;
use warnings;
use AuthsyncTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = new_server('foreign');
my $where = sprintf "host '%s', port '%s'", $node->host, $node->port;

sub hosted { return $node->safe_psql('hosted', shift); }
sub ours { return $node->safe_psql('ours', 'SET client_min_messages = error; ' . shift); }
sub twin { return $node->safe_psql('twin', 'SET client_min_messages = error; ' . shift); }

# ---- the hosted database: every kind of user, every kind of drift, strange metadata

auth_database($node, 'hosted');
add_signups($node, 'hosted', 1, 60);
hosted(q{
	UPDATE auth.users SET is_anonymous = true, email = NULL WHERE email = 'user51@example.test';
	UPDATE auth.users SET is_sso_user = true, email = NULL WHERE email = 'user52@example.test';
	UPDATE auth.users SET deleted_at = now() WHERE email = 'user53@example.test';
	UPDATE auth.users SET email = NULL, phone = '4915512345' WHERE email = 'user54@example.test';
	UPDATE auth.users SET email = NULL, raw_app_meta_data = '{"provider": "sso:5a3b"}' WHERE email = 'user55@example.test';
	UPDATE auth.users SET email = NULL, raw_app_meta_data = '[{"provider": "sso:5a3b"}]' WHERE email = 'user56@example.test';
	UPDATE auth.users SET email = NULL, raw_app_meta_data = '{"provider": ["sso:5a3b"]}' WHERE email = 'user57@example.test';
	UPDATE auth.users SET email = '', raw_app_meta_data = NULL WHERE email = 'user58@example.test';
	UPDATE auth.users SET email = NULL, raw_app_meta_data = '{"provider": {"sso:": 1}}' WHERE email = 'user59@example.test';
	INSERT INTO profiles (id, email, display_name) SELECT id, email, 'made there' FROM auth.users WHERE email ~ '^user([1-9]|[1-4][0-9])@' AND email <> 'user5@example.test';
	INSERT INTO profiles (id, email) SELECT id, email FROM auth.users WHERE phone IS NOT NULL;
	UPDATE profiles SET email = 'before@example.test' WHERE email = 'user6@example.test';
	UPDATE profiles SET email = NULL WHERE email = 'user7@example.test';
	UPDATE profiles SET email = upper(email) WHERE email = 'user8@example.test';
	UPDATE profiles SET email = u.id || '@users.invalid' FROM auth.users AS u WHERE u.phone IS NOT NULL AND u.id = profiles.id;
	DELETE FROM auth.users WHERE email = 'user60@example.test';
	SET session_replication_role = replica;
	INSERT INTO profiles (id, email) VALUES ('00000000-0000-4000-8000-000000000900', 'nobody@example.test');
	CREATE ROLE app_remote LOGIN BYPASSRLS;
	GRANT USAGE ON SCHEMA auth, public TO app_remote;
	GRANT SELECT ON auth.users, auth.audit_log_entries TO app_remote;
	GRANT SELECT, INSERT, UPDATE ON profiles TO app_remote;
	CREATE TABLE people (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), user_id uuid UNIQUE, email text, note text NOT NULL DEFAULT 'x');
	INSERT INTO people (email) VALUES ('USER2@example.test'), ('nobody@example.test');
	CREATE TABLE members (email text, auth_id text PRIMARY KEY);
	GRANT SELECT, INSERT, UPDATE ON people, members TO app_remote;
});
$node->safe_psql('postgres', "CREATE DATABASE $_ TEMPLATE hosted") for qw(twin trap);
twin('CREATE EXTENSION authsync');

# ---- set-up

new_database($node, 'ours');
ours(qq{
	CREATE EXTENSION postgres_fdw;
	CREATE SERVER hosted FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($where, dbname 'hosted');
	CREATE USER MAPPING FOR CURRENT_USER SERVER hosted OPTIONS (user 'app_remote');
	CREATE SCHEMA auth;
	IMPORT FOREIGN SCHEMA auth LIMIT TO (users, audit_log_entries) FROM SERVER hosted INTO auth;
	IMPORT FOREIGN SCHEMA public LIMIT TO (profiles, people, members) FROM SERVER hosted INTO public;
	DROP USER MAPPING FOR CURRENT_USER SERVER hosted;
});

# Nobody is mapped to the server: the extension is made all the same, and says so.
my ($rc, $out, $err) = $node->psql('ours', 'CREATE EXTENSION authsync');
is($rc, 0, 'CREATE EXTENSION finds foreign tables without a user mapping');
like($err, qr/could not bind itself: role ".+" has no user mapping on server hosted.*CREATE USER MAPPING FOR .+ SERVER hosted/s, '… says so, with the line that makes one');
is(sqlstate($node, 'ours', 'SELECT * FROM authsync.setup()'), '42704', '… and so does setup()');
ours(q{CREATE USER MAPPING FOR CURRENT_USER SERVER hosted OPTIONS (user 'app_remote')});

my $setup = ours('SELECT step, object, action, detail FROM authsync.setup(dry_run => true)');
like($setup, qr/^users\|auth\.users\|would create\|foreign table on server hosted: it gets no triggers$/m, 'a dry run says that the users are foreign');
is(ours('SELECT count(*) FROM authsync.bindings'), 0, '… and binds nothing');
like(ours('DROP EXTENSION authsync; CREATE EXTENSION authsync; SELECT * FROM authsync.bindings'), qr/^auth\|users\|public\|profiles\|id\|auth\|audit_log_entries\|safe/m,
	'CREATE EXTENSION binds what it finds');
$setup = ours('SELECT step, object, action, detail FROM authsync.setup()');
like($setup, qr/^profiles\|public\.profiles\|kept\|foreign table on server hosted/m, 'setup() says that profiles are foreign');
like($setup, qr/^mode\|safe\|kept\|without effect while a table is foreign: no triggers, .*every answer compares in full$/m, '… and what that means');
unlike($setup, qr/created|changed|dropped|^trigger/m, '… changes nothing the second time, and makes no trigger');
is(ours(q{SELECT count(*) FROM pg_trigger WHERE tgrelid IN ('auth.users'::regclass, 'profiles'::regclass, 'auth.audit_log_entries'::regclass)}), 0, 'there is none');

# ---- looking: the same as in twin

my %looks = (
	diagnose => 'diagnose_auth_profile_consistency()', verify => 'verify_profile_completeness()',
	mismatches => 'get_auth_profile_mismatches(NULL)', recent => q{check_recent_signup_issues('2 hours')},
	stats => 'get_registration_stats(3)', history => q{get_user_signup_events('} . uid(3) . q{')},
	view => '(SELECT user_id, audit_email, auth_email, profile_email, status, signed_up_at, user_created_at FROM auth_profile_mismatch) AS v ORDER BY user_id', signups => 'signup_audit_summary ORDER BY audit_id',
	'view of one status' => q{auth_profile_mismatch WHERE status = 'email_mismatch' ORDER BY user_id},
	'view of one user' => q{auth_profile_mismatch WHERE user_id = '} . uid(6) . q{'},
	monitor => q{(SELECT recent_signups_count, signups_missing_profiles, health_percentage, drift_total, quarantined FROM monitor_signup_health('1 day')) AS m});

sub looks_equal
{
	my ($when) = @_;
	for my $what (sort keys %looks)
	{
		my $theirs = twin("SELECT * FROM $looks{$what}");
		isnt($theirs, '', "$what, $when: there is something to compare") if $when eq 'at first';
		is(ours("SELECT * FROM $looks{$what}"), $theirs, "$what, $when");
	}
}
looks_equal('at first');
is(ours(q{SELECT string_agg(status || ' ' || n, ', ' ORDER BY status) FROM (SELECT status, count(*) AS n FROM auth_profile_mismatch GROUP BY status) AS s}),
	'audit_only 1, auth_only 6, email_mismatch 2, healthy 51, profile_only 1', 'as it was made');
is(ours('SELECT trigger_enabled FROM monitor_signup_health()'), 'f', 'the trigger is not enabled');
is(sqlstate($node, 'ours', 'SELECT * FROM authsync.probe()'), '0A000', 'a sign-up over there cannot be tried');
is(sqlstate($node, 'ours', 'CALL authsync.maintain()'), '00000', 'maintain() has nothing to keep books of');
is(ours('SELECT authsync.bookkeeping_is_trusted()'), 'f', '… and none are kept');

# ---- what lint() finds, and what it leaves alone

sub lint { return ours("SELECT $_[0] FROM authsync.lint() WHERE check_name = '$_[1]' ORDER BY object LIMIT 1"); }
sub findings { return ours(q{SELECT string_agg(DISTINCT check_name, ' ' ORDER BY check_name) FROM authsync.lint() WHERE severity <> 'info' AND check_name !~ '^(log_|user_|app_|identity_)'}); }

is(findings(), 'column_may_lack column_unfilled profiles_owed', 'lint(): no trigger, key, index or row security is asked for');
is(lint('detail', 'profiles_owed'), '6 users owe a profile, have none, and do not wait in quarantine: foreign tables have no trigger that makes profiles', '… who owes a profile');
is(lint('severity', 'foreign_table'), 'info', '… a table is foreign');
is(lint('count(*) OVER ()', 'foreign_table'), 2, '… both are');
is(lint('severity', 'foreign_options'), 'info', '… the server is not told how many rows at a time');
ours(lint('hint', 'foreign_options'));
is(lint('severity', 'foreign_options'), '', '… the line to paste tells it');
is(lint('severity', 'foreign_empty'), '', '… no table is empty');
is(lint('severity', 'foreign_unreachable'), '', '… or out of reach');

# postgres_fdw sends every column, so a default over there never counts.
is(lint('object', 'column_unfilled'), 'public.profiles.created_at', 'lint(): a column that nothing fills');
is(ours(q{SELECT backfill_user_profile('} . uid(5) . q{') ->> 'sqlstate'}), '23502', '… is the reason why no profile is made');
ours(lint('hint', 'column_unfilled'));
is(findings(), 'profiles_owed quarantine', '… the line to paste brings the defaults over');

# ---- what is left to the server

sub remote_sql
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('ours', "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_nested_statements = on;
		SET auto_explain.log_verbose = on; SET client_min_messages = log; $sql");
	is($rc, 0, $sql);
	return $err =~ /Remote SQL: (.*)/g;
}
my @sent = remote_sql('SELECT backfill_all_missing_profiles()');
is(scalar @sent, 1, 'who is missing: one query');
like($sent[0], qr/^SELECT count\(\*\) FROM \(auth\.users .* LEFT JOIN public\.profiles .*deleted_at IS NULL/, '… and the server does it all');
@sent = grep { /auth\.users|public\.profiles/ } remote_sql("SELECT * FROM $looks{'view of one user'}");
cmp_ok(scalar @sent, '>', 3, 'one user of the view: each status is asked for');
is(scalar(grep { !/\bid = '00000000-0000-4000-8000-000000000006'/ } @sent), 0, '… by his id');
@sent = grep { !/audit_log/ } remote_sql("SELECT * FROM $looks{'view of one status'}");
is(scalar @sent, 1, 'one status of the view: one query');
like($sent[0], qr/INNER JOIN .*lower\(/, '… in which the server compares');
@sent = remote_sql('SELECT * FROM verify_profile_completeness()');
is(scalar(grep { /LEFT JOIN|INNER JOIN/ } @sent), 3, 'verify: three comparisons');
is(scalar(@sent), 3, '… and nothing else');
unlike(join(' ', map { remote_sql("SELECT * FROM $looks{$_}") } grep { /diagnose|mismatches|recent|monitor/ } sort keys %looks), qr/encrypted_password|raw_user_meta/, 'what is not compared is not fetched');
@sent = remote_sql(q{SELECT * FROM check_recent_signup_issues('10 minutes')});
is(scalar(grep { /audit_log/ && !/created_at >= / } @sent), 0, 'recent sign-ups: of the audit log only the recent entries');

# ---- backfill: the same as in twin, row for row

for my $db (qw(hosted twin))
{
	$node->safe_psql($db, q{ALTER TABLE profiles ADD CONSTRAINT not_five CHECK (email <> 'user5@example.test') NOT VALID});
}
my $written = q{SELECT string_agg(concat_ws('|', id, email, display_name, account_type, onboarding_completed, created_at IS NULL), E'\n' ORDER BY id) FROM profiles};

is(ours('SELECT backfill_all_missing_profiles()'), twin('SELECT backfill_all_missing_profiles()'), 'backfill, dry');
is(ours($written), twin($written), '… changes nothing');
@sent = remote_sql('SELECT backfill_all_missing_profiles(dry_run => false)');
is(scalar(grep { /FROM auth\.users WHERE \(\(id = ANY/ && !/^SELECT id FROM/ } @sent), 1, 'backfill: one query for the users of a batch');
is(scalar(grep { /FOR (KEY )?SHARE/ } @sent), 0, '… which locks none of them');
is(scalar(grep { !/WHERE|INSERT/ } @sent), 0, '… no table is fetched as a whole');
is(scalar(grep { /encrypted_password/ } @sent), 0, '… and nothing that is not needed');
twin('SELECT backfill_all_missing_profiles(dry_run => false)');
is(hosted($written), twin($written), '… writes what a local one writes');
is(ours(q{SELECT counts ->> 'done' || ' ' || (counts ->> 'failed') || ' ' || state FROM authsync.plans ORDER BY plan_id DESC LIMIT 1}), '5 1 partly_applied', '… all but one');
is(ours('SELECT user_id, sqlstate, message FROM authsync.quarantine'), uid(5) . '|23514|new row for relation "profiles" violates check constraint "not_five"', 'the one is in quarantine, with the reason given there');
is(ours(q{SELECT count(*) FROM user_events AS e JOIN profiles AS p ON p.id = e.user_id WHERE e.event_type = 'profile_backfilled' AND e.details ->> 'hash' = authsync.row_hash(p)}), 5, 'events hold the hash of each row');
looks_equal('after the backfill');

is(ours(q{UPDATE authsync.quarantine_rows SET next_retry = now(); SELECT count(*) FROM authsync.quarantine}), 1, 'a retry is due');
is(sqlstate($node, 'ours', 'CALL authsync.maintain()'), '00000', '… and made');
is(ours('SELECT attempts FROM authsync.quarantine'), 3, '… to no avail');
hosted('ALTER TABLE profiles DROP CONSTRAINT not_five');
ours('UPDATE authsync.quarantine_rows SET next_retry = now()');
$node->safe_psql('ours', 'CALL authsync.maintain()');
is(ours('SELECT count(*) FROM authsync.quarantine'), 0, 'the cause mended, it is gone');
is(hosted(q{SELECT email FROM profiles WHERE id = '} . uid(5) . q{'}), 'user5@example.test', '… and the profile there');

# A taken e-mail is not an existing profile.
hosted(q{CREATE UNIQUE INDEX profiles_email ON profiles (email); DELETE FROM profiles WHERE id IN ('} . uid(1) . q{', '} . uid(2) . q{');
	UPDATE profiles SET email = 'user1@example.test' WHERE email = 'user9@example.test'});
is($node->safe_psql('ours', 'CALL backfill_missing_profiles(batch_size => 10)'),
	q({"failed": 1, "dry_run": false, "plan_id": 2, "processed": 2, "remaining": 1, "successful": 1, "quarantined": 1}), 'CALL backfill: one of two has a taken e-mail');
is(ours('SELECT user_id, sqlstate FROM authsync.quarantine'), uid(1) . '|23505', '… and is in quarantine');
is(sqlstate($node, 'ours', q{SELECT ensure_profile_exists('} . uid(1) . q{')}), '23505', 'ensure_profile_exists() raises its error');
is(ours(q{SELECT ensure_profile_exists('} . uid(2) . q{')}), 'f', '… false where there is one');
is(ours(q{SELECT backfill_user_profile('} . uid(2) . q{') ->> 'status'}), 'exists', '… which exists');
is(sqlstate($node, 'ours', q{SELECT ensure_profile_exists('} . uid(999) . q{')}), '42704', '… and an unknown user is none');
hosted(q{DELETE FROM auth.users WHERE id = '} . uid(1) . q{'});
ours('SELECT backfill_all_missing_profiles(dry_run => false)');
is(ours('SELECT count(*) FROM authsync.quarantine'), 0, 'who is deleted there waits no longer');

# Written in batches, and read back: each is made once.
add_users($node, 'hosted', 2001, 2030);
is(ours(q{SELECT backfill_all_missing_profiles(7, false) ->> 'successful'}), 30, 'thirty in batches of seven');
is(hosted('SELECT count(*) FROM profiles WHERE id >= \'' . uid(2001) . '\''), 30, '… are there');

# ---- resync

is(ours(q{SELECT resync_profiles() ->> 'total_missing'}), 3, 'resync, dry: three e-mails differ');
is(ours(q{SELECT resync_profiles(dry_run => false) ->> 'successful'}), 3, 'resync: mended');
is(hosted(q{SELECT count(*) FROM profiles WHERE email IN ('user6@example.test', 'user7@example.test', 'user9@example.test')}), 3, '… there');
is(ours(q{SELECT count(*) FROM auth_profile_mismatch WHERE status = 'email_mismatch'}), 0, '… and seen from here');

# ---- plans

hosted(q{GRANT DELETE ON profiles TO app_remote; UPDATE profiles SET email = 'before@example.test' WHERE id = '} . uid(6) . q{'; UPDATE profiles SET email = 'past@example.test' WHERE id = '} . uid(7) . q{'});
my $plan = ours(q{SELECT resync_profiles(dry_run => false) ->> 'plan_id'});
is(ours("SELECT string_agg(concat_ws(' ', action, user_id, changes #>> '{email,0}', changes #>> '{email,1}'), ', ' ORDER BY item) FROM authsync.plan_items WHERE plan_id = $plan"),
	'update ' . uid(6) . ' before@example.test user6@example.test, update ' . uid(7) . ' past@example.test user7@example.test', 'a resync leaves old and new values');
$plan = ours("SELECT authsync.undo($plan) ->> 'plan_id'");
hosted(q{UPDATE profiles SET email = 'else@example.test' WHERE id = '} . uid(7) . q{'});
@sent = remote_sql("SELECT authsync.apply($plan)");
is(scalar(grep { !/WHERE|INSERT|count\(/ } @sent), 0, 'its undo, applied: fetches no table as a whole');
is(ours("SELECT string_agg(state, ' ' ORDER BY item) FROM authsync.plan_items WHERE plan_id = $plan"), 'done stale', '… but for what has changed there since');
is(hosted(q{SELECT string_agg(email, ' ' ORDER BY id) FROM profiles WHERE id IN ('} . uid(6) . q{', '} . uid(7) . q{')}), 'before@example.test else@example.test', '… there');
is(ours(q{SELECT resync_profiles(dry_run => false) ->> 'successful'}), 2, '… and both mended');
add_users($node, 'hosted', 2041, 2043);
$plan = ours(q{SELECT backfill_all_missing_profiles(dry_run => false) ->> 'plan_id'});
hosted(q{UPDATE profiles SET display_name = 'own' WHERE id = '} . uid(2042) . q{'});
@sent = remote_sql("SELECT authsync.undo($plan, false)");
is(scalar(grep { !/WHERE|INSERT|count\(/ } @sent), 0, 'undo of a backfill: fetches no table as a whole');
is(hosted(q{SELECT string_agg(right(id::text, 4), ' ' ORDER BY id) FROM profiles WHERE id BETWEEN '} . uid(2041) . q{' AND '} . uid(2043) . q{'}), '2042', '… what was changed there stays');
is(ours(q{SELECT backfill_all_missing_profiles(dry_run => false) ->> 'successful'}), 2, '… the others come again');

# ---- other keys: found without an index, said by hand, text, and linking

ours(q{DROP FOREIGN TABLE people; IMPORT FOREIGN SCHEMA public LIMIT TO (people) FROM SERVER hosted INTO public OPTIONS (import_default 'true')});
like(ours(q{SELECT object, detail FROM authsync.setup(profiles => 'people')}), qr/^public\.people\.user_id\|key: /m, 'a key is found by name and type');
ours('SELECT backfill_all_missing_profiles(dry_run => false)');
is(hosted(q{SELECT count(*), count(user_id), count(*) FILTER (WHERE user_id IS NOT NULL AND email IN ('USER2@example.test', 'nobody@example.test')) FROM people}),
	ours('SELECT count(*) + 1 FROM auth.users WHERE deleted_at IS NULL AND is_anonymous IS NOT TRUE AND is_sso_user IS NOT TRUE AND raw_app_meta_data ->> \'provider\' IS DISTINCT FROM \'sso:5a3b\'')
	. '|' . ours('SELECT count(*) FROM people WHERE user_id IS NOT NULL') . '|1', 'a profile without key is linked, unless it is nobody\'s');
hosted(q{DELETE FROM people WHERE user_id = '} . uid(3) . q{'; INSERT INTO people (email) VALUES ('USER3@example.test')});
is(ours(q{SELECT backfill_user_profile('} . uid(3) . q{') ->> 'status'}), 'created', 'a profile without key');
is(hosted(q{SELECT count(*), min(email) FROM people WHERE user_id = '} . uid(3) . q{' OR lower(email) = 'user3@example.test'}), '1|USER3@example.test', '… is linked, not doubled');
like(ours(q{SELECT object, detail FROM authsync.setup(profiles => 'members', columns => '{"auth_id": {"from": "user_id", "key": true}}')}), qr/^public\.members\.auth_id\|key: /m, 'a key of type text');
ours('SELECT backfill_all_missing_profiles(10, false)');
is(ours(q{SELECT string_agg(status || ' ' || (count > 0), ', ') FROM verify_profile_completeness()}), 'PASS false, PASS false, PASS false', '… serves as well');
ours(q{DELETE FROM authsync.bindings; SELECT authsync.setup(profiles => 'profiles', columns => '{}')});

# ---- rights, and who may not

my $me = ours('SELECT quote_ident(current_user)');
ours(q{CREATE ROLE mallory LOGIN; CREATE ROLE clerk LOGIN; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO mallory;
	SELECT authsync.grant_access('clerk', 'operator'); GRANT USAGE ON SCHEMA auth TO clerk});
is(sqlstate($node, 'ours', q{SELECT * FROM authsync.setup(users => 'auth.users')}, role => 'clerk'), '42501', 'naming the users needs SELECT');
ours('GRANT SELECT ON auth.users TO clerk');
is(sqlstate($node, 'ours', q{SELECT * FROM authsync.setup(users => 'auth.users')}, role => 'clerk'), '00000', '… and no TRIGGER');
is(sqlstate($node, 'ours', q{SELECT * FROM authsync.setup(profiles => 'profiles')}, role => 'clerk'), '42501', 'naming profiles needs their ownership');
is(as_role($node, 'ours', 'clerk', 'SELECT count FROM verify_profile_completeness() LIMIT 1') ? 1 : 0, 0, 'the functions look with the owner\'s eyes');
isnt(sqlstate($node, 'ours', 'SELECT count(*) FROM auth_profile_mismatch', role => 'clerk'), '00000', '… the views with the caller\'s');
like(ours(q{SELECT string_agg(missing_grant, ' ') FROM authsync.grant_access('clerk', 'operator')}), qr/CREATE USER MAPPING FOR clerk SERVER hosted/, '… who needs a mapping of his own, says grant_access()');
ours(q{CREATE USER MAPPING FOR clerk SERVER hosted OPTIONS (user 'app_remote', password_required 'false'); GRANT SELECT ON ALL TABLES IN SCHEMA auth, public TO clerk});
is((as_role($node, 'ours', 'clerk', q{SELECT count(*) FROM auth_profile_mismatch WHERE status = 'profile_only'}))[1], '1', '… then he sees them');
is(sqlstate($node, 'ours', q{SELECT * FROM authsync.setup(columns => '{"account_type": {"guard": true}}')}), '0A000', 'a guard, which is a trigger, is refused');
is(ours(q{SELECT detail ~ 'without effect' FROM authsync.setup(mode => 'strict') WHERE step = 'mode'}), 't', 'a mode is kept for later');

# A table's or server's owner says where it leads, with the extension owner's mapping.
for my $what ('FOREIGN TABLE profiles', 'SERVER hosted')
{
	ours("ALTER $what OWNER TO mallory");
	is(sqlstate($node, 'ours', 'SELECT * FROM authsync.setup()'), '42501', "$what, another's: setup() refuses it");
	isnt(sqlstate($node, 'ours', q{SELECT ensure_profile_exists('} . uid(2) . q{')}), '00000', '… and nothing is written to it');
	is(sqlstate($node, 'ours', 'SELECT count(*) FROM auth_profile_mismatch'), '55000', '… nor do the views read it');
	ours("ALTER $what OWNER TO $me");
}
is(sqlstate($node, 'ours', q{SELECT ensure_profile_exists('} . uid(2) . q{')}), '00000', 'given back, it works again');
hosted(q{DELETE FROM profiles WHERE id IN ('} . uid(2) . q{', '} . uid(3) . q{')});
ours('CREATE ROLE chief SUPERUSER; ALTER FOREIGN TABLE profiles OWNER TO chief; ALTER SERVER hosted OWNER TO chief');
like(ours('SELECT backfill_all_missing_profiles(dry_run => false)'), qr/"remaining": 0, "successful": 2/, 'another superuser\'s: written by the mapping that reads');
ours('CREATE DOMAIN mail AS text; ALTER DOMAIN mail OWNER TO mallory; ALTER FOREIGN TABLE profiles ALTER email TYPE mail');
is(sqlstate($node, 'ours', 'SELECT * FROM authsync.setup()'), '42501', 'a column whose type, and its checks, are another\'s: refused');
isnt(sqlstate($node, 'ours', q{SELECT ensure_profile_exists('} . uid(2) . q{')}), '00000', '… and not read');
ours('ALTER FOREIGN TABLE profiles ALTER email TYPE text');
is(sqlstate($node, 'ours', 'SELECT * FROM authsync.setup()'), '00000', '… until it is text');
ours(q{CREATE EXTENSION file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE listed (id uuid, email text) SERVER files OPTIONS (filename '/dev/null')});
is(sqlstate($node, 'ours', q{SELECT * FROM authsync.setup(users => 'listed')}), '0A000', 'a table of another wrapper is refused');

# What stands beside the users is read as the extension's owner too. Here it leads back, as a superuser, into a trap.
sub trap { return $node->safe_psql('trap', 'SET client_min_messages = error; ' . shift); }
trap(q{CREATE EXTENSION authsync; CREATE EXTENSION postgres_fdw; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO mallory; GRANT CREATE, USAGE ON SCHEMA auth TO mallory;
	DROP TABLE auth.identities; CREATE SCHEMA trap AUTHORIZATION mallory; CREATE TABLE trap.caught (who text); GRANT INSERT ON trap.caught TO PUBLIC});
is((as_role($node, 'trap', 'mallory', qq{
	CREATE FUNCTION trap.spring() RETURNS timestamptz LANGUAGE plpgsql AS 'BEGIN INSERT INTO trap.caught VALUES (current_user); RETURN now(); END';
	CREATE VIEW trap.identities AS SELECT gen_random_uuid() AS user_id, trap.spring() AS created_at, now() AS updated_at;
	CREATE SERVER back FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($where, dbname 'trap');
	CREATE USER MAPPING FOR $me SERVER back OPTIONS (user '$me');
	CREATE FOREIGN TABLE auth.identities (user_id uuid, created_at timestamptz, updated_at timestamptz) SERVER back OPTIONS (schema_name 'trap');}))[2], '', 'a trap is laid');
is(trap('SELECT count(created_at) FROM auth.identities; SELECT * FROM trap.caught'), "1\n$me", '… that works');
cmp_ok(trap('SELECT count(*) FROM authsync.lint()'), '>', 0, '… lint() answers');
is(trap('SELECT count(*) FROM trap.caught'), 1, '… and does not step into it');

# ---- out of reach, or hidden

ours("DROP USER MAPPING FOR CURRENT_USER SERVER hosted");
is(sqlstate($node, 'ours', 'SELECT * FROM verify_profile_completeness()'), '42704', 'without its user mapping nothing is looked at');
is(lint('severity', 'foreign_unreachable'), 'error', '… lint() says so');
like(lint('hint', 'foreign_unreachable'), qr/^CREATE USER MAPPING FOR /, '… with the line that makes one');
is(findings(), 'foreign_unreachable', '… once');
ours(q{CREATE USER MAPPING FOR CURRENT_USER SERVER hosted OPTIONS (user 'app_remote')});
is(lint('severity', 'foreign_unreachable'), '', '… and is content when there is one');
hosted('ALTER ROLE app_remote NOBYPASSRLS');
is(ours('SELECT count(*) FROM auth.users'), 0, 'row security over there hides the users');
is(lint('severity', 'foreign_empty'), 'warning', '… lint() suspects it');
hosted('ALTER ROLE app_remote BYPASSRLS');
is(lint('severity', 'foreign_empty'), '', '… until they are seen');

# ---- one of them here

is(ours(q{ALTER FOREIGN TABLE profiles RENAME TO profiles_there; SELECT string_agg(step || ' ' || object || ' ' || action, ', ') FROM authsync.setup() WHERE step IN ('table', 'foreign key', 'trigger')}),
	'table public.profiles created', 'no profiles at all: the default table is made, without foreign key');
ours('DROP TABLE profiles; ALTER FOREIGN TABLE profiles_there RENAME TO profiles; SELECT authsync.setup()');

ours(q{CREATE SCHEMA mine; CREATE TABLE mine.profiles (id uuid PRIMARY KEY, email text, display_name text)});
like(ours(q{SELECT step, object, action, detail FROM authsync.setup(profiles => 'mine.profiles', mode => 'safe')}), qr/^users\|auth\.users\|kept\|foreign table on server hosted.*^profiles\|mine\.profiles\|changed\|$/ms, 'users there, profiles here');
is(ours(q{SELECT count(*) FROM pg_trigger WHERE tgrelid = 'mine.profiles'::regclass}), 0, '… no trigger is made');
my $owing = ours('SELECT count FROM verify_profile_completeness() LIMIT 1');
cmp_ok($owing, '>', 50, '… all owe a profile');
is(ours(q{SELECT backfill_all_missing_profiles(dry_run => false) ->> 'successful'}), $owing, '… the backfill makes them');
is(ours('SELECT string_agg(status, \' \') FROM verify_profile_completeness()'), 'PASS PASS PASS', '… and all is well');
is(ours('SELECT count(*) FROM mine.profiles'), $owing, '… here');

twin(qq{CREATE EXTENSION postgres_fdw; CREATE SERVER hosted FOREIGN DATA WRAPPER postgres_fdw OPTIONS ($where, dbname 'hosted'); CREATE USER MAPPING FOR CURRENT_USER SERVER hosted OPTIONS (user 'app_remote');
	CREATE SCHEMA away; IMPORT FOREIGN SCHEMA public LIMIT TO (members) FROM SERVER hosted INTO away});
my $ours_on = q{SELECT count(*) FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE p.pronamespace = 'authsync'::regnamespace
	AND t.tgrelid IN (SELECT oid FROM pg_class WHERE relnamespace IN ('auth'::regnamespace, 'public'::regnamespace, 'away'::regnamespace))};
my $triggers = twin($ours_on);
cmp_ok($triggers, '>', 0, 'both here: there are triggers');
hosted('DELETE FROM members');
like(twin(q{SELECT step, object, action, detail FROM authsync.setup(profiles => 'away.members', columns => '{"auth_id": {"from": "user_id", "key": true}}')}), qr/^trigger\|on_auth_user_created on auth\.users\|dropped/m, 'profiles there, users here: the triggers go');
is(twin($ours_on), 0, '… all of them');
add_users($node, 'twin', 3001, 3001);
is(hosted('SELECT count(*) FROM members'), 0, '… a sign-up waits for no network');
is(twin(q{SELECT backfill_all_missing_profiles(dry_run => false) ->> 'failed'}), 0, '… the backfill makes its profile');
is(hosted(q{SELECT email FROM members WHERE auth_id = '} . uid(3001) . q{'}), 'user3001@example.test', '… there');
is(twin(q{SELECT string_agg(status, ' ') FROM verify_profile_completeness()}), 'PASS PASS PASS', '… and all is well');
twin(q{SELECT count(*) FROM authsync.setup(profiles => 'profiles', columns => '{}')});
is(twin($ours_on), $triggers, 'profiles here again: the triggers are back');
add_users($node, 'twin', 3002, 3002);
is(twin(q{SELECT email FROM profiles WHERE id = '} . uid(3002) . q{'}), 'user3002@example.test', '… and make profiles');

# ---- the five lines of the README

ours(q{SELECT authsync.setup(profiles => 'profiles')});
my ($lines) = slurp_file("$tree/README.md") =~ /^((?: {4}.*\n)* {4}CREATE EXTENSION postgres_fdw;.*\n(?: {4}.*\n)*)/m;
$lines =~ s/host '[^']*', dbname '[^']*', sslmode '[^']*'/$where, dbname 'hosted'/;
$lines =~ s/authsync_remote/app_remote/;
new_database($node, 'readme');
is($node->safe_psql('readme', "SET client_min_messages = error; $lines"), ours('SELECT * FROM diagnose_auth_profile_consistency()') =~ s/^(Total Signup Audit Entries|Audit Only \(Deleted\))\|\d+$/$1|0/gmr,
	'the five lines of the README work');

# ---- dump, restore, drop

dump_to($node, 'ours', '-f', "${PostgreSQL::Test::Utils::tmp_check}/ours.sql");
new_database($node, 'copy');
restore_sql($node, 'copy', "${PostgreSQL::Test::Utils::tmp_check}/ours.sql");
is($node->safe_psql('copy', 'SELECT * FROM verify_profile_completeness()'), ours('SELECT * FROM verify_profile_completeness()'), 'a restored database looks at the same tables');
my $profiles = hosted('SELECT count(*) FROM profiles');
is(ours('DROP EXTENSION authsync; SELECT count(*) FROM profiles'), $profiles, 'DROP EXTENSION leaves them alone');

$node->stop;
done_testing();
