# shellcheck shell=bash disable=SC2154,SC2164
# Better Auth, an auth server as a library, with its admin plugin and its SCIM server;
# and oidc-provider, a certified OAuth 2 server, whose tokens of a few seconds the SCIM
# server takes. From npm, 38 MB. --legacy-peer-deps, for the plugin names another
# version of better-call. In memory. better-auth.mjs says what is where.
version=1.7.5

obtain()
{
	need_node
	npm_install --legacy-peer-deps "better-auth@$version" "@better-auth/scim@$version" better-call@1.4.0 oidc-provider@9.13.3 jose@6.2.18
}

start()
{
	need_node
	cp "$here/better-auth.mjs" .
	exec node better-auth.mjs
}
