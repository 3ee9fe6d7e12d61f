"""How a pool of processes is to be, in one value that is known before the pool is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class Settings(NamedTuple):
    """How a pool is to be; checked by whoever makes it."""

    max_workers: int
    method: str
    initializer: Callable[..., object] | None
    initargs: tuple[Any, ...]
    max_tasks_per_child: int | None
    max_memory_per_child: int | None
    idle_timeout: float | None


__all__ = ("Settings",)
