// The emulator of Authentication by itself, without the command line that would start it.
const { createApp } = require('./package/lib/emulator/auth/server');

createApp('demo-authsync').then((app) => app.listen(Number(process.env.PORT), '127.0.0.1'));
