"""Calls are started again only where that was asked for."""

from __future__ import annotations

import pathlib
import textwrap

import pytest
from harness import Run, run

TOOLS = '''
from parallelize import processed

def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\\n".encode())

def runs():
    with open(os.environ["RUNS"]) as file:
        return sorted(map(int, file.read().split()))

def name(future):
    """A value, or the class name of an error."""
    error = future.exception(20)
    return type(error).__name__ if error else future.result()
'''


@pytest.fixture
def counted(tmp_path: pathlib.Path):  # type: ignore[no-untyped-def]
    """Runs a program with `TOOLS` and a file for `note`."""
    (tmp_path / "runs").touch()

    def start(program: str, method: str = "forkserver") -> Run:
        env = {"RUNS": str(tmp_path / "runs")}
        return run(TOOLS + textwrap.dedent(program), method, env=env)

    return start


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_poison_starts_retries_plus_one_times(
    retries: int, method: str, counted
) -> None:
    """Then it fails; those that shared its workers are not blamed."""
    done = counted(
        f"""
        def task(i):
            note(i)
            if i == 100:
                os._exit(1)
            return i

        with executor(2) as ex:
            call = processed(retries={retries}, executor=ex)(task)
            got = [name(f) for f in [call(i) for i in range(200)]]
        print(got.pop(100), got == [i for i in range(200) if i != 100])
        print(runs() == sorted([*range(200), *[100] * {retries}]))
        """,
        method,
    )
    assert done.lines == ["WorkerDied True", "True"]


