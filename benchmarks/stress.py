"""Runs all of the library from several threads at once, and compares every result.

It is for Pythons without the GIL, and takes as long as it is told to::

    python benchmarks/stress.py threads 600
    python benchmarks/stress.py processes 600

It prints how often each part has run; it ends with an error at the first wrong result,
and with the stacks of all threads if nothing happens for a minute.
"""

import collections
import faulthandler
import random
import sys
import threading
import time

import parallelize
from parallelize import Limit, TaskGroup, gather, processed, threaded

SECONDS_WITHOUT_NEWS = 60


def square(x):
    return x * x


def text(x):
    return f"{x}:" + "x" * (x % 7)


def odd_fails(x):
    if x % 2:
        raise LookupError(x)
    return x


def count(n):
    yield from range(n)


async def later(x):
    return x + 1


class Parts:
    """What is tried with one kind of decorator and one executor."""

    def __init__(self, decorate, executor, *, nests):
        self.decorate = decorate
        self.executor = executor
        self.square = decorate(executor=executor)(square)
        self.text = decorate(executor=executor)(text)
        self.fails = decorate(executor=executor)(odd_fails)
        self.count = decorate(executor=executor)(count)
        self.later = decorate(executor=executor)(later)
        self.limited = decorate(executor=executor, limit=Limit(2))(square)
        self.nests = nests

    def calls(self, n):
        futures = [self.square(i) for i in range(n)]
        assert [f.result() for f in futures] == [i * i for i in range(n)]

    def maps(self, n):
        assert list(self.square.map(range(n))) == [i * i for i in range(n)]
        assert list(self.text.map(range(n))) == [text(i) for i in range(n)]
        got = sorted(self.square.map(range(n), ordered=False, chunksize=3))
        assert got == [i * i for i in range(n)]

    def read_by_several(self, n):
        results, got = self.square.map(range(n)), []
        readers = [
            threading.Thread(target=lambda: got.extend(results)) for _ in range(3)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        assert sorted(got) == [i * i for i in range(n)], len(got)

    def errors(self, n):
        got = list(self.fails.map(range(n), return_exceptions=True))
        assert [type(each) for each in got] == [
            (int, LookupError)[i % 2] for i in range(n)
        ]

    def streams(self, n):
        assert list(self.count(n)) == list(range(n))
        for item in self.count(10 * n):
            if item == n // 2:
                break

    def coroutines(self, n):
        assert gather(*map(self.later, range(n))).result() == list(range(1, n + 1))

    def limits(self, n):
        assert list(self.limited.map(range(n), chunksize=1)) == [
            i * i for i in range(n)
        ]

    def groups(self, n):
        with TaskGroup() as group:
            futures = [group.start(self.square, i) for i in range(n)]
        assert [f.result() for f in futures] == [i * i for i in range(n)]

    def cancelled(self, n):
        futures = [self.square(i) for i in range(n)]
        kept = [f for f in futures if not f.cancel()]
        assert all(f.result() == futures.index(f) ** 2 for f in kept[:5])

    def nested(self, n):
        if self.nests:
            outer = self.decorate(executor=self.executor)(
                lambda k: sum(self.square(i).result() for i in range(k))
            )
            assert outer(n % 20).result() == sum(i * i for i in range(n % 20))

    def stats(self, n):
        stats = self.executor.stats()
        assert stats.queued >= 0
        assert stats.done >= 0


PARTS = [name for name in vars(Parts) if not name.startswith("_")]


def run(parts, until, ran, failed):
    choice = random.Random()
    while time.monotonic() < until and not failed:
        name = choice.choice(PARTS)
        try:
            getattr(parts, name)(choice.choice((1, 7, 60, 600)))
        except BaseException:
            failed.append(name)
            raise
        ran[name] += 1
        faulthandler.dump_traceback_later(SECONDS_WITHOUT_NEWS, exit=True)


def main(kind, seconds):
    if kind == "threads":
        pool = parallelize.ThreadPoolExecutor(3)
        parts = Parts(threaded, pool, nests=True)
    else:
        pool = parallelize.ProcessPoolExecutor(2)
        parts = Parts(processed, pool, nests=False)
    rans, failed = [], []
    until = time.monotonic() + seconds
    threads = []
    for _ in range(4):
        rans.append(collections.Counter())
        arguments = parts, until, rans[-1], failed
        threads.append(threading.Thread(target=run, args=arguments))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pool.shutdown()
    faulthandler.cancel_dump_traceback_later()
    print(kind, dict(sum(rans, collections.Counter())), flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
