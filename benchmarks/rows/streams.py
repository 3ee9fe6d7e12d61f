"""Generators in processes: how many items a second their reader gets.

No pool of the others has any. (Ray does; it is not measured here.) So what is beside
ours is written by hand: a process that runs the generator and puts its items into a
SimpleQueue of multiprocessing, each for itself or by lists of 1000. Its reader never
hears that the process died, nor the generator that its reader has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds
from benchmarks.rows.maps import read

if TYPE_CHECKING:
    from collections.abc import Iterator

BY_ITEM = "by hand, over a queue"
BY_LIST = "by hand, over a queue, by lists"
LIST = 1_000


def items(bench: Bench) -> Found:
    count = bench.pick(1_000_000, 200_000)
    with bench.peer as peer:
        numbers = peer.function(tasks.numbers)
        ours = count / seconds(lambda: read(numbers(count)))
    return {
        VALUE: ours,
        BY_ITEM: by_hand(count // 10, 1),  # it is slow: a tenth tells its rate
        BY_LIST: by_hand(count, LIST),
    }


def by_hand(count: int, size: int) -> float:
    """Return the items a second that come from a process over a queue."""
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    queue = context.SimpleQueue()
    process = context.Process(target=tasks.put_numbers, args=(queue, count, size))
    process.start()
    queue.get()  # it has started
    took = seconds(lambda: read(taken(queue, size)))
    process.join()
    return count / took


def taken(queue: Any, size: int) -> Iterator[int]:
    """Return what was put into a queue, up to the None at its end."""
    come = iter(queue.get, None)
    return come if size == 1 else (number for some in come for number in some)


ROWS = {
    "stream": Row(
        "items of a generator in a process, read one by one",
        "items/s",
        items,
        more=True,
        targets=(Target(1, BY_ITEM), Target(1, BY_LIST, further=True)),
        alone=True,
    ),
}
