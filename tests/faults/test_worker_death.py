"""A worker dies: exactly the call that it ran fails."""

from __future__ import annotations

import os
import signal

import pytest
from harness import run

from support.programs import program

#: What every program here can do: count its runs, and find what a worker holds.
TOOLS = program("worker_death/tools")


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        ("os.kill(os.getpid(), 9)", "SIGKILL (possibly out of memory)"),
        ("os.kill(os.getpid(), 15)", "SIGTERM"),
        ("os._exit(0)", "exit code 0"),
        ("os._exit(7)", "exit code 7"),
    ],
)
def test_death_hits_one_task(method: str, call: str, reason: str) -> None:
    done = run(program("worker_death/death_hits_one_task", CALL=call), method)
    assert done.lines[0] == "[0, 1, 4, 0, 1, 4, 9]"
    assert done.lines[1].startswith("WorkerDied: worker ")
    assert done.lines[1].endswith(reason)
    assert "__main__.<lambda>" in done.lines[1]
    assert done.lines[2:] == ["__main__.<lambda> True True", "1", "nothing left"]
    assert done.code == 0
    assert done.err == ""


def test_error_is_that_of_the_standard_library() -> None:
    """Code written for the standard library's pool catches it."""
    done = run(program("worker_death/error_is_that_of_the_standard_library"))
    assert done.lines == ["True True", "True 3"]


def test_one_of_hundreds_dies(method: str, counted) -> None:
    """Tiny calls travel in batches; all but the dead one run once."""
    done = counted(program("worker_death/one_of_hundreds_dies"), method)
    assert done.lines == ["True True", "True", "True"]


def test_many_of_hundreds_die(counted) -> None:
    """Deaths at the ends and in the middle of batches."""
    done = counted(program("worker_death/many_of_hundreds_die"))
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("kind", ["small", "text", "pickled"])
def test_one_row_of_a_map_dies(method: str, kind: str, counted) -> None:
    """Thousands of rows, one dies; every other one ran once."""
    done = counted(
        program("worker_death/one_row_of_a_map_dies", THIS=repr(kind)), method
    )
    assert done.lines == ["WorkerDied -9", "True", "True"]


def test_rows_of_one_chunk_die(counted) -> None:
    """First, last, and neighbours of one chunk, sent as one piece."""
    done = counted(program("worker_death/rows_of_one_chunk_die"))
    assert done.lines == ["True", "True", "True", "True"]


def test_death_right_after_the_start(method: str) -> None:
    """A worker that served was no failure to start.

    Though the pool, busy elsewhere, hears of its end before it hears of its start.
    """
    done = run(program("worker_death/death_right_after_the_start"), method)
    assert done.lines == ["{'WorkerDied'}", "[0, 1, 2, 3, 4]"]


def test_function_of_a_map_kills_when_it_arrives(counted) -> None:
    """No row has begun, yet the same rows kill every worker."""
    done = counted(program("worker_death/function_of_a_map_kills_when_it_arrives"))
    assert done.lines == ["WorkerDied:", "{'WorkerDied'}"]


def test_idle_worker_killed(method: str) -> None:
    """Nobody loses anything; the next call runs on another worker."""
    done = run(
        """
        with executor(2) as ex:
            pids = {ex.submit(os.getpid).result(10) for _ in range(4)}
            for pid in pids:
                os.kill(pid, 9)
            after = [outcome(ex.submit(os.getpid)) for _ in range(4)]
            print(pids.isdisjoint(after), {type(each).__name__ for each in after})
        """,
        method,
    )
    assert done.lines == ["True {'int'}"]


def test_death_of_an_idle_worker_is_logged_once() -> None:
    """No call fails by it, so only the log can tell."""
    done = run(program("worker_death/death_of_an_idle_worker_is_logged_once"))
    assert done.lines == ["1 True True"]


@pytest.mark.parametrize("workers", [1, 2, 5, 13])
def test_all_workers_killed_at_once(workers: int, counted) -> None:
    """Running calls fail, queued ones all run, none twice."""
    done = counted(program("worker_death/all_workers_killed_at_once", WORKERS=workers))
    assert done.lines == ["True True", "True", "True"]


@pytest.mark.parametrize(
    ("crash", "name"),
    [
        ("__import__('faulthandler')._sigsegv()", "SIGSEGV"),
        ("__import__('ctypes').string_at(0)", "SIGSEGV"),
        ("os.abort()", "SIGABRT"),
    ],
)
def test_crash_is_named_and_traced(crash: str, name: str, method: str) -> None:
    """The signal in the error, the traceback on stderr, once."""
    done = run(
        f"""
        def crashes():
            {crash}

        with executor(1) as ex:
            print(outcome(ex.submit(crashes)))
            print(outcome(ex.submit(abs, -1)))
        """,
        method,
    )
    assert done.lines[0].endswith(name)
    assert done.lines[1] == "1"
    assert done.err.count("Fatal Python error") == 1
    # Python 3.15.0 does not always find the thread that has crashed.
    assert "in crashes" in done.err or "<freed thread state>" in done.err


@pytest.mark.parametrize("kind", ["one", "rows"])
def test_dies_in_the_middle_of_sending(kind: str, counted) -> None:
    """Half a frame of 10 MB is dropped; the next worker is unharmed."""
    done = counted(
        program("worker_death/dies_in_the_middle_of_sending", KIND=repr(kind))
    )
    assert done.lines == ["WorkerDied True", "True"]


