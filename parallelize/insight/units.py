"""Durations and sizes in human-readable form."""

from __future__ import annotations

_ROUNDED_UP = 0.9995  # of a unit is shown as one, with three digits


def duration(nanoseconds: float) -> str:
    """Return a duration in human-readable form."""
    for unit, name in ((1e9, "s"), (1e6, "ms"), (1e3, "µs")):
        if nanoseconds >= unit * _ROUNDED_UP:
            return f"{nanoseconds / unit:.3g} {name}"
    return f"{nanoseconds:.0f} ns" if nanoseconds else "0"


def size(count: float) -> str:
    """Return a number of bytes in human-readable form."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
        if count >= unit * _ROUNDED_UP:
            return f"{count / unit:.3g} {name}"
    return f"{count:.0f} B"
