"""What the library finds on this machine, and whether its pools work here.

Each section is looked up separately; what cannot be determined is reported as unknown,
so that an error in one section does not hide the others.
"""

from __future__ import annotations

import os
import platform
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.insight.units import duration, size
from parallelize.runtime import cpus
from parallelize.runtime.clock import perf_counter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    Line = tuple[str, str]

__all__ = ("doctor",)

#: The most seconds that the test of the pools takes, if they work.
LONGEST = 5.0

#: Seconds after which a pool that has not answered is reported as not working.
PATIENCE = 20.0

_WIDTH = 30  # of the first column

#: Packages that work with the library, or are used beside it.
ENGINES = (
    "cloudpickle",
    "wrapt",
    "tqdm",
    "dask",
    "distributed",
    "ray",
    "joblib",
    "loky",
    "mpi4py",
    "numpy",
    "scipy",
    "threadpoolctl",
    "uvloop",
)


def doctor(out: TextIO, *, test: bool = True) -> int:
    """Write a report; return 1 if a pool does not work, else 0.

    Args:
        out: Where to write.
        test: Whether to test the pools.
    """
    for title, section in _SECTIONS:
        _write(out, title, _safely(section))
    if not test:
        return 0
    out.write("pools\n")
    out.flush()
    works = True
    for trial in _trials():
        out.write(f"  {trial.pool:<{_WIDTH}}{trial.text}\n")
        out.flush()
        works &= trial.works
    return 0 if works else 1


