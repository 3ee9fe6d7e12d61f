"""`RayExecutor`: calls on a Ray cluster.

```
 program                              a worker of Ray
 _hand_over ── two references ──▶ run ▸ head:  the result if it is small
   │                                   └─ value: the result, for calls that depend on
   ▼ head has arrived ▸ answer                   its future, and for readers
```

`ray` is imported only when an executor is made.
"""

from __future__ import annotations

import contextlib
import pickle
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from parallelize.clusters.call import Remote
from parallelize.clusters.executor import EngineExecutor
from parallelize.clusters.payloads import (
    EncodedError,
    FinalError,
    LargePayload,
    Payload,
    RemoteCall,
)
from parallelize.clusters.ray_heads import Heads
from parallelize.clusters.ray_starts import Watch, call_ended
from parallelize.errors import MissingExtraError
from parallelize.runtime.options import check_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from parallelize.clusters.call import EngineCall

__all__ = ("RayExecutor",)

#: Ray's functions with the options of a call are kept for this many names.
MOST_READY = 256


class RayExecutor(EngineExecutor):
    """Runs calls on a Ray cluster, by `ray`.

    Ray queues the calls, places them and moves results from worker to worker. A call
    whose worker dies raises `WorkerDied`, unless it has ``retries``, which are made by
    Ray. `Future.kill` and a ``timeout``, which is measured from the start of the
    function, stop the call by killing its worker, which Ray replaces.

    Ray does not report whether a call has started. So `Future.cancel` always succeeds
    for a call that has not ended, and interrupts one that is running; likewise
    ``shutdown(cancel_futures=True)``.

    If a future of this executor is an argument of another call of it, the result goes
    straight from worker to worker. Results above a megabyte remain in the cluster
    until they are read; buffers above a megabyte among the arguments are put there
    once, for all calls that use them, and so is what `share` returns.

    Args:
        address: None uses the Ray that the program has initialised, and leaves it
            running. An address, as ``ray.init`` takes it (``"ray://host:10001"``, or
            ``"auto"`` for the cluster of this machine), connects to that; the
            connection ends with this executor, the cluster does not.
        num_cpus: The number of CPUs of the cluster per call; may be a fraction.
        num_gpus: The number of GPUs per call.
        resources: Other resources per call, by the cluster's own names.

    Raises:
        MissingExtraError: ``ray`` is not installed.
        RuntimeError: No address is given and Ray is not initialised, or an address is
            given and it is.
        ConnectionError: No cluster answers at the address.

    Example:
        On a local Ray::

            import ray
            from parallelize import RayExecutor

            ray.init(num_cpus=2)
            with RayExecutor() as executor:
                print(list(executor.map(abs, [-1, 2, -3])))
    """

    kind: ClassVar[str] = "ray"
    _can_kill: ClassVar[bool] = True
    # Ray 2.60 may end the program if a call is cancelled while it is being submitted
    # ("Check failed: it->second.submitted_task_ref_count > 0").
    _ends_dependents: ClassVar[bool] = True

    def __init__(
        self,
        address: str | None = None,
        *,
        num_cpus: float = 1,
        num_gpus: float = 0,
        resources: Mapping[str, float] | None = None,
    ) -> None:
        ray = self._ray = _imported()
        self._owns_connection = address is not None
        self._takes = {
            "num_cpus": _amount(num_cpus, "num_cpus"),
            "num_gpus": _amount(num_gpus, "num_gpus"),
            "resources": dict(resources or {}),
        }
        if address is None:
            _check_initialised(ray)
        else:
            _connect(ray, address)
        self._run = ray.remote(_run)
        # With the options of a call, as Ray checks them; races are harmless.
        self._ready: dict[tuple[str, int], Any] = {}
        self._session = _session(ray)
        self._is_client = not isinstance(self._session, tuple)
        super().__init__()
        self._watch = Watch(ray, self._session, self)
        self._heads = Heads(ray, self._later)

    if not TYPE_CHECKING:

        @property
        def _max_workers(self) -> int:
            # Clusters grow and shrink.
            if not self._ray.is_initialized():
                return 1
            cpus = self._ray.cluster_resources().get("CPU", 1)
            return max(1, int(cpus / max(self._takes["num_cpus"], 0.01)))

    # How a call is run.

    def _connected(self) -> Any:
        """Return Ray, unless it is lost: Ray would start a new cluster by itself."""
        reason = self._loss()
        if reason is not None:
            raise _LostError(reason)
        return self._ray

    def _loss(self) -> str | None:
        # Ray does not fail its calls when shut down, and a new one does not know them.
        if self._ray.is_initialized() and _session(self._ray) == self._session:
            return None
        return "ray was shut down"

    def _hand_over(
        self,
        call: EngineCall,
        run: Callable[..., Any],
        remote: RemoteCall,
        objects: Sequence[Any],
    ) -> Any:
        self._connected()
        # Ray sends bytes as they are; anything else takes several times as long.
        sent = pickle.dumps((run, remote, call.engine_retries > 0), 5)
        lean = [pickle.dumps(o, 5) if type(o) is Payload else o for o in objects]
        ready = self._with_options(remote.name, call.engine_retries)
        head, value = ready.remote(sent, *lean)
        if self._is_client:  # `future` waits for the server
            follow = partial(self._follow, call, head, value, call.attempt)
            self._heads.add(head, value, follow)
        else:
            self._follow(call, head, value, call.attempt)
        return value

    def _with_options(self, name: str, retries: int) -> Any:
        ready = self._ready.get((name, retries))
        if ready is None:
            if len(self._ready) >= MOST_READY:
                self._ready.clear()
            ready = self._ready[name, retries] = self._run.options(
                num_returns=2,
                name=name,
                max_retries=retries,
                retry_exceptions=[EncodedError],
                **self._takes,
            )
        return ready

    def _follow(
        self,
        call: EngineCall,
        head: Any,
        value: Any,
        attempt: int,
        arrived: bytes | Literal[False] | None = False,
    ) -> None:
        """Let the call end when its head has arrived, or with a head that has."""

        def failed(error: BaseException) -> None:
            with contextlib.suppress(Exception):
                value.future()  # otherwise Ray prints that the error was not retrieved
            cause = getattr(error, "cause", None)
            known = cause if isinstance(cause, EncodedError) else error
            self._answered(call, known, attempt)

        def came(ended: Any) -> None:  # in a thread that must not wait for Ray
            error = ended.exception()
            if error is not None:
                self._later(lambda: failed(error))
                return
            succeeded(ended.result())

        def succeeded(head: bytes | None) -> None:
            answer = Remote(value) if head is None else pickle.loads(head)
            self._answered(call, answer, attempt)

        try:
            if arrived is not False:
                succeeded(arrived)
                return
            head.future().add_done_callback(came)
        except Exception as error:  # noqa: BLE001 - it belongs to the call
            self._answered(call, error, attempt)

    def _start_reporter(self, number: int) -> Callable[[], object]:
        self._connected()
        return self._watch.reporter(number)

    def _put(self, payload: Payload) -> Any:
        return self._connected().put(payload)

    def _is_there(self, ref: Any) -> bool:
        return bool(self._ray.is_initialized())

    def _fetch(self, ref: Any, timeout: float | None = None) -> Payload:
        payload: Payload = self._connected().get(ref, timeout=timeout)
        return payload

    def _running(self, refs: Sequence[Any]) -> list[bool]:
        return [False] * len(refs)

    def _drop(self, refs: Sequence[Any]) -> None:
        for ref in refs:
            self._cancel(ref, force=False)

    def _kill(self, ref: Any) -> bool:
        return self._cancel(ref, force=True)

    def _cancel(self, ref: Any, *, force: bool) -> bool:
        with contextlib.suppress(Exception):  # it may just have ended
            self._connected().cancel(ref, force=force)
        return True

    def _translated(self, error: BaseException, name: str) -> BaseException | None:
        return _translated(error, name, self._ray)

    def _leave(self) -> None:
        self._watch.close()
        self._heads.close()
        if self._loss() is not None:
            return
        if self._owns_connection:
            self._ray.shutdown()


