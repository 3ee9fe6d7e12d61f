"""What cannot travel fails its own call, and says why."""

from __future__ import annotations

import mmap
import pathlib
import struct
import textwrap

import pytest
from harness import Run, run

from support.programs import program

#: Things that cannot be pickled, or not be built again. `at` says where.
TOOLS = program("serialisation/tools")


def tried(program: str, method: str = "forkserver") -> Run:
    """Run a program with `TOOLS`."""
    return run(TOOLS + textwrap.dedent(program), method)


ODD_ERRORS = program("serialisation/odd_errors")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("TwoArguments(1, 2)", "1 and 2"),
        ("HoldsLock()", "locked"),
        ("ReduceRaises('r')", "r"),
        ("ReduceExits('r')", "r"),
        ("StrRaises(1, 2)", ""),
        ("BuiltAsAnother('r')", "r"),
        ("OnlyThere()", ""),
        ("Interrupts('r')", "r"),
    ],
)
def test_error_cannot_travel(error: str, text: str) -> None:
    """A stand-in with class, text and traceback, on that call."""
    kind = error.partition("(")[0]
    done = tried(ODD_ERRORS + program("serialisation/error_cannot_travel", ERROR=error))
    first = done.lines[0].split()
    assert first[:2] == ["RemoteError", f"__main__.{kind}"]
    assert text in done.lines[0]
    assert done.lines[1:] == [
        "RemoteTraceback True",
        f"RemoteError __main__.{kind}",
        "True",
    ]
    assert done.err == ""


def test_error_that_can_travel_is_itself() -> None:
    """Class, attributes and notes; an object of its own for each future."""
    done = tried(program("serialisation/error_that_can_travel_is_itself"))
    assert done.lines == ["True ('text', 1) {'i': 1} ['a note'] False", "True"]


@pytest.mark.parametrize(
    "error", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"]
)
def test_task_raises_a_base_exception(error: str, method: str) -> None:
    """It is the call's error, it ends nobody."""
    done = tried(
        program("serialisation/task_raises_a_base_exception", ERROR=error), method
    )
    kind = error.partition("(")[0]
    assert done.lines == [kind, str([kind] * 3), "True"]
    assert done.code == 0


@pytest.mark.parametrize(
    ("value", "kind", "advice"),
    [
        ("threading.Lock()", "lock", ""),
        ("(i for i in ())", "generator", "return a list"),
        ("coroutine()", "coroutine", "decorate the async function"),
        ("asynchronous()", "async_generator", "return a list"),
        ("open(os.devnull, 'w')", "TextIOWrapper", ""),
        ("AtPickle('raises')", "AtPickle", "bad luck"),
        ("AtPickle('exits')", "AtPickle", "SystemExit: gone"),
        ("AtPickle('interrupts')", "AtPickle", "KeyboardInterrupt"),
    ],
)
def test_result_cannot_be_pickled(value: str, kind: str, advice: str) -> None:
    """The error names its type and says what to do."""
    done = tried(program("serialisation/result_cannot_be_pickled", VALUE=value))
    assert done.lines[0].startswith(f"True the result, a {kind}, cannot be pickled")
    assert advice in done.lines[0]
    assert done.lines[1:] == [str(["SerializationError"] * 3), "True"]


@pytest.mark.parametrize("how", ["raises", "exits", "interrupts"])
def test_result_cannot_be_built_in_the_parent(how: str, method: str) -> None:
    """Its reader hears of it, nobody else does."""
    done = tried(
        program("serialisation/result_cannot_be_built_in_the_parent", HOW=repr(how)),
        method,
    )
    cause = {
        "raises": "ValueError",
        "exits": "SystemExit",
        "interrupts": "KeyboardInterrupt",
    }[how]
    assert "the result of __main__.task cannot be unpickled" in done.lines[0]
    assert done.lines[1:] == [
        cause,
        str(["SerializationError"] * 3),
        "True",
        "['SerializationError']",
    ]
    assert done.code == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("threading.Lock()", "cannot pickle '_thread.lock' object"),
        ("AtPickle('raises')", "ValueError: bad luck"),
        ("AtPickle('exits')", "SystemExit: gone"),
        ("AtPickle('interrupts')", "KeyboardInterrupt: by hand"),
    ],
)
def test_argument_cannot_be_pickled(value: str, text: str) -> None:
    """The call returns a future; the future fails."""
    done = tried(program("serialisation/argument_cannot_be_pickled", VALUE=value))
    assert done.lines[0].startswith("True SerializationError: the arguments of")
    assert "__main__.give" in done.lines[0]
    assert text in done.lines[0]
    assert done.lines[1:] == [
        "SerializationError",
        "1",
        "[1, 'SerializationError', 3]",
        "True",
    ]
    assert done.code == 0


