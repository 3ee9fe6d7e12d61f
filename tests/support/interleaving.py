"""A deterministic scheduler: all the ways in which a few short threads can interleave.

```
 explore(scenario) ──▶ scenario(Run) ── run.spawn(a), run.spawn(b), run.go() ──▶ checks
        ▲                                                          │
        └───── the next schedule, until all were tried ◀───────────┘
```

The threads are real, but one runs at a time. Each stops where it takes a lock of
`Run.lock`, waits for a `Run.Condition`, or calls `Run.step`; there the schedule says
which thread goes on. A schedule is the list of these choices, so a failure can be
repeated: it names the schedule, and `explore(scenario, first=schedule)` begins with it.

A timeout may pass at any moment: a thread that waits with one may always go on by it.
"""

import collections
import contextlib
import sys
import threading

#: More steps than this in one schedule mean that the threads never end.
MOST_STEPS = 2000

#: Seconds that a whole schedule may take before a thread has left the scheduler.
MOST_SECONDS = 30


class Schedule:
    """Which choice is made at each fork of the way, and which comes next.

    Args:
        choices: The first of them; from there on the first choice is made each time.
        preemptions: How often a thread may be stopped that could have gone on; None:
            as often as there is a way to.
    """

    def __init__(self, choices=(), preemptions=None):
        self._given = list(choices)
        self._made = []  # (choice, how many there were)
        self.preemptions = preemptions

    def choose(self, count):
        at = len(self._made)
        choice = self._given[at] if at < len(self._given) else 0
        self._made.append((choice, count))
        return choice

    @property
    def choices(self):
        return [choice for choice, _ in self._made]

    def following(self):
        """The choices of the next schedule; None after the last."""
        made = list(self._made)
        while made:
            choice, count = made.pop()
            if choice + 1 < count:
                return [each for each, _ in made] + [choice + 1]
        return None


def explore(scenario, *, preemptions=None, first=(), at_most=50_000):
    """Call ``scenario(run)`` once for each schedule; return how many there were."""
    choices, count = list(first), 0
    while choices is not None:
        schedule = Schedule(choices, preemptions)
        run = Run(schedule)
        count += 1
        assert count <= at_most, "too many schedules: the scripts are too long"
        try:
            scenario(run)
        except Exception as error:
            error.add_note(f"schedule {count}: first={schedule.choices}")
            raise
        finally:
            run.abandon()
        choices = schedule.following()
    return count


class Abandoned(BaseException):
    """The run is over: the thread ends where it stands."""


class _Actor:
    """One thread of a run."""

    def __init__(self, run, name, script):
        self.name = name
        self.blocked_on = None  # None: it can go on; else a function that says so
        self.may_time_out = False
        self.timed_out = False
        self.ended = False
        self.turn = threading.Lock()
        self.turn.acquire()
        self.thread = threading.Thread(target=run._live, args=(self, script), name=name)

    @property
    def ready(self):
        return self.blocked_on is None or self.blocked_on()


