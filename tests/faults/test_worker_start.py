"""Workers that cannot start, or not with what they have."""

from __future__ import annotations

import textwrap

import pytest
from harness import run, started

from support.free_threading import limited_memory
from support.programs import program
from support.waiting import wait_until


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
    done = counted(program("worker_start/initializer_fails", FAULT=fault), method)
    assert done.lines[0].startswith("{'WorkerStartError: builtins.abs was not run")
    assert done.lines[0].endswith(reason + "'}")
    assert done.lines[1:] == ["WorkerStartError", "True", "nothing left"]
    raised = not fault.startswith("os.")
    assert ("Exception in initializer:" in done.err) == raised


def test_initializer_recovers(method: str, counted) -> None:
    """A few failures are survived; no call is lost or runs twice."""
    done = counted(program("worker_start/initializer_recovers"), method)
    assert done.lines == [str(list(range(30))), "3 True"]


def test_pool_is_broken_for_calls_that_come_later(counted) -> None:
    """As the standard library has it, also if the reason is gone by then."""
    done = counted(program("worker_start/pool_is_broken_for_calls_that_come_later"))
    text = "the call was not run, no worker could be started: OSError: not yet"
    assert done.lines == ["True", text, text, "True"]


def test_some_workers_start(counted) -> None:
    """Those that did serve every call; the others are not tried for ever."""
    done = counted(program("worker_start/some_workers_start"))
    assert done.lines == ["[] 60", "True"]


def test_callback_may_wait_for_another_thread(counted) -> None:
    """A done-callback of a call that fails so holds no lock of the pool."""
    done = counted(program("worker_start/callback_may_wait_for_another_thread"))
    assert done.lines == ["free"]


@pytest.mark.parametrize(
    "python", ["/nowhere/python", "/bin/false", "/bin/true", "/", "", None]
)
@pytest.mark.parametrize("method", ["forkserver", "spawn"])
def test_python_is_broken(python: str | None, method: str, counted) -> None:
    """A bad executable fails the calls; a good one again serves."""
    done = counted(
        program("worker_start/python_is_broken", PYTHON=repr(python)), method
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
        wait_until(lambda: child.processes() == [int(pid)])


@pytest.mark.parametrize("start", ["forkserver", "spawn"])  # a fork is not for threads
def test_many_threads_make_the_first_call(start: str) -> None:
    """Each gets its result, of one pool with one server."""
    done = run(program("worker_start/many_threads_make_the_first_call"), start)
    assert done.lines == ["ok"]


def test_initializer_of_a_fork_need_not_be_pickled() -> None:
    """With the start method fork it is there already."""
    done = run(
        program("worker_start/initializer_of_a_fork_need_not_be_pickled"), "fork"
    )
    assert done.lines == ["lock"]


@limited_memory
def test_task_runs_out_of_memory(method: str) -> None:
    """MemoryError on that call, the worker lives on."""
    done = run(program("worker_start/task_runs_out_of_memory"), method)
    assert done.lines == ["MemoryError:  True", "['MemoryError', 'MemoryError']"]


#: An initializer that leaves a worker 60 MB.
LIMITED = program("worker_start/limited")


@pytest.mark.parametrize("form", ["call", "row", "rows"])
def test_argument_too_large_for_the_worker(form: str, counted) -> None:
    """It fails that call; it does not kill worker after worker."""
    done = counted(
        LIMITED
        + program("worker_start/argument_too_large_for_the_worker", FORM=repr(form))
    )
    if form == "call":
        assert done.lines[0] in ("MemoryError", "WorkerDied")
    elif form == "row":
        assert done.lines[0] in ("[1, 'MemoryError', 3]", "[1, 'WorkerDied', 3]")
    else:  # they travel together
        assert "Error" in done.lines[0] or "WorkerDied" in done.lines[0]
        assert "endless" not in done.lines[0]
    assert done.lines[1:] == ["1 True"]


@limited_memory
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
    done = run(program("worker_start/result_too_large_for_the_parent", FORM=repr(form)))
    assert done.lines[0] in ("MemoryError", "WorkerDied", "SerializationError")
    assert done.lines[1:] == ["slow [0, 1, 4, 9]"]


def test_worker_lacks_the_module(counted) -> None:
    """ModuleNotFoundError on the calls; the worker serves on."""
    done = counted(program("worker_start/worker_lacks_the_module"))
    error = "ModuleNotFoundError: No module named 'helper'"
    assert done.lines == [error, error, str(["ModuleNotFoundError"] * 3), "True"]


def test_worker_has_another_version_of_the_module(counted) -> None:
    """The name is not there: that call fails, saying which."""
    done = counted(program("worker_start/worker_has_another_version_of_the_module"))
    assert done.lines == [
        "1",
        "AttributeError: module 'versioned' has no 'new' in the worker",
        "1",
    ]


def test_path_and_folder_are_those_of_the_caller(method: str, counted) -> None:
    """As they are when the worker starts."""
    done = counted(
        program("worker_start/path_and_folder_are_those_of_the_caller"), method
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
        program(
            "worker_start/worker_starts_while_multiprocessing_is_imported",
            FORM=repr(form),
        )
    )
    assert done.lines == ["[0, 1, 2, 3, 4]"]


def test_a_warning_of_the_fork_leaves_no_process(counted) -> None:
    """It is an error where those are, and from Python 3.15 on the child is there."""
    done = counted(
        program("worker_start/a_warning_of_the_fork_leaves_no_process"), "fork"
    )
    assert done.lines == ["True", "2"]
