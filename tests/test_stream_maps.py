"""Maps of generator functions: the items of many streams."""

import asyncio
import contextlib
import copy
import sys
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import factories
from parallelize import (
    InterpreterPoolExecutor,
    ThreadPoolExecutor,
    parallelized,
)
from parallelize.errors import TaskTimeout
from support.waiting import wait_until

PATIENCE = 20

KINDS = [kind for kind in factories.KINDS if kind != "interpreter"]  # no streams there
CONCURRENT = [kind for kind in KINDS if kind != "serial"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=CONCURRENT)
def concurrent_kind(request):
    return request.param


def pages(site, number=3):
    for page in range(number):
        yield f"{site}{page}"


async def async_pages(site, number=3):
    for page in range(number):
        await asyncio.sleep(0)
        yield f"{site}{page}"


def failing(site):
    yield f"{site}0"
    if site == "b":
        raise LookupError(site)
    yield f"{site}1"


def stopping(site):
    yield site
    raise StopIteration if site == "b" else StopAsyncIteration  # noqa: PLW0133


ALL = [f"{site}{page}" for site in "abcde" for page in range(3)]


@pytest.mark.parametrize("fn", [pages, async_pages])
def test_one_stream_after_the_other(executor, fn):
    assert list(parallelized(executor=executor)(fn).map("abcde")) == ALL


@pytest.mark.parametrize("fn", [pages, async_pages])
def test_all_streams_as_they_come(executor, fn):
    results = parallelized(executor=executor)(fn).map(iter("abcde"), ordered=False)
    given_items = list(results)
    assert sorted(given_items) == ALL
    for site in "abcde":  # each stream stays in its order
        assert [each for each in given_items if each[0] == site] == [
            f"{site}{page}" for page in range(3)
        ]


@pytest.mark.parametrize("ordered", [True, False])
def test_async_for(executor, ordered):
    async def main():
        results = parallelized(executor=executor)(pages).map("abcde", ordered=ordered)
        return [each async for each in results]

    assert sorted(asyncio.run(main())) == ALL


def test_rows_of_arguments(executor):
    function = parallelized(executor=executor)(pages)
    assert list(function.starmap([("a", 1), ("b", 2)])) == ["a0", "b0", "b1"]
    assert list(function.map("ab", [1, 2])) == ["a0", "b0", "b1"]


def test_an_asynchronous_input(executor):
    async def sites():
        for site in "abcde":
            await asyncio.sleep(0)
            yield site

    async def main():
        results = parallelized(executor=executor)(pages).map(sites())
        return [each async for each in results]

    assert asyncio.run(main()) == ALL
    with pytest.raises(TypeError, match="by async for"):
        next(parallelized(executor=executor)(pages).map(sites()))


def test_no_rows_and_empty_streams(executor):
    function = parallelized(executor=executor)(pages)
    assert list(function.map([])) == []
    assert list(function.map("abc", [0, 2, 0])) == ["b0", "b1"]
    assert list(function.map("abc", [0, 0, 0], ordered=False)) == []


def test_an_error_ends_the_map_in_its_place(executor):
    results = parallelized(executor=executor)(failing).map("abc")
    given_items = []
    with pytest.raises(LookupError) as caught:
        for item in results:
            given_items.append(item)
    assert given_items == ["a0", "a1", "b0"]
    assert "row 1 of the map, called with ('b')" in caught.value.__notes__[-1]
    assert list(results) == []


def test_errors_as_items(executor):
    results = parallelized(executor=executor)(failing).map(
        "abc", return_exceptions=True
    )
    items = list(results)
    assert [str(each) for each in items] == ["a0", "a1", "b0", "b", "c0", "c1"]
    assert isinstance(items[3], LookupError)


@pytest.mark.parametrize("ordered", [True, False])
def test_items_with_their_argument(executor, ordered):
    results = parallelized(executor=executor)(failing).map(
        "abc", ordered=ordered, with_input=True, return_exceptions=True
    )
    pairs = sorted((site, str(item)) for site, item in results)
    assert pairs == [(i[0], i) for i in ("a0", "a1", "b", "b0", "c0", "c1")]
    function = parallelized(executor=executor)(pages)
    both = [(("a", 1), "a0"), (("b", 1), "b0")]
    assert list(function.map("ab", [1, 1], with_input=True)) == both
    assert list(function.starmap([("a", 1), ("b", 1)], with_input=True)) == both
    assert list(function.starmap([("a",)], with_input=True))[0] == (("a",), "a0")


