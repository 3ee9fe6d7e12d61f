"""How much of what waits a worker is given ahead."""

from types import SimpleNamespace

import pytest

from parallelize.process.parent.tasks.queue import CALLS, ROWS, TaskQueue


def queue_of(*tasks):
    """A queue of (size, seconds of one call); None for what was never measured."""
    queue = TaskQueue()
    for number, (size, seconds) in enumerate(tasks):
        key = b"%d" % number
        if seconds is not None:
            queue.learn(key, seconds, 1)
        queue.add(task(key, size))
    return queue


def task(key, size):
    lane = CALLS if size == 1 else ROWS
    return SimpleNamespace(
        key=key, size=size, lane=lane, cost=0.0, is_stream=False, is_rows=size > 1
    )


def given(queue, sharers=1):
    """How many tasks a worker is given, one after the other."""
    tasks, load, queue.sharers = [], 0.0, sharers
    while (each := queue.take(len(tasks), load, [])) is not None:
        tasks.append(each)
        load += each.cost
    return len(tasks)


@pytest.mark.parametrize(
    ("tasks", "count"),
    [
        ([(1, None), (1, None)], 1),  # nobody knows how long it takes
        ([(1, 0.0011)] * 50, 13),
        ([(1, 0.010)] * 4, 2),  # two would not fit together: one behind the other
        ([(1, 0.013)] * 4, 1),  # a lone call would wait for too long
        ([(1, 0.002), (1, 0.021)], 2),
        ([(1, 0.002), (1, 0.023)], 1),
        ([(8, 0.1)] * 4, 1),
        ([(40, 0.001)] * 4, 2),  # it has more before it has run out of rows
        ([(2, 0.0011)] * 30, 19),
    ],
)
def test_what_a_worker_is_given_ahead(tasks, count):
    assert given(queue_of(*tasks)) == count


@pytest.mark.parametrize(("sharers", "counts"), [(2, [5, 3, 1]), (5, [2, 2, 2])])
def test_rows_are_shared_out(sharers, counts):
    queue = queue_of(*[(2, 0.0001)] * 10)
    assert [given(queue, sharers) for _ in counts] == counts


def test_rows_take_turns_with_calls():
    queue = queue_of((40, 0.001))
    rows = queue.take(0, 0.0, [])
    assert queue.surplus(rows) <= 0
    queue.add(task(b"call", 1))
    assert queue.surplus(rows) == 25
