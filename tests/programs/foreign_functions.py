"""Decorated functions of a script on executors that pickle as they like."""

import concurrent.futures
import functools
import multiprocessing
import os
import sys

import decorated_for_others as module
from parallelize import parallelized, process_map, processed, using


def noted(fn):
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args)

    return inner


@processed
def square(x):
    return x * x


@processed
@noted
def below(x):
    return x + 1


@noted
@processed
def above(x):
    return x + 2


@processed(retries=2)
def fails_once(x):
    return x + 3


@processed
async def later(x):
    return x + 4


class Shop:
    def __init__(self, stock):
        self.stock = stock

    @processed
    def sell(self, x):
        return self.stock - x

    @processed
    @classmethod
    def inner_class(cls, x):
        return cls.__name__, x

    @classmethod
    @processed
    def outer_class(cls, x):
        return cls.__name__, x

    @processed
    @staticmethod
    def static(x):
        return x


def executors(method):
    if method == "loky":
        import loky

        return loky.ProcessPoolExecutor(2)
    if method == "executorlib":
        import executorlib

        return executorlib.SingleNodeExecutor(max_workers=2, block_allocation=True)
    if method == "mpi4py":
        from mpi4py.futures import MPIPoolExecutor

        return MPIPoolExecutor()
    context = multiprocessing.get_context(method)
    return concurrent.futures.ProcessPoolExecutor(2, mp_context=context)


def checked(place, executor):
    shop = place.Shop(10)
    for fn, wanted in (
        (place.square, 9),
        (place.below, 4),
        (place.above.__wrapped__, 5),
        (place.fails_once, 6),
        (place.later, 7),
        (shop.sell, 7),
        (place.Shop.inner_class, ("Shop", 3)),
        (place.Shop.outer_class, ("Shop", 3)),
        (place.Shop.static, 3),
        (place.square.options(timeout=30), 9),
    ):
        assert fn(3).result(30) == wanted, fn
        if type(fn).__name__ == "method":
            continue  # a bound method of the decorated function, from Python 3.13 on
        assert executor.submit(fn, 3).result(30) == wanted, fn
        assert list(executor.map(fn, [3, 3])) == [wanted, wanted], fn
        assert list(fn.map([3, 3])) == [wanted, wanted], fn
        assert list(fn.starmap([(3,)])) == [wanted], fn
        assert list(process_map(fn, [3])) == [wanted], fn


def checked_in_place(executor):
    """What is submitted runs in a worker of that pool; its arguments are as ever."""
    pid = executor.submit(module.process_of, 0).result(30)
    assert pid in set(getattr(executor, "_processes", [pid])) - {os.getpid()}
    assert executor.submit(module.result_of, module.square, 3).result(30) == 9
    assert repr(executor.submit(module.fails, 3).exception(30)) == "RuntimeError(3)"


def checked_without_a_name(executor, by_value):
    """A function that no name finds is sent by value, or refused with what to do."""
    future = parallelized(executor)(lambda x: x + 1)(3)
    if by_value:
        assert future.result(30) == 4
        return
    notes = future.exception(30).__notes__  # pickle has some of its own
    assert "define them at the top level of a module" in " ".join(notes)


def checked_in_pool(method):
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(module.square, [2, 3]) == [4, 9]
        assert pool.apply(module.later, (3,)) == 7


if __name__ == "__main__":
    with executors(sys.argv[1]) as executor, using(executor):
        checked(module, executor)
        checked(sys.modules["__main__"], executor)
        if sys.argv[1] == "fork":  # its workers have a copy of the choice
            nested = executor.submit(module.result_of, module.square, 3)
            assert "does not outlive os.fork()" in str(nested.exception(30))
    with executors(sys.argv[1]) as executor:
        checked_in_place(executor)
        by_value = sys.argv[1] in ("loky", "executorlib")
        checked_without_a_name(executor, by_value)
    if sys.argv[1] in multiprocessing.get_all_start_methods():
        checked_in_pool(sys.argv[1])
    print("done")
