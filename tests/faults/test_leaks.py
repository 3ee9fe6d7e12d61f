"""Nothing grows, and the limits of the system are met."""

from __future__ import annotations

import ctypes
import os
import pathlib
import textwrap
import warnings

import pytest
from harness import run

MEASURING = '''
def rss(pid="self"):
    """Kilobytes in memory."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4

'''

#: Gives the program a mount namespace of its own, where it may do what it likes.
MOUNTING = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)

def mount(source, target, kind, flags, data=None):
    if libc.mount(source, target.encode(), kind, flags, data):
        raise OSError(ctypes.get_errno(), "mount", target)

libc.unshare(0x20000)  # CLONE_NEWNS
mount(b"none", "/", None, 1 << 18 | 1 << 14)  # MS_PRIVATE | MS_REC

"""


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
    done = run(
        measuring(
            f"""
            def use():
                with executor(2) as ex:
                    assert ex.submit(abs, -1).result() == 1
            use()
            files, before = open_files(), rss()
            for _ in range({count}): use()
            print(nothing_left(files), rss() - before < 4000)
            """
        ),
        start,
        timeout=50,
    )
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
    done = run(
        measuring(
            """
            def die(data): os._exit(1)
            big = bytes(1 << 20)
            ex = executor(1)
            def round():
                fs = [ex.submit(die, big), ex.submit(bytes.upper, big)]
                return type(fs[0].exception(10)).__name__, len(fs[1].result(10))
            for _ in range(5): round()
            files, before = open_files(), rss()
            print({round() for _ in range(20)})
            # A few more segments may be under way now than there were then.
            print(open_files() <= files + 8, rss() - before < 9000)
            """
        ),
        method,
    )
    assert done.lines == ["{('WorkerDied', 1048576)}", "True True"]
    assert (done.code, done.err) == (0, "")


def test_memory_reaches_a_plateau() -> None:
    """After many tiny calls neither the program nor a worker grows on."""
    done = run(
        measuring(
            """
            ex = executor(1)
            pid = ex.submit(os.getpid).result()
            sizes = []
            for _ in range(4):
                for f in [ex.submit(abs, -i) for i in range(4000)]: f.result()
                del f
                for _ in ex.map(abs, range(4000)): pass
                sizes.append((rss(), rss(pid)))
            print([last - second < 2000 for second, last in zip(sizes[1], sizes[3])], sizes)
            """
        )
    )
    assert done.out.startswith("[True, True]"), done.out
    assert (done.code, done.err) == (0, "")


def test_memory_of_large_results_comes_back() -> None:
    """Of results that nobody holds, the memory of one or two is kept."""
    done = run(
        measuring(
            """
            ex = executor(1)
            ex.submit(bytes, 1).result()
            before = rss()
            for _ in range(5):
                assert len(ex.submit(bytes, 60 << 20).result()) == 60 << 20
            assert ex.submit(abs, -1).result() == 1
            print(rss() - before < 150_000)
            """
        )
    )
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
    done = run(
        f"""
        import collections, resource
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        def attempt(more):
            ex = executor(3)
            resource.setrlimit(resource.RLIMIT_NOFILE, (open_files() - 1 + more, hard))
            try:
                told = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            ok = all(t == i or "Too many open files" in str(t) for i, t in enumerate(told))
            later = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
            ex.shutdown()
            if not ok or later != [0, 1, 2, 3]:
                print(more, told, later)
            return told == [0, 1, 2, 3]
        abs_works = executor(1).submit(abs, -1).result()  # all is imported
        try: executor(1).submit(os._exit, 1).result()
        except Exception: pass
        from parallelize import WorkerStartError
        str(WorkerStartError("x", "y")), repr(OSError(24, "x"))
        import gc; gc.collect()
        while children(): time.sleep(0.01)
        files = open_files()
        served = [attempt(more) for more in range({most})]
        print(False in served, True in served)
        gc.collect()
        print(nothing_left(files))
        """,
        start,
        timeout=50,
    )
    assert done.lines == ["True True", "nothing left"]
    assert (done.code, done.err) == (0, "")


NOBODY = """
import ctypes, resource
libc = ctypes.CDLL(None, use_errno=True)
hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]

