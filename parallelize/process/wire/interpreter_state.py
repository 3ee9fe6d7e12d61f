"""Interpreter settings that a script makes at its top, passed on to its workers.

A worker of the standard library has them because it runs the script, or is a fork of
the parent. Here the parent sends the settings that are cheap to read and to set, with
their values at the start of the worker: limits, the garbage collector, the default
timeout of sockets, the locale, the decimal contexts (that of the thread that made the
pool's first call, and that of new threads), extension codes of `copyreg`, and levels of
`logging`. Modules that the parent has not imported are not imported for this, on either
side.
"""

from __future__ import annotations

import gc
import sys
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    State = dict[str, Any]

#: The values of a decimal context that has not been changed.
_PLAIN_DECIMAL = (28, "ROUND_HALF_EVEN", -999999, 999999, 1, 0)

_PLAIN_LEVELS = frozenset(
    ("CRITICAL", "ERROR", "WARNING", "INFO", "DEBUG", "NOTSET", "WARN", "FATAL")
)


def take(decimal_context: object = None) -> State:
    """Read the settings of this interpreter.

    Args:
        decimal_context: What `own_decimal_context` returned in the thread that made
            the pool's first call.
    """
    state: State = {
        "recursion": sys.getrecursionlimit(),
        "digits": sys.get_int_max_str_digits(),
        "switch": sys.getswitchinterval(),
        "gc": (gc.isenabled(), gc.get_threshold()),
        "stack": threading.stack_size(),
        "decimal": decimal_context,
    }
    for home, name, read in _READERS:
        module = loaded(home)
        if module is not None:
            state[name] = read(module)
    return {name: value for name, value in state.items() if value is not None}


def loaded(name: str) -> Any:
    """Return an imported module; None if it is not imported, or not yet completely.

    While another thread imports it, names are missing, and the program cannot have
    changed its settings.
    """
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    return None if getattr(spec, "_initializing", False) else module


def own_decimal_context() -> object:
    """Return the decimal context of this thread; None if it is unchanged."""
    decimal = loaded("decimal")
    return None if decimal is None else _decimal_context(decimal)


def _decimal_context(decimal: Any) -> object:
    context = decimal.getcontext()
    numbers = (context.prec, context.rounding, context.Emin, context.Emax)
    traps = {signal.__name__ for signal, on in context.traps.items() if on}
    if (*numbers, context.capitals, context.clamp) == _PLAIN_DECIMAL and traps == {
        "InvalidOperation",
        "DivisionByZero",
        "Overflow",
    }:
        return None
    copy = context.copy()
    copy.clear_flags()
    return copy


def _read_socket(socket: Any) -> object:
    return socket.getdefaulttimeout() if hasattr(socket, "getdefaulttimeout") else None


def _read_default_context(decimal: Any) -> object:
    """Return the values of `decimal.DefaultContext`, which new threads start with."""
    context = decimal.DefaultContext
    about = (
        context.prec,
        context.rounding,
        context.Emin,
        context.Emax,
        context.capitals,
        context.clamp,
    )
    return None if about == _PLAIN_DECIMAL else about


def _read_extensions(copyreg: Any) -> object:
    """Return the extension codes of classes: pickled arguments may contain them."""
    return list(copyreg._extension_registry.items()) or None


def _read_locale(locale: Any) -> object:
    """Return the locale; None if it is the one with which Python starts."""
    try:
        categories = {locale.setlocale(c) for c in (locale.LC_NUMERIC, locale.LC_TIME)}
        categories.add(locale.setlocale(locale.LC_COLLATE))
        return None if categories == {"C"} else locale.setlocale(locale.LC_ALL)
    except (AttributeError, locale.Error):
        return None


def _read_logging(logging: Any) -> object:
    """Return the added level names and `raiseExceptions`, if any is not the default."""
    names = getattr(logging, "_levelToName", {})
    added = {
        level: name
        for level, name in names.items()
        if name not in _PLAIN_LEVELS and isinstance(level, int)
    }
    shows = getattr(logging, "raiseExceptions", True)
    return (added, shows) if added or not shows else None


_READERS: tuple[tuple[str, str, Callable[[Any], object]], ...] = (
    ("socket", "timeout", _read_socket),
    ("locale", "locale", _read_locale),
    ("logging", "logging", _read_logging),
    ("decimal", "decimal_default", _read_default_context),
    ("copyreg", "extensions", _read_extensions),
)


def apply(state: State) -> None:
    """In a worker: apply the settings of the parent process."""
    for name, value in state.items():
        try:
            _WRITERS[name](value)
        except Exception:  # noqa: BLE001, S112 - this process may not allow the value
            continue


def _write_gc(value: tuple[bool, tuple[int, int, int]]) -> None:
    enabled, threshold = value
    gc.set_threshold(*threshold)
    if not enabled:
        gc.disable()


def _write_timeout(value: float) -> None:
    import socket

    socket.setdefaulttimeout(value)


def _write_locale(value: str) -> None:
    import locale

    locale.setlocale(locale.LC_ALL, value)


def _write_decimal(value: Any) -> None:
    import decimal

    decimal.setcontext(value)


def _write_default_context(value: tuple[Any, ...]) -> None:
    import decimal

    names = "prec", "rounding", "Emin", "Emax", "capitals", "clamp"
    for name, each in zip(names, value, strict=True):
        setattr(decimal.DefaultContext, name, each)


def _write_extensions(value: list[tuple[tuple[str, str], int]]) -> None:
    import copyreg

    for names, code in value:
        copyreg.add_extension(*names, code)


def _write_logging(value: tuple[dict[int, str], bool]) -> None:
    import logging

    names, logging.raiseExceptions = value
    for level, name in names.items():
        logging.addLevelName(level, name)


_WRITERS: dict[str, Callable[[Any], object]] = {
    "recursion": sys.setrecursionlimit,
    "digits": sys.set_int_max_str_digits,
    "switch": sys.setswitchinterval,
    "gc": _write_gc,
    "stack": threading.stack_size,
    "timeout": _write_timeout,
    "locale": _write_locale,
    "decimal": _write_decimal,
    "logging": _write_logging,
    "decimal_default": _write_default_context,
    "extensions": _write_extensions,
}
