# A SCIM 2.0 server, as the contract test needs to know it: see README.md here.
{
	path => '/scim/v2',
	habits => {
		'begins again past the end' => [ { restart_past_end => JSON::PP::true, items_per_page_asked => JSON::PP::true, location => JSON::PP::false } ],
		'50 at most, eq only' => [ { max_count => 50, only_eq => JSON::PP::true, number_status => JSON::PP::true }, { filter_changes => 'off', page_size => 100 } ],
		'other letters' => [ { lower_keys => JSON::PP::true, omit_empty => JSON::PP::true, string_active => JSON::PP::true, no_last_modified => JSON::PP::true, patch_204 => JSON::PP::true, etag => JSON::PP::true }, { filter_changes => 'off' } ],
		'cursors' => [ { cursor => JSON::PP::true }, { paging => 'cursor' } ],
		'no PATCH' => [ { }, { patch => 'off' } ],
	},
	options => { filter_changes => 'on', rate_limit => 10000 },
	secrets => { token => 'scim-test-token' },
	wrong_key => { token => 'scim-wrong-token' },
	less => { secrets => { token => 'scim-read-token' } },
	page => 200,
	list => 'GET /scim/v2/Users?', api => '/scim/v2/',
	create => 'POST /scim/v2/Users', change => 'PATCH /scim/v2/Users/', remove => 'DELETE /scim/v2/Users/',
	paths => qr{^/scim/v2/(ServiceProviderConfig|Users(/[^/?]+)?)$},
	counts => 1,
	unknown_id => 'ffffffff-ffff-4fff-8fff-ffffffffffff',
	odd_id => 'odd/id?a=b&c=%2e%2e ü',
	empty => { body => '{"schemas":["urn:ietf:params:scim:api:messages:2.0:ListResponse"],"totalResults":40,"startIndex":1,"itemsPerPage":0,"Resources":[]}' },
	denied => { status => 403, body => '{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"403","detail":"Not allowed"}' },
	full => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891Z', updated_at => '2025-04-05T06:07:08.912Z',
	},
	expect => {
		id => '4b1d0c5a-7f3e-4a4b-9c1d-2e3f4a5b6c7d', email => 'full.user+tag@example.test', phone => '+4915512345678', email_verified => undef, phone_verified => undef, name => 'Ana Maria Lopez', nickname => 'ana',
		picture => 'https://img.example.test/a.png', blocked => JSON::PP::true, created_at => '2025-03-04T05:06:07.891+00:00', updated_at => '2025-04-05T06:07:08.912+00:00', last_sign_in_at => undef, deleted_at => undef,
	},
	native => sub {
		my ($id, $email) = @_;
		return { schemas => ['urn:ietf:params:scim:schemas:core:2.0:User'], id => $id, userName => $email, displayName => 'Raw', active => JSON::PP::true, emails => [ { value => $email, primary => JSON::PP::true } ],
			meta => { resourceType => 'User', created => '2025-01-01T00:00:00.000Z', lastModified => '2025-01-01T00:00:00.000Z' } };
	},
	id_key => 'id', email_at => [ 'emails', 0, 'value' ], name_at => ['displayName'], time_at => [ 'meta', 'created' ], meta_at => ['extra'],
	new => { email => 'new@example.test', password => 'Canary-Pa55word', name => 'New One' },
	writes => {
		email => 'changed@example.test', phone => '+4915500000001', name => 'Other Name', nickname => 'other', picture => 'https://img.example.test/b.png', blocked => 'true', password => 'Canary-0ther-word',
	},
	refusal => { status => 400, body => '{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"400","scimType":"invalidValue","detail":"The password is too weak"}' },
	unwritable => [ 'email_verified', 'created_at', 'user_metadata', 'app_metadata', 'identities', 'password_hash' ],
};