def become_limited():
    \"\"\"No limit holds for root: be another user, with root's files.\"\"\"
    might = [21, 24]  # CAP_SYS_ADMIN, CAP_SYS_RESOURCE
    for capability in might: libc.prctl(24, capability, 0, 0, 0)
    os.setresuid(1_000_000 + os.getpid(), 0, 0)
    head = (ctypes.c_uint32 * 2)(0x20080522, 0)
    sets = (ctypes.c_uint32 * 6)()
    libc.capget(head, sets)
    for capability in might:
        for i in range(3): sets[i] &= ~(1 << capability)
    assert libc.capset(head, sets) == 0

def allow(count):
    resource.setrlimit(resource.RLIMIT_NPROC, (count, hard))

become_limited()
"""


@pytest.mark.skipif(os.getuid() != 0, reason="other processes of the user count, too")
@pytest.mark.parametrize("start", ["forkserver", "fork"])
def test_no_more_processes(start: str) -> None:
    """Limits: thread, server or worker cannot be started: the calls fail and say so.

    The pool serves when the limit is lifted, and leaves nothing.
    """
    done = run(
        NOBODY
        + textwrap.dedent(
            """
            files = open_files()
            def attempt(count):
                ex = executor(3)
                allow(count)
                try: told = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
                finally: allow(hard)
                words = "temporarily unavailable", "start new thread"
                ok = all(t == i or any(w in str(t) for w in words) for i, t in enumerate(told))
                later = [outcome(f) for f in [ex.submit(abs, -i) for i in range(4)]]
                ex.shutdown()
                if not ok or later != [0, 1, 2, 3]:
                    print(count, told, later)
                return told == [0, 1, 2, 3]
            served = [attempt(count) for count in range(1, 9)]
            print(served[0], served[-1], nothing_left(files))
            """
        ),
        start,
        timeout=50,
    )
    assert done.lines == ["False True nothing left"], done
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("where", ["worker", "program"])
def test_no_more_memory(method: str, where: str) -> None:
    """RLIMIT_AS fails the call concerned with MemoryError."""
    done = run(
        f"""
        import resource
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        def limit(more):
            with open("/proc/self/statm") as file: size = int(file.read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (size + more if more else hard, hard))
        def large(): return bytes(200 << 20)
        ex = executor(1)
        ex.submit(abs, -1).result()
        if {where!r} == "worker": ex.submit(limit, 100 << 20).result()
        else: limit(100 << 20)
        print(outcome(ex.submit(large)))
        print(outcome(ex.submit(abs, -2)))
        limit(0)
        if {where!r} == "worker": ex.submit(limit, 0).result()
        print(len(ex.submit(large).result()))
        """,
        method,
    )
    assert "MemoryError" in done.lines[0], done
    assert done.lines[1:] == ["2", "209715200"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("how", ["task", "initializer"])
def test_argument_too_large_for_the_worker(method: str, how: str) -> None:
    """Limits: what a worker cannot receive runs on another, or fails; without a loop."""
    done = run(
        f"""
        import resource
        def limit():
            with open("/proc/self/statm") as file: size = int(file.read().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (size + (50 << 20), -1))
        ex = executor(1, initializer=limit if {how!r} == "initializer" else None)
        if {how!r} == "task": ex.submit(limit).result()
        big = ex.submit(len, bytes(200 << 20))
        print(str(outcome(big)).split(":")[0], outcome(ex.submit(abs, -1)))
        """,
        method,
    )
    expected = ["MemoryError 1", "WorkerDied 1", "WorkerStartError 1"]
    if how == "task":
        expected.append("209715200 1")  # by a fresh worker
    assert done.lines[0] in expected, done
    assert done.code == 0


# Shared memory.

HIDING = """
def hide_shm():
    \"\"\"Put a /dev without shm in place of /dev, for this program alone.\"\"\"
    dev = os.environ["DEV"]
    mount(b"none", dev, b"tmpfs", 0)
    for name in ("null", "zero", "random", "urandom"):
        open(f"{dev}/{name}", "w").close()
        mount(f"/dev/{name}".encode(), f"{dev}/{name}", None, 4096)  # MS_BIND
    os.symlink("/proc/self/fd", f"{dev}/fd")
    mount(dev.encode(), "/dev", None, 4096 | 16384)
    assert not os.path.exists("/dev/shm")

