"""What is seen on each engine of others: the table of docs/scaling.md.

Run it where `parallelize[dask]` or `parallelize[ray]`, and numpy, are installed; each
engine that is there gets a column:

    python benchmarks/engines.py

Each row is one situation on two local workers, with the seconds that it took. An error
is shown by its class. Costs are ratios to the engine's own interface in the same run.
"""

import contextlib
import importlib.util
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from parallelize import gather, parallelized, share

NUMBERS = 1 << 18  # in an array of two megabytes


def nothing(x):
    return x


def total(array):
    return float(array.sum())


def slow_total(array):
    time.sleep(1.0)
    return float(array.sum())


def slow_total_of(handle):
    time.sleep(1.0)
    return float(handle.get().sum())


def ones(count):
    return np.ones(count)


def die_at(number, fatal):
    if number == fatal:
        os._exit(3)
    return number


def die_first(path):
    """Kill the worker of the first attempt."""
    with open(path, "a") as file:
        file.write("x")
    if Path(path).stat().st_size == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return "run again"


def late_first(path):
    """Let the first attempt take longer than its timeout."""
    with open(path, "a") as file:
        file.write("x")
    if Path(path).stat().st_size == 1:
        time.sleep(5)
    return "run again"


# ------------------------------------------------------------------- the engines


class Dask:
    """A LocalCluster of two processes."""

    name = "Dask"

    def __init__(self):
        import logging

        import dask
        import distributed

        from parallelize import DaskExecutor

        dask.config.set({"distributed.comm.timeouts.tcp": "11s"})
        self.cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
        self.client = distributed.Client(self.cluster, set_as_default=False)
        self.executor = DaskExecutor(self.client)

    def plain(self, count):
        """Run calls by the engine's own interface."""
        futures = [self.client.submit(nothing, n, pure=False) for n in range(count)]
        self.client.gather(futures)

    def kill_holders(self, part):
        """Kill the workers that hold data whose name has this part."""
        pids = self.client.run(os.getpid)
        has = self.client.sync(self.client.scheduler.has_what)
        for worker, keys in has.items():
            if any(part in key for key in keys):
                os.kill(pids[worker], signal.SIGKILL)

    def close(self):
        self.executor.shutdown(cancel_futures=True)
        self.client.close()
        self.cluster.close()

    @staticmethod
    def lost():
        """The keeper of a cluster of its own is killed under a call and a map."""
        from parallelize import DaskExecutor

        executor = DaskExecutor(max_workers=2)
        held = executor.submit(time.sleep, 60)
        rows = executor.map(time.sleep, [0.05] * 400, chunksize=2)
        next(rows)
        os.kill(executor._cluster.pid, signal.SIGKILL)
        yield lambda: held.result(60)
        yield lambda: list(rows)
        executor.shutdown()


class Ray:
    """A local Ray of two CPUs."""

    name = "Ray"
    lost = None  # Ray ends the program that has lost it

    def __init__(self):
        import ray

        from parallelize import RayExecutor

        self.ray = ray
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        self.executor = RayExecutor()

    def plain(self, count):
        """Run calls by the engine's own interface."""
        remote = self.ray.remote(nothing)
        self.ray.get([remote.remote(n) for n in range(count)])

    kill_holders = None  # objects are in the node's store, not in workers

    def close(self):
        self.executor.shutdown(cancel_futures=True)
        self.ray.shutdown()


# ------------------------------------------------------------------ the situations


def calls(engine):
    """2000 calls."""
    futures = [engine.executor.submit(nothing, n) for n in range(2000)]
    assert gather(*futures).result(300) == list(range(2000))


def rows(engine):
    """A map of 100 000 rows."""
    assert list(engine.executor.map(nothing, range(100_000))) == list(range(100_000))


