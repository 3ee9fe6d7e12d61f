"""The one thread of a pool that waits for workers, their exits, and deadlines.

It never polls. It blocks until a socket is ready, the nearest deadline is reached, or
another thread wakes it up.
"""

from __future__ import annotations

import contextlib
import logging
import selectors
from functools import partial

from parallelize.futures.future import unended
from parallelize.process.parent.deadlines import TICK
from parallelize.process.parent.receiver import Receiver
from parallelize.process.parent.recovery import Recovery, unregister
from parallelize.process.parent.tasks.call import CallTask
from parallelize.process.parent.tasks.worker_handle import WorkerStage
from parallelize.runtime import native
from parallelize.runtime.clock import bounded, monotonic
from parallelize.runtime.services import Service
from parallelize.runtime.spin import SPIN_LIMIT, AdaptiveSpin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future as AnyFuture
    from typing import Any

    from parallelize.futures.future import Future
    from parallelize.process.parent.life import PoolLife
    from parallelize.process.parent.tasks.worker_handle import WorkerHandle

_log = logging.getLogger("parallelize")


class Dispatcher:
    """Waits for everything that happens to one pool, and has it processed."""

    def __init__(self, pool: PoolLife) -> None:
        self._pool = pool
        self._scheduler = pool.scheduler
        self._service = Service("parallelize-dispatcher", self._run, self._refuse_wait)
        self._has_failed = False
        self._selector = selectors.DefaultSelector()
        try:
            self._wakeup, self._waker = native.socket_pair()
        except BaseException:  # no descriptor is left
            self._selector.close()
            raise
        self._wakeup.setblocking(False)
        self._waker.setblocking(False)
        self._is_woken = False
        self._wait = AdaptiveSpin()
        self._known: set[int] = set()  # ids of workers in the selector
        self._writing: set[int] = set()  # ids of workers whose sockets are full
        self._receiver = Receiver(
            pool.scheduler, partial(unregister, self._selector), self._on_hang_up
        )
        self._recovery = Recovery(pool, self._receiver, self._selector)
        self._selector.register(self._wakeup, selectors.EVENT_READ, self._on_wakeup)

    def start(self) -> None:
        """Start the thread; if this raises, `has_started` says whether it runs."""
        self._service.start()

    @property
    def has_started(self) -> bool:
        """Whether the thread was started; from then on it closes what is open here."""
        return self._service.has_started

    def join(self) -> None:
        """Wait for the thread to end, unless this is the thread."""
        self._service.join()

    def is_here(self) -> bool:
        """Whether this is the dispatcher's thread."""
        return self._service.is_here()

    def wake(self) -> None:
        """Make the thread check the pool; the caller holds the pool's lock."""
        if not self._is_woken:
            self.wake_unlocked()
            self._is_woken = True  # last: Ctrl-C must not leave it without a message

    def wake_unlocked(self) -> None:
        """Make the thread check the pool. Needs no lock; callable from finalizers."""
        with contextlib.suppress(OSError):  # full, so it wakes up anyway; or closed
            self._waker.send(b"!")

    def forget(self) -> None:
        """In a forked child: close its descriptors."""
        self._service.forget()
        self._wakeup.close()
        self._waker.close()
        self._selector.close()

    # The loop.

    def _run(self, service: Service) -> None:
        try:
            is_end = service.serve(self._turn)
        except BaseException:  # noqa: BLE001 - no caller may be left waiting
            with contextlib.suppress(Exception):
                _log.exception("the dispatcher of a process pool failed")
            self._has_failed = True
            self._fail_everything()
            is_end = service.call_back()
        if is_end:
            self._close()

    def _turn(self) -> bool:
        """Wait for events and handle them; return False at the end of the pool."""
        if self._has_failed or self._pool.try_finish():
            return False
        for key, mask in self._events():
            key.data(mask)
        self._do_what_is_due()
        return True

    def _refuse_wait(self, futures: Iterable[AnyFuture[Any]]) -> None:
        """Raise RuntimeError if this thread would complete these futures itself."""
        sought = unended(futures)
        if any(map(self._completes, sought)) or self._has_any(sought):
            msg = (
                "the thread that brings the results of a process pool cannot wait for "
                "a call of that pool, it would wait for ever. Log handlers, "
                "showwarning, __del__ and what unpickles an error may run in it: let "
                "them hand over to another thread. (Done-callbacks may wait.)"
            )
            raise RuntimeError(msg)

    def _completes(self, future: Future[Any]) -> bool:
        call = future._call
        return isinstance(call, CallTask) and call.pool.scheduler is self._scheduler

    def _has_any(self, futures: Iterable[Future[Any]]) -> bool:
        """Return whether any of these futures belongs to a call of this pool."""
        sought = {id(each) for each in futures}
        if not sought:
            return False
        scheduler = self._scheduler
        with scheduler.lock:
            tasks = [*scheduler.held, *scheduler.queue, *scheduler.workers.tasks()]
        return any(id(each) in sought for task in tasks for each in task.futures())

    def _events(self) -> list[tuple[selectors.SelectorKey, int]]:
        """Wait for events, spinning at first if that is likely to help."""
        seconds = self._seconds_left()
        events = None
        if seconds is None or seconds > SPIN_LIMIT:
            events = self._wait.spin(lambda: self._selector.select(0))
        if events is None:
            events = self._selector.select(seconds)
        self._wait.done()
        return events

    def _seconds_left(self) -> float | None:
        """Return the seconds until something is due; None if nothing is."""
        scheduler = self._scheduler
        with scheduler.lock:
            moments = [
                at for w in scheduler.workers.values() if (at := w.reclaim_due())
            ]
            if (nearest := scheduler.deadlines.nearest()) is not None:
                moments.append(nearest)
        return bounded(min(moments) - monotonic()) if moments else None

    def _do_what_is_due(self) -> None:
        now = monotonic() + TICK
        with self._scheduler.lock:
            self._scheduler.deadlines.do_what_is_due(now)
            for worker in self._scheduler.workers.values():
                reclaim_due = worker.reclaim_due()
                if reclaim_due is not None and reclaim_due <= now:
                    worker.reclaim()
        self._scheduler.deferred.run()

    def _on_wakeup(self, _: int) -> None:
        scheduler = self._scheduler
        with scheduler.lock:
            self._is_woken = False
            with contextlib.suppress(BlockingIOError):
                self._wakeup.recv(64)
            scheduler.buffers.send_notices()
            scheduler.streams.flush_credit()
            self._recovery.watch_servers()
            self._register()
            scheduler.assign_idle()  # Ctrl-C may have kept a caller from doing it

    def _register(self) -> None:
        """Add to the selector what is new: workers, full sockets."""
        workers = self._scheduler.workers
        if len(self._known) > len(workers):  # some have ended
            self._known.intersection_update(workers)
            self._writing.intersection_update(workers)
        for worker in workers.values():
            if worker.id not in self._known:
                self._known.add(worker.id)
                on_ready = partial(self._on_ready, worker)
                on_control = partial(self._receiver.on_control, worker)
                sock, control = worker.channel.sock, worker.channel.control
                self._selector.register(sock, selectors.EVENT_READ, on_ready)
                self._selector.register(control, selectors.EVENT_READ, on_control)
            self._wait_for_room(worker)

    def _wait_for_room(self, worker: WorkerHandle) -> None:
        channel = worker.channel
        if channel.stuck == (worker.id in self._writing):
            return
        events = selectors.EVENT_READ
        if channel.stuck:
            events |= selectors.EVENT_WRITE
            self._writing.add(worker.id)
        else:
            self._writing.discard(worker.id)
        with contextlib.suppress(KeyError):  # the worker has closed its end
            self._selector.modify(channel.sock, events, partial(self._on_ready, worker))

    def _on_ready(self, worker: WorkerHandle, mask: int) -> None:
        if worker.stage is WorkerStage.GONE:
            return  # its exit was an earlier event of this turn
        if mask & selectors.EVENT_WRITE:
            with self._scheduler.lock:
                worker.channel.flush()
                self._wait_for_room(worker)
        if mask & selectors.EVENT_READ:
            self._receiver.receive(worker)

    def _on_hang_up(self, worker: WorkerHandle) -> None:
        self._recovery.on_hang_up(worker)

    # The end.

    def _fail_everything(self) -> None:
        scheduler = self._scheduler
        with scheduler.lock:
            tasks = [*scheduler.take_waiting(), *scheduler.workers.tasks()]
            for worker in scheduler.workers.values():
                worker.kill()
                worker.close()
            scheduler.workers.clear()
        for task in tasks:
            task.abort(RuntimeError("the process pool failed; see the log"))

    def _close(self) -> None:
        self._pool.closed()
        self.forget()
