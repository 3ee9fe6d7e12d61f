"""Calls are stopped from outside: `timeout=` and `Future.kill`."""

from __future__ import annotations

import pathlib
import textwrap

import pytest
from harness import Run, run

#: What every program here can do: count its runs, and run for ever.
TOOLS = '''
from parallelize import processed

def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\\n".encode())

def runs():
    with open(os.environ["RUNS"]) as file:
        return sorted(map(int, file.read().split()))

def until(count):
    """Wait for so many runs to have begun."""
    while len(runs()) < count:
        time.sleep(0.002)

def warm(workers):
    """An executor whose workers have loaded what unpacks our functions."""
    return executor(workers, initializer=__import__, initargs=("cloudpickle",))

def name(future):
    """A value, or the class name of an error."""
    error = future.exception(20)
    return type(error).__name__ if error else future.result()
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
    "hang",
    [
        "time.sleep(60)",
        "exec('while True: pass')",
        "os.kill(os.getpid(), signal.SIGSTOP)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)",
        "signal.pthread_sigmask(0, signal.valid_signals()); time.sleep(60)",
    ],
    ids=["sleeps", "computes", "stopped", "ignores", "blocks"],
)
def test_timeout_kills(hang: str, method: str, counted) -> None:
    """At the deadline, whatever it does; the next call runs."""
    done = counted(
        f"""
        def task(i):
            note(os.getpid())
            {hang}

        files = open_files()
        with executor(1) as ex:
            begun = time.monotonic()
            future = processed(timeout=0.2, executor=ex)(task)(1)
            print(outcome(future))
            seconds = time.monotonic() - begun
            print(0.2 <= seconds < 10 or seconds)
            print(outcome(ex.submit(abs, -1)), len(runs()))
            os.kill(os.getpid(), 0)
            print(os.path.exists(f"/proc/{{runs()[0]}}"))
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines == [
        "TaskTimeout: __main__.task ran longer than its timeout of 0.2 seconds",
        "True",
        "1 1",
        "False",
        "nothing left",
    ]
    assert "is killed, as __main__.task runs for longer than its timeout" in done.err
    assert "Traceback" not in done.err


def test_stopped_worker_is_not_dead(counted) -> None:
    """Without a timeout nobody declares it dead; it goes on."""
    done = counted(
        """
        def task():
            note(os.getpid())
            os.kill(os.getpid(), signal.SIGSTOP)
            return "went on"

        with executor(2) as ex:
            future = ex.submit(task)
            until(1)
            pid = runs()[0]
            while open(f"/proc/{pid}/stat").read().split()[2] != "T":
                time.sleep(0.002)
            print([outcome(ex.submit(pow, i, 2)) for i in range(4)], future.running())
            os.kill(pid, signal.SIGCONT)
            print(outcome(future), len(runs()))
        """
    )
    assert done.lines == ["[0, 1, 4, 9] True", "went on 1"]


def test_timeout_is_from_the_start_of_the_call(counted) -> None:
    """Waiting for a worker, or behind others in a batch, does not count."""
    done = counted(
        """
        def task(i):
            note(i)
            time.sleep(0.04)
            return i

        with warm(1) as ex:
            quick = processed(timeout=0.4, executor=ex)(task)
            print([name(f) for f in [quick(i) for i in range(16)]] == list(range(16)))
            print(list(quick.map(range(16), chunksize=16)) == list(range(16)))
        print(runs() == sorted([*range(16), *range(16)]))
        """
    )
    assert done.lines == ["True", "True", "True"]


def test_timeout_spares_the_rest_of_a_batch(method: str, counted) -> None:
    """Hundreds of tiny calls, some hang: those alone fail, no other runs twice."""
    done = counted(
        """
        HANG = {100, 101, 350}
        def task(i):
            note(i)
            if i in HANG:
                time.sleep(60)
            return i

        with warm(2) as ex:
            call = processed(timeout=0.3, executor=ex)(task)
            got = [name(f) for f in [call(i) for i in range(500)]]
        print({i for i, each in enumerate(got) if each == "TaskTimeout"} == HANG)
        print(all(got[i] == i for i in range(500) if i not in HANG))
        print(runs() == list(range(500)))
        """,
        method,
    )
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("chunk", [None, 1, 1000])
def test_timeout_of_each_item_of_a_map(chunk: int | None, method, counted) -> None:
    """`timeout=` bounds each item; its neighbours in the chunk run once."""
    done = counted(
        f"""
        HANG = {{0, 500, 501, 1999}}
        def task(i):
            note(i)
            if i in HANG:
                time.sleep(60)
            return i

        with warm(2) as ex:
            call = processed(timeout=0.3, executor=ex)(task)
            rows = call.map(range(2000), chunksize={chunk}, return_exceptions=True)
            got = [r if type(r) is int else type(r).__name__ for r in rows]
        print({{i for i, each in enumerate(got) if each == "TaskTimeout"}} == HANG)
        print(all(got[i] == i for i in range(2000) if i not in HANG))
        print(runs() == list(range(2000)))
        """,
        method,
    )
    assert done.lines == ["True", "True", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_call_that_ends_at_its_deadline(form: str, counted) -> None:
    """A call that ends as the blow falls lives or dies; the next never dies for it."""
    done = counted(
        f"""
        TIMEOUT = 0.2
        def task(i):
            begun = time.monotonic()
            note(i)
            if i % 2:  # long, but not too long
                time.sleep(TIMEOUT / 3)
                return i
            # Ends within 1.5 ms of the deadline, on either side.
            end = begun + TIMEOUT - 0.0015 + (i % 24) / 8000
            time.sleep(end - time.monotonic() - 0.001)
            while time.monotonic() < end:
                pass
            return i

        with warm(4) as ex:
            call = processed(timeout=TIMEOUT, executor=ex)(task)
            if {form!r} == "calls":
                got = [name(f) for f in [call(i) for i in range(72)]]
            else:
                rows = call.map(range(72), chunksize=9, return_exceptions=True)
                got = [r if type(r) is int else type(r).__name__ for r in rows]
        print([(i, got[i]) for i in range(1, 72, 2) if got[i] != i])
        print({{got[i] for i in range(0, 72, 2) if got[i] != i}} <= {{"TaskTimeout"}})
        print(runs() == list(range(72)))
        """
    )
    assert done.lines == ["[]", "True", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_worker_is_at_the_next_call_when_the_blow_falls(form: str, counted) -> None:
    """The same, made certain: the halt comes when the next has begun.

    The next is spared, and it has a deadline of its own still.
    """
    done = counted(
        f"""
        from parallelize.process.start.launcher import Launcher
        go = os.environ["DIR"] + "/go"
        halt = Launcher.halt
        def late(self, id):
            open(go, "w").close()
            until(2)
            halt(self, id)
        Launcher.halt = late
        from parallelize.process.parent.tasks.worker_handle import WorkerHandle
        WorkerHandle.reclaim = lambda self: None  # else nothing waits at the worker

        def task(i):
            note(i)
            while i == 0 and not os.path.exists(go):
                time.sleep(0.001)
            time.sleep([0, 0.2, 60, 0][i])
            return i

        with executor(1) as ex:
            ex.submit(time.sleep, 0).result(10)
            call = processed(timeout=0.5, executor=ex)(task)
            if {form!r} == "calls":
                pool = ex._pool
                with pool.lock:  # all go out as one batch
                    idle, pool.idle = pool.idle, []
                futures = [call(i) for i in range(4)]
                with pool.lock:
                    pool.queue._seconds = {{hash(next(iter(pool.queue)).key): 0.0}}
                    pool.idle = idle
                    pool.feed_idle()
                print([name(f) for f in futures])
            else:
                rows = call.map(range(4), chunksize=4, return_exceptions=True)
                print([r if type(r) is int else type(r).__name__ for r in rows])
        print(runs())
        """
    )
    assert done.lines == ["[0, 1, 'TaskTimeout', 3]", "[0, 1, 2, 3]"]


def test_timeouts_of_many_workers_at_once(counted) -> None:
    """Every worker is at its deadline in the same moment."""
    done = counted(
        """
        def task(i):
            note(i)
            if i < 4:
                time.sleep(60)
            return i

        with warm(4) as ex:
            call = processed(timeout=0.4, executor=ex)(task)
            got = [name(f) for f in [call(i) for i in range(60)]]
        print(got[:4], got[4:] == list(range(4, 60)), runs() == list(range(60)))
        """
    )
    assert done.lines == [f"{['TaskTimeout'] * 4} True True"]


def test_kill_a_running_call(method: str, counted) -> None:
    """`Future.kill` stops it at once; calls behind it run, each once."""
    done = counted(
        """
        def task(i):
            note(i)
            if i == 0:
                time.sleep(60)
            return i

        files = open_files()
        with executor(1) as ex:
            futures = [ex.submit(task, i) for i in range(50)]
            until(1)
            print(futures[0].kill(), outcome(futures[0]))
            print([outcome(f) for f in futures[1:]] == list(range(1, 50)))
            print(futures[0].kill(), futures[1].kill(), futures[0].cancelled())
        print(runs() == list(range(50)), nothing_left(files))
        """,
        method,
    )
    assert done.lines == [
        "True TaskKilled: __main__.task was killed while it ran",
        "True",
        "False False False",
        "True nothing left",
    ]


def test_kill_a_queued_call(counted) -> None:
    """It is cancelled, never runs, and costs no worker."""
    done = counted(
        """
        def task(i):
            note(i)
            while i == 0 and not os.path.exists(os.environ["DIR"] + "/go"):
                time.sleep(0.002)
            return os.getpid()

        with executor(1) as ex:
            first, second, third = [ex.submit(task, i) for i in range(3)]
            until(1)
            print(second.kill(), second.cancelled())
            open(os.environ["DIR"] + "/go", "w").close()
            print(first.result(10) == third.result(10), runs())
        """
    )
    assert done.lines == ["True True", "True [0, 2]"]


#: One worker runs number 20 of a batch; `behind` were sent with it.
BATCH = """
def task(i):
    note(i)
    if i == 20:
        STOP
    return i

def start(ex):
    futures = [ex.submit(task, i) for i in range(40)]
    while 20 not in runs():
        time.sleep(0.001)
    return futures
"""


def test_kill_calls_behind_a_running_one(counted) -> None:
    """Whether they wait at the worker or came back from it: they never run."""
    batch = BATCH.replace(
        "STOP", 'while not os.path.exists(os.environ["DIR"] + "/go"): time.sleep(0.002)'
    )
    done = counted(
        batch
        + textwrap.dedent(
            """
            with executor(1) as ex:
                futures = start(ex)
                at_once = [f.kill() for f in futures[21:30]]
                time.sleep(0.2)  # by now the rest has been given back
                later = [f.kill() for f in futures[30:39]]
                open(os.environ["DIR"] + "/go", "w").close()
                print(set(at_once), set(later))
                print([name(f) for f in (*futures[:21], futures[39])])
                print({f.cancelled() or name(f) for f in futures[21:39]}
                      <= {True, "TaskKilled"})
            print(runs())
            """
        )
    )
    assert done.lines == [
        "{True} {True}",
        str([*range(21), 39]),
        "True",
        str([*range(21), 39]),
    ]


def test_nothing_waits_behind_a_long_call(counted) -> None:
    """What was sent with a call that turns out long runs elsewhere meanwhile."""
    done = counted(
        BATCH.replace("return i", "else: time.sleep(0.0005)\n    return i").replace(
            "STOP",
            'while not os.path.exists(os.environ["DIR"] + "/go"): time.sleep(0.002)',
        )
        + textwrap.dedent(
            """
            with executor(2) as ex:
                futures = [ex.submit(task, i) for i in range(300)]
                others = futures[:20] + futures[21:]
                print(len(wait(others, 5).not_done), futures[20].done())
                open(os.environ["DIR"] + "/go", "w").close()
                print([name(f) for f in futures] == list(range(300)))
            print(runs() == list(range(300)))
            """
        )
    )
    assert done.lines == ["0 False", "True", "True"]


def test_kill_the_running_call_of_a_batch(counted) -> None:
    """Those behind it in the batch run elsewhere, each once."""
    done = counted(
        BATCH.replace("STOP", "time.sleep(60)")
        + textwrap.dedent(
            """
            with executor(1) as ex:
                futures = start(ex)
                print(futures[20].kill())
                got = [name(f) for f in futures]
            print(got.pop(20), got == [i for i in range(40) if i != 20])
            print(runs() == list(range(40)))
            """
        )
    )
    assert done.lines == ["True", "TaskKilled True", "True"]


def test_callback_of_a_killed_call_may_wait_for_another_thread(counted) -> None:
    """It runs in the thread that kills: no lock of the pool is held then."""
    done = counted(
        BATCH.replace("STOP", "os.kill(os.getpid(), signal.SIGSTOP)")
        + textwrap.dedent(
            """
            def callback(future):
                thread = threading.Thread(target=ex.submit, args=(abs, -1))
                thread.start()
                thread.join(3)
                print("stuck" if thread.is_alive() else "free")

            def one_behind(ex):
                # A batch, and a call in it that waits at the worker behind the 20th. On
                # a busy machine calls seem to be long, and none may be sent ahead.
                while True:
                    futures = start(ex)
                    for future in futures[21:]:
                        if future.running():
                            return futures, future
                    futures[20].kill()
                    wait(futures)
                    open(os.environ["RUNS"], "w").close()

            with executor(1) as ex:
                futures, victim = one_behind(ex)
                victim.add_done_callback(callback)
                print(victim.kill())
                futures[20].kill()
            """
        )
    )
    assert done.lines == ["free", "True"]


def test_kill_from_many_threads_at_once(counted) -> None:
    """One of them or all hear True; the worker dies for this call alone."""
    done = counted(
        """
        def task(i):
            note(i)
            if i == 0:
                time.sleep(60)
            return i

        with executor(1) as ex:
            futures = [ex.submit(task, i) for i in range(30)]
            until(1)
            barrier = threading.Barrier(8)
            def kill():
                barrier.wait()
                futures[0].kill()
            threads = [threading.Thread(target=kill) for _ in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
            got = [name(f) for f in futures]
        print(got[0], got[1:] == list(range(1, 30)), runs() == list(range(30)))
        """
    )
    assert done.lines == ["TaskKilled True True"]


def test_killed_calls_are_counted(counted) -> None:
    """Calls are killed at random moments: each ends, none runs twice."""
    done = counted(
        """
        import random
        random.seed(4)
        def task(i):
            note(i)
            time.sleep(0.002)
            return i

        with executor(2) as ex:
            futures = [ex.submit(task, i) for i in range(300)]
            killed = set()
            for i in random.sample(range(300), 60):
                if futures[i].kill():
                    killed.add(i)
                time.sleep(0.001)
            wait(futures, 20)
        ended = [i for i, f in enumerate(futures) if not f.cancelled() and not f.exception()]
        print(all(futures[i].result() == i for i in ended))
        rest = set(range(300)) - set(ended)
        print(rest <= killed, len(runs()) == len(set(runs())), set(ended) <= set(runs()))
        """
    )
    assert done.lines == ["True", "True True True"]


def test_timeout_and_server_gone(counted) -> None:
    """The deadline holds though the process that starts workers was killed."""
    done = counted(
        """
        def task(i):
            note(i)
            time.sleep(60)

        with executor(1) as ex:
            future = processed(timeout=0.5, executor=ex)(task)(1)
            until(1)
            os.kill(ex._pool.starter.launcher._pid, 9)
            print(name(future), outcome(ex.submit(abs, -1)), runs())
        """
    )
    assert done.lines == ["TaskTimeout 1 [1]"]
