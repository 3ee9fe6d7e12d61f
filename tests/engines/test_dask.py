"""`DaskExecutor` on real clusters of worker processes on this machine."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from behaviours import LARGE, EngineTests, die_at, ones, total, total_shared
from processes import descendants
from proxy import Proxy

import parallelize
import tasks
from parallelize import (
    ClusterLost,
    DaskExecutor,
    WorkerDied,
    check_stop,
    gather,
    parallelized,
    share,
    stopping,
    using,
    wait,
)
from support.programs import program

dask = pytest.importorskip("dask")
np = pytest.importorskip("numpy")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    # Each death costs seconds.
    once = {"distributed.scheduler.allowed-failures": 1}
    with (
        dask.config.set(once),
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster, set_as_default=False) as made:
        yield made


@pytest.fixture(scope="module")
def executor(client):
    with DaskExecutor(client) as made:
        yield made


@pytest.fixture
def make(cluster):
    """Executors of so many workers; a narrow one has a cluster of its own."""
    made = []

    def make_one(workers=None):
        given = cluster.scheduler_address if workers is None else None
        made.append(DaskExecutor(given, max_workers=workers))
        return made[-1]

    yield make_one
    for each in made:
        each.shutdown(cancel_futures=True)


class TestDask(EngineTests):
    """What all engines do."""


def test_the_number_of_workers_of_dask(executor):
    assert executor._max_workers == 2
    assert executor.kind == "dask"


def test_cancel_on_dask(make, latch):
    executor = make(1)
    held = executor.submit(tasks.hold, latch.folder, 5)
    waiting = [executor.submit(tasks.double, n) for n in range(5)]
    latch.wait_begun()
    assert not held.cancel()
    # True, or a moment later if the scheduler is slow to say that it has not begun.
    assert waiting[-1].cancel() or wait([waiting[-1]], 30).done
    assert waiting[-1].cancelled()
    assert not held.kill()  # Dask cannot
    behind = executor.submit(tasks.double, waiting[-1])
    latch.release()
    assert held.result(60) == 5
    assert [f.result(60) for f in waiting[:-1]] == [0, 2, 4, 6]
    with pytest.raises(parallelize.CancelledError):
        behind.result(60)


def until_asked(path):
    tasks.append_line(path, "begun")
    while not stopping():
        time.sleep(0.01)
    tasks.append_line(path, "asked")
    check_stop()


def wait_for_lines(path, *lines):
    limit = time.monotonic() + 30
    while not path.exists() or path.read_text().split() != list(lines):
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_a_running_call_on_dask_is_asked_to_stop(executor, tmp_path):
    path = tmp_path / "cancelled"
    future = executor.submit(until_asked, path)
    wait_for_lines(path, "begun")
    assert not future.cancel()
    with pytest.raises(parallelize.CancelledError):
        future.result(30)
    assert future.cancelled()
    path = tmp_path / "late"
    with pytest.raises(parallelize.TaskTimeout):
        parallelized(executor, timeout=0.5)(until_asked)(path).result(30)
    wait_for_lines(path, "begun", "asked")
    path = tmp_path / "closed"
    with executor.map(until_asked, [path]) as results:
        reader = threading.Thread(target=list, args=(results,), daemon=True)
        reader.start()
        wait_for_lines(path, "begun")
    wait_for_lines(path, "begun", "asked")


def test_shutdown_cancels_what_has_not_begun_on_dask(make, latch):
    executor = make(1)
    held = executor.submit(tasks.hold, latch.folder, 5)
    waiting = [executor.submit(tasks.double, n) for n in range(5)]
    latch.wait_begun()
    executor.shutdown(wait=False, cancel_futures=True)
    wait(waiting, 30)
    assert all(future.cancelled() for future in waiting)
    latch.release()
    assert held.result(60) == 5


def test_one_row_that_kills_harms_no_other_on_dask(executor):
    results = list(
        executor.map(die_at, range(8), [5] * 8, chunksize=8, return_exceptions=True)
    )
    assert isinstance(results[5], WorkerDied)
    assert results[:5] + results[6:] == [0, 1, 2, 3, 4, 6, 7]


@pytest.mark.parametrize("whose", ["own", "local"])
def test_workers_that_die_often_are_not_given_up(whose, monkeypatch):
    """Dask gives up those that are restarting a while after an earlier death."""
    monkeypatch.setenv("DASK_DISTRIBUTED__DEPLOY__LOST_WORKER_TIMEOUT", "50ms")
    at_once = {
        "distributed.deploy.lost-worker-timeout": "50ms",
        "distributed.scheduler.allowed-failures": 1,
    }
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(at_once))
        made = None
        if whose == "local":
            made = distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=1,
                host="127.0.0.1",
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
            )
            stack.enter_context(made)
        workers = None if made else 1
        executor = stack.enter_context(DaskExecutor(made, max_workers=workers))
        calls = parallelized(executor, retries=1)(die_at)
        rows = calls.map([0, 5, 2], [5] * 3, chunksize=3, return_exceptions=True)
        assert [type(row) for row in rows] == [int, WorkerDied, int]
        assert executor.submit(tasks.double, 2).result(60) == 4


def test_a_client_and_its_cluster_are_left_alone(client):
    executor = DaskExecutor(client)
    assert executor.client is client
    assert executor.submit(tasks.double, 1).result() == 2
    executor.shutdown()
    assert client.submit(tasks.double, 2).result() == 4


def test_a_cluster_or_an_address_is_left_alone(cluster, client):
    for given in (cluster, cluster.scheduler_address):
        with DaskExecutor(given) as executor:
            assert executor.submit(tasks.double, 1).result() == 2
            theirs = executor.client
        assert theirs.status == "closed"
    assert client.submit(tasks.double, 2).result() == 4


def test_the_clients_default_stays(cluster):
    with DaskExecutor(cluster):
        with pytest.raises(ValueError, match="No clients found"):
            distributed.default_client()


def open_to_others(pid):
    """On which addresses but 127.0.0.1 a process and its children listen."""
    inodes = set()
    for each in (pid, *descendants(pid)):
        for name in os.listdir(f"/proc/{each}/fd"):
            with contextlib.suppress(OSError):
                inodes.add(os.readlink(f"/proc/{each}/fd/{name}"))
    found = []
    for table in ("tcp", "tcp6"):
        lines = Path(f"/proc/self/net/{table}").read_text().splitlines()
        rows = [line.split() for line in lines]
        found += [
            row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
        ]
    assert found  # else this sees nothing at all
    return [each for each in found if not each.startswith("0100007F:")]


def test_a_cluster_of_its_own(tmp_path):
    with DaskExecutor(max_workers=2) as executor:
        assert executor._max_workers == 2
        info = executor.client.scheduler_info(n_workers=-1)
        addresses = [info["address"], *info["workers"]]
        assert all(each.startswith("tls://127.0.0.1:") for each in addresses)
        assert open_to_others(executor._cluster.pid) == []
        with DaskExecutor(max_workers=1) as another:  # no two want the same port
            assert another.submit(tasks.double, 1).result() == 2
        pids = set(executor.map(tasks.pid_of, range(20), chunksize=1))
        keeper = executor._cluster.pid
    assert os.getpid() not in pids
    for pid in (*pids, keeper):
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    host, port = info["address"].removeprefix("tls://").split(":")
    with socket.socket() as sock:
        assert sock.connect_ex((host, int(port))) != 0


# What another program of the machine does that knows the address: it has Dask's own
# client, but not the credentials.
INTRUDER = """
import sys
import distributed

