# shellcheck shell=bash
#
# A private PostgreSQL cluster of this checkout: own data, own socket, no TCP, no service manager. To be sourced once
# PG_CONFIG is set (packages.sh does that).
#
#   cluster_use NAME [PORT]            chooses one (demo, test, …); exports PGHOST, PGPORT, PGUSER
#   cluster_start ['name = value' …]   makes it if need be and lets it run with these settings; else does nothing
#   cluster_status                     prints one line; true if it runs
#   cluster_stop                       stops the server, keeps the data
#   cluster_remove                     stops it and removes all that was made; false if there was nothing
#   as_server command …                runs a command as the user the server runs as, who reaches what the server reaches
#
# It lies in .cluster/NAME/{data,log,socket} below the checkout where the server's user can work there, else in
# /var/tmp/authsync-<hash of the checkout>/NAME; the socket alone goes there too if its path would be too long.

CLUSTER_CHECKOUT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
CLUSTER_HOME=$CLUSTER_CHECKOUT/.cluster
CLUSTER_AWAY=/var/tmp/authsync-$(printf '%s' "$CLUSTER_CHECKOUT" | sha256sum | cut -c 1-12)

cluster_use() {
	CLUSTER_NAME=$1
	CLUSTER_BIN=$("$PG_CONFIG" --bindir 2>/dev/null) || CLUSTER_BIN=${PG_CONFIG%/*}
	export PGPORT=${2:-65432} PGUSER=postgres
	unset PGHOSTADDR PGDATABASE PGSERVICE PGOPTIONS

	if [ -d "$CLUSTER_AWAY/$CLUSTER_NAME/data" ]; then
		cluster_place "$CLUSTER_AWAY/$CLUSTER_NAME"
	else
		cluster_place "$CLUSTER_HOME/$CLUSTER_NAME"
	fi || true		# what cannot be used is said by whoever tries
}

# All that follows from the directory. The path of a Unix socket has at most 107 bytes, and postgresql.conf's list of
# socket directories has its own rules of quoting, which an odd path would meet.
cluster_place() {
	local group

	CLUSTER_DIR=$1
	CLUSTER_DATA=$CLUSTER_DIR/data
	CLUSTER_LOG=$CLUSTER_DIR/log
	PGHOST=$CLUSTER_DIR/socket
	if [ "$(printf '%s/.s.PGSQL.%s' "$PGHOST" "$PGPORT" | wc -c)" -gt 107 ] || [[ $PGHOST == *[!A-Za-z0-9_./+-]* ]]; then
		PGHOST=$CLUSTER_AWAY/$CLUSTER_NAME/socket
	fi
	export PGHOST

	# The server refuses root. For root it runs as postgres, or as the user who made the cluster.
	CLUSTER_USER=$(id -un)
	CLUSTER_AS=()
	if [ "$CLUSTER_USER" = root ]; then
		CLUSTER_USER=$(stat -c %U "$CLUSTER_DIR" 2>/dev/null) || CLUSTER_USER=postgres
		group=$(id -g "$CLUSTER_USER") || return
		CLUSTER_AS=(setpriv --reuid "$CLUSTER_USER" --regid "$group" --init-groups)
		if [ -d "$CLUSTER_DIR" ] && ! cluster_usable; then
			# Below a directory closed to others, such as /root, one right is enough: to pass through (and to read).
			CLUSTER_AS+=(--inh-caps +dac_read_search --ambient-caps +dac_read_search)
			cluster_usable
		fi
	fi
}

# By doing it: access(2), and so test -w, leaves capabilities out of account.
cluster_usable() {
	as_server mkdir "$CLUSTER_DIR/try" 2>/dev/null && as_server rmdir "$CLUSTER_DIR/try"
}

as_server() {
	"${CLUSTER_AS[@]}" "$@"
}

# Makes directories that belong to the server's user. In /var/tmp anybody may have been there first: then they are refused.
cluster_mkdir() {
	local dir

	for dir; do
		if [ ! -d "$dir" ] || [ -L "$dir" ] || [ "$(stat -c %U "$dir")" != "$CLUSTER_USER" ]; then
			mkdir -m 700 "$dir" && chown "$CLUSTER_USER" "$dir" || return
		fi
	done
}

cluster_make() {
	mkdir -p "$CLUSTER_HOME" && echo '*' >"$CLUSTER_HOME/.gitignore" || return
	cluster_mkdir "$CLUSTER_DIR" || return
	if ! cluster_place "$CLUSTER_DIR"; then
		rmdir "$CLUSTER_DIR"
		cluster_mkdir "$CLUSTER_AWAY" "$CLUSTER_AWAY/$CLUSTER_NAME" || return
		cluster_place "$CLUSTER_AWAY/$CLUSTER_NAME" || return
	fi

	# Under another name until it is complete, so that an interrupted initdb is not taken for a cluster.
	rm -rf "$CLUSTER_DATA.new"
	(cd / && as_server "$CLUSTER_BIN/initdb" -D "$CLUSTER_DATA.new" -U postgres -A trust -E UTF8 --locale=C.UTF-8 \
		--no-sync --no-instructions >"$CLUSTER_LOG.initdb" 2>&1) || { cat "$CLUSTER_LOG.initdb" >&2; return 1; }
	mv "$CLUSTER_DATA.new" "$CLUSTER_DATA"
	as_server tee -a "$CLUSTER_DATA/postgresql.conf" <<<"include 'authsync.conf'" >/dev/null
}

cluster_pg_ctl() {
	(cd / && as_server "$CLUSTER_BIN/pg_ctl" -D "$CLUSTER_DATA" -s -w "$@" </dev/null)
}

cluster_running() {
	[ -x "$CLUSTER_BIN/pg_ctl" ] && [ -f "$CLUSTER_DATA/postmaster.pid" ] && cluster_pg_ctl status >/dev/null
}

cluster_start() {
	local conf

	# Data of another major version are of no use to this server, and hold nothing that cannot be made again.
	if [ -f "$CLUSTER_DATA/PG_VERSION" ] && [ "$(cat "$CLUSTER_DATA/PG_VERSION")" != "$PG_MAJOR" ]; then
		cluster_remove
		cluster_use "$CLUSTER_NAME" "$PGPORT"
	fi
	if [ ! -d "$CLUSTER_DATA" ]; then
		cluster_make || return
	fi
	if [ "$PGHOST" = "$CLUSTER_DIR/socket" ]; then
		cluster_mkdir "$PGHOST" || return
	else
		cluster_mkdir "$CLUSTER_AWAY" "${PGHOST%/socket}" "$PGHOST" || return
	fi

	# Whoever reaches the socket is trusted, so nobody but its owner and root may reach it.
	conf=$(printf '%s\n' "listen_addresses = ''" "unix_socket_directories = '$PGHOST'" "port = $PGPORT" \
		"unix_socket_permissions = 0700" "$@")
	if [ "$conf" != "$(cat "$CLUSTER_DATA/authsync.conf" 2>/dev/null)" ]; then
		as_server tee "$CLUSTER_DATA/authsync.conf" <<<"$conf" >/dev/null || return
		cluster_stop || return
	fi
	if ! cluster_running; then
		cluster_pg_ctl -l "$CLUSTER_LOG" start || { tail -n 20 "$CLUSTER_LOG" >&2; return 1; }
	fi
}

cluster_stop() {
	if cluster_running; then
		cluster_pg_ctl -m fast stop
	fi
}

cluster_status() {
	if cluster_running; then
		echo "cluster $CLUSTER_NAME: PostgreSQL $(cat "$CLUSTER_DATA/PG_VERSION") runs, process $(head -n 1 "$CLUSTER_DATA/postmaster.pid"), data in $CLUSTER_DATA"
	elif [ -d "$CLUSTER_DATA" ]; then
		echo "cluster $CLUSTER_NAME: stopped, data in $CLUSTER_DATA"
		return 1
	else
		echo "cluster $CLUSTER_NAME: there is none"
		return 1
	fi
}

cluster_remove() {
	if [ ! -d "$CLUSTER_DIR" ]; then
		return 1
	fi
	cluster_stop || return
	rm -rf "$CLUSTER_DIR" "${PGHOST%/socket}" || return
	cluster_tidy
}

# The directories around the clusters go with the last one.
cluster_tidy() {
	if [ -z "$(find "$CLUSTER_HOME" -mindepth 1 ! -name .gitignore -print -quit 2>/dev/null)" ]; then
		rm -rf "$CLUSTER_HOME"
	fi
	if [ -d "$CLUSTER_AWAY" ]; then
		rmdir --ignore-fail-on-non-empty "$CLUSTER_AWAY"
	fi
}
