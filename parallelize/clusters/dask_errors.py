"""Errors of Dask, and what they are for the caller of a call."""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import distributed

__all__ = ("LOSSES", "DataLost", "Lost", "reason_of", "translated")

#: The reasons for which Dask cancels all calls of a client, as Dask has them, and in
#: words for an error.
LOSSES: dict[str, str] = {
    "scheduler-connection-lost": "the connection to its scheduler was lost",
    "scheduler-restart": "it was restarted",
}

#: Errors of Dask's scheduler when a call finds no worker for too long.
_NO_WORKERS = ("NoValidWorkerError", "NoWorkerError")


class Lost(Exception):
    """The cluster does not answer any more, or has no workers."""


class DataLost(Exception):
    """What a call needs died with its worker, and cannot be put or made again."""


def reason_of(error: object) -> str | None:
    """Return why Dask cancelled a call, as far as it says so."""
    groups = getattr(error, "error_groups", None)
    reason = groups[0].reason if groups else getattr(error, "reason", None)
    return reason if isinstance(reason, str) else None


def translated(
    error: BaseException, name: str, client: distributed.Client
) -> BaseException | None:
    """Return an error of Dask as one of this library; None if it was a cancellation."""
    import asyncio

    from parallelize.errors.worker import ClusterLost, WorkerDied

    kind = type(error).__name__
    if kind == "KilledWorker" or isinstance(error, DataLost):
        return _caused(WorkerDied(name), error)
    if isinstance(error, Lost) or kind in _NO_WORKERS:
        return _caused(ClusterLost(name, str(error)), error)
    reason = LOSSES.get(reason_of(error) or "")
    if reason is not None or client.status != "running":
        why = reason or f"the client is {client.status}"
        return _caused(ClusterLost(name, why), error)
    if isinstance(error, (CancelledError, asyncio.CancelledError)):
        return None
    if isinstance(error, (OSError, RuntimeError)):
        return _caused(ClusterLost(name, str(error)), error)
    return error


def _caused(ours: BaseException, cause: BaseException) -> BaseException:
    ours.__cause__ = cause
    return ours
