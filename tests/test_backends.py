"""The executor that docs/backends.md shows, and words for executors of a user's own."""

import asyncio
import concurrent.futures
import functools
import importlib.util
import threading

import pytest

import parallelize
import tasks
from fenced import ROOT, run_script
from parallelize import (
    ThreadPoolExecutor,
    parallel_map,
    parallelized,
    processed,
    register_executor,
    threaded,
    use,
    using,
)
from parallelize.registry import kinds


@pytest.fixture(autouse=True)
def nothing_stays(monkeypatch):
    """Neither words nor shared executors."""
    monkeypatch.setattr(kinds, "KINDS", kinds.KINDS.copy())
    monkeypatch.setattr(parallelize.api.use, "KINDS", kinds.KINDS)
    monkeypatch.setattr(kinds, "_registered", {})
    yield
    use(None)
    parallelize.shutdown()


@pytest.fixture
def new_threads(capsys):
    """The class of the example."""
    path = ROOT / "docs" / "examples" / "backend.py"
    spec = importlib.util.spec_from_file_location("backend_example", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    parallelize.shutdown()
    return module.NewThreads


@pytest.fixture
def executor(new_threads):
    with new_threads(2) as made:
        yield made


@threaded
def numbers(count):
    """Yield numbers, each with the thread that they come from."""
    for number in range(count):
        yield number, threading.get_ident()


@threaded
async def doubled(number):
    await asyncio.sleep(0)
    return 2 * number


def test_calls_and_errors(executor):
    double = processed(tasks.double).options(executor=executor)
    assert double(double(3)).result() == 12
    assert {double(n).result() for n in range(20)} == {2 * n for n in range(20)}
    with pytest.raises(tasks.Refusal):
        parallelized(executor)(tasks.refuse)(1).result()


@pytest.mark.parametrize("ordered", [True, False])
def test_maps(executor, ordered):
    found = parallelized(executor)(tasks.double).map(range(500), ordered=ordered)
    assert sorted(found) == [2 * n for n in range(500)]
    assert list(parallel_map(tasks.double, range(9), executor=executor)) == [
        2 * n for n in range(9)
    ]


def test_a_map_takes_no_more_than_a_window_of_its_input(executor):
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield len(taken)

    with parallelized(executor)(tasks.double).map(endless(), buffersize=4) as results:
        assert [next(results) for _ in range(10)] == [2 * n for n in range(1, 11)]
    assert len(taken) < 30


def test_streams_and_coroutines(executor):
    found = list(numbers.options(executor=executor)(50))
    assert [number for number, _ in found] == list(range(50))
    assert threading.get_ident() not in {ident for _, ident in found}
    assert doubled.options(executor=executor)(4).result() == 8
    assert list(doubled.options(executor=executor).map(range(5))) == [0, 2, 4, 6, 8]


def test_retries_limits_and_timeouts(executor):
    left = [ValueError, ValueError]

    def fails_twice():
        if left:
            raise left.pop()
        return "came"

    assert parallelized(executor, retries=2, limit=1)(fails_twice)().result() == "came"
    go_on = threading.Event()
    late = parallelized(executor, timeout=0.01)(go_on.wait)()
    with pytest.raises(parallelize.TaskTimeout):
        late.result()
    go_on.set()


def test_shutdown_of_the_example(new_threads):
    executor = new_threads(1)
    go_on, runs = threading.Event(), threading.Event()
    held = executor.submit(lambda: runs.set() or go_on.wait(20))
    waiting = executor.submit(abs, -1)
    assert runs.wait(20)
    executor.shutdown(wait=False, cancel_futures=True)
    with pytest.raises(RuntimeError):
        parallelized(executor)(abs)(-1).result()
    go_on.set()
    executor.shutdown()
    assert held.result(timeout=0)
    assert waiting.cancelled()


# ------------------------------------------------------------------------- words


def test_a_word_for_an_executor(new_threads, monkeypatch):
    made = []

    def make(max_workers):
        made.append(new_threads(max_workers))
        return made[-1]

    register_executor("new", make)
    here = threading.get_ident()
    where = processed(threading.get_ident)
    with using("new"):
        assert where().result() != here
    use("new")
    assert where().result() != here
    assert parallelized("new")(threading.get_ident)().result() != here
    assert len(made) == 1, "all share it"
    use(None)
    parallelize.shutdown()
    monkeypatch.setenv("PARALLELIZE_EXECUTOR", "new")
    assert list(where.map(range(0))) == []
    assert where().result() != here
    assert len(made) == 2
    with pytest.raises(RuntimeError):
        made[0].submit(abs, -1)


def test_a_pool_of_a_functions_own(new_threads):
    asked = []
    register_executor("new", lambda count: asked.append(count) or new_threads(count))
    assert parallelized("new", max_workers=3)(abs)(-4).result() == 4
    assert asked == [3]
    with pytest.raises(ValueError, match="initializer cannot be set for 'new'"):
        parallelized("new", initializer=print)(abs)(-4)


def test_a_word_for_a_pool_of_parallelize():
    make = functools.partial(ThreadPoolExecutor, thread_name_prefix="mine")
    register_executor("mine", make)
    with using("mine"):
        name = processed(lambda: threading.current_thread().name)().result()
    assert name.startswith("mine")


def test_a_word_may_be_registered_again():
    register_executor("mine", concurrent.futures.ThreadPoolExecutor)
    register_executor("mine", lambda _: parallelize.SerialExecutor())
    with using("mine"):
        assert processed(threading.get_ident)().result() == threading.get_ident()


def test_errors_list_the_names():
    with pytest.raises(ValueError, match=r"'serial', [^']*'dask'.*, not 'mine'"):
        use("mine")
    register_executor("mine", ThreadPoolExecutor)
    with pytest.raises(ValueError, match="'mine', not 'my'"):
        use("my")


@pytest.mark.parametrize("name", ["threads", "thread", "ray", "", " a", "a://b"])
def test_names_that_cannot_be_registered(name):
    with pytest.raises(ValueError, match="name must be"):
        register_executor(name, ThreadPoolExecutor)


@pytest.mark.parametrize(
    ("name", "make", "argument"), [(1, ThreadPoolExecutor, "name"), ("a", "b", "make")]
)
def test_what_cannot_be_registered(name, make, argument):
    with pytest.raises(TypeError, match=f"^{argument} must be"):
        register_executor(name, make)


AT_THE_END = """
import queue, sys, threading
from concurrent.futures import Executor, Future
from parallelize import processed, register_executor, using

class OneThread(Executor):
    def __init__(self, max_workers):
        self._calls = queue.SimpleQueue()
        threading.Thread(target=self._work).start()

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self._calls.put((future, fn, args, kwargs))
        return future

    def _work(self):
        while (call := self._calls.get()) is not None:
            future, fn, args, kwargs = call
            future.set_running_or_notify_cancel()
            future.set_result(fn(*args, **kwargs))

    def shutdown(self, wait=True):
        self._calls.put(None)

register_executor("one", OneThread)
with using("one"):
    processed(print)("called")
if "error" in sys.argv:
    sys.exit("an error")
"""


@pytest.mark.parametrize("end", ["normal", "error"])
def test_the_end_of_the_program_shuts_it_down(tmp_path, end):
    """Else its thread, which is no daemon, would keep the program."""
    script = tmp_path / "script.py"
    script.write_text(AT_THE_END)
    if end == "normal":
        assert run_script(script, cwd=tmp_path).stdout == "called\n"
    else:
        with pytest.raises(AssertionError, match="an error"):
            run_script(script, end, cwd=tmp_path)
