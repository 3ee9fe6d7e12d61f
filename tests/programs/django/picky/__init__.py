"""An app that cannot be loaded in the workers of a program that says so."""

import os

if os.environ.get("PROGRAM", str(os.getpid())) != str(os.getpid()):
    raise OSError("not in workers")
