"""Executors of each kind as the tests name them, and latches that hold a call.

It is a module of its own because a test may not import from `conftest`: there is
one in `tests/faults` too, and whichever was loaded first answers to that name.
"""

import asyncio
import contextlib
import gc
import os
import sys
import threading
import time

#: "process-default" is the start method "forkserver" where there is one.
CONCURRENT = ["thread", "process-spawn", "process-fork", "process-default"]
if sys.version_info >= (3, 14):
    CONCURRENT.append("interpreter")
KINDS = ["serial", *CONCURRENT]
#: One of each class.
CLASSES = [kind for kind in KINDS if "-" not in kind or kind == "process-default"]


def make(kind, max_workers=2, **options):
    """Make an executor of a kind as the fixtures name them."""
    if kind == "serial":
        from parallelize.executors.serial import SerialExecutor

        return SerialExecutor()
    if kind == "thread":
        from parallelize.executors.thread import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers, **options)
    if kind == "interpreter":
        from parallelize.executors.interpreter import InterpreterPoolExecutor

        return InterpreterPoolExecutor(max_workers, **options)
    from parallelize.executors.process import ProcessPoolExecutor

    method = kind.partition("-")[2]
    if method != "default":
        options["mp_context"] = method
    return ProcessPoolExecutor(max_workers, **options)


@contextlib.contextmanager
def ready(kind):
    """An executor for all tests of a module: its workers and loops are there before."""
    from parallelize import parallelized, wait
    from parallelize.calls.coroutines import COROUTINES_PER_LOOP

    go = threading.Event()

    async def held():
        while not go.is_set():  # noqa: ASYNC110 - there are two loops
            await asyncio.sleep(0.001)

    with make(kind) as executor:
        if kind != "serial":
            executor.warm()
        if kind == "thread":  # whose loops are threads of this process
            call = parallelized(executor)(held)
            calls = [call() for _ in range(COROUTINES_PER_LOOP + 1)]
            go.set()
            wait(calls)
        else:
            parallelized(executor)(asyncio.sleep)(0).result(30)
        yield executor


class Factory:
    """Makes executors of one kind, and shuts them down after the test."""

    def __init__(self, kind):
        self.kind = kind
        self.made = []

    def __call__(self, **options):
        executor = make(self.kind, **options)
        self.made.append(executor)
        return executor

    def close(self):
        while self.made:
            self.made.pop().shutdown(cancel_futures=True)


@contextlib.contextmanager
def shut_down_after(cls):
    """Gives what makes executors of a class that are shut down in the end."""
    made = []

    def make_one(*args, **kwargs):
        made.append(cls(*args, **kwargs))
        return made[-1]

    yield make_one
    for executor in made:
        executor.shutdown(cancel_futures=True)


class Held:
    """A call in a thread that has begun, and ends when it is released."""

    def __init__(self, pool):
        self._begun, self._go = threading.Event(), threading.Event()
        self.future = pool.submit(self._run)
        begun = self._begun.wait(20)
        assert begun

    def _run(self):
        self._begun.set()
        released = self._go.wait(20)
        assert released
        return threading.current_thread()

    def release(self):
        self._go.set()
        return self.future.result(20)


class Latch:
    """Holds one call of `tasks.hold` until it is released."""

    def __init__(self, folder):
        self.folder = str(folder)
        self._opened = False
        for name in ("begun", "go"):
            os.mkfifo(folder / name)

    def wait_begun(self):
        """Return when the call has begun."""
        with open(os.path.join(self.folder, "begun")) as pipe:
            pipe.read()

    def release(self):
        """Let the call, that has begun, end."""
        self._opened = True
        with open(os.path.join(self.folder, "go"), "w"):
            pass

    def force(self):
        """After the test: let go whoever still waits, without waiting for anybody."""
        for name, flags in (("begun", os.O_RDONLY), ("go", os.O_WRONLY)):
            with contextlib.suppress(OSError):
                os.close(
                    os.open(os.path.join(self.folder, name), flags | os.O_NONBLOCK)
                )


def emptied(log):
    """Return the `caplog` fixture without what earlier tests leave: their garbage.

    A failure that was never retrieved is logged when it is collected.
    """
    collect()
    log.clear()
    return log


def collect():
    """Collect garbage; return when what finalisers have left is done, too."""
    from parallelize.futures import unretrieved
    from parallelize.runtime import lifecycle

    gc.collect()
    deadline = time.monotonic() + 30
    while unretrieved._asked_in or lifecycle._left or lifecycle._doing:
        assert time.monotonic() < deadline, "what finalisers have left is not done"
        time.sleep(0.001)
