"""A LocalCluster of our own, in a process of its own.

```
 program ── starts ──▶ keeper (this file's `main`) ── LocalCluster ──▶ workers
    │ ◀── address ────────┘  │
    └── a pipe, held open ───┘  at whose end, whatever the reason, all of it ends
```

In the program itself Dask would import the program's script again in each worker, and
its scheduler would compete with the program for the interpreter.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from parallelize.runtime import command

__all__ = ("Cluster", "main")

#: Seconds that the cluster has for its end.
GRACE = 20.0


class Cluster:
    """Scheduler and workers on 127.0.0.1.

    Attributes:
        address: Where the scheduler is reached.
        hurry: Whether `close` is to kill what runs.
    """

    hurry: bool = False

    def __init__(self, workers: int) -> None:
        """Start it.

        Args:
            workers: How many processes, of one thread each.

        Raises:
            RuntimeError: It did not start; what went wrong stands on stderr.
        """
        self._folder = tempfile.mkdtemp(prefix="parallelize-dask-")
        self._process, reading = _start(workers, self._folder)
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
        """The process id of its keeper."""
        return self._process.pid

    def close(self) -> None:
        """End it; returns when it has ended."""
        assert self._process.stdin is not None
        if self.hurry:
            self._process.kill()  # its workers notice, and end at once
        self._process.stdin.close()
        try:
            self._process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


def _start(workers: int, folder: str) -> tuple[subprocess.Popen[bytes], int]:
    """Start the keeper; return it and the end of a pipe on which its address comes."""
    code = "from parallelize.clusters.dask_local import main; main"
    if sys.platform == "win32":  # where only the standard streams are passed on
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
        # A session of its own: Ctrl-C is for the program, which ends it in order.
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
    """Keep a cluster until the pipe that is standard input is closed.

    Args:
        report: The descriptor to which the address is written.
        workers: How many processes.
        folder: Where they keep files; it is gone in the end.
        path: Where modules are looked for.
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

    from parallelize.clusters.dask import _distributed

    # What goes wrong the futures tell; the rest is workers saying goodbye.
    with _distributed().LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address=None,
        # It has a small HTTP server all the same, which would ask for port 8787 on
        # every interface.
        scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
        local_directory=folder,
        silence_logs=logging.CRITICAL,
    ) as cluster:
        os.write(report, cluster.scheduler_address.encode())
        os.close(report)
        sys.stdin.buffer.read()
