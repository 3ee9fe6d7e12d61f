"""What becomes of a program when something goes wrong: one table, library by library.

Each fault is provoked once with each library, in a program of its own that is
bounded in time. The verdict is drawn from what that program told, how it ended
and what it left behind:

    python -m benchmarks.faults                              # the whole table
    python -m benchmarks.faults --only killed --peers loky   # a single cell
    python -m benchmarks.faults --write docs/faults.md --json cells.json

The order of this file: the libraries behind one set of names (`Pool`), the tasks
that they run, the faults each with its judge, and the machinery that runs them.
It needs Linux, whose /proc tells which processes are left.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import ctypes
import dataclasses
import importlib.metadata
import importlib.util
import itertools
import json
import os
import platform
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parent.parent

#: Programs as users write them, each a row of the table; its docstring is the title.
SITUATIONS = ROOT / "benchmarks" / "situations"

# In the environment of each process that a provocation starts, in whatever way.
MARK = "FAULTS_MARK"

# Seconds after which a call that has not answered never will.
PATIENCE = 4.0

Get = Callable[[float], Any]  # waits at most that many seconds for what a call returns
Call = tuple[Callable[..., Any], *tuple[Any, ...]]  # a function and its arguments

# -- The libraries ----------------------------------------------------------------


class Pool:
    """A process pool of one library, under names that are the same for all."""

    package: ClassVar[str]  # what has to be importable

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        raise NotImplementedError

    def batch(self, calls: Iterable[Call]) -> list[Get]:
        return [begin(self.submit, *call) for call in calls]

    def limited(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Get:
        """Submit with a limit; a library without one can limit the wait alone."""
        get = self.submit(fn, *args)
        return lambda _: get(seconds)

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> None:
        """Begin what its users write as a `with` block, where that stops the work."""

    def __exit__(self, *error: object) -> None:
        """End it; most libraries would wait here for all of the work."""


class ExecutorPool(Pool):
    """What follows PEP 3148."""

    executor: Any

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.executor.submit(fn, *args).result
        return get

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.executor.map(fn, items))

    def close(self) -> None:
        self.executor.shutdown()


class Parallelize(ExecutorPool):
    package = "parallelize"

    def __init__(self, workers: int) -> None:
        from parallelize import ProcessPoolExecutor

        super().__init__(workers)
        self.executor = ProcessPoolExecutor(workers)

    def limited(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Get:
        from parallelize import parallelized

        get: Get = parallelized(self.executor, timeout=seconds)(fn)(*args).result
        return get


class Standard(ExecutorPool):
    package = "concurrent.futures"

    def __init__(self, workers: int) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        super().__init__(workers)
        context = multiprocessing.get_context("forkserver")
        self.executor = ProcessPoolExecutor(workers, mp_context=context)


class Multiprocessing(Pool):
    package = "multiprocessing"

    def __init__(self, workers: int) -> None:
        import multiprocessing

        super().__init__(workers)
        self.pool = multiprocessing.get_context("forkserver").Pool(workers)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        return self.pool.apply_async(fn, args).get

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return self.pool.imap(fn, items)

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Loky(ExecutorPool):
    package = "loky"

    @property
    def executor(self) -> Any:
        """The executor; asking for it is also how loky replaces a broken one."""
        import loky

        return loky.get_reusable_executor(max_workers=self.workers)


class Joblib(Pool):
    package = "joblib"

    def _run(self, calls: Iterable[Call], timeout: float | None = None) -> Any:
        from joblib import Parallel, delayed

        run = Parallel(n_jobs=self.workers, return_as="generator", timeout=timeout)
        return run(delayed(fn)(*args) for fn, *args in calls)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        row = self._run([(fn, *args)])
        return lambda _: next(row)

    def batch(self, calls: Iterable[Call]) -> list[Get]:
        calls = list(calls)
        return [Row(begin(self._run, calls))] * len(calls)

    def limited(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Get:
        row = self._run([(fn, *args)], timeout=seconds)
        return lambda _: next(row)

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self._run((fn, item) for item in items))

    def close(self) -> None:
        from joblib.externals.loky import get_reusable_executor

        get_reusable_executor().shutdown()


class Row:
    """Gives the results of one `joblib.Parallel` in turn, or what it failed with."""

    def __init__(self, results: Any) -> None:
        self.results = results

    def __call__(self, seconds: float) -> Any:
        if not isinstance(self.results, Iterator):
            return self.results(seconds)
        try:
            return next(self.results)
        except BaseException as error:
            self.results = _raiser(error)
            raise


class Pebble(Pool):
    package = "pebble"

    def __init__(self, workers: int) -> None:
        import multiprocessing

        import pebble

        super().__init__(workers)
        context = multiprocessing.get_context("forkserver")
        self.pool = pebble.ProcessPool(workers, context=context)

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.schedule(fn, args=args).result
        return get

    def limited(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.schedule(fn, args=args, timeout=seconds).result
        return get

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.pool.map(fn, items).result())

    def close(self) -> None:
        self.pool.close()
        self.pool.join()


class Mpire(Pool):
    package = "mpire"

    def __init__(self, workers: int) -> None:
        import mpire

        super().__init__(workers)
        self.pool = mpire.WorkerPool(workers, start_method="forkserver")

    def submit(self, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.apply_async(fn, args).get
        return get

    def limited(self, seconds: float, fn: Callable[..., Any], *args: Any) -> Get:
        get: Get = self.pool.apply_async(fn, args, task_timeout=seconds).get
        return get

    def map(self, fn: Callable[..., Any], items: Iterable[Any]) -> Iterator[Any]:
        return iter(self.pool.imap(fn, items))

    def close(self) -> None:
        self.pool.stop_and_join()

    def __enter__(self) -> None:
        self.pool.__enter__()

    def __exit__(self, *error: object) -> None:
        self.pool.__exit__(*error)


PEERS: dict[str, type[Pool]] = {
    "parallelize": Parallelize,
    "concurrent.futures": Standard,
    "multiprocessing.Pool": Multiprocessing,
    "loky": Loky,
    "joblib": Joblib,
    "pebble": Pebble,
    "mpire": Mpire,
}


def begin(start: Callable[..., Any], *args: Any) -> Any:
    """Start something; an error of the start comes when the result is asked for."""
    try:
        return start(*args)
    except BaseException as error:  # noqa: BLE001 - SystemExit is one of the faults
        return _raiser(error)


def _raiser(error: BaseException) -> Get:
    def get(_: float) -> NoReturn:
        raise error

    return get


# -- What the workers run ---------------------------------------------------------


def echo(x: Any) -> Any:
    return x


def slow_echo(x: Any) -> Any:
    time.sleep(0.1)
    return x


def last(row: list[Any]) -> Any:
    return row[-1]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave() -> None:
    os._exit(0)


def crash() -> None:
    ctypes.string_at(0)


class AwkwardError(Exception):
    """Cannot be built again from its pickle: that keeps one argument of the two."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__(text)
        self.code = code


