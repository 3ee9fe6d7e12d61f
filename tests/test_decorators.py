"""threaded, processed, parallelized, and the functions that they make."""

import abc
import concurrent.futures
import contextlib
import copy
import doctest
import fractions
import functools
import gc
import inspect
import math
import os
import pickle
import pydoc
import sys
import threading
import typing
from unittest import mock

import cloudpickle
import pytest

import decorated
import parallelize
from decorated import CornerShop, Shop
from parallelize import (
    Future,
    MapIterator,
    ParallelFunction,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskTimeout,
    ThreadPoolExecutor,
    gather,
    interpreted,
    parallelized,
    process_map,
    processed,
    thread_map,
    threaded,
    using,
    worker,
)
from support.programs import TESTS, program, run_script


@pytest.fixture(autouse=True)
def no_pools_are_left():
    yield
    parallelize.shutdown()


# -------------------------------------------------------------------------- calls


def test_a_call_returns_a_future_at_once():
    go = threading.Event()
    future = threaded(go.wait)()
    done = future.done()
    go.set()
    assert not done
    assert isinstance(future, Future)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() is True


def test_calls_in_threads_and_processes():
    assert decorated.add(1).result() == 2
    assert decorated.add(1, b=2, scale=10).result() == 30
    assert decorated.double(4).result() == 8
    assert decorated.pid().result() != os.getpid()
    assert threaded(threading.get_ident)().result() != threading.get_ident()


def test_errors_arrive_in_their_own_class():
    with pytest.raises(ValueError, match="broken"):
        decorated.fail("broken").result()


def test_the_plain_function_is_there():
    assert decorated.double.__wrapped__(4) == 8
    assert decorated.plain is decorated.other_name.__wrapped__


@pytest.mark.parametrize("decorator", [threaded, processed])
def test_other_callables(decorator):
    offset = 7
    assert decorator(lambda x: x + offset)(1).result() == 8
    assert decorator(functools.partial(decorated.plain, 1))().result() == 101
    assert decorator(functools.partial(pow, 2))(5).result() == 32
    assert decorator(len)([1, 2]).result() == 2
    assert decorator("a".upper)().result() == "A"
    assert decorator(str.upper)("b").result() == "B"
    assert decorator(decorated.Adder(1))(2).result() == 3


def test_a_callable_object_travels_by_its_value():
    assert decorated.add_ten(1).result() == 11
    assert list(decorated.add_ten.map([1, 2])) == [11, 12]


def test_recursion_over_few_workers():
    fibonacci = decorated.fibonacci.options(max_workers=1)
    assert fibonacci(7).result() == 13


def test_bare_and_with_options_are_the_same():
    def function(x):
        return x

    for made in (
        threaded(function),
        threaded()(function),
        threaded(timeout=9)(function),
    ):
        assert made(3).result() == 3
        assert isinstance(made, ParallelFunction)


# ------------------------------------------------------------------------ methods


def test_methods():
    shop = Shop(10)
    assert shop.sell(1).result() == 9
    assert shop.sell(1, price=2).result() == 8
    assert Shop.sell(shop, 3).result() == 7
    assert shop.look().result() == (10, "x")
    assert shop.size.result() == 10
    assert shop.hidden()(5).result() == 15
    bound = shop.sell
    assert bound(4).result() == 6
    assert bound.__wrapped__(4) == 6


def test_inherited_methods():
    shop = CornerShop(10)
    assert shop.sell(1).result() == "corner"
    assert shop.sell_below()(1).result() == 9
    assert list(shop.sell_below().map([1, 2])) == [9, 8]
    assert shop.look().result() == (10, "x")
    assert CornerShop.outer_class(1).result() == ("CornerShop", 1)


@pytest.mark.parametrize(
    "owner", [Shop, Shop(), CornerShop()], ids=["class", "object", "heir"]
)
def test_static_and_class_methods_in_either_order(owner):
    name = "CornerShop" if isinstance(owner, CornerShop) else "Shop"
    assert owner.outer_static(1).result() == 2
    assert owner.inner_static(1).result() == 3
    assert owner.outer_class(1).result() == (name, 1)
    assert owner.inner_class(1).result() == (name, 1)
    assert list(owner.outer_static.map([1])) == [2]
    assert list(owner.inner_static.map([1])) == [3]
    assert list(owner.outer_class.map([1])) == [(name, 1)]


