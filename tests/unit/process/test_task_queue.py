"""The queue of a process pool against plain lists, and how much is given at once."""

import math
from types import SimpleNamespace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from parallelize.process.parent.tasks.queue import (
    CALLS,
    COROUTINES,
    FILL,
    FILL_BY_TWO,
    MOST_AHEAD,
    ROWS,
    ROWS_AHEAD,
    TaskQueue,
)
from support.properties import machine

KEYS = [b"short", b"long", b"other", b"unknown"]


class Task(SimpleNamespace):
    """As much of a task as the queue asks for."""

    def batchable_with(self, other):
        return self.key == other.key

    __hash__ = object.__hash__
    __eq__ = object.__eq__


def make(lane, key, size=1, *, is_stream=False):
    return Task(
        lane=lane,
        key=key,
        size=size if lane == ROWS else 1,
        cost=0.0,
        is_stream=is_stream and lane == CALLS,
        is_rows=lane == ROWS,
    )


made = st.builds(
    make,
    st.sampled_from([CALLS, CALLS, ROWS, COROUTINES]),
    st.sampled_from(KEYS),
    st.integers(1, 9),
    is_stream=st.sampled_from([False, False, False, True]),
)


class Queue(RuleBasedStateMachine):
    """Two lanes in turn; tasks may be taken, put back, drained."""

    @initialize()
    def begin(self):
        self.queue = TaskQueue()
        self.lanes = {CALLS: [], ROWS: [], COROUTINES: []}
        self.next = CALLS  # the lane whose turn it is, if it has tasks
        self.known = {}
        self.taken = []

    @rule(task=made)
    def add(self, task):
        self.queue.add(task)
        self.lanes[task.lane].append(task)

    @rule(
        key=st.sampled_from(KEYS[:3]),
        seconds=st.floats(0, 0.03),
        calls=st.integers(1, 9),
    )
    def learn(self, key, seconds, calls):
        self.queue.learn(key, seconds * calls, calls)
        low = high = seconds
        if key in self.known:
            low, high = min(self.known[key], seconds), max(self.known[key], seconds)
        self.known[key] = self.queue._seconds[hash(key)]
        assert low - 1e-9 <= self.known[key] <= high + 1e-9

    @rule(
        ahead=st.one_of(st.integers(0, 3), st.integers(MOST_AHEAD - 1, MOST_AHEAD)),
        load=st.floats(0, ROWS_AHEAD),
    )
    def take(self, ahead, load):
        noted = []
        task = self.queue.take(ahead, load, noted)
        expected = self._expected()
        assert noted == ([] if task is None else [task])
        if task is None:
            assert expected is None or ahead
            return
        assert task is expected
        self.lanes[task.lane].remove(task)
        self.next = ROWS if task.lane == CALLS else CALLS
        self.taken.append(task)
        if ahead and task.is_rows:
            assert load <= ROWS_AHEAD
        elif ahead:
            self._is_short_enough(task, ahead, load)

    def _expected(self):
        other = CALLS + ROWS - self.next
        lane = self.lanes[self.next] or self.lanes[other]
        return lane[0] if lane else None

    def _is_short_enough(self, task, ahead, load):
        assert ahead < MOST_AHEAD
        assert task.key in self.known
        assert not task.is_stream
        assert math.isclose(task.cost, self.known[task.key] * task.size)
        assert load + task.cost <= (FILL_BY_TWO if ahead == 1 else FILL)

    @precondition(lambda self: self.lanes[CALLS] and not self.lanes[CALLS][0].is_stream)
    @rule(load=st.floats(0, FILL))
    def take_batch(self, load):
        while self._expected().lane != CALLS:
            self.take(0, 0.0)
        first = self._expected()
        if first.is_stream:
            return
        self.take(0, load)
        noted = []
        batch = self.queue.take_batch(first, load, noted)
        assert batch == [first, *noted]
        assert noted == self.lanes[CALLS][: len(noted)]
        assert all(each.key == first.key for each in batch)
        assert len(batch) == 1 or load + first.cost * len(batch) <= FILL + 1e-9
        assert len(batch) <= MOST_AHEAD
        del self.lanes[CALLS][: len(noted)]
        self.taken += noted

    @precondition(lambda self: self.taken)
    @rule(data=st.data())
    def put_back(self, data):
        count = data.draw(st.integers(1, len(self.taken)))
        tasks, self.taken = self.taken[:count], self.taken[count:]
        self.queue.put_back(iter(tasks))
        for lane, waiting in self.lanes.items():
            waiting[:0] = [each for each in tasks if each.lane == lane]

    @rule()
    def drain(self):
        expected = [task for lane in self.lanes.values() for task in lane]
        assert self.queue.drain() == expected
        for lane in self.lanes.values():
            lane.clear()

    @invariant()
    def it_is_as_the_lists(self):
        expected = [task for lane in self.lanes.values() for task in lane]
        assert list(self.queue) == expected
        assert len(self.queue) == len(expected)
        assert list(self.queue.coroutines) == self.lanes[COROUTINES]
        assert self.queue.others == len(expected) - len(self.lanes[COROUTINES])


Queue.TestCase.settings = machine
TestQueue = Queue.TestCase


def test_neither_lane_starves_the_other():
    queue = TaskQueue()
    for lane in (ROWS, CALLS):
        for _ in range(5):
            queue.add(make(lane, b"unknown"))
    lanes = [queue.take(0, 0.0, []).lane for _ in range(10)]
    assert sorted(lanes[:4]) == [CALLS, CALLS, ROWS, ROWS]
    assert sorted(lanes) == [CALLS] * 5 + [ROWS] * 5


def test_what_is_remembered_of_functions_has_a_bound():
    queue = TaskQueue()
    for number in range(5000):
        queue.learn(b"%d" % number, 0.1, 1)
    assert len(queue._seconds) <= 1024


def test_a_lane_that_is_drained_while_a_task_is_taken_gives_none():
    """As a signal handler may, that shuts the pool down."""
    queue = TaskQueue()
    queue.add(make(CALLS, b"unknown"))

    class Drains(list):
        def append(self, task):
            super().append(task)
            assert queue.drain() == [task]

    assert queue.take(0, 0.0, Drains()) is None


@pytest.mark.parametrize(("load", "count"), [(0.0, 15), (FILL / 2, 7), (FILL, 1)])
def test_a_batch_is_as_long_as_there_is_time_left(load, count):
    queue = TaskQueue()
    queue.learn(b"short", FILL / 15.5, 1)
    for _ in range(40):
        queue.add(make(CALLS, b"short"))
    first = queue.take(0, load, [])
    assert len(queue.take_batch(first, load, [])) == count
