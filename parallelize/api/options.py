"""The options of decorators: checked when those run, changed in copies."""

from __future__ import annotations

import types

from parallelize.api.use import Placement
from parallelize.registry.kinds import adapt
from parallelize.runtime.options import (
    CallOptions,
    check_callable,
    check_count,
    check_flag,
    check_limit,
    check_retry_on,
    check_timeout,
    check_workers,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ("UNCHANGED", "changed")


class _Unchanged:
    """The default of a keyword of `ParallelFunction.options`: keep the value."""

    def __repr__(self) -> str:
        return "unchanged"


# Any, so that it may stand as the default of keywords of every type.
UNCHANGED: Any = _Unchanged()


def changed(
    where: Placement,
    options: CallOptions,
    **keywords: Any,  # of every type
) -> tuple[Placement, CallOptions]:
    """Check and apply those keywords of a decorator that were given."""
    given = {k: v for k, v in keywords.items() if v is not UNCHANGED}
    placed = {k: given.pop(k) for k in _OF_PLACEMENTS if k in given}
    if placed:
        where = _changed_where(where, placed)
    return where, _changed_options(options, given)


#: The options of private pools that are arguments of some kinds of executors only.
_OF_POOLS = {
    "max_tasks_per_child": ("processes",),
    "max_memory_per_child": ("processes",),
    "idle_timeout": ("threads", "processes", "interpreters"),
    "mp_context": ("processes",),
}

_OF_PLACEMENTS = (*Placement._fields, *_OF_POOLS)


def _changed_where(where: Placement, given: dict[str, Any]) -> Placement:
    _check_where(given)
    pool = {k: given.pop(k) for k in _OF_POOLS if k in given}
    own = (given.keys() & {"max_workers", "initializer", "initargs"}) | pool.keys()
    if _is_executor(given.get("executor")):
        where = Placement(where.kind)
    elif own and _is_executor(where.executor):
        where = where._replace(executor=None)
    if given.get("initializer", ...) is None:
        given.setdefault("initargs", ())  # they belonged to the old initializer
    if pool:
        given["pool"] = _changed_pool(dict(where.pool), pool)
    where = where._replace(**given)
    _check_whole(where)
    return where


def _changed_pool(
    pool: dict[str, Any], given: dict[str, Any]
) -> tuple[tuple[str, Any], ...]:
    """Check and apply options of private pools; None takes one away."""
    for argument in ("max_tasks_per_child", "max_memory_per_child"):
        if given.get(argument) is not None:
            given[argument] = check_count(given[argument], argument, least=1)
    if "idle_timeout" in given:
        given["idle_timeout"] = check_timeout(given["idle_timeout"], "idle_timeout")
    if given.get("mp_context") is not None:
        given["mp_context"] = _check_context(given["mp_context"])
    kept = pool | given
    return tuple(
        (k, v) for k, v in kept.items() if v is not None or k == "idle_timeout"
    )


def _check_context(context: object) -> str:
    """Return the name of a start method, as only that can be pickled."""
    method = context
    if not isinstance(context, str):
        get = getattr(context, "get_start_method", None)
        if get is None:
            msg = f"mp_context must be a context or the name of one, not {context!r}"
            raise TypeError(msg)
        method = get()
    if method not in _METHODS:
        msg = f"mp_context must be one of {', '.join(_METHODS)}, not {method!r}"
        raise ValueError(msg)
    return str(method)


_METHODS = ("forkserver", "spawn", "fork")


def _check_where(given: dict[str, Any]) -> None:
    if "max_workers" in given:
        given["max_workers"] = check_workers(given["max_workers"])
    if given.get("executor") is not None:
        given["executor"] = adapt(given["executor"])
    if given.get("initializer") is not None:
        check_callable(given["initializer"], "initializer")
    if not isinstance(given.get("initargs", ()), tuple):
        msg = f"initargs must be a tuple, not {given['initargs']!r}"
        raise TypeError(msg)


def _is_executor(executor: object) -> bool:
    return not (executor is None or isinstance(executor, str))


def _check_whole(where: Placement) -> None:
    if where.initargs and where.initializer is None:
        msg = "initargs must be given together with an initializer, which takes them"
        raise ValueError(msg)
    if not where.wants_own_pool():
        return
    argument = "initializer" if where.max_workers is None else "max_workers"
    if where.max_workers is None and where.initializer is None:
        argument = where.pool[0][0]
    if _is_executor(where.executor):
        msg = (
            f"{argument} must not be given together with an executor, which has its own"
        )
        raise ValueError(msg)
    if where.executor == "serial" or (
        where.executor is None and where.kind == "serial"
    ):
        msg = f"{argument} must not be given for 'serial', which has no workers"
        raise ValueError(msg)
    for name, _ in where.pool:
        if where.word() not in _OF_POOLS[name]:
            kinds = ", ".join(map(repr, _OF_POOLS[name]))
            msg = f"{name} is for {kinds}, and must not be given for {where.word()!r}"
            raise ValueError(msg)


def _changed_options(options: CallOptions, given: dict[str, Any]) -> CallOptions:
    if "timeout" in given:
        given["timeout"] = check_timeout(given["timeout"])
    if "retries" in given:
        given["retries"] = check_count(given["retries"], "retries", least=0)
    if "retry_on" in given:
        given["retry_on"] = check_retry_on(given["retry_on"])
    if given.get("limit") is not None:
        given["limit"] = check_limit(given["limit"])
    if given.get("rate") is not None:
        from parallelize.pace.rate import check_rate

        given["rate"] = check_rate(given["rate"])
    if given.get("retry_wait") is not None:
        from parallelize.pace.waits import check_retry_wait

        given["retry_wait"] = check_retry_wait(given["retry_wait"])
    if given.get("max_pending") is not None:
        from parallelize.pace.pending import check_max_pending

        given["max_pending"] = check_max_pending(given["max_pending"])
    if "kill_on_cancel" in given:
        check_flag(given["kill_on_cancel"], "kill_on_cancel")
    if given.get("buffersize") is not None:
        given["buffersize"] = check_count(given["buffersize"], "buffersize", least=1)
    if not isinstance(given.get("name"), (str, types.NoneType)):
        msg = f"name must be a string or None, not {given['name']!r}"
        raise TypeError(msg)
    if given.get("name") == "":
        msg = "name must not be empty; None stands for the function's own"
        raise ValueError(msg)
    return options._replace(**given)