def uses_of_inner_class(owner):
    yield lambda: list(owner.inner_class.map([1]))
    yield lambda: list(owner.inner_class.starmap([(1,)]))
    yield lambda: [owner.inner_class.options(retries=1)(1).result()]


@pytest.mark.skipif(sys.version_info >= (3, 13), reason="they lack the class")
def test_attributes_of_a_class_method_below_classmethod():
    for use in uses_of_inner_class(CornerShop):
        assert use() == [("CornerShop", 1)]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="they have the class")
def test_attributes_of_a_class_method_below_classmethod_are_refused():
    for use in uses_of_inner_class(CornerShop):
        with pytest.raises(TypeError, match="place the decorator above @classmethod"):
            use()


def test_an_object_may_hold_a_decorated_function():
    class Holder:
        def __init__(self):
            self.fn = threaded(lambda x: x + 1)

    assert Holder().fn(1).result() == 2


def test_abstract_methods():
    assert decorated.Abstract.__abstractmethods__ == {"inner", "outer"}
    with pytest.raises(TypeError):
        decorated.Abstract()

    class Concrete(decorated.Abstract):
        @threaded
        def inner(self):
            return 1

        @threaded
        def outer(self):
            return 2

    assert Concrete().inner().result() == 1
    assert isinstance(Concrete(), abc.ABC)


# ---------------------------------------------------------------------- coroutines


def test_coroutine_functions():
    assert decorated.slowly(1).result() == 2
    value, thread = decorated.in_loop(1).result()
    assert value == 1
    assert thread != threading.current_thread().name
    assert Shop(10).order(1).result() == 11
    assert Shop(10).deliver(1).result() == 11
    assert Shop.order(Shop(1), 1).result() == 2
    assert list(decorated.slowly.map([1, 2])) == [2, 3]
    assert list(Shop(10).deliver.map([1, 2])) == [11, 12]
    assert list(decorated.slowly.starmap([(1,), (2,)])) == [2, 3]


def test_coroutine_functions_are_found_in_other_callables():
    async def run(x, y=1):
        return x + y

    class Callable:
        async def __call__(self, x):
            return x

    @functools.wraps(run)
    def wrapper(*args):
        return run(*args)

    @functools.wraps(run)
    def already_run(*args):
        return sum(args)

    assert threaded(functools.partial(run, y=2))(1).result() == 3
    assert threaded(Callable())(1).result() == 1
    assert threaded(wrapper)(1).result() == 2
    assert threaded(already_run)(1, 2).result() == 3


def test_coroutine_functions_run_serially_inside_a_running_loop():
    import asyncio

    async def main():
        with using("serial"):
            return await decorated.slowly(1), await decorated.in_loop(2)

    assert asyncio.run(main())[0] == 2


def test_an_error_of_a_coroutine():
    @threaded
    async def fail():
        raise LookupError("here")

    with pytest.raises(LookupError, match="here"):
        fail().result()


def test_awaiting_calls():
    import asyncio

    async def main():
        first, second = await asyncio.gather(decorated.add(1), decorated.double(2))
        return first, second, await decorated.in_loop(3)

    assert asyncio.run(main())[:2] == (2, 4)


# ----------------------------------------------------------------------------- maps


def test_maps():
    assert list(decorated.double.map(range(50))) == [2 * x for x in range(50)]
    assert list(decorated.add.map([1, 2], [10, 20])) == [11, 22]
    assert list(decorated.add.starmap([(1, 10), (2,)])) == [11, 3]
    assert sorted(decorated.double.map(range(9), ordered=False)) == list(
        range(0, 18, 2)
    )
    assert list(Shop(10).sell.map([1, 2], [3, 4])) == [7, 2]
    assert list(Shop(10).sell.starmap([(1, 3), (2, 4)])) == [7, 2]
    assert list(Shop.sell.map([Shop(1), Shop(2)], [1, 1])) == [0, 1]
    assert isinstance(decorated.double.map([]), MapIterator)


def test_the_options_of_a_function_hold_in_a_map():
    tries = []

    @threaded(retries=2, retry_on=KeyError)
    def third_time(x):
        tries.append(x)
        if tries.count(x) < 3:
            raise KeyError(x)
        return x

    assert list(third_time.map([1, 2])) == [1, 2]

    @processed(timeout=0.3)
    def hang(seconds):
        threading.Event().wait(seconds)
        return seconds

    results = list(hang.map([0.0, 60], return_exceptions=True))
    assert results[0] == 0
    assert isinstance(results[1], TaskTimeout)

    counter = Counter()
    limited = threaded(counter, limit=2, max_workers=6)
    list(limited.map(range(30), chunksize=1))
    gather(*(limited(i) for i in range(30))).result()
    assert counter.most <= 2


