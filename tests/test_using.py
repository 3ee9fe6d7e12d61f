"""`using` chooses the executor of a block, `use` that of the program."""

import asyncio
import contextlib
import functools
import sys
import threading
from concurrent.futures import ThreadPoolExecutor as StandardPool

import pytest

import parallelize
import tasks
from parallelize import (
    SerialExecutor,
    ThreadPoolExecutor,
    parallelized,
    process_map,
    processed,
    thread_map,
    threaded,
    use,
    using,
)
from parallelize.api import use as choice

INHERITS = getattr(sys.flags, "thread_inherit_context", 0)


@pytest.fixture(autouse=True)
def nothing_is_chosen():
    yield
    assert not choice._blocks.get()
    use()
    parallelize.shutdown()


@threaded
def thread():
    return threading.current_thread()


@threaded
def nested():
    """Return the thread of the call, and the threads of the calls that it makes."""
    own = threading.current_thread()
    return own, [thread().result(), *thread_map(thread_of, [1]), thread().result()]


def thread_of(_):
    return threading.current_thread()


def here():
    """Whether a call of a decorated function runs in this thread."""
    return thread().result() is threading.current_thread()


def elsewhere(function):
    """Return what a function returns in a new thread."""
    with StandardPool(1) as pool:
        return pool.submit(function).result()


def test_a_block_redirects_what_is_called_in_it():
    with using("serial") as nothing:
        assert nothing is None
        assert here()
        assert list(thread_map(thread_of, [1])) == [threading.current_thread()]
        with using("threads"):
            assert not here()
        assert here()
        with using(None):
            assert not here()
    assert not here()


def test_a_block_takes_every_executor_that_use_takes():
    for pool in (ThreadPoolExecutor(1, "mine"), StandardPool(1, "mine")):
        with pool, using(pool):
            assert thread().result().name.startswith("mine")
    with using(SerialExecutor()):
        assert here()


@pytest.mark.parametrize("wrong", ["seriell", 3, ThreadPoolExecutor, object()])
def test_something_wrong_is_refused_at_once(wrong):
    with pytest.raises((TypeError, ValueError), match="executor must be an executor"):
        using(wrong)


def test_a_program_with_a_choice_is_asked_after_the_blocks():
    use("serial")
    with using("threads"):
        assert not here()
        assert elsewhere(here)
    assert here()
    use()
    assert not here()


def test_blocks_may_end_in_any_order():
    first, second, third = using("serial"), using("threads"), using("serial")
    first.__enter__()
    second.__enter__()
    third.__enter__()
    second.__exit__(None, None, None)
    assert here()
    first.__exit__(None, None, None)
    assert here()
    third.__exit__(None, None, None)
    assert not here()


@pytest.mark.parametrize("choose", [use, using])
def test_blocks_that_end_in_the_wrong_order_leave_nothing(choose):
    one, other = contextlib.ExitStack(), contextlib.ExitStack()
    one.enter_context(choose("serial"))
    other.enter_context(choose("serial"))
    one.close()
    assert here()
    other.close()
    assert not here()
    assert not elsewhere(here)


def test_generators_may_hold_blocks_side_by_side():
    def holding(kind):
        with using(kind):
            yield here()

    one, other = holding("serial"), holding("threads")
    assert [next(one), next(other)] == [True, False]
    one.close()
    other.close()
    assert not here()


def test_a_block_may_be_entered_again_and_within_itself():
    block = using("serial")
    for _ in range(2):
        with block, block:
            assert here()
        assert not here()


def test_a_block_of_using_that_fails_is_left():
    with pytest.raises(KeyError), using("serial"):
        raise KeyError
    assert not here()


def test_a_block_ended_in_another_context_raises_nothing():
    block = using("serial")
    elsewhere(block.__enter__)
    block.__exit__(None, None, None)
    assert not here()


# ------------------------------------------------------------- of others, nothing


