"""Programs that end, fork or are interrupted while coroutines run on loops."""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest
from harness import run, started

from support.free_threading import again_if_unseen
from support.programs import program

COROUTINES = program("loops/coroutines")

KINDS = ["threaded", "processed"]


def coroutines(kind: str, text: str) -> str:
    return COROUTINES + f"decorate = {kind}(max_workers=1)\n" + textwrap.dedent(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_normal_end_finishes_coroutines(kind: str) -> None:
    """The generator that was left is finished when its loop is closed."""
    done = run(
        coroutines(
            kind,
            """
            decorate(leave_generator)().result()
            decorate(soon)(1).add_done_callback(lambda f: tell(f"value {f.result()}"))
            """,
        )
    )
    assert sorted(done.lines) == ["generator finished", "value 1"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_by_an_error_does_not_wait_for_coroutines(kind: str) -> None:
    """In threads they are cancelled; processes are killed."""
    done = run(
        coroutines(
            kind,
            """
            future = decorate(hour)()
            while not future.running(): time.sleep(0.01)
            decorate(soon)(1).result()
            raise LookupError("the end")
            """,
        )
    )
    assert done.code == 1
    assert done.seconds < 10
    assert "the end" in done.err
    expected = ["begun", "finally"] if kind == "threaded" else ["begun"]
    assert done.lines == expected


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_while_a_coroutine_runs(kind: str) -> None:
    """One traceback, and the program ends in a moment."""
    with started(coroutines(kind, 'decorate(hour)("running").result()')) as child:
        assert child.process.stdout is not None
        assert child.process.stdout.readline() == "running\n"
        child.process.send_signal(signal.SIGINT)
        again_if_unseen(child.process)
        _, err = child.process.communicate(timeout=10)
        assert child.process.returncode in (130, -signal.SIGINT), err
        assert err.count("Traceback") == 1, err
        child.check_gone(err)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_has_loops_of_its_own(kind: str) -> None:
    """What the parent's loops run is the parent's."""
    done = run(coroutines(kind, program("loops/a_forked_child_has_loops_of_its_own")))
    assert sorted(done.lines) == [
        "begun",
        "child: 1",
        "child: the call was made before os.fork(), it belongs to the parent process",
        "finally",
        "parent: 2 True",
    ]
    assert (done.code, done.err) == (0, "")


@pytest.mark.skipif(
    sys.version_info >= (3, 14), reason="there the child's loop may stand still"
)
def test_a_child_that_a_coroutine_forks_does_not_disturb_the_pool() -> None:
    """It is a copy of the worker, and may not answer for it."""
    done = run(
        coroutines(
            "processed",
            """
            async def fork():
                pid = os.fork()
                await asyncio.sleep(0)
                if pid: os.waitpid(pid, 0)
                return pid and "parent"
            print(decorate(fork)().result(), decorate(soon)(1).result())
            """,
        )
    )
    assert done.lines == ["parent 1"]
    assert done.code == 0
