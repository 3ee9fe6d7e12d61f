"""What a call that is on its way or runs is called, and of how many it is one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from parallelize.calls.call import Call, Rows, name_of, run_rows
from parallelize.runtime.options import DEFAULTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from parallelize.runtime.options import CallOptions


def label_of(
    fn: Callable[..., Any], options: CallOptions = DEFAULTS
) -> tuple[str, int]:
    """The name of what a worker was given to call, and how many calls that makes.

    What executors and traces wrap round the user's function is looked through.
    """
    fn = getattr(fn, "traced_fn", fn)
    if isinstance(fn, partial) and fn.func is run_rows:  # rows of a map
        inner, rows, inner_options = fn.args
        return name_of(inner, inner_options), len(rows)
    holder: Any = getattr(fn, "__self__", None)
    if is_rows(fn):
        return name_of(holder._rows.fn, holder._rows.options), len(holder._rows.rows)
    if isinstance(holder, Call):  # one with options, in a thread
        call: Any = holder
        return name_of(call.fn, call.options), 1
    return name_of(fn, options), 1


def is_rows(fn: Callable[..., Any]) -> bool:
    """Whether it runs rows of a map in a thread: from a first one to an end."""
    return isinstance(getattr(getattr(fn, "__self__", None), "_rows", None), Rows)
