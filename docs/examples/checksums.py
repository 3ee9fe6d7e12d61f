"""Prints the SHA-256 of every file under a folder, as `sha256sum` would.

usage: checksums.py [folder]        (else: the packages that are installed here)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from time import perf_counter

from parallelize import cpu_count, threaded


# Threads, because reading and hashing both let other threads run meanwhile. One
# for each CPU will do where files are in memory; a slow disk takes more.
@threaded(max_workers=cpu_count())
def checksum(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with path.open("rb", buffering=0) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256sum(paths: list[Path]) -> list[str]:
    """Ask the program of that name; xargs, as there may be many files."""
    names = b"\0".join(os.fsencode(path) for path in paths)
    command = ["xargs", "-0", "sha256sum"]
    printed = subprocess.run(command, input=names, stdout=subprocess.PIPE, check=True)
    # A line is the sum and the name; it starts with \ if the name is odd.
    return [line.lstrip(b"\\")[:64].decode() for line in printed.stdout.splitlines()]


folder = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("purelib"))
files = sorted(path for path in folder.rglob("*") if path.is_file())
print(f"{len(files)} files under {folder}")

start = perf_counter()
by_loop = [checksum.__wrapped__(path) for path in files]
print(f"plain loop   {perf_counter() - start:6.2f} s")

start = perf_counter()
sums = list(checksum.map(files))
print(f"@threaded    {perf_counter() - start:6.2f} s")

print("same as the loop:", sums == by_loop)
if shutil.which("sha256sum") and files:
    print("same as sha256sum:", sums == sha256sum(files))
for file, digest in list(zip(files, sums, strict=True))[:5]:
    print(f"{digest}  {file.relative_to(folder)}")
