"""Futures that objects, closures and partials hold stay futures, alike everywhere."""

import concurrent.futures
import dataclasses
import sys
from functools import partial

import pytest

from factories import make
from parallelize import (
    CancelledError,
    Future,
    SerialExecutor,
    SerializationError,
    ThreadPoolExecutor,
    shutdown,
    threaded,
)

KINDS = ["thread", "process-default", "process-fork", "serial"]
if sys.version_info >= (3, 14):
    KINDS.append("interpreter")


class Holder:
    def __init__(self, future):
        self.future = future

    def read(self):
        return self.future.result()

    def itself(self):
        return self


class Slotted:
    __slots__ = ("future",)

    def __init__(self, future):
        self.future = future


@dataclasses.dataclass
class Job:
    future: object
    state: str = "new"

    def kind(self):
        return hasattr(self.future, "result")

    @threaded
    def change(self):
        self.state = "changed"
        return hasattr(self.future, "result")

    async def read_later(self):
        return self.future.result()


def number(text):
    return int(text)


def read(holder):
    return holder.future.result()


def read_itself(future):
    return future.result()


def state_of(holder):
    future = holder.future
    return future.done(), future.cancelled(), type(future.exception()).__name__


def is_cancelled(holder):
    with pytest.raises(CancelledError):
        holder.future.result()
    return holder.future.cancelled()


async def read_later(future):
    return future.result()


def twice(future):
    yield future.result()
    yield future.result()


@pytest.fixture(params=KINDS)
def pool(request):
    with make(request.param) as executor:
        yield executor


@pytest.fixture
def seven():
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit(number, "7")


WAYS = {
    "attribute": lambda f: (read, Holder(f)),
    "slot": lambda f: (read, Slotted(f)),
    "method": lambda f: (Holder(f).read,),
    "partial": lambda f: (partial(read_itself, f),),
    "closure": lambda f: (lambda: f.result(),),
    "default": lambda f: (lambda g=f: g.result(),),
    "argument that is a closure": lambda f: (call, lambda: f.result()),
}


def call(fn):
    return fn()


@pytest.mark.parametrize("way", WAYS)
def test_it_is_a_future_there(way, pool, seven):
    for _ in range(2):  # what was made of the function is not kept for the next call
        fn, *args = WAYS[way](seven)
        assert pool.submit(fn, *args).result(timeout=30) == 7


def test_another_future_in_the_same_function(pool):
    def made(future):
        return lambda: future.result()

    with ThreadPoolExecutor(1) as executor:
        futures = [executor.submit(number, str(n)) for n in range(3)]
        results = [pool.submit(made(future)) for future in futures]
        assert [each.result(timeout=30) for each in results] == [0, 1, 2]


def test_in_a_map(pool, seven):
    assert list(pool.map(read, [Holder(seven), Slotted(seven)])) == [7, 7]
    assert list(pool.map(lambda x: x + seven.result(), [1, 2])) == [8, 9]
    assert list(pool.map(partial(add, seven), [1, 2])) == [8, 9]


def add(future, more):
    return future.result() + more


def test_in_a_coroutine_function(pool, seven):
    async def read_closed():
        return seven.result()

    assert threaded(executor=pool)(read_closed)().result(timeout=30) == 7
    later = threaded(executor=pool)(Job(seven).read_later)
    assert later().result(timeout=30) == 7


def test_held_by_the_arguments_of_a_stream(pool, seven):
    if type(pool).__name__ == "InterpreterPoolExecutor":
        pytest.skip("its items cannot travel from there")

    def closed():
        yield from twice(seven)

    assert list(threaded(executor=pool)(closed)()) == [7, 7]


def test_one_that_has_failed_fails_who_reads_it(pool):
    with ThreadPoolExecutor(1) as executor:
        failed = executor.submit(number, "x")
        expected = True, False, "ValueError"
        failed.exception()
        assert pool.submit(state_of, Holder(failed)).result(timeout=30) == expected
        with pytest.raises(ValueError, match="invalid literal"):
            pool.submit(read, Holder(failed)).result(timeout=30)


def test_one_that_was_cancelled(pool):
    cancelled = Future()
    cancelled.cancel()
    assert pool.submit(is_cancelled, Holder(cancelled)).result(timeout=30)


def test_it_comes_back_as_a_future(pool, seven):
    holder = pool.submit(Holder(seven).itself).result(timeout=30)
    assert holder.future.result(timeout=30) == 7
    # ... and may travel once more, as an argument, too.
    assert pool.submit(read, holder).result(timeout=30) == 7
    assert pool.submit(pow, holder.future, 2).result(timeout=30) == 49


def test_an_argument_is_its_value_beside_one_that_is_held(pool, seven):
    with ThreadPoolExecutor(1) as executor:
        two = executor.submit(number, "2")
        assert pool.submit(both, [two], Holder(seven)).result(timeout=30) == [2, 7]


def both(numbers, holder):
    return [*numbers, holder.future.result()]


def test_the_object_of_a_method_is_no_argument(pool, seven):
    job = Job(seven)
    assert pool.submit(job.kind).result(timeout=30)
    assert threaded(executor=pool)(job.kind)().result(timeout=30)


def test_a_method_in_a_thread_has_its_own_object(seven):
    """Not a copy of a dataclass with the value in it."""
    job = Job(seven)
    seven.result()
    try:
        assert job.change().result(timeout=30)
    finally:
        shutdown()
    assert job.state == "changed"


def test_a_stand_in_is_its_value_everywhere(pool, seven):
    assert pool.submit(half, Holder(seven.proxy())).result(timeout=30) == 3.5


def half(holder):
    return holder.future / 2


def made_future(kind):
    return kind()


def made_futures(kind):
    yield kind()


@pytest.mark.parametrize("kind", [Future, concurrent.futures.Future])
def test_a_future_as_result_of_a_process_is_refused_with_advice(kind):
    """In a thread it is a value as any other."""
    with make("process-default") as executor:
        with pytest.raises(SerializationError, match="give its result instead"):
            executor.submit(made_future, kind).result(timeout=30)
        with pytest.raises(SerializationError, match="give its result instead"):
            list(threaded(executor=executor)(made_futures)(kind))


def test_one_that_is_an_argument_as_well(pool, seven):
    """It travels once, so both are the value where it travels."""
    travels = not isinstance(pool, (ThreadPoolExecutor, SerialExecutor))
    expected = 7, not travels
    assert pool.submit(kinds, seven, Holder(seven)).result(timeout=30) == expected


def kinds(value, holder):
    return value, isinstance(holder.future, Future)
