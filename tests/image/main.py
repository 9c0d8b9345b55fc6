"""Usage: main.py PROGRAM DIRECTORY. Checks the image, the compose files, and deploy/kubernetes."""

import pathlib
import signal
import sys

import compose
import image
import kubernetes
from support import Checks, Engine

program, directory = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
# The clean-up below runs for SIGTERM too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
checks, engine = Checks(), Engine(directory)
try:
    image.check_build(checks, engine, program, directory)
    image.check_container(checks, engine)
    compose.check(checks, engine, directory)
    kubernetes.check(checks, engine, directory)
finally:
    engine.clean_up()
checks.finish()
