"""Usage: main.py PROGRAM BASE DIRECTORY. Checks the image, deploy/kubernetes, and deploy/compose.yml."""

import pathlib
import signal
import sys

import compose
import image
import kubernetes
from support import Checks, Engine

program, base, directory = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
# The clean-up below runs for SIGTERM too.
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
checks, engine = Checks(), Engine(directory)
try:
    image.check_build(checks, engine, program, base, directory)
    image.check_container(checks, engine)
    compose.check(checks, engine, directory)
    kubernetes.check(checks, engine, directory)
finally:
    engine.clean_up()
checks.finish()
