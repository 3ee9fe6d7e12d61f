"""A worker dies: exactly the call that it ran fails."""

from __future__ import annotations

import os
import pathlib
import signal
import textwrap

import pytest
from harness import Run, run

#: What every program here can do: count its runs, and find what a worker holds.
TOOLS = '''
def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\\n".encode())

def runs():
    with open(os.environ["RUNS"]) as file:
        return file.read().split()

def engine():
    """The worker's own object, to provoke what no task does by accident."""
    import gc
    from parallelize.process.worker.main import WorkerProcess
    return next(each for each in gc.get_objects() if type(each) is WorkerProcess)

def kill_me():
    os.kill(os.getpid(), 9)
'''


@pytest.fixture
def counted(tmp_path: pathlib.Path):  # type: ignore[no-untyped-def]
    """Runs a program with `TOOLS` and a file for `note`."""
    (tmp_path / "runs").touch()

    def start(program: str, method: str = "forkserver", **more: object) -> Run:
        env = {"RUNS": str(tmp_path / "runs"), "DIR": str(tmp_path)}
        return run(TOOLS + textwrap.dedent(program), method, env=env, **more)  # type: ignore[arg-type]

    return start


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
    done = run(
        f"""
        files = open_files()
        with executor(2) as ex:
            before = [ex.submit(pow, i, 2) for i in range(3)]
            victim = ex.submit(lambda: {call})
            after = [ex.submit(pow, i, 2) for i in range(4)]
            print([outcome(f) for f in before + after])
            print(outcome(victim))
            error = victim.exception()
            print(error.task, error.pid != os.getpid(), error.pid > 1)
            print(outcome(ex.submit(abs, -1)))
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines[0] == "[0, 1, 4, 0, 1, 4, 9]"
    assert done.lines[1].startswith("WorkerDied: worker ")
    assert done.lines[1].endswith(reason)
    assert "__main__.<lambda>" in done.lines[1]
    assert done.lines[2:] == ["__main__.<lambda> True True", "1", "nothing left"]
    assert done.code == 0
    assert done.err == ""


def test_error_is_that_of_the_standard_library() -> None:
    """Code written for the standard library's pool catches it."""
    done = run(
        """
        from concurrent.futures import BrokenExecutor
        from concurrent.futures.process import BrokenProcessPool
        import pickle
        with executor(1) as ex:
            error = ex.submit(os._exit, 3).exception()
        print(isinstance(error, BrokenProcessPool), isinstance(error, BrokenExecutor))
        again = pickle.loads(pickle.dumps(error))
        print(str(again) == str(error), again.exitcode)
        """
    )
    assert done.lines == ["True True", "True 3"]


def test_one_of_hundreds_dies(method: str, counted) -> None:
    """Tiny calls travel in batches; all but the dead one run once."""
    done = counted(
        """
        def task(i):
            note(i)
            if i == 300:
                kill_me()
            return i

        with executor(2) as ex:
            futures = [ex.submit(task, i) for i in range(600)]
            got = [outcome(f) for f in futures]
        died = got.pop(300)
        print(died.startswith("WorkerDied"), "SIGKILL" in died)
        print(got == [i for i in range(600) if i != 300])
        print(sorted(map(int, runs())) == list(range(600)))
        """,
        method,
    )
    assert done.lines == ["True True", "True", "True"]


def test_many_of_hundreds_die(counted) -> None:
    """Deaths at the ends and in the middle of batches."""
    done = counted(
        """
        DEADLY = {0, 1, 57, 58, 59, 200, 399}
        def task(i):
            note(i)
            if i in DEADLY:
                os._exit(i % 3)
            return -i

        with executor(3) as ex:
            futures = [ex.submit(task, i) for i in range(400)]
            got = [outcome(f) for f in futures]
        print([i for i, each in enumerate(got) if each != -i] == sorted(DEADLY))
        print(all(got[i].startswith("WorkerDied") for i in DEADLY))
        print(sorted(map(int, runs())) == list(range(400)))
        """
    )
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("kind", ["small", "text", "pickled"])
def test_one_row_of_a_map_dies(method: str, kind: str, counted) -> None:
    """Thousands of rows, one dies; every other one ran once."""
    done = counted(
        """
        KIND = THIS
        def task(row):
            i = row if KIND != "pickled" else row["i"]
            note(i)
            if i == 1700:
                kill_me()
            return str(i) if KIND == "text" else i

        with executor(2) as ex:
            rows = range(4000) if KIND != "pickled" else [{"i": i} for i in range(4000)]
            got = list(ex.map(task, rows, return_exceptions=True))
        died = got.pop(1700)
        print(type(died).__name__, died.exitcode)
        print(list(map(int, got)) == [i for i in range(4000) if i != 1700])
        print(sorted(map(int, runs())) == list(range(4000)))
        """.replace("THIS", repr(kind)),
        method,
    )
    assert done.lines == ["WorkerDied -9", "True", "True"]


def test_rows_of_one_chunk_die(counted) -> None:
    """First, last, and neighbours of one chunk, sent as one piece."""
    done = counted(
        """
        DEADLY = {0, 499, 500, 501, 999, 1000, 1999}
        def task(i):
            note(i)
            if i in DEADLY:
                os._exit(5)
            if i % 7 == 0:
                raise ValueError(i)
            return None if i % 2 else i / 2

        with executor(2) as ex:
            got = list(ex.map(task, range(2000), chunksize=1000, return_exceptions=True))
        died = {i for i, each in enumerate(got) if type(each).__name__ == "WorkerDied"}
        print(died == DEADLY)
        failed = {each.args[0] for each in got if isinstance(each, ValueError)}
        print(failed == {i for i in range(2000) if i % 7 == 0} - DEADLY)
        rest = set(range(2000)) - DEADLY - failed
        print(all(got[i] == (None if i % 2 else i / 2) for i in rest))
        print(sorted(map(int, runs())) == list(range(2000)))
        """
    )
    assert done.lines == ["True", "True", "True", "True"]


def test_death_right_after_the_start(method: str) -> None:
    """A worker that served was no failure to start.

    Though the pool, busy elsewhere, hears of its end before it hears of its start.
    """
    done = run(
        """
        from parallelize.process.parent.dispatcher import Dispatcher
        hear = Dispatcher._bell_rang
        def late(self, mask):
            time.sleep(0.1)
            hear(self, mask)
        Dispatcher._bell_rang = late

        with executor(1) as ex:
            victims = [ex.submit(os._exit, i) for i in range(4)]
            innocents = [ex.submit(abs, -i) for i in range(5)]
            print({outcome(f).split(":")[0] for f in victims})
            print([outcome(f) for f in innocents])
        """,
        method,
    )
    assert done.lines == ["{'WorkerDied'}", "[0, 1, 2, 3, 4]"]


def test_function_of_a_map_kills_when_it_arrives(counted) -> None:
    """No row has begun, yet the same rows kill every worker."""
    done = counted(
        """
        from functools import partial
        class Bomb:
            def __setstate__(self, state):
                note("start")
                os._exit(3)
            def __getstate__(self):
                return {1: 1}

        def task(bomb, i):
            return i

        with executor(2) as ex:
            future = ex.submit(partial(task, Bomb()), 1)
            print(outcome(future)[:11])
            rows = ex.map(partial(task, Bomb()), range(20), timeout=10,
                          return_exceptions=True)
            try:
                print({type(each).__name__ for each in rows})
            except TimeoutError:
                print("never ends, workers so far:", len(runs()) > 50)
                ex.kill_workers()
        """
    )
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
    done = run(
        """
        import logging
        lines = []
        class Kept(logging.Handler):
            def emit(self, record):
                lines.append(record.getMessage())
        logging.getLogger("parallelize").addHandler(Kept())
        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            os.kill(pid, 9)
            ex.submit(abs, -1).result(10)
        print(len(lines), str(pid) in "".join(lines), "SIGKILL" in "".join(lines))
        """
    )
    assert done.lines == ["1 True True"]


@pytest.mark.parametrize("workers", [1, 2, 5, 13])
def test_all_workers_killed_at_once(workers: int, counted) -> None:
    """Running calls fail, queued ones all run, none twice."""
    done = counted(
        f"""
        N = {workers}
        def task(i):
            note(i)
            if i < N:  # these run when the blow falls
                with open(f"{{os.environ['DIR']}}/pids", "ab", buffering=0) as file:
                    file.write(b"%d\\n" % os.getpid())
                time.sleep(60)
            return i

        open(os.environ["DIR"] + "/pids", "w").close()
        with executor(N) as ex:
            futures = [ex.submit(task, i) for i in range(N + 40)]
            while len(pids := open(os.environ["DIR"] + "/pids").read().split()) < N:
                time.sleep(0.005)
            for pid in pids:
                os.kill(int(pid), 9)
            got = [outcome(f) for f in futures]
        print(len(set(pids)) == N, all(e.startswith("WorkerDied") for e in got[:N]))
        print(got[N:] == list(range(N, N + 40)))
        print(sorted(map(int, runs())) == list(range(N + 40)))
        """
    )
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
        f"""
        def task(i):
            note(i)
            if i == 5:
                from parallelize.process.wire import messages
                from parallelize.process.wire.frames import pack
                me = engine()
                id = me._words[0]
                kind = messages.DONE if {kind!r} == "one" else messages.ROW_DONE
                frame = b"".join(pack(kind, id, [bytes(10_000_000)]))
                me._sock.sendall(frame[:5_000_000])
                kill_me()
            return bytes([i]) * 100_000

        def short(future):
            return outcome(future)[:10] if future.exception(10) else future.result()[:2]

        with executor(2) as ex:
            if {kind!r} == "one":
                got = [short(ex.submit(task, i)) for i in range(10)]
            else:
                rows = ex.map(task, range(10), chunksize=10, return_exceptions=True)
                got = [r[:2] if type(r) is bytes else type(r).__name__ for r in rows]
        print(got.pop(5), got == [bytes([i, i]) for i in range(10) if i != 5])
        print(sorted(map(int, runs())) == list(range(10)))
        """
    )
    assert done.lines == ["WorkerDied True", "True"]


