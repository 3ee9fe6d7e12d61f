"""`DaskExecutor`: calls on a Dask cluster, an existing one or a private local one.

`distributed` is imported only when an executor is made.
"""

from __future__ import annotations

import contextlib
import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from parallelize.clusters.dask_errors import translated
from parallelize.clusters.dask_link import Link
from parallelize.clusters.dask_refs import (
    CallRef,
    Content,
    Copies,
    Recipe,
    Scattered,
)
from parallelize.clusters.dask_stops import ask
from parallelize.clusters.executor import EngineExecutor
from parallelize.errors import MissingExtraError
from parallelize.futures.future import Future
from parallelize.runtime import lifecycle
from parallelize.runtime.options import check_workers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import distributed
    from distributed.security import Security

    from parallelize.clusters.call import EngineCall, EngineFuture
    from parallelize.clusters.dask_local import Cluster
    from parallelize.clusters.payloads import Payload, RemoteCall

__all__ = ("DaskExecutor",)

#: An optional prefix of addresses, as `use` takes them.
SCHEME = "dask://"


class DaskExecutor(EngineExecutor):
    """Runs calls on a Dask cluster, by `dask.distributed`.

    Dask queues the calls, places them and moves results from worker to worker. If a
    worker dies, it starts the call again, up to the number of times in its setting
    ``distributed.scheduler.allowed-failures`` (three by default), even without
    ``retries``. After that the future raises `WorkerDied`. ``retries`` are made by
    Dask, too.

    If a future of this executor is an argument of another call of it, the result goes
    straight from worker to worker. Results above a megabyte remain in the cluster
    until they are read; buffers above a megabyte among the arguments are put there
    once, for all calls that use them, and so is what `share` returns.

    What dies with a worker is put and run again: arguments, shared objects and results
    that remain in the cluster. For this, the program keeps a copy of the large
    arguments of calls in flight, up to 512 MB. A call whose data cannot be put again
    raises `WorkerDied`.

    Calls raise `ClusterLost` if the connection to the scheduler is lost, if it does not
    answer for as long as ``distributed.comm.timeouts.tcp`` says (30 s by default), or
    if all workers are gone and none comes for as long as
    ``distributed.scheduler.no-workers-timeout`` says (if that is not set, 5 minutes).
    New calls are accepted, and succeed when the cluster is back.

    `Future.cancel` asks the scheduler whether the call has begun. In an event loop, and
    if there is no answer within 20 ms, it returns False, and a call that has not begun
    is cancelled when the answer arrives.

    A ``timeout`` is measured from the start of the function, and fails the future; the
    function itself runs on, as in a thread, and `stopping` is true in it: Dask cannot
    stop it, and so neither can `Future.kill`.

    Args:
        client_or_address: A ``distributed.Client`` or a cluster of Dask, which is
            left open; or the address of a scheduler, ``"tcp://host:8786"`` or
            ``"dask://host:8786"``. None starts a ``LocalCluster`` on 127.0.0.1 without
            a dashboard; it ends with this executor or with the program, and
            accepts this program only, by a key of its own (TLS).
        max_workers: The number of processes of a private local cluster. None: the
            number of CPUs.

    Raises:
        MissingExtraError: ``distributed`` is not installed.
        ConnectionError: No scheduler answers at the address.
        TypeError: An argument has the wrong type; the message names it.
        ValueError: An argument has an invalid value; the message names it.

    Example:
        A cluster of two processes on this machine::

            from parallelize import DaskExecutor

            with DaskExecutor(max_workers=2) as executor:
                print(list(executor.map(abs, [-1, 2, -3])))
    """

    kind: ClassVar[str] = "dask"
    _starts_again: ClassVar[bool] = True

    def __init__(
        self,
        client_or_address: distributed.Client | str | object | None = None,
        *,
        max_workers: int | None = None,
    ) -> None:
        max_workers = check_workers(max_workers)
        if client_or_address is not None and max_workers is not None:
            msg = "max_workers must not be given for a cluster that is there already"
            raise ValueError(msg)
        self._cluster: Cluster | None = None
        self._client: distributed.Client = self._connected(
            client_or_address, max_workers
        )
        theirs = self._client is client_or_address
        self._end = partial(_end, None if theirs else self._client, self._cluster)
        self._finalizer = weakref.finalize(self, _end_elsewhere, self._end)
        self._topic: str | None = None
        self._link = Link(self._client, partial(_has_ended, self._cluster))
        self._link.connect()
        self._copies = Copies()
        super().__init__()

    def _connected(self, given: Any, max_workers: int | None) -> distributed.Client:
        if isinstance(given, _distributed().Client):
            return _checked(given)
        if given is not None:
            return _client_of(_target(given), direct=None)
        from parallelize.clusters.dask_local import Cluster
        from parallelize.runtime.cpus import cpu_count

        self._cluster = Cluster(max_workers or cpu_count())
        try:
            return _client_of(
                self._cluster.address, direct=True, security=self._cluster.security
            )
        except BaseException:
            self._cluster.close()
            raise

    @property
    def client(self) -> distributed.Client:
        """The client of Dask, for everything else that Dask can do."""
        return self._client

    if not TYPE_CHECKING:

        @property
        def _max_workers(self) -> int:
            # Clusters grow and shrink. If this one does not answer, the calls say so.
            count = self._link.ask(self._link.count, self._link.threads)
            return max(1, count)

    # How a call is run.

    def _hand_over(
        self,
        call: EngineCall,
        run: Callable[..., Any],
        remote: RemoteCall,
        objects: Sequence[Any],
    ) -> CallRef:
        losses = _setting("distributed.scheduler.allowed-failures", 3)
        keep = call.contents
        ref = CallRef(
            self._link,
            Recipe(
                run, remote, objects, call.engine_retries, losses, keep, call.untime
            ),
        )
        self._link.soon(self._follow, call, ref, call.attempt)
        return ref

    def _follow(self, call: EngineCall, ref: CallRef, attempt: int) -> None:
        """Wait for a call, in the thread of Dask's client."""
        ended = partial(self._answered, call, attempt=attempt)
        self._link.begin(ref.life(), ended)

    def _start_reporter(self, number: int) -> Callable[[], object]:
        topic = self._topic
        if topic is None:
            topic = self._topic = f"parallelize-{self._client.id}-{id(self)}"
            # A thread that does this at the same time subscribes, too: harmless.
            self._client.subscribe_topic(topic, lambda event: self._begun(event[1]))
        return _Started(topic, number)

    def _put(self, payload: Payload) -> Scattered:
        return Scattered(self._link, self._copies.copied(payload))

    def _content_of(
        self, ref: Scattered, read: Callable[[], Payload], nbytes: int
    ) -> Content | None:
        content = ref.content
        if content is not None:  # counted already
            return content if self._copies.have_room() else None
        if self._copies.have_room(nbytes):
            content = ref.content = self._copies.copied(read())
        return content

    def _is_there(self, ref: Scattered) -> bool:
        return not ref.is_lost

    def _fetch(self, ref: CallRef, timeout: float | None = None) -> Payload:
        fetching = ref.fetching
        if fetching is None:
            fetching = ref.fetching = self._link.start(ref.fetch)
        try:
            payload: Payload = self._link.end_of(fetching, timeout)
            return payload
        finally:
            if fetching.done():
                ref.fetching = None

    def _running(self, refs: Sequence[CallRef]) -> list[bool | None]:
        keys = [None if ref.cannot_run else ref.key for ref in refs]
        if not any(keys):
            return [False] * len(refs)
        running = self._link.ask(partial(self._executing, keys), None)
        return [
            False if key is None else None if running is None else key in running
            for key in keys
        ]

    async def _executing(self, keys: Sequence[str | None]) -> set[str]:
        """Return the keys of the calls that workers run now."""
        stacks = await self._client.scheduler.call_stack(
            keys=[key for key in keys if key is not None]
        )
        # A call that has just ended is unknown to Dask, and is not running.
        return {key for each in stacks.values() for key in each}

    def _cancel_soon(self, future: EngineFuture[Any]) -> None:
        if future.ref is None:
            future.cancel()
        else:
            self._link.soon(self._cancel_unless_running, future)

    async def _cancel_unless_running(self, future: EngineFuture[Any]) -> None:
        ref = future.ref
        try:
            running = await self._executing([ref.key])
            states = await self._client.scheduler.get_task_status(keys=[ref.key])
        except Exception:  # noqa: BLE001 - it may be running: it is not cancelled
            return
        if ref.key in running:
            future._claim()
            future._ask_to_stop()
        elif states.get(ref.key) in _NOT_ENDED and Future.cancel(future):
            ref.drop()

    def _drop(self, refs: Sequence[CallRef | None]) -> None:
        for ref in refs:
            if ref is not None:
                ref.dropped = True
                self._link.soon(ref.drop)

    def _ask_to_stop(self, ref: CallRef) -> None:
        self._link.soon(self._ask, ref)

    async def _ask(self, ref: CallRef) -> None:
        if ref.key is not None:
            with contextlib.suppress(Exception):  # it has ended, or the cluster is lost
                await ask(self._client, ref.key)

    def _kill(self, ref: CallRef) -> bool:
        # Dask cannot, but the call may look.
        ref.dropped = True
        self._link.soon(self._ask_and_drop, ref)
        return True

    async def _ask_and_drop(self, ref: CallRef) -> None:
        await self._ask(ref)
        ref.drop()

    def _translated(self, error: BaseException, name: str) -> BaseException | None:
        return translated(error, name, self._client)

    def _restarts(self, error: BaseException) -> int:
        return getattr(error.__cause__, "allowed_failures", 0)

    def _loss(self) -> str | None:
        return "the client is closed" if self._client.status == "closed" else None

    def _abandon(self) -> None:
        if self._cluster is not None:
            self._cluster.hurry = True
        super()._abandon()

    def _leave(self) -> None:
        if self._topic is not None and self._client.status == "running":
            with contextlib.suppress(ValueError):
                self._client.unsubscribe_topic(self._topic)
        if self._finalizer.detach() is not None:
            self._end()