class Counter:
    """Counts how many calls of it run at once."""

    def __init__(self):
        self.now = self.most = 0
        self.lock = threading.Lock()

    def __call__(self, _=None):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        threading.Event().wait(0.002)
        with self.lock:
            self.now -= 1


# -------------------------------------------------------------------------- options


def test_options_give_a_copy():
    tries = []

    @threaded
    def fail_once():
        tries.append(1)
        if len(tries) < 2:
            raise OSError
        return len(tries)

    again = fail_once.options(retries=1)
    assert again is not fail_once
    assert again.__name__ == "fail_once"
    assert again.__wrapped__ is fail_once.__wrapped__
    assert again().result() == 2
    tries.clear()
    with pytest.raises(OSError):
        fail_once().result()


def test_only_the_options_given_change():
    made = threaded(lambda: None, timeout=5, retries=2, limit=3, name="made")
    changed = made.options(retries=1)
    assert changed._options == made._options._replace(retries=1)
    assert changed._options.limit is made._options.limit
    assert changed.options(timeout=None, limit=None)._options.timeout is None
    assert made.options() == made
    assert "timeout: 'float | None' = unchanged" in str(inspect.signature(made.options))


def test_options_share_or_replace_the_own_pool():
    made = threaded(threading.current_thread, max_workers=1)
    same = made.options(timeout=9)
    assert made().result() is same().result()
    assert made.options(max_workers=1)().result() is not made().result()
    with ThreadPoolExecutor(1, "mine") as executor:
        thread = made.options(executor=executor)().result()
        assert thread.name.startswith("mine")
        given = parallelized(executor)(threading.current_thread)
        assert not given.options(max_workers=1)().result().name.startswith("mine")


def test_options_of_a_bound_method():
    shop = Shop(10)
    assert shop.sell.options(retries=1)(1).result() == 9
    assert list(shop.sell.options(retries=1).map([1])) == [9]


def test_one_decorator_may_make_many_functions():
    decorate = threaded(limit=1, max_workers=1)
    first, second = (
        decorate(threading.current_thread),
        decorate(threading.current_thread),
    )
    assert first._options.limit is not second._options.limit
    assert first().result() is not second().result()


def test_a_timeout_ends_the_call():
    with pytest.raises(TaskTimeout, match="hang ran longer than its timeout of 0.1"):
        processed(hang, timeout=0.1)(60).result()
    with pytest.raises(TaskTimeout, match="a slow one"):
        threaded(hang, timeout=0.05, name="a slow one")(0.3).result()


def hang(seconds):
    threading.Event().wait(seconds)


def test_an_initializer_makes_a_pool_of_its_own():
    marked = threading.local()

    def mark(value):
        marked.value = value

    fn = threaded(lambda: marked.value, initializer=mark, initargs=(7,))
    assert fn().result() == 7
    with pytest.raises(AttributeError):
        threaded(lambda: marked.value)().result()


def test_an_own_pool_ends_with_its_function():
    fn = threaded(threading.current_thread, max_workers=2)
    thread = fn().result()
    assert thread.is_alive()
    del fn
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_an_own_pool_has_as_many_workers_as_it_was_told():
    counter = Counter()
    fn = threaded(counter, max_workers=3)
    list(fn.map(range(30), chunksize=1))
    assert counter.most == 3


