"""The program ends, in whatever way: nothing is lost, nothing is left."""

from __future__ import annotations

import os
import pathlib
import signal
import textwrap

import pytest
from harness import Child, run, started

from support.free_threading import freed_at_once
from support.programs import program

#: Lets tasks tell the program, or each other, that they run.
MEETING = program("leaving/meeting")


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> dict[str, str]:
    """The environment of a program whose tasks meet."""
    return {"FOLDER": str(tmp_path)}


def with_meeting(program: str) -> str:
    return MEETING + textwrap.dedent(program)


def await_line(child: Child, expected: str = "running", count: int = 1) -> None:
    """Wait until the program or its tasks have said so."""
    for _ in range(count):
        assert child.process.stdout is not None
        line = child.process.stdout.readline().strip()
        assert line == expected, (line, child.process.stderr)


# A normal end.


@pytest.mark.parametrize(
    "ending", ["sys.exit(4)", "ex.shutdown(wait=False); sys.exit(4)"]
)
def test_end_without_close_finishes_everything(method: str, ending: str) -> None:
    """Running and queued calls are finished, the exit code stays."""
    done = run(
        program("leaving/end_without_close_finishes_everything", ENDING=ending), method
    )
    assert done.lines == ["done"] * 6
    assert (done.code, done.err) == (4, "")


def test_end_without_close_finishes_decorated_calls() -> None:
    """With the global pool; a map that nobody reads runs as well."""
    done = run(
        """
        from parallelize import processed
        @processed
        def work(i):
            os.write(1, b"done\\n")
        first = work(0)
        rest = work.map(range(5))
        """
    )
    assert done.lines == ["done"] * 6
    assert (done.code, done.err) == (0, "")


def test_end_before_any_call(method: str) -> None:
    """A pool that was never used starts nothing and leaves nothing."""
    done = run("ex = executor(2); print(children())", method)
    assert (done.code, done.out, done.err) == (0, "[]\n", "")


def test_graceful_end_keeps_output_and_exit_functions(method: str) -> None:
    """What workers buffer and register is there after a close, once."""
    done = run(program("leaving/graceful_end_keeps_output_and_exit_functions"), method)
    assert sorted(done.lines) == ["from atexit", "from the task", "of the parent"]


def test_thread_left_by_a_task_does_not_hold_up_the_end(method: str) -> None:
    """A non-daemon thread in a worker is waited for only a grace."""
    done = run(
        """
        def work():
            threading.Thread(target=time.sleep, args=(3600,)).start()
            return 1
        ex = executor(2)
        print(ex.submit(work).result())
        """,
        method,
    )
    assert (done.code, done.out) == (0, "1\n")
    assert done.seconds < 12


def test_subprocess_left_by_a_task_does_not_hold_up_the_end() -> None:
    """A grandchild that outlives its worker is nobody's concern."""
    text = program("leaving/subprocess_left_by_a_task_does_not_hold_up_the_end")
    done = run(text)
    assert (done.code, done.out, done.err) == (0, "nothing left\n", "")
    assert done.seconds < 12


# An end by an error.


def test_unhandled_error_drops_and_kills(method: str, folder: dict[str, str]) -> None:
    """Queued calls are cancelled, the one that runs is killed soon."""
    done = run(
        with_meeting(program("leaving/unhandled_error_drops_and_kills")),
        method,
        env=folder,
    )
    assert done.lines == ["running", "[True, True, True] WorkerDied"]
    assert done.err.count("Traceback") == 1
    assert done.err.endswith("ValueError: main fails\n")
    assert done.code == 1


def test_unhandled_error_before_the_worker_is_up(method: str) -> None:
    """What was handed out and has not begun does not begin elsewhere."""
    done = run(
        with_meeting("ex = executor(1); ex.submit(hour); raise ValueError"), method
    )
    assert done.err.endswith("ValueError\n")
    assert done.code == 1
    assert done.seconds < 10


