"""How values and functions travel: by name where a name finds them, else by value.

A value travels as *parts*: its pickle, then the large buffers that pickle
protocol 5 leaves out of the pickle. The standard pickle is tried first; what it
cannot do, or what belongs to ``__main__`` (which a worker does not have), goes
by value through cloudpickle, see `main.encoding`.

A function travels as one `bytes` object, which also serves as its identity: the worker
keeps what it made of it, the parent keeps its measured duration. What it needs of
`__main__` comes apart from that, see `main.picture`.
"""

from __future__ import annotations

import pickle
import sys
import types

from parallelize.serialize.reducers import origins, reductions, replica
from parallelize.serialize.reducers.origins import NAMES_SOMETHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.serialize.main.picture import Needs
    from parallelize.serialize.reducers.replica import Keep

    Part = bytes | bytearray | memoryview
    Parts = Sequence[Part]
    Place = Callable[[Sequence[memoryview]], Part | None]

#: Buffers below this many bytes stay inside the pickle: copying them is cheap.
LEAST_BUFFER = 1 << 15

#: Buffers beyond so many stay inside, too: a frame has room for some thousands.
MOST_BUFFERS = 1000

#: A text of so many characters is no simple value.
LONG_TEXT = 1 << 10

#: Bytes from so many on are copied to where they go, without a detour.
LONG_BYTES = 1 << 20

#: Pickles of so many bytes are built into a value step by step.
LONG_PICKLE = 1 << 18

_BY_NAME = b"@"
_HEADED = b"^"  # by name, behind where its module comes from
_PICKLE = b"\x80"  # what every pickle begins with
_NOT_SHARED = (
    "each worker would need a descriptor of its own: make it an argument of the calls"
)
_PLAIN = frozenset((types.FunctionType, types.BuiltinFunctionType))
_SIMPLE = frozenset((int, float, bool, str, type(None)))
_RAW = frozenset((bytes, bytearray))


def _nowhere(_: Sequence[memoryview]) -> None:
    """Place nothing: the buffers are parts of the message."""


# Functions that travel by name, as bytes; those that ask for `__main__` are apart.
_encoded = replica.remember()
origins.memories.append(_encoded)
_decoded = replica.remember()  # and what came of the bytes here
_decoded_at = 0  # the generation of `__main__` when that was empty


def dumps(value: object, place: Place = _nowhere) -> list[Part]:
    """Pickle a value into parts, for a worker.

    What the parts hold is a snapshot: the large buffers are copied before this
    returns.

    Args:
        value: What is to travel.
        place: Copies the buffers to where both processes can read them, and returns
            what takes their place in the parts; None if it cannot.

    Raises:
        BaseException: Whatever pickling raised; `Exception` classes only after
            cloudpickle has failed too.
    """
    return _dumps(value, _encode, place)


def _encode(value: object, keep_inside: Keep) -> bytes:
    from parallelize.serialize.main import encoding as main_encoding

    return main_encoding.encode(value, keep_inside)


