"""Prints file:line of each phrase in banned.txt that occurs in the repository, and how many phrases passed and failed."""

import fnmatch
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# Generated, or about the phrases themselves.
EXCLUDED = ("Cargo.lock", "docs/openapi.json", "tests/words/")
# What precedes the text of a line: indentation, and the marker of a comment, list, or quote.
MARKER = re.compile(r"^\s*(?://[/!]?|#+|--|\*|-|>)?\s*")


def lines_of(name):
    """Returns the lines of a list, without comments and empty lines."""
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.startswith("#")]


def pattern_of(phrase):
    """Matches the phrase as whole words, in any case. Blanks may be line breaks, or underscores of a name."""
    words = r"[\s_]+".join(re.escape(word) for word in phrase.split())
    return re.compile(rf"(?<![a-z0-9]){words}(?![a-z0-9])", re.IGNORECASE)


def text_of(path):
    """Returns the text without the markers of its lines, and the offset at which each line starts."""
    text, starts = "", []
    for line in path.read_text(encoding="utf-8").splitlines():
        starts.append(len(text))
        text += MARKER.sub("", line) + "\n"
    return text, starts


def files():
    """Returns the text files of the repository, including new ones that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines():
        path = Path(name)
        if name.startswith(EXCLUDED) or not path.is_file() or b"\0" in path.read_bytes():
            continue
        yield name, path


def main():
    patterns = {phrase: pattern_of(phrase) for phrase in lines_of("banned.txt")}
    exceptions = [line.split(maxsplit=1) for line in lines_of("exceptions.txt")]
    found = set()
    for name, path in files():
        try:
            text, starts = text_of(path)
        except UnicodeDecodeError:
            continue
        allowed = {phrase for glob, phrase in exceptions if fnmatch.fnmatch(name, glob)}
        for phrase, pattern in patterns.items():
            if phrase in allowed or "*" in allowed:
                continue
            for match in pattern.finditer(text):
                line = sum(start <= match.start() for start in starts)
                print(f"{name}:{line}: {match.group()!r}")
                found.add(phrase)
    print(f"{len(patterns) - len(found)} passed, {len(found)} failed")
    return 1 if found else 0


sys.exit(main())
