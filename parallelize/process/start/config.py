"""The settings of a process pool, in one value that exists before the pool."""

from __future__ import annotations

from parallelize.runtime.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class PoolSettings(NamedTuple):
    """The settings of a pool; its creator has checked them."""

    max_workers: int
    method: str
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks_per_child: int | None
    max_memory_per_child: int | None
    idle_timeout: float | None


__all__ = ("PoolSettings",)
