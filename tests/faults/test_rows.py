"""Rows of a map that run in groups: what ends a group harms no row of it.

A worker counts the rows of a group only when the group is over. So these tests
let it end in every way, at every place: by death, by an error, by a result of
another type, by rows that are given back.
"""

from __future__ import annotations

import itertools
import pathlib
import pickle
import socket
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest
from harness import Run, run

from parallelize.process.parent.tasks.rows import _results
from parallelize.process.wire import messages
from parallelize.process.wire.frames import Frame, FrameReader
from parallelize.process.wire.journal import Journal, close_page_file, make_page_file
from parallelize.process.worker.rows import RowsRunner
from parallelize.process.worker.sender import Sender
from parallelize.serialize import pickling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What every program here can do: count its runs, and say what a row gives.
TOOLS = '''
def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\\n".encode())

def runs():
    with open(os.environ["RUNS"]) as file:
        return file.read().split()

def forget():
    open(os.environ["RUNS"], "w").close()

KINDS = {
    "int": lambda i: (i - 300) << 50,
    "bool": lambda i: i % 3 == 0,
    "float": lambda i: i / 7 - 40,
    "None": lambda i: None,
    "str": str,
    "large": lambda i: i if i % 10 else 1 << 63,
    "least": lambda i: -(1 << 63),
    "sometimes bool": lambda i: i % 10 == 9 if i % 10 > 7 else i,
    "sometimes None": lambda i: None if i % 50 == 49 else i * 1.5,
    "mixed": lambda i: (i, i / 2, i % 2 == 0, None, str(i), 1 << 70)[i % 6],
}

def shown(results):
    return [f"{type(each).__name__} {each!r}" for each in results]

def differences(results, kind, victim, count):
    """What is not as it must be, if row ``victim`` alone has failed."""
    found = [
        (i, got) for i, (got, must) in enumerate(zip(
            shown(results), shown(map(KINDS[kind], range(count))), strict=True))
        if got != must
    ]
    return [(i, got.split()[0]) for i, got in found]
'''


@pytest.fixture
def counted(tmp_path: pathlib.Path) -> Callable[..., Run]:
    """Runs a program with `TOOLS` and a file for `note`."""
    (tmp_path / "runs").touch()

    def start(program: str, method: str = "forkserver") -> Run:
        env = {"RUNS": str(tmp_path / "runs")}
        return run(TOOLS + textwrap.dedent(program), method, env=env, timeout=45)

    return start


@pytest.mark.parametrize(
    "kind",
    [
        "int",
        "bool",
        "float",
        "None",
        "str",
        "large",
        "least",
        "sometimes bool",
        "sometimes None",
        "mixed",
    ],
)
@pytest.mark.parametrize("more", [0, 1], ids=["one argument", "two arguments"])
def test_death_within_a_group(
    kind: str, more: int, counted: Callable[..., Run]
) -> None:
    """That row fails. Results before it are kept, in their type; none runs twice."""
    done = counted(
        f"""
        kind, count = {kind!r}, 400

        def task(i, victim):
            note(i)
            if i == victim:
                os.kill(os.getpid(), 9)
            return KINDS[kind](i)

        def one(i):
            return task(i, victim)

        with executor(1) as ex:
            for victim in (0, 1, 4, 5, 21, 23, 70, 160, 199, 200, 333, 399):
                forget()
                rest = [[victim] * count] if {more} else []
                rows = ex.map(task if rest else one, range(count), *rest,
                              chunksize=200, return_exceptions=True)
                found = differences(list(rows), kind, victim, count)
                again = sorted(map(int, runs())) != list(range(count))
                if found != [(victim, "WorkerDied")] or again:
                    print(victim, found, again)
        print("compared")
        """,
    )
    assert done.lines == ["compared"], done.err


def test_death_from_outside_within_a_group(counted: Callable[..., Run]) -> None:
    """At whatever moment: at most one row fails, and what ran is not run again."""
    done = counted(
        """
        def task(i):
            note(f"{i}:{os.getpid()}")
            return i

        def killer(over):
            while not over.wait(0.05):
                if ran := runs():
                    try: os.kill(int(ran[-1].partition(":")[2]), 9)
                    except OSError: pass  # it has not been replaced yet

        count, over = 40_000, threading.Event()
        with executor(2) as ex:
            list(ex.map(abs, range(10)))
            thread = threading.Thread(target=killer, args=(over,))
            thread.start()
            rows = list(ex.map(task, range(count), return_exceptions=True))
            over.set()
            thread.join()
        failed = [i for i, each in enumerate(rows) if each != i]
        print({type(rows[i]).__name__ for i in failed} <= {"WorkerDied"})
        print(0 < len(failed) < 200)
        marks = [int(each.partition(":")[0]) for each in runs()]
        print(len(marks) == len(set(marks)), set(range(count)) - set(marks) <= set(failed))
        """,
    )
    assert done.lines == ["True", "True", "True True"], done.err


def test_an_error_within_a_group(counted: Callable[..., Run]) -> None:
    """Whatever it is, a StopIteration too, it is the row's, with its traceback."""
    done = counted(
        """
        from parallelize import ProcessPoolExecutor
        class Odd(BaseException): pass
        errors = [ValueError, StopIteration, OverflowError, KeyboardInterrupt,
                  SystemExit, IndexError, GeneratorExit, Odd]

        def task(i):
            note(i)
            if i % 31 == 30:
                raise errors[i // 31 % len(errors)](i)
            return i

        with executor(2) as ex:
            rows = list(ex.map(task, range(600), chunksize=150, return_exceptions=True))
        for i, each in enumerate(rows):
            if i % 31 != 30:
                assert each == i, (i, each)
            else:
                assert type(each) is errors[i // 31 % len(errors)], each
                assert each.args == (i,), each
                text = str(each.__cause__)
                assert "in task" in text and "rows.py" not in text, text
        print(sorted(map(int, runs())) == list(range(600)))
        """,
    )
    assert done.lines == ["True"], done.err


