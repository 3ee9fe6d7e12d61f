"""Reducers of multiprocessing: sockets, connections, and those of users.

`ForkingPickler` has its own reducers, for types of which plain pickle would copy the
number of a descriptor, which is meaningless in another process. They are used here,
too, as soon as the program has loaded them; before that, only sockets can exist among
these types.

When multiprocessing sends a descriptor, a thread of the sender waits until the receiver
fetches it. Both authenticate with a key, which is sent in the pickle here, because a
worker may have been started before the program had one.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from typing import Any

    Reducer = Callable[[Any], Any]

#: The first byte of a pickle whose descriptors must be fetched while the sender is
#: alive.
MARK = b"D"

#: The first byte of such a parcel.
EARLY = MARK[0]

#: The reducers of `ForkingPickler`, once they are loaded.
registered: dict[type, Reducer] = {}

# Reducers not needed here: pickle and cloudpickle do better.
_NEEDLESS = ("multiprocessing.reduction", "multiprocessing.managers")

#: Why no descriptor is sent to another interpreter of this process.
SAME_PROCESS = "an interpreter has the descriptors of its process: pass its fileno()"

_never = ""  # why this process sends no descriptors at all
_local = threading.local()  # `why_not`: why this thread may send no descriptor
_sent = 0  # number of descriptors sent


class NotForManyError(TypeError):
    """A pickle for many workers cannot contain a descriptor, which goes to one."""


def look() -> dict[type, Reducer]:
    """Return the reducers that are loaded so far."""
    global registered
    reduction = sys.modules.get("multiprocessing.reduction")
    pickler = getattr(reduction, "ForkingPickler", None)
    registered = getattr(pickler, "_extra_reducers", registered)
    return registered


def marks() -> list[bytes]:
    """Return the module names that show a need for reducers in a plain pickle."""
    modules = {
        kind.__module__
        for kind, reduce in list(look().items())
        if not _is_needless(reduce)
    }
    return [each.encode() for each in modules if each != "builtins"]


def _is_needless(reduce: Reducer) -> bool:
    return getattr(reduce, "__module__", None) in _NEEDLESS


class Table(Mapping[type, "Reducer"]):
    """The reducers as part of a pickler's dispatch table.

    Args:
        far: Whether it pickles for other machines, which cannot receive descriptors.
    """

    def __init__(self, *, far: bool) -> None:
        self._far = far

    def __getitem__(self, kind: type) -> Reducer:
        if _is_socket(kind):
            return self._socket
        if not registered:
            raise KeyError(kind)
        if kind.__module__ == "multiprocessing.resource_sharer":
            return _reduce_descriptor
        reduce = registered[kind]
        if _is_needless(reduce):
            raise KeyError(kind)
        if reduce.__module__ == "multiprocessing.sharedctypes":
            return _reduce_ctype
        is_own = reduce.__module__.startswith(_OWN)
        if self._far:
            return _refuse if is_own else _reduce_plainly
        return _allowed(reduce) if is_own else reduce

    def __iter__(self) -> Iterator[type]:
        return iter([kind for kind in registered if kind in self])

    def __len__(self) -> int:
        return len(list(iter(self)))

    def _socket(self, sock: Any) -> Any:
        if self._far:
            return _refuse(sock)
        _check_allowed(sock)  # before anything is loaded or created
        from multiprocessing import reduction

        look()
        reducers: Any = reduction.ForkingPickler  # its table has no public name
        return reducers._extra_reducers[type(sock)](sock)


_OWN = "multiprocessing."


def _is_socket(kind: type) -> bool:
    return kind.__module__ == "socket" and kind.__name__ == "socket"


def _refuse(obj: object) -> Any:
    kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    msg = f"cannot pickle a {kind}: its descriptor is of this machine"
    raise TypeError(msg)


def _allowed(reduce: Reducer) -> Reducer:
    def reduce_if_allowed(obj: Any) -> Any:
        _check_allowed(obj)
        return reduce(obj)

    return reduce_if_allowed


def _reduce_plainly(obj: Any) -> Any:
    return obj.__reduce_ex__(5)


def _reduce_ctype(obj: Any) -> Any:
    """Pickle a ctypes object plainly if it is not shared."""
    if hasattr(obj, "_wrapper"):
        return registered[type(obj)](obj)
    return obj.__reduce_ex__(5)


# Sending descriptors.


@contextlib.contextmanager
def refusing(why: str) -> Generator[None]:
    """Refuse to pickle descriptors within the block.

    Args:
        why: The reason, for the error.

    Raises:
        NotForManyError: A descriptor was to be pickled.
    """
    before = getattr(_local, "why_not", "")
    _local.why_not = why
    try:
        yield
    finally:
        _local.why_not = before


def refuse_always(why: str) -> None:
    """Refuse to pickle descriptors from now on, see `refusing`."""
    global _never
    _never = why


def _check_allowed(obj: object) -> None:
    context = sys.modules.get("multiprocessing.context")
    if context is not None and context.get_spawning_popen() is not None:
        return  # it is inherited by a child that is being started
    why_not = getattr(_local, "why_not", "") or _never
    if why_not:
        msg = f"cannot pickle a {type(obj).__qualname__}: {why_not}"
        raise NotForManyError(msg)


def _reduce_descriptor(descriptor: Any) -> tuple[Any, ...]:
    global _sent
    _check_allowed(descriptor)
    from multiprocessing.process import current_process

    _sent += 1
    return Descriptor, (descriptor._id, bytes(current_process().authkey))


def count() -> int:
    """Return the number of descriptors that this process has sent."""
    return _sent


class Descriptor:
    """A received descriptor; objects rebuilt by multiprocessing call `detach`."""

    def __init__(self, id: tuple[Any, Any], key: bytes) -> None:
        self._id = id
        self._key = key

    def detach(self) -> int:
        """Fetch the descriptor.

        Raises:
            OSError: The sending process is gone.
        """
        import os
        from multiprocessing import connection, reduction

        address, number = self._id
        try:
            with connection.Client(address, authkey=self._key) as sender:
                sender.send((number, os.getpid()))
                fd: int = reduction.recv_handle(sender)
                return fd
        except (OSError, EOFError) as error:
            msg = "the process that has sent a descriptor is gone, or gave it away"
            raise OSError(msg) from error


def begin_copy() -> None:
    """In a fork of the program: drop pending descriptors, which are the program's."""
    sharer: Any = sys.modules.get("multiprocessing.resource_sharer")
    if sharer is not None:
        sharer._resource_sharer._afterfork()
