"""An error of a map tells of its row: the index and the arguments, in a note."""

import asyncio
import dataclasses
import gc
import threading
import weakref

import pytest

from factories import CLASSES, ready
from parallelize import (
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    threaded,
)
from parallelize.errors import SerializationError, TaskTimeout
from parallelize.mapping.notes import LONGEST, row_text


@pytest.fixture(scope="module", params=CLASSES)
def pool(request):
    with ready(request.param) as executor:
        yield executor


def note(index, args):
    return f"row {index} of the map, called with ({args})"


def check(item, word="w"):
    """Fail for every third; give what travels in different ways."""
    if item % 3 == 1:
        raise LookupError(item)
    return [item] if item % 2 else item


async def check_later(item, word="w"):
    await asyncio.sleep(0)
    return check(item, word)


def errors_of(results):
    return [each for each in results if isinstance(each, BaseException)]


@pytest.mark.parametrize("options", [{}, {"chunksize": 5}, {"chunksize": 1}])
@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("call", [check, check_later])
def test_each_error_has_its_own(pool, call, ordered, options):
    f = threaded(executor=pool)(call)
    options |= {"ordered": ordered, "return_exceptions": True}
    errors = errors_of(f.map(range(12), ["a"] * 12, **options))
    assert sorted(error.args[0] for error in errors) == [1, 4, 7, 10]
    for error in errors:
        assert error.__notes__ == [note(error.args[0], f"{error.args[0]}, 'a'")]
    errors = errors_of(f.starmap(((n,) for n in range(100, 106)), **options))
    assert sorted(error.__notes__ for error in errors) == [
        [note(0, "100")],
        [note(3, "103")],
    ]


def test_the_error_that_is_raised(pool):
    f = threaded(executor=pool)(check)
    for results in (f.map([3, 5, 4]), pool.map(check, iter([3, 5, 4]))):
        with pytest.raises(LookupError) as caught:
            list(results)
        assert caught.value.__notes__ == [note(2, "4")]

    async def read():
        async for _ in f.map([3, 5, 4]):
            pass

    with pytest.raises(LookupError) as caught:
        asyncio.run(read())
    assert caught.value.__notes__ == [note(2, "4")]


def test_input_that_is_asynchronous(pool):
    async def items():
        for item in range(5):
            yield item

    async def read():
        results = pool.map(check, items(), return_exceptions=True)
        return errors_of([each async for each in results])

    errors = asyncio.run(read())
    assert [error.__notes__ for error in errors] == [[note(1, "1")], [note(4, "4")]]


def test_rows_that_wait_for_futures(pool):
    one = pool.submit(int, "1")
    (error,) = errors_of(pool.map(check, [0, one], return_exceptions=True))
    assert error.args == (1,)
    (text,) = error.__notes__
    assert text.startswith("row 1 of the map, called with (<Future at ")


class Told(Exception):
    """An error with a note of its own."""


def fail_with_note(item):
    error = Told(item)
    error.add_note("mine")
    raise error


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    item: int


def fail_frozen(item):
    raise Frozen(item)


class Slotted(Exception):
    def __setattr__(self, name, value):
        msg = "no attributes"
        raise TypeError(msg)

    @property
    def __notes__(self):
        msg = "no notes"
        raise ZeroDivisionError(msg)


def fail_without_attributes(item):
    raise Slotted(item)


class Strange(Exception):
    __notes__ = "no list"


def fail_strangely(item):
    raise Strange(item)


def test_errors_of_every_kind(pool):
    (error,) = pool.map(fail_with_note, [7], return_exceptions=True)
    assert error.__notes__ == ["mine", note(0, "7")]
    (error,) = pool.map(fail_frozen, [7], return_exceptions=True)
    if type(error) is Frozen:  # it may be one that cannot travel
        assert error.__notes__ == [note(0, "7")]
    for fail in (fail_without_attributes, fail_strangely):
        errors = list(pool.map(fail, [1, 2], return_exceptions=True))
        assert len(errors_of(errors)) == 2


