"""Done-callbacks may wait, also for what the thread that calls them would bring."""

import asyncio
import concurrent.futures
import logging
import threading
import warnings

import pytest

from generators import numbers
from parallelize import (
    Future,
    ProcessPoolExecutor,
    TaskTimeout,
    ThreadPoolExecutor,
    as_completed,
    gather,
    processed,
    threaded,
    wait,
)
from parallelize.runtime.services import MOST_WAITING
from tasks import double, identity


@pytest.fixture
def pool():
    with ProcessPoolExecutor(1) as executor:
        yield executor


def in_callback(future, action):
    """What an action gives that a callback of the future does."""
    given = Future()

    def callback(_):
        try:
            given.set_result(action())
        except BaseException as error:  # noqa: BLE001 - the test's
            given.set_exception(error)

    future.add_done_callback(callback)
    return given.result(20)


async def awaited(future):
    return await future


def in_a_thread(pool):
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(lambda: pool.submit(double, 2).result()).result()


def in_order(pool):
    first = pool.submit(double, 1)
    return pool.submit(identity, pool.submit(identity, first)).result() + 2


WAITS = {
    "result": lambda pool: pool.submit(double, 2).result(),
    "with a timeout": lambda pool: pool.submit(double, 2).result(20),
    "exception": lambda pool: pool.submit(double, 2).exception() or 4,
    "wait": lambda pool: wait([pool.submit(double, 2)]).done.pop().result(),
    "the standard wait": lambda pool: (
        concurrent.futures.wait([pool.submit(double, 2)]).done.pop().result()
    ),
    "as_completed": lambda pool: sum(
        f.result() for f in as_completed([pool.submit(double, n) for n in (0, 2)])
    ),
    "gather": lambda pool: sum(
        gather(pool.submit(double, 0), pool.submit(double, 2)).result()
    ),
    "map": lambda pool: sum(pool.map(double, [0, 1, 1])),
    "a chain": in_order,
    "a proxy": lambda pool: pool.submit(double, 2).proxy() + 0,
    "a stream": lambda pool: len(list(streamed(pool)(4))),
    "await": lambda pool: asyncio.run(awaited(pool.submit(double, 2))),
    "a thread": in_a_thread,
}


def streamed(pool):
    return processed(executor=pool)(numbers)


@pytest.mark.parametrize("how", WAITS)
def test_it_waits_for_a_call_of_its_own_pool(pool, how):
    first = pool.submit(identity, 1)
    assert in_callback(first, lambda: WAITS[how](pool)) == 4
    assert pool.submit(double, 3).result(20) == 6


def test_others_are_served_meanwhile(pool):
    go, first = Future(), pool.submit(identity, 1)
    given = Future()
    first.add_done_callback(lambda _: given.set_result(go.result(20)))
    assert first.result(20) == 1
    assert pool.submit(double, 3).result(20) == 6
    go.set_result("gone on")
    assert given.result(20) == "gone on"


def test_one_callback_waits_for_what_one_behind_it_does(pool):
    made, first = Future(), pool.submit(identity, 1)
    given = Future()

    def waits(_):
        given.set_result(made.result(20))

    first.add_done_callback(waits)
    first.add_done_callback(lambda _: made.set_result("by the second"))
    assert given.result(20) == "by the second"


def test_callbacks_that_wait_in_callbacks_that_wait(pool):
    def down(n):
        future = pool.submit(identity, n)
        return n if not n else 1 + in_callback(future, lambda: down(n - 1))

    assert down(8) == 8


def test_many_wait_at_once(pool):
    number = 4 * MOST_WAITING
    given = [Future() for _ in range(number)]
    go = Future()
    for each in given:
        pool.submit(identity, 1).add_done_callback(
            lambda _, each=each: each.set_result((go.result(), 1)[1])
        )
    ended = pool.submit(double, 3)
    assert ended.result(20) == 6
    names = [thread.name for thread in threading.enumerate()]
    assert names.count("parallelize-dispatcher") <= MOST_WAITING + 1
    go.set_result(1)
    assert sum(gather(*given).result(20)) == number


def test_limits_and_arguments_go_on_behind_many_that_wait(pool):
    go, start = Future(), Future()
    limited = processed(executor=pool, limit=1)(identity)
    made = [limited(start) for _ in range(2 * MOST_WAITING)]
    for each in made:
        each.add_done_callback(lambda _: go.result())
    last = pool.submit(identity, gather(*made))
    start.set_result(3)
    try:
        assert last.result(20) == [3] * 2 * MOST_WAITING
    finally:
        go.set_result(1)


