"""What is seen on each engine: the table of docs/scaling.md.

Run it where the engines are installed; each of them gets a column. Cells are kept in a
file, so a run goes on where the last one ended, in another environment, too:

    python benchmarks/engines.py engines.json

Each cell is one situation on two local workers, in a process of its own with a limit of
time: what came of it, and the seconds that it took. An error is shown by its class.
Costs are medians of ratios to the engine's own interface, measured by turns in one run.
"""

import argparse
import concurrent.futures
import contextlib
import importlib.util
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np

from parallelize import ProcessPoolExecutor, gather, parallelized, share

NUMBERS = 1 << 18  # in an array of two megabytes
LIMIT = 150  # seconds for a cell
END = "cell: "  # what the last line of a cell's output begins with


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


class Engine:
    """Two workers of an engine, as an executor and by the engine's own interface.

    Attributes:
        executor: Where the calls of this library run.
    """

    name = ""
    package = ""
    kill_holders = None  # where data is not in workers
    kill_cluster = None  # where there is none, or the program ends with it

    def plain(self, count):
        """Run calls by the engine's own interface."""
        futures = [self.theirs.submit(nothing, n) for n in range(count)]
        assert [future.result() for future in futures] == list(range(count))

    def close(self):
        """End it."""
        self.theirs.shutdown()


class OurPool(Engine):
    """Beside the standard library's pool."""

    name = "processes"
    package = "parallelize"

    def __init__(self):
        self.executor = ProcessPoolExecutor(2)
        self.theirs = concurrent.futures.ProcessPoolExecutor(
            2, mp_context=multiprocessing.get_context("forkserver")
        )

    def close(self):
        self.executor.shutdown(cancel_futures=True)
        super().close()


class Dask(Engine):
    """A LocalCluster of two processes."""

    name = "Dask"
    package = "distributed"

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
    def kill_cluster(start):
        """Kill a cluster of the executor's own after a call has been started."""
        from parallelize import DaskExecutor

        with DaskExecutor(max_workers=2) as executor:
            result = start(executor)
            os.kill(executor._cluster.pid, signal.SIGKILL)
            return result()


class Ray(Engine):
    """A local Ray of two CPUs."""

    name = "Ray"
    package = "ray"

    def __init__(self):
        import ray

        from parallelize import RayExecutor

        self.ray = ray
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        self.remote = ray.remote(nothing)
        self.executor = RayExecutor()

    def plain(self, count):
        self.ray.get([self.remote.remote(n) for n in range(count)])

    def close(self):
        self.executor.shutdown(cancel_futures=True)
        self.ray.shutdown()


class RayClient(Ray):
    """A local Ray to which the program is connected as to a far one."""

    name = "ray://"

    def __init__(self):
        import ray

        from parallelize import RayExecutor

        self.ray = ray
        self._server = subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-c", RAY_SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        address = f"ray://127.0.0.1:{self._server.stdout.readline().strip()}"
        ray.init(address, log_to_driver=False)
        self.remote = ray.remote(nothing)
        self.executor = RayExecutor()

    def close(self):
        super().close()
        self._server.communicate()


#: A program with a Ray, which takes clients until its input ends.
RAY_SERVER = """
import socket, subprocess, sys, time, ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
with socket.socket() as sock:
    sock.bind(("127.0.0.1", 0))
    port = sock.getsockname()[1]
line = [sys.executable, "-m", "ray.util.client.server", "--host", "127.0.0.1"]
line += ["--port", str(port), "--mode", "legacy"]
line += ["--address", ray.get_runtime_context().gcs_address]
server = subprocess.Popen(line, stdout=2)
while True:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
        break
    except OSError:
        time.sleep(0.1)
print(port, flush=True)
sys.stdin.read()
server.kill()
"""


class Loky(Engine):
    name = package = "loky"

    def __init__(self):
        import loky

        self.theirs = self.executor = loky.ProcessPoolExecutor(2)


class Executorlib(Engine):
    name = package = "executorlib"

    def __init__(self):
        import executorlib

        self.theirs = self.executor = executorlib.SingleNodeExecutor(
            max_workers=2, block_allocation=True
        )


class Mpi(Engine):
    """`mpi4py.futures`; its cells run under mpiexec."""

    name = package = "mpi4py"

    def __init__(self):
        from mpi4py.futures import MPIPoolExecutor

        self.theirs = self.executor = MPIPoolExecutor()


ENGINES = {
    kind.name: kind for kind in (OurPool, Dask, Ray, RayClient, Loky, Executorlib, Mpi)
}


# ------------------------------------------------------------------ the situations


def on(engine, **options):
    """The decorator for an engine."""
    return parallelized(engine.executor, **options)


def calls(engine):
    """2000 calls."""
    call = on(engine)(nothing)
    assert gather(*map(call, range(2000))).result() == list(range(2000))


def rows(engine):
    """A map of 100 000 rows."""
    assert list(on(engine)(nothing).map(range(100_000))) == list(range(100_000))


def cost(engine, count):
    """The cost of calls as a multiple of the engine's own interface."""
    call = on(engine)(nothing)

    def seconds(action):
        begun = time.perf_counter()
        action()
        return time.perf_counter() - begun

    def ours():
        gather(*map(call, range(count))).result()

    ours(), engine.plain(count)
    several = range(10 if count == 1 else 1)
    ratios = []
    for _ in range(9):
        mine = sum(seconds(ours) for _ in several)
        ratios.append(mine / sum(seconds(lambda: engine.plain(count)) for _ in several))
    return f"{median(ratios):.2f} ×"


def cost_alone(engine):
    """Cost of a call, beside the plain engine."""
    return cost(engine, 1)


