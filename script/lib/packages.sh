# shellcheck shell=bash
#
# What authsync needs from Debian. To be sourced; changes nothing by itself.
#
#   prepare_machine demo|test [package ...]   installs what is missing, then sets and exports PG_CONFIG and PG_MAJOR
#   prepare_real_servers                      installs what the servers of test/real need, if it can
#   as_root command [argument ...]            runs a command as root: directly, or by sudo
#
# PG_CONFIG in the environment chooses another PostgreSQL than the release's own.

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "this needs root or sudo: $*" >&2
		return 1
	fi
}

# The major version that this Debian release ships. The table spares the slow question to apt on the releases we know.
release_postgres() {
	local release
	release=$(. /etc/os-release && echo "${VERSION_ID:-}")
	case $release in
		11) echo 13 ;;
		12) echo 15 ;;
		13) echo 17 ;;
		*) apt-cache depends postgresql 2>/dev/null | sed -n 's/^ *Depends: postgresql-\([0-9]*\)$/\1/p' | head -n 1 ;;
	esac
}

# Sets PG_CONFIG and PG_MAJOR. A PG_CONFIG that exists is asked; one below Debian's directory may still have to be installed.
find_postgres() {
	if [ -n "${PG_CONFIG:-}" ] && command -v "$PG_CONFIG" >/dev/null; then
		PG_CONFIG=$(command -v "$PG_CONFIG")
		PG_MAJOR=$("$PG_CONFIG" --version | sed 's/^PostgreSQL \([0-9]*\).*/\1/')
	elif [[ ${PG_CONFIG:-} =~ ^/usr/lib/postgresql/([0-9]+)/bin/pg_config$ ]]; then
		PG_MAJOR=${BASH_REMATCH[1]}
	elif [ -n "${PG_CONFIG:-}" ]; then
		echo "PG_CONFIG names no program: $PG_CONFIG" >&2
		return 1
	else
		PG_MAJOR=$(release_postgres)
		if [ -z "$PG_MAJOR" ]; then		# an unknown release whose package lists were never fetched
			as_root apt-get update -qq
			PG_MAJOR=$(release_postgres)
		fi
		if [ -z "$PG_MAJOR" ]; then
			echo "cannot tell which PostgreSQL this system ships; say it by PG_CONFIG=/usr/lib/postgresql/NN/bin/pg_config" >&2
			return 1
		fi
		PG_CONFIG=/usr/lib/postgresql/$PG_MAJOR/bin/pg_config
	fi
	export PG_CONFIG PG_MAJOR
}

# One package a line. A PostgreSQL that is not Debian's is taken as complete, with its headers.
packages_for() {
	echo gcc make libc6-dev libcurl4-openssl-dev libssl-dev | tr ' ' '\n'
	if [[ $PG_CONFIG == /usr/lib/postgresql/* ]]; then
		printf '%s\n' "postgresql-$PG_MAJOR" "postgresql-server-dev-$PG_MAJOR"
	fi
	if [ "$1" = test ]; then
		if [[ $PG_CONFIG == /usr/lib/postgresql/* ]]; then
			echo "postgresql-$PG_MAJOR-pgtap"
		fi
		printf '%s\n' python3 openssl perl libipc-run-perl libtap-parser-sourcehandler-pgtap-perl
	fi
}

missing_packages() {
	local installed
	installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" 2>/dev/null | sed -n 's/^installed //p') || true
	printf '%s\n' "$@" | grep -vxF -f <(echo "$installed") || true
}

# Installing postgresql-NN makes a cluster "main" and starts it, and starts every other cluster of the machine that
# somebody has stopped. Neither is ours to do. So, while apt works: a drop-in that says "make no cluster", and a policy that
# says "start no PostgreSQL". Both are taken back at the end (a subshell, so that its trap is not the caller's); should this
# script be killed with no chance to, the policy answers "start" again by itself.
apt_install() (
	no_cluster=/etc/postgresql-common/createcluster.d/authsync.conf
	policy=/usr/sbin/policy-rc.d
	log=$(mktemp)
	ours=("$no_cluster")
	trap 'as_root rm -f "${ours[@]}"; as_root rmdir --ignore-fail-on-non-empty "${no_cluster%/*}"; rm -f "$log"' EXIT

	as_root mkdir -p "${no_cluster%/*}"
	echo 'create_main_cluster = false' | as_root tee "$no_cluster" >/dev/null
	if [ ! -e "$policy" ]; then
		ours+=("$policy")
		printf '#!/bin/sh\ncase " $* " in *" postgresql "*) kill -0 %d 2>/dev/null && exit 101 ;; esac\nexit 0\n' $$ |
			as_root tee "$policy" >/dev/null
		as_root chmod 755 "$policy"
	fi

	# The package lists may be absent, or older than the archive: fetched only when the first try fails.
	apt_get install "$@" >"$log" 2>&1 && exit
	apt_get update >"$log" 2>&1 && apt_get install "$@" >"$log" 2>&1 && exit
	tail -n 20 "$log" >&2
	echo "apt-get could not install: $*" >&2
	exit 1
)

apt_get() {
	as_root env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
		apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 -o Dpkg::Use-Pty=0 "$@" </dev/null
}

prepare_machine() {
	local purpose=$1 wanted missing
	shift

	find_postgres || return
	mapfile -t wanted < <(packages_for "$purpose")
	mapfile -t missing < <(missing_packages "${wanted[@]}" "$@")
	if [ "${#missing[@]}" -gt 0 ]; then
		echo "installing Debian packages: ${missing[*]}"
		apt_install "${missing[@]}" || return
	fi
}

# A test skips, by name, what cannot be started without these: that they cannot be had here is no failure.
prepare_real_servers() {
	local wanted=(python3-venv) missing

	if ! command -v node >/dev/null || ! command -v npm >/dev/null; then wanted+=(nodejs npm); fi
	command -v java >/dev/null || wanted+=(default-jre-headless)
	command -v mvn >/dev/null || wanted+=(maven)
	mapfile -t missing < <(missing_packages "${wanted[@]}")
	if [ "${#missing[@]}" -gt 0 ]; then
		echo "installing Debian packages: ${missing[*]}"
		apt_install "${missing[@]}" || echo "going on without them" >&2
	fi
	if [ -n "${AUTHSYNC_REAL_CACHE:-}" ] && [ ! -d "$AUTHSYNC_REAL_CACHE" ]; then
		mkdir -p "$AUTHSYNC_REAL_CACHE"
		[ "$(id -u)" -ne 0 ] || chown postgres:postgres "$AUTHSYNC_REAL_CACHE"
	fi
}
