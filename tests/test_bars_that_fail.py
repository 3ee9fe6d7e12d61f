"""A bar that cannot be drawn costs nobody a result; one whose map is over is closed."""

import gc
import io
import os
import subprocess
import sys
import weakref

import pytest

from parallelize import ThreadPoolExecutor, thread_map
from parallelize.mapping import progress
from support.bars import Bar
from support.programs import PROGRAMS, program
from support.waiting import wait_until

#: Before a program: all that it has to do is to print the sum.
MAPS = program("bars_that_fail/maps")
SUM = f"{sum(range(3000))}\n"


def run(program, **environment):
    done = subprocess.run(
        [sys.executable, "-c", MAPS + program],
        capture_output=True,
        check=False,
        timeout=60,
        env=os.environ
        | {"PYTHONIOENCODING": "utf-8", "PYTHONUNBUFFERED": ""}
        | environment,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.decode(), done.stderr.decode()  # with each carriage return


NOWHERE = {
    "none": "sys.stderr = sys.__stderr__ = None",
    "closed": "sys.stderr.close()",
    "descriptor closed": "os.close(2)",
    "pipe without a reader": "r, w = os.pipe(); os.close(r); os.dup2(w, 2)",
    "ascii": "import io; sys.stderr = io.TextIOWrapper(io.BytesIO(), 'ascii')",
    "no text": "import io; sys.stderr = io.BytesIO()",
}


@pytest.mark.parametrize("kind", NOWHERE)
def test_where_nothing_can_be_drawn(kind):
    out, err = run(NOWHERE[kind] + "\nprint(summed())")
    assert out == SUM
    assert "Traceback" not in err
    assert "Exception ignored" not in err


class Breaking(io.StringIO):
    """A file that cannot be written to from some moment on."""

    def __init__(self, error, after):
        super().__init__()
        self.error, self.left = error, after

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise self.error
        return super().write(text)


ERRORS = [
    BrokenPipeError(32, "Broken pipe"),
    OSError(5, "Input/output error"),
    OSError(28, "No space left on device"),
    ValueError("I/O operation on closed file."),
    UnicodeEncodeError("ascii", "x", 0, 1, "no"),
    RuntimeError("of somebody's wrapper"),
]


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.mark.filterwarnings("ignore:there is no progress bar")
@pytest.mark.parametrize("after", [0, 1, 3, 6])
@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_where_it_breaks_in_the_middle(threads, monkeypatch, error, after):
    monkeypatch.setattr(sys, "stderr", Breaking(error, after))
    monkeypatch.setenv("TQDM_MININTERVAL", "0")
    results = threads.map(abs, range(500), chunksize=5, progress=True)
    assert list(results) == list(range(500))
    results = threads.map(abs, range(500), chunksize=5, progress=True)
    assert next(results) == 0
    results.close()
    results = threads.map(abs, range(500), chunksize=5, progress=True)
    assert next(results) == 0
    del results
    gc.collect()


@pytest.mark.filterwarnings("error")
def test_a_warning_that_is_an_error_does_not_fail_the_map(threads, monkeypatch):
    monkeypatch.setattr(sys, "stderr", Breaking(RuntimeError("odd"), 0))
    assert list(threads.map(abs, range(9), progress=True)) == list(range(9))


REPLACED = {
    "missing": "sys.modules['tqdm'] = None",
    "an empty module": "import types; sys.modules['tqdm'] = types.ModuleType('tqdm')",
    "disabled by a partial": (
        "import tqdm, functools; tqdm.tqdm = functools.partial(tqdm.tqdm, disable=True)"
    ),
    "a function": "import tqdm; made = tqdm.tqdm; tqdm.tqdm = lambda **o: made(**o)",
    "a function that fails": "import tqdm\ndef fail(**_): 1 / 0\ntqdm.tqdm = fail",
    "None": "import tqdm; tqdm.tqdm = None",
    "knows no keywords": "import tqdm\nclass Old: pass\ntqdm.tqdm = Old",
    "a notebook without widgets": (
        "import types\n"
        "ipython = sys.modules['IPython'] = types.ModuleType('IPython')\n"
        "shell = types.SimpleNamespace(kernel=object())\n"
        "ipython.get_ipython = lambda: shell\n"
        "sys.modules['ipywidgets'] = None"
    ),
}


@pytest.mark.parametrize("kind", REPLACED)
def test_another_tqdm(kind):
    out, err = run(REPLACED[kind] + "\nprint(summed())")
    assert out == SUM
    assert "Traceback" not in err


def test_tqdm_may_be_disabled():
    out, err = run("print(summed())", TQDM_DISABLE="1")
    assert (out, err) == (SUM, "")


def test_a_bar_of_ascii():
    text = """
import io
sys.stderr = io.TextIOWrapper(io.BytesIO(), "ascii", write_through=True)
print(summed())
print(b"3000/3000" in sys.stderr.buffer.getvalue())
"""
    assert run(text)[0] == SUM + "True\n"


# The end of a bar.


def test_the_bar_of_a_map_that_is_held_ends_complete():
    text = """
held = thread_map(same, range(3000), progress=True, chunksize=100)
print(sum(held))
os.write(2, b"|end of the program\\n")
"""
    out, err = run(text)
    assert out == SUM
    before, _, after = err.partition("|end of the program")
    assert before.rstrip().rpartition("\r")[2].startswith("100%")
    assert after.strip() == ""


def test_a_bar_of_async_for_ends_complete():
    text = program("bars_that_fail/a_bar_of_async_for_ends_complete")
    out, err = run(text)
    assert out == SUM
    assert "3000/3000" in err.partition("|end of the program")[0]


@pytest.mark.parametrize("read", [0, 7, 250])
def test_a_bar_that_a_module_holds_is_closed_before_the_interpreter_ends(read):
    text = program(
        "bars_that_fail/a_bar_that_a_module_holds_is_closed_before_the_interpreter_ends",
        READ=read,
    )
    out, err = run(text)
    assert out == ""
    assert f" {read}/3000" in err.rstrip().rpartition("\r")[2]
    assert "Exception ignored" not in err


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_does_not_draw_the_bar_of_its_parent():
    text = program("bars_that_fail/a_forked_child_does_not_draw_the_bar_of_its_parent")
    out, err = run("import warnings; warnings.simplefilter('ignore')\n" + text)
    assert "/3000" not in out
    assert "1/3000" in err


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(progress, "_tqdm", lambda: Bar)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


@pytest.mark.parametrize("ordered", [True, False])
def test_at_its_end_a_map_counts_and_closes(threads, bars, ordered):
    results = threads.map(abs, range(1000), progress=True, ordered=ordered)
    assert sum(results) == sum(range(1000))
    assert (bars[0].n, bars[0].closed) == (1000, 1)
    results.close()
    assert list(results) == []
    assert bars[0].n == 1000


@pytest.mark.parametrize("read", [0, 1, 13, 100])
def test_one_that_is_closed_early_stays_at_what_was_done(threads, bars, read):
    results = threads.map(abs, range(100), progress=True, chunksize=10)
    for _ in range(read):
        next(results)
    results.close()
    assert (bars[0].n, bars[0].closed) == (read, 1)


def test_at_its_end_a_map_lets_go(threads):
    class Call:
        def __call__(self, item):
            return item

    call = Call()
    alive = weakref.ref(call)
    results = threads.map(call, range(10))
    del call
    assert list(results) == list(range(10))
    gc.collect()
    assert alive() is None
    assert list(results) == []


def test_at_its_end_a_map_lets_its_own_pool_go():
    import threading

    before = set(threading.enumerate())
    results = thread_map(abs, range(10), max_workers=1)
    assert list(results) == list(range(10))

    def left():
        gc.collect()
        new = set(threading.enumerate()) - before
        return [each.name for each in new if "deadlines" not in each.name]

    wait_until(lambda: not left(), 20)
    del results


def test_a_bar_that_breaks_leaves_tqdm_to_other_threads():
    """Where drawing fails, tqdm itself keeps the lock that all its bars share."""
    script = PROGRAMS / "bar_lock.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.split("\n") == ["499500", "other ok", "45", ""]


@pytest.mark.parametrize(
    ("stream", "first"),
    [
        ("Broken(OSError())", SUM),
        ("Broken(KeyboardInterrupt())", "interrupted\n"),
        ("io.TextIOWrapper(io.BytesIO(), 'ascii')", SUM),
    ],
    ids=["an error", "Ctrl-C", "ascii"],
)
def test_the_first_bar_of_a_program_leaves_its_lock_to_other_threads(stream, first):
    text = program(
        "bars_that_fail/the_first_bar_of_a_program_leaves_its_lock_to_other_threads",
        STREAM=stream,
    )
    assert run(text)[0] == first + SUM
