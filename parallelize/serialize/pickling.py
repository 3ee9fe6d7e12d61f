"""Pickling of values and functions: by name where a name finds them, else by value.

A value is sent as *parts*: its pickle, then the large buffers that pickle protocol 5
keeps out of band. The standard pickle is tried first; what it cannot pickle, or what
belongs to ``__main__`` (which a worker does not have), is pickled by value by
cloudpickle, see `main.encoding`.

A function is sent as one `bytes` object, which also identifies it: the worker caches
the decoded function, the parent its measured duration. What it needs of `__main__` is
sent separately, see `main.picture`.
"""

from __future__ import annotations

import _pickle as pickle
import io
import sys
import types

from parallelize.runtime import uncollected
from parallelize.serialize import NUMBERS
from parallelize.serialize.reducers import origins, reductions, replica
from parallelize.serialize.reducers.origins import NAMES_SOMETHING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from parallelize.runtime.options import Args, Kwargs
    from parallelize.serialize.main.picture import Needs
    from parallelize.serialize.reducers.replica import Keep

    Part = bytes | bytearray | memoryview
    Parts = Sequence[Part]
    Place = Callable[[Sequence[memoryview]], Part | None]

#: Buffers below this many bytes stay inside the pickle: copying them is cheap.
LEAST_BUFFER = 1 << 15

#: The largest number of buffers out of band: a frame has room for some thousands.
MOST_BUFFERS = 1000

#: Texts of at least this many characters are not simple values.
LONG_TEXT = 1 << 10

#: Bytes of at least this size are copied directly to their destination.
LONG_BYTES = 1 << 20

#: Pickles of at least this size are unpickled in steps.
LONG_PICKLE = 1 << 18

_BY_NAME = b"@"
_HEADED = b"^"  # by name, after its module's origin
_PICKLE = b"\x80"  # what every pickle begins with
_NOT_SHARED = (
    "each worker would need a descriptor of its own: make it an argument of the calls"
)
_PLAIN = frozenset((types.FunctionType, types.BuiltinFunctionType))
_SIMPLE = NUMBERS | {str}  # bytes are sent as they are
_RAW = frozenset((bytes, bytearray))


def _nowhere(_: Sequence[memoryview]) -> None:
    """Place no buffers: they are sent as parts of the message."""


# Functions encoded by name; those that use `__main__` are kept elsewhere.
_encoded = replica.remember()
origins.memories.append(_encoded)
_decoded = replica.remember()  # and functions decoded here
_decoded_at = 0  # the generation of `__main__` that they belong to


def dumps(value: object, place: Place = _nowhere) -> list[Part]:
    """Pickle a value into parts, for a worker.

    The parts are a snapshot: the large buffers are copied before this returns.

    Args:
        value: The value to pickle.
        place: Copies the buffers to where both processes can read them, and returns the
            part that replaces them; None if it cannot.

    Raises:
        BaseException: The error that pickling raised; if it is an `Exception`,
            cloudpickle has failed, too.
    """
    return _dumps(value, _encode, place)


def _encode(value: object, keep_inside: Keep) -> bytes:
    from parallelize.serialize.main import encoding as main_encoding

    return main_encoding.encode(value, keep_inside)


def are_simple(args: Args, kwargs: Kwargs) -> bool:
    """Whether all arguments are of types whose pickling cannot fail."""
    if kwargs or not _SIMPLE.issuperset(kinds := set(map(type, args))):
        return False
    return str not in kinds or sum(len(a) for a in args if type(a) is str) < LONG_TEXT


def dumps_simple(args: tuple[Any, ...]) -> list[Part]:
    """Pickle arguments for which `are_simple` is true."""
    return [pickle.dumps((args, {}), 5)]


def dumps_if_simple(value: object) -> bytes | None:
    """Pickle a value that any process can safely unpickle; None for other values.

    That depends on its type, and for a text on its length.
    """
    kind = type(value)
    if kind in _SIMPLE and (kind is not str or len(value) < LEAST_BUFFER):  # type: ignore[arg-type]
        return pickle.dumps(value, 5)
    return None


class BuiltinPickler(pickle.Pickler):
    """Pickles values of builtin types only, each on its own, with few steps of Python.

    They refer to nothing that another process might not have, and they are immutable or
    of no other value's: neither pickling nor unpickling them runs user code.
    """

    def __init__(self, protocol: int) -> None:
        self._file = io.BytesIO()
        super().__init__(self._file, protocol)

    def reducer_override(self, value: object) -> Any:
        """Refuse what has no opcode, but for sets: old protocols have none for them."""
        if value is set or value is frozenset:
            return NotImplemented
        raise _NotBuiltinError

    def pickled(self, value: object) -> bytes | None:
        """Pickle a value; None if some part of it is of another type."""
        self.clear_memo()
        self._file.seek(0)
        self._file.truncate()
        try:
            self.dump(value)
        except Exception:  # noqa: BLE001 - RecursionError and others: tried otherwise
            return None
        return self._file.getvalue()