def cost_of_many(engine):
    """… with 300 in flight."""
    return cost(engine, 300)


def death(engine):
    """The worker of a call with a retry is killed."""
    with tempfile.TemporaryDirectory() as folder:
        return on(engine, retries=1)(die_first)(f"{folder}/trace").result()


def poison(engine):
    """One of eight rows in a chunk kills its worker."""
    results = list(
        on(engine, retries=1)(die_at).map(
            range(8), [5] * 8, chunksize=8, return_exceptions=True
        )
    )
    right = [n for n in results if not isinstance(n, BaseException)]
    errors = {type(n).__name__ for n in results if isinstance(n, BaseException)}
    return f"{len(right)} right, {8 - len(right)} `{' '.join(errors)}`"


def timeout(engine):
    """A call with a retry takes longer than its timeout."""
    with tempfile.TemporaryDirectory() as folder:
        call = on(engine, retries=1, timeout=1.0)(late_first)
        return call(f"{folder}/trace").result()


def lost_array(engine):
    """The workers that hold a large argument are killed."""
    array = np.ones(NUMBERS)
    futures = [on(engine)(slow_total)(array) for _ in range(3)]
    time.sleep(0.5)
    engine.kill_holders("LargePayload")
    assert gather(*futures).result() == [NUMBERS] * 3
    return "put again"


def lost_share(engine):
    """The workers that hold a shared object are killed, under a map."""
    handle = share(np.ones(NUMBERS))
    results = on(engine)(slow_total_of).map([handle] * 4, chunksize=1)
    time.sleep(0.5)
    engine.kill_holders("LargePayload")
    assert list(results) == [NUMBERS] * 4
    return "put again"


def lost_result(engine):
    """The worker that holds a large result is killed."""
    future = on(engine)(ones)(NUMBERS)
    while not future.done():
        time.sleep(0.01)
    engine.kill_holders("ones")
    assert on(engine)(total)(future).result() == NUMBERS
    return "made again"


def killed_under_a_call(engine):
    """The cluster is killed under a call."""
    return engine.kill_cluster(lambda on_it: on_it.submit(time.sleep, 60).result)


def killed_under_a_map(engine):
    """… and under a map."""

    def start(executor):
        results = executor.map(time.sleep, [0.05] * 400, chunksize=2)
        next(results)
        return lambda: list(results)

    return engine.kill_cluster(start)


SITUATIONS = {
    each.__name__: each
    for each in (
        calls,
        rows,
        cost_alone,
        cost_of_many,
        death,
        poison,
        timeout,
        lost_array,
        lost_share,
        lost_result,
        killed_under_a_call,
        killed_under_a_map,
    )
}


def applies(kind, situation):
    if situation.startswith("lost"):
        return kind.kill_holders is not None
    return not situation.startswith("killed") or kind.kill_cluster is not None


# ------------------------------------------------------------------------- a cell


def look(kind, situation):
    """See what comes of a situation, and end this process."""
    action = SITUATIONS[situation]
    engine = kind if situation.startswith("killed") else kind()
    begun = time.perf_counter()
    try:
        text = action(engine) or "right"
    except Exception as error:
        text = f"`{type(error).__name__}`"
    took = time.perf_counter() - begun
    print(END + (text if "×" in text else f"{text}, {took:.1f} s"), flush=True)
    if engine is not kind:
        engine.close()


def seen(kind, situation):
    """Return what a cell's process says, or how it ended without a word."""
    line = [sys.executable, __file__, "--cell", kind.name, situation]
    if kind is Mpi:
        beside = Path(sys.executable).with_name("mpiexec")
        mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
        line[1:1] = ["-m", "mpi4py.futures"]
        line = [mpiexec, "-n", "3", *line]
    root = str(Path(__file__).parent.parent)
    environment = os.environ | {"PYTHONPATH": root, "PYTHONWARNINGS": "ignore"}
    environment["RAY_AUTH_MODE"] = "disabled"  # the local server of ray:// has no token
    process = subprocess.Popen(  # noqa: S603 - likewise
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env=environment,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=LIMIT)
    except subprocess.TimeoutExpired:
        output = f"{END}no end in {LIMIT} s"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    said = [text for text in output.splitlines() if text.startswith(END)]
    return said[-1].removeprefix(END) if said else "the program ended"


# ---------------------------------------------------------------------- the table


def fill(path):
    """See what is missing in the file, for the engines that are installed."""
    cells = json.loads(path.read_text()) if path.exists() else {}
    for name, kind in ENGINES.items():
        if importlib.util.find_spec(kind.package) is None:
            continue
        for situation in SITUATIONS:
            key = f"{name} {situation}"
            if key in cells:
                continue
            cells[key] = seen(kind, situation) if applies(kind, situation) else "–"
            print(key, cells[key], file=sys.stderr, flush=True)
            path.write_text(json.dumps(cells, indent=1, ensure_ascii=False))
    return cells


def show(cells):
    """Print the table."""
    names = [name for name in ENGINES if f"{name} calls" in cells]
    print(f"| | {' | '.join(names)} |")
    print(f"|---|{'---|' * len(names)}")
    for situation, action in SITUATIONS.items():
        row = " | ".join(cells.get(f"{name} {situation}", "") for name in names)
        print(f"| {action.__doc__.rstrip('.')} | {row} |")


def main():
    """See one cell, or make the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("file", nargs="?", type=Path, help="the cells, as JSON")
    parser.add_argument("--cell", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.cell:
        look(ENGINES[given.cell[0]], given.cell[1])
    else:
        show(fill(given.file or Path("engines.json")))


if __name__ == "__main__":
    main()