def redirected_calls(kinds_of_block, blocks=300):
    """How many calls another thread had redirected while this one entered blocks."""
    stop, seen, begun = threading.Event(), [], threading.Event()

    def call():
        while not stop.is_set():
            seen.append(choice.executor_for("threads").kind)
            begun.set()

    caller = threading.Thread(target=call)
    caller.start()
    begun.wait(30)
    try:
        for _ in range(blocks):
            kinds_of_block()
    finally:
        stop.set()
        caller.join()
    return sum(kind != "threads" for kind in seen)


def enter_using():
    with using("serial"):
        assert here()


def enter_use():
    with use("serial"):
        assert here()


def enter_use_in_a_qualified_statement():
    with (
        contextlib.nullcontext(),
        parallelize.use("serial") as _,
        use(executor="threads"),
    ):
        assert not here()


def enter_use_with_an_argument_of_many_names():
    with use(*["serial"]):
        assert here()


@pytest.mark.skipif(INHERITS, reason="threads have the context of their starter")
@pytest.mark.parametrize(
    "enter",
    [
        enter_using,
        enter_use,
        enter_use_in_a_qualified_statement,
        enter_use_with_an_argument_of_many_names,
    ],
)
def test_no_call_of_another_thread_is_redirected(enter):
    enter()
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        assert redirected_calls(enter) == 0
    finally:
        sys.setswitchinterval(interval)


def test_what_stands_in_a_with_statement_is_never_the_programs_choice():
    kinds = []

    class Look:
        def __enter__(self):
            kinds.append(choice._programs_choice)

        def __exit__(self, *_):
            return None

    with Look(), use("serial"), Look(), parallelize.use("serial"), Look():
        pass
    assert kinds == [None] * 3


def test_what_is_entered_later_no_longer_holds_for_the_program():
    block = use("serial")
    assert elsewhere(here)
    with block:
        assert here()
        if not INHERITS:
            assert not elsewhere(here)
    assert not here()


# -------------------------------------------------------------- what inherits it


def test_calls_made_by_redirected_calls_are_redirected():
    main = threading.current_thread()
    with using("serial"):
        assert nested().result() == (main, [main] * 3)
    with ThreadPoolExecutor(2, "mine") as mine, using(mine):
        own, inner = nested().result()
        assert {each.name[:4] for each in (own, *inner)} == {"mine"}


def test_calls_made_in_threads_know_the_block_of_their_caller():
    fixed = parallelized("threads")(nested.__wrapped__)
    with using("serial"):
        own, inner = fixed().result()
        mapped = list(fixed.starmap([()] * 3))
    for worker, threads in [(own, inner), *mapped]:
        assert worker is not threading.current_thread()
        assert set(threads) == {worker}


def test_calls_in_processes_run_in_place():
    with using("processes"):
        worker, inner = pids().result()
    assert worker not in (None, tasks.pid_of(0))
    assert set(inner) == {worker}


@threaded
def pids():
    return tasks.pid_of(0), [*process_map(tasks.pid_of, [1]), pid().result()]


@processed
def pid():
    return tasks.pid_of(0)


def test_tasks_of_asyncio_have_the_block_they_were_started_in():
    async def call():
        await asyncio.sleep(0)
        return here()

    async def inside():
        with using("serial"):
            started = asyncio.create_task(call())
            also = await asyncio.to_thread(here)
        return [await started, also, await call()]

    async def main():
        return await asyncio.gather(inside(), call())

    assert asyncio.run(main()) == [[True, True, False], False]


# ----------------------------------------------------------------- as a decorator


def test_a_function_may_be_such_a_block():
    @using("serial")
    def report(a, *, b):
        """Report."""
        return a, b, here()

    assert report(1, b=2) == (1, 2, True)
    assert (report.__name__, report.__doc__) == ("report", "Report.")
    assert not here()


def test_a_coroutine_function_may_be_such_a_block():
    @using("serial")
    async def report():
        await asyncio.sleep(0)
        return here()

    async def main():
        return await asyncio.gather(report(), asyncio.sleep(0, here()))

    assert asyncio.run(main()) == [True, False]


def test_a_generator_function_may_not():
    def numbers():
        yield 1

    async def more_numbers():
        yield 1

    for wrong in (numbers, more_numbers, functools.partial(numbers)):
        with pytest.raises(TypeError, match="generator function"):
            using("serial")(wrong)
