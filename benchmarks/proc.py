"""What Linux tells of processes: memory, wake-ups, children."""

from __future__ import annotations

import contextlib
import os

from benchmarks.soak import children


def family(pid: int = 0) -> list[int]:
    """Return this process and all that came of it."""
    pid = pid or os.getpid()
    return [pid, *(member for child in children(pid) for member in family(child))]


def field(path: str, name: str) -> int:
    """Return the number behind a name in a file of /proc; 0 if that is gone."""
    with contextlib.suppress(OSError), open(path) as file:
        for line in file:
            key, _, rest = line.partition(":")
            if key == name:
                return int(rest.split()[0])
    return 0


def resident_mib() -> float:
    return field("/proc/self/status", "VmRSS") / 1_024


def peak_mib() -> float:
    return field("/proc/self/status", "VmHWM") / 1_024


def proportional_mib(pids: list[int]) -> float:
    """Add up the memory of processes, each page that they share once."""
    return sum(field(f"/proc/{pid}/smaps_rollup", "Pss") for pid in pids) / 1_024


def threads(pid: int) -> list[str]:
    """Return the status files of a process's threads; none if it is gone."""
    with contextlib.suppress(OSError):
        folder = f"/proc/{pid}/task"
        return [f"{folder}/{thread}/status" for thread in os.listdir(folder)]
    return []


def wake_ups(pids: list[int]) -> int:
    """Count how often the threads of processes have gone to sleep so far."""
    files = [file for pid in pids for file in threads(pid)]
    return sum(field(file, "voluntary_ctxt_switches") for file in files)
