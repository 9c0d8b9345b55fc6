"""Lets detect-secrets find values of tokenbridge: detect-secrets scan -p detect_secrets_tokenbridge.py PATH.

The next step after a finding is POST /revoke: see docs/clients.md.
"""

import re

from detect_secrets.plugins.base import RegexBasedDetector


class TokenbridgeDetector(RegexBasedDetector):
    """Finds 32 bytes and a CRC-32 in base64url. The last characters of both encode fewer than six bits."""

    secret_type = "tokenbridge value"
    denylist = [re.compile(r"tbk_[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048][A-Za-z0-9_-]{5}[AQgw](?![A-Za-z0-9_-])")]
