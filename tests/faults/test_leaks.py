"""Nothing grows, and the limits of the system are met."""

from __future__ import annotations

import ctypes
import os
import pathlib
import textwrap
import warnings

import pytest
from harness import run

from support.free_threading import limited_memory
from support.programs import program

MEASURING = '''
def rss(pid="self"):
    """Kilobytes in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4

'''

#: Gives the program a mount namespace of its own, where it may do what it likes.
MOUNTING = program("leaks/mounting")


def measuring(program: str) -> str:
    return MEASURING + textwrap.dedent(program)


@pytest.fixture(scope="session")
def mounting() -> str:
    """What a program begins with in order to mount file systems of its own."""
    with warnings.catch_warnings():  # it does nothing that threads could disturb
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os._exit(0 if ctypes.CDLL(None).unshare(0x20000) == 0 else 1)
    if os.waitpid(pid, 0)[1]:
        pytest.skip("no right to mount file systems")
    return MOUNTING


# Pools come and go.


@pytest.mark.parametrize(
    ("start", "count"), [("fork", 200), ("forkserver", 20), ("spawn", 6)]
)
def test_many_pools(start: str, count: int) -> None:
    """Descriptors, threads, children and memory are back where they were."""
    done = run(measuring(program("leaks/many_pools", COUNT=count)), start, timeout=50)
    assert done.lines == ["nothing left True"]
    assert (done.code, done.err) == (0, "")


def test_many_pools_that_nobody_uses_or_closes() -> None:
    """A pool is nothing before its first call."""
    done = run(
        """
        files = open_files()
        pools = [executor(2) for _ in range(500)]
        print(nothing_left(files, 0))
        del pools
        print(nothing_left(files, 0))
        """
    )
    assert done.lines == ["nothing left"] * 2
    assert (done.code, done.err) == (0, "")


def test_many_deaths(method: str) -> None:
    """Workers that die with large arguments and results under way."""
    done = run(measuring(program("leaks/many_deaths")), method)
    assert done.lines == ["{('WorkerDied', 1048576)}", "True True"]
    assert (done.code, done.err) == (0, "")


def test_memory_reaches_a_plateau() -> None:
    """After many tiny calls neither the program nor a worker grows on."""
    done = run(measuring(program("leaks/memory_reaches_a_plateau")))
    assert done.out.startswith("[True, True]"), done.out
    assert (done.code, done.err) == (0, "")


@limited_memory
def test_memory_of_large_results_comes_back() -> None:
    """Of released results, the memory of one or two is kept."""
    done = run(measuring(program("leaks/memory_of_large_results_comes_back")))
    assert done.lines == ["True"]
    assert (done.code, done.err) == (0, "")


# Limits.


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("0", "ValueError"),
        ("-1", "ValueError"),
        ("10**6", "ValueError"),
        ("True", "TypeError"),
        ("1.5", "TypeError"),
        ("'4'", "TypeError"),
    ],
)
def test_bad_number_of_workers(argument: str, error: str) -> None:
    """Refused at once, by name and value, before anything is started."""
    done = run(
        f"""
        files = open_files()
        try: executor({argument})
        except Exception as error: print(type(error).__name__, error, sep=": ")
        print(nothing_left(files, 0))
        """
    )
    assert done.lines[0].startswith(f"{error}: max_workers must be ")
    assert done.lines[1] == "nothing left"
    assert done.err == ""


@pytest.mark.parametrize(
    ("argument", "error"),
    [
        ("0", "ValueError"),
        ("-1", "ValueError"),
        ("True", "TypeError"),
        ("1.5", "TypeError"),
        ("'4'", "TypeError"),
    ],
)
@pytest.mark.parametrize("name", ["chunksize", "buffersize"])
def test_bad_size_of_a_map(name: str, argument: str, error: str) -> None:
    """Likewise, at the call of map and not at the first result."""
    done = run(
        f"""
        files = open_files()
        ex = executor(1)
        try: ex.map(abs, [-1], {name}={argument})
        except Exception as error: print(type(error).__name__, error, sep=": ")
        print(nothing_left(files, 0))
        """
    )
    assert done.lines[0].startswith(f"{error}: {name} must be ")
    assert done.lines[1] == "nothing left"
    assert done.err == ""


def test_huge_chunk() -> None:
    """More than there is means all there is."""
    done = run(
        """
        with executor(2) as ex:
            print(list(ex.map(abs, [-1, -2], chunksize=10**30)))
            print(list(ex.map(abs, [-1, -2], buffersize=10**30)))
        """
    )
    assert done.lines == ["[1, 2]"] * 2
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(("start", "most"), [("fork", 24), ("forkserver", 16)])
def test_too_few_descriptors(start: str, most: int) -> None:
    """Wherever they run out, calls run or fail naming the limit.

    The pool serves when the limit is lifted, and leaves nothing.
    """
    done = run(program("leaks/too_few_descriptors", MOST=most), start, timeout=50)
    assert done.lines == ["True True", "nothing left"]
    said = [line.partition(" with ")[0] for line in done.err.splitlines()]
    assert (done.code, {*said}) == (0, {"a process pool goes on"})


UNPRIVILEGED = program("leaks/unprivileged_user")


