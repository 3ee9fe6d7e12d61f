"""Finds which modules the files of this Python's standard library import most.

A pipeline of three stages: folders are listed and files read in threads, parsed in
processes. No stage waits for the end of the one before it.

usage: imports.py [folder]
"""

from __future__ import annotations

import ast
import sys
import sysconfig
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from parallelize import processed, threaded

if TYPE_CHECKING:
    from collections.abc import Iterator


@threaded
def list_files(folder: Path) -> Iterator[Path]:
    """Yield the Python files of one folder."""
    yield from sorted(filter(Path.is_file, folder.glob("*.py")))


@threaded
def read(path: Path) -> bytes:
    """Return the content of a file."""
    return path.read_bytes()


@processed
def find_imports(source: bytes) -> list[str]:
    """Return the top-level packages that a module imports; none if it is broken."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError):
        return []
    names = [
        alias.name for n in nodes if isinstance(n, ast.Import) for alias in n.names
    ]
    names += [n.module for n in nodes if isinstance(n, ast.ImportFrom) and n.module]
    return sorted({name.partition(".")[0] for name in names})


top = Path(sys.argv[1] if len(sys.argv) > 1 else sysconfig.get_path("stdlib"))
folders = [top, *(path.parent for path in sorted(top.glob("*/__init__.py")))]

counts: Counter[str] = Counter()
modules = 0
for found in find_imports.map(read.map(list_files.map(folders))):
    counts.update(found)
    modules += 1

print(f"{modules} modules in {len(folders)} folders of {top}")
for name, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:5]:
    print(f"{count:5}  {name}")
