"""A map against a plain loop, on whatever input and options chance finds."""

import itertools

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

import tasks
from factories import make
from parallelize.mapping.chunk_size import MeasuredSize
from parallelize.mapping.input import InputSource

KINDS = st.sampled_from(["serial", "thread"])
SIZES = st.one_of(st.none(), st.integers(1, 40))
NUMBERS = st.lists(st.integers(-50, 50), max_size=120)

many = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def inputs(numbers, sized):
    return numbers if sized else iter(numbers)


@many
@given(KINDS, st.integers(1, 4), NUMBERS, SIZES, SIZES, st.booleans(), st.booleans())
def test_as_a_loop(kind, workers, numbers, chunksize, buffersize, ordered, sized):
    with make(kind, workers) as executor:
        results = list(
            executor.map(
                tasks.double,
                inputs(numbers, sized),
                chunksize=chunksize,
                buffersize=buffersize,
                ordered=ordered,
            )
        )
    expected = [2 * number for number in numbers]
    assert results == expected if ordered else sorted(results) == sorted(expected)


@many
@given(KINDS, st.lists(NUMBERS, min_size=1, max_size=4), SIZES)
def test_several_inputs_as_zip(kind, columns, chunksize):
    with make(kind) as executor:
        results = list(executor.map(tasks.add, *columns, chunksize=chunksize))
    assert results == [sum(row) for row in zip(*columns, strict=False)]


@many
@given(KINDS, NUMBERS, SIZES, SIZES)
def test_errors_as_a_loop(kind, numbers, chunksize, buffersize):
    expected, code = [], None
    for number in numbers:
        if number % 2:
            code = number
            break
        expected.append(number)
    found, error = [], None
    with make(kind) as executor:
        results = executor.map(
            tasks.refuse_odd, iter(numbers), chunksize=chunksize, buffersize=buffersize
        )
        try:
            for result in results:
                found.append(result)
        except tasks.Refusal as refusal:
            error = refusal.code
    assert (found, error) == (expected, code)


@many
@given(KINDS, NUMBERS, SIZES, SIZES, st.booleans())
def test_errors_as_items_of_any_map(kind, numbers, chunksize, buffersize, ordered):
    with make(kind) as executor:
        results = list(
            executor.map(
                tasks.refuse_odd,
                numbers,
                chunksize=chunksize,
                buffersize=buffersize,
                ordered=ordered,
                return_exceptions=True,
            )
        )
    codes = [getattr(result, "code", result) for result in results]
    assert codes == numbers if ordered else sorted(codes) == sorted(numbers)


@many
@given(KINDS, st.integers(0, 100), SIZES, SIZES, st.integers(0, 100), st.booleans())
def test_an_input_fails_after_any_number_of_items(
    kind, good, chunksize, buffersize, read, ordered
):
    def numbers():
        yield from range(good)
        raise LookupError(good)

    found = []
    with make(kind) as executor:
        results = executor.map(
            tasks.double,
            numbers(),
            chunksize=chunksize,
            buffersize=buffersize,
            ordered=ordered,
        )
        try:
            for result in itertools.islice(results, read):
                found.append(result)
        except LookupError:
            assert len(found) == good
        else:
            assert len(found) == min(read, good)
        results.close()
    assert set(found) <= {2 * number for number in range(good)}


@many
@given(KINDS, st.integers(1, 3), st.integers(1, 20), SIZES, st.integers(0, 60))
def test_never_further_than_the_buffer(kind, workers, buffersize, chunksize, read):
    drawn = itertools.count()
    with make(kind, workers) as executor:
        results = executor.map(
            tasks.double, drawn, chunksize=chunksize, buffersize=buffersize
        )
        for _ in range(read):
            next(results)
        # Looking at the counter advances it, so only once.
        assert next(drawn) <= read + buffersize
        results.close()


