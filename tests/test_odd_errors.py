"""No error is lost because its class decides about what is done to it."""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import os
import sys
from typing import Any

import pytest

import odd_errors
from factories import collect, emptied
from odd_errors import MAKERS, STAY, Frozen, RefusesAll, made
from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    ThreadPoolExecutor,
    as_completed,
    gather,
    parallelized,
)
from parallelize.errors import RemoteError, RemoteTraceback, WorkerDied

KINDS = sorted(MAKERS)
EXECUTORS = ["thread", "serial", "forkserver", "spawn", "fork"]
if sys.version_info >= (3, 14):
    EXECUTORS.insert(0, "interpreter")  # no fork beside them: CPython would crash


def _made(name: str) -> Any:
    if name == "thread":
        return ThreadPoolExecutor(1)
    if name == "serial":
        return SerialExecutor()
    if name == "interpreter":
        return InterpreterPoolExecutor(1)
    return ProcessPoolExecutor(1, mp_context=name)


@pytest.fixture(scope="module", params=EXECUTORS)
def executor(request):
    with _made(request.param) as it:
        it.name = request.param
        it.submit(abs, 1).result(30)  # so that nothing is new in a test
        parallelized(it)(odd_errors.soon)().result(30)
        yield it


@pytest.fixture(scope="module")
def processes():
    with ProcessPoolExecutor(1) as it:
        it.submit(abs, 1).result(30)
        yield it


def is_far(executor) -> bool:
    return executor.name not in ("thread", "serial")


def check(error: BaseException | None, kind: str, *, far: bool) -> None:
    """It is what was raised, or what stands for it, with the worker's traceback."""
    assert error is not None
    cls = type(made(kind))
    if not far:
        assert type(error) is cls
        return
    cause = BaseException.__dict__["__cause__"].__get__(error)
    assert type(cause) is RemoteTraceback
    assert "odd_errors.py" in cause.text
    if kind in STAY:
        assert type(error) is RemoteError
        name = type.__dict__["__qualname__"].__get__(cls)
        assert error.type_name.rpartition(".")[2] == name
    else:
        assert type(error) is cls


def raised_by(call) -> BaseException:
    try:
        call()
    except BaseException as error:  # noqa: BLE001 - that is what is asked
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("kind", KINDS)
def test_a_call_that_raises_it(executor, kind):
    future = executor.submit(odd_errors.here, kind)
    check(raised_by(lambda: future.result(30)), kind, far=is_far(executor))
    check(future.exception(), kind, far=is_far(executor))
    assert executor.submit(abs, -1).result(30) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_a_map(executor, kind):
    rows = [1, kind, 2]
    got = list(executor.map(odd_errors.here_or_value, rows, return_exceptions=True))
    assert got[0::2] == [1, 2]
    check(got[1], kind, far=is_far(executor))
    error = raised_by(lambda: list(executor.map(odd_errors.here, [kind], chunksize=1)))
    check(error, kind, far=is_far(executor))


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_that_raises_it(executor, kind):
    if executor.name == "interpreter":
        pytest.skip("there are no streams of interpreters")
    for function in (odd_errors.here_after_one, odd_errors.here_after_one_later):
        stream = parallelized(executor)(function)(kind)
        assert next(stream) == 1
        check(raised_by(lambda s=stream: next(s)), kind, far=is_far(executor))