WRONG = [
    ({"max_workers": 0}, ValueError, "max_workers must be at least 1, not 0"),
    ({"max_workers": 1.5}, TypeError, "max_workers must be a whole number, not 1.5"),
    ({"max_workers": True}, TypeError, "max_workers must be a whole number"),
    (
        {"executor": "thraeds"},
        ValueError,
        "executor must be an executor or one of 'threads', .* not 'thraeds'",
    ),
    ({"executor": 3}, TypeError, "executor must be an executor or one of .* not 3"),
    (
        {"executor": ThreadPoolExecutor},
        TypeError,
        "executor must be an executor or one of",
    ),
    ({"timeout": 0}, ValueError, "timeout must be more than 0 seconds, not 0"),
    (
        {"timeout": "3"},
        TypeError,
        "timeout must be a number of seconds or None, not '3'",
    ),
    ({"timeout": float("nan")}, ValueError, "timeout must be more than 0 seconds"),
    ({"timeout": -(10**400)}, ValueError, "timeout must be more than 0 seconds"),
    ({"timeout": True}, TypeError, "timeout must be a number of seconds or None"),
    ({"timeout": 1j}, TypeError, "timeout must be a number of seconds or None"),
    ({"retries": -1}, ValueError, "retries must be at least 0, not -1"),
    ({"retries": None}, TypeError, "retries must be a whole number, not None"),
    (
        {"retry_on": int},
        TypeError,
        "retry_on must be an exception class or a tuple of them",
    ),
    (
        {"retry_on": [OSError]},
        TypeError,
        "retry_on must be an exception class or a tuple of them",
    ),
    ({"limit": 0}, ValueError, "limit must be at least 1, not 0"),
    (
        {"limit": "2"},
        TypeError,
        "limit must be a whole number, a Limit or None, not '2'",
    ),
    ({"initializer": 3}, TypeError, "initializer must be a callable, not 3"),
    ({"initargs": [1]}, TypeError, r"initargs must be a tuple, not \[1\]"),
    (
        {"initargs": (1,)},
        ValueError,
        "initargs must be given together with an initializer",
    ),
    ({"name": 3}, TypeError, "name must be a string or None, not 3"),
    ({"name": ""}, ValueError, "name must not be empty"),
    (
        {"executor": SerialExecutor(), "max_workers": 2},
        ValueError,
        "max_workers must not be given together with an executor",
    ),
    (
        {"executor": SerialExecutor(), "initializer": print},
        ValueError,
        "initializer must not be given together with an executor",
    ),
    (
        {"executor": "serial", "max_workers": 2},
        ValueError,
        "max_workers must not be given for 'serial'",
    ),
]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    WRONG,
    ids=[str(list(w[0])) + str(i) for i, w in enumerate(WRONG)],
)
def test_a_wrong_option_is_refused_when_the_decorator_runs(options, error, message):
    for decorator in (threaded, processed, threaded(lambda: None).options):
        with pytest.raises(error, match=message):
            decorator(**options)
    if "executor" not in options:
        with pytest.raises(error, match=message):
            parallelized("threads", **options)


NUMBERS = [1, 2.5, 10**400, 1e300, math.inf, fractions.Fraction(1, 2)]


@pytest.mark.parametrize("timeout", NUMBERS, ids=[str(n)[:5] for n in NUMBERS])
@pytest.mark.parametrize("decorator", [threaded, processed])
def test_a_timeout_is_any_number(decorator, timeout):
    assert decorator(timeout=timeout)(abs)(-1).result() == 1


def test_numbers_of_numpy_are_timeouts():
    np = pytest.importorskip("numpy")
    for kind in (np.int64, np.uint8, np.float32, np.float64):
        assert threaded(timeout=kind(60))(abs)(-1).result() == 1
    with pytest.raises(TypeError, match="timeout"):
        threaded(timeout=np.complex64(1))


def test_a_copy_without_the_initializer_has_not_its_arguments():
    fn = threaded(lambda: 7, initializer=print, initargs=(1,))
    assert fn.options(initializer=None)().result() == 7


def test_no_error_at_all_may_be_retried():
    """For processes it says: the death of a worker alone."""
    calls = []
    fn = threaded(lambda: calls.append(1) or 1 / 0, retries=3, retry_on=())
    with pytest.raises(ZeroDivisionError):
        fn().result()
    assert calls == [1]


class Caller:
    @threaded
    def __call__(self, x):
        return x


@pytest.mark.parametrize("outer", [threaded, processed, parallelized("serial")])
@pytest.mark.parametrize(
    "inner",
    [
        threaded(decorated.plain),
        processed(decorated.plain),
        staticmethod(threaded(decorated.plain)),
        functools.partial(threaded(decorated.plain), 1),
        Shop(10).sell,
        Caller(),
        functools.partial(Caller(), 1),
    ],
    ids=[
        "threaded",
        "processed",
        "static",
        "partial",
        "method",
        "object",
        "its partial",
    ],
)
def test_what_is_decorated_is_not_decorated_again(outer, inner):
    with pytest.raises(TypeError, match=r"decorated already.*\.options\(\)"):
        outer(inner)


