# Auth0, as the contract test needs to know it: see README.md here.
{
	path => '/auth0',
	habits => {
		'50 a page, a total that stops' => [ { per_page_max => 50, total_capped => JSON::PP::true }, { page_size => 100 } ],
		'a wall at 200' => [ { window => 200 } ],
	},
	options => { client_id => 'm2m', rate_limit => 10000 },
	secrets => { client_secret => 's3cret' },
	wrong_key => { client_secret => 'n0t-the-secret' },
	less => { options => { client_id => 'm2m-read' }, scope => qr/create:users/ },
	none => { options => { client_id => 'm2m-none' } },
	page => 100,
	list => 'GET /auth0/api/v2/users?', api => '/auth0/api/v2/', token => '/auth0/oauth/token',
	create => 'POST /auth0/api/v2/users', change => 'PATCH /auth0/api/v2/users/', remove => 'DELETE /auth0/api/v2/users/',
	paths => qr{^/auth0/(oauth/token|api/v2/(users|users-by-email)(/[^/?]+)?)$},
	nobody_found => '[]',
	unknown_id => 'auth0|unknown',
	odd_id => 'auth0|odd/id?a=b&c=%2e%2e ü',
	new_id => 'auth0|chosen1', 
	empty => { body => '{"start":0,"limit":100,"length":0,"total":40,"users":[]}' },
	denied => { status => 403, body => '{"statusCode":403,"error":"Forbidden","message":"Insufficient scope, expected any of: read:users","errorCode":"insufficient_scope"}', scope => qr/read:users/ },
	full => {
		id => 'auth0|full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z',
		last_sign_in_at => '2025-05-06T07:08:09.123Z', user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => { tier => 'pro' }, extra => { phone_verified => JSON::PP::true },
	},
	expect => {
		id => 'auth0|full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, phone_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef, user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => { tier => 'pro' },
	},
	native => sub {
		my ($id, $email) = @_;
		return { user_id => $id, email => $email, email_verified => JSON::PP::true, name => 'Raw', created_at => '2025-01-01T00:00:00.000Z', updated_at => '2025-01-01T00:00:00.000Z', identities => [], user_metadata => {} };
	},
	id_key => 'user_id', email_at => ['email'], name_at => ['name'], time_at => ['created_at'], meta_at => ['user_metadata'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One', email_verified => 'true', user_metadata => '{"a": "1"}' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', email_verified => 'true', name => 'Other Name', nickname => 'other', picture => 'https://img.example.test/b.png',
		blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => [ 'user_metadata', 'app_metadata' ],
	invalid => { password => 'short', email => 'no address' },
	unwritable => [ 'created_at', 'last_sign_in_at', 'identities', 'password_hash' ],
};
