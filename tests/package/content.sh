# shellcheck shell=bash
# Sourced by tests/package/run: checks of the files of $package.
files=$directory/files
dpkg-deb -x "$package" "$files"

has() { [ -e "$files/$1" ] || { echo "$1 is missing" && return 1; }; }
without_output() {
    local said
    said=$("$@" 2>&1 >/dev/null)
    [ -z "$said" ] || { echo "$said" && return 1; }
}

# Unused overrides are errors, too.
lint() { lintian --fail-on error --display-info "$package" && ! grep -q unused-override "$directory/check.log"; }
check "lintian has no error" lint

man_pages() {
    local page
    for page in "$files"/usr/share/man/man1/*; do
        MANWIDTH=100 without_output man --warnings -E UTF-8 -l -Tutf8 "$page" || { echo "in $page" && return 1; }
    done
    set -- "$files"/usr/share/man/man1/*
    echo "note: $# pages"
    [ $# -ge 20 ]
}
check "every man page renders without a warning" man_pages
man_page_of_a_command() { man -l "$files/usr/share/man/man1/tokenbridge-token-create.1.gz" | grep -A 4 -e '--permission'; }
check "the page of a command describes its flags" man_page_of_a_command

bash_completes() {
    bash --norc -c '. /usr/share/bash-completion/bash_completion; . "$1"
        COMP_WORDS=(tokenbridge back) COMP_CWORD=1 COMP_LINE="tokenbridge back" COMP_POINT=16
        _tokenbridge tokenbridge back tokenbridge; echo "${COMPREPLY[@]}"; [ "${COMPREPLY[*]}" = backup ]' \
        - "$files/usr/share/bash-completion/completions/tokenbridge"
}
check "bash completes a command" bash_completes
zsh_loads() {
    zsh -fc 'fpath=("$1" $fpath); autoload -Uz compinit; compinit -u -d "$2"; [ "$_comps[tokenbridge]" = _tokenbridge ]
        autoload -Uz +X _tokenbridge && whence -w _tokenbridge' \
        - "$files/usr/share/zsh/vendor-completions" "$directory/zcompdump"
}
check "zsh loads the completions" zsh_loads
fish_completes() {
    HOME=$directory fish -c 'source $argv[1]; complete -C "tokenbridge back"' "$files/usr/share/fish/vendor_completions.d/tokenbridge.fish" |
        grep '^backup'
}
check "fish completes a command" fish_completes

# All crates that cargo links, and the C libraries that some crates compile.
bill_of_materials() {
    python3 - "$files/usr/share/doc/tokenbridge/sbom.cdx.json" <<'END'
import json, subprocess, sys

sbom = json.load(open(sys.argv[1]))
tree = ["cargo", "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}"]
lines = subprocess.run(tree, check=True, text=True, stdout=subprocess.PIPE).stdout.splitlines()
linked = {tuple(line.split()[:2]) for line in lines if not line.startswith("tokenbridge ")}
listed = {(crate["name"], "v" + crate["version"]) for crate in sbom["components"]}
assert linked <= listed, linked - listed
bundled = {name for name, _ in listed - linked}
# Cargo's metadata can contain a few optional crates that only the features of tests enable.
assert "openssl-src" in bundled and len(bundled) <= 5, bundled
assert "pq-src" in {name for name, _ in listed}
incomplete = [crate["name"] for crate in sbom["components"] if not (crate.get("licenses") and crate.get("hashes"))]
assert not incomplete, incomplete
print(f"note: {len(listed)} crates")
END
}
check "the bill of materials lists every linked crate with license and checksum" bill_of_materials
licenses() {
    zcat "$files/usr/share/doc/tokenbridge/third-party-licenses.gz" >"$directory/licenses"
    local text
    for text in "Apache License" "Permission is hereby granted" "openssl-src" "PostgreSQL Global Development Group"; do
        grep -q "$text" "$directory/licenses" || { echo "no $text" && return 1; }
    done
}
check "the license texts of crates and bundled libraries are included" licenses
