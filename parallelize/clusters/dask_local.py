"""A private LocalCluster, in a process of its own.

```
 program ── starts ──▶ keeper (this file's `main`) ── LocalCluster ──▶ workers
    │ ◀── address ────────┘  │
    └── an open pipe ────────┘  all of it ends when the pipe closes, for any reason
        (first line: the credentials of this cluster)
```

Every process that may talk to a scheduler of Dask may have it run what it likes, and
loopback is open to all users of a machine. So each cluster has a key and certificate of
its own, made by the program, and refuses connections without them.

Within the program, Dask would import the program's script again in each worker, and
its scheduler would compete with the program for the interpreter.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING

from parallelize.errors import MissingExtraError
from parallelize.process.wire import command

if TYPE_CHECKING:
    from distributed.security import Security

__all__ = ("Cluster", "main")

#: Seconds that the cluster has to end.
GRACE = 20.0


class Cluster:
    """Scheduler and workers on 127.0.0.1.

    Attributes:
        address: The address of the scheduler.
        security: What a client needs to be let in.
        hurry: Whether `close` kills running calls.
    """

    hurry: bool = False

    def __init__(self, workers: int) -> None:
        """Start the cluster.

        Args:
            workers: The number of processes, of one thread each.

        Raises:
            MissingExtraError: ``cryptography`` is not installed.
            RuntimeError: It did not start; the reason is on stderr.
        """
        self.security: Security = _temporary_security()
        self._folder = tempfile.mkdtemp(prefix="parallelize-dask-")
        self._process, reading = _start(workers, self._folder)
        self._send_credentials()
        with os.fdopen(reading, encoding="utf-8") as pipe:
            self.address: str = pipe.read()
        if not self.address:
            self.close()
            msg = (
                "the local Dask cluster did not start: its process ended with exit "
                f"code {self._process.returncode}"
            )
            raise RuntimeError(msg)

    @property
    def pid(self) -> int:
        """The process id of the keeper."""
        return self._process.pid

    def has_ended(self) -> bool:
        """Whether the keeper has ended, and so all of the cluster."""
        return self._process.poll() is not None

    def _send_credentials(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: no address will come
            stdin.write(json.dumps(_credentials(self.security)).encode() + b"\n")
            stdin.flush()

    def close(self) -> None:
        """End the cluster, and return when it has ended."""
        assert self._process.stdin is not None
        if self.hurry:
            self._process.kill()  # the workers detect that, and end at once
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _temporary_security() -> Security:
    from parallelize.clusters.dask import _distributed

    security = _distributed().security.Security
    try:
        made: Security = security.temporary()
    except ImportError as error:
        what = "DaskExecutor"
        raise MissingExtraError(what, "dask") from error
    return made


#: The fields of Dask's `Security` that hold a key or a certificate.
_SECRETS = (
    "tls_ca_file",
    "tls_client_key",
    "tls_client_cert",
    "tls_scheduler_key",
    "tls_scheduler_cert",
    "tls_worker_key",
    "tls_worker_cert",
)


def _credentials(security: Security) -> dict[str, str]:
    return {name: getattr(security, name) for name in _SECRETS}


def _start(workers: int, folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the keeper; return it and the reading end of a pipe for its address."""
    code = "from parallelize.clusters.dask_local import main; main"
    if sys.platform == "win32":  # only the standard streams can be inherited
        line = command.python(f"{code}(1, {workers}, {folder!r}, {sys.path!r})")
        process = subprocess.Popen(
            line,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=command.environment(),
        )
        assert process.stdout is not None
        return process, os.dup(process.stdout.fileno())
    reading, writing = os.pipe()
    try:
        # A session of its own: Ctrl-C only reaches the program, which ends the keeper.
        return subprocess.Popen(
            command.python(f"{code}({writing}, {workers}, {folder!r}, {sys.path!r})"),
            stdin=subprocess.PIPE,
            pass_fds=(writing,),
            env=command.environment(),
            start_new_session=True,
        ), reading
    finally:
        os.close(writing)


def main(report: int, workers: int, folder: str, path: list[str]) -> None:
    """Keep a cluster until standard input, a pipe, is closed.

    The first line of standard input holds the credentials, as JSON.

    Args:
        report: The descriptor to which the address is written.
        workers: The number of processes.
        folder: The directory of their files; it is removed at the end.
        path: The search path for modules.
    """
    sys.path[:] = path
    if report == 1:
        report = os.dup(1)
        os.dup2(2, 1)
    os.set_inheritable(report, False)
    try:
        _keep(report, workers, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _keep(report: int, workers: int, folder: str) -> None:
    import logging

    import dask

    from parallelize.clusters.dask import _distributed

    distributed = _distributed()
    credentials = json.loads(sys.stdin.buffer.readline())
    # Dask gives up a worker for good that happens to be restarting when this time has
    # passed since an earlier death.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "100 days"})
    # Futures report errors; the rest of the log is about workers that end.
    with distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        protocol="tls://",
        security=distributed.security.Security(require_encryption=True, **credentials),
        dashboard_address=None,
        # It runs a small HTTP server nevertheless, by default at port 8787 on every
        # interface.
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        local_directory=folder,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        os.write(report, cluster.scheduler_address.encode())
        os.close(report)
        sys.stdin.buffer.read()
