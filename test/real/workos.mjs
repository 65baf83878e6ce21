// WorkOS's emulator. It has no option for the address and would listen on all of them.
import net from 'node:net';

const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, ...rest) {
	return listen.call(this, port, '127.0.0.1', ...rest.filter((arg) => typeof arg === 'function'));
};

const { createEmulator } = await import('./package/dist/emulate/index.js');
const apiKeys = {};
for (const key of ['default', 'setup', 'flood', 'wait']) apiKeys[`sk_test_${key}`] = { environment: 'test' };
await createEmulator({ port: Number(process.env.PORT), seed: { apiKeys } });
