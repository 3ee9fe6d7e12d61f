"""Durations and sizes in human-readable form."""

from __future__ import annotations

_ROUNDED_UP = 0.9995  # of a unit is shown as one, with three digits

_BINARY = (1 << 40, 1 << 30, 1 << 20, 1 << 10)

#: Units of long durations, with the number of seconds in each, and what is shown of
#: the rest. Each is used from two of it on.
_LONG = (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1))


def duration(nanoseconds: float) -> str:
    """Return a duration in human-readable form."""
    for long, seconds, rest_name, rest in _LONG:
        shown = round(nanoseconds / 1e9 / rest) * rest
        if shown >= 2 * seconds:
            whole, left = divmod(shown, seconds)
            return f"{whole} {long}" + (f" {left // rest} {rest_name}" if left else "")
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= unit * _ROUNDED_UP:
            return f"{nanoseconds / unit:.3g} {name}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0"


def size(count: float) -> str:
    """Return a number of bytes in human-readable form."""
    for unit, name in zip(_BINARY, ("TiB", "GiB", "MiB", "KiB"), strict=True):
        if count >= unit * _ROUNDED_UP:
            number = count / unit
            return f"{number:.0f} {name}" if number >= 1000 else f"{number:.3g} {name}"
    return f"{count:.0f} B"
