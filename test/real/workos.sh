# shellcheck shell=bash disable=SC2154,SC2164
# WorkOS's own emulator of its API, made for the tests of its customers. It is a part
# of their command line, package "workos" of npm; with all that this depends on 317 MB,
# of which the emulator uses two packages, 11 MB. Nothing but Node is needed.
# Key sk_test_default; keys sk_test_flood and sk_test_wait are there to be throttled:
# each has 1,000 requests a minute.
version=0.14.0

obtain()
{
	need_node
	npm_unpack "workos@$version"
	npm_install hono@4.13.19 @hono/node-server@1.19.19
}

start()
{
	need_node
	cp "$here/workos.mjs" .
	exec node workos.mjs
}