def test_unhandled_error_lets_running_calls_end_within_the_grace() -> None:
    """A call that needs a moment more gets it."""
    done = run(
        program("leaving/unhandled_error_lets_running_calls_end_within_the_grace")
    )
    assert done.lines in (["begun", "ended"], [])  # [] if it had not begun
    assert done.code == 1


def test_sys_exit_is_not_an_error() -> None:
    """`sys.exit` with a text is an end that finishes what was submitted."""
    done = run(
        """
        ex = executor(1)
        ex.submit(os.write, 1, b"ran\\n")
        ex.submit(os.write, 1, b"ran\\n")
        sys.exit("a text")
        """
    )
    assert (done.code, done.out, done.err) == (1, "ran\nran\n", "a text\n")


def test_handled_error_is_not_the_end() -> None:
    """An error that main caught before drops nothing."""
    done = run(
        """
        ex = executor(1)
        try: raise ValueError
        except ValueError: pass
        fs = [ex.submit(os.write, 1, b"ran\\n") for _ in range(3)]
        """
    )
    assert (done.code, done.out, done.err) == (0, "ran\n" * 3, "")


# The parent is gone.

FATAL = ["SIGKILL", "SIGTERM"]


@pytest.mark.parametrize("name", FATAL)
def test_parent_killed(method: str, name: str, folder: dict[str, str]) -> None:
    """Three workers, one of them busy, leave and free stdout."""
    with started(
        with_meeting(
            """
            ex = executor(3)
            list(ex.map(meet, [3] * 3, chunksize=1))
            ex.submit(hour, signal.SIGTERM)
            signal.pause()
            """
        ),
        method,
        env=folder,
    ) as child:
        await_line(child)
        assert len(child.processes()) >= 5  # the program, its server, three workers
        child.process.send_signal(signal.Signals[name])
        child.process.communicate(timeout=5)  # it would wait for who holds stdout
        assert child.process.returncode == -signal.Signals[name]
        child.check_gone()


@pytest.mark.parametrize(
    "ending", ["os._exit(3)", "os.kill(os.getpid(), signal.SIGHUP)"]
)
def test_parent_ends_without_ado(ending: str, folder: dict[str, str]) -> None:
    """The same after SIGHUP and os._exit."""
    done = run(
        with_meeting(
            f"""
            ex = executor(2)
            list(ex.map(meet, [2] * 2, chunksize=1))
            ex.submit(time.sleep, 3600)
            {ending}
            """
        ),
        env=folder,
    )
    assert done.code in (3, -signal.SIGHUP)
    assert done.seconds < 10


def test_parent_and_server_killed(method: str, folder: dict[str, str]) -> None:
    """Workers need no server to notice that the program is gone."""
    with started(
        with_meeting(
            """
            ex = executor(3)
            list(ex.map(meet, [3] * 3, chunksize=1))
            ex.submit(hour)
            os.write(1, b"%d\\n" % ex.submit(os.getppid).result())
            signal.pause()
            """
        ),
        method,
        env=folder,
    ) as child:
        assert child.process.stdout is not None
        lines = {child.process.stdout.readline().strip() for _ in range(2)}
        server = int(*(lines - {"running"}))
        child.process.kill()
        os.kill(server, signal.SIGKILL)
        child.process.communicate(timeout=5)
        child.check_gone()


def test_parent_killed_while_a_task_holds_the_interpreter(method: str) -> None:
    """A worker whose own threads cannot run is killed by the server."""
    with started(
        with_meeting("ex = executor(2); ex.submit(spin); signal.pause()"), method
    ) as child:
        await_line(child)
        child.process.kill()
        child.process.communicate(timeout=5)
        child.check_gone()


def test_process_group_killed_with_large_values_under_way(method: str) -> None:
    """SIGKILL for all at once leaves no name (the harness looks)."""
    with started(
        """
        ex = executor(2)
        big = bytes(30 << 20)
        fs = [ex.submit(bytes.upper, big) for _ in range(6)]
        fs[0].result()
        print("running", flush=True)
        wait(fs)
        """,
        method,
    ) as child:
        await_line(child)
        os.killpg(child.process.pid, signal.SIGKILL)
        child.process.communicate(timeout=5)
        child.check_gone()


