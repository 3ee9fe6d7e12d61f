"""Futures in containers of every kind: their values take their places, alike everywhere."""

import collections
import contextlib
import dataclasses
import threading
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from concurrent.futures import ThreadPoolExecutor as Foreign
from typing import NamedTuple

import pytest

from factories import CLASSES, ready
from parallelize import (
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    parallel_map,
    threaded,
)
from parallelize.calls.dependencies import filled, futures_in

Point = namedtuple("Point", "x y")  # noqa: PYI024 - it is what is tested


class Pair(NamedTuple):
    left: object
    right: object = 0


class Row(list):
    """A list with an attribute."""

    name = ""


class Strict(tuple):
    """A tuple that is made in a way of its own."""

    __slots__ = ()

    def __new__(cls, a, b, c):
        return super().__new__(cls, (a, b, c))

    def __getnewargs__(self):
        return tuple(self)


class Table(dict):
    """A dict with a state."""

    def __init__(self, title):
        super().__init__()
        self.title = title

    def __reduce__(self):
        return Table, (self.title,), None, None, iter(self.items())


@dataclasses.dataclass
class Job:
    size: object
    parts: list = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Frozen:
    size: object


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted:
    size: object
    other: object = None


def row(*items):
    made = Row(items)
    made.name = "named"
    return made


def table(**items):
    made = Table("title")
    made.update(items)
    return made


def default(**items):
    made = defaultdict(list)
    made.update(items)
    return made


#: Each makes a container of what it is given.
MAKE = {
    "list": lambda f: [1, f],
    "tuple": lambda f: (f, 1),
    "dict": lambda f: {"a": f},
    "key": lambda f: {f: "a"},
    "set": lambda f: {f, 1},
    "frozenset": lambda f: frozenset((f, 1)),
    "deque": lambda f: deque([1, f], maxlen=2),
    "OrderedDict": lambda f: OrderedDict([("b", f), ("a", 1)]),
    "defaultdict": lambda f: default(a=f),
    "namedtuple": lambda f: Point(f, 1),
    "NamedTuple": lambda f: Pair(f),
    "subclass of list": lambda f: row(f, 1),
    "subclass of tuple": lambda f: Strict(1, f, 2),
    "subclass of dict": lambda f: table(a=f),
    "dataclass": lambda f: Job(f),
    "frozen dataclass": lambda f: Frozen(f),
    "dataclass with slots": lambda f: Slotted(f),
    "nested": lambda f: [Point(OrderedDict(a=[Job(1, [deque([f])])]), {"b": (f,)})],
}


def state(value):
    """What there is to compare: types, items, order, attributes."""
    if dataclasses.is_dataclass(value):
        fields = [getattr(value, each.name) for each in dataclasses.fields(value)]
        return type(value).__name__, list(map(state, fields))
    if isinstance(value, dict):
        more = getattr(value, "default_factory", None), getattr(value, "title", None)
        items = [(state(key), state(each)) for key, each in value.items()]
        return type(value).__name__, items, more
    if isinstance(value, (set, frozenset)):
        return type(value).__name__, sorted(value)
    if isinstance(value, (list, tuple, deque)):
        more = getattr(value, "name", None), getattr(value, "maxlen", None)
        return type(value).__name__, list(map(state, value)), more
    return value


@contextlib.contextmanager
def foreign():
    with Foreign(2) as executor:
        barrier = threading.Barrier(2)
        list(executor.map(lambda _: barrier.wait(), range(2)))
        yield executor


@pytest.fixture(scope="module", params=[*CLASSES, "foreign"])
def call(request):
    with foreign() if request.param == "foreign" else ready(request.param) as executor:
        yield threaded(executor=executor)(state), executor


def number(text):
    return int(text)


@pytest.mark.parametrize("kind", MAKE)
def test_a_container(kind, call):
    f, executor = call
    make = MAKE[kind]
    with ThreadPoolExecutor(1) as pool:
        seven = pool.submit(number, "7")
        given = make(seven)
        expected = state(make(7))
        assert f(given).result() == expected
        assert f(value=given).result() == expected
        assert list(f.map([make(3), given])) == [state(make(3)), expected]
        assert list(f.starmap([(given,)])) == [expected]
        # The caller's is what it was.
        assert len(futures_in((given,), {})) == (2 if kind == "nested" else 1)


def test_in_a_stream(call):
    if not isinstance(
        call[1], (ThreadPoolExecutor, ProcessPoolExecutor, SerialExecutor)
    ):
        pytest.skip("its items cannot travel from there")

    @threaded(executor=call[1])
    def items(point):
        yield from point

    with ThreadPoolExecutor(1) as pool:
        point = Point(pool.submit(number, "7"), 1)
        assert list(items(point)) == [7, 1]


async def state_later(value):
    return state(value)


def test_in_a_coroutine(call):
    f = threaded(executor=call[1])(state_later)
    with ThreadPoolExecutor(1) as pool:
        point = Point(pool.submit(number, "7"), 1)
        assert f(point).result() == state(Point(7, 1))


def test_one_that_fails(call):
    f, _ = call
    with ThreadPoolExecutor(1) as pool:
        failed = pool.submit(number, "x")
        for make in MAKE.values():
            assert isinstance(f(make(failed)).exception(), ValueError)


def test_a_value_that_the_container_cannot_hold(call):
    """As a set cannot hold a list: the call fails, the caller gets it in the future."""
    f, executor = call
    with ThreadPoolExecutor(1) as pool:
        listed = pool.submit(list, "x")
        assert isinstance(f({listed}).exception(), Exception)
        (error,) = f.map([{listed}], return_exceptions=True)
        assert isinstance(error, Exception)
        assert f(1).result() == 1


def test_what_holds_no_future_is_the_callers_own():
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(number, "7")
        future.result()
        mine, shared = [1], [2]
        given = [mine, {"a": shared}, Job(shared), future, [future, shared]]
        got = filled(given)
        assert got[0] is mine
        assert got[1] is given[1]
        assert got[2] is given[2]
        assert got[3] == 7
        assert got[4] == [7, shared]
        assert got[4][1] is shared
        twice = [future]
        first, second = filled([twice, twice])
        assert first is second

        def append(to, value):
            to.append(value)

        threaded(executor=pool)(append)(mine, future).result()
        assert mine == [1, 7]


def test_containers_inside_themselves(call):
    ring = [1]
    ring.append(ring)
    with ThreadPoolExecutor(1) as pool:
        f = threaded(executor=pool)(len)
        assert f(ring).result() == 2
        assert list(f.map([ring, ring])) == [2, 2]
        around = [pool.submit(number, "7")]
        around.append(around)
        assert threaded(executor=pool)(lambda value: value[0])(around).result() == 7


def test_no_container():
    class Counted(Counter):
        pass

    for value in [1, "a", 1.5, None, object(), Counted("abc"), range(3), b"x", int]:
        assert futures_in((value,), {"a": value}) == []
        assert filled(value) is value
    assert futures_in((collections.UserDict(a=1), Pair, Job), {}) == []


def test_a_field_that_is_not_set():
    job = Job(1)
    del job.size
    assert futures_in((job,), {}) == []
    assert list(parallel_map(type, [job], executor="serial")) == [Job]
