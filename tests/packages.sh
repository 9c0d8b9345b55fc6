# shellcheck shell=bash
# Sourced by the scripts of the test suite.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# need PROGRAM=PACKAGE…: installs the packages of missing programs, or exits with 2 if it cannot. A file may take the
# place of a program.
need() {
    local pair package missing=() policy=/usr/sbin/policy-rc.d
    PATH=$PATH:/usr/sbin:/sbin
    for pair in "$@"; do
        case ${pair%%=*} in
        *.jar) [ -e "/usr/share/java/${pair%%=*}" ] || missing+=("${pair#*=}") ;;
        venv) python3 -c 'import ensurepip' 2>/dev/null || missing+=("${pair#*=}") ;;
        postgres) ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing+=("${pair#*=}") ;;
        /*) [ -e "${pair%%=*}" ] || missing+=("${pair#*=}") ;;
        *) command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if ! command -v apt-get >/dev/null || ! as_root true 2>/dev/null; then
        echo "skipped: not installed, and neither root nor sudo to install them: ${missing[*]}"
        exit 2
    fi
    echo "== install ${missing[*]}"
    # The packages must not start services: the tests start their own, on other ports.
    if [ ! -e "$policy" ]; then
        # The tests set their own trap later.
        trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod 755 "$policy"
    fi
    as_root apt-get -qq update >/dev/null 2>&1
    # sudo would drop a variable before the command.
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -y install --no-install-recommends "${missing[@]}" >/dev/null 2>&1; then
        echo "skipped: apt-get cannot install ${missing[*]}"
        exit 2
    fi
    if [ -n "$(trap -p EXIT)" ]; then
        as_root rm -f "$policy"
        trap - EXIT
    fi
    # Nor may they start at the next boot.
    if [ -d /run/systemd/system ]; then
        for package in "${missing[@]}"; do as_root systemctl disable --quiet "${package%-server}" 2>/dev/null || true; done
    fi
}

# tokenbridge_program: sets $program to TOKENBRIDGE, or builds target/debug/tokenbridge and sets it to that.
tokenbridge_program() {
    program=${TOKENBRIDGE:-$PWD/target/debug/tokenbridge}
    [ -n "${TOKENBRIDGE:-}" ] || cargo build --locked --quiet || exit 1
    [ -x "$program" ] || { echo "no tokenbridge at $program" && exit 1; }
}

# with_server NAME FLAG… -- COMMAND…: starts $program with these flags on a new SQLite store, runs the command with
# BASE_URL, ADMIN_USERNAME and ADMIN_PASSWORD, and exits with its status.
with_server() {
    local flags=()
    directory=$(mktemp -d "${TMPDIR:-/tmp}/tokenbridge-$1.XXXXXX") || exit 1
    shift
    while [ "$1" != -- ]; do flags+=("$1") && shift; done
    shift
    status=1 server=
    trap stop_server EXIT
    trap 'exit 130' INT TERM
    export BASE_URL ADMIN_USERNAME=admin ADMIN_PASSWORD
    ADMIN_PASSWORD=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
    TOKENBRIDGE_ADMIN_PASSWORD=$ADMIN_PASSWORD "$program" --listen 127.0.0.1:0 --database-url "sqlite:$directory/tokens.db" \
        "${flags[@]}" 2>"$directory/server.log" &
    server=$!
    for _ in $(seq 100); do
        BASE_URL=$(sed -n 's#.*listening on \(http://[0-9.:]*\).*#\1#p' "$directory/server.log")
        [ -z "$BASE_URL" ] || break
        sleep 0.1
    done
    [ -n "$BASE_URL" ] || { cat "$directory/server.log" && exit 1; }
    "$@"
    status=$?
    exit "$status"
}

# Stops the server of with_server. Its log is kept after a failure.
stop_server() {
    trap - EXIT
    [ -z "$server" ] || kill "$server" 2>/dev/null
    wait
    if [ "$status" = 0 ]; then rm -rf "$directory"; else echo "log: $directory/server.log"; fi
}
