"""The program forks, or its workers are forks of it."""

from __future__ import annotations

import pathlib
import textwrap
import time

import pytest
from harness import run, started

FORKING = '''
import traceback, warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads

def in_child(work):
    """Do some work in a fork; return the exit code of that."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code = 1
        signal.alarm(10)  # a child that hangs ends by SIGALRM
        try:
            work()
            sys.stdout.flush()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

'''


def forking(program: str) -> str:
    return FORKING + textwrap.dedent(program)


def test_child_makes_a_fresh_pool(method: str) -> None:
    """The executor works on in the child, with workers of its own."""
    done = run(
        forking(
            """
            ex = executor(2)
            mine = {ex.submit(os.getpid).result() for _ in range(5)}
            def work():
                theirs = {ex.submit(os.getpid).result() for _ in range(5)}
                print("child", theirs & mine, list(ex.map(abs, [-1, -2])))
                ex.shutdown()
            print(in_child(work), in_child(work))
            print("parent", {ex.submit(os.getpid).result() for _ in range(5)} <= mine)
            """
        ),
        method,
    )
    assert done.lines == [*["child set() [1, 2]"] * 2, "0 0", "parent True"]
    assert (done.code, done.err) == (0, "")


def test_children_use_decorated_functions() -> None:
    """The preload of a server: used before the fork, and in each child."""
    done = run(
        forking(
            """
            import parallelize
            @parallelize.processed
            def pid(): return os.getpid()
            mine = {pid().result() for _ in range(5)}
            def work():
                print("child", {pid().result() for _ in range(5)} & mine)
                parallelize.shutdown()
            print(in_child(work), in_child(work))
            print("parent", len({pid().result() for _ in range(5)} & mine) > 0)
            """
        )
    )
    assert done.lines == [*["child set()"] * 2, "0 0", "parent True"]
    assert (done.code, done.err) == (0, "")


def test_child_of_multiprocessing() -> None:
    """The same in a process that multiprocessing forks."""
    done = run(
        forking(
            """
            import multiprocessing
            from parallelize import processed
            remote = processed(abs)
            print(remote(-1).result())
            def work(): print(remote(-2).result(), flush=True)
            child = multiprocessing.get_context("fork").Process(target=work)
            child.start()
            child.join(10)
            print(child.exitcode, remote(-3).result())
            """
        )
    )
    assert done.lines == ["1", "2", "0 3"]
    assert (done.code, done.err) == (0, "")


def test_inherited_futures_fail_at_once_in_the_child(
    method: str, tmp_path: pathlib.Path
) -> None:
    """Pending ones raise; ended ones keep what they came to."""
    done = run(
        forking(
            f"""
            def held():
                while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.001)
                return "run"
            ex = executor(1)
            ended = ex.submit(abs, -1)
            wait([ended])
            running, queued = ex.submit(held), ex.submit(abs, -2)
            rows = ex.map(abs, [-3])
            while not running.running(): time.sleep(0.001)
            def work():
                print(outcome(ended))
                print(outcome(running), outcome(queued), sep="\\n")
                print(len(wait([running, queued]).done), queued.cancel(), running.kill())
                try: print("a row", next(rows))
                except BaseException as error: print(type(error).__name__)
            print(in_child(work))
            open({str(tmp_path / "go")!r}, "w").close()
            print(outcome(running), outcome(queued), list(rows))
            """
        ),
        method,
    )
    assert done.lines[0] == "1"
    assert all("parent" in line for line in done.lines[1:3])
    assert all(line.startswith("RuntimeError: ") for line in done.lines[1:3])
    assert done.lines[3] == "2 False False"
    assert done.lines[4] in ("RuntimeError", "CancelledError")
    assert done.lines[5:] == ["0", "run 2 [3]"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(0)",
        "ex.shutdown(); sys.exit(0)",
        "ex.kill_workers(); sys.exit(0)",
        "del ex, running; import gc; gc.collect(); sys.exit(0)",
        "ex.submit(abs, -1).result(); sys.exit(0)",
        "os.abort()",
    ],
)
def test_end_of_the_child_leaves_the_parents_pool_alone(
    ending: str, tmp_path: pathlib.Path
) -> None:
    """Neither its exit nor a close there stops what the parent runs."""
    done = run(
        forking(
            f"""
            import faulthandler; faulthandler.disable()
            def held():
                while not os.path.exists({str(tmp_path / "go")!r}): time.sleep(0.001)
                return os.getpid()
            ex = executor(1)
            first = ex.submit(os.getpid).result()
            running = ex.submit(held)
            pid = os.fork()
            if pid == 0:
                signal.alarm(10)
                {ending}
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            open({str(tmp_path / "go")!r}, "w").close()
            print(code, running.result() == first, ex.submit(os.getpid).result() == first)
            """
        )
    )
    assert done.lines == ["-6 True True" if "abort" in ending else "0 True True"]
    assert (done.code, done.err) == (0, "")


