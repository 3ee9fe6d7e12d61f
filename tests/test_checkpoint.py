"""A map with a checkpoint goes on where an earlier run of it ended."""

import asyncio
import contextlib
import functools
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time

import pytest

import parallelize
from factories import CLASSES, make, ready
from parallelize import (
    CheckpointError,
    MapIterator,
    parallel_map,
    process_map,
    thread_map,
    threaded,
)
from parallelize.__main__ import main
from parallelize.mapping.checkpoint.store import Store
from support.checkpoints import rows_in
from support.programs import PACKAGE_FOLDER, PROGRAMS, run_script
from support.waiting import wait_until


@pytest.fixture(autouse=True)
def no_shared_pools():
    yield
    parallelize.shutdown()


@pytest.fixture(scope="module", params=CLASSES)
def pool(request):
    with ready(request.param) as executor:
        yield executor


@pytest.fixture
def file(tmp_path):
    return str(tmp_path / "run.db")


@pytest.fixture
def log(tmp_path):
    return str(tmp_path / "log")


def noted(path):
    """Return the numbers in a log, which is empty then."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        rows = [int(line) for line in file]
    os.remove(path)
    return rows


def square(row, log):
    """Note the row in a file, and return its square."""
    file = os.open(log, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(file, f"{row}\n".encode())
    os.close(file)
    if row < 0:
        raise ValueError(row)
    return row * row


async def square_later(row, log):
    await asyncio.sleep(0)
    return square(row, log)


def squares(fn, rows, log, file, **options):
    rows = list(rows)
    return fn.map(rows, [log] * len(rows), checkpoint=file, **options)


# ------------------------------------------------------------------ a second run


@pytest.mark.parametrize("call", [square, square_later])
@pytest.mark.parametrize("ordered", [True, False])
def test_what_was_called_is_not_called_again(pool, call, ordered, file, log):
    fn = threaded(executor=pool)(call)
    results = list(squares(fn, range(20), log, file, ordered=ordered))
    assert sorted(results) == [row * row for row in range(20)]
    assert sorted(noted(log)) == list(range(20))
    rows = [*range(15, 30), *range(5)]
    results = list(squares(fn, rows, log, file, ordered=ordered))
    assert results if ordered else sorted(results)
    assert sorted(results) == sorted(row * row for row in rows)
    if ordered:
        assert results == [row * row for row in rows]
    assert sorted(noted(log)) == list(range(20, 30))


def test_a_run_that_was_ended_early_goes_on(pool, file, log):
    fn = threaded(executor=pool)(square)
    given = []
    with squares(fn, range(100), log, file) as results:
        for value in results:
            given.append(value)
            if len(given) == 10:
                break
    called = set(noted(log))
    assert list(squares(fn, range(100), log, file)) == [r * r for r in range(100)]
    again = called & set(noted(log))
    assert not again & set(range(10))


def test_errors_are_not_kept(pool, file, log):
    fn = threaded(executor=pool)(square)
    with pytest.raises(ValueError, match="-5"):
        list(squares(fn, [1, 2, -5], log, file))
    noted(log)
    results = list(squares(fn, [1, 2, -5], log, file, return_exceptions=True))
    assert results[:2] == [1, 4]
    assert isinstance(results[2], ValueError)
    assert noted(log) == [-5]
    list(squares(fn, [1, 2, -5], log, file, return_exceptions=True))
    assert noted(log) == [-5]


def test_equal_rows_count_once_each_time(pool, file, log):
    fn = threaded(executor=pool)(square)
    assert list(squares(fn, [7] * 3, log, file)) == [49] * 3
    assert noted(log) == [7] * 3
    assert list(squares(fn, [7] * 5, log, file)) == [49] * 5
    assert noted(log) == [7] * 2
    assert list(squares(fn, [7, 8, 7], log, file)) == [49, 64, 49]
    assert noted(log) == [8]


def test_many_equal_rows(file, log):
    fn = threaded(functools.partial(pow, 1))
    assert list(fn.map([2] * 5000, checkpoint=file)) == [1] * 5000
    assert list(fn.map([2] * 5000, checkpoint=file)) == [1] * 5000
    assert len(rows_in(file)) == 5000


def test_an_unread_map_writes_all(file, log):
    fn = threaded(square)
    squares(fn, range(50), log, file)
    wait_until(lambda: len(rows_in_or_none(file)) == 50)
    noted(log)
    assert sum(squares(fn, range(50), log, file)) == sum(r * r for r in range(50))
    assert noted(log) == []


def rows_in_or_none(file):
    try:
        return rows_in(file)
    except sqlite3.OperationalError:  # it is locked
        return []


@pytest.mark.parametrize("value", [None, "x" * 100_000, {"a": {1, 2}}, [b"y"] * 3])
def test_values_of_any_kind(pool, value, file):
    fn = threaded(executor=pool)(copy)
    for _ in range(2):
        assert list(fn.map([value, 1, value], checkpoint=file)) == [value, 1, value]


def copy(value):
    return value


def test_the_helpers_and_starmap(file, log):
    rows = [(row, log) for row in range(5)]
    expected = [0, 1, 4, 9, 16]
    assert list(threaded(square).starmap(rows, checkpoint=file)) == expected
    assert sorted(noted(log)) == list(range(5))
    for run in (thread_map, process_map, parallel_map):
        assert list(run(square, *zip(*rows, strict=True), checkpoint=file)) == expected
    with make("thread") as executor:
        each = executor.map(square, range(5), [log] * 5, checkpoint=file)
        assert list(each) == expected
    assert noted(log) == []


class Shop:
    def __init__(self, log):
        self.log = log

    @threaded
    def sell(self, row):
        return square(row, self.log)


def test_the_object_of_a_method_is_not_part_of_the_row(file, log):
    assert list(Shop(log).sell.map([1, 2], checkpoint=file)) == [1, 4]
    assert list(Shop(log).sell.map([1, 2, 3], checkpoint=file)) == [1, 4, 9]
    assert sorted(noted(log)) == [1, 2, 3]


async def later(rows):
    for row in rows:
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("call", [square, square_later])
def test_read_in_an_event_loop(pool, call, file, log):
    fn = threaded(executor=pool)(functools.partial(call, log=log))

    async def read(rows):
        return [value async for value in fn.map(rows, checkpoint=file)]

    assert asyncio.run(read(range(10))) == [row * row for row in range(10)]
    assert sorted(noted(log)) == list(range(10))
    assert asyncio.run(read(later(range(15)))) == [row * row for row in range(15)]
    assert sorted(noted(log)) == list(range(10, 15))


def test_a_stage_of_a_pipeline(file, log):
    fetch = threaded(functools.partial(square, log=log))
    for expected in ([0, 1, 2, 3], []):
        stages = thread_map(str, fetch.map(thread_map(int, "0123"), checkpoint=file))
        assert list(stages) == ["0", "1", "4", "9"]
        assert sorted(noted(log)) == expected


def test_pickles_are_read_only_when_given(file):
    """Bytes wait in the window, not objects."""
    list(thread_map(Slow, range(50), checkpoint=file))
    Slow.made.clear()
    with thread_map(Slow, range(50), checkpoint=file) as again:
        assert next(again).row == 0
        assert Slow.made == [0]


class Slow:
    made = []

    def __init__(self, row):
        self.row = row

    def __reduce__(self):
        return made, (self.row,)


def made(row):
    Slow.made.append(row)
    return Slow(row)


# ------------------------------------------------------------------------- keys


def test_a_key_stands_for_the_row(pool, file, log):
    fn = threaded(executor=pool)(square)
    key = {"checkpoint_key": lambda row, log: f"user {row}"}
    assert list(squares(fn, range(5), log, file, **key)) == [0, 1, 4, 9, 16]
    noted(log)
    elsewhere = log + "2"
    assert list(squares(fn, range(6), elsewhere, file, **key)) == [0, 1, 4, 9, 16, 25]
    assert noted(elsewhere) == [5]


def call_it(fn):
    return fn()


def test_a_row_without_a_digest_is_refused_before_any_call(file):
    with pytest.raises(CheckpointError, match=r"row 0 of the map.*checkpoint_key"):
        thread_map(call_it, [lambda: 1], checkpoint=file)


def test_a_later_one_in_its_turn(file):
    results = thread_map(
        call_it, [int, str, lambda: 1, list], checkpoint=file, buffersize=1
    )
    assert [next(results), next(results)] == [0, ""]
    with pytest.raises(CheckpointError, match=r"row 2 of the map.*<lambda>"):
        next(results)
    assert len(rows_in(file)) == 2


def test_a_key_without_a_digest(file):
    with pytest.raises(CheckpointError, match="has a bad key: .*lock"):
        thread_map(
            copy, [1], checkpoint=file, checkpoint_key=lambda row: threading.Lock()
        )


def test_the_error_of_a_key_is_raised(file):
    with pytest.raises(ZeroDivisionError):
        thread_map(copy, [1], checkpoint=file, checkpoint_key=lambda row: 1 / 0)


def test_a_result_that_cannot_be_pickled_ends_the_map(file):
    results = thread_map(Maker, [1, 2, 3], checkpoint=file)
    with pytest.raises(CheckpointError, match="result of row 1 cannot be pickled"):
        list(results)
    assert Maker(1) in rows_in(file)


class Maker:
    def __init__(self, row):
        self.row = row
        self.lock = threading.Lock() if row == 2 else None

    def __eq__(self, other):
        return self.row == other.row

    __hash__ = None


# ------------------------------------------------------------------------ files


def test_the_file_is_for_this_user_alone(file):
    with thread_map(copy, range(5), checkpoint=file) as results:
        next(results)
        for path in (file, f"{file}-wal"):
            assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert not os.path.exists(f"{file}-wal")


def test_another_function_is_refused(file):
    list(thread_map(copy, [1], checkpoint=file))
    with pytest.raises(
        CheckpointError, match=r"results of .*:copy, not of builtins:len"
    ):
        thread_map(len, ["a"], checkpoint=file)


def version(number):
    namespace = {}
    exec(f"def f(x):\n    return x + {number}", namespace)
    return namespace["f"]


def test_other_code_is_refused_until_it_is_accepted(file, capsys):
    assert list(thread_map(version(1), [1], checkpoint=file)) == [2]
    with pytest.raises(
        CheckpointError, match=r"the code of .*:f has changed.*--accept-code"
    ):
        thread_map(version(2), [1], checkpoint=file)
    assert main(["checkpoint", "--accept-code", file]) == 0
    assert "the next map may have other code" in capsys.readouterr().out
    assert list(thread_map(version(2), [1, 2], checkpoint=file)) == [2, 4]
    with pytest.raises(CheckpointError, match="has changed"):
        thread_map(version(1), [1], checkpoint=file)


@pytest.mark.parametrize("content", [b"not a database" * 100, b"x"])
def test_a_file_of_something_else_is_left_alone(file, content):
    with open(file, "wb") as other:
        other.write(content)
    with pytest.raises(CheckpointError, match="not a checkpoint"):
        thread_map(copy, [1], checkpoint=file)
    with open(file, "rb") as other:
        assert other.read() == content


def test_a_database_of_something_else_is_left_alone(file):
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("create table mine (a)")
    with pytest.raises(CheckpointError, match="a database, but not a checkpoint"):
        thread_map(copy, [1], checkpoint=file)


def test_an_empty_file_becomes_a_checkpoint(file):
    open(file, "w").close()
    assert list(thread_map(copy, [1], checkpoint=file)) == [1]
    assert rows_in(file) == [1]


def test_a_damaged_file_is_refused(file):
    list(thread_map(copy, [str(n) * 500 for n in range(200)], checkpoint=file))
    size = os.path.getsize(file)
    with open(file, "r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (size - 4096))
    with pytest.raises(CheckpointError, match="damaged"):
        list(thread_map(copy, [str(n) * 500 for n in range(200)], checkpoint=file))


@pytest.mark.parametrize("path", ["no/such/folder/run.db", "."])
def test_a_path_that_cannot_be(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="cannot be"):
        thread_map(copy, [1], checkpoint=path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write to all")
def test_what_cannot_be_written_to(file, tmp_path):
    list(thread_map(copy, [1], checkpoint=file))
    os.chmod(file, 0o400)
    with pytest.raises(CheckpointError, match="cannot be written to"):
        thread_map(copy, [1], checkpoint=file)
    os.chmod(tmp_path, 0o500)
    with pytest.raises(CheckpointError, match="cannot be created"):
        thread_map(copy, [1], checkpoint=str(tmp_path / "new.db"))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"checkpoint": 3}, TypeError, "checkpoint must be the path"),
        ({"checkpoint": b"x"}, TypeError, "checkpoint must be the path"),
        ({"checkpoint": ""}, ValueError, "checkpoint must be the path"),
        ({"checkpoint_key": len}, ValueError, "together with a checkpoint"),
        ({"checkpoint": "x", "checkpoint_key": 3}, TypeError, "checkpoint_key must be"),
    ],
)
def test_wrong_arguments_are_named(options, error, text):
    with pytest.raises(error, match=text):
        thread_map(copy, [1], **options)


def test_a_file_in_use_is_refused(file, monkeypatch):
    monkeypatch.setattr("parallelize.mapping.checkpoint.store._PATIENCE", 0.1)
    with thread_map(copy, range(9), checkpoint=file) as results:
        next(results)
        with pytest.raises(CheckpointError, match="another map or program is using it"):
            thread_map(copy, [1], checkpoint=file)
        program = f"from parallelize import thread_map; thread_map(len, ['a'], checkpoint={file!r})"
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONPATH": PACKAGE_FOLDER},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "another map or program is using it" in done.stderr
        assert list(results) == list(range(1, 9))
    assert list(thread_map(copy, range(9), checkpoint=file)) == list(range(9))


def test_a_map_that_is_dropped_leaves_the_file(file):
    results = thread_map(copy, range(1000), checkpoint=file)
    next(results)
    del results
    assert list(thread_map(copy, range(9), checkpoint=file)) == list(range(9))


def full(self, *args):
    """Allow no more pages, as on a full disk."""
    init(self, *args)
    (pages,) = self._execute("pragma page_count").fetchone()
    self._execute(f"pragma max_page_count = {pages + 10}")


init = Store.__init__


def test_on_a_full_disk_what_was_given_is_in_the_file(file, monkeypatch):
    monkeypatch.setattr(Store, "__init__", full)
    given = []
    with pytest.raises(CheckpointError, match="the disk is full"):
        given.extend(thread_map(str, range(100_000), checkpoint=file))
    given = []
    monkeypatch.setattr(Store, "__init__", init)
    stored = set(rows_in(file))
    for value in thread_map(str, range(len(stored)), checkpoint=file):
        given.append(value)
    assert stored <= set(given)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_leaves_the_file_to_its_parent(file):
    run_script(PROGRAMS / "checkpoints" / "forked.py", file)
    assert len(rows_in(file)) == 500


# ---------------------------------------------------------------------- command


def test_the_command_shows_what_a_file_holds(file, capsys):
    list(thread_map(copy, range(12), checkpoint=file))
    assert main(["checkpoint", file]) == 0
    out = capsys.readouterr().out
    assert "function  test_checkpoint:copy\n" in out
    assert "rows      12\n" in out
    assert "KiB" in out
    assert time.strftime("first     %Y-") in out


def test_the_command_says_why_it_shows_nothing(file, capsys):
    assert main(["checkpoint", file]) == 1
    assert "there is no file" in capsys.readouterr().out
    assert not os.path.exists(file)
    with open(file, "w") as other:
        other.write("text" * 999)
    assert main(["checkpoint", file]) == 1
    assert "not a checkpoint" in capsys.readouterr().out


def test_the_error_is_public():
    assert issubclass(parallelize.CheckpointError, parallelize.ParallelizeError)
    assert isinstance(thread_map(copy, []), MapIterator)


# ----------------------------------------------------------------------- kill -9

#: The number of times that the program is killed. The variable is for more of them.
MOMENTS = int(os.environ.get("CHECKPOINT_MOMENTS", "4"))
ROWS = 150 * MOMENTS


class Run:
    """A run of the program, in a group of its own."""

    def __init__(self, folder, kind, number):
        self.called = folder / f"called{number}"
        self.given = folder / f"given{number}"
        paths = map(str, (folder / "run.db", self.called, self.given))
        program = str(PROGRAMS / "checkpoints" / "killed.py")
        self.process = subprocess.Popen(
            [sys.executable, program, *paths, kind, str(ROWS)],
            env=os.environ | {"PYTHONPATH": PACKAGE_FOLDER},
        )

    def kill_after(self, number):
        """Kill the program when it has given this many results, or has ended."""
        wait_until(
            lambda: self.count(self.given) >= number or self.process.poll() is not None,
            seconds=60,
        )
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @staticmethod
    def count(path):
        return path.read_text().count("\n") if path.exists() else 0

    @staticmethod
    def rows(path):
        """Return the rows in a log; a line at the end may be cut off."""
        text = path.read_text() if path.exists() else ""
        return {int(line) for line in text.split("\n")[:-1]}


@pytest.mark.timeout(280)
@pytest.mark.parametrize(
    "kind", ["threads", "processes", "coroutines", "asynchronous", "pipeline"]
)
def test_killed_at_any_moment_nothing_is_lost(kind, tmp_path):
    file = tmp_path / "run.db"
    stored = set()
    for number in range(MOMENTS):
        run = Run(tmp_path, kind, number)
        run.kill_after(random.randrange(1, 2 * ROWS // MOMENTS) + len(stored))
        before, stored = stored, {row for row, _ in rows_in(file)}
        assert before <= stored
        assert run.rows(run.given) <= stored
        assert not run.rows(run.called) & before
    last = Run(tmp_path, kind, MOMENTS)
    assert last.process.wait(60) == 0
    assert last.rows(last.given) == set(range(ROWS))
    assert not last.rows(last.called) & stored
    assert sorted(rows_in(file)) == [(row, row * row) for row in range(ROWS)]
