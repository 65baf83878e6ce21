# Keycloak, as the contract test needs to know it: see README.md here.
{
	path => '/keycloak',
	hiding => { hide_every => 7 },
	habits => {
		'an older one' => [ { created_filter => JSON::PP::false, error_text => 'description' } ],
		'short tokens' => [ { token_ttl => 2, put_flags_only => JSON::PP::true } ],
	},
	options => { realm => 'test', client_id => 'authsync', rate_limit => 10000 },
	secrets => { client_secret => 's3cret' },
	wrong_key => { client_secret => 'n0t-the-secret' },
	less => { options => { client_id => 'authsync-view' } },
	none => { options => { client_id => 'authsync-none' } },
	blind => { options => { client_id => 'authsync-query' } },
	lost => { options => { realm => 'missing' } },
	page => 500,
	list => 'GET /keycloak/admin/realms/test/users?', api => '/keycloak/admin/', token => '/keycloak/realms/',
	create => 'POST /keycloak/admin/realms/test/users', change => 'PUT /keycloak/admin/realms/test/users/', remove => 'DELETE /keycloak/admin/realms/test/users/',
	paths => qr{^/keycloak/(realms/test/protocol/openid-connect/token|admin/realms/test/users(/[^/?]+(/reset-password)?)?)$},
	counts => 1,
	nobody_found => '[]', count_bare => 1,
	unknown_id => 'ffffffff-ffff-4fff-8fff-ffffffffffff',
	odd_id => 'f:odd/id?a=b&c=%2e%2e ü:1',
	empty => { body => '[]' },
	denied => { status => 403, body => '{"error":"HTTP 403 Forbidden"}' },
	full => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', user_metadata => { theme => ['dark'] },
	},
	expect => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => undef, last_sign_in_at => undef, deleted_at => undef,
		user_metadata => { theme => ['dark'], picture => ['https://img.example.test/a.png'], nickname => ['ana'], phoneNumber => ['+4915512345678'] }, app_metadata => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { id => $id, username => $email, email => $email, emailVerified => JSON::PP::true, enabled => JSON::PP::true, firstName => 'Raw', createdTimestamp => 1735689600000, attributes => {} };
	},
	id_key => 'id', email_at => ['email'], name_at => ['firstName'], time_at => ['createdTimestamp'], meta_at => ['attributes'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', email_verified => 'true', user_metadata => '{"a": ["1"]}' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', email_verified => 'true', phone_verified => 'true', name => 'Other Name', nickname => 'other', picture => 'https://img.example.test/b.png',
		blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => ['user_metadata'],
	metadata_lists => 1,
	invalid => { email => 'no address' },
	refusal => { status => 400, body => '{"error":"invalidPasswordMinLengthMessage","error_description":"Invalid password: minimum length 8."}' },
	unwritable => [ 'created_at', 'app_metadata', 'identities', 'password_hash' ],
};
