"""Signals, to the program and to workers."""

from __future__ import annotations

import os
import pathlib
import re
import signal
import subprocess
import textwrap

import pytest
from harness import Child, run, started

from support.free_threading import again_if_unseen
from support.programs import program

TELLING = program("signals/telling")


def telling(program: str) -> str:
    return TELLING + textwrap.dedent(program)


def interrupted(
    child: Child, *, after: str = "running", times: int = 1
) -> tuple[str, str]:
    """Press Ctrl-C when the program has said a word; return what else it wrote."""
    stdout = child.process.stdout
    assert stdout is not None
    line = stdout.readline()
    assert line == f"{after}\n", (line, child.process.communicate(timeout=5))
    for _ in range(times):
        os.killpg(child.process.pid, signal.SIGINT)
    again_if_unseen(child.process)
    try:
        return child.process.communicate(timeout=8)
    except subprocess.TimeoutExpired:
        child.process.send_signal(signal.SIGABRT)
        out, err = child.process.communicate(timeout=5)
        pytest.fail(f"Ctrl-C does not end the program\n{out}\n{err[-4000:]}")


def assert_one_traceback(child: Child, err: str) -> None:
    assert err.count("Traceback") == 1, err
    assert err.strip(" :\n").endswith("KeyboardInterrupt"), err
    assert_ended(child, err)


def assert_ended(child: Child, err: str) -> None:
    codes = [130, -signal.SIGINT]
    if "Exception ignored" in err:  # main had ended: for CPython that is success
        codes.append(0)
    assert child.process.returncode in codes, err
    child.check_gone(err)


PROGRAMS = {
    "idle": 'ex.submit(os.write, 1, b"running\\n").result(); signal.pause()',
    "busy": "ex.submit(hour).result()",
    "busy, main is at its end": "ex.submit(hour)",
    "busy, in a with block": "with ex: ex.submit(hour).result()",
    "busy, leaving a with block": "with ex: ex.submit(hour)",
    "busy, in shutdown": "ex.submit(hour); ex.shutdown()",
    "in wait": "wait([ex.submit(hour), ex.submit(hour)])",
    "in as_completed": "list(as_completed([ex.submit(hour)]))",
    "in a map": "list(ex.map(hour, range(100)))",
    "in a decorated map": (
        "from parallelize import processed\nlist(processed(hour).map(range(100)))"
    ),
    "in asyncio": (
        "import asyncio\nasync def main(): await ex.submit(hour)\nasyncio.run(main())"
    ),
}


@pytest.mark.parametrize("doing", PROGRAMS)
def test_ctrl_c(doing: str) -> None:
    """One traceback, the parent's; the program ends in a moment."""
    with started(telling(f"ex = executor(2)\n{PROGRAMS[doing]}")) as child:
        _, err = interrupted(child)
        if doing == "in asyncio":  # which tells of the cancelled task first
            assert_ended(child, err)
        else:
            assert_one_traceback(child, err)


@pytest.mark.parametrize("doing", ["idle", "busy", "in a map"])
def test_ctrl_c_under_other_start_methods(doing: str, method: str) -> None:
    """The same, however workers are started."""
    with started(telling(f"ex = executor(2)\n{PROGRAMS[doing]}"), method) as child:
        _, err = interrupted(child)
        assert_one_traceback(child, err)


def test_ctrl_c_inside_submit(method: str) -> None:
    """It may strike anywhere in the library."""
    with started(
        """
        ex = executor(2)
        ex.submit(abs, -1).result()
        os.write(1, b"running\\n")
        while True:
            fs = [ex.submit(abs, -1) for _ in range(500)]
        """,
        method,
    ) as child:
        _, err = interrupted(child)
        assert_one_traceback(child, err)


def test_ctrl_c_while_workers_start(method: str) -> None:
    """Neither a server nor a worker that starts tells of it."""
    with started(
        """
        with executor(1) as ex:  # Python's imports raise errors within errors
            ex.submit(abs, -1).result()
        os.write(1, b"running\\n")
        while True:
            with executor(2) as ex:
                wait([ex.submit(abs, -1), ex.submit(abs, -1)])
        """,
        method,
    ) as child:
        _, err = interrupted(child)
        assert_one_traceback(child, err)


def test_caught_ctrl_c_harms_nothing(method: str) -> None:
    """A program that goes on after Ctrl-C finds its pool whole."""
    with started(program("signals/caught_ctrl_c_harms_nothing"), method) as child:
        out, err = interrupted(child)
        assert (out, err) == ("True 1\n", "")
        assert child.process.returncode == 0


@pytest.mark.parametrize("doing", ["busy", "busy, main is at its end", "in a map"])
def test_second_ctrl_c(doing: str) -> None:
    """More of them do not make it worse."""
    with started(telling(f"ex = executor(2)\n{PROGRAMS[doing]}")) as child:
        _, err = interrupted(child, times=3)
        assert_ended(child, err)