def test_results_keep_their_type(counted: Callable[..., Run]) -> None:
    """What only looks like a number to the journal is none of its types."""
    done = counted(
        """
        import enum
        class Colour(enum.IntEnum):
            RED = 1
        class Real(float): pass
        class Index:
            def __index__(self): return 5
            def __float__(self): return 5.0
            def __repr__(self): return "Index"
        values = [7, True, Colour.RED, 8, Index(), 2.5, Real(3), float("inf"), -0.0,
                  False, None, 1 << 63, -(1 << 63), (1 << 63) - 1, -(1 << 63) - 1]

        def task(i):
            return values[i % len(values)] if i % 40 < 20 else i

        with executor(2) as ex:
            for size in (1, 3, 20, 1000):
                rows = list(ex.map(task, range(1000), chunksize=size))
                print(shown(rows) == shown(map(task, range(1000))))
        """,
    )
    assert done.lines == ["True"] * 4, done.err


def test_a_copy_of_the_worker_writes_nothing(counted: Callable[..., Run]) -> None:
    """A row forks, and both return: only one of them goes on."""
    done = counted(
        """
        import warnings
        warnings.simplefilter("ignore")

        def task(i):
            note(i)
            if i % 100 == 50:
                warnings.simplefilter("ignore")
                pid = os.fork()
                if not pid:
                    return -1 if i < 200 else "other" if i < 300 else 1 / 0
                os.waitpid(pid, 0)
            return i

        with executor(1) as ex:
            print(list(ex.map(task, range(500), chunksize=250)) == list(range(500)))
        print(sorted(map(int, runs())) == list(range(500)))
        """,
    )
    assert done.lines == ["True", "True"], done.err


# ------------------------------------- the worker's threads, without a process


def _page() -> Journal:
    file = make_page_file()
    try:
        return Journal(file)
    finally:
        close_page_file(file)


class Running:
    """A worker's rows, with a page and a socket, and nothing else round them."""

    def __init__(self, values: list[object], arity: int, timed: int) -> None:
        self._ours, theirs = socket.socketpair()
        self.page = _page()
        self._theirs = theirs
        self.sender = Sender(theirs, self.page, lambda buffers: None)  # type: ignore[arg-type,return-value]
        parts = [pickling.encode_function(abs), pickle.dumps(values)]
        frame = Frame(messages.ROWS, arity, timed, 1, parts)
        self.rows = RowsRunner(frame, self.page.words, self.sender)
        self.results: dict[int, object] = {}
        self._reading = threading.Thread(target=self._read)
        self._reading.start()

    def _read(self) -> None:
        reader = FrameReader()
        while (frames := reader.read(self._ours)) is not None:
            for frame in frames:
                assert frame.kind == messages.BLOCK
                for row, result in enumerate(_results(frame), frame.extra):
                    assert self.results.setdefault(row, result) == result

    def close(self) -> None:
        self.sender.flush()
        self._theirs.close()
        self._reading.join()
        self._ours.close()
        self.page.close()


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("timed", [0, 1], ids=["in groups", "one by one"])
@pytest.mark.parametrize("arity", [0, 1])
def test_rows_are_asked_back_as_they_arrive(arity: int, timed: int) -> None:
    """At any moment: the first rows run, the others are given up, none is lost.

    What the watcher sends meanwhile are results, in their places.
    """
    count = 3000
    values = list(range(count)) if arity else [pickle.dumps((i,)) for i in range(count)]
    for pause in itertools.islice(itertools.cycle((0.0, 1e-5, 1e-4, 3e-4)), 40):
        running = Running(values, arity, timed)
        given_up, ended = [0], threading.Event()

        def ask(
            running: Running = running,
            given_up: list[int] = given_up,
            ended: threading.Event = ended,
            pause: float = pause,
        ) -> None:
            while not ended.wait(pause):
                running.sender.flush_copy()
                given_up[0] += running.rows.give_up()

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            running.rows.run()
        finally:
            ended.set()
            thread.join()
            running.close()
        assert sorted(running.results) == list(range(len(running.results)))
        assert all(row == result for row, result in running.results.items())
        assert len(running.results) + given_up[0] == count


def test_the_running_row_is_seen_from_outside() -> None:
    """Between any two rows of a group, and in its results so far."""
    page = _page()
    seen: list[tuple[int, int, list[object]]] = []

    def call(value: int) -> float:
        first, results = page.journal()
        seen.append((page.running(), first, results))
        return value / 2

    ours, theirs = socket.socketpair()
    sender = Sender(theirs, page, lambda buffers: None)  # type: ignore[arg-type,return-value]
    frame = Frame(messages.ROWS, 1, 0, 1, [pickling.encode_function(abs), b"N."])
    rows = RowsRunner(frame, page.words, sender)
    rows._flat = list(range(100))
    pickling._decoded.put(bytes(frame.parts[0]), call, 0)
    try:
        rows.run()
    finally:
        pickling._decoded.pop(bytes(frame.parts[0]))
        ours.close()
        theirs.close()
    assert [row for row, _, _ in seen] == list(range(100))
    for row, first, results in seen:
        assert results == [value / 2 for value in range(first, first + len(results))]
        assert not results or first + len(results) == row
    page.close()
