"""Maps whose input takes its time, and maps over maps.

A pipeline of others is written by hand: a thread for each worker of a stage, and a
bounded queue between two stages. It gives results as they come, not in order, and an
error in it would leave its threads waiting.
"""

from __future__ import annotations

import importlib.util
import queue
import statistics
import threading
import time
from typing import TYPE_CHECKING, Any

from benchmarks import tasks
from benchmarks.rows.base import VALUE, Bench, Found, Row, Target, seconds
from benchmarks.rows.maps import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAUSE = 0.03  # seconds between two items of the input
BY_HAND = "by hand, of threads and queues"
STREAMABLE = "streamable"
BESIDES = ("buffersize", "streamable")

_END = object()


def paced(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(PAUSE)
        yield number


def lag(bench: Bench) -> Found:
    """Return the median of the milliseconds from the end of a call to its reader."""
    count = bench.pick(60, 15)
    with bench.peer as peer:
        read(peer.map(tasks.now, range(10)))
        lags = [time.monotonic() - ended for ended in peer.map(tasks.now, paced(count))]
    return {VALUE: statistics.median(lags) * 1_000, "the first": lags[0] * 1_000}


def pipeline(bench: Bench) -> Found:
    """Return the items a second of three stages of two threads: 4, 8 and 4 ms."""
    from parallelize import ThreadPoolExecutor

    count = bench.pick(500, 100)
    with (
        ThreadPoolExecutor(2) as first,
        ThreadPoolExecutor(2) as second,
        ThreadPoolExecutor(2) as third,
    ):

        def ours() -> None:
            naps = third.map(
                stage_4, second.map(stage_8, first.map(stage_4, range(count)))
            )
            read(naps)

        ours()
        took = seconds(ours)
    found = {VALUE: count / took, BY_HAND: count / seconds(lambda: by_hand(count))}
    if importlib.util.find_spec(STREAMABLE) is not None:
        found[STREAMABLE] = count / seconds(lambda: streamed(count))
    return found


def stage_4(item: Any) -> Any:
    time.sleep(0.004)
    return item


def stage_8(item: Any) -> Any:
    time.sleep(0.008)
    return item


def by_hand(count: int) -> None:
    queues: list[queue.Queue[Any]] = [queue.Queue(32) for _ in range(4)]
    for place, stage in enumerate((stage_4, stage_8, stage_4)):
        start_stage(stage, queues[place], queues[place + 1])
    threading.Thread(target=put_all, args=(queues[0], count)).start()
    ended = 0
    while ended < 2:
        ended += queues[3].get() is _END


def streamed(count: int) -> None:
    from streamable import stream

    items = stream(range(count))
    for stage in (stage_4, stage_8, stage_4):
        items = items.map(stage, concurrency=2)
    read(items)


def put_all(items: queue.Queue[Any], count: int) -> None:
    for number in range(count):
        items.put(number)
    items.put(_END)


def start_stage(
    stage: Callable[[Any], Any], items: queue.Queue[Any], results: queue.Queue[Any]
) -> None:
    def work() -> None:
        while (item := items.get()) is not _END:
            results.put(stage(item))
        items.put(_END)  # for the other thread of this stage
        results.put(_END)

    for _ in range(2):
        threading.Thread(target=work).start()


ROWS = {
    "map-slow-input": Row(
        "map whose input gives an item every 30 ms: until a result is read",
        "ms",
        lag,
        targets=(Target(25),),
        besides=BESIDES,
    ),
    "pipeline": Row(
        "items of a pipeline of three maps in threads",
        "items/s",
        pipeline,
        more=True,
        targets=(Target(0.9, BY_HAND),),
        alone=True,
    ),
}

THREAD_ROWS = {
    "thread-map-slow-input": Row(
        "threads: map whose input gives an item every 30 ms: until a result is read",
        "ms",
        lag,
        targets=(Target(15),),
        threads=True,
        besides=BESIDES,
    ),
}