def poison(engine):
    """One of eight rows in a chunk kills its worker."""
    numbers = range(8)
    results = list(
        parallelized(engine.executor, retries=1)(die_at).map(
            numbers, [5] * 8, chunksize=8, return_exceptions=True
        )
    )
    assert results[:5] + results[6:] == [0, 1, 2, 3, 4, 6, 7]
    return f"its row {type(results[5]).__name__}, the others right"


def death(engine):
    """The worker of a call with a retry is killed."""
    with tempfile.TemporaryDirectory() as folder:
        call = parallelized(engine.executor, retries=1)(die_first)
        return call(f"{folder}/trace").result(120)


def timeout(engine):
    """A call with a retry takes longer than its timeout."""
    with tempfile.TemporaryDirectory() as folder:
        call = parallelized(engine.executor, retries=1, timeout=1.0)(late_first)
        return call(f"{folder}/trace").result(120)


def lost_array(engine):
    """The workers that hold a large argument are killed."""
    array = np.ones(NUMBERS)
    futures = [engine.executor.submit(slow_total, array) for _ in range(3)]
    time.sleep(0.5)
    engine.kill_holders("LargePayload")
    assert gather(*futures).result(120) == [NUMBERS] * 3
    return "put again"


def lost_share(engine):
    """The workers that hold a shared object are killed, under a map."""
    handle = share(np.ones(NUMBERS))
    results = iter(engine.executor.map(slow_total_of, [handle] * 4, chunksize=1))
    time.sleep(0.5)
    engine.kill_holders("LargePayload")
    assert list(results) == [NUMBERS] * 4
    return "put again"


def lost_result(engine):
    """The worker that holds a large result is killed."""
    future = engine.executor.submit(ones, NUMBERS)
    while not future.done():
        time.sleep(0.01)
    engine.kill_holders("ones")
    assert engine.executor.submit(total, future).result(120) == NUMBERS
    return "made again"


def cost(engine):
    """500 calls, as a multiple of the engine's own interface."""

    def ours():
        futures = [engine.executor.submit(nothing, n) for n in range(500)]
        gather(*futures).result(300)

    ours(), engine.plain(500)
    ratios = []
    for _ in range(5):
        begun = time.perf_counter()
        ours()
        middle = time.perf_counter()
        engine.plain(500)
        ratios.append((middle - begun) / (time.perf_counter() - middle))
    return f"{sorted(ratios)[2]:.2f} ×"


SITUATIONS = (
    calls,
    rows,
    cost,
    death,
    poison,
    timeout,
    lost_array,
    lost_share,
    lost_result,
)
NEEDS_HOLDERS = (lost_array, lost_share, lost_result)


def seen(action, *args):
    """What came of a situation, and how long it took."""
    begun = time.perf_counter()
    try:
        text = action(*args) or "right"
    except Exception as error:
        text = f"`{type(error).__name__}`"
    took = time.perf_counter() - begun
    return text if "×" in str(text) else f"{text}, {took:.1f} s"


def column(kind):
    """All situations on one engine, each on workers of its own."""
    found = {}
    for situation in SITUATIONS:
        if situation in NEEDS_HOLDERS and kind.kill_holders is None:
            found[situation.__doc__] = "–"
            continue
        with contextlib.closing(kind()) as engine:
            found[situation.__doc__] = seen(situation, engine)
        print(kind.name, situation.__name__, found[situation.__doc__], file=sys.stderr)
    ends = ("–", "–") if kind.lost is None else map(seen, kind.lost())
    found["The cluster is killed under a call …"], found["… and a map"] = ends
    return found


def main():
    """Print the table."""
    packages = {Dask: "distributed", Ray: "ray"}
    kinds = [k for k, package in packages.items() if importlib.util.find_spec(package)]
    columns = [column(kind) for kind in kinds]
    print(f"| | {' | '.join(kind.name for kind in kinds)} |")
    print(f"|---|{'---|' * len(kinds)}")
    for text in columns[0]:
        cells = " | ".join(str(each[text]) for each in columns)
        print(f"| {text.rstrip('.')} | {cells} |")


if __name__ == "__main__":
    main()