def test_limits_retries_and_timeouts():
    with ThreadPoolExecutor(2) as pool:
        for options in ({"retries": 1}, {"limit": 1}, {"timeout": 20}):
            f = threaded(executor=pool, **options)(check)
            (error,) = errors_of(f.map([0, 1], return_exceptions=True))
            assert error.__notes__[-1] == note(1, "1")
            assert len(error.__notes__) == 1 + options.get("retries", 0)
        gate = threading.Event()
        f = threaded(executor=pool, timeout=0.05)(lambda _: gate.wait(20))
        (error,) = f.map(["x"], return_exceptions=True)
        gate.set()
        assert type(error) is TaskTimeout
        assert error.__notes__ == [note(0, "'x'")]


def test_the_row_that_cannot_travel_is_named():
    with ProcessPoolExecutor(1) as pool:
        rows = [1, threading.Lock(), 2]
        (error,) = errors_of(pool.map(check_any, rows, return_exceptions=True))
        assert type(error) is SerializationError
        (text,) = error.__notes__
        assert text.startswith("row 1 of the map, called with (<unlocked _thread.lock")


def check_any(item):
    return 0


SHARED = KeyError("one for all")


def fail_shared(_):
    raise SHARED


def test_an_error_that_rows_share_has_few_notes():
    with ThreadPoolExecutor(2) as pool:
        errors = list(pool.map(fail_shared, range(500), return_exceptions=True))
        assert errors == [SHARED] * 500
        assert 1 <= len(SHARED.__notes__) <= 3


def test_maps_in_maps():
    with ThreadPoolExecutor(2) as pool:

        def outer(item):
            return list(pool.map(check, [0, item]))

        with pytest.raises(LookupError) as caught:
            list(pool.map(outer, [2, 4]))
        assert caught.value.__notes__ == [note(1, "4"), note(1, "4")]


def test_arguments_that_are_not_those_of_errors_are_let_go():
    class Argument:
        def __init__(self, fails):
            self.fails = fails

        def __repr__(self):
            return f"Argument({self.fails})"

    def call(argument):
        if argument.fails:
            raise LookupError
        return {}

    with ThreadPoolExecutor(2) as pool:
        arguments = [Argument(number == 3) for number in range(8)]
        alive = [weakref.ref(argument) for argument in arguments]
        results = pool.map(call, iter(arguments), chunksize=4, return_exceptions=True)
        del arguments
        given = list(results)
        assert given[3].__notes__ == [note(3, "Argument(True)")]
        del results, given
        gc.collect()
        assert not [ref() for ref in alive if ref() is not None]


class Unshowable:
    def __repr__(self):
        raise SystemError


class Endless:
    def __repr__(self):
        return "x" * 10_000_000


def test_a_note_is_short_and_never_fails():
    assert row_text(3, (1, "two", None)) == note(3, "1, 'two', None")
    assert row_text(0, ()) == note(0, "")
    assert row_text(1, None) == "row 1 of the map"
    assert row_text(0, ([1, {2: (3,)}], {4}, b"5")) == note(
        0, "[1, {2: (3,)}], {4}, b'5'"
    )
    assert row_text(0, (Unshowable(),)) == note(0, "<Unshowable without a repr>")
    recursive = []
    recursive.append(recursive)
    huge = [
        "x" * 10_000_000,
        Endless(),
        range(10**9),
        list(range(1_000_000)),
        {n: n for n in range(100_000)},
        10**100_000,
        recursive,
        [[["y" * 1000] * 1000] * 1000],
    ]
    for value in huge:
        text = row_text(12, (value, value))
        assert len(text) <= LONGEST
        assert text.startswith("row 12 of the map, called with (")
    assert row_text(0, ("x" * 500,)).endswith("x...")
