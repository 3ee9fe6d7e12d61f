"""The progress bar of a map."""

import subprocess
import sys
import types

import pytest

import tasks
from parallelize.executors.thread import ThreadPoolExecutor
from parallelize.mapping import progress
from support.bars import Bar


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


@pytest.fixture
def bars(monkeypatch):
    monkeypatch.setattr(progress, "_tqdm", lambda: Bar)
    monkeypatch.setattr(Bar, "made", [])
    return Bar.made


@pytest.mark.parametrize(
    ("iterables", "total"),
    [
        ([range(10)], 10),
        ([[1, 2, 3], range(10)], 3),
        ([iter(range(10))], None),
        ([range(10), iter(range(10))], None),
    ],
)
def test_the_total_is_the_least_length(threads, bars, iterables, total):
    list(threads.map(tasks.add, *iterables, progress=True))
    assert bars[0].total == total
    assert bars[0].desc is None
    assert bars[0].n == (total or 10)
    assert bars[0].closed


def test_a_string_is_the_description(threads, bars):
    list(threads.map(tasks.double, [1], progress="doubling"))
    assert bars[0].desc == "doubling"


@pytest.mark.parametrize("chunksize", [1, 7])
def test_what_was_given_is_counted(threads, bars, chunksize):
    results = threads.map(tasks.double, range(100), progress=True, chunksize=chunksize)
    for _ in range(10):
        next(results)
    assert bars[0].n <= 10
    results.close()
    assert bars[0].n == 10
    assert bars[0].closed


def test_the_bar_is_closed_when_the_map_is_dropped_or_fails(threads, bars):
    results = threads.map(tasks.double, range(100), progress=True)
    next(results)
    del results
    assert bars[0].closed
    with pytest.raises(tasks.Refusal):
        list(threads.map(tasks.refuse, [1], progress=True))
    assert bars[1].closed


def test_wrong_arguments_draw_no_bar(threads, bars):
    with pytest.raises(TypeError):
        threads.map(tasks.double, 5, progress=True)
    assert bars == []


def test_a_bar_in_the_terminal(threads, capsys):
    list(threads.map(tasks.double, range(20), progress="doubling"))
    shown = capsys.readouterr().err
    assert "doubling" in shown
    assert "20/20" in shown


def test_a_notebook_gets_its_own_bar(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    auto = types.ModuleType("tqdm.auto")
    auto.tqdm = Bar
    monkeypatch.setitem(sys.modules, "tqdm.auto", auto)
    assert issubclass(progress._tqdm(), Bar)


def test_ipython_in_a_terminal_is_no_notebook(monkeypatch):
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace()
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    from tqdm import tqdm

    assert issubclass(progress._tqdm(), tqdm)


def test_our_bar_leaves_the_lock_of_others_as_it_is():
    """tqdm sends its lock to processes, which a lock of threads would not survive."""
    program = (
        "import tqdm\n"
        "from parallelize import thread_map\n"
        "thread_map(abs, [1], progress=True)\n"
        "print(hasattr(tqdm.tqdm, '_lock'))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert done.stdout == "False\n"


def test_tqdm_is_loaded_when_it_is_asked_for():
    program = (
        "import sys\n"
        "from parallelize.executors.thread import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(1) as executor:\n"
        "    list(executor.map(abs, [1]))\n"
        "    assert not {'tqdm', 'asyncio', 'multiprocessing'} & set(sys.modules)\n"
        "    list(executor.map(abs, [1], progress=True))\n"
        "    assert 'tqdm' in sys.modules\n"
        "    assert 'multiprocessing.synchronize' not in sys.modules\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
