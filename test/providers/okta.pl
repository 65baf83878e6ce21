# Okta, as the contract test needs to know it: see README.md here.
{
	path => '/okta',
	habits => {
		'times of change are looked at' => [ { if_match => JSON::PP::true } ],
	},
	options => { rate_limit => 10000 },
	secrets => { token => 'okta-test-token' },
	wrong_key => { token => 'okta-wrong-token' },
	less => { secrets => { token => 'okta-read-token' } },
	page => 200,
	list => 'GET /okta/api/v1/users?', api => '/okta/api/v1/',
	create => 'POST /okta/api/v1/users?', change => 'POST /okta/api/v1/users/', remove => 'DELETE /okta/api/v1/users/',
	paths => qr{^/okta/api/v1/users(/[^/?]+(/lifecycle/\w+)?)?$},
	nobody_found => '[]',
	unknown_id => '00uunknown',
	odd_id => '00u/odd?a=b&c=%2e%2e ü',
	denied => { status => 403, body => '{"errorCode":"E0000006","errorSummary":"You do not have permission to perform the requested action"}' },
	full => {
		id => '00ufull1', email => 'full.user+tag@example.test', phone => '+4915512345678', name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z',
		last_sign_in_at => '2025-05-06T07:08:09.123Z', user_metadata => { theme => 'dark' },
	},
	expect => {
		id => '00ufull1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => undef, phone_verified => undef, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => undef, blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef, user_metadata => { theme => 'dark', profileUrl => 'https://img.example.test/a.png' }, app_metadata => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { id => $id, status => 'ACTIVE', created => '2025-01-01T00:00:00.000Z', lastUpdated => '2025-01-01T00:00:00.000Z', lastLogin => undef,
			profile => { login => $email, email => $email, firstName => 'Raw', lastName => 'User', displayName => 'Raw' } };
	},
	list_filters => 1,
	id_key => 'id', email_at => [ 'profile', 'email' ], name_at => [ 'profile', 'displayName' ], time_at => ['created'], meta_at => [ 'profile', 'extra' ],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', user_metadata => '{"title": "Dr"}' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', name => 'Other Name', nickname => 'other', blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => ['user_metadata'],
	metadata_flat => 1,
	refusal => { status => 400, body => '{"errorCode":"E0000001","errorSummary":"Api validation failed: password","errorCauses":[{"errorSummary":"password: Password requirements were not met."}]}' },
	unwritable => [ 'email_verified', 'picture', 'created_at', 'app_metadata', 'identities', 'password_hash' ],
};
