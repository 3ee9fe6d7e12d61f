"""An error of pickling names the way to the culprit, and says what to do."""

import functools
import sqlite3
import threading
import time

import pytest

import tasks
from parallelize import (
    ProcessPoolExecutor,
    SerializationError,
    ThreadPoolExecutor,
    processed,
)
from parallelize.serialize import diagnose

LOCK = threading.Lock()


class Config:
    """Holds a value, somewhere."""

    def __init__(self, **values):
        self.__dict__.update(values)


class Slotted:
    __slots__ = ("lock",)

    def __init__(self):
        self.lock = threading.Lock()


class Job:
    def __init__(self):
        self.lock = threading.Lock()

    def run(self, number):
        return number


class Heavy(Exception):
    """An error with an attribute that cannot travel."""

    def __init__(self, text):
        super().__init__(text)
        self.lock = threading.Lock()


class Picky(Exception):
    """An error that cannot be built from its arguments."""

    def __init__(self, one, two):
        super().__init__(one)


def fail_with(kind, *args):
    raise kind(*args)


def configured(*_):
    return Config(inner={"lock": [threading.Lock()]})


def use(x, cfg=None, *more, **options):
    return x


def closing_over():
    lock = threading.Lock()
    return lambda x: lock


def having_default():
    return lambda x, lock=threading.Lock(): lock


def having_global():
    return lambda x: LOCK


def having_attribute():
    fn = lambda x: x  # noqa: E731
    fn.lock = threading.Lock()
    return fn


@pytest.fixture
def pool():
    with ProcessPoolExecutor(1) as pool:
        yield pool


def text_of(future):
    error = future.exception(30)
    assert isinstance(error, SerializationError)
    return str(error)


@pytest.mark.parametrize(
    ("args", "kwargs", "way"),
    [
        (
            (1, Config(lock=LOCK)),
            {},
            "argument 'cfg' → attribute 'lock' → _thread.lock",
        ),
        ((1,), {"cfg": LOCK}, "argument 'cfg' → _thread.lock"),
        ((LOCK,), {}, "argument 'x' → _thread.lock"),
        (
            ([1, (2, {"a": LOCK})],),
            {},
            "argument 'x' → item 1 → item 1 → key 'a' → _thread.lock",
        ),
        ((1, 2, 3, LOCK), {}, "argument 'more' → item 1 → _thread.lock"),
        ((1,), {"other": LOCK}, "argument 'options' → key 'other' → _thread.lock"),
        ((Slotted(),), {}, "argument 'x' → attribute 'lock' → _thread.lock"),
        (
            (functools.partial(use, LOCK),),
            {},
            "argument 'x' → argument 1 → _thread.lock",
        ),
        ((Job().run,), {}, "→ attribute 'lock' → _thread.lock"),
    ],
)
def test_the_way_to_an_argument_that_cannot_be_pickled(pool, args, kwargs, way):
    text = text_of(pool.submit(use, *args, **kwargs))
    assert text.startswith("the arguments of test_culprit.use cannot be pickled")
    assert way in text
    assert "make it where it is used" in text


def test_the_instance_of_a_method(pool):
    text = text_of(pool.submit(Job().run, 1))
    assert "argument 'self' → attribute 'lock' → _thread.lock" in text


@pytest.mark.parametrize(
    ("make", "way"),
    [
        (closing_over, "closure variable 'lock' → _thread.lock"),
        (having_default, "default of 'lock' → _thread.lock"),
        (having_global, "global 'LOCK' → _thread.lock"),
        (having_attribute, "attribute 'lock' → _thread.lock"),
    ],
)
def test_a_function_that_cannot_be_pickled_is_named_itself(pool, make, way):
    text = text_of(pool.submit(make(), 1))
    assert text.startswith(
        f"the function test_culprit.{make.__name__}.<locals>.<lambda>"
    )
    assert way in text
    with pytest.raises(
        SerializationError, match="^the function .* cannot be pickled"
    ) as caught:
        list(pool.map(make(), range(3)))
    assert way in str(caught.value)


