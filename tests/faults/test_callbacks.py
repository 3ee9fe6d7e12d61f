"""What users hang on futures: callbacks, outcomes of their own, errors."""

from __future__ import annotations

import pytest
from harness import run

from support.free_threading import freed_at_once
from support.programs import program


@pytest.mark.parametrize(
    "error", ["ValueError('mine')", "SystemExit(3)", "KeyboardInterrupt()"]
)
def test_callback_raises(method: str, error: str) -> None:
    """It is logged, the other callbacks are called, the pool serves on."""
    done = run(program("callbacks/callback_raises", ERROR=error), method)
    name = error.split("(", maxsplit=1)[0]
    assert done.lines == [
        "True [0, 1, 2, 3, 4, 5] None",
        f"1 {[name] * 2}",
        "3",
    ]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("ending", ["cancel", "fail", "die"])
def test_callback_raises_whatever_the_end(ending: str) -> None:
    """Also where a call was cancelled, failed or died."""
    done = run(
        program("callbacks/callback_raises_whatever_the_end", ENDING=repr(ending))
    )
    assert done.lines[-1] == "1 True"
    assert (done.code, done.err) == (0, "")


def test_callback_submits(method: str) -> None:
    """A callback may call on the same pool, in a long chain."""
    done = run(program("callbacks/callback_submits"), method)
    assert done.lines == ["True [0]"]
    assert (done.code, done.err) == (0, "")


def test_callback_closes_another_pool_and_makes_a_third() -> None:
    """What a callback does with other pools is its own affair."""
    done = run(program("callbacks/callback_closes_another_pool_and_makes_a_third"))
    assert done.lines == ["2", "True 3", "nothing left"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "meddle", ["f.set_result('mine')", "f.set_exception(ValueError('mine'))"]
)
def test_user_settles_a_future_of_the_pool(method: str, meddle: str) -> None:
    """Queued, running or ended: the pool goes on as if nothing were."""
    done = run(
        program("callbacks/user_settles_a_future_of_the_pool", MEDDLE=meddle), method
    )
    mine = "ValueError: mine" if "exception" in meddle else "mine"
    assert done.lines == [str([mine] * 3), "1 2", "InvalidStateError", "False 1"]
    assert (done.code, done.err) == (0, "")


def test_cancel_races_the_start() -> None:
    """A future cancelled at any moment is cancelled or gives its value."""
    done = run(program("callbacks/cancel_races_the_start"))
    assert done.lines == ["0 2"]
    assert (done.code, done.err) == (0, "")


def test_foreign_waiters_die(method: str) -> None:
    """A waiter of concurrent.futures.wait that times out leaves others intact."""
    done = run(program("callbacks/foreign_waiters_die"), method)
    assert done.lines == ["1", "timeout", "timeout", "None 1"]
    assert (done.code, done.err) == (0, "")


def test_each_future_has_an_error_of_its_own(method: str) -> None:
    """Separate objects, with cause, attributes and notes."""
    done = run(program("callbacks/each_future_has_an_error_of_its_own"), method)
    assert done.lines == ["3 True", "['a note'] RemoteTraceback", "True 3"]
    assert (done.code, done.err) == (0, "")


def test_calls_that_could_not_start_have_errors_of_their_own() -> None:
    """The error of a worker that cannot start is not shared either."""
    done = run(
        """
        def broken(): raise OSError("no such device")
        with executor(1, initializer=broken) as ex:
            errors = [f.exception(20) for f in [ex.submit(abs, i) for i in range(3)]]
        print(len(set(map(id, errors))), all("no such device" in str(e) for e in errors))
        """
    )
    assert done.lines == ["3 True"]


def test_failed_futures_keep_nothing_alive(method: str) -> None:
    """Without the garbage collector, arguments and frames go at once."""
    done = run(program("callbacks/failed_futures_keep_nothing_alive"), method)
    assert done.lines == ["2001 0"]
    assert (done.code, done.err) == (0, "")


@freed_at_once
def test_ended_calls_keep_nothing_alive(method: str) -> None:
    """Nor do results, callbacks, or futures without references."""
    done = run(program("callbacks/ended_calls_keep_nothing_alive"), method)
    assert done.lines == ["argument True", "callback True", "result True"]
    assert (done.code, done.err) == (0, "")