def test_dies_between_finishing_and_sending(counted) -> None:
    """What had ended before the death keeps its result.

    Small results wait a moment to be sent together; the death comes before.
    """
    done = counted(
        """
        def task(i):
            note(i)
            if i == 90:
                kill_me()
            engine()._sender.due = 1 << 62  # nothing is sent before its time
            return [i]

        with executor(1) as ex:
            got = [outcome(f) for f in [ex.submit(task, i) for i in range(100)]]
            print(got.pop(90)[:11], got == [[i] for i in range(100) if i != 90])
            rows = ex.map(task, range(100), chunksize=100, return_exceptions=True)
            got = list(rows)
            print(type(got.pop(90)).__name__)
            print(got == [[i] for i in range(100) if i != 90])
        print(sorted(map(int, runs())) == sorted([*range(100), *range(100)]))
        """
    )
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
    done = run(
        TOOLS
        + textwrap.dedent(
            f"""
            def vandal():
                from parallelize.process.wire import messages
                from parallelize.process.wire.frames import pack
                me = engine()
                {garbage}
                time.sleep(0.1)

            with executor(2) as ex:
                slow = ex.submit(lambda: time.sleep(0.3) or "slow")
                outcome(ex.submit(vandal), 5)
                print(outcome(slow), outcome(ex.submit(abs, -1)))
            """
        )
    )
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
    done = run(
        """
        import tracemalloc
        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            os.kill(pid, signal.SIGSTOP)  # so it takes no more than its buffer
            tracemalloc.start()
            begun = time.monotonic()
            future = ex.submit(len, bytes(64_000_000))
            print(time.monotonic() - begun < 2, future.done())
            os.kill(pid, signal.SIGKILL)
            print(outcome(future))
            print(outcome(ex.submit(abs, -1)))
            print(tracemalloc.get_traced_memory()[0] < 8_000_000 or "not freed")
        """,
        method,
    )
    assert done.lines == ["True False", "64000000", "1", "True"]


