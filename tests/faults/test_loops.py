"""Programs that end, fork or are interrupted while coroutines run on loops."""

from __future__ import annotations

import signal
import sys
import textwrap

import pytest
from harness import run, started

COROUTINES = """
import asyncio
from parallelize import processed, threaded

def tell(text):
    os.write(1, (text + "\\n").encode())

async def hour(text="begun"):
    tell(text)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        tell("finally")

async def numbers():
    try:
        while True: yield 1
    finally:
        tell("generator finished")

KEPT = []
async def leave_generator():
    generator = numbers()
    KEPT.append(generator)
    return await anext(generator)

async def soon(x):
    await asyncio.sleep(0.05)
    return x

"""

KINDS = ["threaded", "processed"]


def program(kind: str, text: str) -> str:
    return COROUTINES + f"decorate = {kind}(max_workers=1)\n" + textwrap.dedent(text)


@pytest.mark.parametrize("kind", KINDS)
def test_a_normal_end_finishes_what_was_submitted(kind: str) -> None:
    """The generator that was left is finished when its loop is closed."""
    done = run(
        program(
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
        program(
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
    with started(program(kind, 'decorate(hour)("running").result()')) as child:
        assert child.process.stdout is not None
        assert child.process.stdout.readline() == "running\n"
        child.process.send_signal(signal.SIGINT)
        _, err = child.process.communicate(timeout=10)
        assert child.process.returncode in (130, -signal.SIGINT), err
        assert err.count("Traceback") == 1, err
        child.check_gone(err)


@pytest.mark.parametrize("kind", KINDS)
def test_a_forked_child_has_loops_of_its_own(kind: str) -> None:
    """What the parent's loops run is the parent's."""
    done = run(
        program(
            kind,
            """
            import parallelize, warnings
            warnings.simplefilter("ignore", DeprecationWarning)
            held, double = decorate(hour), decorate(soon)
            future = held()
            double(0).result()
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                try: future.result()
                except RuntimeError as error: tell(f"child: {error}")
                tell(f"child: {double(1).result()}")
                parallelize.shutdown()
                os._exit(0)
            os.waitpid(pid, 0)
            tell(f"parent: {double(2).result()} {future.cancel()}")
            parallelize.shutdown()
            """,
        )
    )
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
        program(
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