@pytest.mark.parametrize("chunk", [None, 200])
def test_poison_row(chunk: int | None, method: str, counted) -> None:
    """The same for a row of a map."""
    done = counted(
        f"""
        def task(i):
            note(i)
            if i in (0, 100, 199):
                os._exit(1)
            return i

        with executor(2) as ex:
            call = processed(retries=2, executor=ex)(task)
            rows = call.map(range(200), chunksize={chunk}, return_exceptions=True)
            got = [r if type(r) is int else type(r).__name__ for r in rows]
        died = [i for i, each in enumerate(got) if each == "WorkerDied"]
        print(died, sum(each == i for i, each in enumerate(got)))
        print(runs() == sorted([*range(200), *[0, 100, 199] * 2]))
        """,
        method,
    )
    assert done.lines == ["[0, 100, 199] 197", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_errors_are_retried(form: str, counted) -> None:
    """A call that raised one of `retry_on` starts again, until it succeeds."""
    done = counted(
        f"""
        def task(i):
            note(i)
            if i % 10 == 3 and runs().count(i) < 3:
                raise OSError(i)
            if i % 10 == 7:
                raise ValueError(i)
            return i

        with executor(2) as ex:
            call = processed(retries=4, retry_on=OSError, executor=ex)(task)
            if {form!r} == "calls":
                got = [name(f) for f in [call(i) for i in range(50)]]
            else:
                rows = call.map(range(50), chunksize=25, return_exceptions=True)
                got = [r if type(r) is int else type(r).__name__ for r in rows]
        print([i for i, each in enumerate(got) if each == "ValueError"])
        print(sum(each == i for i, each in enumerate(got)))
        again = [i for i in range(50) if i % 10 == 3] * 2
        print(runs() == sorted([*range(50), *again]))
        """
    )
    assert done.lines == ["[7, 17, 27, 37, 47]", "45", "True"]


def test_death_is_retried_whatever_retry_on_is(counted) -> None:
    """A death counts though it is none of the errors asked for."""
    done = counted(
        """
        def task(i):
            note(i)
            if runs().count(i) < 3:
                os.kill(os.getpid(), 9)
            return i

        with executor(1) as ex:
            call = processed(retries=2, retry_on=KeyError, executor=ex)(task)
            print(name(call(1)), list(call.map([2, 3], chunksize=2)), runs())
        """
    )
    assert done.lines == ["1 [2, 3] [1, 1, 1, 2, 2, 2, 3, 3, 3]"]


def test_last_error_is_the_one_that_is_raised(counted) -> None:
    """Death, error and success mixed: each start counts once."""
    done = counted(
        """
        def task(i):
            note(i)
            count = runs().count(i)
            if count == 1:
                os._exit(9)
            raise ValueError(f"start {count}")

        with executor(1) as ex:
            print(outcome(processed(retries=2, executor=ex)(task)(5)), runs())
        """
    )
    assert done.lines == ["ValueError: start 3 [5, 5, 5]"]


@pytest.mark.parametrize("retry_on", ["Exception", "KeyError"])
def test_timeout_and_retries(retry_on: str, counted) -> None:
    """A deadline is an error as any other: retried if it is among `retry_on`."""
    done = counted(
        f"""
        def task(i):
            note(i)
            time.sleep(60 if runs().count(i) < 2 else 0)
            return i

        with executor(2) as ex:
            call = processed(
                retries=1, retry_on={retry_on}, timeout=0.5, executor=ex)(task)
            rows = call.map([2, 3, 4], return_exceptions=True)
            print(name(call(1)), {{type(each).__name__ for each in rows}}, runs())
        """
    )
    expected = {
        "Exception": "1 {'int'} [1, 1, 2, 2, 3, 3, 4, 4]",
        "KeyError": "TaskTimeout {'TaskTimeout'} [1, 2, 3, 4]",
    }
    assert done.lines == [expected[retry_on]]


def test_killed_call_is_not_retried(counted) -> None:
    """`Future.kill` is a wish, not a failure."""
    done = counted(
        """
        def task(i):
            note(i)
            time.sleep(60)

        with executor(1) as ex:
            future = processed(retries=5, executor=ex)(task)(1)
            while not runs():
                time.sleep(0.002)
            print(future.kill(), name(future), outcome(ex.submit(abs, -1)), runs())
        """
    )
    assert done.lines == ["True TaskKilled 1 [1]"]


def test_kill_between_two_starts(counted) -> None:
    """A call that waits for its next start never starts again."""
    done = counted(
        """
        def blocker(path):
            note(0)
            while not os.path.exists(path):
                time.sleep(0.002)

        def fails(i):
            note(i)
            raise ValueError(i)

        with executor(1) as ex:
            go = os.environ["RUNS"] + ".go"
            # The single calls take turns with rows: so the row runs between two
            # starts of the call, and holds the only worker.
            future = processed(retries=1000000, executor=ex)(fails)(1)
            rows = ex.map(blocker, [go])
            while 0 not in runs():
                time.sleep(0.002)
            before = len(runs())
            print(future.done(), future.kill())
            open(go, "w").close()
            print(list(rows), name(future) if not future.cancelled() else "TaskKilled")
            print(len(runs()) == before)
        """
    )
    assert done.lines == ["False True", "[None] TaskKilled", "True"]


def test_arguments_of_a_retry_are_those_of_the_call(counted) -> None:
    """What a start did to its arguments is not there at the next."""
    done = counted(
        """
        def task(items):
            note(len(items))
            items.append(1)
            if len(runs()) < 3:
                raise OSError
            return items

        with executor(2) as ex:
            call = processed(retries=5, executor=ex)(task)
            print(name(call([])), list(call.map([[0]])), runs())
        """
    )
    assert done.lines == ["[1] [[0, 1]] [0, 0, 0, 1]"]


def test_never_retried_unasked(counted) -> None:
    """Neither errors nor deaths nor deadlines start a call twice by themselves."""
    done = counted(
        """
        def task(i):
            note(i)
            if i % 3 == 0:
                os._exit(0)
            if i % 3 == 1:
                time.sleep(60)
            raise OSError

        warm = {"initializer": __import__, "initargs": ("cloudpickle",)}
        with executor(4, **warm) as ex:
            call = processed(timeout=0.4, executor=ex)(task)
            got = [name(f) for f in [call(i) for i in range(6)]]
            rows = call.map(range(6, 12), return_exceptions=True)
            got += [type(row).__name__ for row in rows]
        print(got == ["WorkerDied", "TaskTimeout", "OSError"] * 4)
        print(runs() == list(range(12)))
        """
    )
    assert done.lines == ["True", "True"]
