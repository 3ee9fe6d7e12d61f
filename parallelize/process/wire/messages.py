"""The messages between a pool and its workers, and how errors are encoded in them.

| to the worker | parts                                     | answer                |
|---------------|-------------------------------------------|-----------------------|
| START         | settings (pickled dict)                   | READY or START_FAILED |
| CALL          | function, arguments, buffers …, values …  | DONE or FAILED        |
| DEFINE        | units of `__main__`, see `replica`        | none                  |
| ROWS          | function, rows                            | BLOCK, ROW_DONE,      |
|               |                                           | ROW_FAILED, in order  |
| STREAM        | as CALL                                   | ITEMS, ITEM ..., then |
|               |                                           | DONE or FAILED        |
| CREDIT, CLOSE | (over the control socket)                 |                       |
| RECLAIM       | (over the control socket)                 | RECLAIMED, likewise   |
| COROUTINE     | as CALL                                   | ASYNC_BEGUN, and then |
|               |                                           | DONE, FAILED or       |
|               |                                           | ASYNC_CANCELLED       |
| CANCEL        | one, empty: the coroutine is cancelled    | CANCEL_HEARD          |
| SHOW          | (over the control socket)                 | SHOWN, likewise       |

A worker may send REPORT at any time: a log record or a warning (``extra`` says which),
see `worker.reports`.

Each side notifies the other over the control socket about the segments in which it
sends large buffers (see `segments`); ``id`` is then the id of the segment:

| ADOPT    | a new segment; its descriptor comes along                          |
| FORGET   | the segment is given up; from the pool, with the id `UNUSED`: the  |
|          | worker must give up the segments of its own that carry nothing     |
|          | (``extra`` is 1 in ADOPT and FORGET for memory of `shared`)        |
| RELEASED | all views of a message in the segment are gone; ``extra`` is 1 if  |
|          | the segment may be used again                                      |

While a trace is recorded, BEGAN is sent first in answer to CALL and ROWS; its
``extra`` is the time at which the task began: see `moment`.

SHOWN has one part, text: the stacks of the worker's threads. Its ``id`` is that of
the request; ``extra`` is 1 if the task that runs has looked at `stopping`.

CLEANING (from the worker, over the control socket) says that it has been asked to
leave and runs the clean-ups of what it keeps (``id`` is 1), or has done so (0).

STOP (over the control socket) says that a task was asked to stop: all of it, or, if
``extra`` is not 0, its row of that number, counted from 1. With ``id`` 0 it is about
all tasks, also those that follow.

FAULT (from the worker, over the control socket) has one part, text: the traceback of
the error that ends the worker.

ASK (from the worker) and ANSWER (to it) also use the control socket; ``id`` says what
is requested, see `kinship`. The answer has one part, or a descriptor comes along.

RECLAIMED has one part, 64-bit numbers: the id of the running task of rows (0: none
is running), the number of its rows that are given up, then the ids of the tasks that
are given back.

`BIG` is added to the kind of CALL, COROUTINE, STREAM, DONE, ROW_DONE and ITEM if their
buffers are in a segment: the last part of the arguments or of the result then says
where.

A stream runs a generator. ``micros`` of STREAM, without its lowest bit (`TIMED`), and
``extra`` of CREDIT are the number of (additional) items that the pool accepts; CLOSE
says that it accepts no more, so the generator is closed. ITEMS has one part, a list of
numbers, if ``extra`` is 1; otherwise each part is a pickled item. Its ``micros`` is 1
if items come so fast that the worker may hold some back for a moment. ITEM is one item
with its buffers.

``id`` is the id of the task. ``extra`` is, in CALL and STREAM, the number of buffers
that belong to the arguments; in ROWS, the number of arguments of each row (0: each row
is pickled on its own); in DONE, 1 if the result is of a type that is safe to unpickle;
in ASYNC_BEGUN, the time; in BLOCK, the number of its first row; in ROW_DONE and
ROW_FAILED, the number of the row. ``micros`` is the duration of the run; in CALL and
ROWS it holds the flags `TIMED`, `TRACED`, `CARRIED` and `PROMPT`; in COROUTINE it says
whether the pool wants to be notified at once when the coroutine begins. With `CARRIED`
the last part is a pickle with the surroundings in which the task is to run. In RECLAIM
``id`` is the number of the request.
"""