@pytest.mark.skipif(os.getuid() != 0, reason="other processes of the user count, too")
@pytest.mark.parametrize("start", ["forkserver", "fork"])
def test_no_more_processes(start: str) -> None:
    """Limits: thread, server or worker cannot be started: the calls fail and say so.

    The pool serves when the limit is lifted, and leaves nothing.
    """
    done = run(UNPRIVILEGED + program("leaks/no_more_processes"), start, timeout=50)
    assert done.lines == ["False True nothing left"], done
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("where", ["worker", "program"])
@limited_memory
def test_no_more_memory(method: str, where: str) -> None:
    """RLIMIT_AS fails the call concerned with MemoryError."""
    done = run(program("leaks/no_more_memory", WHERE=repr(where)), method)
    assert "MemoryError" in done.lines[0], done
    assert done.lines[1:] == ["2", "209715200"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("how", ["task", "initializer"])
@limited_memory
def test_argument_that_the_worker_has_no_descriptors_or_memory_for(
    method: str, how: str
) -> None:
    """Limits: what a worker cannot receive runs on another, or fails; without a loop."""
    done = run(
        program(
            "leaks/argument_that_the_worker_has_no_descriptors_or_memory_for",
            HOW=repr(how),
        ),
        method,
    )
    expected = ["MemoryError 1", "WorkerDied 1", "WorkerStartError 1"]
    if how == "task":
        expected.append("209715200 1")  # by a fresh worker
    assert done.lines[0] in expected, done
    assert done.code == 0


# Shared memory.

HIDING = program("leaks/hiding")

ROUND_TRIPS = program("leaks/round_trips")


@pytest.mark.parametrize(
    "shm",
    [
        'mount(b"none", "/dev/shm", b"tmpfs", 0, b"size=1m")',
        'mount(b"none", "/dev/shm", b"tmpfs", 1)  # read-only',
        "hide_shm()",
        'hide_shm(); os.environ["TMPDIR"] = "/proc"',
    ],
    ids=["small", "read-only", "missing", "missing, no temporary folder"],
)
def test_dev_shm_is_of_no_use(
    mounting: str, method: str, shm: str, tmp_path: pathlib.Path
) -> None:
    """Small, unwritable or not there, it is not needed."""
    text = mounting + HIDING + f"{shm}\n" + ROUND_TRIPS
    done = run(text, method, env={"DEV": str(tmp_path)})
    assert done.lines == ["1 0", "True"]
    assert (done.code, done.err) == (0, "")


def test_without_semaphores() -> None:
    """Where multiprocessing's locks cannot be made, none is missed."""
    done = run(
        """
        import _multiprocessing
        def refuse(*_): raise OSError(38, "Function not implemented")
        _multiprocessing.SemLock = refuse
        with executor(1) as ex: print(ex.submit(abs, -1).result(), list(ex.map(abs, [-2])))
        """
    )
    assert done.lines == ["1 [2]"]
    assert (done.code, done.err) == (0, "")


def test_without_memfd(tmp_path: pathlib.Path) -> None:
    """The file that takes its place has no name, and is private."""
    done = run(program("leaks/without_memfd"), env={"TMPDIR": str(tmp_path)})
    assert done.lines == ["[0, 1, 2, 3] []", "True"]
    assert list(tmp_path.iterdir()) == []
    assert (done.code, done.err) == (0, "")


def test_without_memfd_on_a_full_disk(mounting: str, tmp_path: pathlib.Path) -> None:
    """No room for a page is an error of the call, never SIGBUS."""
    done = run(
        mounting
        + textwrap.dedent(
            """
            del os.memfd_create
            mount(b"none", os.environ["TMPDIR"], b"tmpfs", 0, b"size=32k")
            ex = executor(1)
            print(outcome(ex.submit(abs, -1)))
            mount(b"none", os.environ["TMPDIR"], b"tmpfs", 32, b"size=8m")  # remounted
            print(outcome(ex.submit(abs, -1)))
            """
        ),
        env={"TMPDIR": str(tmp_path)},
    )
    assert "No space left" in done.lines[0]
    assert done.lines[1] == "1"
    assert (done.code, done.err) == (0, "")


def test_result_outlives_its_pool(method: str) -> None:
    """Views of a result are valid, and writable, when all else is gone."""
    pytest.importorskip("numpy")
    done = run(program("leaks/result_outlives_its_pool"), method)
    assert done.lines == ["1000001 True", "nothing left"]
    assert (done.code, done.err) == (0, "")


def test_changed_arguments_and_results_are_nobody_elses(method: str) -> None:
    """What a task does to its argument is not seen by any other."""
    pytest.importorskip("numpy")
    done = run(program("leaks/changed_arguments_and_results_stay_apart"), method)
    assert done.lines == ["[0, 0, 0] 0.0", "0.0 0.0 0.0"]
    assert (done.code, done.err) == (0, "")


def test_resource_tracker_is_not_started(method: str) -> None:
    """Neither here nor in a worker; nothing is said of leaks."""
    done = run(program("leaks/resource_tracker_is_not_started"), method)
    assert done.lines == ["WorkerDied", "False False 1", "nothing left"]
    assert (done.code, done.err) == (0, "")
