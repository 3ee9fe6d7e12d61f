"""Decorated functions of a script, pickled in every way that a program may take."""

import copy
import functools
import multiprocessing
import pickle
import sys

import cloudpickle

from parallelize import processed, threaded


def noted(fn):
    @functools.wraps(fn)
    def inner(*args, **kwargs):
        return fn(*args, **kwargs)

    return inner


@threaded
def single(x):
    return x + 1


@processed
@noted
def outer(x):
    return x + 2


@threaded
@noted
@noted
def outermost(x):
    return x + 3


@noted
@threaded
def inner(x):
    return x + 4


@noted
@threaded
@noted
def between(x):
    return x + 5


def plain(x):
    return x + 6


renamed = threaded(plain)
nameless = threaded(lambda x: x + 7)
patient = outermost.options(retries=2)


@threaded
async def later(x):
    return x + 8


@threaded
def counted(x):
    yield x


class Shop:
    def __init__(self, stock=10):
        self.stock = stock

    @threaded
    @noted
    def sell(self, x):
        return self.stock - x

    @classmethod
    @threaded
    @noted
    def outer_class(cls, x):
        return cls.__name__, x

    @threaded
    @classmethod
    def inner_class(cls, x):
        return cls.__name__, x

    @staticmethod
    @threaded
    @noted
    def outer_static(x):
        return x

    @threaded
    @staticmethod
    def inner_static(x):
        return x


@threaded
@noted
def recursive(n):
    return n if n < 2 else recursive(n - 1).result() + recursive(n - 2).result()


def functions():
    shop = Shop()
    return {
        "single": single,
        "outer": outer,
        "outermost": outermost,
        "inner": inner.__wrapped__,
        "between": between.__wrapped__,
        "renamed": renamed,
        "nameless": nameless,
        "patient": patient,
        "recursive": recursive,
        "unbound": Shop.sell,
        "bound": shop.sell,
        "outer class": Shop.outer_class,
        "inner class": Shop.inner_class,
        "outer static": Shop.outer_static,
        "inner static": Shop.inner_static,
        "partial": functools.partial(outermost, 3),
        "partial of a method": functools.partial(shop.sell, 3),
    }


NAMED = ("single", "outer", "outermost", "inner", "between", "renamed", "nameless")


def pickled():
    for name, fn in functions().items():
        again = pickle.loads(pickle.dumps(fn))
        assert type(again) is type(fn), name
        if name in NAMED:
            assert again is fn, name
        assert pickle.loads(pickle._dumps(fn)) is not None  # the one in Python, too
        assert copy.copy(fn) is not None
    assert pickle.loads(pickle.dumps(patient))._options.retries == 2
    assert pickle.loads(pickle.dumps([Shop(7).sell, Shop(7)]))[0](1).result() == 6
    assert pickle.loads(pickle.dumps(later))(1).result() == 9
    assert list(pickle.loads(pickle.dumps(counted))(1)) == [1]
    assert copy.deepcopy(outer) is outer
    assert functools.partial(outer, 1).func is outer


def valued():
    for name in ("single", "outermost", "nameless", "patient", "recursive"):
        fn = globals()[name]
        again = cloudpickle.loads(cloudpickle.dumps(fn))
        assert again is not fn
        assert again.__name__ == fn.__name__
        assert again(7).result() == fn(7).result()
        assert again._options == fn._options
    data = cloudpickle.dumps([recursive, outermost, Shop(3).sell])
    code = (
        "import pickle; fns = pickle.loads(bytes.fromhex(input()));"
        "print(*[f(3).result() for f in fns])"
    )
    import subprocess

    done = subprocess.run(
        [sys.executable, "-c", code], input=data.hex(), capture_output=True, text=True
    )
    assert done.stdout.split() == ["2", "6", "0"], done.stderr


def report(queue, name, fn, x):
    queue.put((name, fn(x).result()))


def wanted():
    return {
        "single": 8,
        "outermost": 10,
        "inner": 11,
        "between": 12,
        "renamed": 13,
        "nameless": 14,
        "patient": 10,
        "recursive": 13,
        "bound": 3,
        "outer class": ("Shop", 7),
        "inner class": ("Shop", 7),
        "outer static": 7,
        "inner static": 7,
    }


def targets(method):
    context = multiprocessing.get_context(method)
    queue = context.Queue()
    fns = functions()
    children = [
        context.Process(target=report, args=(queue, name, fns[name], 7))
        for name in wanted()
    ]
    children += [
        context.Process(target=fns["partial"]),
        context.Process(target=outermost, args=(1,)),
    ]
    for batch in (children[:5], children[5:10], children[10:]):
        for child in batch:
            child.start()
        for child in batch:
            child.join(30)
            assert child.exitcode == 0
    assert dict(queue.get(timeout=5) for _ in wanted()) == wanted()


if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    globals()[what](*rest)
    print("done")
