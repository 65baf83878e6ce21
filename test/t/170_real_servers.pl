# The drivers against servers that others wrote: Keycloak, Better Auth, SCIMMY, and the
# emulators of WorkOS, Google and Amazon's users. test/real/ says how each is had; one
# that cannot be had on this machine is skipped by name. What AUTHSYNC_REAL_SERVERS
# names, separated by blanks, is tried alone; "none" is nothing.
use strict;
use warnings;
use AuthsyncTest;
use FindBin;
use lib "$FindBin::Bin/../real";
use IPC::Run ();
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use RealServers;
use Test::More;
use Time::HiRes qw(sleep time);

my %ports = ('better-auth' => 3);
my %path = (keycloak => '/realms/master', scimmy => '/scim/v2/Users');
my $wanted = $ENV{AUTHSYNC_REAL_SERVERS};
my @names = qw(keycloak firebase moto better-auth workos scimmy);

sub is_wanted { return !defined $wanted || " $wanted " =~ / \Q$_[0]\E /; }

# Slowest first.
start_server($_, ports => $ports{$_}, path => $path{$_}) for grep { is_wanted($_) } @names;

my $node = new_server('real');
new_database($node, 'app');
sub sql { return $node->safe_psql('app', 'SET client_min_messages = error; ' . shift); }
sub state_of { return sqlstate($node, 'app', shift); }
sql('CREATE EXTENSION authsync');