from __future__ import annotations

import _pickle as pickle
import _signal as signal
import io
import struct

from parallelize.process.wire import surroundings
from parallelize.process.wire.frames import ProtocolError
from parallelize.runtime import raised
from parallelize.runtime.locks import is_interrupt
from parallelize.serialize import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, NoReturn, TypeVar

    from parallelize.process.wire.frames import Part

    PickleBack = Callable[[object], bytes | None]
    T = TypeVar("T")

BIG = 1 << 8
REPORT = 1 << 9  # above BIG: one comparison finds either of them among frames

#: No segment has this id.
UNUSED = 0

START = 1
CALL = 2
ROWS = 3
RECLAIM = 4
ADOPT = 5
FORGET = 6
RELEASED = 7
STREAM = 8  # a bit that no other kind of a task has
CREDIT = 9
CLOSE = 10
DEFINE = 32

ASYNC = 1 << 6  # set in the kinds sent to a worker that concern coroutines
COROUTINE = ASYNC + 1
CANCEL = ASYNC + 2

ASYNC_BEGUN = 42
ASYNC_CANCELLED = 43
CANCEL_HEARD = 44
SHOW = 50
ANSWER = 53

READY = 11
START_FAILED = 12
DONE = 13
FAILED = 14
BLOCK = 15
ROW_DONE = 16
ROW_FAILED = 17
RECLAIMED = 18
ITEMS = 19
ITEM = 20
ITEM_FAILED = 21  # made by the pool itself: the buffers of an ITEM cannot be reached
SHOWN = 51
FAULT = 54
CLEANING = 57
STOP = 58
BEGAN = 52
ASK = 56

#: The signal that has the effect of SHOW while C code holds a worker's interpreter: it
#: writes its stacks to standard error. One that processes without a handler ignore;
#: Windows has none.
SHOW_SIGNAL: int | None = getattr(signal, "SIGURG", None)

# What the pool wants to know about a task, as flags in `micros` of its frame: how long
# each row runs, when the task began, and results soon although more rows follow.
TIMED, TRACED, CARRIED, PROMPT = 1, 2, 4, 8

#: Seconds for which a worker holds back results of rows while it runs more of them, so
#: that they go together: each message takes CPU time from the workers.
HELD = 0.020

_NUMBER_SIZE = 8  # bytes of each number in RECLAIMED

_LONGEST = (1 << 32) - 1


