"""Rows of a map that run in groups: what ends a group harms no row of it.

A worker counts the rows of a group only when the group is over. So these tests
let it end in every way, at every place: by death, by an error, by a result of
another type, by rows that are given back.
"""

from __future__ import annotations

import itertools
import pickle
import socket
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from harness import Run

from parallelize import ProcessPoolExecutor
from parallelize.process.parent.tasks.rows import RowsTask, _results
from parallelize.process.wire import messages
from parallelize.process.wire.frames import Frame, FrameReader
from parallelize.process.wire.journal import Journal, close_page_file, make_page_file
from parallelize.process.worker.rows import RowsRunner
from parallelize.process.worker.sender import Sender
from parallelize.serialize import pickling
from support.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What every program here can do: count its runs, and say what a row gives.
TOOLS = program("rows/tools")


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("int", 0),
        ("bool", 1),
        ("float", 0),
        ("None", 1),
        ("str", 0),
        ("large", 1),
        ("least", 0),
        ("sometimes bool", 1),
        ("sometimes None", 0),
        ("mixed", 0),
        ("mixed", 1),
    ],
)
def test_death_within_a_group(
    kind: str, more: int, counted: Callable[..., Run]
) -> None:
    """That row fails. Results before it are kept, in their type; none runs twice.

    Rows have more arguments than one, or not.
    """
    done = counted(program("rows/death_within_a_group", KIND=repr(kind), MORE=more))
    assert done.lines == ["compared"], done.err


def test_death_from_outside_within_a_group(counted: Callable[..., Run]) -> None:
    """At whatever moment: at most one row fails, and what ran is not run again."""
    done = counted(program("rows/death_from_outside_within_a_group"))
    assert done.lines == ["True", "True", "True True"], done.err


def test_an_error_within_a_group(counted: Callable[..., Run]) -> None:
    """Whatever it is, a StopIteration too, it is the row's, with its traceback."""
    done = counted(program("rows/an_error_within_a_group"))
    assert done.lines == ["True"], done.err


def test_results_keep_their_type(counted: Callable[..., Run]) -> None:
    """What only looks like a number to the journal is none of its types."""
    done = counted(program("rows/results_keep_their_type"))
    assert done.lines == ["True"] * 4, done.err


def test_a_row_that_forks_runs_once(counted: Callable[..., Run]) -> None:
    """A row forks, and both return: only one of them goes on."""
    done = counted(program("rows/a_row_that_forks_runs_once"))
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
        self.rows = RowsRunner(frame, self.page.words, self.sender, bool)
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
    rows = RowsRunner(frame, page.words, sender, bool)
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


def test_rows_whose_results_the_pool_cannot_keep_fail_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By memory that is missing, say: their worker goes on, and the pool shuts down."""
    with ProcessPoolExecutor(1) as pool:
        assert list(pool.map(abs, range(3))) == [0, 1, 2]
        with monkeypatch.context() as patch:
            patch.setattr(RowsTask, "recover", _lack_memory)
            with pytest.raises(MemoryError):
                list(pool.map(abs, range(3)))
        assert list(pool.map(abs, range(3))) == [0, 1, 2]


def _lack_memory(*_: object) -> None:
    raise MemoryError
