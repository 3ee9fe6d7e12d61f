"""Workers that cannot start, or not with what they have."""

from __future__ import annotations

import pathlib
import textwrap
import time

import pytest
from harness import Run, run, started

TOOLS = '''
def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\\n".encode())

def runs():
    with open(os.environ["RUNS"]) as file:
        return file.read().split()
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
    ("fault", "reason"),
    [
        ("raise ValueError('no database')", "ValueError: no database"),
        ("sys.exit('gone')", "SystemExit: gone"),
        ("os._exit(0)", "exit code 0"),
        ("os.kill(os.getpid(), 9)", "exit code -9"),
    ],
)
def test_initializer_fails(fault: str, reason: str, method: str, counted) -> None:
    """A few tries, then every waiting call fails with the reason."""
    done = counted(
        f"""
        def start():
            note("try")
            {fault}

        files = open_files()
        with executor(2, initializer=start) as ex:
            futures = [ex.submit(abs, -1) for _ in range(20)]
            print({{outcome(f) for f in futures}})
            try:
                print(list(ex.map(abs, [-1, -2])))
            except Exception as error:
                print(type(error).__name__)
        print(len(runs()) <= 12 or runs())
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines[0].startswith("{'WorkerStartError: builtins.abs was not run")
    assert done.lines[0].endswith(reason + "'}")
    assert done.lines[1:] == ["WorkerStartError", "True", "nothing left"]
    raised = not fault.startswith("os.")
    assert ("Exception in initializer:" in done.err) == raised


def test_initializer_recovers(method: str, counted) -> None:
    """A few failures are survived; no call is lost or runs twice."""
    done = counted(
        """
        def start():
            note("try")
            if len(runs()) <= 2:
                raise OSError("not yet")

        def task(i):
            note(i)
            return i

        with executor(1, initializer=start) as ex:
            print([outcome(f) for f in [ex.submit(task, i) for i in range(30)]])
        print(runs().count("try"), [runs().count(str(i)) for i in range(30)] == [1] * 30)
        """,
        method,
    )
    assert done.lines == [str(list(range(30))), "3 True"]


def test_pool_is_broken_for_calls_that_come_later(counted) -> None:
    """As the standard library has it, also if the reason is gone by then."""
    done = counted(
        """
        def start():
            note("try")
            if not os.path.exists(os.environ["DIR"] + "/go"):
                raise OSError("not yet")

        with executor(2, initializer=start) as ex:
            print(outcome(ex.submit(abs, -1)).endswith("OSError: not yet"))
            open(os.environ["DIR"] + "/go", "w").close()
            import concurrent.futures
            for use in (ex.submit, lambda fn, x: list(ex.map(fn, [x]))):
                try:
                    use(abs, -1)
                except concurrent.futures.BrokenExecutor as error:
                    print(error)
            tries = len(runs())
        print(len(runs()) == tries)
        """
    )
    text = "the call was not run, no worker could be started: OSError: not yet"
    assert done.lines == ["True", text, text, "True"]


def test_some_workers_start(counted) -> None:
    """Those that did serve every call; the others are not tried for ever."""
    done = counted(
        """
        def start():
            note("try")
            if len(runs()) > 1:
                raise OSError("one is enough")

        def task(i):
            if i == 0:  # the first worker is busy while others fail to start
                time.sleep(0.5)
            return i

        with executor(4, initializer=start) as ex:
            ex.submit(abs, -1).result(10)
            got = [outcome(f) for f in [ex.submit(task, i) for i in range(60)]]
        print([each for each in got if type(each) is str][:1], len(got))
        print(len(runs()) <= 20 or len(runs()))
        """
    )
    assert done.lines == ["[] 60", "True"]


def test_callback_may_wait_for_another_thread(counted) -> None:
    """A done-callback of a call that fails so holds no lock of the pool."""
    done = counted(
        """
        def start():
            raise OSError("never")

        def callback(future):
            thread = threading.Thread(target=lambda: ex.submit(abs, -1))
            thread.start()
            thread.join(3)
            print("stuck" if thread.is_alive() else "free")

        with executor(1, initializer=start) as ex:
            future = ex.submit(abs, -1)
            future.add_done_callback(callback)
            future.exception(10)
        """
    )
    assert done.lines == ["free"]


@pytest.mark.parametrize(
    "python", ["/nowhere/python", "/bin/false", "/bin/true", "/", "", None]
)
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_python_is_broken(python: str | None, method: str, counted) -> None:
    """A bad executable fails the calls; a good one again serves."""
    done = counted(
        f"""
        good, sys.executable = sys.executable, {python!r}
        files = open_files()
        with executor(2) as ex:
            print({{outcome(ex.submit(abs, -1)).split(":")[0] for _ in range(3)}})
            rows = ex.map(abs, range(-9, 0), chunksize=3, return_exceptions=True)
            print({{isinstance(each, Exception) for each in rows}})
            sys.executable = good
            print([outcome(ex.submit(abs, -i)) for i in range(3)])
            print(list(ex.map(abs, range(-3, 0), chunksize=3, timeout=10)))
            print(outcome(ex.submit(abs, -1)), len(ex._pool.queue),
                  [len(w.tasks) for w in ex._pool.workers.values()].count(0) >= 1)
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines[0] in ("{'WorkerStartError'}", "{'RuntimeError'}")
    assert done.lines[1:] == [
        "{True}",
        "[0, 1, 2]",
        "[3, 2, 1]",
        "1 0 True",
        "nothing left",
    ]


def test_interpreter_of_a_worker_is_broken(counted) -> None:
    """What the new interpreter says on stderr is seen."""
    done = counted(
        """
        os.environ["PYTHONHOME"] = "/nowhere"
        with executor(2) as ex:
            print(outcome(ex.submit(abs, -1)).split(":")[0])
            del os.environ["PYTHONHOME"]
            print(outcome(ex.submit(abs, -1)))
        """
    )
    assert done.lines == ["WorkerStartError", "1"]
    assert "encodings" in done.err


def test_initializer_cannot_be_pickled() -> None:
    """The call says so; nothing starts."""
    done = run(
        """
        lock = threading.Lock()
        with executor(2, initializer=print, initargs=(lock,)) as ex:
            print(outcome(ex.submit(abs, -1)))
            print(len(children()))
        """
    )
    assert "cannot pickle '_thread.lock' object" in done.lines[0]
    assert "initargs" in done.lines[0]
    assert done.lines[1] == "0"


# The server is started before it is known whether the first call can be made at all.

REFUSED = """
files = open_files()
ex = executor(2)
print(outcome(ex.submit(abs, threading.Lock())).split(":")[0])
"""


def test_first_call_cannot_be_pickled(method: str) -> None:
    done = run(
        REFUSED
        + """
print(outcome(ex.submit(abs, -1)))
ex.shutdown()
print(nothing_left(files))
""",
        method,
    )
    assert done.lines == ["SerializationError", "1", "nothing left"]


@pytest.mark.parametrize(
    "end",
    [
        "ex.shutdown(); print(nothing_left(files))",
        "ex.shutdown(wait=False); print(nothing_left(files))",
        "ex.kill_workers(); print(nothing_left(files))",
        "del ex; import gc; gc.collect(); print(nothing_left(files))",
        "print('nothing left')",  # but at the end of the program
        "print('nothing left', flush=True); os._exit(0)",
    ],
)
def test_first_call_cannot_be_pickled_and_there_is_no_other(
    method: str, end: str
) -> None:
    done = run(REFUSED + end, method)
    assert done.lines == ["SerializationError", "nothing left"]


def test_first_call_cannot_be_pickled_and_a_child_lives_on(method: str) -> None:
    """The server ends with the program, though a forked child had its sockets."""
    with started(
        REFUSED
        + """
if os.fork() == 0:
    print("child", os.getpid(), outcome(ex.submit(abs, -2)), flush=True)
    ex.shutdown()
    signal.pause()
os._exit(0)
""",
        method,
    ) as child:
        assert child.process.stdout is not None
        assert child.process.stdout.readline() == "SerializationError\n"
        word, pid, result = child.process.stdout.readline().split()
        assert (word, result) == ("child", "2")
        child.process.wait(10)
        deadline = time.monotonic() + 5
        while child.processes() != [int(pid)] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.processes() == [int(pid)]


@pytest.mark.parametrize("start", ["forkserver", "spawn"])  # a fork is not for threads
def test_many_threads_make_the_first_call(start: str) -> None:
    """Each gets its result, of one pool with one server."""
    done = run(
        """
        files = open_files()
        for _ in range(5):
            ex = executor(2)
            together, told = threading.Barrier(8), []
            def call(n):
                together.wait()
                told.append(outcome(ex.submit(abs, -n)))
            threads = [threading.Thread(target=call, args=[n]) for n in range(8)]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            assert sorted(told) == list(range(8)), told
            assert len(ex._successors) == 1
            ex.shutdown()
            assert nothing_left(files) == "nothing left", nothing_left(files)
        print("ok")
        """,
        start,
    )
    assert done.lines == ["ok"]


def test_initializer_of_a_fork_need_not_be_pickled() -> None:
    """With the start method fork it is there already."""
    done = run(
        """
        lock = threading.Lock()
        def start(given):
            global seen
            seen = type(given).__name__

        with executor(2, initializer=start, initargs=(lock,)) as ex:
            print(outcome(ex.submit(lambda: sys.modules["__main__"].seen)))
        """,
        "fork",
    )
    assert done.lines == ["lock"]


def test_task_runs_out_of_memory(method: str) -> None:
    """MemoryError on that call, the worker lives on."""
    done = run(
        """
        def task():
            import resource
            used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            resource.setrlimit(resource.RLIMIT_AS, (used + 50_000_000, hard))
            try:
                return len(bytes(1_000_000_000))
            finally:
                resource.setrlimit(resource.RLIMIT_AS, (soft, hard))

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            print(outcome(ex.submit(task)), outcome(ex.submit(os.getpid)) == pid)
            print([type(e).__name__ for e in ex.map(
                lambda _: task(), range(2), return_exceptions=True)])
        """,
        method,
    )
    assert done.lines == ["MemoryError:  True", "['MemoryError', 'MemoryError']"]


#: An initializer that leaves a worker 60 MB.
LIMITED = """
def limited():
    import resource, cloudpickle
    used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    # The stack of the watcher thread, and what malloc reserves for it.
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + 250_000_000, hard))
    note("start")
"""


@pytest.mark.parametrize("form", ["call", "row", "rows"])
def test_argument_too_large_for_the_worker(form: str, counted) -> None:
    """It fails that call; it does not kill worker after worker."""
    done = counted(
        LIMITED
        + textwrap.dedent(
            f"""
            with executor(1, initializer=limited) as ex:
                ex.submit(abs, -1).result(10)
                big = bytes(400_000_000)
                if {form!r} == "call":
                    future = ex.submit(len, big)
                elif {form!r} == "row":
                    future = None
                    rows = ex.map(len, [b"1", big, b"123"], timeout=8,
                                  return_exceptions=True)
                else:
                    future = None
                    rows = ex.map(len, [b"1", big, b"123"], timeout=8, chunksize=3,
                                  return_exceptions=True)
                try:
                    if future:
                        print(type(future.exception(8)).__name__)
                    else:
                        print([r if type(r) is int else type(r).__name__ for r in rows])
                    print(outcome(ex.submit(abs, -1)), len(runs()) <= 8)
                except TimeoutError:
                    print("endless:", len(runs()), "workers")
                    ex.kill_workers()
            """
        )
    )
    if form == "call":
        assert done.lines[0] in ("MemoryError", "WorkerDied")
    elif form == "row":
        assert done.lines[0] in ("[1, 'MemoryError', 3]", "[1, 'WorkerDied', 3]")
    else:  # they travel together
        assert "Error" in done.lines[0] or "WorkerDied" in done.lines[0]
        assert "endless" not in done.lines[0]
    assert done.lines[1:] == ["1 True"]


def test_result_too_large_for_the_worker(counted) -> None:
    """There is no memory to pickle it: that call fails."""
    done = counted(
        LIMITED
        + textwrap.dedent(
            """
            with executor(1, initializer=limited) as ex:
                error = ex.submit(bytes, 130_000_000).exception(10)
                print(type(error).__name__, "MemoryError" in f"{error!r} {error}")
                print(outcome(ex.submit(abs, -1)), len(runs()))
            """
        )
    )
    assert done.lines == ["SerializationError True", "1 1"]


@pytest.mark.parametrize("form", ["call", "row"])
def test_result_too_large_for_the_parent(form: str) -> None:
    """That call fails; the others and the pool do not."""
    done = run(
        f"""
        import resource
        def name(future):
            error = future.exception(10)
            return type(error).__name__ if error else future.result()

        with executor(2) as ex:
            [ex.submit(abs, -1).result(10) for _ in range(4)]
            slow = ex.submit(lambda: time.sleep(0.5) or "slow")
            used = int(open("/proc/self/statm").read().split()[0])
            soft, hard = resource.getrlimit(resource.RLIMIT_AS)
            limit = used * resource.getpagesize() + 100_000_000
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))
            if {form!r} == "call":
                print(name(ex.submit(bytes, 300_000_000)))
            else:
                rows = ex.map(bytes, [300_000_000], timeout=10, return_exceptions=True)
                print(type(next(rows)).__name__)
            resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
            print(name(slow), [outcome(ex.submit(pow, i, 2)) for i in range(4)])
        """
    )
    assert done.lines[0] in ("MemoryError", "WorkerDied", "SerializationError")
    assert done.lines[1:] == ["slow [0, 1, 4, 9]"]


def test_worker_lacks_the_module(counted) -> None:
    """ModuleNotFoundError on the calls; the worker serves on."""
    done = counted(
        """
        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            folder = os.environ["DIR"]
            with open(folder + "/latecomer.py", "w") as file:
                file.write("import sys\\nfrom helper import here\\n")
                file.write("def f(x): return x\\nclass C: pass\\n")
            sys.modules["helper"] = type(sys)("helper")  # a worker has no such file
            sys.modules["helper"].here = None
            sys.path.append(folder)  # the worker has started before
            import latecomer
            print(outcome(ex.submit(latecomer.f, 1)))
            print(outcome(ex.submit(id, latecomer.C())))
            rows = ex.map(latecomer.f, range(3), chunksize=3, return_exceptions=True)
            print([type(each).__name__ for each in rows])
            print(outcome(ex.submit(os.getpid)) == pid)
        """
    )
    error = "ModuleNotFoundError: No module named 'helper'"
    assert done.lines == [error, error, str(["ModuleNotFoundError"] * 3), "True"]


def test_worker_has_another_version_of_the_module(counted) -> None:
    """The name is not there: that call fails, saying which."""
    done = counted(
        """
        folder = os.environ["DIR"]
        sys.path.append(folder)
        def write(text):
            with open(folder + "/versioned.py", "w") as file:
                file.write(text)
        write("def old(): return 1\\n")
        sys.dont_write_bytecode = True
        with executor(1) as ex:
            import versioned
            print(outcome(ex.submit(versioned.old)))  # the worker has the old one
            write("def old(): return 2\\ndef new(): return 3\\n")
            import importlib
            importlib.invalidate_caches()
            versioned = importlib.reload(versioned)
            print(outcome(ex.submit(versioned.new)))
            print(outcome(ex.submit(abs, -1)))
        """
    )
    assert done.lines == [
        "1",
        "AttributeError: module 'versioned' has no 'new' in the worker",
        "1",
    ]


def test_path_and_folder_are_those_of_the_caller(method: str, counted) -> None:
    """As they are when the worker starts."""
    done = counted(
        """
        folder = os.environ["DIR"]
        with open(folder + "/elsewhere.py", "w") as file:
            file.write("def f(): return __file__\\n")
        sys.path.insert(0, folder)
        os.chdir(folder)
        with executor(1) as ex:
            import elsewhere
            print(outcome(ex.submit(elsewhere.f)) == folder + "/elsewhere.py")
            print(outcome(ex.submit(os.getcwd)) == folder)
        """,
        method,
    )
    assert done.lines == ["True", "True"]


def test_folder_was_removed(method: str, counted) -> None:
    """A program whose folder is gone still has workers."""
    done = counted(
        """
        folder = os.environ["DIR"] + "/gone"
        os.mkdir(folder)
        os.chdir(folder)
        with executor(1) as ex:
            os.rmdir(folder)  # now, for a Python without a folder imports badly
            print(outcome(ex.submit(abs, -1)))
        """,
        method,
    )
    assert done.lines == ["1"]


@pytest.mark.parametrize("form", ["call", "rows"])
def test_worker_starts_while_multiprocessing_is_imported(form: str) -> None:
    """Another thread imports it just now, the module is there half.

    The pool's own thread does so when the first call dies.
    """
    done = run(
        f"""
        import types
        half = types.ModuleType("multiprocessing.process")
        sys.modules["multiprocessing.process"] = half
        with executor(2) as ex:
            if {form!r} == "call":
                print([outcome(ex.submit(abs, -i)) for i in range(5)])
            else:
                rows = ex.map(abs, range(-4, 1), timeout=10, return_exceptions=True)
                print(sorted(rows, key=str))
            del sys.modules["multiprocessing.process"]
        """
    )
    assert done.lines == ["[0, 1, 2, 3, 4]"]


def test_a_warning_of_the_fork_leaves_no_process(counted) -> None:
    """It is an error where those are, and from Python 3.15 on the child is there."""
    done = counted(
        """
        import warnings
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        with executor(1) as ex:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                first = outcome(ex.submit(abs, -1))
            print(first == 1 or first.startswith("DeprecationWarning: "))
            if first != 1:
                try: print(os.waitpid(-1, 0))
                except ChildProcessError: pass
            warnings.simplefilter("ignore")
            print(ex.submit(abs, -2).result())
        """,
        "fork",
    )
    assert done.lines == ["True", "2"]
