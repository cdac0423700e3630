# Becomes a PostgreSQL server, after it has made the cluster where there is none.
# $1 data directory, $2 authentication, $3 addresses, $4 clients, $5 user, $6 database
set -eu
newest=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)
PATH=$PATH:$newest
# Root may not run it.
as() {
    if [ "$(id -u)" = 0 ]; then
        setpriv --reuid=postgres --regid=postgres --init-groups "$@"
    else
        "$@"
    fi
}
own() {
    if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$1"; fi
}
# Under another name until it is whole: this may be stopped at any moment.
if [ ! -s "$1/PG_VERSION" ]; then
    rm -rf "$1.new"
    mkdir -p "$1.new"
    own "$1.new"
    if [ -n "${POSTGRES_PASSWORD:-}" ]; then
        (umask 077; printf '%s\n' "$POSTGRES_PASSWORD" >"$1.pw")
        own "$1.pw"
        as initdb -D "$1.new" -U "$5" -A "$2" --pwfile="$1.pw" >&2
        rm -f "$1.pw"
    else
        as initdb -D "$1.new" -U "$5" -A "$2" >&2
    fi
    if [ "$6" != postgres ]; then
        echo "CREATE DATABASE \"$6\";" | as postgres --single -D "$1.new" postgres >&2
    fi
    if [ -d "$1" ]; then rmdir "$1"; fi
    mv "$1.new" "$1"
fi
unset POSTGRES_PASSWORD
set -- postgres -D "$1" -p "$PORT" -k "$1" -c listen_addresses="$3" -c max_connections="$4"
if [ "$(id -u)" = 0 ]; then
    set -- setpriv --reuid=postgres --regid=postgres --init-groups "$@"
fi
exec "$@"
