"""The messages between a pool and its workers, and how an error is put into one.

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
| GIVE_BACK     | (over the control socket)                 | GIVEN_BACK, likewise  |
| COROUTINE     | as CALL                                   | ASYNC_BEGUN, and then |
|               |                                           | DONE, FAILED or       |
|               |                                           | ASYNC_CANCELLED       |
| CANCEL        | one, empty: the coroutine is cancelled    | CANCEL_HEARD          |
| SHOW          | (over the control socket)                 | SHOWN, likewise       |
|               |                                           | FAULT, likewise       |

REPORT comes from a worker at any time: a log record or a warning (``extra`` says
which), see `worker.reports`.

Either side tells the other over the control socket of the segments by which it
sends large buffers (see `segments`); ``id`` is then that of a segment:

| ADOPT    | a new segment; its descriptor comes along                          |
| FORGET   | the segment is given up; from the pool, with the id `UNUSED`:       |
|          | the worker is to give up those of its own that carry nothing       |
|          | (``extra`` is 1 in both where it is memory of `shared` instead)     |
| RELEASED | nobody has views of the segment's message any more; ``extra`` is 1 |
|          | if it may be used again                                            |

While a trace is recorded CALL and ROWS are answered with BEGAN first, whose ``extra``
is when it began: see `moment`.

SHOWN has one part: where the worker's threads are, as text. Its ``id`` is that of
the question.

FAULT has one part: the traceback of the error by which the worker ends, as text.

ASK and ANSWER go over the control socket, too, from the worker and back to it; ``id``
is what for, see `kinship`. The answer has one part, or a descriptor comes along.

GIVEN_BACK has one part, of numbers of 64 bits: the id of the task of rows that
is running (0: none is), how many of its rows are given up, then the ids of the
tasks that are given back.

To the kind of CALL, COROUTINE, STREAM, DONE, ROW_DONE and ITEM `BIG` is added if their
buffers are in a segment: the last part of the arguments or of the result then says
where.

A stream runs a generator. ``micros`` of STREAM and ``extra`` of CREDIT say how many
items (more) the pool takes; CLOSE that it wants none, so that the generator is closed.
ITEMS has one part that is a list of numbers, if ``extra`` is 1; else each part is an
item, pickled. ``micros`` is 1 in it if items come so fast that the worker may keep some
for a moment, without sending them. ITEM is one item with its buffers.

To the kind of CALL, STREAM, DONE, ROW_DONE and ITEM `BIG` is added if their buffers
are in a segment: the last part of the arguments or of the result then says where.

``id`` names the task. ``extra`` is, in CALL and STREAM, how many of the buffers belong
to the arguments; in ROWS, the number of arguments of each row (0: each row is
pickled on its own); in DONE, 1 if the result is of a type that unpickles without
harm; in ASYNC_BEGUN, when; in BLOCK, the number of its first row; in ROW_DONE and
ROW_FAILED, the number of the row. ``micros`` is how long it ran;
in CALL and ROWS it says what the pool wants to know besides: `TIMED` and `TRACED`;
in COROUTINE whether it wants to hear at once that it has begun.
"""

from __future__ import annotations

import io
import pickle
import struct

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
REPORT = 1 << 9  # above BIG: one look tells that there is either among frames

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

ASYNC = 1 << 6  # this bit is set in the kinds to a worker that are about coroutines
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
ITEM_FAILED = 21  # the pool's own note: the buffers of an ITEM are out of reach
SHOWN = 51
FAULT = 54
BEGAN = 52
ASK = 56

# What the pool wants to know of a task, in `micros` of its frame: how long each row
# runs, and when it began.
TIMED, TRACED = 1, 2

_NUMBER_SIZE = 8  # bytes of each number in GIVEN_BACK

_LONGEST = (1 << 32) - 1


def micros(nanoseconds: int) -> int:
    """How long a run took, as it fits into a frame."""
    return min(nanoseconds // 1000, _LONGEST)


def moment(nanoseconds: int) -> int:
    """A moment of the monotonic clock, which all processes have in common, as it fits.

    `moment_near` turns it back.
    """
    return nanoseconds // 1000 & _LONGEST


def moment_near(encoded: int, now: int) -> int:
    """The moment in nanoseconds, the last one before ``now`` that it may be."""
    micros = now // 1000
    return (micros - ((micros - encoded) & _LONGEST)) * 1000


def encode_given_back(rows_id: int, rows: int, ids: Sequence[int]) -> bytes:
    """Put what a worker gives back into bytes."""
    return struct.pack(f"={len(ids) + 2}Q", rows_id, rows, *ids)


def decode_given_back(encoded: Part) -> tuple[int, int, Sequence[int]]:
    """Return what `encode_given_back` was told; raise ProtocolError for nonsense."""
    count, rest = divmod(len(encoded), _NUMBER_SIZE)
    if rest or count < 2:
        msg = f"what is given back takes {len(encoded)} bytes"
        raise ProtocolError(msg)
    rows_id, rows, *ids = struct.unpack(f"={count}Q", encoded)
    return rows_id, rows, ids


def encode_failure(
    error: BaseException, pickle_back: PickleBack | None = None
) -> bytes:
    """Put an error into bytes: as a pickle where that works, always as text.

    Nothing is raised here, whatever the code of the error does.

    Args:
        error: It.
        pickle_back: Pickles what is to travel; None if there is no way. By default
            as workers of a pool of ours do.
    """
    raised.drop_frame(error)  # ours
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
    """Pickle an error, if it can be built again from its pickle."""
    for form in (error, _Rebuilt(error)):
        pickled = _attempt(lambda form=form: to_bytes(form))  # type: ignore[misc]
        if pickled is not None and type(_unpickled(pickled)) is type(error):
            return pickled
    return None


class _Rebuilt:
    """An error that travels although its class refuses what unpickling sets."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        error: Any = self._error  # it has what pickle asks for
        made: tuple[Any, ...] = error.__reduce_ex__(5)
        if type(error).__setstate__ is not BaseException.__setstate__:
            return made  # its class has a way of its own
        make, args, *state = made
        return _rebuilt, (make, _rebuildable(args), *state)


def _rebuildable(value: Any) -> Any:
    """The same for what an error has in it: groups have their errors in a sequence."""
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
    """Return the error that `encode_failure` put into bytes, in its own class."""
    from parallelize.errors import RemoteError, RemoteTraceback

    try:
        pickled, name, message, text, why, _ = pickle.loads(encoded)
    except Exception as cause:  # noqa: BLE001 - a task wrote to the worker's socket
        return RemoteError("an error", f"what the worker sent is none: {cause}")
    error = _unpickled(pickled)
    if error is None:
        error = RemoteError(name, message)
    if why:
        raised.add_note(error, why)
    raised.set_cause(error, RemoteTraceback(text))
    return error


def kind_of_failure(encoded: bytes) -> type[BaseException] | None:
    """The class of an error that is a `RemoteError` here, if it is known here."""
    try:
        *_, kind = pickle.loads(encoded)
        found = None if kind is None else pickling.loads([kind])
    except Exception:  # noqa: BLE001 - its module may raise anything
        return None
    return found if isinstance(found, type) else None


def text_of_failure(encoded: bytes) -> str:
    """The traceback in what `encode_failure` made; nothing of the user's code runs."""
    try:
        text = _Plain(io.BytesIO(encoded)).load()[3]
    except Exception:  # noqa: BLE001 - a task wrote to the worker's socket
        return ""
    return text.rstrip() if isinstance(text, str) else ""


class _Plain(pickle.Unpickler):
    """Reads plain values alone."""

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
