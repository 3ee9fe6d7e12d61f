"""Installs the oldest versions that pyproject.toml names: ``python oldest.py [extra]...``.

Those of the package's dependencies, and of the extras that are named.
"""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent


def oldest(requirement):
    return re.sub(r">=\s*([\w.]+)", r"==\1", requirement)


def main(*extras):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = project["project"]
    wanted = list(project["dependencies"])
    for extra in extras:
        wanted += project["optional-dependencies"][extra]
    pinned = [*map(oldest, wanted)]
    print(*pinned, sep="\n")
    command = [sys.executable, "-m", "pip", "install", "-q", *pinned]
    return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