def leaving(site):
    yield site
    raise SystemExit(site)


def test_one_error_too_many_ends_the_map(executor):
    """Also errors that are no Exception: they end their stream, not the program."""
    results = parallelized(executor=executor)(leaving).map(
        "abcdefgh", return_exceptions=True, max_errors=2
    )
    given_items = []
    with pytest.raises(BaseExceptionGroup, match="max_errors is 2") as caught:
        for item in results:
            given_items.append(str(item))
    assert given_items == ["a", "a", "b", "b", "c"]
    assert [error.code for error in caught.value.exceptions] == ["a", "b", "c"]
    assert all(error.__notes__ for error in caught.value.exceptions)
    assert list(results) == []


@pytest.mark.parametrize("sites", ["b", "c"])
def test_errors_that_mean_the_end_elsewhere(executor, sites):
    function = parallelized(executor=executor)(stopping)
    with pytest.raises((RuntimeError, StopAsyncIteration)):
        list(function.map(sites))

    async def main():
        return [each async for each in function.map(sites)]

    with pytest.raises(RuntimeError):
        asyncio.run(main())


def test_endless_streams_side_by_side(concurrent):
    def count(site):
        number = 0
        while True:
            yield site, number
            number += 1

    results = parallelized(executor=concurrent)(count).map("ab", ordered=False)
    with results:
        seen = set()
        for site, _ in results:
            seen.add(site)
            if len(seen) == 2:
                break


def test_no_more_are_open_than_workers():
    opened, closed = [], []

    def numbers(site):
        opened.append(site)
        yield from range(3)
        closed.append(site)

    with ThreadPoolExecutor(2) as pool:
        function = parallelized(executor=pool)(numbers)
        for _ in function.map(iter(range(20)), ordered=False):
            assert len(opened) - len(closed) <= 2
        assert len(closed) == 20
        opened.clear()
        with function.map(range(20), buffersize=1) as results:
            next(results)
            assert opened == [0]


def test_closing_closes_the_streams_and_the_input():
    closed = set()

    def numbers(site):
        try:
            while True:
                yield site
        finally:
            closed.add(site)

    def sites():
        try:
            yield from range(10**9)
        finally:
            closed.add("input")

    for leave in ("close", "aclose", "drop", "break"):
        with ThreadPoolExecutor(2) as pool:
            results = parallelized(executor=pool)(numbers).map(sites(), ordered=False)
            seen = set()
            while len(seen) < 2:
                seen.add(next(results))
            if leave == "close":
                results.close()
            elif leave == "aclose":
                asyncio.run(results.aclose())
            elif leave == "break":
                with results:
                    pass
            del results
            wait_until(lambda seen=seen: closed >= seen | {"input"})
        closed.clear()


def test_the_timeout_of_the_reader(concurrent, latch):
    def held(folder):
        import tasks

        yield tasks.hold(folder)

    results = parallelized(executor=concurrent)(held).map([latch.folder], timeout=0.1)
    latch.wait_begun()
    with pytest.raises(TimeoutError):
        next(results)
    latch.release()


def test_a_slow_stream_does_not_hold_up_the_others():
    gate = threading.Event()

    def numbers(site):
        if site == 0:
            assert gate.wait(PATIENCE)
        yield site

    with ThreadPoolExecutor(2) as pool:
        results = parallelized(executor=pool)(numbers).map(range(5), ordered=False)
        first = [next(results) for _ in range(4)]
        gate.set()
        assert sorted(first) == [1, 2, 3, 4]
        assert list(results) == [0]


def test_a_slow_input_does_not_hold_up_the_streams():
    gate = threading.Event()

    def sites():
        yield "a"
        assert gate.wait(PATIENCE)
        yield "b"

    with ThreadPoolExecutor(2) as pool:
        results = parallelized(executor=pool)(pages).map(sites())
        assert [next(results) for _ in range(3)] == ["a0", "a1", "a2"]
        gate.set()
        assert list(results) == ["b0", "b1", "b2"]