address = sys.argv[1]
for target in (address, address.replace("tls://", "tcp://")):
    security = distributed.security.Security.temporary() if "tls" in target else None
    try:
        distributed.Client(target, timeout=3, security=security)
    except (OSError, TimeoutError) as error:
        print("refused", type(error).__name__)
    else:
        print("let in by", target)
"""


def test_a_cluster_of_its_own_accepts_its_program_only():
    with DaskExecutor(max_workers=1) as executor:
        address = executor.client.scheduler.address
        assert address.startswith("tls://127.0.0.1:")
        other = {"user": "nobody"} if os.geteuid() == 0 and _may_become_nobody() else {}
        seen = subprocess.run(
            [sys.executable, "-c", INTRUDER, address],
            capture_output=True,
            text=True,
            timeout=50,
            check=True,
            cwd="/",
            **other,
        ).stdout.split("\n")
        assert [line.split(" ")[0] for line in seen] == ["refused", "refused", ""]
        assert executor.submit(abs, -1).result(20) == 1


def _may_become_nobody():
    """Whether that user can run this interpreter with its packages."""
    command = [sys.executable, "-c", "import distributed"]
    try:
        return (
            subprocess.run(command, user="nobody", cwd="/", check=False).returncode == 0
        )
    except OSError:
        return False


def test_the_cluster_is_lost(latch):
    executor = DaskExecutor(max_workers=1)
    held = executor.submit(tasks.hold, latch.folder)
    behind = executor.submit(tasks.double, held)
    latch.wait_begun()
    os.kill(executor._cluster.pid, signal.SIGKILL)
    with pytest.raises(ClusterLost, match="was lost"):
        held.result(60)
    with pytest.raises(WorkerDied):
        behind.result(60)
    executor.client.close()
    with pytest.raises(ClusterLost):
        executor.submit(tasks.double, 1).result(60)
    executor.shutdown()


def test_the_client_is_closed_under_its_calls(cluster, latch):
    client = distributed.Client(cluster, set_as_default=False)
    executor = DaskExecutor(client)
    held = executor.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    client.close()
    with pytest.raises(ClusterLost):
        held.result(60)
    with pytest.raises(ClusterLost):
        executor.submit(tasks.double, 1).result(60)
    with pytest.raises(ClusterLost):
        list(executor.map(tasks.double, range(9)))
    executor.shutdown()
    latch.release()


# What a worker had dies with it, and is put or made again.


@pytest.fixture
def fragile():
    """A cluster that loses workers, and an executor on it."""
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as made,
        distributed.Client(made, set_as_default=False) as client,
        DaskExecutor(client) as executor,
    ):
        yield executor


def kill_holders(executor, *parts):
    """Kill the workers that have keys with any of these texts in them."""
    client = executor.client
    pids = client.run(os.getpid)
    has = client.sync(client.scheduler.has_what)
    killed = [
        worker
        for worker, keys in has.items()
        if any(part in key for part in parts for key in keys)
    ]
    for worker in killed:
        os.kill(pids[worker], signal.SIGKILL)
    assert killed
    return killed


def held_total(folder, array):
    return tasks.hold(folder, float(np.asarray(array).sum()))


def held_shared(folder, handle):
    return tasks.hold(folder, total_shared(handle)[0])


def doubled(array):
    return array * 2


@pytest.mark.parametrize("how", ["array", "share"])
def test_what_was_put_is_put_again(fragile, latch, how):
    """Dask cancels what depends on data that died; the user has not."""
    array = np.ones(LARGE)
    if how == "array":
        calls = [fragile.submit(total, array) for _ in range(3)]
        gather(*calls).result(60)
        held = fragile.submit(held_total, latch.folder, array)
    else:
        handle = share(array)
        held = fragile.submit(held_shared, latch.folder, handle)
    latch.wait_begun()
    behind = fragile.submit(tasks.double, held)
    kill_holders(fragile, "LargePayload")
    latch.wait_begun()  # again
    latch.release()
    assert held.result(60) == LARGE
    assert behind.result(60) == 2 * LARGE


def test_rows_whose_data_died_are_run_again(fragile, latch):
    array = np.ones(LARGE)
    results = fragile.map(held_total, [latch.folder], [array], chunksize=1)
    rows = iter(results)
    reader = threading.Thread(target=lambda: got.append(next(rows)))
    got = []
    reader.start()
    latch.wait_begun()
    kill_holders(fragile, "LargePayload")
    latch.wait_begun()
    latch.release()
    reader.join(60)
    assert got == [LARGE]


def test_results_that_died_are_made_again(fragile):
    array = np.ones(LARGE)
    first = fragile.submit(doubled, array)
    second = fragile.submit(doubled, first)
    plain = fragile.submit(ones, LARGE)
    wait([first, second, plain], 60)
    del first  # its recipe remains
    kill_holders(fragile, "LargePayload", "doubled", "ones")
    assert fragile.submit(total, second).result(60) == 4 * LARGE
    assert second.result(60).sum() == 4 * LARGE
    assert plain.result(60).sum() == LARGE
    assert fragile.submit(total, array).result(60) == LARGE


def test_data_that_cannot_be_put_again_is_the_death_of_its_calls(
    fragile, latch, monkeypatch
):
    monkeypatch.setattr("parallelize.clusters.dask_refs.COPIED_BYTES", 0)
    held = fragile.submit(held_total, latch.folder, np.ones(LARGE))
    latch.wait_begun()
    kill_holders(fragile, "LargePayload")
    with pytest.raises(WorkerDied, match="no copy"):
        held.result(60)
    assert fragile.submit(tasks.double, 4).result(60) == 8


def test_a_cluster_that_is_restarted_is_lost_to_its_calls(fragile, latch):
    held = fragile.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    fragile.client.restart()
    with pytest.raises(ClusterLost, match="restarted"):
        held.result(60)
    assert fragile.submit(tasks.double, 4).result(60) == 8


def test_calls_wait_for_a_worker_or_say_that_there_is_none():
    with (
        distributed.LocalCluster(
            n_workers=1,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        ) as made,
        DaskExecutor(made) as executor,
    ):
        assert executor.submit(tasks.double, 1).result(60) == 2
        made.scale(0)
        while executor.client.sync(executor.client.scheduler.ncores):
            time.sleep(0.05)
        waiting = executor.submit(tasks.double, 2)
        made.scale(1)
        assert waiting.result(60) == 4
        made.scale(0)
        while executor.client.sync(executor.client.scheduler.ncores):
            time.sleep(0.05)
        with dask.config.set({"distributed.scheduler.no-workers-timeout": "2s"}):
            with pytest.raises(ClusterLost, match="no workers for 2 s"):
                executor.submit(tasks.double, 3).result(60)
            with pytest.raises(ClusterLost):
                list(executor.map(tasks.double, range(4)))


def test_a_timeout_bounds_the_fetching_of_a_large_result(make):
    executor = make(1)
    large = executor.submit(ones, LARGE)
    wait([large], 60)
    (pid,) = executor.client.run(os.getpid).values()
    os.kill(pid, signal.SIGSTOP)
    going_on = threading.Timer(20, os.kill, (pid, signal.SIGCONT))  # if it is not
    going_on.start()
    try:
        for read in (large.result, large.exception):
            with pytest.raises(TimeoutError):
                read(0.2)
    finally:
        os.kill(pid, signal.SIGCONT)
        going_on.cancel()
    assert total(large.result(60)) == LARGE


# A scheduler that does not answer.

SILENCE = {"distributed.comm.timeouts.tcp": "11s"}  # Dask allows no less


@pytest.fixture
def stopped():
    """An executor whose scheduler stands still."""
    with dask.config.set(SILENCE):
        executor = DaskExecutor(max_workers=1)
        running = executor.submit(time.sleep, 0)
        running.result(60)
        os.kill(executor._cluster.pid, signal.SIGSTOP)
        yield executor
        os.kill(executor._cluster.pid, signal.SIGCONT)
        executor.shutdown(cancel_futures=True)


class Lag:
    """The longest time that an event loop did nothing else, in seconds."""

    def __init__(self):
        self.longest = 0.0

    async def __aenter__(self):
        self._task = asyncio.create_task(self._measure())
        await asyncio.sleep(0)
        return self

    async def _measure(self):
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0)
            self.longest = max(self.longest, time.monotonic() - begun)

    async def __aexit__(self, *_):
        self._task.cancel()


def test_nothing_waits_for_a_scheduler_that_stands_still(stopped):
    begun = time.monotonic()
    futures = [stopped.submit(tasks.double, n) for n in range(20)]
    large = stopped.submit(total, np.ones(LARGE))
    results = stopped.map(tasks.double, range(1000))
    for future in futures[10:]:
        future.cancel()
    assert stopped._max_workers == 1
    assert time.monotonic() - begun < 5  # not one wait for each

    async def cancel_an_await():
        async with Lag() as lag:
            for future in futures[:5]:
                task = asyncio.ensure_future(_awaited(future))
                await asyncio.sleep(0.01)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            futures[5].cancel()
        return lag.longest

    assert asyncio.run(cancel_an_await()) < 2  # on a busy machine; else milliseconds
    for each in (futures[6], large):
        with pytest.raises(ClusterLost, match="has not answered for 11 s"):
            each.result(60)
    with pytest.raises(ClusterLost):
        list(results)


async def _awaited(future):
    return await future


def test_calls_go_on_when_the_scheduler_does(stopped):
    futures = [stopped.submit(tasks.double, n) for n in range(4)]
    dropped = stopped.submit(tasks.double, 5)
    dropped.cancel()
    os.kill(stopped._cluster.pid, signal.SIGCONT)
    assert gather(*futures).result(60) == [0, 2, 4, 6]
    wait([dropped], 60)
    assert dropped.done()


def test_a_network_that_is_cut(cluster, latch):
    host, port = cluster.scheduler_address.removeprefix("tcp://").split(":")
    proxy = Proxy(host, int(port))
    try:
        with dask.config.set(SILENCE):
            executor = DaskExecutor(f"tcp://127.0.0.1:{proxy.port}")
            held = executor.submit(tasks.hold, latch.folder)
            latch.wait_begun()
            results = executor.map(tasks.double, range(100))
            proxy.cut()
            behind = executor.submit(tasks.double, held)
            for each in (held, behind):
                with pytest.raises(ClusterLost, match="has not answered"):
                    each.result(60)
            with pytest.raises(ClusterLost):
                list(results)
    finally:
        proxy.close()
        latch.release()
        executor.shutdown()


def test_a_map_whose_scheduler_was_killed_ends():
    executor = DaskExecutor(max_workers=1)
    results = executor.map(time.sleep, [0.05] * 400, chunksize=2)
    next(results)
    os.kill(executor._cluster.pid, signal.SIGKILL)
    with pytest.raises(ClusterLost):
        list(results)
    with pytest.raises(ClusterLost):
        list(executor.map(tasks.double, range(9)))
    executor.shutdown()


def test_wrong_arguments_of_dask(cluster):
    with pytest.raises(TypeError, match="client_or_address must be a client"):
        DaskExecutor(3)
    for address in ("", "tcp://", "host:", "dask://"):
        with pytest.raises(ValueError, match="client_or_address must look like"):
            DaskExecutor(address)
    with pytest.raises(ValueError, match="max_workers must not be given"):
        DaskExecutor(cluster, max_workers=3)
    with pytest.raises(ValueError, match="max_workers"):
        DaskExecutor(max_workers=0)
    closed = distributed.Client(cluster, set_as_default=False)
    closed.close()
    with pytest.raises(ValueError, match="connected"):
        DaskExecutor(closed)


def test_no_scheduler_answers():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{sock.getsockname()[1]}"
    import dask

    with dask.config.set({"distributed.comm.timeouts.connect": "300ms"}):
        with pytest.raises(ConnectionError, match=address):
            DaskExecutor(address)


def test_use_an_address(cluster):
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    with using(address):
        fn = parallelize.processed(tasks.pid_of)
        pids = {fn().result(), *parallelize.thread_map(tasks.pid_of, range(3))}
    assert os.getpid() not in pids
    assert parallelized(address)(tasks.double)(2).result() == 4
    parallelize.shutdown()


PROGRAM = program("dask/ends_by_itself")


def test_the_environment_redirects_an_unchanged_program(cluster, run_script):
    address = cluster.scheduler_address.replace("tcp://", "dask://")
    done = run_script(PROGRAM, env={"PARALLELIZE_EXECUTOR": address})
    assert done.stderr == ""
    assert done.stdout == "8 9900\n"


def test_a_script_needs_no_guard(run_script):
    more = "from parallelize.api.use import executor_for\n"
    more += "print(executor_for('processes')._max_workers)\n"
    done = run_script(
        PROGRAM + more,
        env={"PARALLELIZE_EXECUTOR": "dask", "PARALLELIZE_MAX_WORKERS": "3"},
    )
    assert done.stderr == ""
    assert done.stdout == "8 9900\n3\n"


def test_the_cluster_ends_with_a_program_that_is_killed(tmp_path):
    code = (
        f"import sys; sys.path[:] = {sys.path!r}\n"
        "import tasks, time\n"
        "from parallelize import DaskExecutor\n"
        "executor = DaskExecutor(max_workers=1)\n"
        "print(executor._cluster.pid, executor.submit(tasks.pid_of).result(), flush=True)\n"
        "time.sleep(60)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True
    )
    pids = [int(word) for word in child.stdout.readline().split()]
    child.kill()
    child.wait()
    # The pipe is held open by whoever is left: the end of all of them is its end.
    waiter = threading.Thread(target=child.stdout.read, daemon=True)
    waiter.start()
    waiter.join(30)
    assert len(pids) == 2
    assert not waiter.is_alive()
    child.stdout.close()


def folders():
    return set(Path(tempfile.gettempdir()).glob("parallelize-dask-*"))


def test_ctrl_c_ends_program_and_cluster(tmp_path, latch):
    before = folders()
    code = program(
        "dask/ctrl_c_ends_program_and_cluster",
        SYS_PATH=repr(sys.path),
        FOLDER=repr(latch.folder),
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True
    )
    latch.wait_begun()
    begun = time.monotonic()
    child.send_signal(signal.SIGINT)
    errors = child.stderr.read()  # until the last of its processes has ended
    took = time.monotonic() - begun
    child.stderr.close()
    assert child.wait(30) != 0
    assert "KeyboardInterrupt" in errors
    assert took < 8  # of a call that would run for ever
    assert folders() <= before


def test_threads_of_dask_see_snapshots_too(tmp_path):
    import numpy as np

    with (
        distributed.LocalCluster(
            processes=False, n_workers=1, threads_per_worker=1, dashboard_address=None
        ) as inproc,
        DaskExecutor(inproc) as executor,
    ):
        array = np.ones(1 << 18)
        future = executor.submit(total, array)
        array[:] = 3
        assert future.result() == 1 << 18
        assert parallelize.processed(tasks.pid_of)().result() != os.getpid()
    parallelize.shutdown()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_is_told_to_make_its_own(executor):
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            executor.submit(tasks.double, 1)
        except RuntimeError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert "does not outlive os.fork()" in pipe.read()
    os.waitpid(pid, 0)
