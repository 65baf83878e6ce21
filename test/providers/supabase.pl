# Supabase Auth, as the contract test needs to know it: see README.md here.
my $full = '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d';
{
	path => '/supabase',
	habits => {
		'ties shuffled, times with an offset' => [ { shuffle_ties => JSON::PP::true, tz_offset => '+05:30' } ],
		'no cut of nanoseconds' => [ { nanos => JSON::PP::false } ],
		'gateway' => [ { gateway => JSON::PP::true } ],
	},
	secrets => { service_key => AuthsyncDouble::service_key() },
	wrong_key => { service_key => 'eyJhbGciOiJIUzI1NiJ9.eyJyb2xlIjoic2VydmljZV9yb2xlIn0.bm90LXRoZS1yaWdodC1vbmU' },
	page => 1000,
	list => 'GET /supabase/auth/v1/admin/users?', api => '/supabase/auth/v1/admin',
	create => 'POST /supabase/auth/v1/admin/users', change => 'PUT /supabase/auth/v1/admin/users/', remove => 'DELETE /supabase/auth/v1/admin/users/',
	paths => qr{^/supabase/auth/v1/admin/users(/[^/?]+)?$},
	counts => 1,
	unknown_id => 'ffffffff-ffff-4fff-8fff-ffffffffffff',
	new_id => 'aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee',
	empty => { body => '{"users":[],"aud":"authenticated"}', headers => { 'X-Total-Count' => '40' } },
	denied => { status => 403, body => '{"code":403,"error_code":"not_admin","msg":"User not allowed"}' },
	full => {
		id => $full, email => 'full.user+tag@example.test', phone => '4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891234Z', updated_at => '2025-04-05T06:07:08.912345Z',
		last_sign_in_at => '2025-05-06T07:08:09.123456Z', user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] } }, app_metadata => { tier => 'pro' },
	},
	expect => {
		id => $full, email => 'full.user+tag@example.test', phone => '4915512345678', email_verified => JSON::PP::true, phone_verified => JSON::PP::false, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891234+00:00', updated_at => '2025-04-05T06:07:08.912345+00:00',
		last_sign_in_at => '2025-05-06T07:08:09.123456+00:00', deleted_at => undef,
		user_metadata => { theme => 'dark', nested => { a => [ 1, undef ] }, full_name => 'Ana Maria Lopez', avatar_url => 'https://img.example.test/a.png', user_name => 'ana' },
		app_metadata => { tier => 'pro', provider => 'email', providers => [ 'email', 'phone' ] },
	},
	native => sub {
		my ($id, $email) = @_;
		return { id => $id, aud => 'authenticated', role => 'authenticated', email => $email, phone => '', email_confirmed_at => '2025-01-01T00:00:00Z', app_metadata => {}, user_metadata => { full_name => 'Raw' },
			created_at => '2025-01-01T00:00:00Z', updated_at => '2025-01-01T00:00:00Z' };
	},
	id_key => 'id', email_at => ['email'], name_at => [ 'user_metadata', 'full_name' ], time_at => ['created_at'], meta_at => ['user_metadata'],
	raw_id => sub { sprintf '%08x-0000-4000-8000-00000000beef', shift },
	new => { email => 'new@example.test', password => 'Canary-Pa55word', email_verified => 'true', user_metadata => '{"a": "1"}' },
	writes => {
		email => 'changed@example.test', phone => '4915500000001', email_verified => 'true', blocked => 'true', password => 'Canary-0ther-word',
	},
	metadata => [ 'user_metadata', 'app_metadata' ],
	metadata_has => { app_metadata => [ 'provider', 'providers' ] },
	invalid => { email => 'no address', phone => 'no number' },
	unwritable => [ 'name', 'nickname', 'picture', 'created_at', 'identities', 'raw' ],
};
