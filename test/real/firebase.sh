# shellcheck shell=bash disable=SC2154,SC2164
# Google's emulator of Firebase Authentication, a part of its command line: package
# "firebase-tools" of npm, 240 MB and a minute with all that it depends on. What the
# emulator's own modules ask for is a part of that, 60 MB; its versions are
# taken from the package's own list. No Java, no login, no network once it is here.
# Token: "owner". Any project is there.
version=15.34.2

obtain()
{
	need_node
	npm_unpack "firebase-tools@$version"
	node - <<-'EOF'
		const fs = require('fs');
		const all = JSON.parse(fs.readFileSync('package/package.json')).dependencies;
		const used = ['@inquirer/prompts', 'abort-controller', 'ajv', 'ajv-formats', 'body-parser', 'colorette', 'configstore',
			'cors', 'exegesis', 'exegesis-express', 'express', 'form-data', 'fs-extra', 'gaxios', 'glob', 'google-auth-library',
			'js-yaml', 'jsonwebtoken', 'lodash', 'lsofi', 'minimatch', 'node-fetch', 'open', 'ora', 'portfinder', 'progress',
			'retry', 'semver', 'tcp-port-used', 'tmp', 'triple-beam', 'undici', 'winston', 'winston-transport', 'yaml'];
		const dependencies = {};
		for (const name of used) if (all[name]) dependencies[name] = all[name];
		fs.writeFileSync('package.json', JSON.stringify({ private: true, dependencies }));
	EOF
	npm_install
}

start()
{
	need_node
	cp "$here/firebase.cjs" .
	exec node firebase.cjs
}