def test_fork_while_threads_submit(method: str) -> None:
    """Whatever lock another thread held, the child works."""
    done = run(
        forking(
            """
            ex = executor(2)
            ex.submit(abs, -1).result()
            stop = threading.Event()
            def call_on():
                while not stop.is_set():
                    wait([ex.submit(abs, -1) for _ in range(20)])
            threads = [threading.Thread(target=call_on) for _ in range(3)]
            for t in threads: t.start()
            def work():
                assert ex.submit(abs, -1).result() == 1
                ex.shutdown()
            print({in_child(work) for _ in range(10)})
            stop.set()
            for t in threads: t.join()
            print(ex.submit(abs, -1).result())
            """
        ),
        method,
    )
    assert done.lines == ["{0}", "1"]
    assert (done.code, done.err) == (0, "")


def test_fork_while_a_thread_makes_the_global_pool() -> None:
    """The locks of the global pools are made anew, too.

    Not the very first time: a fork while another thread imports a module leaves
    that module locked in the child, which is CPython's affair.
    """
    done = run(
        forking(
            """
            import parallelize
            remote = parallelize.processed(abs)
            remote(-1).result()
            parallelize.shutdown()
            stop = threading.Event()
            def call_on():
                while not stop.is_set():
                    remote(-1).result()
                    parallelize.shutdown()
            thread = threading.Thread(target=call_on)
            thread.start()
            def work():
                assert remote(-1).result() == 1
                parallelize.shutdown()
            print({in_child(work) for _ in range(8)})
            stop.set()
            thread.join()
            """
        )
    )
    assert done.lines == ["{0}"]
    assert (done.code, done.err) == (0, "")


def test_forked_child_does_not_keep_the_workers_alive(method: str) -> None:
    """The parent is killed; its fork lives on, the workers do not."""
    with started(
        forking(
            """
            ex = executor(2)
            ex.submit(abs, -1).result()
            pid = os.fork()
            if pid == 0:
                os.close(1); os.close(2)
                signal.pause()
            print(pid, flush=True)
            ex.submit(time.sleep, 3600).result()
            """
        ),
        method,
    ) as child:
        assert child.process.stdout is not None
        forked = int(child.process.stdout.readline())
        child.process.kill()
        child.process.communicate(timeout=10)  # nobody else holds stdout
        deadline = time.monotonic() + 5
        while child.processes() != [forked] and time.monotonic() < deadline:
            time.sleep(0.01)
        assert child.processes() == [forked]


def test_default_start_method_does_not_fork_the_program() -> None:
    """With threads running no warning of a fork is given: there is none."""
    done = run(
        """
        from parallelize import processed
        threading.Thread(target=time.sleep, args=(0.3,)).start()
        os.register_at_fork(before=lambda: print("forked"))
        print(processed(abs)(-1).result())
        """,
        env={"PYTHONWARNINGS": "error"},
    )
    assert (done.code, done.out, done.err) == (0, "1\n", "")


def test_random_numbers_differ(method: str, tmp_path: pathlib.Path) -> None:
    """Two workers do not draw the same numbers, nor those of the parent."""
    pytest.importorskip("numpy")
    done = run(
        f"""
        import random, numpy
        def draw(_):
            open(f"{tmp_path}/{{os.getpid()}}", "w").close()
            while len(os.listdir({str(tmp_path)!r})) < 2: time.sleep(0.001)
            return os.getpid(), random.random(), numpy.random.random()
        with executor(2) as ex:
            drawn = [*ex.map(draw, range(2), chunksize=1), (0, random.random(), numpy.random.random())]
        print([len(set(column)) for column in zip(*drawn)])
        """,
        method,
    )
    assert done.lines == ["[3, 3, 3]"]


def test_script_without_a_guard(method: str, tmp_path: pathlib.Path) -> None:
    """A script needs no ``__main__`` guard; no worker runs it again."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import os
            os.write(1, b"the script runs\\n")
            from parallelize import ProcessPoolExecutor, processed
            def twice(x): return 2 * x
            with ProcessPoolExecutor(2, {method!r}) as ex:
                print(list(ex.map(twice, [1, 2])), flush=True)
            print(processed(twice)(4).result())
            """
        )
    )
    done = run(f"os.execv(sys.executable, [sys.executable, {str(script)!r}])")
    assert done.lines == ["the script runs", "[2, 4]", "8"]
    assert (done.code, done.err) == (0, "")
