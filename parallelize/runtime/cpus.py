"""The number of CPUs this process may use, and the default number of workers.

A process often gets fewer CPUs than the machine has. The count here is the smallest of
these bounds:

| bound                    | where it is read                                        |
|--------------------------|---------------------------------------------------------|
| affinity (taskset, cset) | `os.process_cpu_count`, `os.sched_getaffinity`          |
| cgroup v2 quota          | ``cpu.max`` of the process's group and its parents      |
| cgroup v1 quota          | ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us``, likewise |

``-X cpu_count=N`` and ``PYTHON_CPU_COUNT`` override all of them, on every Python. Text
in the files that cannot be parsed is ignored.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys

from parallelize.runtime.options import MOST_WORKERS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = (
    "cpu_count",
    "default_threads",
    "default_workers",
    "workers_from_environment",
)

#: The environment variable that sets the default number of workers of a pool.
WORKERS_VARIABLE = "PARALLELIZE_MAX_WORKERS"


def cpu_count() -> int:
    """Return the number of CPUs that this process may use, at least 1.

    Affinity and the quotas of cgroups (version 1 and 2, so also the limit of a
    container) are taken into account; part of a CPU counts as one. ``python -X
    cpu_count=N`` and the variable ``PYTHON_CPU_COUNT`` override all of it.

    Example:
        >>> from parallelize import cpu_count
        >>> cpu_count() >= 1
        True
    """
    count = _set_by_user()
    if count is not None:
        return count
    quota = cgroup_quota()
    allowed = _allowed_by_affinity()
    return allowed if quota is None else min(allowed, quota)


def default_workers() -> int:
    """Return the default number of processes of a pool: one for each CPU.

    The variable ``PARALLELIZE_MAX_WORKERS`` overrides it.
    """
    return workers_from_environment() or cpu_count()


def default_threads() -> int:
    """Return the default number of threads of a pool.

    As in the standard library, a few more than CPUs, because threads mostly wait. The
    variable ``PARALLELIZE_MAX_WORKERS`` overrides it.
    """
    return workers_from_environment() or min(32, cpu_count() + 4)


def workers_from_environment() -> int | None:
    """Return the value of ``PARALLELIZE_MAX_WORKERS``; None if it is not set.

    Raises:
        ValueError: It is not a whole number in the range that a pool takes.
    """
    text = os.environ.get(WORKERS_VARIABLE, "").strip()
    if not text:
        return None
    if _is_count(text) and int(text) <= MOST_WORKERS:
        return int(text)
    msg = (
        f"the environment variable {WORKERS_VARIABLE} must be a whole number "
        f"from 1 to {MOST_WORKERS}, not {text!r}"
    )
    raise ValueError(msg)


def _is_count(text: str) -> bool:
    is_number = len(text) <= 9 and text.isascii() and text.isdecimal()
    return is_number and int(text) > 0


def _set_by_user() -> int | None:
    """Return the value of ``-X cpu_count``, else of PYTHON_CPU_COUNT, else None."""
    text = sys._xoptions.get("cpu_count")
    if text is None and not sys.flags.ignore_environment:
        text = os.environ.get("PYTHON_CPU_COUNT")
    if isinstance(text, str) and _is_count(text):
        return int(text)
    return None  # "default", or a value that Python itself rejects


def _allowed_by_affinity() -> int:
    process_cpu_count = getattr(os, "process_cpu_count", None)  # Python 3.13
    with contextlib.suppress(OSError):  # a sandbox may forbid the call
        if process_cpu_count is not None:
            return process_cpu_count() or 1
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


class _Mount:
    """A mounted cgroup hierarchy, or the visible part of it."""

    __slots__ = (
        "point",
        "root",
        "version",
    )

    def __init__(
        self,
        version: int,
        root: str,  # the group that the mount point shows
        point: str,
    ) -> None:
        self.version: int = version
        self.root: str = root
        self.point: str = point


def cgroup_quota(root: str = "/") -> int | None:
    """Return the CPUs that cgroup quotas allow, rounded up; None without a quota.

    Args:
        root: The directory under which ``proc`` and the mount points are found.
    """
    quotas = []
    for directory, version in _group_directories(root):
        quota = _quota_v2(directory) if version == 2 else _quota_v1(directory)
        if quota is not None:
            quotas.append(quota)
    return max(1, math.ceil(min(quotas))) if quotas else None


def _group_directories(root: str) -> Iterator[tuple[str, int]]:
    """Yield the directories with limits: the process's groups and their parents."""
    groups = dict(_groups(_read(root, "proc/self/cgroup")))
    for mount in _mounts(_read(root, "proc/self/mountinfo")):
        if mount.version not in groups:
            continue
        below = _below(groups[mount.version], mount.root)
        for depth in range(len(below), -1, -1):
            path = os.path.join(mount.point, *below[:depth])
            yield os.path.join(root, path.lstrip("/")), mount.version


def _below(group: str, shown: str) -> list[str]:
    """Return the path from the group that a mount shows to the process's own."""
    if shown != "/":
        if group != shown and not group.startswith(shown + "/"):
            return []  # outside, as may happen in a container: use the top only
        group = group[len(shown) :]
    names = [name for name in group.split("/") if name]
    return [] if ".." in names else names


def _groups(text: str) -> Iterator[tuple[int, str]]:
    """Parse /proc/self/cgroup: the process's group, by cgroup version."""
    for line in text.splitlines():
        number, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon:
            continue
        if number == "0" and not controllers:
            yield 2, path
        elif "cpu" in controllers.split(","):
            yield 1, path


def _mounts(text: str) -> Iterator[_Mount]:
    """Parse /proc/self/mountinfo: where hierarchies with CPU quotas are mounted."""
    for line in text.splitlines():
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) < 5 or not kind or not kind[0].startswith("cgroup"):
            continue
        shown, point = map(_unescaped, fields[3:5])
        if kind[0] == "cgroup2":
            yield _Mount(2, shown, point)
        elif kind[0] == "cgroup" and "cpu" in kind[-1].split(","):
            yield _Mount(1, shown, point)


def _unescaped(path: str) -> str:
    """Decode blanks in mountinfo, which are a backslash and three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), path)


def _quota_v2(directory: str) -> float | None:
    words = _read(directory, "cpu.max").split()
    return _ratio(*words) if len(words) == 2 else None


def _quota_v1(directory: str) -> float | None:
    quota = _read(directory, "cpu.cfs_quota_us").strip()
    return _ratio(quota, _read(directory, "cpu.cfs_period_us").strip())


def _ratio(quota: str, period: str) -> float | None:
    """Return the CPUs of a quota; "max", -1 and other non-counts mean no quota."""
    if not (_is_count(quota) and _is_count(period)):
        return None
    return int(quota) / int(period)


def _read(directory: str, name: str) -> str:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError):
        return ""