"""

ROUND_TRIPS = """
def change(data):
    data = bytearray(data); data[0] = 1
    return data

with executor(2) as ex:
    big = bytearray(20 << 20)
    for f in [ex.submit(change, big) for _ in range(3)]:
        assert f.result() == b"\\1" + big[1:]
    print(ex.submit(abs, -1).result(), big[0])
    try:
        import numpy
    except ImportError:
        print(True)
    else:
        array = numpy.arange(3_000_000)
        print(all((f.result() == array + 1).all() for f in [ex.submit(numpy.add, array, 1) for _ in range(3)]))
"""


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
    program = mounting + HIDING + f"{shm}\n" + ROUND_TRIPS
    done = run(program, method, env={"DEV": str(tmp_path)})
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
    done = run(
        """
        del os.memfd_create
        os.umask(0)
        with executor(2) as ex:
            fs = [ex.submit(abs, -i) for i in range(4)]
            print([f.result() for f in fs], os.listdir(os.environ["TMPDIR"]))
            links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
            modes = [os.stat(link).st_mode & 0o777 for link in links
                     if os.path.islink(link) and os.environ["TMPDIR"] in os.readlink(link)]
            print(set(modes) <= {0o600})
        """,
        env={"TMPDIR": str(tmp_path)},
    )
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
    done = run(
        """
        import gc, numpy
        files = open_files()
        ex = executor(1)
        array = ex.submit(numpy.arange, 2_000_000).result()
        part = array[1_000_000:]
        ex.shutdown()
        del ex, array
        gc.collect()
        part += 1
        print(part[0], int(part.sum()) == sum(range(1_000_001, 2_000_001)))
        del part
        gc.collect()
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines == ["1000001 True", "nothing left"]
    assert (done.code, done.err) == (0, "")


def test_changed_arguments_and_results_are_nobody_elses(method: str) -> None:
    """What a task does to its argument is not seen by any other."""
    pytest.importorskip("numpy")
    done = run(
        """
        import numpy
        def spoil(array):
            first = int(array[0])
            array[:] = 7
            return first
        def same(array): return array
        with executor(1) as ex:
            array = numpy.zeros(100_000)
            print([f.result() for f in [ex.submit(spoil, array) for _ in range(3)]], array.max())
            a, b = ex.submit(same, array).result(), ex.submit(same, array).result()
            a[:] = 9
            print(b.max(), array.max(), ex.submit(same, array).result().max())
        """,
        method,
    )
    assert done.lines == ["[0, 0, 0] 0.0", "0.0 0.0 0.0"]
    assert (done.code, done.err) == (0, "")


def test_resource_tracker_is_not_started(method: str) -> None:
    """Neither here nor in a worker; nothing is said of leaks."""
    done = run(
        """
        def trackers():
            tracker = sys.modules.get("multiprocessing.resource_tracker")
            return tracker is not None and tracker._resource_tracker._fd is not None
        files = open_files()
        ex = executor(2)
        ex.submit(bytes, 5 << 20).result()
        print(type(ex.submit(os._exit, 1).exception()).__name__)
        print(trackers(), ex.submit(trackers).result(), len(children()))
        ex.shutdown()
        print(nothing_left(files))
        """,
        method,
    )
    assert done.lines == ["WorkerDied", "False False 1", "nothing left"]
    assert (done.code, done.err) == (0, "")
