"""Which processes a program has started."""

import os
from pathlib import Path


def descendants(root=None):
    """The processes that one has started, this or another, and those that they have."""
    found, parents = {}, {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            stat = Path("/proc", name, "stat").read_text()
            command = Path("/proc", name, "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue  # it has just ended
        state, parent = stat.rpartition(")")[2].split()[:2]
        if state != "Z" and b"resource_tracker" not in command:
            parents[int(name)] = int(parent)
            found[int(name)] = command[:200]
    root = root or os.getpid()
    ours = {root}
    while more := {pid for pid, parent in parents.items() if parent in ours} - ours:
        ours |= more
    return {pid: found[pid] for pid in ours - {root}}
