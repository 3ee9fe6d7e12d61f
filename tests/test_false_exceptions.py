"""Exceptions that are false, as those with a length of 0, are exceptions all the same."""

import asyncio
import logging

import pytest

import parallelize
from factories import collect, emptied
from parallelize import Future, as_completed, gather, parallelized, wait


class FalseError(Exception):
    """As one that collects what went wrong, and has collected nothing."""

    def __bool__(self):
        return False


class EmptyError(Exception):
    """The same, by a length."""

    def __len__(self):
        return 0


ERRORS = [FalseError, EmptyError]


def fail(error, text="because"):
    raise error(text)


def fail_at(number, error):
    if number == 3:
        raise error("at three")
    return number


async def fail_in_a_loop(error):
    raise error("in a loop")


def give_then_fail(error):
    yield 1
    raise error("after one")


@pytest.fixture(params=ERRORS)
def error(request):
    return request.param


def test_of_a_call(executor, error):
    future = executor.submit(fail, error)
    with pytest.raises(error, match="because") as caught:
        future.result(timeout=30)
    assert type(caught.value) is error
    assert future.exception() is caught.value
    assert repr(future).endswith(f"raised {error.__name__}>")


def test_of_a_row(executor, error):
    results = executor.map(fail_at, range(6), [error] * 6)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(error, match="at three"):
        next(results)


def test_of_a_row_that_is_given(executor, error):
    results = executor.map(fail_at, range(6), [error] * 6, return_exceptions=True)
    got = list(results)
    assert type(got.pop(3)) is error
    assert got == [0, 1, 2, 4, 5]


def test_to_wait_for(executor, error):
    futures = [executor.submit(fail, error), executor.submit(abs, -1)]
    assert wait(futures, timeout=30).not_done == set()
    assert set(as_completed(futures, timeout=30)) == set(futures)
    done = wait(futures, timeout=30, return_when=parallelize.FIRST_EXCEPTION).done
    assert futures[0] in done


def test_gathered(executor, error):
    futures = [executor.submit(abs, -1), executor.submit(fail, error)]
    with pytest.raises(error):
        gather(*futures).result(timeout=30)
    one, other = gather(*futures, return_exceptions=True).result(timeout=30)
    assert (one, type(other)) == (1, error)


def test_as_an_argument(executor, error):
    with pytest.raises(error):
        executor.submit(abs, executor.submit(fail, error)).result(timeout=30)


def test_awaited(executor, error):
    async def main():
        await executor.submit(fail, error)

    with pytest.raises(error):
        asyncio.run(main())


def test_of_a_coroutine_and_of_a_stream(executor, error):
    with pytest.raises(error):
        parallelized(executor)(fail_in_a_loop)(error).result(timeout=30)
    if executor.kind == "interpreters":
        return  # items cannot travel from there
    stream = iter(parallelized(executor)(give_then_fail)(error))
    assert next(stream) == 1
    with pytest.raises(error):
        next(stream)


def test_tried_again(executor, error):
    call = parallelized(executor, retries=1)(fail)
    with pytest.raises(error):
        call(error).result(timeout=30)


def test_in_a_group(executor, error):
    with pytest.raises(error), parallelize.TaskGroup() as group:
        group.start(parallelized(executor)(fail), error)


def test_that_nobody_looks_at(executor, error, caplog):
    log = emptied(caplog)
    executor.submit(fail, error)
    executor.shutdown()
    collect()
    assert log.text.count("failed, and its exception was never retrieved") == 1
    assert f"{error.__name__}: because" in log.text


def test_set(error):
    future = Future()
    failure = error()
    future.set_exception(failure)
    assert future.exception() is failure
    with pytest.raises(error):
        future.result()


def test_logged_in_a_worker(kind, executor, error, caplog):
    if kind == "interpreter":
        pytest.skip("what is logged inside an interpreter stays there")
    executor.submit(log, error).result(timeout=30)
    assert f"{error.__name__}: because" in caplog.text


def log(error):
    try:
        fail(error)
    except error:
        logging.getLogger("some").exception("it failed")
