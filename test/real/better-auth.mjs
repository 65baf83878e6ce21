// PORT   Better Auth: /api/auth/admin/…, and SCIM at /api/auth/scim/v2 with the token in SCIM_TOKEN
// PORT2  the same SCIM server for the tokens of
// PORT3  oidc-provider: POST /token, client "m2m", secret "m2m-secret"; they live for TTL seconds
import http from 'node:http';
import { betterAuth } from 'better-auth';
import { memoryAdapter } from 'better-auth/adapters/memory';
import { toNodeHandler } from 'better-auth/node';
import { admin, bearer } from 'better-auth/plugins';
import { scim } from '@better-auth/scim';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';

const [port, port2, port3] = [process.env.PORT, process.env.PORT2, process.env.PORT3].map(Number);
const ttl = Number(process.env.TTL ?? 3);
const issuer = `http://127.0.0.1:${port3}`;
const connections = [{
	id: 'connection',
	credentials: [{ type: 'bearer', id: 'credential', token: process.env.SCIM_TOKEN ?? 'a-scim-token-of-at-least-thirty-two-bytes' }],
}];

// The adapter wants every table to be there.
const tables = { user: [], session: [], account: [], verification: [], rateLimit: [] };
for (const [key, table] of Object.entries(scim({ connections }).schema)) tables[table.modelName ?? key] = [];

function auth(at, authentication) {
	return betterAuth({
		baseURL: `http://127.0.0.1:${at}`,
		secret: 'not-a-secret-but-long-enough-for-this',
		telemetry: { enabled: false },
		rateLimit: { enabled: false },
		database: memoryAdapter(tables),
		emailAndPassword: { enabled: true },
		plugins: [admin(), bearer(), scim({ connections, ...(authentication && { authentication }) })],
	});
}

function serve(at, instance) {
	http.createServer(toNodeHandler(instance)).listen(at, '127.0.0.1');
}

const oidc = new Provider(issuer, {
	clients: [{
		client_id: 'm2m', client_secret: 'm2m-secret', grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
		token_endpoint_auth_method: process.env.CLIENT_AUTH ?? 'client_secret_basic',
	}],
	features: {
		clientCredentials: { enabled: true },
		devInteractions: { enabled: false },
		resourceIndicators: {
			enabled: true,
			defaultResource: () => 'urn:scim',
			getResourceServerInfo: () => ({ scope: 'scim', accessTokenTTL: ttl, accessTokenFormat: 'jwt' }),
		},
	},
	ttl: { ClientCredentials: ttl },
});
oidc.listen(port3, '127.0.0.1');

const keys = createRemoteJWKSet(new URL(`${issuer}/jwks`));
serve(port2, auth(port2, {
	async verifyBearerToken({ token }) {
		try {
			const { payload } = await jwtVerify(token, keys, { issuer });
			return {
				connectionId: 'connection', credentialId: payload.client_id, expiresAt: new Date(payload.exp * 1000),
				scopes: ['scim.users.read', 'scim.users.write'],
			};
		} catch {
			return null;
		}
	},
}));

const first = auth(port);
await first.api.signUpEmail({ body: { email: 'admin@example.com', password: 'admin-password', name: 'Admin' } });
tables.user[0].role = 'admin';
serve(port, first);