@many
@given(
    st.integers(1, 8),
    st.integers(1, 5000),
    st.lists(st.floats(0, 1), min_size=1, max_size=50),
)
def test_sizes_stay_within_their_bounds(workers, most, row_seconds):
    sizes = MeasuredSize(workers, most, alone_above=0.001)
    before = 1
    for seconds in row_seconds:
        size = sizes.next(None)
        assert 1 <= size <= min(most, MeasuredSize.MOST)
        assert size <= before * MeasuredSize.GROWTH
        assert sizes.next(0) >= 1
        assert sizes.next(1) == 1 or seconds == 0 or sizes.next(1) <= size
        before = size
        sizes.measured(size, size * seconds)


@many
@given(st.floats(1e-7, 0.02))
def test_sizes_come_to_what_fits_the_rows(seconds):
    sizes = MeasuredSize(2, 10**6, alone_above=1)
    for _ in range(30):
        sizes.measured(sizes.next(None), sizes.next(None) * seconds)
    fitting = max(1, min(MeasuredSize.MOST, int(MeasuredSize.TARGET / seconds)))
    assert abs(sizes.next(None) - fitting) <= 1


def test_sizes_grow_only_by_chunks_of_their_size():
    sizes = MeasuredSize(2, 10**6, alone_above=1)
    sizes.measured(1, 1e-6)
    assert sizes.next(None) == MeasuredSize.GROWTH
    sizes.measured(1, 1e-6)  # one more of the first, small ones
    assert sizes.next(None) == MeasuredSize.GROWTH
    sizes.measured(MeasuredSize.GROWTH, 4e-6)
    assert sizes.next(None) == MeasuredSize.GROWTH**2


def test_sizes_shrink_near_the_end():
    sizes = MeasuredSize(2, 10**6, alone_above=1)
    for _ in range(20):
        sizes.measured(sizes.next(None), sizes.next(None) * 0.0005)
    assert sizes.next(1000) == MeasuredSize.TARGET / 0.0005
    assert [sizes.next(left) for left in (20, 9, 4, 1)] == [5, 3, 1, 1]


@many
@given(st.lists(st.integers(0, 30), max_size=40), NUMBERS)
def test_a_source_gives_each_row_once(draws, numbers):
    source = InputSource([numbers], star=False)
    rows = []
    for number in draws:
        rows += source.draw(number)
    assert rows == [(number,) for number in numbers[: sum(draws)]]
    assert source.left == len(numbers) - len(rows)


class MapMachine(RuleBasedStateMachine):
    """Reads, closes, drops, shuts down, in any order that chance finds."""

    def __init__(self):
        super().__init__()
        self.executor = make("thread", 2)
        self.results = None
        self.expected = 0
        self.open = True

    @precondition(lambda self: self.results is None and self.open)
    @rule(chunksize=SIZES, buffersize=SIZES)
    def begin(self, chunksize, buffersize):
        self.results = self.executor.map(
            tasks.double, itertools.count(), chunksize=chunksize, buffersize=buffersize
        )
        self.expected = 0
        self.closed = False

    @precondition(lambda self: self.results is not None and self.open)
    @rule(times=st.integers(1, 30))
    def read(self, times):
        for _ in range(times):
            if self.closed:
                assert next(self.results, "ended") == "ended"
            else:
                assert next(self.results) == 2 * self.expected
                self.expected += 1

    @precondition(lambda self: self.results is not None)
    @rule()
    def close(self):
        self.results.close()
        self.closed = True

    @precondition(
        lambda self: self.results is not None and (self.expected or self.closed)
    )
    @rule()
    def drop(self):
        self.results = None

    @precondition(lambda self: not self.open)
    @rule()
    def shut_down_again(self):
        self.executor.shutdown()

    @precondition(lambda self: self.open)
    @rule(cancel=st.booleans())
    def shut_down(self, cancel):
        self.executor.shutdown(cancel_futures=cancel)
        self.open = False

    @invariant()
    def works(self):
        if self.open:
            assert self.executor.submit(tasks.double, 1).result(20) == 2

    def teardown(self):
        if self.results is not None:
            self.results.close()
        self.results = None
        self.executor.shutdown(cancel_futures=True)


MapMachine.TestCase.settings = settings(max_examples=40, deadline=None)
TestMapMachine = MapMachine.TestCase
