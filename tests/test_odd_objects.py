"""Objects of the user may be false, or refuse to say whether they are or are equal."""

from __future__ import annotations

import asyncio
import sys
from functools import partial

import pytest

import odd_objects
from odd_objects import (
    KINDS,
    Initializer,
    Odd,
    OddCallable,
    OddClass,
    OddInitializer,
    OddIterable,
    Tuple,
)
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    ThreadPoolExecutor,
    gather,
    parallelized,
    process_map,
    processed,
    shutdown,
    threaded,
    using,
)

EXECUTORS = ["thread", "serial", "forkserver", "fork"]
if sys.version_info >= (3, 14):
    EXECUTORS.insert(0, "interpreter")  # no fork beside them: CPython would crash


def _made(name, **options):
    if name == "thread":
        return ThreadPoolExecutor(1, **options)
    if name == "serial":
        return SerialExecutor()
    if name == "interpreter":
        return InterpreterPoolExecutor(1, **options)
    return ProcessPoolExecutor(1, mp_context=name, **options)


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    with _made(request.param) as made:
        made.name = request.param
        made.submit(abs, 1).result(30)  # so that nothing is new in a test
        parallelized(made)(KINDS["Falsy"]().later)(1).result(30)
        yield made


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def test_arguments_and_results(executor, kind):
    assert type(executor.submit(odd_objects.same, kind()).result(30)) is kind
    assert type(executor.submit(odd_objects.same, x=kind()).result(30)) is kind
    assert executor.submit(
        odd_objects.is_of, kind(), kind.__name__.removesuffix("Callable")
    ).result(30)
    function = parallelized(executor)(odd_objects.same)
    assert type(function(kind()).result(30)) is kind
    assert type(function(function(kind())).result(30)) is kind
    assert type(gather(function(kind())).result(30)[0]) is kind
    rows = [kind(), kind()]
    for values in (executor.map(odd_objects.same, rows), function.map(rows)):
        assert [type(each) for each in values] == [kind, kind]
    with TaskGroup() as group:
        future = group.start(function, kind())
    assert type(future.result()) is kind

    async def awaited():
        return type(await function(kind()))

    assert asyncio.run(awaited()) is kind


def test_functions(executor, kind):
    fn = kind()
    for each in (fn, fn.method):
        assert executor.submit(each, 3).result(30) == 3
        assert list(executor.map(each, range(5))) == list(range(5))
        assert list(executor.map(each, range(5), chunksize=2)) == list(range(5))
        decorated = parallelized(executor, name="it", retries=1)(each)
        assert decorated(4).result(30) == 4
        assert list(decorated.map([1, 2])) == [1, 2]
        assert decorated == decorated.options()
        assert hash(decorated) == hash(decorated.options())
        assert {decorated: 1}[decorated] == 1
        assert "ParallelFunction" in type(decorated).__name__
    assert executor.submit(partial(fn, 3)).result(30) == 3
    later = parallelized(executor)(fn.later)
    assert later(5).result(30) == 5
    assert list(later.map([1, 2])) == [1, 2]


def test_generator_functions(executor, kind):
    if executor.name == "interpreter":
        pytest.skip("there are no streams of interpreters")
    stream = parallelized(executor)(kind().items)
    assert list(stream(3)) == [3, 3]
    assert [type(each) for each in stream(kind())] == [kind, kind]


def test_iterables(executor, kind):
    for map_, fn in (
        (executor.map, odd_objects.same),
        (parallelized(executor)(odd_objects.same).map, None),
    ):
        got = map_(*([fn] if fn else []), OddIterable(kind))
        assert [type(each) for each in got] == [kind] * 3


def test_arrays_as_arguments_and_items(executor):
    numpy = pytest.importorskip("numpy")
    if executor.name == "interpreter":
        pytest.skip("numpy is for the main interpreter alone")
    array = numpy.arange(4.0)
    assert executor.submit(odd_objects.same, array).result(30).sum() == 6
    assert list(executor.map(odd_objects.same, array)) == [0, 1, 2, 3]
    rows = list(executor.map(odd_objects.same, array.reshape(2, 2)))
    assert [row.tolist() for row in rows] == [[0, 1], [2, 3]]
    if executor.name != "interpreter":
        items = parallelized(executor)(OddCallable().items)(array)
        assert [each.sum() for each in items] == [6, 6]


def test_classes(executor):
    assert executor.submit(OddClass, 3).result(30).x == 3
    assert executor.submit(OddClass.made, 3).result(30) == 3
    assert executor.submit(odd_objects.same, OddClass).result(30) is OddClass


@pytest.fixture
def shared_pools():
    yield
    shutdown()


class WithMethods(Odd, metaclass=type(OddClass)):
    def __init__(self) -> None:
        super().__init__(7)

    @processed
    def in_process(self, x):
        return self.value, type(x)

    @threaded
    def in_thread(self, x):
        return self.value, type(x)

    @threaded
    @classmethod
    def of_class(cls, x):
        return cls.__name__, type(x)

    @threaded
    @staticmethod
    def static(x):
        return type(x)


def test_methods_with_odd_arguments(kind, shared_pools):
    it = WithMethods()
    for method in (it.in_process, it.in_thread):
        assert method(kind()).result(30) == (7, kind)
        assert list(method.map([kind()])) == [(7, kind)]
    assert WithMethods.of_class(kind()).result(30) == ("WithMethods", kind)
    assert it.of_class(kind()).result(30) == ("WithMethods", kind)
    assert it.static(kind()).result(30) is kind


@pytest.mark.parametrize(
    "name", [each for each in EXECUTORS if each not in ("serial", "interpreter")]
)
@pytest.mark.parametrize("make", [Initializer, OddInitializer])
def test_initializers(name, make, kind):
    with _made(name, initializer=make(), initargs=Tuple((kind(),))) as executor:
        assert executor.submit(odd_objects.kind_of_initial).result(60) == kind.__name__


@pytest.mark.parametrize(
    "base", [ThreadPoolExecutor, ProcessPoolExecutor, SerialExecutor]
)
@pytest.mark.parametrize("oddity", ["false", "empty", "neither"])
def test_executors(base, oddity):
    def length(self):
        return 0

    def truth(self):
        if oddity == "neither":
            raise RuntimeError("neither true nor false")
        return False

    name, code = ("__len__", length) if oddity == "empty" else ("__bool__", truth)

    def equal(self, other):
        raise RuntimeError("not to be compared")

    kind = type("Odd", (base,), {name: code, "__eq__": equal, "__hash__": None})
    with kind() as executor:
        assert executor.submit(abs, -1).result(30) == 1
        assert list(executor.map(abs, [-1])) == [1]
        assert parallelized(executor)(abs)(-1).result(30) == 1
        assert list(parallelized(executor)(abs).map([-1])) == [1]
        assert threaded(executor=executor)(abs)(-1).result(30) == 1
        with using(executor):
            assert threaded(abs)(-1).result(30) == 1
            assert list(process_map(abs, [-1])) == [1]
