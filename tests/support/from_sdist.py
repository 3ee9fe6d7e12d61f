"""Runs pytest in the unpacked sdist that tox has built and installed.

``python from_sdist.py [pytest's arguments]...``
"""

import os
import shutil
import subprocess
import sys
import tempfile


def main(*arguments):
    with tempfile.TemporaryDirectory() as folder:
        shutil.unpack_archive(os.environ["TOX_PACKAGE"], folder, filter="data")
        (top,) = os.listdir(folder)
        command = ["pytest", *arguments]
        return subprocess.run(command, cwd=f"{folder}/{top}", check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