def test_death_is_seen_though_a_grandchild_holds_the_pipe(method: str) -> None:
    """By the process's end, not by the end of its stream."""
    done = run(
        """
        import subprocess
        def task():
            fds = [int(fd) for fd in os.listdir("/proc/self/fd")]
            fds = [fd for fd in fds if fd > 2 and os.path.exists(f"/proc/self/fd/{fd}")
                   or os.path.islink(f"/proc/self/fd/{fd}") and fd > 2]
            child = subprocess.Popen(["sleep", "60"], pass_fds=fds)
            os.write(write, b"%d" % child.pid)
            os.kill(os.getpid(), 9)

        read, write = os.pipe()
        name = f"/proc/{os.getpid()}/fd/{write}"
        def start():
            global write
            write = os.open(name, os.O_WRONLY)
            task()

        with executor(1) as ex:
            begun = time.monotonic()
            future = ex.submit(start)
            sleeper = int(os.read(read, 20))
            print(outcome(future, 20)[:11], outcome(ex.submit(abs, -1), 20))
        print(time.monotonic() - begun < 20)
        os.kill(sleeper, 9)
        """,
        method,
    )
    assert done.lines == ["WorkerDied: 1", "True"]


def test_task_forks_and_both_return(method: str, counted) -> None:
    """The copy ends before it can answer; every result is the right one."""
    done = counted(
        """
        def forks(i):
            if os.fork() > 0:
                os.wait()
            return i

        def forks_and_fails(i):
            if os.fork() > 0:
                os.wait()
            raise ValueError(i)

        with executor(2) as ex:
            print([outcome(ex.submit(forks, i)) for i in range(5)])
            print(outcome(ex.submit(forks_and_fails, 7)))
            print(list(ex.map(forks, range(30), chunksize=10)))
            print(list(map(str, ex.map(forks_and_fails, [1, 2], chunksize=2,
                                       return_exceptions=True))))
            print([outcome(ex.submit(pow, i, 2)) for i in range(5)])
        """,
        method,
    )
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
        """
        def forks():
            if os.fork() > 0:
                os.wait()

        def task(i):
            note(i)
            return i

        with executor(1, initializer=forks) as ex:
            print([outcome(ex.submit(task, i), 5) for i in range(20)])
        print(sorted(map(int, runs())) == list(range(20)))
        """,
        timeout=15,
    )
    assert done.lines == [str(list(range(20))), "True"]


