"""What a run was made on and with."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from benchmarks.faults import version

if TYPE_CHECKING:
    from collections.abc import Iterable


def cpu_model() -> str:
    """Return what Linux calls the CPU."""
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def setting(packages: Iterable[str], command: str) -> dict[str, Any]:
    names = ["parallelize", *(name for name in packages if name != "parallelize")]
    return {
        "cpu": cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in names if version(name)},
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "command": command,
    }


def sentence(known: dict[str, Any]) -> str:
    """Say it in a line and the command."""
    versions = ", ".join(f"{name} {v}" for name, v in known["versions"].items())
    parts = [f"{known['cpus']} CPUs of {known['cpu']}", f"Python {known['python']}"]
    parts += [versions, known["date"]]
    return f"{', '.join(filter(None, parts))}: `{known['command']}`"
