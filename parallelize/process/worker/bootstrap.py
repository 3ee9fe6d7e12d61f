"""Support for tools that hook into how multiprocessing starts processes.

A tool that has to see every process of a program, such as coverage, replaces
``BaseProcess._bootstrap``, in which a child of multiprocessing runs everything. It also
adds to the data that a spawned child unpickles first, so that the method is replaced
there, too. A worker then runs inside that method, as such a child does. Without such a
tool nothing of multiprocessing is imported.
"""

from __future__ import annotations

import _pickle as pickle
import importlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_PROCESS = "multiprocessing.process"

#: What multiprocessing itself sends a child to unpickle; it differs between Pythons.
_OWN = frozenset(
    (
        "authkey",
        "dir",
        "init_main_from_name",
        "init_main_from_path",
        "log_level",
        "log_to_stderr",
        "name",
        "orig_dir",
        "start_method",
        "sys_argv",
        "sys_path",
    )
)


def replaced() -> bytes | None:
    """In the parent: return what a worker unpickles first; None without such a tool."""
    if not _is_replaced():
        return None
    spawn = sys.modules.get("multiprocessing.spawn")
    prepare: Any = getattr(spawn, "get_preparation_data", None)
    if prepare is None or _is_of_multiprocessing(prepare):
        return pickle.dumps({}, 5)
    data = prepare("")
    return pickle.dumps({key: data[key] for key in data.keys() - _OWN}, 5)


def _is_replaced() -> bool:
    process = sys.modules.get(_PROCESS)
    bootstrap = getattr(getattr(process, "BaseProcess", None), "_bootstrap", None)
    return bootstrap is not None and not _is_of_multiprocessing(bootstrap)


def _is_of_multiprocessing(fn: Any) -> bool:
    module = getattr(fn, "__module__", None)
    return module in (_PROCESS, "multiprocessing.spawn")


def run(unpickled_first: bytes, live: Callable[[], int]) -> int:
    """In a worker: run ``live`` as the `run` method of a multiprocessing process.

    Args:
        unpickled_first: What `replaced` returned.
        live: Runs the worker until it ends; returns its exit code.

    Returns:
        The exit code.
    """
    pickle.loads(unpickled_first)
    module: Any = importlib.import_module(_PROCESS)
    codes: list[int] = []
    errors: list[BaseException] = []

    class Worker(module.BaseProcess):  # type: ignore[misc]
        _start_method = None  # the worker's own children use the default start method

        def run(self) -> None:
            try:
                codes.append(live())
            except BaseException as error:  # noqa: BLE001 - `_bootstrap` would print it
                errors.append(error)

    Worker()._bootstrap()
    for error in errors:
        raise error
    return codes[0] if codes else 1  # `_bootstrap` has printed the error