def micros(nanoseconds: int) -> int:
    """Return the duration of a run in microseconds, capped to fit into a frame."""
    return min(nanoseconds // 1000, _LONGEST)


def moment(nanoseconds: int) -> int:
    """Return a time of the monotonic clock, truncated to fit into a frame.

    All processes have this clock in common. `moment_near` decodes the value.
    """
    return nanoseconds // 1000 & _LONGEST


def moment_near(encoded: int, now: int) -> int:
    """Decode `moment`: return the latest such time before ``now``, in nanoseconds."""
    micros = now // 1000
    return (micros - ((micros - encoded) & _LONGEST)) * 1000


def encode_reclaimed(rows_id: int, rows: int, ids: Sequence[int]) -> bytes:
    """Encode what a worker gives back, as the part of RECLAIMED."""
    return struct.pack(f"={len(ids) + 2}Q", rows_id, rows, *ids)


def decode_reclaimed(encoded: Part) -> tuple[int, int, Sequence[int]]:
    """Decode what `encode_reclaimed` made; raise ProtocolError if it is malformed."""
    count, rest = divmod(len(encoded), _NUMBER_SIZE)
    if rest or count < 2:
        msg = f"what is given back takes {len(encoded)} bytes"
        raise ProtocolError(msg)
    rows_id, rows, *ids = struct.unpack(f"={count}Q", encoded)
    return rows_id, rows, ids


def encode_failure(
    error: BaseException, pickle_back: PickleBack | None = None
) -> bytes:
    """Encode an error as bytes: as a pickle where possible, and always as text.

    This never raises, whatever the error's own code does.

    Args:
        error: The error.
        pickle_back: Pickles a value that is sent back, or returns None if it cannot.
            The default pickles as the workers of a process pool do.
    """
    raised.drop_frame(error)  # the frame of this library
    _attempt(lambda: surroundings.advise(error))
    text = raised.full_text_of(error)
    name, message = raised.full_name_of_class(type(error)), raised.text_of(error)
    to_bytes = pickle_back or _to_bytes
    kind, why = None, ""
    pickled = _pickled(error, to_bytes)
    if pickled is None:
        kind = _attempt(lambda: to_bytes(type(error)))
        why = _attempt(lambda: _why_not(error)) or ""
    return pickle.dumps((pickled, name, message, text, why, kind), 5)


def _to_bytes(value: object) -> bytes | None:
    parts = pickling.dumps_back(value)
    return bytes(parts[0]) if len(parts) == 1 else None


def _attempt(action: Callable[[], T]) -> T | None:
    try:
        return action()
    except BaseException:  # noqa: BLE001 - the error's own code may raise anything
        return None


def _why_not(error: BaseException) -> str:
    from parallelize.serialize import diagnose

    return f"stands for the error itself: {diagnose.why_not_rebuilt(error)}"


def _pickled(error: BaseException, to_bytes: PickleBack = _to_bytes) -> bytes | None:
    """Pickle an error; return None if it cannot be rebuilt from its pickle."""
    for form in (error, _Rebuilt(error)):
        pickled = _attempt(lambda form=form: to_bytes(form))  # type: ignore[misc]
        if pickled is not None and type(_unpickled(pickled)) is type(error):
            return pickled
    return None


class _Rebuilt:
    """Pickles an error whose class rejects the state that unpickling sets."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error: Any = self._error  # every object has the methods that pickle calls
        made: tuple[Any, ...] = error.__reduce_ex__(5)
        if type(error).__setstate__ is not BaseException.__setstate__:
            return made  # the class sets its state itself
        make, args, *state = made
        return _rebuilt, (make, _rebuildable(args), *state)


def _rebuildable(value: Any) -> Any:
    """Wrap the errors inside an error's arguments: groups hold theirs in a sequence."""
    if issubclass(type(value), BaseException):
        return _Rebuilt(value)
    if type(value) in (list, tuple):
        return type(value)(map(_rebuildable, value))
    return value


def _rebuilt(
    make: Callable[..., BaseException], args: tuple[Any, ...], state: Any = None
) -> BaseException:
    error = make(*args)
    raised.set_state(error, state or {})
    return error


def decode_failure(encoded: bytes) -> BaseException:
    """Return the error that `encode_failure` encoded, in its own class if possible."""
    from parallelize.errors import PerWorkerError, RemoteError, RemoteTraceback

    try:
        pickled, name, message, text, why, _ = pickle.loads(encoded)
    except Exception as cause:  # noqa: BLE001 - a task wrote to the worker's socket
        return RemoteError("an error", f"what the worker sent is none: {cause}")
    error = _unpickled(pickled)
    if error is None:
        error = RemoteError(name, message)
    if why:
        raised.add_note(error, why)
    own = error.args[-1] if type(error) is PerWorkerError else error
    raised.set_cause(own, RemoteTraceback(text))
    return error


def kind_of_failure(encoded: bytes) -> type[BaseException] | None:
    """Return the class of an error decoded as a `RemoteError`, if it is known here."""
    try:
        *_, kind = pickle.loads(encoded)
        found = None if kind is None else pickling.loads([kind])
    except Exception:  # noqa: BLE001 - its module may raise anything
        return None
    return found if isinstance(found, type) else None


def text_of_failure(encoded: bytes) -> str:
    """Return the traceback in an encoded failure without running any user code."""
    try:
        text = _Plain(io.BytesIO(encoded)).load()[3]
    except Exception:  # noqa: BLE001 - a task wrote to the worker's socket
        return ""
    return text.rstrip() if isinstance(text, str) else ""


class _Plain(pickle.Unpickler):
    """Unpickles plain values only."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        msg = f"{module}.{name} stands where plain values are expected"
        raise pickle.UnpicklingError(msg)


def _unpickled(pickled: bytes | None) -> BaseException | None:
    if pickled is None:
        return None
    try:
        error = pickling.loads([pickled])
    except BaseException as fault:  # the error's own code may raise anything
        if is_interrupt(fault):
            raise
        return None
    return error if isinstance(error, BaseException) else None