def test_task_leaves_a_thread_and_a_program_behind(counted) -> None:
    """The shutdown is bounded; the thread would run for a minute."""
    done = counted(
        """
        import subprocess
        def task():
            threading.Thread(target=time.sleep, args=(60,)).start()
            return subprocess.Popen(["sleep", "60"]).pid

        begun = time.monotonic()
        with executor(1) as ex:
            sleeper = ex.submit(task).result(10)
        print(time.monotonic() - begun < 20)
        os.kill(sleeper, 9)
        """
    )
    assert done.lines == ["True"]


def test_sigkill_of_the_server(method: str, counted) -> None:
    """Beyond the list: the process that starts workers dies, busy workers go on."""
    done = counted(
        """
        def task(i):
            note(i)
            if i < 2:
                while not os.path.exists(os.environ["DIR"] + "/go"):
                    time.sleep(0.005)
            return i

        with executor(2) as ex:
            futures = [ex.submit(task, i) for i in range(40)]
            while len(runs()) < 2:
                time.sleep(0.005)
            os.kill(ex._pool.starter.launcher._pid, 9)
            open(os.environ["DIR"] + "/go", "w").close()
            print([outcome(f) for f in futures] == list(range(40)))
            print(outcome(ex.submit(os._exit, 1))[:11], outcome(ex.submit(abs, -1)))
        print(sorted(map(int, runs())) == list(range(40)))
        """,
        method,
    )
    assert done.lines == ["True", "WorkerDied: 1", "True"]


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