def test_shell_does_not_wait_for_orphans(tmp_path: pathlib.Path) -> None:
    """``x=$(python prog.py)`` returns when the program was killed."""
    script = tmp_path / "prog.py"
    script.write_text(program("leaving/shell_does_not_wait_for_orphans"))
    done = run(
        f"""
        import subprocess
        print(subprocess.run(["sh", "-c", 'x=$("$0" "$1"); echo "got $x"',
              sys.executable, {str(script)!r}], capture_output=True, text=True).stdout)
        """
    )
    assert done.out.startswith("got begun")
    assert done.seconds < 10


# Calls that come too late.

LATE = program("leaving/late")
TOO_LATE = "RuntimeError: cannot schedule new futures after "


@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize(
    "how",
    [
        "atexit.register(tell, call)",
        "threading.Thread(target=lambda: (threading.main_thread().join(), tell(call))).start()",
        pytest.param(
            "late = type('Late', (), {'__del__': lambda self: tell(call)})()",
            marks=freed_at_once,
        ),
    ],
    ids=["atexit", "thread", "del"],
)
@pytest.mark.parametrize(
    "call", ["lambda: ex.submit(abs, -1)", "lambda: remote(-1)"], ids=["own", "global"]
)
def test_call_at_the_end(how: str, call: str, used: bool) -> None:
    """A late call runs or is refused; it never hangs, nor starts a pool."""
    done = run(LATE + program("leaving/call_at_the_end", CALL=call, USED=used, HOW=how))
    assert len(done.lines) == 1, done
    assert done.lines == ["1"] or done.lines[0].startswith(TOO_LATE)
    assert (done.code, done.err) == (0, "")


def test_calls_from_a_daemon_thread_while_the_program_ends() -> None:
    """A thread that calls without end does not keep the program."""
    done = run(program("leaving/calls_from_a_daemon_thread_while_the_program_ends"))
    assert (done.code, done.err) == (0, "")
    assert done.seconds < 10


# Closing a pool.


def test_first_use_from_fifty_threads_makes_one_pool() -> None:
    """The global pool is made once, however many ask for it at once."""
    done = run(program("leaving/first_use_from_fifty_threads_makes_one_pool"))
    assert done.lines == ["50 1 1"] * 6
    assert done.err == ""


def test_cancelling_shutdown_wakes_who_waits(
    method: str, folder: dict[str, str]
) -> None:
    """`as_completed`, `wait` and `result` in other threads return."""
    done = run(
        with_meeting(program("leaving/cancelling_shutdown_wakes_who_waits")),
        method,
        env=folder,
    )
    assert sorted(done.lines[:3]) == ["cancelled", "completed 5", "waited 5"]
    assert done.lines[3] == "None nothing left"
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("most", [1, 2])
def test_recycled_workers_lose_nothing(method: str, most: int) -> None:
    """`max_tasks_per_child` with one worker, calls and maps."""
    done = run(
        f"""
        with executor(1, max_tasks_per_child={most}) as ex:
            print([f.result(10) for f in [ex.submit(pow, i, 2) for i in range(6)]])
            print(list(ex.map(abs, range(-5, 0))))
            pids = [ex.submit(os.getpid).result() for _ in range(4)]
            print(max(map(pids.count, pids)))
        """,
        method,
    )
    assert done.lines[:2] == ["[0, 1, 4, 9, 16, 25]", "[5, 4, 3, 2, 1]"]
    assert int(done.lines[2]) <= most
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("options", ["", "max_tasks_per_child=1"])
def test_dropped_pool_finishes_and_leaves(method: str, options: str) -> None:
    """Without a reference to the pool its calls end all the same."""
    done = run(
        program("leaving/dropped_pool_finishes_and_leaves", OPTIONS=options), method
    )
    assert done.lines == ["[0, 1, 4, 9, 16] nothing left"]
    assert (done.code, done.err) == (0, "")


def test_pool_dropped_inside_a_cycle() -> None:
    """The garbage collector may end a pool in any thread."""
    done = run(program("leaving/pool_dropped_inside_a_cycle"))
    assert done.lines == ["1", "1", "1", "nothing left"]
    assert (done.code, done.err) == (0, "")


