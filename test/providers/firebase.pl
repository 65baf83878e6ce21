# Firebase Authentication, as the contract test needs to know it: see README.md here.
my ($key, $err);
IPC::Run::run([ 'openssl', 'genpkey', '-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048' ], '>', \$key, '2>', \$err) or die "openssl: $err";
{
	path => '/firebase',
	habits => {
		'an empty page has users' => [ { omit_empty => JSON::PP::false } ],
	},
	options => { project_id => 'p1', client_email => 'authsync@p1.iam.gserviceaccount.com', token_url => '{base}/firebase/token', rate_limit => 10000 },
	secrets => { private_key => $key },
	wrong_key => { token => 'ya29.wr0ng-token' },
	page => 1000,
	list => 'GET /firebase/v1/projects/p1/accounts:batchGet', api => '/firebase/v1/', token => '/firebase/token',
	create => 'POST /firebase/v1/projects/p1/accounts', create_only => qr{/accounts$}, change => 'POST /firebase/v1/projects/p1/accounts:update', remove => 'POST /firebase/v1/projects/p1/accounts:delete',
	paths => qr{^/firebase/(token|v1/projects/p1/accounts(:\w+)?)$},
	counts => 1,
	unknown_id => 'unknownunknownunknownunknown',
	odd_id => 'odd/id?a=b&c=%2e%2e ü',
	nobody => '{}',
	empty => { body => '{"kind":"identitytoolkit#DownloadAccountResponse"}' },
	denied => { status => 403, body => '{"error":{"code":403,"message":"Request had insufficient authentication scopes.","status":"PERMISSION_DENIED"}}' },
	full => {
		id => 'full1full1full1full1full1fu', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', last_sign_in_at => '2025-05-06T07:08:09.123Z', app_metadata => { tier => 'pro', nested => { a => [ 1, undef ] } },
	},
	expect => {
		id => 'full1full1full1full1full1fu', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, phone_verified => undef, name => 'Ana Maria Lopez', nickname => undef,
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => undef, last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef,
		user_metadata => undef, app_metadata => { tier => 'pro', nested => { a => [ 1, undef ] } },
	},
	native => sub {
		my ($id, $email) = @_;
		return { localId => $id, email => $email, displayName => 'Raw', createdAt => '1735689600000' };
	},
	id_key => 'localId', email_at => ['email'], name_at => ['displayName'], time_at => ['createdAt'], meta_at => ['extra'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', email_verified => 'true', app_metadata => '{"a": "1"}' },
	new_id => 'chosenchosenchosenchosen1234',
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', email_verified => 'true', name => 'Other Name', picture => 'https://img.example.test/b.png', blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => ['app_metadata'],
	invalid => { password => 'short', email => 'no address' },
	unwritable => [ 'nickname', 'created_at', 'user_metadata', 'identities', 'password_hash' ],
};