@pytest.mark.parametrize("wrong", [3, "seriell", object(), ThreadPoolExecutor])
def test_parallelized_wants_an_executor_or_a_function(wrong):
    with pytest.raises(
        (TypeError, ValueError), match="executor must be an executor or one of"
    ):
        parallelized(wrong)


def test_an_unknown_option_is_refused():
    for decorator in (threaded, processed, functools.partial(parallelized, "serial")):
        with pytest.raises(TypeError, match="tiemout"):
            decorator(tiemout=3)


@pytest.mark.parametrize("fn", [int, Shop, ValueError])
def test_classes_are_refused(fn):
    with pytest.raises(
        TypeError,
        match=f"the class {fn.__name__} cannot be decorated: decorate a function that makes the object",
    ):
        threaded(fn)


@pytest.mark.parametrize("fn", [3, "text", [], property(len)])
def test_what_cannot_be_called_is_refused(fn):
    with pytest.raises(TypeError, match="what is decorated must be a callable"):
        processed()(fn)


@contextlib.contextmanager
def managed():
    yield 1


def test_a_function_round_a_generator_is_none():
    with threaded(managed)().result() as value:
        assert value == 1


# ------------------------------------------------------------------------ executors


@pytest.mark.parametrize(("lock", "kind"), [(True, "processes"), (False, "threads")])
def test_parallelized_alone_uses_all_cpus(monkeypatch, lock, kind):
    """Threads do, where no lock lets only one of them run."""
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: lock, raising=False)

    @parallelized
    def bare() -> str:
        """Tell where it runs."""
        return worker().kind

    @parallelized(max_workers=1, name="own")
    def with_options():
        return worker().kind

    class Shop:
        @parallelized
        def method(self):
            return worker().kind

        @parallelized
        @classmethod
        def of_class(cls):
            return worker().kind

    assert bare.__doc__ == "Tell where it runs."
    calls = bare, with_options, parallelized()(bare.__wrapped__), Shop().method
    assert {call().result(30) for call in (*calls, Shop.of_class)} == {kind}
    with using("serial"):
        assert bare().result() == "serial"

    @parallelized
    def items():
        yield worker().kind

    assert list(items()) == [kind]


def test_parallelized_without_a_lock_in_this_python_is_as_by_default():
    has_lock = getattr(sys, "_is_gil_enabled", lambda: True)()
    assert parallelized(abs)._where.kind == ("processes" if has_lock else "threads")


def test_parallelized_takes_one_executor():
    assert parallelized(executor="serial")(abs)(-3).result() == 3
    assert parallelized(abs, executor="serial")(-3).result() == 3
    with pytest.raises(TypeError, match="executor must be given once"):
        parallelized("serial", executor="threads")


def test_parallelized_takes_any_executor():
    def name():
        return threading.current_thread().name

    with (
        ThreadPoolExecutor(1, "ours") as ours,
        concurrent.futures.ThreadPoolExecutor(1, "theirs") as theirs,
    ):
        assert parallelized(ours)(name)().result().startswith("ours")
        assert parallelized(theirs)(name)().result().startswith("theirs")
        assert isinstance(parallelized(theirs)(name)(), Future)
        assert threaded(name, executor=theirs)().result().startswith("theirs")
        assert list(parallelized(theirs)(decorated.plain).map([1, 2])) == [101, 102]
    assert parallelized("serial")(name)().result() == threading.current_thread().name
    assert parallelized("processes", max_workers=1)(os.getpid)().result() != os.getpid()


def test_a_call_to_an_executor_that_was_shut_down_is_refused():
    executor = ThreadPoolExecutor(1)
    fn = parallelized(executor)(decorated.plain)
    executor.shutdown()
    with pytest.raises(RuntimeError, match="shutdown"):
        fn(1)


@pytest.mark.every_method
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_every_start_method(method):
    with ProcessPoolExecutor(1, method) as executor:
        for fn, args, expected in [
            (decorated.double, (4,), 8),
            (decorated.slowly, (4,), 5),
            (Shop(10).sell, (1,), 9),
            (Shop.outer_class, (1,), ("Shop", 1)),
            (Shop.outer_static, (1,), 2),
            (decorated.fibonacci, (5,), 5),
        ]:
            assert fn.options(executor=executor)(*args).result() == expected
            assert list(fn.options(executor=executor).map([*args])) == [expected]


# ------------------------------------------------------- like the function, in itself


