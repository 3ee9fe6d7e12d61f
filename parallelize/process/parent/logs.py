"""Log records and warnings of process workers, given to the caller's handlers.

The worker's half is `parallelize.process.worker.reports`. A worker is told, when it
starts, which levels and filters hold in the program, so that it sends little that
nobody wants; what it sends is judged once more here, by what holds now.
"""

from __future__ import annotations

import builtins
import logging
import sys
import traceback
import warnings
from pickle import loads
from typing import TYPE_CHECKING, Any

from parallelize.process.wire import messages
from parallelize.process.worker.reports import RECORD, encode_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from parallelize.process.wire.frames import Frame, Part

# Where a warning was shown already, for modules that are loaded in workers alone.
_registries: dict[str, dict[Any, Any]] = {}


def settings(worker: str) -> dict[str, Any]:
    """What a worker of this name is to know of the program's loggers and filters."""
    root = logging.root  # for tests put other functions in the place of getLogger
    return {
        "name": worker,
        "root": root.level,
        "disable": root.manager.disable,
        "levels": {
            name: logger.level
            for name, logger in root.manager.loggerDict.copy().items()
            if isinstance(logger, logging.Logger) and logger.level
        },
        "filters": [encode_filter(each) for each in _filters()],
    }


def _filters() -> list[Any]:
    # From 3.14 on they may be those of the context.
    get = getattr(warnings, "_get_filters", None)
    return list(warnings.filters if get is None else get())


def deliver(reports: Iterable[Frame], pid: int | None) -> None:
    """Give records to their loggers, and warnings to the filters, in order."""
    for frame in reports:
        try:
            if frame.extra == RECORD:
                _log(frame.parts)
            else:
                _warn(frame.parts)
        except Exception:  # noqa: BLE001 - a handler's own, or a task wrote nonsense
            if logging.raiseExceptions and sys.stderr:
                text = f"--- a report of worker {pid} could not be delivered ---\n"
                sys.stderr.write(text + traceback.format_exc())


def _log(parts: Sequence[Part]) -> None:
    values = loads(parts[0])
    logger = logging.getLogger(values["name"])
    if not logger.isEnabledFor(values["levelno"]):
        return
    if len(parts) > 1:
        _restore(values, parts[1], parts[2:])
    if values["levelname"] == f"Level {values['levelno']}":  # it has a name here
        values["levelname"] = logging.getLevelName(values["levelno"])  # pyright: ignore[reportDeprecated]
    logger.handle(logging.makeLogRecord(values))


def _restore(values: dict[str, Any], failure: Part, others: Sequence[Part]) -> None:
    """Add what is more than plain values, as far as it can be built here."""
    error = messages._unpickled(bytes(failure)) if failure else None
    if error is not None:
        values["exc_info"] = type(error), error, None
    if not others:
        return
    try:
        values |= loads(others[0])
    except Exception:  # noqa: BLE001 - its text is there
        return


def _warn(parts: Sequence[Part]) -> None:
    text, known, filename, lineno, module = loads(parts[0])
    message, category = text, getattr(builtins, known)
    if len(parts) > 1:
        try:
            message, category = loads(parts[1])
        except Exception:  # noqa: BLE001 - its text is there
            message = text
    registry = _registry(module or filename)
    try:
        warnings.warn_explicit(message, category, filename, lineno, module, registry)
    except Warning:  # the filters make an error of it, and the call has gone on
        warnings.showwarning(message, category, filename, lineno)


def _registry(module: str) -> dict[Any, Any]:
    """Where it is noted what has been shown: as if the module had warned here."""
    loaded = sys.modules.get(module)
    if loaded is None:
        return _registries.setdefault(module, {})
    registry: dict[Any, Any] = vars(loaded).setdefault("__warningregistry__", {})
    return registry
