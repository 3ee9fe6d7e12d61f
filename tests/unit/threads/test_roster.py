"""The threads of a pool in every order: who starts, wakes, rests, waits and leaves.

The engine and its workers are the real ones. Their locks are those of a schedule, and so
are the starts of threads: each interleaving of submitters, workers and timeouts is tried.
"""

import contextlib
from collections import deque
from types import SimpleNamespace
from unittest import mock

import pytest

from parallelize.runtime.blocking import here
from parallelize.threads import engine as engine_module
from parallelize.threads import roster as roster_module
from parallelize.threads import tasks as tasks_module
from parallelize.threads import workers as workers_module
from parallelize.threads.engine import Engine, EngineState
from parallelize.threads.tasks import ThreadTask
from parallelize.threads.workers import ThreadWorker
from support.interleaving import explore

NO_MAPS = SimpleNamespace(finish=None, cancel=None, forget=None)


class Queue(deque):
    """A queue that submitters fill without the lock: at any step of a worker's look."""

    def __init__(self, run):
        self._run = run

    def append(self, task):
        super().append(task)
        self._run.step()

    def __bool__(self):
        is_filled = len(self) > 0
        if here.worker is not None:
            self._run.step()
        return is_filled


class Pool:
    """A pool of threads in one run of a schedule.

    Attributes:
        working: How many calls run just now and do not wait.
        most: The most that ever did.
        runs: The calls that have run, in order.
    """

    def __init__(self, run, max_workers, *, idle_timeout=None, no_threads_after=99):
        self.run = run
        self.working = self.most = 0
        self.runs = []
        self.waits = 0
        self._left = no_threads_after
        conditions = SimpleNamespace(
            Condition=run.condition,
            depth=lambda lock: lock._recursion_count(),
            held=engine_module.locks.held,
            release_to=engine_module.locks.release_to,
        )
        self._patches = contextlib.ExitStack()
        for patch in (
            mock.patch.object(roster_module, "_new_lock", run.lock),
            mock.patch.object(tasks_module, "_new_lock", run.quiet_lock),
            mock.patch.object(engine_module, "locks", conditions),
            mock.patch.object(roster_module, "worker_class", lambda: self._worker),
            mock.patch.object(roster_module, "can_stay_awake", lambda: False),
            mock.patch.object(workers_module, "monotonic", lambda: 0.0),
            mock.patch.object(roster_module, "monotonic", lambda: 0.0),
        ):
            self._patches.enter_context(patch)
        self.engine = Engine(max_workers, "pool", (None, ()), idle_timeout, NO_MAPS)
        self.engine._queue = Queue(run)
        self.engine._registered = True  # the end of the program is no concern of it

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._patches.close()

    def _worker(self, engine, name, first, index):
        worker = ThreadWorker(engine, name, first, index)
        worker.wake = self.run.plain_lock()
        worker.wake.acquire()
        worker.start = lambda: self._start(worker)
        return worker

    def _start(self, worker):
        if not self._left:
            raise RuntimeError("can't start new thread")
        self._left -= 1
        self.run.spawn(lambda: self._live(worker), worker.name)

    def _live(self, worker):
        try:
            worker.run()
        finally:
            here.worker = None

    # What runs in it.

    def task(self, name, body=None):
        def call():
            self.runs.append(name)
            self.enter()
            self.run.step()
            if body is not None:
                body()
            self.working -= 1
            return name

        return ThreadTask(self.engine, call, (), {})

    def enter(self):
        self.working += 1
        if self.waits == 0:  # one that comes back may be one too many, for a moment
            self.most = max(self.most, self.working)

    def submit(self, *tasks):
        for task in tasks:
            self.engine.enqueue(task)

    def wait_for(self, *tasks):
        """Within a call: wait as `Future.result` does, with the place given away."""
        for task in tasks:
            self.working -= 1
            self.waits += 1
            here.worker.help(task)
            with here.worker.away([task]):
                self.run.wait_until(task.done)
            self.enter()

    def go(self):
        self.run.go()
        engine = self.engine
        assert not engine._queue or all(each.done() for each in engine._queue)
        assert engine._waking is None
        assert engine._active == 0
        assert engine._live == len(engine._idle)
        resting = {worker.name for worker in engine._idle}
        assert resting == {name for name in self.run.stuck if name.startswith("pool")}
        if engine.state is EngineState.CLOSED:
            assert not resting


def names(count):
    return [f"call {number}" for number in range(count)]


@pytest.mark.parametrize("max_workers", [1, 2])
def test_each_call_runs_once_whoever_submits_it(max_workers):
    def scenario(run):
        with Pool(run, max_workers) as pool:
            for name in names(2):
                run.spawn(lambda name=name: pool.submit(pool.task(name)))
            pool.go()
            assert sorted(pool.runs) == names(2)
            assert pool.most <= max_workers
            assert pool.engine._live <= max_workers

    assert explore(scenario, preemptions=3) > 20


def test_a_resting_thread_is_woken_and_no_other_started():
    def scenario(run):
        with Pool(run, 1) as pool:
            first = pool.task("first")

            def submit():
                pool.submit(first)
                run.wait_until(first.done)
                pool.submit(pool.task("second"), pool.task("third"))

            run.spawn(submit)
            pool.go()
            assert pool.runs == ["first", "second", "third"]
            assert pool.engine._live == 1

    assert explore(scenario) > 5


