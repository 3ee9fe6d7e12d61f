"""The life of a pool of worker processes: how it opens, is closed, and ends."""

from __future__ import annotations

import enum

from parallelize.process.parent.dispatcher import Dispatcher
from parallelize.process.parent.scheduler import Scheduler, start_error
from parallelize.process.parent.workers import LEAVE_GRACE
from parallelize.runtime import lifecycle, locks

TYPE_CHECKING = False
if TYPE_CHECKING:
    import threading

    from parallelize.calls.open_maps import OpenMaps
    from parallelize.process.parent.tasks.call import Task
    from parallelize.process.start.config import PoolSettings
    from parallelize.process.start.early import Prestart

_new_preparing = locks.reentrant("preparing")


#: Seconds that running calls have when the parent process ends because of an error.
ABANDON_GRACE = 0.5


class PoolState(enum.Enum):
    """The life of a pool."""

    FRESH = "nothing is started"
    OPEN = "takes calls"
    CLOSING = "finishes the calls it has, or is being killed"
    CLOSED = "has no worker and no thread"
    FORGOTTEN = "belongs to the parent of this forked process"


class PoolLife:
    """Opens a pool at its first call, and ends it; the dispatcher's thread helps.

    Attributes:
        scheduler: What sends tasks to workers; its lock guards the state, too.
        state: What the pool does.
        broken: How its initializer failed, if that broke it.
    """

    def __init__(self, settings: PoolSettings, maps: OpenMaps) -> None:
        self.settings: PoolSettings = settings
        self.scheduler: Scheduler = Scheduler(settings)
        self.state: PoolState = PoolState.FRESH
        self.broken: str | None = None
        self._maps = maps
        self._starter = self.scheduler.workers.starter
        self._dispatcher: Dispatcher | None = None
        # Held while the initializer is pickled, which runs the user's code.
        self._preparing: threading.RLock = _new_preparing()

    # Opening.

    def adopt(self, server: Prestart) -> None:
        """Take over a server that is already booting, and start the first worker."""
        if server.launcher is not None and locks.held(
            self.scheduler.lock, self._adopt, server
        ):
            self._start_early()

    def _adopt(self, server: Prestart) -> bool:
        if self.state is not PoolState.FRESH or self._starter.launcher is not None:
            return False  # another thread was faster
        lifecycle.register(self)
        # In this order: the launcher always has an owner, and if Ctrl-C leaves it with
        # two, the pool finds it closed and starts another.
        self._starter.launcher = server.launcher
        server.launcher = None
        return True

    def _start_early(self) -> None:
        """Start the first worker, which boots while the first call is pickled.

        An error here occurs again when that call is enqueued, and is reported then.
        """
        scheduler = self.scheduler
        locked = locks.depth(scheduler.lock)
        try:
            self._prepare()
            with scheduler.lock:
                self._open()
                if not scheduler.workers:
                    scheduler.start_worker()
        except Exception:  # noqa: BLE001 - see the docstring
            return
        except BaseException:  # Ctrl-C
            self._repair(locked)
            raise

    def _repair(self, locked: int) -> None:
        """After Ctrl-C: restore what it interrupted, and how often the lock is held."""
        with self.scheduler.lock:
            self.scheduler.repair()
        locks.release_to(self.scheduler.lock, locked)

    def _prepare(self) -> None:
        """Prepare the starter before the pool opens, without the pool's lock."""
        locks.held(self._preparing, self._starter.prepare)

    def _open(self) -> None:
        if self.state is PoolState.OPEN or (
            self.state is PoolState.CLOSING
            and self._dispatcher is not None
            and self.broken is None
            and not self.scheduler.is_stopping
        ):
            return
        if self.broken is not None:
            raise start_error(self.broken)
        if self.state is not PoolState.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)
        lifecycle.register(self)
        try:
            if self.settings.method == "fork":  # before the dispatcher's thread starts
                self._starter.start_server()
            self._connect(PoolState.OPEN, dispatcher := Dispatcher(self))
            dispatcher.start()
        except BaseException:
            self._undo_open()
            raise

    def _connect(self, state: PoolState, dispatcher: Dispatcher | None) -> None:
        self._dispatcher = self.scheduler.waker = dispatcher
        self.state = state

    def _undo_open(self) -> None:
        """Close what a failed `_open` has opened, unless the dispatcher uses it."""
        dispatcher = self._dispatcher
        if dispatcher is not None and dispatcher.has_started:
            return  # Ctrl-C came when the pool was open
        self._connect(PoolState.FRESH, None)
        if dispatcher is not None:
            dispatcher.forget()
        # Also a server that was started early: it has the current limits.
        self._starter.close_servers()

    def start_failed(self, reason: str, *, initializing: bool) -> None:
        """Record that a worker ended before it served; give up after some failures.

        If it may have been running the initializer and no other worker serves, the pool
        is broken. Any other reason may no longer exist at the next call.
        """
        scheduler = self.scheduler
        if scheduler.is_stopping:
            return
        if self._starter.gives_up(others_serve=scheduler.workers.are_serving()):
            if initializing:
                self.broken = reason
                self._close()
                scheduler.wake()
            scheduler.fail_queue(reason)

    def _refuse_if_closed(self) -> None:
        if self.state is PoolState.OPEN:
            return
        lifecycle.refuse_when_ending()
        if self.broken is not None:
            raise start_error(self.broken)
        if self.state is not PoolState.FRESH:
            msg = "cannot schedule new futures after shutdown"
            raise RuntimeError(msg)

    # Ending.

    def _close(self, *, stop: bool = False) -> None:
        """Accept no more calls; with ``stop`` begin none either; under the lock."""
        if self.state is PoolState.OPEN:
            self.state = PoolState.CLOSING
        if self.state is PoolState.CLOSING:
            self.scheduler.close(stop=stop)

    def shutdown(self, *, wait: bool = True, cancel_futures: bool = False) -> None:
        """Accept no more calls; finish or cancel the queued ones; release workers."""
        scheduler = self.scheduler
        dropped: list[Task] = []
        with scheduler.lock:
            never_opened = self.state is PoolState.FRESH
            if never_opened:
                self.state = PoolState.CLOSED
            self._close()
            if cancel_futures:
                dropped = scheduler.take_waiting()
                for task in scheduler.workers.tasks():
                    task.end_retries()
            scheduler.wake()
        if never_opened:
            self._starter.close()  # a server that was started early
        for task in dropped:
            task.drop()
        # In a signal handler, this thread may hold the lock already. The dispatcher
        # needs it, so waiting here would be a deadlock.
        if wait and self._dispatcher is not None and not locks.depth(scheduler.lock):
            self._dispatcher.join()

    def kill_workers(self, number: int) -> None:
        """Close, drop the queued tasks, and send every worker a signal now."""
        self._stop()
        workers = self.scheduler.workers
        with self.scheduler.lock:
            for worker in workers.values():
                worker.kill(number)
                workers.kill_after(LEAVE_GRACE, worker)

    def _stop(self) -> None:
        """Prevent any further task from starting."""
        with self.scheduler.lock:
            self._close(stop=True)
        self.shutdown(wait=False, cancel_futures=True)

    def stop_taking(self, *, drop: bool) -> None:
        """Before the exit: accept no more calls; ``drop`` those that are queued."""
        self._ask_to_stop()
        if drop:
            self._maps.cancel()
        self.shutdown(wait=False, cancel_futures=drop)

    def finish(self) -> None:
        """At exit: finish what was submitted."""
        self._ask_to_stop()
        self._maps.finish(unread_only=True)
        self.shutdown(wait=True)

    def abandon(self) -> None:
        """At exit because of an error: drop what is queued, kill what runs."""
        self._maps.cancel()
        self._ask_to_stop()
        self._stop()
        workers = self.scheduler.workers
        with self.scheduler.lock:
            for worker in workers.values():
                workers.kill_after(ABANDON_GRACE, worker)
        self.shutdown(wait=True, cancel_futures=True)

    def _ask_to_stop(self) -> None:
        """Tell the calls that run, and those that follow, that the program ends."""
        if lifecycle.is_ending():
            with self.scheduler.lock:
                self.scheduler.workers.ask_all_to_stop()

    def try_finish(self) -> bool:
        """If the pool is closing and idle, release workers; True once all are gone."""
        scheduler = self.scheduler
        with scheduler.lock:
            if self.state is not PoolState.CLOSING:
                return False
            if len(scheduler.queue) or scheduler.held:
                return False
            for worker in list(scheduler.workers.values()):
                if not worker.tasks:
                    scheduler.workers.retire(worker)
            return not scheduler.workers

    @property
    def takes_nothing(self) -> bool:
        """Whether the pool was shut down."""
        return self.state in (PoolState.CLOSING, PoolState.CLOSED)

    @property
    def forgotten(self) -> bool:
        """Whether this is a forked child, so the pool belongs to its parent."""
        return self.state is PoolState.FORGOTTEN

    def closed(self) -> None:
        """Close the rest; called by the dispatcher when all workers are gone."""
        with self.scheduler.lock:
            self.state = PoolState.CLOSED
        self._starter.close()
        self.scheduler.ledger.segments.close()

    def forget(self) -> None:
        """In a forked child: close its descriptors, fail the parent's futures."""
        self._preparing = _new_preparing()
        self.state = PoolState.FORGOTTEN
        self._maps.forget()
        tasks = self.scheduler.forget()
        if self._dispatcher is not None:
            self._dispatcher.forget()
        for task in tasks:
            task.fail_in_forked_child()