@pytest.mark.parametrize("kind", KINDS)
def test_a_coroutine(executor, kind):
    function = parallelized(executor)(odd_errors.here_later)
    check(raised_by(lambda: function(kind).result(30)), kind, far=is_far(executor))

    async def awaited():
        try:
            await function(kind)
        except BaseException as error:  # noqa: BLE001 - some are too odd for asyncio
            check(error, kind, far=is_far(executor))
            return "raised"

    assert asyncio.run(awaited()) == "raised"


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_for_it(executor, kind):
    """`gather`, a group, a call that has it as an argument, `as_completed`."""
    far = is_far(executor)

    def failed():
        return executor.submit(odd_errors.here, kind)

    check(gather(failed()).exception(30), kind, far=far)
    (error,) = gather(failed(), return_exceptions=True).result(30)
    check(error, kind, far=far)
    check(executor.submit(abs, failed()).exception(30), kind, far=far)
    check(next(as_completed([failed()])).exception(), kind, far=far)

    def grouped():
        with TaskGroup() as group:
            group.start(failed)

    check(raised_by(grouped), kind, far=far)

    def block():
        with TaskGroup():
            raise made(kind)

    check(raised_by(block), kind, far=False)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_tried_again_as_what_it_is(executor, kind, tmp_path):
    """It is no death of a worker, and ``retry_on`` sees its class."""
    cls = type(made(kind))
    path = tmp_path / "attempts"
    function = parallelized(executor, retries=2, retry_on=cls)(odd_errors.noted)
    if kind == "OddMeta" and is_far(executor):
        pytest.skip("its class cannot be pickled, so it is not known here")
    if kind in STAY and executor.name == "interpreter":
        pytest.skip("single calls in interpreters are tried again by what arrives")
    check(function(os.fspath(path), kind).exception(30), kind, far=is_far(executor))
    assert path.read_text() == "..."
    other = function.options(retry_on=ZeroDivisionError)
    check(other(os.fspath(path), kind).exception(30), kind, far=is_far(executor))
    assert path.read_text() == "...."
    rows = function.map([os.fspath(path)], [kind], return_exceptions=True)
    check(next(rows), kind, far=is_far(executor))  # type: ignore[arg-type]
    assert path.read_text() == "......."


def test_it_keeps_what_is_in_it(processes):
    error = processes.submit(odd_errors.here, "Frozen").exception(30)
    assert error == Frozen(7, "seven")
    assert error.args == (7, "seven")
    with pytest.raises(AttributeError):
        error.code = 8
    group = processes.submit(odd_errors.here, "ExceptionGroup").exception(30)
    assert isinstance(group, ExceptionGroup)
    assert group.exceptions[0] == Frozen(1)
    assert type(group.exceptions[1]) is RefusesAll


def _with_a_note() -> None:
    error = RefusesAll("noted")
    error.__dict__["__notes__"] = ["a note"]
    error.__dict__["value"] = 3
    raise error


def test_it_keeps_its_attributes_and_notes(processes):
    error = processes.submit(_with_a_note).exception(30)
    assert type(error) is RefusesAll
    assert error.__notes__ == ["a note"]
    assert error.value == 3


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["thread", "forkserver"])
def test_one_that_nobody_looks_at_is_reported(name, kind, caplog):
    log = emptied(caplog)
    with _made(name) as executor, log.at_level(logging.ERROR, "parallelize"):
        executor.submit(odd_errors.here, kind)
        executor.shutdown()
        collect()
    assert [record.levelname for record in log.records] == ["ERROR"]
    assert "never retrieved" in log.records[0].getMessage()


def _logs(kind: str) -> None:
    try:
        odd_errors.here(kind)
    except Exception:
        logging.getLogger("odd").exception("it failed")


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"Exits"}))
def test_a_worker_logs_it(processes, kind, caplog):
    with caplog.at_level(logging.ERROR, "odd"):
        processes.submit(_logs, kind).result(30)
    (record,) = [each for each in caplog.records if each.name == "odd"]
    assert record.getMessage() == "it failed"


@pytest.mark.parametrize("kind", KINDS)
def test_in_an_initializer(kind):
    """The calls fail with a text that says what it was."""
    with ProcessPoolExecutor(
        1, initializer=odd_errors.here, initargs=(kind,)
    ) as executor:
        error = executor.submit(abs, 1).exception(60)
    assert isinstance(error, WorkerDied)
    assert "no worker could be started" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_executor_of_others(kind):
    """The standard library's own ``result()`` takes some of them for no error."""
    with concurrent.futures.ThreadPoolExecutor(1) as theirs:
        function = parallelized(theirs)(odd_errors.here)
        check(raised_by(lambda: function(kind).result(30)), kind, far=False)
        check(function(kind).exception(30), kind, far=False)
        (row,) = function.map([kind], return_exceptions=True)
        check(row, kind, far=False)  # type: ignore[arg-type]
        check(gather(theirs.submit(odd_errors.here, kind)).exception(), kind, far=False)