def test_a_call_that_comes_as_a_thread_leaves_is_run():
    """Its time may be over at any moment: when it is being woken, too."""
    ends = set()

    def scenario(run):
        with Pool(run, 1, idle_timeout=1.0) as pool:
            first = pool.task("first")

            def submit():
                pool.submit(first)
                run.wait_until(first.done)
                pool.submit(pool.task("second"))

            run.spawn(submit)
            pool.go()
            assert pool.runs == ["first", "second"]
            assert pool.most == 1
            ends.add(next(pool.engine._names))

    explore(scenario, preemptions=3)
    assert ends == {1, 2}  # the thread was woken, or had left and another started


def test_a_pool_that_is_closed_runs_what_it_has_and_all_leave():
    def scenario(run):
        with Pool(run, 2) as pool:
            accepted = []

            def submit():
                for name in names(2):
                    with contextlib.suppress(RuntimeError):
                        pool.submit(pool.task(name))
                        accepted.append(name)

            run.spawn(submit)
            run.spawn(pool.engine.close)
            pool.go()
            assert sorted(pool.runs) == accepted
            assert run.stuck == []
            assert pool.engine._live == 0

    assert explore(scenario, preemptions=1) > 20


def test_a_call_that_waits_for_one_in_the_queue_of_its_own_pool():
    def scenario(run):
        with Pool(run, 1) as pool:
            inner = pool.task("inner")

            def outer():
                pool.submit(inner)
                pool.wait_for(inner)

            run.spawn(lambda: pool.submit(pool.task("outer", outer)))
            run.spawn(lambda: pool.submit(pool.task("other")))
            pool.go()
            assert sorted(pool.runs) == ["inner", "other", "outer"]

    assert explore(scenario, preemptions=1) > 20


def test_two_calls_that_wait_give_their_places_to_others():
    """One place: those that wait for what has not been submitted give it away."""

    def scenario(run):
        with Pool(run, 1) as pool:
            inner = pool.task("inner")

            def wait():
                pool.working -= 1
                pool.waits += 1
                with here.worker.away([inner]):
                    run.wait_until(inner.done)
                pool.enter()

            pool_calls = [pool.task(name, wait) for name in ("one", "two")]
            run.spawn(lambda: pool.submit(*pool_calls, inner))
            pool.go()
            assert sorted(pool.runs) == ["inner", "one", "two"]
            assert all(each.done() for each in pool_calls)
            assert pool.engine._wanted == {}

    assert explore(scenario, preemptions=1) > 20


def test_without_further_threads_those_that_there_are_do_it(caplog):
    def scenario(run):
        with Pool(run, 2, no_threads_after=1) as pool:
            for name in names(2):
                run.spawn(lambda name=name: pool.submit(pool.task(name)))
            pool.go()
            assert sorted(pool.runs) == names(2)
            assert pool.engine._live == 1

    explore(scenario, preemptions=2)


def test_without_any_thread_a_call_is_refused():
    def scenario(run):
        with Pool(run, 2, no_threads_after=0) as pool:

            def submit():
                with pytest.raises(RuntimeError):
                    pool.submit(pool.task("it"))

            run.spawn(submit)
            pool.go()
            assert not pool.engine._queue

    explore(scenario)


def test_within_one_more_a_thread_more_works():
    def scenario(run):
        with Pool(run, 1) as pool:
            second = pool.task("second")

            def first():
                pool.working -= 1
                pool.waits += 1
                with here.worker.held_back():
                    run.wait_until(second.done)
                pool.enter()

            run.spawn(lambda: pool.submit(pool.task("first", first), second))
            pool.go()
            assert pool.runs == ["first", "second"]
            assert pool.engine.max_workers == 1

    assert explore(scenario, preemptions=2) > 5


def test_parts_of_a_call_come_first_and_take_no_more_places():
    def scenario(run):
        with Pool(run, 1) as pool:
            parts = [pool.task(name) for name in names(2)]

            def first():
                pool.engine.enqueue_first(parts)

            run.spawn(lambda: pool.submit(pool.task("first", first)))
            pool.go()
            assert pool.runs == ["first", *names(2)]
            assert pool.most == 1
            assert pool.engine._live == 1

    explore(scenario)


def test_claimed_entries_do_not_pile_up_in_the_queue():
    """Calls that were claimed where they stood are swept out now and then."""

    def scenario(run):
        with Pool(run, 1) as pool:
            inner = [pool.task(name) for name in names(100)]
            lengths = []

            def outer():
                pool.submit(*inner)
                for task in reversed(inner[40:]):
                    here.worker.help(task)
                    lengths.append(len(pool.engine._queue))

            run.spawn(lambda: pool.submit(pool.task("outer", outer)))
            pool.go()
            assert sorted(pool.runs) == sorted(["outer", *names(100)])
            assert lengths[-1] <= 80  # else 100

    explore(scenario, preemptions=0)


def submit_in_a_row(pool, run):
    pool.submit(pool.task("first"))
    pool.submit(pool.task("second"))


def submit_when_it_rests(pool, run):
    first = pool.task("first")
    pool.submit(first)
    run.wait_until(first.done)
    pool.submit(pool.task("second"))


@pytest.mark.parametrize("idle_timeout", [None, 1.0])
@pytest.mark.parametrize("submit", [submit_in_a_row, submit_when_it_rests])
def test_a_thread_may_be_stopped_at_any_line(submit, idle_timeout):
    """Where no lock is taken, too: at each line of the roster and of its workers."""

    def scenario(run):
        run.step_at_lines_of(roster_module, workers_module)
        with Pool(run, 1, idle_timeout=idle_timeout) as pool:

            def submit_and_close():
                submit(pool, run)
                run.wait_until(lambda: len(pool.runs) == 2)
                pool.engine.close()

            run.spawn(submit_and_close)
            pool.go()
            assert sorted(pool.runs) == ["first", "second"]
            assert run.stuck == []
            assert pool.engine._wanted == {}

    assert explore(scenario, preemptions=1) > 20
