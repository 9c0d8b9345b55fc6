# shellcheck shell=bash
# Sourced by the scripts of the test suite.

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi
}

# install_lock COMMAND…: runs the command while no other script installs anything.
install_lock() {
    mkdir -p target
    flock target/install.lock "$@"
}

# npm_install PACKAGE…: installs npm packages into target/tools.
npm_install() { install_lock npm install --silent --no-audit --no-fund --prefix target/tools "$@"; }

# need PROGRAM=PACKAGE…: installs the packages of missing programs, or exits with 2 if it cannot. A file may take the
# place of a program.
need() {
    local pair missing=()
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
    if ! install_lock tests/install-packages "${missing[@]}"; then
        echo "skipped: apt-get cannot install ${missing[*]}"
        exit 2
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