def original(
    a: int, b: str = "x", *args: float, flag: bool = False, **rest: bytes
) -> list[int]:
    """Do something."""
    return []


LIKE = threaded(original)


def test_names_and_signature():
    for name in (
        "__name__",
        "__qualname__",
        "__module__",
        "__doc__",
        "__annotations__",
    ):
        assert getattr(LIKE, name) == getattr(original, name)
    assert inspect.signature(LIKE) == inspect.signature(original)
    assert typing.get_type_hints(LIKE) == typing.get_type_hints(original)
    assert inspect.getsource(LIKE) == inspect.getsource(original)
    assert inspect.getdoc(LIKE) == "Do something."
    assert inspect.unwrap(LIKE) is original
    assert callable(LIKE)
    assert inspect.isroutine(LIKE)


def test_signatures_of_methods():
    shop = Shop()
    for method, expected in [
        (Shop.sell, "(self, count, price=1)"),
        (shop.sell, "(count, price=1)"),
        (Shop.outer_class, "(count)"),
        (Shop.inner_class, "(count)"),
        (Shop.outer_static, "(count)"),
        (shop.inner_static, "(count)"),
    ]:
        assert str(inspect.signature(method)) == expected
    assert shop.sell.__name__ == "sell"
    assert shop.sell.__qualname__ == "Shop.sell"
    assert shop.sell.__doc__ == "Sell some."


def test_no_coroutine_function():
    import asyncio
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        for fn in (
            decorated.slowly,
            Shop().order,
            Shop.order,
            threaded(functools.partial(decorated.slowly.__wrapped__)),
        ):
            assert not inspect.iscoroutinefunction(fn)
            assert not asyncio.iscoroutinefunction(fn)
    if hasattr(inspect, "markcoroutinefunction"):
        marked = inspect.markcoroutinefunction(lambda: None)
        assert not inspect.iscoroutinefunction(threaded(marked))


def test_help():
    text = pydoc.plain(pydoc.render_doc(decorated.add))
    assert "add(a: int, b: int = 1, *, scale: int = 1) -> int" in text
    assert "Add two numbers." in text
    assert text.splitlines()[0].endswith("in module decorated")
    whole = pydoc.plain(pydoc.render_doc(decorated))
    functions = whole[whole.index("\nFUNCTIONS") :]
    assert "double(x)" in functions
    assert "sell(self, count, price=1)" in whole


def test_help_of_the_decorators():
    for made in (threaded, processed, interpreted, parallelized):
        assert {"fn", "executor", "buffersize"} < set(
            inspect.signature(made).parameters
        )
        assert pickle.loads(pickle.dumps(made)) is made
        text = pydoc.plain(pydoc.render_doc(made))
        assert text.splitlines()[0].endswith(
            f"function {made.__name__} in module parallelize.api.decorators"
        )
        assert "max_workers: " in text
        assert "Make the calls of a function run in" in text
        with pytest.raises(TypeError, match=rf"^{made.__name__}\(\) got an unexpected"):
            made(tiemout=3)


def test_help_of_the_maps():
    for made in (thread_map, process_map):
        text = pydoc.plain(pydoc.render_doc(made))
        assert text.splitlines()[0].endswith(
            f"function {made.__name__} in module parallelize.api.maps"
        )
        assert "return_exceptions: " in text
        assert "max_workers" in inspect.signature(made).parameters
        assert pickle.loads(pickle.dumps(made)) is made


def test_doctests_are_found():
    names = {test.name: test for test in doctest.DocTestFinder().find(decorated)}
    assert names["decorated.add"].examples
    assert "decorated.Shop.sell" in names


def test_mocks_know_the_signature():
    double = mock.create_autospec(LIKE)
    double(1, "y", flag=True)
    for wrong in (lambda: double(), lambda: double(b="x")):
        with pytest.raises(TypeError):
            wrong()
    shop = mock.create_autospec(Shop)()
    shop.sell(1, price=2)
    shop.outer_static(1)
    shop.outer_class(1)
    with pytest.raises(TypeError):
        shop.sell()
    assert LIKE.__call__(1).result() == []
    assert Shop(10).sell.__call__(1).result() == 9
    assert Shop.sell.__call__(Shop(10), 1).result() == 9


def test_mocks_know_the_signature_of_what_was_unpickled_here():
    """By its name it is the same object, which an unpickler must not change."""
    for function in (LIKE, Shop.sell):
        pickle.loads(pickle.dumps(function))
    test_mocks_know_the_signature()


