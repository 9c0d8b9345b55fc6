"""PHP, as a reader of headers."""

import json
import subprocess
import threading

from support import DIRECTORY, answers, free_ports, raw, stop, within


class Php:
    """PHP's own server, which returns the variables that it makes of a request."""

    def __init__(self):
        self.port, self.lock = free_ports(1)[0], threading.Lock()
        script = DIRECTORY / "variables.php"
        script.write_text("<?php echo json_encode($_SERVER);")
        with (DIRECTORY / "php.log").open("wb") as log:
            self.process = subprocess.Popen(
                ["php", "-n", "-S", f"127.0.0.1:{self.port}", str(script)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        within(20, "PHP listens", lambda: answers(self.port))

    def variables(self, headers):
        """The variables of the headers that a backend recorded."""
        sent = "".join(
            f"{name}: {value}\r\n"
            for name, value in headers
            if name not in ("connection", "content-length", "transfer-encoding")
        )
        with self.lock:
            got = raw(self.port, f"GET / HTTP/1.1\r\n{sent}Connection: close\r\n\r\n".encode("latin-1"), silence=10)
        variables = json.loads(got.split(b"\r\n\r\n", 1)[1])
        return {name: value for name, value in variables.items() if name.startswith("HTTP_")}

    def stop(self):
        stop(self.process)