# A server of that provider, its table in a schema of its name.
sub provider
{
	my ($name, $provider, $url, $options, $secrets) = @_;
	my $list = join ', ', map { "$_ '$options->{$_}'" } sort keys %$options;
	sql("CREATE SERVER $name FOREIGN DATA WRAPPER authsync OPTIONS (provider '$provider', url '$url'" . ($list && ", $list") . ");
		CREATE SCHEMA $name; IMPORT FOREIGN SCHEMA authsync FROM SERVER $name INTO $name;");
	sql("SELECT authsync.set_secret('$name', '$_', '$secrets->{$_}')") for sort keys %$secrets;
}

# Reads the first n rows, acts, reads the rest: the ids, and the error if there was one.
sub walk_around
{
	my ($name, $n, $act) = @_;
	my ($in, $out, $err) = ("BEGIN; DECLARE walk NO SCROLL CURSOR FOR SELECT id FROM $name.users;\nFETCH $n FROM walk;\n\\echo here\n", '', '');
	my $h = IPC::Run::start([ 'psql', '-XAtq', '-v', 'VERBOSITY=verbose', '-d', $node->connstr('app') ], '<', \$in, '>', \$out, '2>', \$err,
		IPC::Run::timeout(90));
	$h->pump until $out =~ /^here$/m || $err =~ /ERROR/ || !$h->pumpable;
	$act->(split /\n/, $out =~ s/here\n//r);
	$in .= "FETCH ALL FROM walk;\n";
	$h->finish;
	return ([ grep { $_ ne 'here' } split /\n/, $out ], $err =~ /ERROR: +(.*)/ ? $1 : '');
}

# Deletes by the server's own API between two pages; nobody who lives may be missing.
sub deletions_lose_nobody
{
	my ($name, $first, $many, $known, $delete) = @_;
	my %living = map { $_ => 1 } values %$known;
	my %by_id = reverse %$known;
	my ($seen, $error) = walk_around($name, $first, sub {
		for my $id (@_[0 .. $many - 1])
		{
			$delete->($id);
			delete $living{$id};
			delete $known->{ $by_id{$id} };
		}
	});
	my %seen = map { $_ => 1 } @$seen;
	my @lost = grep { !$seen{$_} } keys %living;
	cmp_ok(scalar keys %seen, '>=', $many, "$name: a walk during which $many of its first users are deleted");
	ok(@lost == 0 || $error =~ /^08P01/, '… loses nobody who lives') or diag(scalar(@lost) . " lost, $error");
	note("$name: " . ($error || 'no error') . ', ' . scalar(@lost) . ' not seen');
	is_deeply([ ids($name) ], [ sort values %$known ], '… and the next one has just them');
}

sub ids { return sort split /\n/, sql("SELECT id FROM $_[0].users"); }

# What holds for every provider.
sub contract
{
	my ($name, %o) = @_;
	my $known = $o{known};
	my $n = keys %$known;
	my ($email) = (sort keys %$known)[ $n / 2 ];

	like(sql("SELECT ok FROM authsync.ping('$name')"), qr/^t$/, "$name: ping()");
	is_deeply([ ids($name) ], [ sort values %$known ], "$name: the listing has all $n, each once") or return;
	is(sql("SELECT count(*) FROM $name.users"), $n, '… and so says count(*)');
	is(sql("SELECT email FROM $name.users WHERE id = '$known->{$email}'"), $email, '… one by id');
	is(sql("SELECT count(*) FROM $name.users WHERE id = '$o{nobody}'"), 0, '… nobody by an id that there is not');
	is(sql("SELECT id FROM $name.users WHERE email = '$email'"), $known->{$email}, '… one by e-mail');
	is(sql("SELECT count(*) FROM $name.users WHERE email = 'nobody\@example.test'"), 0, '… nobody by an e-mail that there is not');
	is(sql("SELECT count(*) FROM (SELECT id FROM $name.users LIMIT 3) AS u"), 3, '… and three of them');
	return if $o{read_only};

	my $id = sql("INSERT INTO $name.users ($o{columns}) VALUES ($o{values}) RETURNING id");
	like($id, qr/^\S+$/, "$name: a user is made");
	is($o{look}->($id), 'new+one@example.test', '… and is there') if $o{look};
	is(state_of("INSERT INTO $name.users ($o{columns}) VALUES ($o{values})"), '23505', '… the same again is one that exists');
	is(sql("SELECT $o{shows} FROM $name.users WHERE id = '$id'"), $o{is}, '… he is read as he was written');
	is(state_of("UPDATE $name.users SET $o{set} WHERE id = '$id'"), '00000', '… several columns are changed');
	is(sql("SELECT $o{shows} FROM $name.users WHERE id = '$id'"), $o{becomes}, '… and read back');
	is(sql("SELECT $o{shows} FROM (SELECT * FROM $name.users OFFSET 0) AS u WHERE id = '$id'"), $o{becomes}, '… in the listing too');
	is(sql("SELECT count(*) FROM $name.users"), $n + 1, '… he is counted');
	is(sql("SELECT id FROM $name.users WHERE email = 'new+one\@example.test'"), $id, '… he is found by his e-mail');
	is(state_of("UPDATE $name.users SET email = 'moved\@example.test' WHERE id = '$id'"), $o{moves} || '00000', '… who changes, or the driver says that he does not');
	is(sql("SELECT count(*) FROM $name.users WHERE email = 'moved\@example.test'"), $o{moves} ? 0 : 1, '… and is found by the new one if he did');
	is(state_of("UPDATE $name.users SET name = 'x' WHERE id = '$o{nobody}'"), '00000', '… nobody is changed by an id that there is not');
	is(sql("DELETE FROM $name.users WHERE id = '$id' RETURNING id"), $id, '… he is deleted');
	is(state_of("DELETE FROM $name.users WHERE id = '$id'"), '00000', '… and again');
	is(sql("SELECT count(*) FROM $name.users WHERE id = '$id'"), 0, '… and gone');
	is($o{look}->($id), undef, '… over there too') if $o{look};
	is_deeply([ ids($name) ], [ sort values %$known ], '… and the others are left');

	is(sql("INSERT INTO $name.users (email, name) SELECT 'bulk' || i || '\@example.test', 'Bulk ' || i FROM generate_series(1, 40) AS i RETURNING 1") =~ tr/1//, 40, "$name: forty are made, many at once");
	is(state_of("INSERT INTO $name.users (email, name) SELECT 'bulk' || i || '\@example.test', 'Bulk ' || i FROM generate_series(40, 45) AS i"), '23505', '… of some more one exists');
	cmp_ok(sql("SELECT count(*) FROM $name.users WHERE email IN ('bulk1\@example.test', 'bulk17\@example.test', 'nobody\@example.test', 'bulk40\@example.test')"), '==', 3, '… several are found at once');
	cmp_ok(sql("SELECT count(*) FROM (SELECT id FROM $name.users OFFSET 0) AS u"), '>=', $n + 40, '… all are listed');
	state_of("DELETE FROM $name.users WHERE email LIKE 'bulk%'");
	is_deeply([ ids($name) ], [ sort values %$known ], '… and go again');
}

my @pending;
my %cases;

# ---- WorkOS

$cases{workos} = sub {
	my $url = 'http://127.0.0.1:' . port_of('workos');
	my %auth = (authorization => 'Bearer sk_test_setup');
	my %known;
	for my $i (1 .. 230)
	{
		my ($status, $user) = call('POST', "$url/user_management/users", \%auth, { email => "user$i\@example.test", first_name => 'User', last_name => "$i" });
		$known{ $user->{email} } = $user->{id};
	}
	provider('workos', 'workos', $url, {}, { api_key => 'sk_test_default' });
	provider('workos_wrong', 'workos', $url, {}, { api_key => 'sk_test_wrong' });
	provider('workos_flood', 'workos', $url, {}, { api_key => 'sk_test_flood' });

	# Its minute is used up now, waited for at the end.
	my $status = 0;
	for (1 .. 1010) { ($status) = call('GET', "$url/user_management/users/none", { authorization => 'Bearer sk_test_flood' }); }
	is($status, 429, 'workos: the requests of a minute are used up');
	push @pending, { run => start_psql($node, 'app', q{SELECT id FROM workos_flood.users WHERE email = 'user230@example.test'}, timeout => 150), is => $known{'user230@example.test'},
		what => 'workos: what is throttled is waited for, as long as Retry-After says' };
	like(state_of("SET statement_timeout = '500ms'; SELECT id FROM workos_flood.users LIMIT 1"), qr/^(53400|57014)$/, '… but no longer than the statement may last');

	is(state_of('SELECT count(id) FROM workos_wrong.users'), '28000', 'workos: a wrong key');
	contract('workos', known => \%known, nobody => 'user_01ARZ3NDEKTSV4RRFFQ69G5FAV',
		columns => 'email, name, email_verified, user_metadata', values => q{'new+one@example.test', 'New User', true, '{"a": "1", "b": "2"}'},
		shows => q{concat_ws(' ', email, name, email_verified, user_metadata)}, is => 'new+one@example.test New User t {"a": "1", "b": "2"}',
		set => q{name = 'Old Hand', email_verified = false, user_metadata = '{"b": "3"}'}, becomes => 'new+one@example.test Old Hand f {"b": "3"}',
		moves => '0A000', look => sub { my ($status, $user) = call('GET', "$url/user_management/users/$_[0]", \%auth); return $status == 200 ? $user->{email} : undef; });
	is(state_of(q{INSERT INTO workos.users (name) VALUES ('No E-mail')}), '22023', 'workos: without e-mail nobody is made');

	# The last of a page is where the next one begins.
	provider('workos_small', 'workos', $url, { page_size => 20 }, { api_key => 'sk_test_default' });
	deletions_lose_nobody('workos_small', 20, 20, \%known, sub { call('DELETE', "$url/user_management/users/$_[0]", \%auth); });
};

# ---- SCIM: SCIMMY

sub scim_users
{
	my ($url, $token, $n) = @_;
	my %known;
	for my $i (1 .. $n)
	{
		my ($status, $user) = call('POST', "$url/Users", { authorization => "Bearer $token", 'content-type' => 'application/scim+json' },
			{ schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], userName => "user$i\@example.test", active => JSON::PP::true,
				name => { givenName => 'User', familyName => "$i" }, emails => [ { value => "user$i\@example.test", primary => JSON::PP::true } ] });
		die "POST $url/Users: $status" unless $status == 201;
		$known{"user$i\@example.test"} = $user->{id};
	}
	return \%known;
}

sub scim_look
{
	my ($url, $token) = @_;
	return sub {
		my ($status, $user) = call('GET', "$url/Users/$_[0]", { authorization => "Bearer $token" });
		return $status == 200 ? $user->{userName} : undef;
	};
}

$cases{scimmy} = sub {
	my ($url, $token) = ('http://127.0.0.1:' . port_of('scimmy') . '/scim/v2', 'scimmy-token');
	my $known = scim_users($url, $token, 230);
	my ($status, $past) = call('GET', "$url/Users?startIndex=500&count=2", { authorization => "Bearer $token" });
	is(scalar @{ $past->{Resources} }, 2, 'scimmy: past the end it begins anew');
	provider('scimmy', 'scim', $url, { page_size => 50 }, { token => $token });
	provider('scimmy_wrong', 'scim', $url, {}, { token => 'wrong' });
	is(state_of('SELECT count(id) FROM scimmy_wrong.users'), '28000', 'scimmy: a wrong key');
	contract('scimmy', known => $known, nobody => '00000000-0000-4000-8000-000000000000',
		columns => 'email, name, nickname, blocked, picture', values => q{'new+one@example.test', 'New User', 'newbie', false, 'https://example.test/a.png'},
		shows => q{concat_ws(' ', email, name, nickname, blocked, picture)}, is => 'new+one@example.test New User newbie f https://example.test/a.png',
		set => q{name = 'Old Hand', nickname = 'oldie', blocked = true}, becomes => 'new+one@example.test Old Hand oldie t https://example.test/a.png',
		look => scim_look($url, $token));
	provider('scimmy_cursor', 'scim', $url, { page_size => 50, paging => 'cursor' }, { token => $token });
	is_deeply([ ids('scimmy_cursor') ], [ sort values %$known ], 'scimmy: cursors, which it does not know, are done without');
	provider('scimmy_changes', 'scim', $url, { page_size => 50, filter_changes => 'on' }, { token => $token });
	my $since = sql('SELECT max(updated_at) FROM scimmy.users');
	my $one = (sort values %$known)[7];
	sleep 0.01;
	sql("UPDATE scimmy.users SET nickname = 'seventh' WHERE id = '$one'");
	is(sql("SELECT id FROM scimmy_changes.users WHERE updated_at > '$since'"), $one, '… who changed since is asked for where it can be');
	provider('scimmy_small', 'scim', $url, { page_size => 20 }, { token => $token });
	deletions_lose_nobody('scimmy_small', 20, 15, $known, sub { call('DELETE', "$url/Users/$_[0]", { authorization => "Bearer $token" }); });
};

# ---- SCIM: Better Auth, with a fixed token and with such as last for seconds; its admin API as "rest"

$cases{'better-auth'} = sub {
	my $base = 'http://127.0.0.1:' . port_of('better-auth');
	my ($url, $token) = ("$base/api/auth/scim/v2", 'a-scim-token-of-at-least-thirty-two-bytes');
	my $known = scim_users($url, $token, 230);
	provider('betterauth', 'scim', $url, { page_size => 50 }, { token => $token });
	provider('betterauth_wrong', 'scim', $url, {}, { token => 'wrong' });
	is(state_of('SELECT count(id) FROM betterauth_wrong.users'), '28000', 'betterauth: a wrong key');
	contract('betterauth', known => $known, nobody => 'nobodyhasthisid',
		columns => 'email, name, blocked', values => q{'new+one@example.test', 'New User', false},
		shows => q{concat_ws(' ', email, name, blocked)}, is => 'new+one@example.test New User f',
		set => q{name = 'Old Hand', blocked = true}, becomes => 'new+one@example.test Old Hand t', look => scim_look($url, $token));
	is(sql("SELECT count(*) FROM betterauth.users WHERE updated_at > now() - interval '1 hour'"), 230, 'betterauth: its filters know no times; it goes without');
	provider('betterauth_small', 'scim', $url, { page_size => 20 }, { token => $token });
	deletions_lose_nobody('betterauth_small', 20, 15, $known, sub { call('DELETE', "$url/Users/$_[0]", { authorization => "Bearer $token" }); });

	my $short = 'http://127.0.0.1:' . port_of('better-auth', 1) . '/api/auth/scim/v2';
	my $issuer = 'http://127.0.0.1:' . port_of('better-auth', 2);
	my %oauth = (token_url => "$issuer/token", client_id => 'm2m', page_size => 20);
	provider('oidc', 'scim', $short, \%oauth, { client_secret => 'm2m-secret' });
	provider('oidc_wrong', 'scim', $short, \%oauth, { client_secret => 'wrong' });
	is(state_of('SELECT count(id) FROM oidc_wrong.users'), '28000', 'oidc: the token endpoint refuses a wrong secret');
	is(sql('SELECT count(*) FROM oidc.users'), scalar keys %$known, '… and gives a token for the right one');
	my ($seen, $error) = walk_around('oidc', 25, sub { sleep 4 });
	is("$error" . scalar @$seen, scalar keys %$known, '… that runs out in the middle of a walk, which goes on with another');
	is(sql('SELECT count(id), pg_sleep(4) FROM oidc.users UNION ALL SELECT count(id), NULL FROM oidc.users') =~ tr/\n//, 1, '… and between two statements');

	my ($status, $user, $answer) = call('POST', "$base/api/auth/sign-in/email", { origin => $base }, { email => 'admin@example.com', password => 'admin-password' });
	my $admin = $answer->{headers}{'set-auth-token'} || '';
	my %rest = (api_path => '/api/auth', list_path => '/admin/list-users?sortBy=createdAt', users_pointer => '/users', total_pointer => '/total', cursor => 'offset', cursor_param => 'offset',
		size_param => 'limit', page_size => 50, get_path => '/admin/get-user?id={id}', find_path => '/admin/list-users?filterField=email&filterOperator=eq&filterValue={email}',
		email_verified_pointer => '/emailVerified', picture_pointer => '/image', blocked_pointer => '/banned', created_at_pointer => '/createdAt', updated_at_pointer => '/updatedAt');
	($status, my $all) = call('GET', "$base/api/auth/admin/list-users?limit=1000", { authorization => "Bearer $admin" });
	my %people = map { $_->{email} => $_->{id} } @{ $all->{users} };
	provider('betterauth_rest', 'rest', $base, \%rest, { token => $admin });
	contract('betterauth_rest', known => \%people, nobody => 'nobodyhasthisid', read_only => 1);
	provider('betterauth_rest_wrong', 'rest', $base, \%rest, { token => 'wrong' });
	is(state_of('SELECT count(id) FROM betterauth_rest_wrong.users'), '28000', 'betterauth_rest: a wrong key');
};

# ---- Firebase

$cases{firebase} = sub {
	my $url = 'http://127.0.0.1:' . port_of('firebase') . '/identitytoolkit.googleapis.com';
	my $accounts = "$url/v1/projects/demo-authsync/accounts";
	my %auth = (authorization => 'Bearer owner');
	my %known = map { sprintf('user%d@example.test', $_) => sprintf('id%05d', $_) } 1 .. 2300;
	my @users = map { { localId => $known{$_}, email => $_, displayName => "Mr $_" } } sort keys %known;
	while (my @some = splice @users, 0, 500) { call('POST', "$accounts:batchCreate", \%auth, { users => \@some }); }
	provider('firebase', 'firebase', $url, { project_id => 'demo-authsync' }, { token => 'owner' });
	provider('firebase_wrong', 'firebase', $url, { project_id => 'demo-authsync' }, { token => 'wrong' });
	is(state_of('SELECT count(id) FROM firebase_wrong.users'), '28000', 'firebase: a wrong key');
	contract('firebase', known => \%known, nobody => 'nobodyhasthisid',
		columns => 'email, name, blocked, email_verified, app_metadata, password', values => q{'new+one@example.test', 'New User', false, true, '{"tier": "pro"}', 'long-enough'},
		shows => q{concat_ws(' ', email, name, blocked, email_verified, app_metadata)}, is => 'new+one@example.test New User f t {"tier": "pro"}',
		set => q{name = 'Old Hand', blocked = true, app_metadata = '{"tier": "free", "n": 1}'}, becomes => 'new+one@example.test Old Hand t t {"n": 1, "tier": "free"}',
		look => sub { my ($status, $found) = call('POST', "$accounts:lookup", \%auth, { localId => [ $_[0] ] }); return $found->{users} ? $found->{users}[0]{email} : undef; });
	is(sql(q{SELECT count(*) FROM firebase.users WHERE raw ?| '{passwordHash,salt}'}), 0, 'firebase: no hash of a password comes along');
	is(state_of(q{INSERT INTO firebase.users (email, password) VALUES ('weak@example.test', 'abc')}), '22023', '… a weak password');
	is(state_of(q{INSERT INTO firebase.users (email) VALUES ('not an e-mail')}), '22023', '… an e-mail that is none');
	provider('firebase_small', 'firebase', $url, { project_id => 'demo-authsync', page_size => 100 }, { token => 'owner' });
	deletions_lose_nobody('firebase_small', 100, 60, \%known, sub { call('POST', "$accounts:delete", \%auth, { localId => $_[0] }); });
};

# ---- Cognito: moto, its signatures checked by Amazon's SDK

$cases{moto} = sub {
	my $url = 'http://127.0.0.1:' . port_of('moto');
	my $cognito = sub {
		my ($target, $body) = @_;
		return (call('POST', "$url/", { 'x-amz-target' => "AWSCognitoIdentityProviderService.$target", 'content-type' => 'application/x-amz-json-1.1',
			authorization => 'AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/cognito-idp/aws4_request, SignedHeaders=host, Signature=none' }, $body))[1];
	};
	my $iam = sub {
		return (call('POST', "$url/", { 'content-type' => 'application/x-www-form-urlencoded',
			authorization => 'AWS4-HMAC-SHA256 Credential=none/20260101/us-east-1/iam/aws4_request, SignedHeaders=host, Signature=none' }, "Version=2010-05-08&$_[0]"))[2]{content};
	};
	my $auth_after = sub { call('POST', "$url/moto-api/reset-auth", {}, shift); };

	my $pool = $cognito->('CreateUserPool', { PoolName => 'app', UsernameAttributes => ['email'],
		Schema => [ { Name => 'shade', AttributeDataType => 'String', Mutable => JSON::PP::true } ] })->{UserPool}{Id};
	my %known;
	for my $i (1 .. 150)
	{
		my $user = $cognito->('AdminCreateUser', { UserPoolId => $pool, Username => "user$i\@example.test", MessageAction => 'SUPPRESS',
			UserAttributes => [ { Name => 'email', Value => "user$i\@example.test" } ] })->{User};
		($known{"user$i\@example.test"}) = map { $_->{Value} } grep { $_->{Name} eq 'sub' } @{ $user->{Attributes} };
	}
	$iam->('Action=CreateUser&UserName=authsync');
	$iam->('Action=PutUserPolicy&UserName=authsync&PolicyName=all&PolicyDocument=%7B%22Version%22%3A%222012-10-17%22%2C%22Statement%22%3A%5B%7B%22Effect%22%3A%22Allow%22%2C%22Action%22%3A%22cognito-idp%3A%2A%22%2C%22Resource%22%3A%22%2A%22%7D%5D%7D');
	my $key = $iam->('Action=CreateAccessKey&UserName=authsync');
	my ($access) = $key =~ m{<AccessKeyId>(.*?)<};
	my ($secret) = $key =~ m{<SecretAccessKey>(.*?)<};
	$iam->('Action=CreateUser&UserName=nobody');
	my $powerless = $iam->('Action=CreateAccessKey&UserName=nobody');
	my ($other_access) = $powerless =~ m{<AccessKeyId>(.*?)<};
	my ($other_secret) = $powerless =~ m{<SecretAccessKey>(.*?)<};
	my %options = (region => 'us-east-1', user_pool_id => $pool, access_key_id => $access);
	provider('cognito', 'cognito', $url, { %options, page_size => 50 }, { secret_access_key => $secret });
	provider('cognito_wrong', 'cognito', $url, \%options, { secret_access_key => 'wrong' });
	provider('cognito_other', 'cognito', $url, { %options, access_key_id => $other_access }, { secret_access_key => $other_secret });
	$auth_after->('0');
	# Amazon says InvalidSignatureException, HTTP 400; moto HTTP 403, in XML.
	like(state_of('SELECT count(id) FROM cognito_wrong.users'), qr/^(28000|42501)$/, 'cognito: a wrong key, and so a wrong signature');
	is(state_of('SELECT count(id) FROM cognito_other.users'), '42501', '… a key that may not list');
	contract('cognito', known => \%known, nobody => '00000000-0000-4000-8000-000000000000',
		columns => 'email, name, email_verified, user_metadata', values => q{'new+one@example.test', 'New User', true, '{"shade": "blue"}'},
		shows => q{concat_ws(' ', email, name, blocked, email_verified, user_metadata)}, is => 'new+one@example.test New User f t {"shade": "blue"}',
		set => q{name = 'Old Hand', blocked = true, user_metadata = '{"shade": "red"}'}, becomes => 'new+one@example.test Old Hand t t {"shade": "red"}');
	deletions_lose_nobody('cognito', 50, 20, \%known, sub {
		$auth_after->('inf');
		my $found = $cognito->('ListUsers', { UserPoolId => $pool, Filter => "sub = \"$_[0]\"" });
		$cognito->('AdminDeleteUser', { UserPoolId => $pool, Username => $found->{Users}[0]{Username} });
	});
};

# ---- Keycloak

$cases{keycloak} = sub {
	my $url = 'http://127.0.0.1:' . port_of('keycloak');
	my $admin = sub {
		my ($method, $path, $body) = @_;
		my ($status, $token) = call('POST', "$url/realms/master/protocol/openid-connect/token", { 'content-type' => 'application/x-www-form-urlencoded' },
			'grant_type=password&client_id=admin-cli&username=admin&password=admin');
		return call($method, "$url/admin/realms$path", { authorization => "Bearer $token->{access_token}" }, $body);
	};
	my @clients = qw(authsync blind powerless);
	my %roles = (authsync => [ 'view-users', 'manage-users' ], blind => ['query-users'], powerless => []);
	my ($status, $got) = $admin->('POST', '', { realm => 'app', enabled => JSON::PP::true, accessTokenLifespan => 3,
		clients => [ map { { clientId => $_, secret => "$_-secret", serviceAccountsEnabled => JSON::PP::true, publicClient => JSON::PP::false } } @clients ],
		users => [ map { { username => "service-account-$_", enabled => JSON::PP::true, serviceAccountClientId => $_, clientRoles => { 'realm-management' => $roles{$_} } } } @clients ] });
	is($status, 201, 'keycloak: a realm is made') or return diag(json($got));
	(undef, my $profile) = $admin->('GET', '/app/users/profile');
	$admin->('PUT', '/app/users/profile', { %$profile, unmanagedAttributePolicy => 'ENABLED' });
	($status) = $admin->('POST', '/app/partialImport', { ifResourceExists => 'FAIL', users => [ map {
		{ username => "user$_\@example.test", email => "user$_\@example.test", enabled => JSON::PP::true, firstName => 'User', lastName => "$_", attributes => { nickname => ["nick$_"], tags => [ 'a', 'b' ] } } } 1 .. 230 ] });
	is($status, 200, '… and people, by its own import');
	(undef, my $all) = $admin->('GET', '/app/users?max=1000&briefRepresentation=true');
	my %known = map { $_->{email} => $_->{id} } @$all;
	is(scalar keys %known, 230, '… 230 of them');

	my %options = (realm => 'app', client_id => 'authsync', page_size => 50);
	provider('keycloak', 'keycloak', $url, \%options, { client_secret => 'authsync-secret' });
	provider('keycloak_wrong', 'keycloak', $url, \%options, { client_secret => 'wrong' });
	provider("keycloak_$_", 'keycloak', $url, { %options, client_id => $_ }, { client_secret => "$_-secret" }) for qw(blind powerless);
	provider('keycloak_realm', 'keycloak', $url, { %options, realm => 'nowhere' }, { client_secret => 'authsync-secret' });
	is(state_of('SELECT count(id) FROM keycloak_wrong.users'), '28000', 'keycloak: a wrong key');
	is(state_of('SELECT count(id) FROM keycloak_blind.users'), '42501', '… a key with query-users alone, to whom it shows nobody');
	is(state_of('SELECT count(id) FROM keycloak_powerless.users'), '42501', '… a key without a role');
	is(state_of('SELECT count(id) FROM keycloak_realm.users'), '08001', '… a realm that there is not');
	contract('keycloak', known => \%known, nobody => '00000000-0000-4000-8000-000000000000',
		columns => 'email, name, blocked, email_verified, nickname, user_metadata, password', values => q{'new+one@example.test', 'New User', false, true, 'newbie', '{"shade": ["blue"]}', 'long-enough'},
		shows => q{concat_ws(' ', email, name, blocked, email_verified, nickname, user_metadata)}, is => 'new+one@example.test New User f t newbie {"shade": ["blue"], "nickname": ["newbie"]}',
		set => q{name = 'Old Hand', blocked = true, user_metadata = '{"shade": ["red", "green"], "nickname": ["oldie"]}'}, becomes => 'new+one@example.test Old Hand t t oldie {"shade": ["red", "green"], "nickname": ["oldie"]}',
		look => sub { my ($status, $user) = $admin->('GET', "/app/users/$_[0]"); return $status == 200 ? $user->{email} : undef; });
	is(sql(q{SELECT count(*) FROM keycloak.users WHERE raw ? 'serviceAccountClientId' OR raw ->> 'username' ~ '^service-account'}), 0, 'keycloak: no service account is listed');
	(undef, my $service) = $admin->('GET', '/app/users?username=service-account-blind&exact=true');
	is(sql("SELECT count(*) FROM keycloak.users WHERE id = '$service->[0]{id}'"), 0, '… nor got by id');
	is(sql(qq{SELECT nickname, user_metadata ->> 'tags' FROM keycloak.users WHERE id = '$known{'user7@example.test'}'}), 'nick7|["a", "b"]', '… attributes come along');
	is(sql(qq{UPDATE keycloak.users SET email_verified = true WHERE id = '$known{'user7@example.test'}'; SELECT nickname, user_metadata ->> 'tags', name, email_verified FROM keycloak.users WHERE id = '$known{'user7@example.test'}'}),
		'nick7|["a", "b"]|User 7|t', '… and stay when another column is changed');

	# Who tries passwords is kept out for a while. Asked for him alone, older servers say "not enabled", the list does not.
	$admin->('PUT', '/app', { bruteForceProtected => JSON::PP::true, failureFactor => 1, waitIncrementSeconds => 900, maxFailureWaitSeconds => 900, quickLoginCheckMilliSeconds => 0 });
	my $eight = $known{'user8@example.test'};
	for (1 .. 3) { call('POST', "$url/realms/app/protocol/openid-connect/token", { 'content-type' => 'application/x-www-form-urlencoded' }, 'grant_type=password&client_id=admin-cli&username=user8@example.test&password=wrong'); }
	(undef, my $kept_out) = $admin->('GET', "/app/users/$eight");
	note('keycloak: one who is kept out for a while looks ' . ($kept_out->{enabled} ? 'enabled' : 'disabled'));
	is(sql("SELECT blocked FROM keycloak.users WHERE id = '$eight'"), 'f', 'keycloak: one who is kept out for a while is not blocked');
	sql("UPDATE keycloak.users SET nickname = 'eight' WHERE id = '$eight'");
	$admin->('DELETE', '/app/attack-detection/brute-force/users');
	is(sql("SELECT blocked, nickname FROM keycloak.users WHERE id = '$eight'"), 'f|eight', '… and no change makes it so');
	$admin->('PUT', '/app', { bruteForceProtected => JSON::PP::false });

	my ($seen, $error) = walk_around('keycloak', 60, sub { sleep 4 });
	is("$error" . scalar @$seen, 230, 'keycloak: a token that runs out in the middle of a walk');
	$admin->('PUT', '/app', { accessTokenLifespan => 300 });
	($seen, $error) = walk_around('keycloak', 60, sub { sleep 1.1; $admin->('PUT', '/app', { notBefore => int(time) }); });
	is("$error" . scalar @$seen, 230, '… and one that is revoked before it runs out');
	provider('keycloak_small', 'keycloak', $url, { %options, page_size => 20 }, { client_secret => 'authsync-secret' });
	deletions_lose_nobody('keycloak_small', 20, 15, \%known, sub { $admin->('DELETE', "/app/users/$_[0]"); });
};

# Quickest first: while they are tried, the others get ready.
for my $name (reverse @names)
{
	my ($reason, $took) = is_wanted($name) ? (undef, 0) : 'AUTHSYNC_REAL_SERVERS does not name it';
	$reason = unreachable($name, 150, \$took) unless $reason;
	SKIP:
	{
		skip "$name: $reason", 1 if $reason;
		my $began = time;
		eval { $cases{$name}->(); 1 } or fail("$name: " . $@);
		diag(sprintf '%s: ready after %.0f s, tried for %.0f s', $name, $took, time - $began);
	}
}

for my $case (@pending)
{
	finish_psql($case->{run});
	is(${ $case->{run}{out} } =~ s/\s+$//r . ${ $case->{run}{err} }, $case->{is}, sprintf '%s (%.0f s)', $case->{what}, $case->{run}{took});
}

$node->stop;
done_testing();
