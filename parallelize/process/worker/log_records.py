"""Sending the worker's log records to the caller's handlers.

This module is imported once other code in the worker has imported `logging`, see
`reports`.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any

from parallelize.process.wire import messages
from parallelize.process.worker.reports import RECORD
from parallelize.runtime import raised

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from parallelize.process.wire.frames import Part
    from parallelize.process.worker.reports import Report

#: Values of these types are the same on both sides, and safe to unpickle.
_SIMPLE = (int, float, str, bool, type(None))

#: Records whose values take more bytes than this are sent as text.
MOST_BYTES = 1 << 20

#: The default name of a process.
_NAMELESS = "MainProcess"


def begin(settings: Mapping[str, Any], report: Report) -> None:
    """Set up this worker's loggers like the caller's, with one handler for all."""
    _drop_handlers()
    root = logging.getLogger()
    root.addHandler(_Handler(settings["name"], report))
    for name, level in settings["levels"].items():
        logging.getLogger(name).setLevel(level)
    root.setLevel(settings["root"])
    logging.disable(settings["disable"])


def _drop_handlers() -> None:
    """Remove the handlers that a forked worker has inherited from its parent."""
    for logger in (logging.root, *logging.root.manager.loggerDict.copy().values()):
        if isinstance(logger, logging.Logger):
            logger.handlers.clear()
            logger.propagate = True


class _Handler(logging.Handler):
    """Sends each record to the pool."""

    def __init__(self, worker: str, report: Report) -> None:
        super().__init__()
        self._worker = worker
        self._report = report

    def emit(self, record: logging.LogRecord) -> None:
        """Send the record; in a process that a task has forked, print it there."""
        try:
            if record.processName == _NAMELESS:
                record.processName = self._worker
            if self._report(RECORD, encoded(record)):
                return
        except Exception:  # noqa: BLE001 - as in logging's own handlers
            self.handleError(record)
        else:
            if logging.lastResort and record.levelno >= logging.lastResort.level:
                logging.lastResort.handle(record)


def encoded(record: logging.LogRecord) -> list[Part]:
    """Encode a record as parts: the plain values, then the others if they can be sent.

    The plain values alone are a record whose text is already formatted.
    """
    values = dict(vars(record))
    error = values.pop("exc_info", None)
    if error and not values["exc_text"]:
        values["exc_text"] = _text_of(*error)
    plain = {name: each for name, each in values.items() if _is_simple(each)}
    if len(plain) == len(values) and not error:
        return [pickle.dumps(plain, 5)]
    others = {name: values[name] for name in values if name not in plain}
    plain |= {"msg": record.getMessage(), "args": None}
    if {"msg", "args"} & others.keys():
        others |= {"msg": record.msg, "args": record.args}
    failure = _failure(error[1]) if error else None
    return [pickle.dumps(plain, 5), failure or b"", *_travelling(others)]


def _text_of(
    kind: type[BaseException] | None,
    error: BaseException | None,
    tb: TracebackType | None,
) -> str:
    try:
        return logging.Formatter().formatException((kind, error, tb))  # type: ignore[arg-type]
    except Exception:  # noqa: BLE001 - the error's own code may raise anything
        return "" if error is None else raised.full_text_of(error).rstrip()


def _failure(error: BaseException | None) -> bytes | None:
    return None if error is None else messages._pickled(error)


def _is_simple(value: object) -> bool:
    if type(value) is tuple:
        return all(type(each) in _SIMPLE for each in value)
    return type(value) in _SIMPLE


def _travelling(values: dict[str, Any]) -> Sequence[Part]:
    """Encode the values that can be pickled as one part, unless they are huge."""
    data = _pickled(values)
    if data is None:
        able = {name for name in values if _pickled(values[name]) is not None}
        if not {"msg", "args"} <= able:  # they are useless without each other
            able -= {"msg", "args"}
        data = _pickled({name: values[name] for name in able})
    return () if data is None or len(data) > MOST_BYTES else (data,)


def _pickled(value: object) -> bytes | None:
    try:
        return pickle.dumps(value, 5)
    except Exception:  # noqa: BLE001 - a value that cannot be pickled is not sent
        return None
