"""How values and functions travel: by name where a name finds them, else by value.

A value travels as *parts*: its pickle, then the large buffers that pickle
protocol 5 leaves out of the pickle. The standard pickle is tried first; what it
cannot do, or what belongs to ``__main__`` (which a worker does not have), goes
by value through cloudpickle, see `main_module`.

A function travels as one `bytes` object, which also serves as its identity:
the worker keeps what it made of it, the parent keeps its measured duration.
"""

from __future__ import annotations

import pickle
import sys
import types
from typing import TYPE_CHECKING, Any

from parallelize.process import main_module

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from parallelize.process.main_module import Keep

    Part = bytes | bytearray | memoryview
    Parts = Sequence[Part]

#: Buffers below this many bytes stay inside the pickle: copying them is cheap.
LEAST_BUFFER = 1 << 15

#: Buffers beyond so many stay inside, too: a frame has room for some thousands.
MOST_BUFFERS = 1000

#: How many functions either side remembers.
MOST_FUNCTIONS = 512

_BY_NAME = b"@"
_BY_VALUE = b"="
_MOST_WRAPPERS = 16
_PLAIN = frozenset((types.FunctionType, types.BuiltinFunctionType))

_encoded: dict[Any, bytes] = {}  # functions that travel by name, as bytes
_decoded: dict[bytes, Callable[..., Any]] = {}  # and what came of the bytes here


def dumps(value: object) -> list[Part]:
    """Pickle a value into parts, for a worker; the buffers among them are copies.

    Raises:
        BaseException: Whatever pickling raised; `Exception` classes only after
            cloudpickle has failed too.
    """
    return _dumps(value, main_module.encode)


def dumps_back(value: object) -> list[Part]:
    """The same in a worker, for the program that it belongs to."""
    return _dumps(value, main_module.encode_back)


def _dumps(value: object, by_value: Callable[[object, Keep], bytes]) -> list[Part]:
    parts: list[Part] = [b""]

    def keep_inside(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes < LEAST_BUFFER or len(parts) > MOST_BUFFERS:
            return True
        parts.append(bytearray(raw))
        return False

    try:
        data = pickle.dumps(value, 5, buffer_callback=keep_inside)
        if b"__main__" not in data:
            parts[0] = data
            return parts
    except Exception:  # noqa: BLE001 - any failure: cloudpickle tells better or succeeds
        pass
    _forget_attempt(parts)
    parts[0] = by_value(value, keep_inside)
    return parts


def _forget_attempt(parts: list[Part]) -> None:
    from parallelize import gaps

    del parts[1:]
    gaps.restart()


def loads(parts: Parts) -> Any:
    """Build the value from its parts; raises whatever unpickling raises."""
    data = parts[0]
    if data[:1] == main_module.MARK:
        data = main_module.body_of(data)
    if len(parts) == 1:
        return pickle.loads(data)
    return pickle.loads(data, buffers=parts[1:])


def encode_function(fn: Callable[..., Any]) -> bytes:
    """Return a function as bytes."""
    plain = type(fn) in _PLAIN  # others may hash and compare as they like
    if plain and fn in _encoded:
        return _encoded[fn]
    name = _name_of(fn)
    if name is None:
        return _BY_VALUE + _value_of(fn)
    encoded = _BY_NAME + name.encode()
    if plain:
        _remember(_encoded, fn, encoded)
    return encoded


def _value_of(fn: Callable[..., Any]) -> bytes:
    try:
        data = pickle.dumps(fn, 5)
        if b"__main__" not in data:
            return data
    except Exception:  # noqa: BLE001 - any failure: cloudpickle tells better or succeeds
        pass
    return main_module.encode(fn)


def decode_function(encoded: bytes) -> Callable[..., Any]:
    """Return the function that was encoded; the same bytes give the same function."""
    fn = _decoded.get(encoded)
    if fn is not None:
        if encoded[1:2] == main_module.MARK:  # a name may mean something else now
            main_module.body_of(memoryview(encoded)[1:])
        return fn
    body = encoded[1:]
    fn = _find(body.decode()) if encoded[:1] == _BY_NAME else loads([body])
    _remember(_decoded, encoded, fn)
    return fn


def _remember(memory: dict[Any, Any], key: object, value: object) -> None:
    if len(memory) >= MOST_FUNCTIONS:
        memory.clear()
    memory[key] = value


def _name_of(fn: Callable[..., Any]) -> str | None:
    """Return ``module:qualname:wrappers`` if that finds the function, else None.

    What the name finds may be a decorated function; then ``wrappers`` says how
    many ``__wrapped__`` lead from there to the function itself.
    """
    module = getattr(fn, "__module__", None)
    qualname = getattr(fn, "__qualname__", None)
    if not module or not qualname or module == "__main__" or "<" in qualname:
        return None
    found = _attribute(sys.modules.get(module), qualname)
    for wrappers in range(_MOST_WRAPPERS):
        if _bare(found) is fn:
            return f"{module}:{qualname}:{wrappers}"
        found = getattr(found, "__wrapped__", None)
    return None


def _find(name: str) -> Callable[..., Any]:
    import importlib

    module, qualname, wrappers = name.split(":")
    found = _attribute(importlib.import_module(module), qualname)
    if found is None:
        msg = f"module {module!r} has no {qualname!r} in the worker"
        raise AttributeError(msg)
    for _ in range(int(wrappers)):
        found = found.__wrapped__
    fn: Callable[..., Any] = _bare(found)
    return fn


def _attribute(module: Any, qualname: str) -> Any:
    found = module
    for name in qualname.split("."):
        found = getattr(found, name, None)
    return found


def _bare(found: Any) -> Any:
    """The function inside a bound (class) method, or what was given."""
    return getattr(found, "__func__", found)


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
