"""What a call that is on its way or runs is called, and of how many it is one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls import name_of, run_rows
from parallelize.options import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.options import CallOptions


def label_of(
    fn: Callable[..., Any], options: CallOptions = DEFAULTS
) -> tuple[str, int]:
    """The name of what a worker was given to call, and how many calls that makes.

    What executors wrap round the user's function is looked through.
    """
    if isinstance(fn, partial) and fn.func is run_rows:  # rows of a map
        inner, inner_rows, inner_options = fn.args
        return name_of(inner, inner_options), len(inner_rows)
    holder: Any = getattr(fn, "__self__", None)
    rows: Any = getattr(holder, "_rows", None)
    if hasattr(rows, "deliver"):  # rows of a map, in a thread
        return name_of(rows.fn, rows.options), len(rows.rows)
    if hasattr(holder, "waits_for"):  # a call with options, in a thread
        return name_of(holder.fn, holder.options), 1
    return name_of(fn, options), 1
