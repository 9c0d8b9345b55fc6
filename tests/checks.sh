# shellcheck shell=bash
# Sourced by the scripts of the test suite. $directory holds the output of the last check.
passed=0 failed=0

# check NAME COMMAND…: prints the lines that begin with "note: ", and after a failure the end of the output.
check() {
    local name=$1
    shift
    if "$@" >"$directory/check.log" 2>&1; then
        passed=$((passed + 1)) && echo "ok      $name"
        sed -n 's/^note: /          /p' "$directory/check.log"
    else
        failed=$((failed + 1)) && echo "FAILED  $name"
        tail -n 20 "$directory/check.log" | sed 's/^/          /'
    fi
}

# within SECONDS COMMAND…: repeats the command until it succeeds.
within() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt "$until" ] || { "$@" && return; return 1; }
        sleep 0.1
    done
}
