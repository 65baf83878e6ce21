# Clerk, as the contract test needs to know it: see README.md here.
{
	path => '/clerk',
	habits => {
		'new version' => [ { new_version => JSON::PP::true, deep_offset => 30 } ],
	},
	options => { rate_limit => 10000 },
	secrets => { secret_key => 'sk_test_double' },
	wrong_key => { secret_key => 'sk_test_wrong' },
	less => { secrets => { secret_key => 'sk_test_read' } },
	page => 500,
	list => 'GET /clerk/v1/users?', api => '/clerk/v1/',
	create => 'POST /clerk/v1/users', change => 'PATCH /clerk/v1/users/', remove => 'DELETE /clerk/v1/users/',
	paths => qr{^/clerk/v1/(users|email_addresses|phone_numbers)(/[^/?]+(/(metadata|ban|unban|profile_image))?)?$},
	counts => 1,
	nobody_found => '[]',
	unknown_id => 'user_unknown',
	odd_id => 'user_odd/id?a=b&c=%2e%2e ü',
	empty => { body => '[]' },
	denied => { status => 403, body => '{"errors":[{"message":"forbidden","code":"authorization_invalid"}]}' },
	full => {
		id => 'user_full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', username => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z',
		last_sign_in_at => '2025-05-06T07:08:09.123Z', user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => { tier => 'pro' },
		extra => { other_emails => [ [ 'other@example.test', JSON::PP::false ] ] },
	},
	expect => {
		id => 'user_full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, phone_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef, user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => { tier => 'pro' },
	},
	native => sub {
		my ($id, $email) = @_;
		return { id => $id, object => 'user', username => undef, first_name => 'Raw', last_name => undef, primary_email_address_id => 'idn_1',
			email_addresses => [ { id => 'idn_1', email_address => $email, verification => { status => 'verified' } } ], phone_numbers => [], public_metadata => {}, unsafe_metadata => {},
			external_accounts => [], banned => JSON::PP::false, created_at => 1735689600000, updated_at => 1735689600000, last_sign_in_at => undef };
	},
	id_key => 'id', email_at => [ 'email_addresses', 0, 'email_address' ], name_at => ['first_name'], time_at => ['created_at'], meta_at => ['unsafe_metadata'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', user_metadata => '{"a": "1"}' },
	writes => {
		name => 'Other Name', nickname => 'other', blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => [ 'user_metadata', 'app_metadata' ],
	invalid => { password => 'short' },
	# The double has no calls for addresses and phones.
	untried => { 'update: exists' => 'the double has no call to add an address' },
	unwritable => [ 'email_verified', 'picture', 'created_at', 'identities', 'password_hash' ],
};
