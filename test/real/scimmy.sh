# shellcheck shell=bash disable=SC2154,SC2164
# SCIMMY, a SCIM 2.0 server as a library, behind its own routers; what keeps the users
# is scimmy.mjs. From npm, 6 MB; with express 5 it loses its paging. Token: "scimmy-token".
version=1.3.5

obtain()
{
	need_node
	npm_install "scimmy@$version" scimmy-routers@1.3.2 express@4.22.3
}

start()
{
	need_node
	cp "$here/scimmy.mjs" .
	exec node scimmy.mjs
}
