"""Failures that nobody looks at are reported, once, when they are collected."""

import asyncio
import gc
import logging
import os
import subprocess
import sys
import textwrap
import threading

import pytest

import tasks
from factories import collect
from fenced import ROOT
from parallelize import (
    CancelledError,
    Future,
    ProcessPoolExecutor,
    SerialExecutor,
    TaskGroup,
    as_completed,
    gather,
    parallelized,
    processed,
    shutdown,
    threaded,
    wait,
)
from parallelize.executors.foreign import ForeignExecutor
from parallelize.futures.future import Failure


@pytest.fixture(autouse=True)
def fresh():
    """No test sees another's pools, or failures."""
    collect()
    yield
    shutdown()


@pytest.fixture
def reports(caplog):
    """What was reported of failures, when everything was collected."""

    def collected():
        shutdown()  # threads let go of what they ran
        collect()
        return [r for r in caplog.records if "never retrieved" in r.getMessage()]

    return collected


def failed(error=None):
    future = Future()
    future.set_exception(LookupError("here it is") if error is None else error)
    return future


# ----------------------------------------------------------------------- reported


def test_one_that_nobody_looks_at(executor, reports):
    concurrent_wait(executor.submit(tasks.refuse, 7))
    executor.shutdown()
    (report,) = reports()
    assert report.name == "parallelize"
    assert report.levelno == logging.ERROR
    text = logging.Formatter().format(report)
    assert "tasks.refuse failed, and its exception was never retrieved" in text
    assert "raise Refusal(code)" in text
    assert text.endswith("Refusal: 7")


def concurrent_wait(future):
    wait([future], 30)  # which is no look at it
    assert future.done()
    assert "raised" in repr(future) or future._sealed is not None


def test_it_is_reported_once(reports):
    future = failed()
    other = future
    del future
    assert not reports()
    del other
    assert len(reports()) == 1
    assert len(reports()) == 1


def test_one_thread_reports_all():
    reporters, written = [], threading.Semaphore(0)
    reached, go_on = threading.Event(), threading.Event()

    class Slow(logging.Handler):
        def emit(self, record):
            reporters.append(threading.get_ident())
            reached.set()
            assert go_on.wait(20)
            written.release()

    log, handler = logging.getLogger("parallelize"), Slow()
    log.addHandler(handler)
    try:
        failed()
        gc.collect()
        assert reached.wait(20)
        for _ in range(5):  # while the first is being written
            failed()
            gc.collect()
        go_on.set()
        assert all(written.acquire(timeout=20) for _ in range(6))
    finally:
        go_on.set()
        log.removeHandler(handler)
    assert len(set(reporters)) == 1


def test_it_bears_the_name_it_was_given(reports):
    threaded(tasks.refuse).options(name="the refusal")(1)
    assert "the refusal failed" in reports()[0].getMessage()


@pytest.mark.parametrize("decorate", [threaded, processed, parallelized("serial")])
def test_a_report_names_the_decorated_function(decorate, reports):
    function = decorate(tasks.refuse)
    wait([function(1)], 30)
    del function
    (report,) = reports()
    assert report.getMessage().startswith("tasks.refuse failed")


@pytest.mark.parametrize("options", [{"retries": 1}, {"limit": 1}, {"timeout": 50}])
@pytest.mark.parametrize("decorate", [threaded, processed])
def test_with_options(decorate, options, reports):
    wait([decorate(**options)(tasks.refuse)(1)], 30)
    assert reports()[0].getMessage().startswith("tasks.refuse failed")


def test_a_timeout(latch, reports):
    wait([processed(timeout=0.01)(tasks.hold)(latch.folder)], 30)
    assert "ran longer" in logging.Formatter().format(reports()[0])


def test_a_report_of_what_cannot_travel(reports):
    wait([processed(tasks.identity)(threading.Lock())], 30)
    (report,) = reports()
    assert report.getMessage().startswith("tasks.identity failed")
    assert "cannot be pickled" in logging.Formatter().format(report)


