"""Counts the tokens in every .py file of this Python's own standard library.

usage: wordcount.py [folder]
"""

from __future__ import annotations

import sys
import sysconfig
from pathlib import Path
from time import perf_counter
from tokenize import TokenError, tokenize

from parallelize import processed


@processed
def count_tokens(path: Path) -> tuple[Path, int]:
    """Count the tokens of one file; 0 if it is no Python of this version."""
    try:
        with path.open("rb") as file:
            return path, sum(1 for _ in tokenize(file.readline))
    except (OSError, SyntaxError, TokenError):
        return path, 0  # the library's tests keep broken files too


folder = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib"))
files = sorted(p for p in folder.rglob("*.py") if "site-packages" not in p.parts)
print(f"{len(files)} files under {folder}")

start = perf_counter()
by_loop = dict(count_tokens.__wrapped__(path) for path in files)
print(f"plain loop     {perf_counter() - start:6.2f} s")

start = perf_counter()
in_order = dict(count_tokens.map(files, progress="in order"))
print(f"in order       {perf_counter() - start:6.2f} s")

start = perf_counter()
as_completed = dict(count_tokens.map(files, ordered=False, progress="as completed"))
print(f"as completed   {perf_counter() - start:6.2f} s")

print("same order:", list(in_order) == files)
print("same counts:", by_loop == in_order == as_completed)
for path in sorted(files, key=by_loop.__getitem__, reverse=True)[:5]:
    print(f"{by_loop[path]:9,}  {path.relative_to(folder)}")
print(f"{sum(as_completed.values()):9,}  in all")