def test_in_a_pipeline(executor):
    function = parallelized(executor=executor)(pages)
    with ThreadPoolExecutor(2) as pool:
        sites = pool.map(str.lower, "AB")
        results = pool.map(str.upper, function.map(sites))
        assert list(results) == ["A0", "A1", "A2", "B0", "B1", "B2"]


def test_within_a_worker_of_the_pool():
    with ThreadPoolExecutor(1) as pool:
        function = parallelized(executor=pool)(pages)
        outer = pool.submit(lambda: list(function.map("ab", ordered=False)))
        assert sorted(outer.result(PATIENCE)) == sorted(ALL[:6])


def test_bad_arguments_are_refused_at_the_call(executor):
    function = parallelized(executor=executor)(pages)
    with pytest.raises(TypeError, match="ordered must be True or False"):
        function.map("ab", ordered=1)
    with pytest.raises(ValueError, match="buffersize"):
        function.map("ab", buffersize=0)
    with pytest.raises(TypeError, match="iterables"):
        function.map(1)
    with pytest.raises(TypeError, match="at least one"):
        function.map()
    with pytest.raises(ValueError, match="max_errors must be given together"):
        function.map("ab", max_errors=1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'chunks'"):
        function.map("ab", chunks=1)
    for name, reason in [
        ("chunksize", "each row opens a stream"),
        ("checkpoint", "no result to keep; decorate a function that returns a list"),
        ("checkpoint_key", "no result to keep"),
    ]:
        with pytest.raises(ValueError, match=f"{name} must be None .*: .*{reason}"):
            function.starmap([("a",)], **{name: "x"})


@pytest.mark.skipif(sys.version_info < (3, 14), reason="needs interpreters")
def test_interpreters_refuse_at_the_call():
    with InterpreterPoolExecutor(1) as pool:
        function = parallelized(executor=pool)(pages)
        with pytest.raises(TypeError, match="generator"):
            function.map("ab")


def test_it_is_neither_copied_nor_pickled(executor):
    with (
        parallelized(executor=executor)(pages).map("ab") as results,
        pytest.raises(TypeError, match="neither be copied"),
    ):
        copy.copy(results)


def test_a_cancelled_reader_may_come_back(concurrent, latch):
    def held(folder):
        import tasks

        yield 1
        yield tasks.hold(folder, 2)

    async def main():
        results = parallelized(executor=concurrent)(held).map([latch.folder])
        assert await anext(results) == 1
        waiting = asyncio.ensure_future(anext(results))
        await asyncio.to_thread(latch.wait_begun)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.to_thread(latch.release)
        return await anext(results)

    assert asyncio.run(main()) == 2


def test_a_bar_of_the_streams(capsys):
    pytest.importorskip("tqdm")
    with ThreadPoolExecutor(2) as pool:
        function = parallelized(executor=pool)(pages)
        assert list(function.map("abcde", progress="sites")) == ALL
    assert "sites" in capsys.readouterr().err


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(0, 5), max_size=8),
    workers=st.integers(1, 3),
    bound=st.none() | st.integers(1, 3),
    ordered=st.booleans(),
    stop=st.none() | st.integers(0, 20),
)
def test_as_a_loop(sizes, workers, bound, ordered, stop):
    expected = [(row, page) for row, size in enumerate(sizes) for page in range(size)]

    def numbers(row, size):
        for page in range(size):
            yield row, page

    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(workers))
        results = stack.enter_context(
            parallelized(executor=pool)(numbers).starmap(
                enumerate(sizes), buffersize=bound, ordered=ordered
            )
        )
        items = []
        for item in results:
            items.append(item)
            if len(items) == stop:
                break
        if stop and stop <= len(expected):
            assert len(items) == stop
            assert set(items) <= set(expected)
        else:
            assert sorted(items) == expected
        if ordered:
            assert items == expected[: len(items)]


def test_a_timeout_for_each_item(concurrent_kind, latch):
    from factories import make

    if concurrent_kind == "thread":
        pytest.skip("no call can be ended there")

    def held(folder):
        import tasks

        yield 1
        yield tasks.hold(folder)

    with make(concurrent_kind) as pool:
        function = parallelized(executor=pool, timeout=0.3)(held)
        results = function.map([latch.folder])
        with pytest.raises(TaskTimeout):
            list(results)
