"""The name of a call that is queued or running, and the number of calls with it."""

from __future__ import annotations

from functools import partial

from parallelize.calls.call import Call, Rows, run_rows
from parallelize.runtime.options import DEFAULTS, name_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from parallelize.runtime.options import CallOptions


def label_of(
    fn: Callable[..., Any], options: CallOptions = DEFAULTS
) -> tuple[str, int]:
    """The name of the function that a worker was given, and the number of its calls.

    The wrappers that executors and traces put around the user's function are ignored.
    """
    fn = getattr(fn, "traced_fn", fn)
    if isinstance(fn, partial) and fn.func is run_rows:  # rows of a map
        inner, rows, inner_options = fn.args
        return name_of(inner, inner_options), len(rows)
    holder: Any = getattr(fn, "__self__", None)
    if is_rows(fn):
        return name_of(holder._rows.fn, holder._rows.options), len(holder._rows.rows)
    if isinstance(holder, Call):  # a call with options, in a thread
        call: Any = holder
        return name_of(call.fn, call.options), 1
    return name_of(fn, options), 1


def is_rows(fn: Callable[..., Any]) -> bool:
    """Whether ``fn`` runs a range of the rows of a map in a thread."""
    return isinstance(getattr(getattr(fn, "__self__", None), "_rows", None), Rows)