CLOSINGS = {
    "twice": "ex.shutdown(); ex.shutdown(); ex.shutdown(wait=False)",
    "never used, twice": "ex = executor(1); ex.shutdown(); ex.shutdown()",
    "in a callback": """
closed = threading.Event()
f = ex.submit(abs, -1)
f.add_done_callback(lambda _: (ex.shutdown(), closed.set()))
print(closed.wait(10))""",
    "in a callback, not waiting": """
closed = threading.Event()
f = ex.submit(abs, -1)
f.add_done_callback(lambda _: (ex.shutdown(wait=False, cancel_futures=True), closed.set()))
print(closed.wait(10))""",
    "in a signal handler": """
signal.signal(signal.SIGUSR1, lambda *_: ex.shutdown())
fs = [ex.submit(abs, -1) for _ in range(50)]
signal.raise_signal(signal.SIGUSR1)
print(all(outcome(f) == 1 for f in fs))""",
    "in two threads": """
fs = [ex.submit(abs, -1) for _ in range(50)]
threads = [threading.Thread(target=ex.shutdown) for _ in range(5)]
for t in threads: t.start()
for t in threads: t.join(10)
print(all(outcome(f) == 1 for f in fs))""",
    "in a finaliser": """
class Owner:
    def __del__(self): ex.shutdown()
owner = Owner()
owner.myself = owner
f = ex.submit(abs, -1)
del owner
import gc; gc.collect()
print(outcome(f) == 1)""",
}


@pytest.mark.parametrize("how", CLOSINGS)
def test_closing(how: str) -> None:
    """A pool may be closed from anywhere; it refuses calls from then on."""
    done = run(program("leaving/closing", CLOSING=CLOSINGS[how]))
    assert "False" not in done.out
    assert "cannot schedule new futures after shutdown" in done.lines
    assert (done.code, done.err) == (0, "")
    if "never" not in how:
        assert done.lines[-1] == "nothing left"


def test_close_cancels_what_a_worker_gave_back(
    method: str, folder: dict[str, str]
) -> None:
    """Such a call counts as running, but it has not begun."""
    done = run(
        program("leaving/close_cancels_what_a_worker_gave_back"), method, env=folder
    )
    assert done.lines == ["20", "None nothing left"]


def test_signal_handler_closes_at_any_moment(method: str) -> None:
    """The handler interrupts a submit, which may hold any lock."""
    done = run(program("leaving/signal_handler_closes_at_any_moment"), method)
    assert done.lines == ["cannot schedule new futures after shutdown", "set()"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("cancel", [False, True])
def test_calls_race_the_close(cancel: bool) -> None:
    """Of twenty threads' calls each is refused, cancelled or done."""
    done = run(program("leaving/calls_race_the_close", CANCEL=cancel))
    assert done.lines == ["400 set()"] * 4 + ["nothing left"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("begun", [True, False])
def test_kill_workers_ends_at_once(
    method: str, begun: bool, folder: dict[str, str]
) -> None:
    """What runs is killed, what waits is cancelled, the pool is closed.

    A call that was handed to a worker and had not begun does not begin elsewhere.
    """
    done = run(
        with_meeting(program("leaving/kill_workers_ends_at_once", BEGUN=begun)),
        method,
        env=folder,
    )
    out = [line for line in done.lines if line != "running"]
    assert len(out) == 2, done  # it does not speak of memory
    assert out[0] in ("WorkerDied True", "TaskKilled True", "CancelledError True")
    assert out[1] == "nothing left"
    assert (done.code, done.err) == (0, "")


def test_terminated_worker_that_ignores_it(method: str, folder: dict[str, str]) -> None:
    """After terminate_workers a close is bounded, whatever a task ignores."""
    done = run(
        with_meeting(program("leaving/terminated_worker_that_ignores_it")),
        method,
        env=folder,
    )
    assert done.lines[1:] in (["WorkerDied"], ["TaskKilled"]), done
    assert (done.code, done.err) == (0, "")