class BuiltinUnpickler(pickle.Unpickler):
    """Unpickles such values, and refuses anything else."""

    def find_class(self, module: str, name: str, /) -> Any:
        """Refuse what is found by a name, but for sets."""
        if module == "builtins" and name in ("set", "frozenset"):
            return set if name == "set" else frozenset
        msg = f"{module}.{name}"
        raise _NotBuiltinError(msg)


class _NotBuiltinError(Exception):
    """A value is of a class of its own, or is a function or a class."""


def loads_simple(data: Part) -> Any:
    """Return what `dumps_if_simple` pickled."""
    return pickle.loads(data)


def dumps_arguments(args: Args, kwargs: Kwargs, place: Place) -> list[Part]:
    """Pickle the arguments of a call into parts, like `dumps`."""
    if any(map(_is_long, args)):
        args = tuple(_Bytes(each) if _is_long(each) else each for each in args)
    return dumps((args, kwargs), place)


def dumps_buffers(value: object) -> list[Part]:
    """Pickle a value into parts whose buffers are its own, not copies."""
    own: list[memoryview] = []

    def keep(buffers: Sequence[memoryview]) -> bytes:
        own.extend(buffers)
        return b""

    with reductions.refusing(_NOT_SHARED):
        return [_dumps(value, _encode, keep)[0], *own]


def dumps_back(value: object, place: Place = _nowhere) -> list[Part]:
    """Pickle a value into parts, in a worker, for its program."""
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
    """Long bytes (or a bytearray) that are pickled as an out-of-band buffer."""

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
        # Most pickles contain no name at all.
        if NAMES_SOMETHING not in data or (
            not replica.concerns(data) and is_plain(data)
        ):
            return data
    except Exception:  # noqa: BLE001 - cloudpickle succeeds or reports more
        pass
    _forget_attempt(buffers)
    return by_value(value, keep_inside)


def _forget_attempt(buffers: list[memoryview]) -> None:
    from parallelize.serialize.reducers import placeholders

    buffers.clear()
    placeholders.restart()


def loads(parts: Parts) -> Any:
    """Unpickle a value from its parts; raise whatever unpickling raises."""
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
    """Process the heads of a parcel and return the pickle after them."""
    if parcel[:1] == reductions.MARK:
        parcel = memoryview(parcel)[1:]
    if parcel[:1] == replica.MARK:
        parcel = replica.body_of(parcel)
    if parcel[:1] == origins.MARK:
        parcel = origins.body_of(parcel)
    return parcel


class _Frames:
    """A file object for a long pickle that is read frame by frame.

    Unpickling from memory is one long C call during which no other thread can run, not
    even an event loop. From a file, each frame of 64 KiB is read by a call of Python
    code, at which threads can switch.
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
    """Return an encoded function and its needs of `__main__`, if cached."""
    if type(fn) not in _PLAIN:
        return None
    known: tuple[bytes, None] | None = _encoded.get(fn)
    if known is not None or fn.__module__ not in replica.NAMES:
        return known
    return _known_in_main(fn)


def _none_known(_: Any) -> None:
    """Return None: no function of the script was encoded yet."""


# `known_function` for functions of the script, once one was encoded.
_known_in_main: Callable[[Any], tuple[bytes, Needs | None] | None] = _none_known


def _load_main_encoding() -> Any:  # a module
    from parallelize.serialize.main import encoding

    return encoding


def _encode_in_main(fn: Any) -> bytes:
    global _known_in_main
    main_encoding = uncollected(_load_main_encoding)
    _known_in_main = main_encoding.known
    encoded: bytes = main_encoding.encode_function(fn)
    return encoded


def encode_function(fn: Callable[..., Any]) -> bytes:
    """Encode a function as bytes.

    What it needs of `__main__` is recorded for the current task, or is in the bytes,
    see `main.encoding`.
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
        if type(fn) in _PLAIN:  # others may define __hash__ and __eq__
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
    """Decode a function; equal bytes give the same function."""
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
    """Drop functions that may refer to earlier values of `__main__`."""
    global _decoded_at
    _decoded_at = replica.generation
    _decoded.clear()


def _name_of(fn: Callable[..., Any]) -> str | None:
    """Return ``module:qualname:wrappers`` if that finds the function, else None.

    The name may find a decorated function; ``wrappers`` is the number of
    ``__wrapped__`` steps from there to the function itself.
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
    """Return a callable that acts like the method and is pickled by name."""
    return _Bound(encode_function(method.__func__), method.__self__)


class _Bound:
    """A bound method, pickled as its function and its instance.

    Unpickling a bound method looks it up on the instance, and would find the decorated
    one.
    """

    def __init__(self, encoded: bytes, instance: object) -> None:
        self._encoded = encoded
        self._instance = instance

    def __call__(self, *args: Any) -> Any:
        return decode_function(self._encoded)(self._instance, *args)
