# An API that the options alone describe, as the contract test needs to know it: see README.md here.
{
	path => '/rest',
	habits => {
		'7 at most' => [ { max_page => 7 } ],
		'next is a url' => [ { next_style => 'url' }, { users_pointer => '/data/users', total_pointer => undef, cursor => 'token', cursor_param => 'page_token', cursor_pointer => '/next', size_param => 'limit', find_path => undef } ],
		'next is a header' => [ { next_style => 'link' }, { users_pointer => '/data/users', total_pointer => undef, cursor => 'link', cursor_param => undef, size_param => 'limit', find_path => undef } ],
		'next is the last id' => [ { next_style => 'last_id' }, { users_pointer => '/data/users', total_pointer => undef, cursor => 'token', cursor_param => 'page_token', cursor_pointer => '/next_page_token', size_param => 'limit', find_path => undef } ],
	},
	options => {
		list_path => '/users', get_path => '/users/{id}', find_path => '/users?email={email}&offset=0&limit=50', create_path => '/users', update_path => '/users/{id}', delete_path => '/users/{id}',
		users_pointer => '/items', total_pointer => '/total', cursor => 'offset', cursor_param => 'offset', size_param => 'limit',
		blocked_pointer => '!/active', blocked_field => '!active', last_sign_in_at_pointer => '/last_login_at', user_metadata_pointer => '/attributes', user_metadata_field => 'attributes',
		rate_limit => 10000,
	},
	# The other ways to page; each is walked too.
	variants => {
		page => { users_pointer => '/users', total_pointer => '/total', cursor => 'page', cursor_param => 'page', size_param => 'per_page', find_path => undef },
		token => { users_pointer => '/data/users', total_pointer => undef, cursor => 'token', cursor_param => 'page_token', cursor_pointer => '/next_page_token', size_param => 'limit', find_path => undef },
	},
	secrets => { token => 'rest-test-token' },
	wrong_key => { token => 'rest-wrong-token' },
	less => { secrets => { token => 'rest-read-token' } },
	page => 100,
	list => 'GET /rest/users?', api => '/rest/users',
	create => 'POST /rest/users', change => 'PATCH /rest/users/', remove => 'DELETE /rest/users/',
	paths => qr{^/rest/users(/[^/?]+)?$},
	unknown_id => 'u_unknown',
	odd_id => 'odd/id?a=b&c=%2e%2e ü',
	empty => { body => '{"items":[],"offset":0,"limit":100,"total":40}' },
	denied => { status => 403, body => '{"error":{"code":"forbidden","message":"The token may not do that"}}' },
	full => {
		id => 'u_full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z',
		last_sign_in_at => '2025-05-06T07:08:09.123Z', user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } },
	},
	expect => {
		id => 'u_full1', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, phone_verified => undef, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123+00:00', deleted_at => undef, user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { id => $id, email => $email, email_verified => JSON::PP::true, name => 'Raw', active => JSON::PP::true, created_at => '2025-01-01T00:00:00.000Z', updated_at => '2025-01-01T00:00:00.000Z', attributes => {} };
	},
	id_key => 'id', email_at => ['email'], name_at => ['name'], time_at => ['created_at'], meta_at => ['attributes'],
	new => { email => 'new@example.test', name => 'New One', email_verified => 'true', user_metadata => '{"a": "1"}' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', email_verified => 'true', name => 'Other Name', nickname => 'other', picture => 'https://img.example.test/b.png', blocked => 'true',
	},
	metadata => ['user_metadata'],
	invalid => { email => 'no address' },
	unwritable => [ 'created_at', 'identities' ],
};