#: The scheduler's states of a call that has not begun, or is running.
_NOT_ENDED = ("queued", "no-worker", "waiting", "processing", "released")


class _Started:
    """Reports, from a worker, that a function starts."""

    def __init__(self, topic: str, number: int) -> None:
        self._topic = topic
        self._number = number

    def __call__(self) -> None:
        _distributed().get_worker().log_event(self._topic, self._number)


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        what = "DaskExecutor"
        raise MissingExtraError(what, "dask") from error
    return distributed


def _setting(name: str, otherwise: int) -> int:
    import dask

    return int(dask.config.get(name, otherwise))


def _checked(client: distributed.Client) -> distributed.Client:
    if client.asynchronous:
        msg = "client_or_address must be a client that is not asynchronous"
        raise ValueError(msg)
    if client.status != "running":
        msg = f"client_or_address must be a client that is connected, not {client!r}"
        raise ValueError(msg)
    return client


def _target(given: Any) -> Any:
    """Return what a client connects to: an address, or a cluster of Dask."""
    if isinstance(given, str):
        address = given.removeprefix(SCHEME)
        if address.rpartition("://")[2].strip("/") == "" or address.endswith(":"):
            msg = f"client_or_address must look like 'tcp://host:8786', not {given!r}"
            raise ValueError(msg)
        return address
    if isinstance(getattr(given, "scheduler_address", None), str):
        return given
    msg = (
        "client_or_address must be a client or a cluster of Dask, the address of a "
        f"scheduler, or None, not {given!r}"
    )
    raise TypeError(msg)


def _client_of(
    target: Any, *, direct: bool | None, security: Security | None = None
) -> distributed.Client:
    client = _distributed().Client
    try:
        made: distributed.Client = client(
            target,
            set_as_default=False,
            direct_to_workers=direct,
            security=security,
        )
    except (OSError, TimeoutError) as error:
        msg = f"no Dask scheduler answers at {target}: {error}"
        raise ConnectionError(msg) from error
    return made


def _end(client: distributed.Client | None, cluster: Cluster | None) -> None:
    if client is not None:
        client.close()
    if cluster is not None:
        cluster.close()


def _has_ended(cluster: Cluster | None) -> bool:
    return cluster is not None and cluster.has_ended()


def _end_elsewhere(end: Callable[[], object]) -> None:
    """Leave a cluster when its executor is collected or the program ends."""
    if lifecycle.is_ending():
        end()
    else:
        lifecycle.later(end)