METHODS = {
    "method": lambda: Shop(10).sell,
    "static method": lambda: Shop.outer_static,
    "static method of an instance": lambda: Shop(10).outer_static,
    "class method": lambda: Shop.outer_class,
    "class method of an instance": lambda: Shop(10).outer_class,
    "options": lambda: Shop(10).sell.options(retries=1),
    "copy": lambda: copy.deepcopy(Shop(10)).sell,
}


@pytest.mark.parametrize("look_up", METHODS.values(), ids=METHODS)
def test_mocks_know_the_signature_of_a_method(look_up):
    made = mock.create_autospec(look_up())
    made(1)
    for arguments in ((), (1, 2, 3, 4)):
        with pytest.raises(TypeError):
            made(*arguments)


def test_mocks_of_a_class_and_of_an_object_know_their_methods():
    for made in (mock.create_autospec(Shop)(), mock.create_autospec(Shop(10))):
        for method in (made.sell, made.outer_static, made.outer_class):
            method(1)
            for arguments in ((), (1, 2, 3, 4)):
                with pytest.raises(TypeError):
                    method(*arguments)


def test_the_call_of_a_method_calls_it():
    for method in (Shop(10).sell, Shop.outer_static, Shop.outer_class):
        assert method.__call__(1).result() == method(1).result()


def test_inspect_takes_it_for_a_function():
    def fn(a, b: int = 2, *args: str, c, d=4, **kwargs) -> int:
        return a

    made = threaded(fn)
    assert inspect.getfullargspec(made) == inspect.getfullargspec(fn)
    assert inspect.signature(made) == inspect.signature(fn)
    assert inspect.getsource(made) == inspect.getsource(fn)
    for name in ("__code__", "__defaults__", "__kwdefaults__", "__annotations__"):
        assert getattr(made, name) == getattr(fn, name)
    assert inspect.getfullargspec(Shop(10).sell) == inspect.getfullargspec(
        Shop(10).sell.__wrapped__
    )


def test_inspect_takes_a_coroutine_function_for_a_plain_one():
    async def fn(a, b=2):
        return a

    made = threaded(fn)
    assert inspect.getfullargspec(made) == inspect.getfullargspec(fn)
    assert not inspect.iscoroutinefunction(made)
    assert made.__code__.co_firstlineno == fn.__code__.co_firstlineno
    assert made(3).result() == 3
    assert list(thread_map(made, [3])) == [3]


def test_what_is_no_function_has_no_code():
    for made in (threaded(len), threaded(functools.partial(pow, 2))):
        for name in ("__code__", "__defaults__"):
            with pytest.raises(AttributeError, match="'ParallelFunction' object"):
                getattr(made, name)


def test_attributes_of_the_function_show():
    def fn():
        return None

    fn.colour = "red"
    made = threaded(fn)
    assert made.colour == "red"
    fn.colour = "blue"
    assert made.colour == "blue"
    made.size = 3
    assert made.size == 3
    assert not hasattr(made, "nothing")
    assert threaded(decorated.Adder(5)).base == 5
    assert not hasattr(made, "__globals__")


def test_names_of_the_nameless():
    assert threaded(functools.partial(decorated.plain, 1)).__name__ == "plain"
    assert threaded(decorated.Adder(1)).__qualname__ == "Adder"
    assert threaded(decorated.Adder(1)).__module__ == "decorated"
    assert threaded("a".upper).__name__ == "upper"
    assert "plain" in repr(threaded(decorated.plain))


def test_equality():
    assert threaded(decorated.plain) == threaded(decorated.plain)
    assert threaded(decorated.plain) != processed(decorated.plain)
    assert threaded(decorated.plain) != threaded(decorated.plain, timeout=3)
    assert threaded(decorated.plain) != decorated.plain
    shop = Shop()
    assert shop.sell == shop.sell
    assert shop.sell != Shop().sell
    assert len({shop.sell, shop.sell, Shop.sell}) == 2


def test_copies():
    assert copy.copy(decorated.add) is decorated.add
    assert copy.deepcopy(decorated.add) is decorated.add
    assert copy.deepcopy({"f": decorated.double})["f"] is decorated.double
    shop = Shop(3)
    copied = copy.deepcopy(shop.sell)
    shop.stock = 5
    assert copied(1).result() == 2
    assert list(copied.map([1])) == [2]
    adder = copy.deepcopy(decorated.add_ten)
    assert adder.__wrapped__ is not decorated.add_ten.__wrapped__
    assert adder(1).result() == 11