class _LostError(Exception):
    """Ray has been shut down."""


# ----------------------------------------------------------------- in the workers


def _run(sent: bytes, *objects: Any) -> tuple[bytes | None, bytes | LargePayload]:
    """Run a call; a large result is only in the second of the two values."""
    run, remote, retries = pickle.loads(sent)
    try:
        value = _outcome(run, remote, objects)
    except EncodedError as error:
        if retries:
            raise
        value = error
    finally:
        call_ended()
    if type(value) is LargePayload:
        return None, value
    answer = pickle.dumps(value, 5)
    return answer, answer


def _outcome(run: Callable[..., Any], remote: RemoteCall, objects: Any) -> Any:
    """The result of a call, or the failure of one that it depends on.

    Failures are values if Ray is not to retry the call, as its own errors cost more.
    """
    values = [pickle.loads(o) if type(o) is bytes else o for o in objects]
    for value in values:
        if isinstance(value, EncodedError):
            return FinalError(value)
        if type(value) is FinalError:
            return value
    return run(remote, *values)


# -------------------------------------------------------------------- connections


def _imported() -> Any:
    try:
        import ray
    except ImportError as error:
        what = "RayExecutor"
        raise MissingExtraError(what, "ray") from error
    return ray


def _check_initialised(ray: Any) -> None:
    if not ray.is_initialized():
        msg = (
            "Ray is not initialised: call ray.init() first, which starts a cluster on "
            "this machine, or name a cluster, as "
            "in RayExecutor('ray://host:10001') or RayExecutor('auto')"
        )
        raise RuntimeError(msg)