def raise_awkward() -> None:
    raise AwkwardError("awkward", 7)


@dataclasses.dataclass(frozen=True)
class FrozenError(Exception):
    """Lets none of its attributes be set, its traceback neither."""

    code: int


class FalseError(Exception):
    """Is false, as an empty container is."""

    def __bool__(self) -> bool:
        return False


def raise_frozen() -> None:
    raise FrozenError(7)


def raise_false() -> None:
    msg = "it is false"
    raise FalseError(msg)


def fork_and_return() -> int:
    """Return twice: in the worker, and in a child of it."""
    return min(os.fork(), 1)


def refuse() -> NoReturn:
    msg = "cannot be loaded"
    raise ValueError(msg)


class Unloadable:
    def __reduce__(self) -> tuple[Callable[[], NoReturn], tuple[()]]:
        return refuse, ()


def make_unloadable() -> Unloadable:
    return Unloadable()


def make_lock() -> Any:
    return threading.Lock()


class ExitAtPickling:
    def __reduce__(self) -> NoReturn:
        sys.exit(3)


def note(path: str, text: str = ".") -> None:
    """Write down that something was done; appending needs no lock."""
    with open(path, "a") as file:
        file.write(text)


def noted(path: str, seconds: float) -> None:
    """Make a note and take some time."""
    note(path)
    time.sleep(seconds)


def noted_briefly(path: str) -> None:
    noted(path, 0.05)


def beat(path: str) -> None:
    """Make notes for six seconds."""
    for _ in range(120):
        noted(path, 0.05)


def begin_and_finish(path: str) -> None:
    noted(path, 1)
    note(path, "finished")


def nested(peer: str) -> Any:
    """Do what the whole program does, inside a worker."""
    pool = PEERS[peer](2)
    came = pool.submit(echo, "inner")(PATIENCE)
    pool.close()
    return came


# -- What a provoking program tells -----------------------------------------------


def tell(**facts: Any) -> None:
    """Print what the judge wants to know, at once: the program may be about to end."""
    print(json.dumps(facts), flush=True)


def outcome(get: Get, seconds: float = PATIENCE) -> Any:
    """Return what a call came to: its value, or its error as text."""
    try:
        return get(seconds)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is the outcome
        return f"{type(error).__name__}: {error}"