def test_the_class_can_be_subscripted():
    assert typing.get_args(ParallelFunction[[int], str])[1] is str
    assert ParallelFunction[[int], str, str]


# --------------------------------------------------------------------------- pickles

BY_NAME = {
    "function": (decorated.add, (1,)),
    "method": (Shop.sell, (Shop(10), 1)),
    "inner static": (Shop.inner_static, (1,)),
    "outer static": (Shop.outer_static, (1,)),
    "outer class": (Shop.outer_class, (1,)),
    "static of an object": (Shop().outer_static, (1,)),
    "bound": (Shop(10).sell, (1,)),
    "bound coroutine": (Shop(10).deliver, (1,)),
    "hidden": (Shop(10).hidden(), (1,)),
    "heir": (CornerShop(10).sell, (1,)),
    "options": (decorated.variant, (1,)),
    "options of a method": (Shop(10).sell.options(timeout=20), (1,)),
    "options of bound": (Shop.outer_class.options(retries=2), (1,)),
    "under another name": (decorated.other_name, (1,)),
    "C function": (threaded(len), ([1],)),
    "C method": (threaded("a".upper), ()),
    "object": (decorated.add_ten, (1,)),
}


@pytest.mark.parametrize("package", [pickle, cloudpickle])
@pytest.mark.parametrize(("fn", "args"), BY_NAME.values(), ids=BY_NAME)
def test_pickles(fn, args, package):
    again = package.loads(package.dumps(fn))
    assert type(again) is ParallelFunction
    assert again.__name__ == fn.__name__
    assert again._options == fn._options
    assert again._where == fn._where
    assert again(*args).result() == fn(*args).result()


def test_functions_are_pickled_by_their_names():
    assert pickle.loads(pickle.dumps(decorated.add)) is decorated.add
    assert pickle.loads(pickle.dumps(Shop.sell)) is Shop.sell
    assert len(pickle.dumps(decorated.add)) < 160


def test_a_method_below_the_heirs_is_not_mistaken():
    below = CornerShop(10).sell_below()
    assert cloudpickle.loads(cloudpickle.dumps(below))(1).result() == 9


LOCALS = {
    "lambda": lambda: processed(lambda x: x + 1),
    "closure": lambda: processed(functools.partial(lambda a, x: a + x, 1)),
    "options": lambda: processed(
        lambda x: x + 1, timeout=20, limit=3, retries=1, max_workers=1
    ),
}


@pytest.mark.parametrize("make", LOCALS.values(), ids=LOCALS)
def test_local_functions_travel_by_value(make):
    fn = make()
    again = cloudpickle.loads(cloudpickle.dumps(fn))
    assert again(1).result() == 2
    assert again._options.timeout == fn._options.timeout
    assert (again._options.limit is None) == (fn._options.limit is None)
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        pickle.dumps(fn)


def test_an_executor_stays_behind():
    with ThreadPoolExecutor(1) as executor:
        fn = parallelized(executor)(lambda x: x + 1)
        again = cloudpickle.loads(cloudpickle.dumps(fn))
        assert again._where.executor == "threads"
        assert again(1).result() == 2


def test_decorated_functions_travel_as_arguments():
    @processed
    def call(fn, x):
        return fn(x).result()

    assert call(decorated.double, 4).result() == 8
    assert call(Shop(10).sell, 1).result() == 9
    assert call(processed(lambda x: x - 1), 1).result() == 0


def test_functions_of_main(tmp_path):
    script = tmp_path / "program.py"
    script.write_text(program("decorators/functions_of_main"))
    assert run_script(script, folders=[TESTS]).stdout.splitlines() == [
        "21 [5, 8]",
        "6 [6, 7]",
        "9 [9, 10] ('C', 1) [('C', 1)]",
        "13 9",
        "True",
    ]


@threaded
def annotated_items(n: int) -> typing.Iterator[int]:
    yield n


@threaded
def plain_items(n):
    yield n


def test_a_generator_function_shows_its_own_annotations():
    """Not those of the class, which no name finds here."""
    hints = {"n": int, "return": typing.Iterator[int]}
    assert typing.get_type_hints(annotated_items) == hints
    assert inspect.get_annotations(annotated_items) == hints
    assert typing.get_type_hints(plain_items) == {}
