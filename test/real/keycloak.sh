# shellcheck shell=bash disable=SC2154,SC2164
# Keycloak itself: the distribution, org.keycloak:keycloak-quarkus-dist of Maven
# Central, 177 MB. Java 17 or later, Maven to fetch it, Python to unpack it. Development
# mode, database in memory. Administrator of realm master: admin, password admin.
version=26.7.3
sha256=27a6535553c3cdcd083872ba40629efafb3475e3b758e0c6f691395561dd0f1f

need_java()
{
	local major
	command -v java >/dev/null || cannot "needs java"
	major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
	[ "${major:-0}" -ge 17 ] || cannot "needs Java 17 or later, here is ${major:-another}"
}

obtain()
{
	need_java
	command -v mvn >/dev/null || cannot "needs Maven"
	mvn -q -B dependency:copy -Dartifact="org.keycloak:keycloak-quarkus-dist:$version:zip" -DoutputDirectory="$PWD" >mvn.log 2>&1 ||
		cannot "Maven could not fetch the distribution"
	python3 "$here/unpack.py" "keycloak-quarkus-dist-$version.zip" "$sha256" || cannot "the distribution is another one"
}

start()
{
	need_java
	cd "keycloak-$version"
	export KC_BOOTSTRAP_ADMIN_USERNAME=admin KC_BOOTSTRAP_ADMIN_PASSWORD=admin
	# Quick to start rather than quick once it runs.
	export JAVA_OPTS_APPEND="-XX:TieredStopAtLevel=1"
	exec bash bin/kc.sh start-dev --db dev-mem --http-host=127.0.0.1 --http-port="$PORT" --health-enabled=false --log-level=warn
}