def answer(pool: Pool) -> Any:
    """Return what the pool makes of one more call."""
    return outcome(begin(pool.submit, echo, "next"))


def warm(peer: str) -> Pool:
    """Make a pool of two workers that have started."""
    pool = PEERS[peer](2)
    for get in pool.batch([(slow_echo, 0)] * 2):
        get(30)
    return pool


def size(path: str) -> int:
    return os.path.getsize(path) if os.path.exists(path) else 0


def await_note(path: str) -> None:
    while not size(path):
        time.sleep(0.01)


# What the programs in the folder `situations` use.


def pool() -> Pool:
    """Make the pool of two workers that the command line names."""
    return PEERS[sys.argv[-1]](2)


def check(here: Pool, calls: Sequence[Call], want: list[Any]) -> None:
    """Make calls one by one, and tell what they come to and what they should."""
    finish(here, [outcome(begin(here.submit, *call)) for call in calls], want)


def finish(here: Pool | None, got: Any, want: Any) -> None:
    """Tell what a program has got and what it wanted, and close its pool."""
    tell(got=got, want=want)
    if here is not None:
        here.close()


def add_callback(here: Pool, fn: Callable[[], Any]) -> Get:
    """Have a function called when a call ends; get what it returns."""
    came: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def callback(*_: object) -> None:
        came.put(outcome(lambda _: fn()))

    if isinstance(here, (Multiprocessing, Mpire)):
        here.pool.apply_async(slow_echo, (0,), callback=callback)
    elif isinstance(here, Pebble):
        here.pool.schedule(slow_echo, args=(0,)).add_done_callback(callback)
    elif isinstance(here, ExecutorPool):
        here.executor.submit(slow_echo, 0).add_done_callback(callback)
    else:
        return _raiser(NotImplementedError("no callbacks"))
    return lambda seconds: came.get(timeout=seconds)


# -- Verdicts ---------------------------------------------------------------------


class Run(NamedTuple):
    """What came of a provoking program."""

    facts: dict[str, Any]
    code: int | None  # None: it had to be killed
    seconds: float  # from the fault, if it told when that was, to its end
    left: int  # processes that were there two seconds after its end
    errors: str  # what stood on stderr
    notes: str  # what its tasks wrote down


class Verdict(NamedTuple):
    """What a cell of the table says."""

    grade: str  # ok, partly or fails
    text: str


def graded(good: bool, fair: bool, *parts: str) -> Verdict:
    """Put a verdict together; empty parts are left out."""
    grade = "ok" if good else "partly" if fair else "fails"
    return Verdict(grade, "; ".join(part for part in parts if part))


def silent(text: Any) -> bool:
    """Return whether an outcome is that of a call that never answered."""
    return text is None or "TimeoutError" in str(text)


def left(run: Run) -> str:
    return f"{run.left} processes left" if run.left else ""


def ending(run: Run) -> str:
    return "hangs at its end" if run.code is None else ""


# -- The faults: what is done, and how that is judged -----------------------------


class Fault(NamedTuple):
    """A provocation, which runs in a program of its own, and its judge."""

    title: str
    provoke: Callable[[str], object]
    judge: Callable[[Run], Verdict]
    needs: str = ""  # the fact that the judge cannot do without
    limit: float = 8.0  # seconds from the program's start to its end
    script: str | None = None  # the text of a file that is run instead


def one_of_eight(peer: str, *bad: Any) -> None:
    """Run eight tasks, the fourth of which is the bad one."""
    pool = warm(peer)
    calls: list[Call] = [(slow_echo, i) for i in range(8)]
    calls[3] = bad
    gets = pool.batch(calls)
    end = time.monotonic() + PATIENCE
    came = [outcome(get, max(0.1, end - time.monotonic())) for get in gets]
    others = sum(came[i] == i for i in range(8) if i != 3)
    tell(others=others, victim=str(came[3]), next=answer(pool))
    pool.close()


def judge_eight(run: Run, expected: str = "") -> Verdict:
    """Judge what became of the seven others, of the bad one and of the pool."""
    others, victim = run.facts["others"], run.facts["victim"]
    lives, answered = run.facts["next"] == "next", not silent(victim)
    told = answered and expected in victim
    return graded(
        others == 7 and told and lives and run.code == 0,
        lives and answered,
        "others finish" if others == 7 else f"{others} of 7 others finish",
        "" if told else "its error is lost" if answered else "its call never answers",
        _state_of_pool(run, others),
        ending(run),
    )


