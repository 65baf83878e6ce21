# WorkOS, as the contract test needs to know it: see README.md here.
{
	path => '/workos',
	habits => {
		'after a deleted user: an error' => [ { after_deleted => 'error', duplicate_status => 422 } ],
	},
	options => { rate_limit => 10000 },
	secrets => { api_key => 'sk_test_default' },
	wrong_key => { api_key => 'sk_test_wrong' },
	less => { secrets => { api_key => 'sk_test_read' } },
	page => 100,
	list => 'GET /workos/user_management/users?', api => '/workos/user_management/',
	create => 'POST /workos/user_management/users', change => 'PUT /workos/user_management/users/', remove => 'DELETE /workos/user_management/users/',
	paths => qr{^/workos/user_management/users(/[^/?]+)?$},
	endless => sub { return { object => 'list', data => [@_] }; },
	unknown_id => 'user_unknown',
	odd_id => 'user_odd/id?a=b&c=%2e%2e ü',
	denied => { status => 403, body => '{"message":"You are not allowed","code":"forbidden"}' },
	full => {
		id => 'user_full1', email => 'full.user+tag@example.test', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', picture => 'https://img.example.test/a.png',
		created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z', last_sign_in_at => '2025-05-06T07:08:09.123Z', user_metadata => { theme => 'dark' },
	},
	expect => {
		id => 'user_full1', email => 'full.user+tag@example.test', phone => undef, email_verified => JSON::PP::true, phone_verified => undef, name => 'Ana Maria Lopez', nickname => undef,
		picture => 'https://img.example.test/a.png', blocked => undef, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef, user_metadata => { theme => 'dark' }, app_metadata => undef, identities => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { object => 'user', id => $id, email => $email, first_name => 'Raw', last_name => undef, email_verified => JSON::PP::true, profile_picture_url => undef, metadata => {},
			created_at => '2025-01-01T00:00:00.000Z', updated_at => '2025-01-01T00:00:00.000Z', last_sign_in_at => undef };
	},
	id_key => 'id', email_at => ['email'], name_at => ['first_name'], time_at => ['created_at'], meta_at => ['metadata'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', email_verified => 'true', user_metadata => '{"a": "1"}' },
	writes => { email => 'changed@example.test', email_verified => 'true', name => 'Other Name', password => 'Canary-0ther-word' },
	metadata => ['user_metadata'],
	metadata_flat => 1,
	invalid => { email => 'no address' },
	unwritable => [ 'phone', 'nickname', 'picture', 'blocked', 'created_at', 'app_metadata', 'identities', 'password_hash' ],
};
