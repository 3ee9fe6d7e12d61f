"""Delivering log records and warnings of process workers to the caller's handlers.

The worker's half is `parallelize.process.worker.reports`. A worker is sent, when it
starts, the levels and filters of the parent process, so that it sends little that is
not wanted; what it sends is filtered again here, by the current levels and filters.
"""

from __future__ import annotations

import builtins
import logging
import sys
import traceback
import warnings
from _pickle import loads

from parallelize.process.wire import messages
from parallelize.process.worker.reports import RECORD, encode_filter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from parallelize.process.wire.frames import Frame, Part

# The registries of warnings already shown, for modules that only workers have imported.
_registries: dict[str, dict[Any, Any]] = {}


def settings(worker: str) -> dict[str, Any]:
    """Return the settings of loggers and filters for a worker of this name."""
    root = logging.root  # not getLogger(), which tests may replace
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
    # From Python 3.14 on the filters may be those of the context.
    get = getattr(warnings, "_get_filters", None)
    return list(warnings.filters if get is None else get())


def deliver(reports: Iterable[Frame], pid: int | None) -> None:
    """Pass records to their loggers, and warnings to the filters, in order."""
    for frame in reports:
        try:
            if frame.extra == RECORD:
                _log(frame.parts)
            else:
                _warn(frame.parts)
        except Exception:  # noqa: BLE001 - raised by a handler, or a malformed report
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
    if values["levelname"] == f"Level {values['levelno']}":  # it may have a name here
        values["levelname"] = logging.getLevelName(values["levelno"])  # pyright: ignore[reportDeprecated]
    logger.handle(logging.makeLogRecord(values))


def _restore(values: dict[str, Any], failure: Part, others: Sequence[Part]) -> None:
    """Add the values that are not plain, as far as they can be unpickled here."""
    error = messages._unpickled(bytes(failure)) if failure else None
    if error is not None:
        values["exc_info"] = type(error), error, None
    if not others:
        return
    try:
        values |= loads(others[0])
    except Exception:  # noqa: BLE001 - the formatted text is enough
        return


def _warn(parts: Sequence[Part]) -> None:
    text, known, filename, lineno, module = loads(parts[0])
    message, category = text, getattr(builtins, known)
    if len(parts) > 1:
        try:
            message, category = loads(parts[1])
        except Exception:  # noqa: BLE001 - the text is enough
            message = text
    registry = _registry(module or filename)
    try:
        warnings.warn_explicit(message, category, filename, lineno, module, registry)
    except Warning:  # the filters turn it into an error, but the call has continued
        warnings.showwarning(message, category, filename, lineno)


def _registry(module: str) -> dict[Any, Any]:
    """Return the registry of warnings that the module would use in this process."""
    loaded = sys.modules.get(module)
    if loaded is None:
        return _registries.setdefault(module, {})
    registry: dict[Any, Any] = vars(loaded).setdefault("__warningregistry__", {})
    return registry