def test_function_cannot_be_pickled() -> None:
    """Likewise; a map gives the error to its reader."""
    done = tried(program("serialisation/function_cannot_be_pickled"))
    assert "cannot pickle '_thread.lock' object" in done.lines[0]
    assert done.lines[1:] == ["True", "True"]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "ValueError"),
        ("exits", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
    ],
)
def test_argument_cannot_be_built_in_the_worker(
    how: str, error: str, method: str
) -> None:
    """The real error with its traceback; the worker stays."""
    done = tried(
        program("serialisation/argument_cannot_be_built_in_the_worker", HOW=repr(how)),
        method,
    )
    assert done.lines == [f"{error} True", f"[[1], '{error}', [3]]", "True"]


@pytest.mark.parametrize(("how", "code"), [("dies", 3), ("crashes", -11)])
def test_argument_kills_the_worker(how: str, code: int, method: str) -> None:
    """That call has died; those sent with it run elsewhere."""
    done = tried(
        program("serialisation/argument_kills_the_worker", HOW=repr(how)), method
    )
    assert done.lines == [f"('WorkerDied', {code}) True"] * 2


def test_error_kills_the_worker_as_it_is_pickled() -> None:
    """An error whose pickling or unpickling ends the process."""
    done = tried(program("serialisation/error_kills_the_worker_as_it_is_pickled"))
    assert done.lines == ["WorkerDied 4", "True", "WorkerDied 5", "True"]


def test_result_kills_the_worker_as_it_is_pickled() -> None:
    """The call had returned, but not ended: it died with its worker."""
    done = tried(program("serialisation/result_kills_the_worker_as_it_is_pickled"))
    assert done.lines == ["WorkerDied True", "WorkerDied True"]


def test_arguments_are_snapshots(method: str) -> None:
    """What was passed runs, whatever the caller does to it then."""
    done = tried(program("serialisation/arguments_are_snapshots"), method)
    assert done.lines == ["[2, 2, 2, 2, 4, 200000, 1] 7 [3, 4]"]


def test_large_buffers_are_snapshots() -> None:
    """Also those that travel beside the pickle."""
    done = run(program("serialisation/large_buffers_are_snapshots"))
    if "No module named 'numpy'" in done.err:
        pytest.skip("needs numpy")
    assert done.lines == [" ".join(["1000000.0"] * 4)]


def test_many_threads_pickle_at_once(method: str) -> None:
    """Picklers are nobody's but the thread's; every result is right."""
    done = tried(program("serialisation/many_threads_pickle_at_once"), method)
    assert done.lines == ["[]"]


def test_deep_nesting(method: str) -> None:
    """RecursionError on that call; the worker stays."""
    done = tried(program("serialisation/deep_nesting"), method)
    assert done.lines == [
        "SerializationError True",
        "SerializationError True",
        "[[[]], 'SerializationError', [[[]]]]",
        "True",
    ]


def test_cycles() -> None:
    """What holds itself arrives so."""
    done = tried(program("serialisation/cycles"))
    assert done.lines == ["1", "1"]


def test_functions_of_every_kind(method: str) -> None:
    """Lambda, closure, method, partial, `__main__`, decorated name."""
    done = tried(program("serialisation/functions_of_every_kind"), method)
    assert done.lines == ["2 [2, 3]", "30 [10, 20]", "True"]
    assert done.err == ""


def test_decorated_function_travels_by_its_name(tmp_path: pathlib.Path) -> None:
    """What its name finds is the decorator's, and that is known."""
    (tmp_path / "named.py").write_text(program("serialisation/named"))
    done = run(
        program(
            "serialisation/decorated_function_travels_by_its_name",
            FOLDER=repr(str(tmp_path)),
        )
    )
    assert done.lines == ["b'@named:double'", "True", "4 6", "10 [2, 4]"]


def test_buffers_travel_exactly(method: str) -> None:
    """Of every size and kind, both ways, one by one and in rows."""
    done = tried(program("serialisation/buffers_travel_exactly"), method)
    assert done.lines == ["True"] * 3


@pytest.mark.parametrize("way", ["argument", "result"])
def test_more_buffers_than_a_frame_takes(way: str) -> None:
    """Thousands of buffers in one value."""
    done = tried(
        program("serialisation/more_buffers_than_a_frame_takes", WAY=repr(way))
    )
    assert done.lines == ["4100", "True"]


def test_arrays_travel_exactly() -> None:
    """Empty, read-only, strided, Fortran, structured, 0-dimensional."""
    done = tried(program("serialisation/arrays_travel_exactly"))
    if "No module named 'numpy'" in done.err:
        pytest.skip("needs numpy")
    assert done.lines == ["done"]


def test_lengths_are_of_64_bits() -> None:
    """A part of 5 GiB (never touched here) has its length in the header."""
    from parallelize.process.wire.frames import pack

    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    with mmap.mmap(-1, 5 << 30, flags=flags) as memory, memoryview(memory) as view:
        head, part = pack(1, 2, [view])
        assert part is view
        assert struct.unpack("<Q", bytes(head)[-8:]) == (5 << 30,)


def test_large_things_both_ways_at_once() -> None:
    """Neither side waits for the other to read."""
    done = tried(
        """
        with executor(2) as ex:
            data = bytes(20_000_000)
            futures = [ex.submit(give, data) for _ in range(4)]
            print([len(f.result(20)) for f in futures] == [20_000_000] * 4)
        """
    )
    assert done.lines == ["True"]
