# Amazon Cognito, as the contract test needs to know it: see README.md here.
{
	path => '/cognito',
	habits => {
		'long names of errors' => [ { type_prefix => JSON::PP::true } ],
		'errors in a header' => [ { type_header => JSON::PP::true, short_pages => JSON::PP::false } ],
	},
	options => { region => 'eu-central-1', user_pool_id => 'eu-central-1_Test', access_key_id => 'AKIDTEST', rate_limit => 10000 },
	settings => { verify_sigv4 => JSON::PP::true },
	secrets => { secret_access_key => 's3cret' },
	wrong_key => { secret_access_key => 'n0t-the-secret' },
	none => { options => { access_key_id => 'AKIDDENIED' } },
	lost => { options => { user_pool_id => 'eu-central-1_missing' } },
	page => 60,
	list => 'POST /cognito/', api => '/cognito/', one_url => 1,
	create => 'POST /cognito/', change => 'POST /cognito/', remove => 'POST /cognito/', call => 'x-amz-target',
	paths => qr{^/cognito/$},
	unknown_id => 'ffffffff-ffff-4fff-8fff-ffffffffffff',
	throttled => { status => 400, body => '{"__type":"TooManyRequestsException","message":"Rate exceeded"}', headers => {} },
	broken => { status => 500, body => '{"__type":"InternalErrorException","message":"Something went wrong"}' },
	denied => { status => 400, body => '{"__type":"AccessDeniedException","message":"User: arn:aws:iam::1:user/x is not authorized to perform: cognito-idp:ListUsers"}', scope => qr/cognito-idp:ListUsers/ },
	full => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z', user_metadata => { theme => 'dark' }, extra => { login => 'ana.lopez' },
	},
	expect => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => JSON::PP::true, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00', last_sign_in_at => undef, deleted_at => undef,
		user_metadata => { theme => 'dark' }, app_metadata => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { Username => $id, Attributes => [ { Name => 'sub', Value => $id }, { Name => 'email', Value => $email }, { Name => 'name', Value => 'Raw' } ], UserCreateDate => 1735689600.5, UserLastModifiedDate => 1735689600.5,
			Enabled => JSON::PP::true, UserStatus => 'CONFIRMED' };
	},
	id_key => 'Username', id_at => [ 'Attributes', 0, 'Value' ], email_at => [ 'Attributes', 1, 'Value' ], name_at => [ 'Attributes', 2, 'Value' ], time_at => ['UserCreateDate'], meta_at => ['Extra'],
	new => { email => 'new@example.test', name => 'New One', email_verified => 'true', user_metadata => '{"a": "1"}' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', email_verified => 'true', name => 'Other Name', nickname => 'other', picture => 'https://img.example.test/b.png', blocked => 'true',
	},
	metadata => ['user_metadata'],
	metadata_flat => 1,
	invalid => {},
	refusal => { status => 400, body => '{"__type":"InvalidPasswordException","message":"Password did not conform with policy: Password not long enough"}' },
	unwritable => [ 'created_at', 'app_metadata', 'identities', 'password_hash' ],
};
