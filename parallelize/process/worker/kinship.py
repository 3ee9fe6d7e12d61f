"""Makes a worker a child of the parent process for multiprocessing, too.

```
 worker: multiprocessing is imported,                parent process
         a segment or semaphore is named
              │ ══════════════ ASK ══════════════════▶ dispatcher: imports it, too,
              ▼                                        starts the resource tracker
         key, resource tracker ◀══ ANSWER, fd ════════
```

The resource tracker removes named resources that are left behind when all processes
that use it have ended. A worker with a tracker of its own would remove, at its end,
resources that belong to the parent process. But no tracker is started, and nothing of
multiprocessing imported, before a task or the parent process needs it.

The processes that a task starts, by a pool of multiprocessing for instance, have a copy
of the worker's `__main__`.
"""

from __future__ import annotations

import importlib
import os
import sys

from parallelize.runtime import locks, native

TYPE_CHECKING = False
if TYPE_CHECKING:
    import types
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from typing import Any

    #: A worker's name, its identity, the key if multiprocessing is imported in the
    #: parent process, and the parent's name and process id.
    Names = tuple[str, tuple[int, ...], bytes | None, str, int]


#: What a worker may request.
KEY, TRACKER = 1, 2

#: Seconds that it waits for an answer before it goes on without one.
_PATIENCE = 20.0

_PROCESS, _TRACKER = "multiprocessing.process", "multiprocessing.resource_tracker"
_SPAWN = "multiprocessing.spawn"


class Kinship:
    """In a worker: sets multiprocessing up as in a child, once it is imported.

    Args:
        ask: Sends a request, `KEY` or `TRACKER`, to the pool.
    """

    def __init__(self, ask: Callable[[int], object]) -> None:
        self._ask = ask
        self._pid = os.getpid()
        # Guards the answers, between the watcher and the threads that wait for them.
        # Nothing is locked under it.
        self._changed = native.Condition(locks.reentrant("kinship", native.RLock)())
        self._answers: dict[int, int | bytes | None] = {}

    def begin(self, names: Names, control_fd: int, *, is_copy: bool) -> None:
        """Set how multiprocessing sees this worker and its parent.

        Args:
            names: The names that the pool has sent.
            control_fd: A descriptor that becomes readable when the parent ends.
            is_copy: Whether the worker is a fork of the parent process.
        """
        self._names = names
        self._control_fd = control_fd
        self._is_copy = is_copy
        when_loaded(_PROCESS, self._name_process)
        when_loaded(_TRACKER, self._share_tracker)
        if not is_copy:
            when_loaded(_SPAWN, share_main)
        if names[2] is not None:  # the parent uses it, and logs show the process name
            importlib.import_module(_PROCESS)

    def on_answer(self, question: int, answer: int | bytes | None) -> None:
        """Deliver an answer: a key or a descriptor; None if there is none."""
        with self._changed:
            self._answers[question] = answer
            self._changed.notify_all()

    def _answer_to(self, question: int) -> Any:  # a key or a descriptor
        if os.getpid() != self._pid:  # a process that a task has forked
            return None
        self._ask(question)
        with self._changed:
            self._changed.wait_for(lambda: question in self._answers, _PATIENCE)
            return self._answers.pop(question, None)

    def _name_process(self, process: Any) -> None:
        current = process.current_process()
        current.name, current._identity, key, parent, pid = self._names
        key = key or self._answer_to(KEY)
        if key is not None:
            current.authkey = key
        process._parent_process = process._ParentProcess(parent, pid, self._control_fd)

    def _share_tracker(self, module: Any) -> None:
        tracker = module._resource_tracker
        if self._is_copy:  # another thread may have held it during the fork
            tracker._lock._at_fork_reinit()
        # Ensures that the descriptor is requested once; held during the request.
        asking = locks.reentrant("tracker", native.RLock)()

        def sharing(run: Callable[..., object]) -> Callable[..., object]:
            def with_tracker(*args: object) -> object:
                if tracker._fd is None:
                    with asking:
                        if tracker._fd is None:
                            tracker._fd = self._answer_to(TRACKER)
                return run(*args)

            return with_tracker

        # Newer Pythons have the second, too; the first is also a module function.
        for name in ("ensure_running", "_ensure_running_and_write"):
            if hasattr(tracker, name):
                setattr(tracker, name, sharing(getattr(tracker, name)))
        module.ensure_running = tracker.ensure_running


def share_main(spawn: Any) -> None:
    """Have the children that multiprocessing starts here get this `__main__`.

    They would run the program's script, which here is not known to have a guard.
    """
    prepare = spawn.get_preparation_data

    def with_main(name: str) -> dict[str, Any]:
        data: dict[str, Any] = prepare(name)
        data.pop("init_main_from_path", None)
        return {**data, "parallelize": _Main()}

    spawn.get_preparation_data = with_main


class _Main:
    """Pickles as what gives a process a copy of this `__main__`."""

    def __reduce__(self) -> tuple[Any, ...]:
        from parallelize.serialize.main import encoding, picture
        from parallelize.serialize.reducers import replica

        replica.need((), everything=True)
        parcel = encoding.with_everything(b"")
        names = {"path": sys.path, "file": picture.world.file(), "parcel": parcel}
        return exec, (_BEGIN, names)


#: The path is set before anything is imported: a child sets its own later.
_BEGIN = """
import sys
sys.path[:] = path
from parallelize.process.worker.kinship import begin_child
begin_child(file, parcel)
"""


def begin_child(file: str | None, parcel: bytes) -> None:
    """In a process that a task has started: make `__main__` a copy of the worker's."""
    from parallelize.serialize.reducers import replica

    replica.begin_empty(file)
    if parcel:
        replica.body_of(parcel)
    when_loaded(_SPAWN, share_main)


def key() -> bytes:
    """In the parent: return the key that authenticates its children and managers."""
    from multiprocessing import process

    return bytes(process.current_process().authkey)


class Tracker:
    """In the parent: its resource tracker, which is started when needed."""

    def _descriptor(self) -> int:
        """Return the descriptor through which resources are registered."""
        from multiprocessing import resource_tracker

        fd: Any = resource_tracker.getfd()
        return int(fd)


def when_loaded(name: str, action: Callable[[Any], object]) -> None:
    """Call ``action`` with a module: now, or as soon as it is imported."""
    module = sys.modules.get(name)
    if module is not None:
        action(module)
    else:
        sys.meta_path.insert(0, _Finder(name, action))


class _Finder:
    """Finds one module with the other finders, and calls back once it is loaded."""

    def __init__(self, name: str, action: Callable[[Any], object]) -> None:
        self._name = name
        self._action = action

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: types.ModuleType | None = None,
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        from importlib.util import find_spec

        spec = find_spec(name)
        loader: Any = None if spec is None else spec.loader
        if loader is None:
            return spec
        load = loader.exec_module

        def exec_module(module: types.ModuleType) -> None:
            load(module)
            self._action(module)

        loader.exec_module = exec_module
        return spec


__all__ = (
    "KEY",
    "TRACKER",
    "Kinship",
    "Tracker",
    "begin_child",
    "key",
    "share_main",
    "when_loaded",
)