def _state_of_pool(run: Run, others: int) -> str:
    after = run.facts["next"]
    if after == "next":
        return "pool lives on" if others == 7 else "a next call works"
    return "next call hangs" if silent(after) else "pool broken"


def eight(title: str, *bad: Any, expected: str = "") -> Fault:
    """Make the fault of one bad task among eight."""
    return Fault(
        title,
        lambda peer: one_of_eight(peer, *bad),
        lambda run: judge_eight(run, expected),
        needs="others",
        limit=12,
    )


def change_argument(peer: str) -> None:
    """Change each argument as soon as the call is made."""
    pool = warm(peer)
    gets = []
    for _ in range(20):
        row: list[Any] = [0] * 2_000
        gets.append(pool.submit(last, row))
        row[-1] = "changed"
    tell(kept=[outcome(get) for get in gets].count(0))
    pool.close()


def judge_argument(run: Run) -> Verdict:
    kept = run.facts["kept"]
    text = "as passed" if kept == 20 else f"{20 - kept} of 20 calls get the change"
    return graded(kept == 20, kept > 0, text)


def kill_parent(peer: str) -> None:
    """Die with workers that have nothing to do."""
    warm(peer)
    time.sleep(0.3)
    tell(at=time.monotonic())
    die()


def kill_busy_parent(peer: str) -> None:
    """Die with workers in the midst of a long task."""
    pool = warm(peer)
    _gets = pool.batch([(noted, os.path.abspath("notes"), 60)] * 2)
    await_note("notes")
    time.sleep(0.3)
    tell(at=time.monotonic())
    die()


def judge_orphans(run: Run) -> Verdict:
    return graded(not run.left, False, left(run) or "all gone")


def interrupt(peer: str) -> None:
    """Press Ctrl-C while two workers are busy and six tasks wait."""
    pool = warm(peer)
    gets = pool.batch([(noted, os.path.abspath("notes"), 30)] * 8)
    await_note("notes")
    threading.Timer(0.5, _press_ctrl_c).start()
    with pool:
        for get in gets:
            get(60)


def _press_ctrl_c() -> None:
    tell(at=time.monotonic())
    os.killpg(os.getpgrp(), signal.SIGINT)


def judge_interrupt(run: Run) -> Verdict:
    traces = run.errors.count("Traceback (most recent call last)")
    if run.code is None:
        return graded(False, False, "not out after 7 s")
    text = f"out after {run.seconds:.1f} s"
    shown = f"{traces} traceback{'s' * (traces != 1)}"
    soon = run.seconds < 2 and not run.left
    return graded(soon and traces <= 1, soon, text, shown, left(run))


def fork(peer: str) -> None:
    """Use the pool, fork, and use it in the child."""
    pool = warm(peer)
    pid = os.fork()
    if pid == 0:
        tell(child=answer(pool))
        os._exit(0)
    _join(pid, PATIENCE + 1)
    tell(parent=answer(pool))
    pool.close()


def _join(pid: int, seconds: float) -> None:
    end = time.monotonic() + seconds
    while os.waitpid(pid, os.WNOHANG) == (0, 0):
        if time.monotonic() > end:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def judge_fork(run: Run) -> Verdict:
    child, parent = run.facts.get("child"), run.facts["parent"]
    works = child == "next"
    text = "child's call works" if works else "child's call fails"
    return graded(
        works and parent == "next" and run.code == 0,
        parent == "next" and not silent(child),
        "child's call hangs" if silent(child) else text,
        "" if parent == "next" else "parent's calls hang",
        ending(run),
    )


def overrun(peer: str) -> None:
    """Limit one call to half a second, while seven others run."""
    pool = warm(peer)
    path = os.path.abspath("notes")
    long = begin(pool.limited, 0.5, beat, path)
    await_note(path)
    gets = pool.batch([(slow_echo, i) for i in range(7)])
    tell(victim=str(outcome(long)))
    others = sum(outcome(get) == i for i, get in enumerate(gets))
    time.sleep(0.5)
    before = size(path)
    time.sleep(0.5)
    tell(others=others, goes_on=size(path) > before, next=answer(pool))
    pool.close()


def judge_overrun(run: Run) -> Verdict:
    others, stopped = run.facts["others"], not run.facts["goes_on"]
    return graded(
        stopped and others == 7 and run.facts["next"] == "next",
        stopped and run.facts["next"] == "next",
        "work stopped" if stopped else "only the wait ends, the work goes on",
        "others finish" if others == 7 else f"{others} of 7 others finish",
        _state_of_pool(run, 0) if run.facts["next"] != "next" else "",
    )


ENDLESS = 20_000  # items after which it is plain that all would be drawn


