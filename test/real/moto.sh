# shellcheck shell=bash disable=SC2154,SC2164
# moto, a double of Amazon's services that the users of its SDK test with; here for
# Cognito. From PyPI, 140 MB with the SDK; needs Python's venv. Once told to by POST
# /moto-api/reset-auth it checks signatures, with the SDK's own code. In memory.
version=5.2.1

obtain()
{
	python3 -m venv venv >&2 || cannot "needs python3 with venv"
	venv/bin/python -m pip --disable-pip-version-check -q install "moto[cognitoidp]==$version" flask==3.1.3 flask-cors==6.0.5 \
		werkzeug==3.1.9 boto3==1.44.8 botocore==1.44.8 >&2 || cannot "pip could not install moto"
}

start()
{
	exec venv/bin/python -m moto.server -H 127.0.0.1 -p "$PORT"
}
