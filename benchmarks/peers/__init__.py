"""The libraries that are compared, by short names."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.peers import processes, threads

if TYPE_CHECKING:
    from benchmarks.peers.base import Peer

OURS = "parallelize"

PROCESSES: dict[str, type[Peer]] = {
    OURS: processes.Parallelize,
    "futures": processes.Futures,
    "futures-fork": processes.FuturesFork,
    "pool": processes.Multiprocessing,
    "pool-fork": processes.MultiprocessingFork,
    "loky": processes.Loky,
    "joblib": processes.Joblib,
    "pebble": processes.Pebble,
    "mpire": processes.Mpire,
    "ray": processes.Ray,
    "buffersize": processes.FuturesBuffered,
    "streamable": processes.Streamable,
}

THREADS: dict[str, type[Peer]] = {
    OURS: threads.ParallelizeThreads,
    "futures": threads.FuturesThreads,
    "pool": threads.MultiprocessingThreads,
    "buffersize": threads.FuturesBufferedThreads,
    "streamable": threads.StreamableThreads,
}


class Entrant(NamedTuple):
    """A library and how it is tuned, written `pool` or `pool:map`."""

    peer: str
    tuning: str = ""

    @classmethod
    def read(cls, text: str) -> Entrant:
        return cls(*text.split(":"))

    def __str__(self) -> str:
        return f"{self.peer}:{self.tuning}" if self.tuning else self.peer


def installed(peer: type[Peer]) -> bool:
    """Return whether a library can be imported."""
    try:
        return importlib.util.find_spec(peer.package) is not None
    except ModuleNotFoundError:
        return False