def test_on_an_executor_of_another_library(reports):
    import concurrent.futures

    with concurrent.futures.ThreadPoolExecutor(1) as theirs:
        with ForeignExecutor(theirs) as ours:
            wait([ours.submit(tasks.refuse, 1)], 30)
    assert reports()[0].getMessage().startswith("tasks.refuse failed")


@pytest.mark.parametrize("decorate", [threaded, processed])
def test_of_calls_that_depend_on_each_other_the_last_is_reported(decorate, reports):
    first, second = decorate(tasks.refuse), decorate(tasks.identity)
    wait([second(first(1))], 30)
    (report,) = reports()
    assert report.getMessage().startswith("tasks.identity failed")


def test_a_gather_is_reported_in_place_of_its_members(reports):
    wait([gather(threaded(tasks.refuse)(1), threaded(tasks.refuse)(2))], 30)
    (report,) = reports()
    assert report.getMessage().startswith("tasks.refuse failed")


def test_calls_that_never_began(reports):
    options = {"initializer": tasks.initialize_badly, "max_workers": 1}
    double = processed(**options)(tasks.double)
    wait([double(n) for n in range(50)], 30)
    texts = {report.getMessage() for report in reports()}
    assert texts == {"tasks.double failed, and its exception was never retrieved"}


def load_loudly():
    LOADED.append(os.getpid())
    return Loud()


LOADED = []


class Loud(Exception):
    def __reduce__(self):
        return load_loudly, ()

    def __str__(self):
        return "a loud error"


def be_loud():
    raise Loud


def test_a_report_unpickles_nothing(reports):
    wait([processed(be_loud)()], 30)
    (report,) = reports()
    assert "a loud error" in report.getMessage()
    assert "raise Loud" in report.getMessage()
    assert LOADED == []
    with pytest.raises(Loud):
        processed(be_loud)().result(30)
    assert LOADED == [os.getpid()]


class Nasty:
    def __call__(self):
        raise LookupError

    def __repr__(self):
        raise ValueError


def test_a_function_whose_text_fails(reports):
    wait([threaded(Nasty())()], 30)
    assert "never retrieved" in reports()[0].getMessage()


# ------------------------------------------------------------------------ seen


def by_result(future):
    with pytest.raises(LookupError):
        future.result(0)


def by_exception(future):
    assert isinstance(future.exception(0), LookupError)


def by_await(future):
    async def main():
        with pytest.raises(LookupError):
            await future

    asyncio.run(main())


def by_callback(future):
    future.add_done_callback(lambda each: each.exception())


def by_proxy(future):
    with pytest.raises(LookupError):
        future.proxy() + 1


def by_gather(future):
    by_result(gather(future))


def by_gather_with_errors(future):
    assert gather(future, return_exceptions=True).result(0)


def by_as_completed(future):
    for each in as_completed([future], 0):
        by_result(each)


def by_wait(future):
    for each in wait([future], 0).done:
        by_result(each)


def by_group(future):
    with pytest.raises(LookupError), TaskGroup() as group:
        group.start(lambda: future)


def by_async_group(future):
    async def main():
        with pytest.raises(LookupError):
            async with TaskGroup() as group:
                group.start(lambda: future)

    asyncio.run(main())


def by_a_call(future):
    with pytest.raises(LookupError):
        threaded(tasks.identity)(future).result(30)


@pytest.mark.parametrize("seal", [False, True], ids=["", "sealed"])
@pytest.mark.parametrize(
    "look",
    [
        by_result,
        by_exception,
        by_await,
        by_callback,
        by_proxy,
        by_gather,
        by_gather_with_errors,
        by_as_completed,
        by_wait,
        by_group,
        by_async_group,
        by_a_call,
    ],
)
def test_a_look_is_enough(look, seal, reports):
    future = Future()
    if seal:
        future._set_outcome(Failure(LookupError()), failed=True)
    else:
        future.set_exception(LookupError())
    look(future)
    del future
    assert not reports()