def test_shutdown_in_a_callback_waits():
    pool = ProcessPoolExecutor(1)
    first = pool.submit(identity, 1)
    behind = [pool.submit(double, n) for n in range(5)]

    def end():
        pool.shutdown(wait=True)
        return all(each.done() for each in behind)

    assert in_callback(first, end)
    pool.shutdown()
    with pytest.raises(RuntimeError, match="after shutdown"):
        pool.submit(double, 1)


def test_shutdown_elsewhere_waits_for_callbacks_that_wait():
    pool, go, seen = ProcessPoolExecutor(1), Future(), []
    first = pool.submit(identity, 1)

    def callback(_):
        go.result(20)
        seen.append("called")

    first.add_done_callback(callback)
    first.result(20)
    threading.Timer(0.05, go.set_result, [1]).start()
    pool.shutdown(wait=True)
    assert seen == ["called"]


def test_a_callback_at_a_deadline_waits_for_another_deadline(pool):
    def forever():
        go.wait(20)

    go = threading.Event()
    with ThreadPoolExecutor(2) as threads:
        late = threaded(timeout=0.05, executor=threads)(forever)
        error = in_callback(late(), lambda: late().exception(10))
        assert isinstance(error, TaskTimeout)
        go.set()


def test_the_end_of_a_worker_calls_callbacks_that_wait(pool):
    import os

    died = pool.submit(os._exit, 3)
    assert in_callback(died, lambda: pool.submit(double, 2).result()) == 4


def test_without_another_thread_it_says_so(pool, monkeypatch):
    first, go = Future(), Future()
    held = pool.submit(identity, first)
    start = threading.Thread.start

    def refuse(thread):
        if thread.name == "parallelize-dispatcher":
            raise RuntimeError("can't start new thread")
        start(thread)

    def waits():
        monkeypatch.setattr(threading.Thread, "start", refuse)
        try:
            go.result()
        finally:
            monkeypatch.undo()

    first.set_result(1)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        in_callback(held, waits)
    assert pool.submit(double, 2).result(20) == 4


# ----------------------------------------------------- within a turn it cannot wait


def warn_and_log():
    warnings.warn("warned", stacklevel=1)
    logging.getLogger("of the worker").warning("logged")
    return "worked"


@pytest.mark.parametrize("how", ["log", "warning"])
def test_a_handler_that_waits_is_told_why_not(pool, monkeypatch, how):
    seen = []

    def waits(*_args, **_options):
        try:
            seen.append(pool.submit(double, 2).result(20))
        except RuntimeError as error:
            seen.append(str(error))

    handler = logging.Handler()
    handler.emit = waits
    logger = logging.getLogger("of the worker")
    if how == "log":
        monkeypatch.setattr(logger, "handlers", [handler])
        monkeypatch.setattr(logger, "propagate", False)
    else:
        monkeypatch.setattr(warnings, "showwarning", waits)
    with warnings.catch_warnings():
        if how == "log":
            warnings.simplefilter("ignore")
        else:
            warnings.simplefilter("always")
            monkeypatch.setattr(logger, "disabled", True)
        assert pool.submit(warn_and_log).result(20) == "worked"
    assert len(seen) == 1
    assert "cannot wait for a call of that pool" in seen[0]
    assert pool.submit(double, 3).result(20) == 6


class WaitsAtUnpickling(Exception):
    """An error whose unpickling waits for a call of the pool, in the program."""

    pool = None

    def __setstate__(self, state):
        if self.pool is not None:
            self.pool.submit(double, 2).result(20)
        self.__dict__.update(state)


def refuse():
    error = WaitsAtUnpickling()
    error.note = 1
    raise error


def test_so_is_what_is_unpickled_for_a_retry(pool, monkeypatch):
    monkeypatch.setattr(WaitsAtUnpickling, "pool", pool)
    failed = processed(executor=pool, retries=1, retry_on=KeyError)(refuse)()
    assert failed.exception(20) is not None
    assert pool.submit(double, 3).result(20) == 6


def test_a_handler_may_wait_for_another_pool(pool, monkeypatch):
    seen = []
    with ThreadPoolExecutor(1) as threads:
        handler = logging.Handler()
        handler.emit = lambda _: seen.append(threads.submit(double, 2).result(20))
        monkeypatch.setattr(logging.getLogger("of the worker"), "handlers", [handler])
        monkeypatch.setattr(logging.getLogger("of the worker"), "propagate", False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert pool.submit(warn_and_log).result(20) == "worked"
    assert seen == [4]