def draw_endlessly(peer: str) -> None:
    """Map over an endless input and read ten results."""
    drawn = itertools.count()
    results = warm(peer).map(echo, itertools.islice(drawn, ENDLESS))
    tell(read=[next(results) for _ in range(10)])
    time.sleep(0.5)
    tell(drawn=next(drawn) - 10)
    os._exit(0)  # how it ends is another row's question


def judge_endless(run: Run) -> Verdict:
    drawn = run.facts["drawn"]
    bounded = drawn < ENDLESS // 2
    text = f"{drawn} drawn ahead" if drawn < ENDLESS - 20 else "draws without bound"
    return graded(bounded, False, text)


def stop_reading(peer: str) -> None:
    """Leave a loop over a map of 200 items at its third."""
    path = os.path.abspath("notes")
    pool = warm(peer)
    for n, _ in enumerate(pool.map(noted_briefly, [path] * 200)):
        if n == 2:
            break
    time.sleep(0.5)
    before = size(path)
    time.sleep(1)
    tell(begun=before, more=size(path) - before, next=answer(pool))
    os._exit(0)


def judge_reading(run: Run) -> Verdict:
    begun, more = run.facts["begun"], run.facts["more"]
    lives = run.facts["next"] == "next"
    return graded(
        not more and lives,
        not more,
        f"the rest runs on ({begun + more} begun so far)" if more else "the rest stops",
        "" if lives else _state_of_pool(run, 0),
    )


def exit_early(peer: str) -> None:
    """Come to the end of the program, with code 4, while a task runs."""
    path = os.path.abspath("notes")
    pool = warm(peer)
    with pool:
        _get = pool.submit(begin_and_finish, path)
        await_note(path)
        tell(at=time.monotonic())
        sys.exit(4)


def judge_exit(run: Run) -> Verdict:
    finished, kept = "finished" in run.notes, run.code == 4
    return graded(
        finished and kept and not run.left,
        finished or kept,
        "task finished" if finished else "task killed",
        ending(run) or ("" if kept else f"exit code {run.code} instead of 4"),
        left(run),
    )


def fail(peer: str) -> NoReturn:
    """End the program by an error, while a long task runs."""
    pool = warm(peer)
    with pool:
        _get = pool.submit(noted, os.path.abspath("notes"), 60)
        await_note("notes")
        tell(at=time.monotonic())
        refuse()


def judge_failure(run: Run) -> Verdict:
    if run.code is None:
        return graded(False, False, "still waits after 7 s")
    good = run.seconds < 3 and run.code == 1 and not run.left
    code = "" if run.code == 1 else f"exit code {run.code} instead of 1"
    return graded(good, True, f"out after {run.seconds:.1f} s", code, left(run))


def make_fifty(peer: str) -> None:
    """Make, use and close fifty pools."""
    warm(peer).close()
    files = len(os.listdir("/proc/self/fd"))
    threads = threading.active_count()
    for n in range(50):
        pool = PEERS[peer](2)
        pool.submit(echo, n)(30)
        pool.close()
    time.sleep(0.5)
    files = len(os.listdir("/proc/self/fd")) - files
    tell(files=files, threads=threading.active_count() - threads)


def judge_fifty(run: Run) -> Verdict:
    counts = {"descriptors": run.facts["files"], "threads": run.facts["threads"]}
    more = [f"{n} {what}" for what, n in counts.items() if n > 0]
    few = all(n <= 5 for n in counts.values())
    text = f"{' and '.join(more)} left" if more else "nothing left"
    return graded(not more and not run.left, few, text, left(run), ending(run))


# It has no `if __name__ == "__main__":`, as scripts often have not.
SCRIPT = """\
import sys
from benchmarks.faults import PEERS, begin, outcome, tell

def double(x):
    return 2 * x

def multiplier(n):
    return lambda x: n * x

pool = PEERS[sys.argv[1]](2)
fns = {"function": double, "lambda": lambda x: x + 21, "closure": multiplier(2)}
for name, fn in fns.items():
    tell(**{name: outcome(begin(pool.submit, fn, 21))})
pool.close()
"""


def judge_script(run: Run) -> Verdict:
    kinds = ("function", "lambda", "closure")
    work = [kind for kind in kinds if run.facts.get(kind) == 42]
    if not work:
        return graded(False, False, "none works", ending(run))
    text = "all three work" if len(work) == 3 else f"only works: {', '.join(work)}"
    return graded(len(work) == 3 and run.code == 0, True, text, ending(run))


def kill_idle(peer: str) -> None:
    """Kill the workers while they have nothing to do, then make a call."""
    here = warm(peer)
    pids = {get(PATIENCE) for get in here.batch([(os.getpid,)] * 4)}
    kill(pids)
    time.sleep(0.5)
    tell(got=answer(here), want="next")
    here.close()


