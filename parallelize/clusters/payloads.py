"""What is sent to the workers of a cluster engine and back, and what runs there.

```
 program                                 engine (dask, ray)          its worker
 pack ── RemoteCall, large buffers ──▶ sends, keeps, moves ──▶ run ▸ open ▸ call ▸ pack
 open ◀── Payload, FinalError or EncodedError ◀──────────────────────────────────┘
                   └──────▶ straight to the worker of a call that has its future
```

Everything is pickled here, so that an object that cannot be pickled fails its own call
and nothing in the engine; the engine sees only bytes and a few classes of this file.
"""

from __future__ import annotations

import pickle
from types import MethodType
from typing import TYPE_CHECKING, Any, NamedTuple

from parallelize.calls.call import run_retrying
from parallelize.errors import SerializationError
from parallelize.futures.future import Failure
from parallelize.process.memory.shared import noting_shared, stand_in
from parallelize.process.wire import held, messages
from parallelize.runtime.clock import perf_counter
from parallelize.runtime.options import name_of
from parallelize.runtime.raised import summary_of, text_of
from parallelize.serialize import NUMBERS, pickling
from parallelize.serialize.reducers import by_value, origins
from parallelize.serialize.reducers.placeholders import (
    collect_futures,
    substitute_results,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.futures.future import Future
    from parallelize.process.memory.shared import Shared
    from parallelize.runtime.options import Args, CallOptions, Kwargs

#: Buffers of at least this many bytes are put into the cluster, apart from the call.
LEAST_BUFFER = 1 << 20

_is_program = False
_has_run = False


def this_is_the_program() -> None:
    """Note that executors are made in this process: it is not only a worker."""
    global _is_program
    _is_program = True


def inside_worker() -> bool:
    """Whether this process is a worker of a cluster engine, and nothing else."""
    return _has_run and not _is_program


# ---------------------------------------------------------------------- payloads


class Payload:
    """A pickle, and the large buffers that were left out of it.

    Attributes:
        data: The pickle.
        buffers: The buffers, in the pickle's order.
    """

    __slots__ = ("buffers", "data")

    def __init__(self, data: bytes, buffers: Sequence[Any] = ()) -> None:
        self.data: bytes = data
        self.buffers: Sequence[Any] = buffers  # any objects with a buffer interface

    def open(self) -> Any:
        """Build the value; its arrays are independent copies and writable."""
        return pickle.loads(self.data, buffers=[bytearray(b) for b in self.buffers])

    def look(self) -> Any:
        """Build the value on the buffers themselves; its arrays are read-only."""
        views = [memoryview(buffer).toreadonly() for buffer in self.buffers]
        return pickle.loads(self.data, buffers=views)

    @property
    def nbytes(self) -> int:
        """The size in bytes."""
        return len(self.data) + sum(memoryview(b).nbytes for b in self.buffers)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if protocol < 5:
            return type(self), (self.data, [bytes(b) for b in self.buffers])
        return type(self), (self.data, [pickle.PickleBuffer(b) for b in self.buffers])


class LargePayload(Payload):
    """A payload so large that it remains in the cluster until it is read.

    This is a class of its own because an engine knows the type of a result before
    fetching it.
    """

    __slots__ = ()


def pack(value: object) -> Payload:
    """Pickle a value; the `Payload.buffers` are the value's own, not copies."""
    if pickling._is_long(value):
        value = pickling._Bytes(value)
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST_BUFFER:
            return True
        buffers.append(raw)
        return False

    data = pickling._pickled(value, by_value.dumps, keep_inside, buffers)
    if buffers or len(data) >= LEAST_BUFFER:
        return LargePayload(data, buffers)
    return Payload(data)


# ------------------------------------------------------------------------- errors


class EncodedError(Exception):
    """An error of the called function, encoded: the form that the engine handles.

    Attributes:
        encoded: The error, as encoded by `encode_failure`.
    """

    def __init__(self, encoded: bytes) -> None:
        super().__init__(encoded)
        self.encoded = encoded

    def __str__(self) -> str:  # for the engine's own logs
        return text_of(self.error())

    def error(self) -> BaseException:
        """The error in its own class, with the worker's traceback as its cause."""
        return messages.decode_failure(self.encoded)


class FinalError(NamedTuple):
    """An error returned as a value, so that the engine does not retry the call.

    Attributes:
        carried: The error.
    """

    carried: EncodedError


def encode_failure(error: BaseException) -> bytes:
    """Encode an error: as a pickle where that works, always as text."""
    return messages.encode_failure(error, _to_bytes)


def _to_bytes(value: object) -> bytes | None:
    payload = pack(value)
    return None if payload.buffers else payload.data


# -------------------------------------------------------------------- remote calls


class RemoteCall(NamedTuple):
    """A call as sent to a worker, without the objects that the engine keeps.

    Attributes:
        name: The name of the function in errors.
        data: The pickle of the function, its arguments and the options. If it is
            large, this is empty and the pickle is the first of the buffers.
        buffers: The number of objects that are buffers of that pickle.
        shares: The numbers of the shared objects, which follow the buffers.
        started: Called when the function starts.
    """

    name: str
    data: bytes
    buffers: int
    shares: tuple[int, ...]
    started: Callable[[], object] | None


class Packed(NamedTuple):
    """A pickled call in the program, with the futures and handles it refers to.

    Attributes:
        payload: The pickle of the function, its arguments and the options.
        futures: The futures among the arguments.
        shares: The handles of shared objects among them.
    """

    payload: Payload
    futures: Sequence[Future[Any]]
    shares: Sequence[Shared[Any]]


def pack_call(
    fn: Any,  # of a method, attributes beyond those of a callable are used
    args: Args,
    kwargs: Kwargs,
    options: CallOptions,
) -> Packed:
    """Pickle a call; raises `SerializationError`."""
    own = args
    if type(fn) is MethodType:
        # A method can be found by name on its class; the instance is an argument.
        fn, args = fn.__func__, (fn.__self__, *args)
    if any(map(pickling._is_long, args)):
        args = tuple(pickling._Bytes(a) if pickling._is_long(a) else a for a in args)
    options = options.in_worker()
    try:
        with collect_futures() as futures, noting_shared() as shares:
            payload = pack((_name_of(fn) or fn, args, kwargs, options))
    except Exception as error:
        name = name_of(fn, options)
        msg = f"the arguments of {name} cannot be pickled: {summary_of(error)}"
        raise SerializationError(msg) from error
    waits_for = held.waited_for(futures, own, kwargs) if futures else ()
    return Packed(
        payload, waits_for, list({each._id: each for each in shares}.values())
    )


def _name_of(fn: Any) -> str | None:  # any callable
    """The name of a function, if other machines can be expected to have its module."""
    name = pickling._name_of(fn)
    return name if name is None or not origins.way_of(fn.__module__) else None


# ------------------------------------------------------------------- in the worker


def run_call(call: RemoteCall, *objects: Any) -> Payload | FinalError:
    """Run one call; raises `EncodedError`, after which the engine may retry."""
    _note_worker()
    final = False
    try:
        # The handles must live as long as the call does.
        (fn, args, kwargs, options), handles = _opened(call, objects)
        final = options.retries > 0
        if call.started is not None:
            call.started()
        try:
            value = fn(*args, **kwargs)
        except options.retry_on:
            final = False
            raise
        del handles
        return _packed_result(value)
    except EncodedError:
        raise
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        carried = EncodedError(encode_failure(error))
    if final:
        return FinalError(carried)
    raise carried from None


def run_rows(call: RemoteCall, *objects: Any) -> Payload:
    """Run rows of calls; the payload has the list of outcomes and the run time."""
    _note_worker()
    try:
        (fn, (rows,), _, options), handles = _opened(call, objects)
    except BaseException as error:  # noqa: BLE001 - it belongs to the call
        raise EncodedError(encode_failure(error)) from None
    begun = perf_counter()
    outcomes = [_outcome(fn, row, options) for row in rows]
    del handles
    return pack((outcomes, perf_counter() - begun))


def _note_worker() -> None:
    global _has_run
    _has_run = True


def _opened(call: RemoteCall, objects: Sequence[Any]) -> tuple[Any, Sequence[Any]]:
    """Return the function, arguments and options; and the handles among them."""
    shares = call.buffers + len(call.shares)
    values = [_value(each) for each in objects[shares:]]
    handles = [
        stand_in(id, payload.look, payload.nbytes)
        for id, payload in zip(call.shares, objects[call.buffers : shares], strict=True)
    ]
    data, *buffers = call.data, *(each.buffers[0] for each in objects[: call.buffers])
    if not data:
        data, *buffers = buffers
    try:
        with substitute_results(values):
            fn, *rest = Payload(data, buffers).open()
        if type(fn) is str:
            fn = pickling._find(fn)
    except Exception as error:
        text = f"{call.name} or its arguments cannot be unpickled in the worker"
        msg = f"{text}: {summary_of(error)}"
        raise SerializationError(msg) from error
    return (fn, *rest), handles


def _value(given: Any) -> Any:
    """The value of a future: the answer of another call, or a packed value."""
    if type(given) is FinalError:
        raise given.carried
    return given.open()


def _packed_result(value: object) -> Payload:
    try:
        return pack(value)
    except BaseException as error:
        kind = type(value).__qualname__
        msg = f"the result, a {kind}, cannot be pickled: {summary_of(error)}"
        raise SerializationError(msg) from error


def _at_once(_: float) -> bool:
    return True


def _outcome(fn: Callable[..., Any], row: tuple[Any, ...], options: CallOptions) -> Any:
    """The outcome of a row: a plain value, a payload, or an error."""
    # If there is a wait between attempts, the program makes them.
    value = run_retrying(fn, row, {}, options, pause=_at_once)
    if type(value) in NUMBERS:
        return value
    if type(value) is Failure:
        return FinalError(EncodedError(encode_failure(value.error)))
    try:
        return _packed_result(value)
    except BaseException as error:  # noqa: BLE001 - it belongs to the row
        return FinalError(EncodedError(encode_failure(error)))
