"""What the workers run. They import this file, so it imports next to nothing."""

from __future__ import annotations

import functools
import itertools
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np

    Array = np.ndarray[Any, np.dtype[np.float64]]

MIB = 1 << 20

# What a worker that was forked inherits, for the peers that share in this way.
inherited: Any = None


def tiny(x: int) -> int:
    return x + 1


def tiny_of_many(numbers: list[int]) -> list[int]:
    """Do a chunk, for the peers that have to be given chunks."""
    return [tiny(x) for x in numbers]


def numbers(count: int) -> Iterator[int]:
    yield from range(count)


def put_numbers(queue: Any, count: int, size: int) -> None:
    """Do what `numbers` does by hand: put them into a queue, one or some at a time."""
    queue.put(())  # the process has started
    made = numbers(count)
    if size == 1:
        for number in made:
            queue.put(number)
    else:
        while some := list(itertools.islice(made, size)):
            queue.put(some)
    queue.put(None)


def fibonacci(n: int) -> int:
    """Compute a Fibonacci number by two calls for each, to be CPU-bound."""
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)


def now(_: object) -> float:
    """Return the time, by a clock that all processes share."""
    return time.monotonic()


def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def wake(seconds: float) -> float:
    """Hold one worker while the next one starts.

    No row measures it, because mpire takes a map for a call of before if both are
    of one function.
    """
    return nap(seconds)


def spin(loops: int) -> int:
    """Keep a CPU busy with a fixed amount of work."""
    x = 0
    for i in range(loops):
        x = (x * 31 + i) & 0xFFFF
    return x


def total(array: Array) -> float:
    return float(array.sum())


def first(array: Array) -> float:
    return float(array[0])


def made(mib: float) -> Array:
    """Make an array of that size, all of it written to."""
    import numpy as np

    return np.ones(int(mib * MIB) // 8)


@functools.cache
def kept(mib: float) -> Array:
    """Make an array once in each process."""
    return made(mib)


def changed(call: tuple[float, int]) -> Array:
    """Return a large array that nobody has seen before, without making one."""
    array = kept(call[0])
    array[0] = call[1]
    return array


# -- Reading one large array that all tasks share ---------------------------------


def opened(shared: Any) -> Array:
    """Return the array that came as itself, by handle or by inheritance."""
    if shared is None:
        shared = inherited
    array: Array = shared.get() if hasattr(shared, "get") else shared
    return array


def part(call: tuple[Any, int, int]) -> float:
    """Read one of that many parts of the shared array."""
    shared, number, parts = call
    array = opened(shared)
    size = len(array) // parts
    return float(array[number * size : (number + 1) * size].sum())


def item(call: tuple[Any, int]) -> float:
    """Read a single item of the shared array."""
    shared, number = call
    return float(opened(shared)[number])


def no_item(call: tuple[Any, int]) -> float:
    """Do the same without the shared array."""
    return float(call[1])