def judge_situation(run: Run) -> Verdict:
    """Compare what a program got with what it wanted."""
    got, want = run.facts.get("got"), run.facts.get("want")
    if "absent" in run.facts:
        return Verdict("none", f"not there ({run.facts['absent']})")
    if "got" not in run.facts:
        return cut_short(run)
    if got == want:
        good = run.code == 0 and not run.left
        return graded(good, True, "works", ending(run), left(run))
    text = "hangs" if silent(got) or run.code is None else _short(got)
    return graded(False, False, text, ending(run) if text != "hangs" else "", left(run))


def _short(got: Any) -> str:
    """What came instead, in a few words."""
    texts = got if isinstance(got, list) else [got]
    odd = [str(each) for each in texts if "Error" in str(each)] or [str(got)]
    text = odd[0].split("\n")[0].split("(")[0].strip()
    return f"fails ({text.split(':')[0]})" if "Error" in text else f"gives {got}"


def situations() -> dict[str, Fault]:
    """A row for each program in the folder."""
    rows = {}
    for path in sorted(SITUATIONS.glob("*.py")):
        text = path.read_text()
        title = ast.get_docstring(ast.parse(text)) or path.stem
        rows[path.stem.replace("_", "-")] = Fault(
            title,
            warm,
            judge_situation,
            script=text,
            limit=14 if path.stem != "chain" else 70,
        )
    return rows


def nest(peer: str) -> None:
    """Use the library in tasks that it runs."""
    pool = warm(peer)
    gets = pool.batch([(nested, peer)] * 4)
    tell(came=[str(outcome(get)) for get in gets])
    pool.close()


def judge_nested(run: Run) -> Verdict:
    came = run.facts["came"]
    if all(text == "inner" for text in came):
        good = run.code == 0 and not run.left
        return graded(good, True, "works", left(run), ending(run))
    if any(silent(text) for text in came):
        return graded(False, False, "hangs", left(run))
    return graded(False, False, f"refused ({came[0].split(':')[0]})", left(run))


FAULTS: dict[str, Fault] = {
    "killed": eight("1 of 8 tasks: its worker is killed (SIGKILL)", die),
    "exit": eight("1 of 8 tasks: `os._exit(0)`", leave),
    "segfault": eight("1 of 8 tasks: segfault", crash),
    "bad-error": eight(
        "1 of 8 tasks: raises an error that cannot be unpickled",
        raise_awkward,
        expected="AwkwardError",
    ),
    "bad-result": eight(
        "1 of 8 tasks: returns what raises when unpickled",
        make_unloadable,
        expected="cannot be loaded",
    ),
    "unpicklable": eight(
        "1 of 8 tasks: returns what cannot be pickled", make_lock, expected="pickle"
    ),
    "frozen-error": eight(
        "1 of 8 tasks: raises an error whose class is a frozen dataclass",
        raise_frozen,
        expected="FrozenError",
    ),
    "false-error": eight(
        "1 of 8 tasks: raises an error that is false",
        raise_false,
        expected="FalseError",
    ),
    "forks": eight("1 of 8 tasks: `os.fork()`, and both return", fork_and_return),
    "exit-at-pickling": eight(
        "1 of 8 tasks: pickling its argument raises `SystemExit`",
        echo,
        ExitAtPickling(),
    ),
    "changed": Fault(
        "argument changed right after the call",
        change_argument,
        judge_argument,
        needs="kept",
    ),
    "orphans-idle": Fault(
        "program killed (SIGKILL), workers idle",
        kill_parent,
        judge_orphans,
        needs="at",
    ),
    "orphans-busy": Fault(
        "program killed (SIGKILL), workers busy",
        kill_busy_parent,
        judge_orphans,
        needs="at",
    ),
    "ctrl-c": Fault(
        "Ctrl-C, workers busy", interrupt, judge_interrupt, needs="at", limit=9
    ),
    "fork": Fault(
        "`os.fork()` after use, a call in the child",
        fork,
        judge_fork,
        needs="parent",
        limit=14,
    ),
    "timeout": Fault(
        "a call is given 0.5 s and takes 6 s",
        overrun,
        judge_overrun,
        needs="others",
        limit=14,
    ),
    "endless": Fault(
        "map over endless input",
        draw_endlessly,
        judge_endless,
        needs="drawn",
        limit=16,
    ),
    "break": Fault(
        "`break` in a loop over a map",
        stop_reading,
        judge_reading,
        needs="more",
        limit=16,
    ),
    "exit-running": Fault(
        "program ends by `sys.exit(4)`, a task runs 1 s more",
        exit_early,
        judge_exit,
        needs="at",
    ),
    "error-in-main": Fault(
        "unhandled error in the program, a task runs 60 s",
        fail,
        judge_failure,
        needs="at",
        limit=9,
    ),
    "fifty-pools": Fault(
        "50 pools made, used and closed",
        make_fifty,
        judge_fifty,
        needs="files",
        limit=90,
    ),
    "main": Fault(
        "a script's function, lambda, closure; no `__main__` guard",
        warm,
        judge_script,
        script=SCRIPT,
    ),
    "nested": Fault(
        "a pool made and used inside a worker",
        nest,
        judge_nested,
        needs="came",
        limit=14,
    ),
    "killed-idle": Fault(
        "all workers killed while idle", kill_idle, judge_situation, needs="got"
    ),
    **situations(),
}