def version(package: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _write(out: TextIO, title: str, lines: Sequence[Line]) -> None:
    out.write(f"{title}\n")
    out.writelines(f"  {name:<{_WIDTH}}{text}\n" for name, text in lines)
    out.write("\n")


def _safely(section: Callable[[], Iterator[Line]]) -> list[Line]:
    lines: list[Line] = []
    try:
        lines.extend(section())
    except Exception as error:  # noqa: BLE001 - the other sections are still useful
        lines.append(("unknown", f"{type(error).__name__}: {error}"))
    return lines


# The sections.


def _python() -> Iterator[Line]:
    yield "parallelize", version("parallelize") or "not installed, a folder on the path"
    yield "Python", f"{platform.python_implementation()} {platform.python_version()}"
    yield "executable", sys.executable
    yield "system", platform.platform()
    is_on = getattr(sys, "_is_gil_enabled", None)  # Python 3.13
    yield "interpreter lock", "off" if is_on is not None and not is_on() else "on"


def _start_methods() -> Iterator[Line]:
    import multiprocessing

    from parallelize.executors.process import _method_of_the_program
    from parallelize.process.start.launcher import METHODS

    yield "of this library", ", ".join(METHODS)
    yield "taken by default", _method_of_the_program(())
    yield "of multiprocessing", ", ".join(multiprocessing.get_all_start_methods())
    asked_for = multiprocessing.get_start_method(allow_none=True)
    yield "set by the program", asked_for or "nothing"


def _cpus() -> Iterator[Line]:
    yield "of the machine", str(os.cpu_count() or "unknown")
    yield "by affinity", _affinity()
    yield "by cgroup", str(cpus.cgroup_quota() or "no quota")
    count = cpus._set_by_user()
    name = "PYTHON_CPU_COUNT"
    yield f"by {name}", "not set" if count is None else str(count)
    count = cpus.workers_from_environment()
    yield f"by {cpus.WORKERS_VARIABLE}", "not set" if count is None else str(count)
    yield "cpu_count()", str(cpus.cpu_count())
    yield (
        "workers of a pool",
        (f"{cpus.default_workers()} processes, {cpus.default_threads()} threads"),
    )
    if hasattr(os, "getloadavg"):
        yield "load", " ".join(f"{each:.2f}" for each in os.getloadavg())


def _affinity() -> str:
    # Not `os.process_cpu_count`, which the user may have overridden.
    if hasattr(os, "sched_getaffinity"):
        return str(len(os.sched_getaffinity(0)))
    return "unknown"


_SHM = "/dev/shm"  # noqa: S108 - only its size is read


def _memory() -> Iterator[Line]:
    yield from _physical()
    yield "cgroup limit", _cgroup_memory()
    if os.path.isdir(_SHM):
        shm = os.statvfs(_SHM)
        free = f"{size(shm.f_bavail * shm.f_frsize)} free"
        whole = size(shm.f_blocks * shm.f_frsize)
        yield _SHM, f"{free} of {whole}; not used where there is memfd"
    memfd = "memfd (no limit but memory)" if hasattr(os, "memfd_create") else "files"
    yield "large arrays go through", memfd
    yield from _rlimits()


def _physical() -> Iterator[Line]:
    try:
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        yield "of the machine", "unknown"
        return
    yield "of the machine", size(whole)
    with open("/proc/meminfo", encoding="ascii") as file:
        fields = dict(line.split(":", 1) for line in file)
    yield "available", size(int(fields["MemAvailable"].split()[0]) << 10)


def _cgroup_memory() -> str:
    """The lowest memory limit of the process's groups, as text."""
    names = {1: "memory.limit_in_bytes", 2: "memory.max"}
    found = [
        int(text)
        for folder, number in cpus._group_directories("/")
        if (text := cpus._read(folder, names[number]).strip()).isdigit()
    ]
    least = min(found, default=0)
    return size(least) if 0 < least < 1 << 60 else "no limit"


def _rlimits() -> Iterator[Line]:
    try:
        import resource
    except ImportError:  # Windows
        return
    for name, what in (
        ("RLIMIT_AS", "address space"),
        ("RLIMIT_MEMLOCK", "locked memory"),
        ("RLIMIT_NOFILE", "open files"),
        ("RLIMIT_NPROC", "processes"),
    ):
        number = getattr(resource, name, None)
        if number is None:
            continue
        soft, _ = resource.getrlimit(number)
        text = str(soft) if name in ("RLIMIT_NOFILE", "RLIMIT_NPROC") else size(soft)
        yield what, "no limit" if soft == resource.RLIM_INFINITY else text


def _blas() -> Iterator[Line]:
    from parallelize.process.worker.blas_threads import _VARIABLES

    for name in _VARIABLES:
        yield name, os.environ.get(name, "not set")
    share = max(1, cpus.cpu_count() // cpus.default_workers())
    is_set = "OMP_NUM_THREADS" in os.environ
    yield "in each worker", "as set" if is_set else f"{share}, unless set"
    threadpoolctl = version("threadpoolctl") and _loaded_blas()
    if threadpoolctl:
        yield "loaded here", threadpoolctl


def _loaded_blas() -> str:
    import importlib

    if version("numpy"):
        importlib.import_module("numpy")
    control: Any = importlib.import_module("threadpoolctl")  # it has no types
    pools = control.threadpool_info()
    return ", ".join(f"{p['internal_api']}: {p['num_threads']} threads" for p in pools)


def _engines() -> Iterator[Line]:
    for name in ENGINES:
        yield name, version(name) or "not installed"


_SECTIONS: Sequence[tuple[str, Callable[[], Iterator[Line]]]] = (
    ("python", _python),
    ("start methods", _start_methods),
    ("cpus", _cpus),
    ("memory", _memory),
    ("threads of numeric libraries", _blas),
    ("engines", _engines),
)


# The test of the pools.


class Trial(NamedTuple):
    """The result of testing one pool."""

    pool: str
    works: bool
    text: str


def _trials() -> Iterator[Trial]:
    from parallelize.executors.process import ProcessPoolExecutor
    from parallelize.executors.thread import ThreadPoolExecutor
    from parallelize.process.start.launcher import METHODS

    each = LONGEST / (len(METHODS) + 1)
    yield _trial("threads", ThreadPoolExecutor, each)
    for method in METHODS:
        yield _trial(
            f"processes, {method}",
            lambda method=method: ProcessPoolExecutor(mp_context=method),  # type: ignore[misc]
            each,
        )


def _trial(name: str, make: Callable[[], Any], seconds: float) -> Trial:
    """Test a pool, for at most this many seconds."""
    begun = perf_counter()
    try:
        pool = make()
        try:
            pool.submit(abs, -1).result(PATIENCE)
            ready = perf_counter() - begun
            text = _measured(pool, ready, begun + seconds)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    except Exception as error:  # noqa: BLE001 - reported as the result of the test
        return Trial(name, False, f"DOES NOT WORK: {type(error).__name__}: {error}")
    return Trial(name, True, text)


def _measured(pool: Any, ready: float, until: float) -> str:
    """The latency and throughput of a pool that works, in the time that is left."""
    left = max(until - perf_counter(), 0.1)
    latency = _best(lambda: pool.submit(abs, -1).result(PATIENCE), left / 3)
    count = 2000
    calls = _best(lambda: _wait([pool.submit(abs, -1) for _ in range(count)]), left / 3)
    items = 20_000
    row = _best(lambda: sum(pool.map(abs, range(items))), left / 3)
    return (
        f"ready in {duration(ready * 1e9)}; a call takes {duration(latency * 1e9)}; "
        f"{count / calls:,.0f} calls/s; map: {items / row:,.0f} items/s"
    )


def _wait(futures: Sequence[Any]) -> None:
    for future in futures:
        future.result(PATIENCE)


def _best(action: Callable[[], object], seconds: float) -> float:
    """The shortest time of an action, which is repeated for this many seconds."""
    until = perf_counter() + seconds
    best = float("inf")
    while True:
        begun = perf_counter()
        action()
        ended = perf_counter()
        best = min(best, ended - begun)
        if ended + (ended - begun) > until:
            return best