def are_simple(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether arguments are of types with which nothing can go wrong."""
    if kwargs or not _SIMPLE.issuperset(kinds := set(map(type, args))):
        return False
    return str not in kinds or sum(len(a) for a in args if type(a) is str) < LONG_TEXT


def dumps_simple(args: tuple[Any, ...]) -> list[Part]:
    """Pickle such arguments."""
    return [pickle.dumps((args, {}), 5)]


def dumps_if_simple(value: object) -> bytes | None:
    """Pickle a value that any process can unpickle without harm; None if it is other.

    Its type says so, and a text is not long.
    """
    kind = type(value)
    if kind in _SIMPLE and (kind is not str or len(value) < LEAST_BUFFER):  # type: ignore[arg-type]
        return pickle.dumps(value, 5)
    return None


def loads_simple(data: Part) -> Any:
    """Return what `dumps_if_simple` pickled."""
    return pickle.loads(data)


def dumps_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any], place: Place
) -> list[Part]:
    """The same for the arguments of a call."""
    if any(map(_is_long, args)):
        args = tuple(_Bytes(each) if _is_long(each) else each for each in args)
    return dumps((args, kwargs), place)


def dumps_buffers(value: object) -> list[Part]:
    """Pickle a value into parts of which the buffers are its own, not copies."""
    own: list[memoryview] = []

    def keep(buffers: Sequence[memoryview]) -> bytes:
        own.extend(buffers)
        return b""

    with reductions.refusing(_NOT_SHARED):
        return [_dumps(value, _encode, keep)[0], *own]


def dumps_back(value: object, place: Place = _nowhere) -> list[Part]:
    """The same in a worker, for the program that it belongs to."""
    if _is_long(value):
        value = _Bytes(value)
    return _dumps(value, _encode_back, place, origins.is_plain_back)


def _encode_back(value: object, keep_inside: Keep) -> bytes:
    sent = reductions.count()
    from parallelize.serialize.main import back as main_back

    data = origins.headed(main_back.encode(value, keep_inside), back=True)
    return data if sent == reductions.count() else reductions.MARK + data


def _is_long(value: object) -> bool:
    return type(value) in _RAW and len(value) >= LONG_BYTES  # type: ignore[arg-type]


class _Bytes:
    """Long bytes (or a bytearray) that travel as a buffer, outside the pickle."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __reduce__(self) -> tuple[type, tuple[pickle.PickleBuffer]]:
        return type(self._value), (pickle.PickleBuffer(self._value),)  # type: ignore[arg-type]


def _dumps(
    value: object,
    by_value: Callable[[object, Keep], bytes],
    place: Place,
    is_plain: Callable[[bytes], bool] = origins.is_plain,
) -> list[Part]:
    buffers: list[memoryview] = []

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST_BUFFER or len(buffers) >= MOST_BUFFERS:
            return True
        buffers.append(raw)
        return False

    data = _pickled(value, by_value, keep_inside, buffers, is_plain)
    if not buffers:
        return [data]
    placed = place(buffers)
    if placed is not None:
        return [data, placed]
    return [data, *map(bytearray, buffers)]


def _pickled(
    value: object,
    by_value: Callable[[object, Keep], bytes],
    keep_inside: Keep,
    buffers: list[memoryview],
    is_plain: Callable[[bytes], bool] = origins.is_plain,
) -> bytes:
    try:
        data = pickle.dumps(value, 5, buffer_callback=keep_inside)
        # Most pickles name nothing at all.
        if NAMES_SOMETHING not in data or (
            not replica.concerns(data) and is_plain(data)
        ):
            return data
    except Exception:  # noqa: BLE001 - any failure: cloudpickle tells better or succeeds
        pass
    _forget_attempt(buffers)
    return by_value(value, keep_inside)


def _forget_attempt(buffers: list[memoryview]) -> None:
    from parallelize.serialize.reducers import placeholders

    buffers.clear()
    placeholders.restart()


def loads(parts: Parts) -> Any:
    """Build the value from its parts; raises whatever unpickling raises."""
    data = parts[0]
    if data[:1] != _PICKLE:
        data = _body_of(data)
    if not replica.is_settled():
        replica.settle()
    if len(data) >= LONG_PICKLE:
        return pickle.Unpickler(_Frames(data), buffers=parts[1:]).load()
    if len(parts) == 1:
        return pickle.loads(data)
    return pickle.loads(data, buffers=parts[1:])


def _body_of(parcel: Part) -> Part:
    """The pickle in a parcel, of which the heads are received."""
    if parcel[:1] == reductions.MARK:
        parcel = memoryview(parcel)[1:]
    if parcel[:1] == replica.MARK:
        parcel = replica.body_of(parcel)
    if parcel[:1] == origins.MARK:
        parcel = origins.body_of(parcel)
    return parcel


class _Frames:
    """A long pickle as a file, that is read frame by frame.

    To build a value from a pickle in memory is one long step, in which no other
    thread of Python can run: not an event loop, for one. From a file it takes
    steps, as each frame of 64 KiB is asked for by a call of Python code.
    """

    def __init__(self, data: Part) -> None:
        self._view = memoryview(data)
        self._at = 0

    def read(self, count: int) -> bytes:
        at = self._at
        self._at = end = at + count
        return bytes(self._view[at:end])

    def readinto(self, buffer: bytearray | memoryview) -> int:
        size = len(buffer)
        buffer[:] = self.read(size)
        return size

    def readline(self) -> bytes:
        end = bytes(self._view[self._at :]).find(b"\n") + 1
        return self.read(end or len(self._view) - self._at)


def known_function(fn: Callable[..., Any]) -> tuple[bytes, Needs | None] | None:
    """Return a function as bytes and what it needs of `__main__`, if that is known."""
    if type(fn) not in _PLAIN:
        return None
    known: tuple[bytes, None] | None = _encoded.get(fn)
    if known is not None or fn.__module__ not in replica.NAMES:
        return known
    return _known_in_main(fn)


def _none_known(_: Any) -> None:
    """Know nothing of a function."""


# The same for functions of the script, once one was encoded.
_known_in_main: Callable[[Any], tuple[bytes, Needs | None] | None] = _none_known


def _encode_in_main(fn: Any) -> bytes:
    global _known_in_main
    from parallelize.serialize.main import encoding as main_encoding

    _known_in_main = main_encoding.known
    return main_encoding.encode_function(fn)


def encode_function(fn: Callable[..., Any]) -> bytes:
    """Return a function as bytes.

    What it needs of `__main__` is noted for the task that is under way, or is in the
    bytes, see `main.encoding`.
    """
    if type(fn) in _PLAIN and (known := _encoded.get(fn)) is not None:
        encoded: bytes = known[0]
        return encoded
    name = _name_of(fn)
    if name is None or origins.way_of(fn.__module__) > origins.HEADED:
        return _encode_in_main(fn)
    head = origins.head_for(fn.__module__)
    encoded = (_HEADED + head if head else _BY_NAME) + name.encode()
    if not _asks_for_main(fn):
        if type(fn) in _PLAIN:  # others may hash and compare as they like
            _encoded.put(fn, (encoded, None), len(encoded))
        return encoded
    from parallelize.serialize.main import encoding as main_encoding

    return main_encoding.with_everything(encoded)


def _asks_for_main(fn: Callable[..., Any]) -> bool:
    code = getattr(fn, "__code__", None)
    if code is None or "__main__" not in sys.modules:
        return False
    names = (*code.co_names, *code.co_consts)
    if not any(type(each) is not str or each == "__main__" for each in names):
        return False
    from parallelize.serialize.main.pickler import mentions_main

    return mentions_main(code)


def decode_function(encoded: bytes) -> Callable[..., Any]:
    """Return the function that was encoded; the same bytes give the same function."""
    if not replica.is_settled():
        replica.settle()
    if encoded[:1] == replica.MARK:
        encoded = bytes(replica.body_of(encoded))
        return decode_function(encoded)
    if encoded[:2] == replica.OF_MAIN:
        return replica.find_function(encoded[2:].decode())
    if _decoded_at != replica.generation:
        _forget_decoded()
    fn: Callable[..., Any] | None = _decoded.get(encoded)
    if fn is not None:
        return fn
    kind, body = encoded[:1], encoded[1:]
    if kind == _HEADED:
        body = bytes(origins.body_of(body))
    made: Callable[..., Any]
    made = loads([body]) if kind == replica.BY_VALUE else _find(body.decode())
    _decoded.put(encoded, made, 2 * len(encoded))
    return made


def _forget_decoded() -> None:
    """Drop functions that may refer to what `__main__` had before."""
    global _decoded_at
    _decoded_at = replica.generation
    _decoded.clear()


def _name_of(fn: Callable[..., Any]) -> str | None:
    """Return ``module:qualname:wrappers`` if that finds the function, else None.

    What the name finds may be a decorated function; then ``wrappers`` says how
    many ``__wrapped__`` lead from there to the function itself.
    """
    module = getattr(fn, "__module__", None)
    qualname = getattr(fn, "__qualname__", None)
    if not module or not qualname or "<" in qualname or module in replica.NAMES:
        return None
    found = _attribute(sys.modules.get(module), qualname)
    wrappers = replica.wrappers_round(fn, found)
    return None if wrappers is None else f"{module}:{qualname}:{wrappers}"


def _find(name: str) -> Callable[..., Any]:
    import importlib

    module, qualname, wrappers = name.split(":")
    found = _attribute(importlib.import_module(module), qualname)
    if found is None:
        msg = f"module {module!r} has no {qualname!r} in the worker"
        raise AttributeError(msg)
    for _ in range(int(wrappers)):
        found = found.__wrapped__
    fn: Callable[..., Any] = replica.bare(found)
    return fn


def _attribute(module: Any, qualname: str) -> Any:
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def bound(method: types.MethodType) -> Callable[..., Any]:
    """Return a callable that does what the method does and travels by name."""
    return _Bound(encode_function(method.__func__), method.__self__)


class _Bound:
    """A method as its function and its instance.

    Pickle would look the method up on the instance at the far side, and find
    the decorated one.
    """

    def __init__(self, encoded: bytes, instance: object) -> None:
        self._encoded = encoded
        self._instance = instance

    def __call__(self, *args: Any) -> Any:
        return decode_function(self._encoded)(self._instance, *args)