def judge(fault: Fault, run: Run) -> Verdict:
    """Judge a run, also one that did not come as far as it should have."""
    if fault.needs and fault.needs not in run.facts:
        return cut_short(run)
    return fault.judge(run)


def cut_short(run: Run) -> Verdict:
    """Judge a run that did not come to what it was to tell."""
    last = [line for line in run.errors.splitlines() if line.strip()][-1:]
    ended = f"ends early ({last[0].split(':')[0] if last else run.code})"
    return graded(False, False, "hangs" if run.code is None else ended)


def provoke(fault: str, peer: str) -> None:
    """Be the provoking program; `start` starts it."""
    FAULTS[fault].provoke(peer)


# -- Running a provocation --------------------------------------------------------


def run_fault(fault: str, peer: str) -> Run:
    """Run one provocation, and make sure that nothing of it outlives this."""
    mark = uuid.uuid4().hex
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        child = start(fault, peer, Path(folder), mark)
        try:
            return watch(child, FAULTS[fault].limit, Path(folder), mark)
        finally:
            kill_all(child, mark)


def start(fault: str, peer: str, folder: Path, mark: str) -> subprocess.Popen[bytes]:
    """Start a provoking program, in a session of its own."""
    command = ["-c", f"from benchmarks.faults import *; provoke({fault!r}, {peer!r})"]
    script = FAULTS[fault].script
    if script is not None:
        folder.joinpath("script.py").write_text(script)
        command = ["script.py", peer]
    # Into files: an orphan that holds a pipe would keep its reader waiting.
    with open(folder / "out", "wb") as out, open(folder / "err", "wb") as err:
        return subprocess.Popen(  # noqa: S603 - it is this program's own text
            [sys.executable, *command],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            cwd=folder,
            env=environment(mark),
            start_new_session=True,
        )


def environment(mark: str) -> dict[str, str]:
    """Return what a measuring process and all that comes of it have around them."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    known = {**os.environ, "PYTHONPATH": path, MARK: mark}
    # Else what is imported would be compiled anew by each process.
    known.pop("PYTHONDONTWRITEBYTECODE", None)
    return known


def watch(child: subprocess.Popen[bytes], limit: float, folder: Path, mark: str) -> Run:
    """Wait for the end of a provoking program and gather what there is to know."""
    begun = time.monotonic()
    code: int | None = None
    with contextlib.suppress(subprocess.TimeoutExpired):
        code = child.wait(limit)
    ended = time.monotonic()
    remaining = 0 if code is None else remaining_after(2, mark)
    facts = read_facts(folder / "out")
    errors = (folder / "err").read_text(errors="replace")
    notes = folder / "notes"
    noted = notes.read_text() if notes.exists() else ""
    seconds = ended - facts.get("at", begun)
    return Run(facts, code, seconds, remaining, errors, noted)


def read_facts(path: Path) -> dict[str, Any]:
    """Merge the lines that a provoking program told; others may print, too."""
    facts: dict[str, Any] = {}
    for line in path.read_text(errors="replace").splitlines():
        with contextlib.suppress(ValueError):
            told = json.loads(line)
            facts.update(told if isinstance(told, dict) else {})
    return facts


def marked(mark: str) -> list[int]:
    """Return the processes that a provoking program has started, itself included."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if mark.encode() in Path("/proc", name, "environ").read_bytes():
                found.append(int(name))
    return found


def remaining_after(seconds: float, mark: str) -> int:
    """Count what is still there after so long."""
    end = time.monotonic() + seconds
    while (pids := marked(mark)) and time.monotonic() < end:
        time.sleep(0.05)
    return len(pids)