def test_a_map_is_a_look(executor, reports):
    with pytest.raises(tasks.Refusal):
        list(executor.map(tasks.refuse, [1, 2]))
    mapped = executor.map(tasks.refuse, [[1], [2]], return_exceptions=True)
    assert len(list(mapped)) == 2
    executor.shutdown()
    assert not reports()


def test_what_a_map_got_and_nobody_read(reports):
    with SerialExecutor() as executor:
        # Futures among the arguments make each row a call of its own.
        mapped = executor.map(tasks.refuse, [gather(), gather()])
        mapped.close()
        del mapped
    assert not reports()


def test_a_gather_answers_for_the_errors_that_it_returns(reports):
    both = gather(failed(), failed(), return_exceptions=True)
    assert both.done()
    del both
    assert not reports()


def test_the_caller_of_a_serial_call_has_seen_ctrl_c(reports):
    with pytest.raises(KeyboardInterrupt):
        parallelized("serial")(tasks.interrupt)()
    assert not reports()


# ------------------------------------------------------------------------ no news


def test_no_finaliser_where_nothing_failed():
    assert not hasattr(Future, "__del__")
    future = threaded(tasks.double)(2)
    assert future.result(30) == 4
    assert future.exception(0) is None
    assert future._unretrieved is None


def test_a_cancelled_call(reports):
    Future().cancel()
    failed(CancelledError())
    failed(asyncio.CancelledError())
    assert not reports()


def test_a_killed_call(latch, reports):
    future = processed(tasks.hold)(latch.folder)
    latch.wait_begun()
    future.kill()
    wait([future], 30)
    del future
    assert not reports()


def test_calls_whose_workers_the_program_stops(latch, reports):
    with ProcessPoolExecutor(1) as pool:
        call = pool.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        pool.kill_workers()
        wait([call], 30)
    del call
    assert not reports()


def test_a_disowned_future(reports):
    future = Future()
    future._fail_in_forked_child()
    del future
    assert not reports()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_silent(caplog):
    future = failed()
    pid = os.fork()
    if pid == 0:
        del future
        collect()
        os._exit(len(caplog.records))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    future.exception()


def test_one_that_ended_before(reports):
    future = Future()
    future.set_result(1)
    assert not future._set_outcome(Failure(LookupError()), failed=True)
    assert future._unretrieved is None
    del future
    assert not reports()


# ------------------------------------------------------------- the program's end


def run(code):
    script = textwrap.dedent(code)
    return subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
        cwd=ROOT / "tests",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(["..", *sys.path[1:]])},
    )


@pytest.mark.parametrize("decorator", ["threaded", "processed"])
@pytest.mark.parametrize("kept", ["future = ", ""])
def test_a_program_that_ends_says_so(decorator, kept):
    done = run(
        f"""
        import tasks
        from parallelize import {decorator}
        {kept}{decorator}(tasks.refuse)(1)
        """
    )
    assert done.returncode == 0
    assert done.stderr.count("tasks.refuse failed, and its exception was never") == 1
    assert done.stderr.count("Refusal: 1") == 1


@pytest.mark.parametrize("decorator", ["threaded", "processed"])
@pytest.mark.parametrize("error", ["KeyboardInterrupt", "ValueError('the end')"])
def test_a_program_that_ends_by_an_error_speaks_of_that(decorator, error, latch):
    done = run(
        f"""
        import time, tasks
        from parallelize import {decorator}, wait
        calls = [{decorator}(tasks.refuse)(1)]
        wait(calls)
        calls += [{decorator}(time.sleep)(60 if {decorator!r} == "processed" else 0)]
        raise {error}
        """
    )
    assert done.returncode != 0
    assert "never retrieved" not in done.stderr