def _connect(ray: Any, address: str) -> None:
    check_text(address, "address")
    if ray.is_initialized():
        msg = (
            f"Ray is initialised already, so it cannot be connected to {address!r}: "
            "leave the address out, or call ray.shutdown() before"
        )
        raise RuntimeError(msg)
    try:
        ray.init(address)
    except (ConnectionError, OSError, RuntimeError) as error:
        msg = f"no Ray cluster answers at {address}: {error}"
        raise ConnectionError(msg) from error


def _session(ray: Any) -> object:
    """What distinguishes a connection to a cluster from another one.

    This is looked at for each call. A client (``ray://``) would ask the cluster for
    its identifiers each time, so it is the connection itself there.
    """
    from ray.util.client import ray as client

    if client.is_connected():
        return client.get_context().client_worker
    context = ray.get_runtime_context()
    return context.get_node_id(), context.get_job_id()


def _amount(amount: object, argument: str) -> float:
    if isinstance(amount, (int, float)) and not isinstance(amount, bool):
        if 0 <= amount < float("inf"):
            return amount
        msg = f"{argument} must be at least 0, not {amount!r}"
        raise ValueError(msg)
    msg = f"{argument} must be a number, not {amount!r}"
    raise TypeError(msg)


# -------------------------------------------------------------------------- errors

#: The names of Ray's errors that mean that a worker, a node or a result is lost.
_DEATHS = frozenset(
    (
        "LocalRayletDiedError",
        "NodeDiedError",
        "ObjectLostError",
        "OutOfMemoryError",
        "WorkerCrashedError",
    )
)
_NO_STARTS = frozenset(("RuntimeEnvSetupError", "TaskUnschedulableError"))


def _translated(error: BaseException, name: str, ray: Any) -> BaseException | None:
    """Return an error of Ray as one of this library; None if it was a cancellation."""
    from parallelize.errors.worker import ClusterLost, WorkerDied, WorkerStartError

    classes = {each.__name__ for each in type(error).__mro__}
    if "TaskCancelledError" in classes:
        return None
    if classes & _DEATHS:
        ours: WorkerDied = WorkerDied(name)
    elif classes & _NO_STARTS:
        ours = WorkerStartError(name, str(error))
    elif _is_lost(error, classes) or not ray.is_initialized():
        ours = ClusterLost(name, str(error))
    else:
        return error
    ours.__cause__ = error
    return ours


def _is_lost(error: BaseException, classes: set[str]) -> bool:
    lost = isinstance(error, (_LostError, ConnectionError))
    return lost or "RaySystemError" in classes
