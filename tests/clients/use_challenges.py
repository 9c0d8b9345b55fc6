"""Logs in as Ansible's uri does without force_basic_auth: with urllib's Basic and Digest handlers, once challenged."""

import os
import urllib.request

base_url = os.environ["BASE_URL"]
passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
passwords.add_password(None, base_url, os.environ["ADMIN_USERNAME"], os.environ["ADMIN_PASSWORD"])
basic = urllib.request.HTTPBasicAuthHandler(passwords)
digest = urllib.request.HTTPDigestAuthHandler(passwords)
for handlers in ([basic], [basic, digest]):
    opener = urllib.request.build_opener(*handlers)
    for path, form in (("/api-tokens", None), ("/introspect", b"token=x"), ("/audit-events", None)):
        with opener.open(base_url + path, form, timeout=30) as response:
            print(path, response.status)