def test_what_a_builtin_function_is_given(pool):
    assert "argument 'obj' → _thread.lock" in text_of(pool.submit(len, LOCK))


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (lambda: (n for n in ()), "pass a list"),
        (lambda: sqlite3.connect(":memory:"), "connect in the worker"),
        (threading.local, "make it in the worker"),
        (threading.Condition, "make it where it is used"),
    ],
)
def test_it_says_what_to_do(pool, make, advice):
    value = make()
    text = text_of(pool.submit(use, value))
    if hasattr(value, "close"):
        value.close()
    assert advice in text


def test_the_value_of_a_future_among_the_arguments(pool):
    with ThreadPoolExecutor(1) as threads:
        text = text_of(pool.submit(use, threads.submit(configured)))
    assert "the value of a future → attribute 'inner' → key 'lock' → item 0" in text


def test_a_future_is_no_culprit(pool):
    with ThreadPoolExecutor(1) as threads:
        text = text_of(pool.submit(use, threads.submit(tasks.double, 1), LOCK))
    assert "argument 'cfg' → _thread.lock" in text


def test_a_result(pool):
    way = "attribute 'inner' → key 'lock' → item 0 → _thread.lock; a lock holds"
    text = text_of(pool.submit(configured))
    assert text.startswith("the result, a Config, cannot be pickled")
    assert way in text
    with pytest.raises(SerializationError) as caught:
        list(pool.map(configured, range(3)))
    assert way in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "args", "note"),
    [
        (Heavy, ("x",), "attribute 'lock' → _thread.lock"),
        (Picky, (1, 2), "built again from its pickle: TypeError; its class may need"),
    ],
)
def test_an_error(pool, kind, args, note):
    error = pool.submit(fail_with, kind, *args).exception(30)
    assert type(error).__name__ == "RemoteError"
    assert note in error.__notes__[0]


def test_an_error_that_travels_has_no_note(pool):
    assert not hasattr(pool.submit(tasks.refuse, 1).exception(30), "__notes__")


def test_an_initializer():
    with ProcessPoolExecutor(1, initializer=use, initargs=(LOCK,)) as pool:
        assert "argument 'x' → _thread.lock" in text_of(pool.submit(use, 1))


def test_decorated_functions_say_so_too():
    text = text_of(processed(use, max_workers=1)(1, cfg=LOCK))
    assert "argument 'cfg' → _thread.lock" in text


# What the search may not do.


class Ring:
    """Refers to itself, and cannot be pickled."""

    def __init__(self):
        self.me = [self]
        self.lock = LOCK


def test_a_ring_is_walked_once():
    assert diagnose.in_call(use, (Ring(),), {})[1].leaf == "_thread.lock"


def test_the_search_is_bounded_in_time(monkeypatch):
    monkeypatch.setattr(diagnose, "LONGEST", 0.0)
    assert diagnose.in_call(use, ([LOCK],), {})[1].steps == []


def test_the_search_is_bounded_in_depth():
    value = LOCK
    for _ in range(100):
        value = [value]
    begun = time.monotonic()
    found = diagnose.in_call(use, (value,), {})[1]
    assert len(found.steps) == diagnose.DEEPEST
    assert time.monotonic() - begun < 5


class Hostile:
    def __reduce__(self):
        raise SystemExit("no")

    def __repr__(self):
        raise RuntimeError("no")


def test_code_of_the_user_that_raises_anything():
    found = diagnose.in_call(use, ({Hostile: {1: Hostile()}},), {})[1]
    assert found.leaf == "test_culprit.Hostile"


def test_a_real_interrupt_goes_through():
    class Interrupted:
        def __reduce__(self):
            import signal

            signal.raise_signal(signal.SIGINT)
            return object, ()

    with pytest.raises(KeyboardInterrupt):
        diagnose.in_call(use, (Interrupted(),), {})
