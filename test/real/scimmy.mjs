// SCIMMY over a Map: base path /scim/v2.
import { randomUUID } from 'node:crypto';
import express from 'express';
import SCIMMY from 'scimmy';
import Routers from 'scimmy-routers';

const users = new Map();

function known(id) {
	const user = users.get(id);
	if (!user) throw new SCIMMY.Types.Error(404, null, `Resource ${id} not found`);
	return user;
}

SCIMMY.Config.set({ patch: true, sort: true, etag: false, bulk: false, filter: { supported: true, maxResults: 200 } });
SCIMMY.Resources.declare(SCIMMY.Resources.User, {
	ingress(resource, instance) {
		const now = new Date().toISOString();
		const before = resource.id ? known(resource.id) : { id: randomUUID(), meta: { created: now } };
		const { schemas, ...given } = JSON.parse(JSON.stringify(instance));
		for (const other of users.values())
			if (other.id !== before.id && other.userName.toLowerCase() === given.userName.toLowerCase())
				throw new SCIMMY.Types.Error(409, 'uniqueness', `userName ${given.userName} is taken`);
		const user = { ...given, id: before.id, meta: { created: before.meta.created, lastModified: now } };
		users.set(user.id, user);
		return user;
	},
	egress(resource) {
		if (resource.id) return known(resource.id);
		const all = [...users.values()];
		return resource.filter ? resource.filter.match(all) : all;
	},
	degress(resource) {
		known(resource.id);
		users.delete(resource.id);
	},
});

const app = express();
app.use('/scim/v2', new Routers({
	type: 'bearer',
	handler(request) {
		if (request.header('Authorization') !== 'Bearer scimmy-token') throw new Error('Authorization required');
		return 'client';
	},
}));
app.listen(Number(process.env.PORT), '127.0.0.1');