def test_dies_between_finishing_and_sending(counted) -> None:
    """What had ended before the death keeps its result.

    Small results wait a moment to be sent together; the death comes before.
    """
    done = counted(program("worker_death/dies_between_finishing_and_sending"))
    assert done.lines == ["WorkerDied: True", "WorkerDied", "True", "True"]


@pytest.mark.parametrize(
    "garbage",
    [
        "me._sock.sendall(b'\\xff' * 64)",
        "me._sock.sendall(b''.join(pack(messages.DONE, 1 << 60, [b'?'])))",
        "me._sock.sendall(b''.join(pack(messages.START_FAILED, 0, [b'?'])))",
        "me._sock.sendall(b''.join(pack(messages.FAILED, me._words[0], [])))",
        "me._sock.sendall(b''.join(pack(messages.DONE, me._words[0], [b'?'])))",
        "me._sock.sendall(b'\\x0d\\0\\1\\0' + bytes(16) + (1 << 45).to_bytes(8, 'little'))",
        "me._control.sendall(b'\\xff' * 64)",
        "me._control.sendall(b''.join(pack(messages.RECLAIMED, 0, [b'?'])))",
        "me._control.sendall(b''.join(pack(messages.RECLAIMED, 0, [])))",
    ],
    ids=[
        "no frame",
        "unknown id",
        "false start",
        "failure of no parts",
        "own result",
        "too long",
        "control: no frame",
        "control: no pickle",
        "control: no parts",
    ],
)
def test_worker_speaks_garbage(garbage: str) -> None:
    """It costs the worker and its call, never the pool."""
    done = run(TOOLS + program("worker_death/worker_speaks_garbage", GARBAGE=garbage))
    assert done.lines == ["slow 1"]


def test_no_lock_between_processes() -> None:
    """There is none that a dying worker could hold."""
    done = run(
        """
        def semaphores():
            with open("/proc/self/maps") as maps:
                return "sem." in maps.read(), "_multiprocessing" in sys.modules

        with executor(2) as ex:
            print(semaphores(), outcome(ex.submit(semaphores)))
        """
    )
    assert done.lines == ["(False, False) (False, False)"]


def test_death_while_the_parent_writes_to_it(method: str) -> None:
    """The caller is not held up; the call, not begun, runs elsewhere."""
    done = run(program("worker_death/death_while_the_parent_writes_to_it"), method)
    assert done.lines == ["True False", "64000000", "1", "True"]


def test_death_is_seen_though_a_grandchild_holds_the_pipe(method: str) -> None:
    """By the process's end, not by the end of its stream."""
    done = run(
        program("worker_death/death_is_seen_though_a_grandchild_holds_the_pipe"), method
    )
    assert done.lines == ["WorkerDied: 1", "True"]


def test_task_forks_and_both_return(method: str, counted) -> None:
    """The copy ends before it can answer; every result is the right one."""
    done = counted(program("worker_death/task_forks_and_both_return"), method)
    assert done.lines == [
        "[0, 1, 2, 3, 4]",
        "ValueError: 7",
        str(list(range(30))),
        "['1', '2']",
        "[0, 1, 4, 9, 16]",
    ]
    assert "Traceback" not in done.err  # Python may warn of forking with threads


def test_initializer_forks_and_both_return(counted) -> None:
    """A copy made before the first task is no worker either."""
    done = counted(
        program("worker_death/initializer_forks_and_both_return"), timeout=15
    )
    assert done.lines == [str(list(range(20))), "True"]


def test_task_leaves_a_thread_and_a_program_behind(counted) -> None:
    """The shutdown is bounded; the thread would run for a minute."""
    done = counted(program("worker_death/task_leaves_a_thread_and_a_program_behind"))
    assert done.lines == ["True"]


def test_sigkill_of_the_server(method: str, counted) -> None:
    """Beyond the list: the process that starts workers dies, busy workers go on."""
    done = counted(program("worker_death/sigkill_of_the_server"), method)
    assert done.lines == ["True", "WorkerDied: 1", "True"]


def test_server_dies_after_its_worker(method: str) -> None:
    """It has not reported the worker's end, and nothing else will."""
    done = run(program("worker_death/server_dies_after_its_worker"), method)
    assert done.lines == ["WorkerDied 2"]


def test_no_signal_to_the_id_of_a_dead_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once a worker is reaped its process id may be another's."""
    import socket

    from parallelize.process.start.server import HALTED, MESSAGE, Server

    sent: list[tuple[int, int]] = []
    here, there = socket.socketpair()
    before = signal.getsignal(signal.SIGCHLD)
    wakeup = signal.set_wakeup_fd(-1)
    try:
        server = Server(there, lambda _: None, os.fork)
        monkeypatch.setattr(os, "kill", lambda *args: sent.append(args))
        server._workers[4711] = 1
        server._signal(1, signal.SIGTERM)
        assert sent == [(4711, signal.SIGTERM)]
        server._note(4711, (signal.SIGSTOP << 8) | 0x7F)
        server._note(4711, 9)
        server._signal(1, signal.SIGKILL)
        server._halt(1)
        assert sent == [(4711, signal.SIGTERM)]
        told = [MESSAGE.unpack(here.recv(MESSAGE.size))[:2] for _ in range(2)]
        assert told[0] == (HALTED, 1)
        assert not server._halted
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGCHLD, before)
        here.close()
        there.close()
        server._bell.close()
        server._ring.close()
