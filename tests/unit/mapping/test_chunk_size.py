"""How many rows go together: whole maps, with rows that take whatever chance finds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallelize.calls.call import SubmittedRows
from parallelize.mapping.chunk_size import FixedSize, MeasuredSize, RemoteChunkSize
from parallelize.mapping.input import InputSource
from parallelize.mapping.plan import plan_map
from parallelize.mapping.window import Window
from parallelize.runtime.options import DEFAULTS
from support.properties import steady

SECONDS = st.one_of(st.just(0.0), st.floats(1e-8, 3))
WORKERS = st.integers(1, 16)
KINDS = st.sampled_from(["measured", "threads", "remote"])


def make(kind, workers, most=10**6, alone_above=0.1):
    if kind == "remote":
        return RemoteChunkSize(workers, most)
    if kind == "threads":
        return MeasuredSize(workers, most, alone_above, MeasuredSize.GROWTH_IN_THREADS)
    return MeasuredSize(workers, most, alone_above)


def growth_of(kind):
    return MeasuredSize.GROWTH_IN_THREADS if kind == "threads" else MeasuredSize.GROWTH


@given(st.integers(1, 9), st.one_of(st.none(), st.integers(0, 9)), SECONDS)
@steady
def test_a_fixed_size_stays(size, left, seconds):
    sizes = FixedSize(size)
    sizes.measured(size, seconds)
    assert sizes.next(left) == size


@steady
@given(KINDS, WORKERS, st.integers(1, 10_000), st.lists(SECONDS, max_size=60))
def test_a_chunk_is_within_its_bounds(kind, workers, most, row_seconds):
    sizes, largest = make(kind, workers, most), 1
    assert sizes.next(None) == 1
    for seconds in row_seconds:
        size = sizes.next(None)
        assert 1 <= size <= min(most, MeasuredSize.MOST)
        assert size <= largest * growth_of(kind)
        largest = size
        for left in (0, 1, 10, 10**6):
            assert 1 <= sizes.next(left) <= size
        sizes.measured(size, size * seconds)


@steady
@given(KINDS, WORKERS, st.lists(SECONDS, max_size=20), st.integers(0, 10**5))
def test_more_rows_that_are_left_make_no_chunk_smaller(
    kind, workers, row_seconds, left
):
    sizes = make(kind, workers)
    for seconds in row_seconds:
        sizes.measured(sizes.next(None), sizes.next(None) * seconds)
    assert sizes.next(left) <= sizes.next(left + 1)


@steady
@given(KINDS, WORKERS, st.integers(0, 3000), st.floats(1e-6, 1))
def test_the_last_chunks_are_a_small_part_of_what_is_left(kind, workers, rows, seconds):
    """So that the workers end together; unless a chunk would be too short for it."""
    sizes, left = make(kind, workers), rows
    while left:
        size = min(sizes.next(left), left)
        share = -(-left // (2 * workers))
        assert size <= share or size * seconds <= sizes.LEAST_SECONDS * 1.01
        left -= size
        sizes.measured(size, size * seconds)


@steady
@given(KINDS, WORKERS, st.floats(1e-6, 0.05))
def test_chunks_come_to_run_as_long_as_they_should(kind, workers, seconds):
    sizes = make(kind, workers, alone_above=0.1)
    for _ in range(30):
        size = sizes.next(None)
        sizes.measured(size, size * seconds)
    fitting = int(min(MeasuredSize.MOST, sizes.TARGET / seconds))
    assert abs(sizes.next(None) - max(1, fitting)) <= 1


@pytest.mark.parametrize("kind", ["measured", "threads", "remote"])
def test_rows_that_run_longer_than_is_said_go_alone(kind):
    sizes, seconds = make(kind, 2, alone_above=0.001), MeasuredSize.TARGET / 3
    if kind == "remote":  # which has a bound of its own
        seconds = RemoteChunkSize.TARGET / 1.5
    for each in (1e-6, *[seconds] * 20):
        size = sizes.next(None)
        sizes.measured(size, size * each)
    assert sizes.next(None) == 1


@steady
@given(KINDS, st.lists(SECONDS, min_size=1, max_size=9))
def test_a_small_chunk_makes_none_larger(kind, row_seconds):
    """It says nothing of how chunks of the size of now would run."""
    sizes = make(kind, 2)
    for _ in range(3):
        sizes.measured(sizes.next(None), sizes.next(None) * 1e-5)
    for seconds in row_seconds:
        before = sizes.next(None)
        if before == 1:
            return
        sizes.measured(before - 1, (before - 1) * seconds)
        assert sizes.next(None) <= before


class RowByRow:
    """An executor that delivers each row of a chunk by itself, after a microsecond."""

    kind = "processes"
    _max_workers = 1

    def __init__(self):
        self.sizes = []

    def _is_watched(self):
        return False

    def _start_rows(self, rows):
        self.sizes.append(len(rows.rows))
        for row in range(len(rows.rows)):
            rows.deliver(row, ["result"], 1e-6)
        return SubmittedRows(bool)


def test_chunks_grow_though_their_rows_come_one_by_one():
    executor = RowByRow()
    plan = plan_map(executor, str, DEFAULTS, None, None, ordered=True)
    window = Window(InputSource([range(2000)], star=False), plan)
    while not window.is_over():
        window.fill(asked=1)
        while (part := window.take()) is not None:
            window.given(len(part.outcomes))
    assert sum(executor.sizes) == 2000
    assert max(executor.sizes) > 200