class Run:
    """The threads of one schedule.

    Args:
        schedule: What decides who goes on.
    """

    def __init__(self, schedule):
        self._schedule = schedule
        self._preemptions_left = schedule.preemptions
        self._actors = []
        self._here = threading.local()
        self._steps = 0
        self._over = threading.Lock()
        self._over.acquire()
        self._abandoned = False
        self._error = None
        self._lines_of = ()

    # What a scenario calls.

    def spawn(self, script, name=None):
        """Add a thread; it runs when the schedule says so."""
        actor = _Actor(self, name or f"thread {len(self._actors)}", script)
        self._actors.append(actor)
        actor.thread.start()
        return actor

    def step_at_lines_of(self, *modules):
        """Let the threads stop at each line of these modules, too."""
        self._lines_of = tuple(module.__file__ for module in modules)

    def go(self):
        """Run the threads until none can go on; raise the first error of one."""
        if self._hand_over(None) is None:
            self._over.release()
        over = self._over.acquire(timeout=MOST_SECONDS)
        assert over, "a thread left the scheduler"
        if self._error is not None:
            raise self._error

    @property
    def stuck(self):
        """The names of the threads that wait for what never comes."""
        return [actor.name for actor in self._actors if not actor.ended]

    def abandon(self):
        """End the threads that are left."""
        self._abandoned = True
        for actor in self._actors:
            if not actor.ended:
                with contextlib.suppress(RuntimeError):
                    actor.turn.release()
            actor.thread.join(MOST_SECONDS)
            assert not actor.thread.is_alive(), actor.name
        self._actors.clear()

    # What the threads call.

    def step(self):
        """Let the schedule decide who goes on; outside of the threads nothing."""
        self._wait(None, may_time_out=False)

    def wait_until(self, ready, *, may_time_out=False):
        """Wait until ``ready()``; return False if the time passed before."""
        return self._wait(ready, may_time_out=may_time_out)

    def _wait(self, ready, *, may_time_out):
        actor = getattr(self._here, "actor", None)
        if self._abandoned or actor is None:
            if actor is not None and ready is not None:
                raise Abandoned
            assert ready is None or ready(), "the test itself would wait"
            return True
        actor.blocked_on, actor.may_time_out = ready, may_time_out
        self._pass_on(actor)
        actor.blocked_on, actor.may_time_out = None, False
        timed_out, actor.timed_out = actor.timed_out, False
        return not timed_out

    def _pass_on(self, actor):
        chosen = self._hand_over(actor)  # from here on that one runs
        if chosen is None:
            self._over.release()
        if chosen is not actor:
            actor.turn.acquire()
        if self._abandoned:
            raise Abandoned

    def _live(self, actor, script):
        self._here.actor = actor
        actor.turn.acquire()
        try:
            if not self._abandoned:
                if self._lines_of:
                    sys.settrace(self._trace)
                script()
        except Abandoned:
            pass
        except BaseException as error:  # the run ends with it
            self._error = self._error or error
        finally:
            sys.settrace(None)
            actor.ended = True
            if not self._abandoned and (
                self._error is not None or self._hand_over(actor) is None
            ):
                self._over.release()

    def _trace(self, frame, event, _):
        if frame.f_code.co_filename not in self._lines_of:
            return None
        if event == "line":
            self.step()
        return self._trace

    # The schedule.

    def _hand_over(self, actor):
        """Choose a thread that can go on, and let it; None if none can."""
        self._steps += 1
        assert self._steps < MOST_STEPS or self._abandoned, "the threads never end"
        options = self._options(actor)
        if not options:
            return None
        chosen = options[self._schedule.choose(len(options)) if options[1:] else 0]
        chosen.timed_out = not chosen.ready
        if self._preemptions_left is not None and chosen is not actor and actor:
            self._preemptions_left -= not actor.ended and actor.ready
        if chosen is not actor:
            chosen.turn.release()
        return chosen

    def _options(self, actor):
        """Who can go on: who runs first, so that the first schedule is the calmest."""
        able = [each for each in self._actors if not each.ended and each.ready]
        late = [
            each
            for each in self._actors
            if not each.ended and not each.ready and each.may_time_out
        ]
        if actor in able:
            if self._preemptions_left == 0:
                return [actor]
            able.remove(actor)
            able.insert(0, actor)
        return able + late

    # Locks, as `threading` has them.

    def lock(self):
        """Make a reentrant lock; a thread stops where it takes it."""
        return RLock(self)

    def quiet_lock(self):
        """Make a reentrant lock at which a thread stops only while another has it."""
        return RLock(self, quiet=True)

    def condition(self, lock):
        """Make a condition on such a lock."""
        return Condition(lock)

    def plain_lock(self):
        """Make a lock that one thread may take and another let go."""
        return Lock(self)


class Lock:
    """A plain lock of the scheduler."""

    def __init__(self, run):
        self._run = run
        self._taken = False

    def acquire(self, blocking=True, timeout=-1):
        free = self._run.wait_until(
            lambda: not self._taken, may_time_out=not blocking or timeout >= 0
        )
        if free:
            self._taken = True
        return free

    def release(self):
        if not self._taken:
            raise RuntimeError("release unlocked lock")
        self._taken = False

    def locked(self):
        return self._taken

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()


class RLock:
    """A reentrant lock of the scheduler; a condition may be made on it."""

    def __init__(self, run, *, quiet=False):
        self._run = run
        self._quiet = quiet
        self._owner = None
        self._depth = 0

    def acquire(self, blocking=True, timeout=-1):
        me = threading.get_ident()
        if self._owner != me:
            if not blocking and self._owner is not None:
                return False
            if not self._quiet or self._owner is not None:
                self._run.wait_until(lambda: self._owner is None)
            self._owner = me
        self._depth += 1
        return True

    def release(self):
        if self._owner != threading.get_ident():
            raise RuntimeError("cannot release un-acquired lock")
        self._depth -= 1
        if not self._depth:
            self._owner = None

    def __enter__(self):
        return self.acquire()

    def __exit__(self, *_):
        self.release()

    # As the standard library's condition asks it.

    def _is_owned(self):
        return self._owner == threading.get_ident()

    def _recursion_count(self):
        return self._depth if self._is_owned() else 0


class Condition:
    """A condition of the scheduler."""

    def __init__(self, lock):
        self._lock = lock
        self._run = lock._run
        self._waiters = collections.deque()

    def __enter__(self):
        return self._lock.acquire()

    def __exit__(self, *_):
        self._lock.release()

    def wait(self, timeout=None):
        lock, waiter = self._lock, object()
        assert lock._is_owned()
        self._waiters.append(waiter)
        depth, lock._depth, lock._owner = lock._depth, 0, None
        try:
            came = self._run.wait_until(
                lambda: waiter not in self._waiters, may_time_out=timeout is not None
            )
        finally:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            self._run.wait_until(lambda: lock._owner is None)
            lock._owner, lock._depth = threading.get_ident(), depth
        return came

    def wait_for(self, predicate, timeout=None):
        while not (result := predicate()):
            if not self.wait(timeout):
                return predicate()
        return result

    def notify(self, count=1):
        assert self._lock._is_owned()
        for _ in range(min(count, len(self._waiters))):
            self._waiters.popleft()

    def notify_all(self):
        self.notify(len(self._waiters))