def test_workers_do_not_take_the_handlers_of_the_program(
    method: str, tmp_path: pathlib.Path
) -> None:
    """A signal to a worker neither runs the program's handler nor rings
    its wake-up descriptor; SIGTERM ends the worker."""
    (tmp_path / "begun").mkdir()
    done = run(
        telling(
            program(
                "signals/workers_do_not_take_the_handlers_of_the_program",
                HANDLED=repr(str(tmp_path / "handled")),
            )
        ),
        method,
        env={"FOLDER": str(tmp_path / "begun")},
    )
    assert done.lines == ["WorkerDied 1", "silent", "False"]
    assert (done.code, done.err) == (0, "")


def test_programs_started_by_tasks_get_default_signals(method: str) -> None:
    """What a task starts is neither deaf to Ctrl-C nor blocks anything."""
    done = run(program("signals/programs_started_by_tasks_get_default_signals"), method)
    assert done.lines == ["0 0"]


def test_signal_blocked_by_the_program_is_not_blocked_in_workers(
    method: str, tmp_path: pathlib.Path
) -> None:
    """A mask of the program does not make workers immortal."""
    done = run(
        telling(
            program("signals/signal_blocked_by_the_program_is_not_blocked_in_workers")
        ),
        method,
        env={"FOLDER": str(tmp_path)},
    )
    assert done.lines == ["WorkerDied 1"]
    assert (done.code, done.err) == (0, "")


def test_program_that_ignores_sigchld(method: str) -> None:
    """Some services do; children then vanish unreaped."""
    done = run(program("signals/program_that_ignores_sigchld"), method)
    assert done.lines[0] == done.lines[2] == "1"
    assert "exit code 3" in done.lines[1]
    assert done.lines[3] == "nothing left"
    assert (done.code, done.err) == (0, "")


def test_program_that_reaps_every_child(method: str) -> None:
    """As an init process does."""
    done = run(program("signals/program_that_reaps_every_child"), method)
    assert done.lines == ["1", "True", "1", "nothing left"]
    assert (done.code, done.err) == (0, "")


def test_task_waits_for_a_signal_and_forks(method: str) -> None:
    """A worker has a thread of its own, which no task has to know of."""
    done = run(program("signals/task_waits_for_a_signal"), method)
    assert done.lines == ["True 5"]
    assert (done.code, done.err) == (0, "")


MISDEEDS = {
    "handlers": "[signal.signal(n, signal.SIG_IGN) for n in (1, 2, 3, 13, 14, 15, 17)]",
    "chdir": "os.chdir('/')",
    "umask": "os.umask(0o777)",
    "environment": "os.environ.clear()",
    "locale": "__import__('locale').setlocale(0, 'C')",
    "streams": "[f.close() for f in (sys.stdin, sys.stdout, sys.stderr)]",
    "descriptors 0 to 2": "[os.close(fd) for fd in range(3)]",
    "no streams": "[setattr(sys, n, None) for n in ('stdin', 'stdout', 'stderr')]",
    "limits": "__import__('resource').setrlimit(7, (3, 3))",
    "session": "os.setsid()",
    "path": "sys.path.clear()",
    "recursion limit": "sys.setrecursionlimit(60)",
    "wake-up descriptor": "signal.set_wakeup_fd(-1)",
    "default timeout": "__import__('socket').setdefaulttimeout(0.001)",
    "blocked signals": "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())",
    "garbage collector": "__import__('gc').freeze()",
    "children": "signal.signal(signal.SIGCHLD, signal.SIG_IGN)",
}


@pytest.mark.parametrize("deed", MISDEEDS)
def test_task_changes_its_process(deed: str) -> None:
    """The next tasks of the same worker run; the pool closes in time."""
    done = run(program("signals/task_changes_its_process", MISDEED=MISDEEDS[deed]))
    assert done.lines == [
        "1 True",
        "[1048576, 9] ValueError: invalid literal for int() with base 10: 'x'",
        "nothing left",
    ]
    assert (done.code, done.err) == (0, "")
    assert done.seconds < 10


def test_task_closes_all_descriptors(method: str) -> None:
    """`os.closerange(3, 1024)` counts as the death of that worker alone."""
    done = run(
        """
        with executor(2) as ex:
            victim = ex.submit(os.closerange, 3, 1024)
            others = [ex.submit(abs, -i) for i in range(8)]
            print([outcome(f) for f in others])
            print(str(outcome(victim))[:10])
            print(outcome(ex.submit(abs, -1)))
        """,
        method,
    )
    assert done.lines[0] == "[0, 1, 2, 3, 4, 5, 6, 7]"
    assert done.lines[1] in ("WorkerDied", "None")
    assert done.lines[2] == "1"
    # If its result had been sent, no call can tell of the death: the log does.
    assert done.code == 0
    text = "(a worker of parallelize, .*)?worker .* died while it ran no call.*"
    assert done.err == "" or re.fullmatch(text, done.err, re.DOTALL)


def test_descriptors_of_the_wire_are_not_those_of_the_streams(method: str) -> None:
    """Also in a program whose own streams are closed."""
    done = run(
        program("signals/descriptors_of_the_wire_are_not_those_of_the_streams"), method
    )
    assert done.out == "1 False"
    assert done.code == 0