def kill_all(child: subprocess.Popen[bytes], mark: str) -> None:
    """Kill a provoking program and whatever came of it, until nothing is left."""
    kill([pid for pid in marked(mark) if not is_tracker(pid)])
    child.wait()
    remaining_after(1, mark)
    while pids := marked(mark):
        kill(pids)
        time.sleep(0.02)


def is_tracker(pid: int) -> bool:
    """Return whether a process is there to unlink what others leave in /dev/shm.

    It does so when they are gone, and then goes, too.
    """
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# -- The table --------------------------------------------------------------------


class Cell(NamedTuple):
    """A verdict and where it stands."""

    fault: str
    peer: str
    grade: str
    text: str


def missing(peer: str) -> bool:
    """Return whether a library is not installed."""
    try:
        return importlib.util.find_spec(PEERS[peer].package) is None
    except ModuleNotFoundError:
        return True


def make_cell(fault: str, peer: str) -> Cell:
    """Provoke, judge, and say so on stderr."""
    begun = time.monotonic()
    if missing(peer):
        verdict = Verdict("none", "not installed")
    else:
        verdict = judge(FAULTS[fault], run_fault(fault, peer))
    seconds = time.monotonic() - begun
    line = f"{fault:16}  {peer:20}  {verdict.grade:6}  {verdict.text}"
    print(f"{line}  [{seconds:.1f} s]", file=sys.stderr, flush=True)
    return Cell(fault, peer, *verdict)


def table(cells: Sequence[Cell], faults: Sequence[str], peers: Sequence[str]) -> str:
    """Write the cells as a table in Markdown, a row for each fault."""
    signs = {"ok": "✓ ", "partly": "~ ", "fails": "✗ ", "none": ""}
    texts = {(c.fault, c.peer): signs[c.grade] + c.text for c in cells}
    rows = [["what happens", *peers], ["---"] * (len(peers) + 1)]
    rows += [[FAULTS[f].title, *(texts[f, p] for p in peers)] for f in faults]
    good = [sum(c.grade == "ok" and c.peer == p for c in cells) for p in peers]
    rows.append([f"**✓ of {len(faults)}**", *(f"**{n}**" for n in good)])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def setting(packages: Iterable[str]) -> str:
    """Say what a run was made with: versions, CPUs, date."""
    versions = [f"{name} {version(name)}" for name in packages if version(name)]
    cpus = len(os.sched_getaffinity(0))
    system = f"Python {platform.python_version()} on Linux, {cpus} CPUs"
    return ", ".join([system, *versions, f"{datetime.now(UTC):%Y-%m-%d}"])


def version(package: str) -> str:
    """Return the version of what is installed, else nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def write_between(path: Path, name: str, text: str) -> None:
    """Replace what stands between the two comments of that name in a page."""
    page = path.read_text()
    first, last = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, found, rest = page.partition(first)
    _, closed, tail = rest.partition(last)
    if not (found and closed):
        msg = f"{path} lacks the comments {first} and {last}"
        raise SystemExit(msg)
    path.write_text(f"{head}{first}\n{text}\n{last}{tail}")


def names(text: str) -> list[str]:
    """Split the value of an option at its commas."""
    return [name for name in text.split(",") if name]


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description="Provoke faults with parallelize and other libraries; "
        "print what becomes of them as a table in Markdown.",
        epilog=f"Faults: {', '.join(FAULTS)}. Libraries: {', '.join(PEERS)}.",
    )
    for flag, metavar, what in (
        ("--only", "FAULT,...", "these faults, not all"),
        ("--peers", "NAME,...", "these libraries, not all"),
    ):
        parser.add_argument(flag, type=names, metavar=metavar, help=what)
    parser.add_argument(
        "--write",
        type=Path,
        metavar="PAGE",
        help="put the table between the page's comments instead of on stdout",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the cells, too"
    )
    chosen = parser.parse_args()
    for given, known in ((chosen.only, FAULTS), (chosen.peers, PEERS)):
        for name in set(given or ()) - set(known):
            parser.error(f"{name} is not one of: {', '.join(known)}")
    return chosen


def main() -> None:
    """Run what the command line asks for."""
    chosen = options()
    # A shell may have told a job in the background to ignore it, for good.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    faults, peers = chosen.only or list(FAULTS), chosen.peers or list(PEERS)
    cells = [make_cell(fault, peer) for fault in faults for peer in peers]
    made_with = setting(PEERS[peer].package for peer in peers)
    text = f"{made_with}.\n\n{table(cells, faults, peers)}"
    if chosen.json:
        found = {"setting": made_with, "cells": [cell._asdict() for cell in cells]}
        chosen.json.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")
    if chosen.write:
        write_between(chosen.write, "faults", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
