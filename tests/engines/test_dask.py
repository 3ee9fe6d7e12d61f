"""`DaskExecutor` on real clusters of worker processes on this machine."""

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
from behaviours import EngineTests, die_at, total
from processes import descendants

import parallelize
import tasks
from parallelize import ClusterLost, DaskExecutor, WorkerDied, parallelized, using
from support.programs import program

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def cluster():
    # Each death costs seconds, and on a busy machine keepers of workers give up at last.
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
    assert waiting[-1].cancel()
    assert waiting[-1].cancelled()
    assert not held.kill()  # Dask cannot
    behind = executor.submit(tasks.double, waiting[-1])
    latch.release()
    assert held.result(60) == 5
    assert [f.result(60) for f in waiting[:-1]] == [0, 2, 4, 6]
    with pytest.raises(parallelize.CancelledError):
        behind.result(60)


def test_shutdown_cancels_what_has_not_begun_on_dask(make, latch):
    executor = make(1)
    held = executor.submit(tasks.hold, latch.folder, 5)
    waiting = [executor.submit(tasks.double, n) for n in range(5)]
    latch.wait_begun()
    executor.shutdown(wait=False, cancel_futures=True)
    assert all(future.cancelled() for future in waiting)
    latch.release()
    assert held.result(60) == 5


def test_one_row_that_kills_harms_no_other_on_dask(executor):
    results = list(
        executor.map(die_at, range(8), [5] * 8, chunksize=8, return_exceptions=True)
    )
    assert isinstance(results[5], WorkerDied)
    assert results[:5] + results[6:] == [0, 1, 2, 3, 4, 6, 7]


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


def test_wrong_arguments_of_dask(cluster):
    with pytest.raises(TypeError, match="client_or_address must be a client"):
        DaskExecutor(3)
    for address in ("", "tcp://", "host:", "dask://"):
        with pytest.raises(ValueError, match="client_or_address must be as"):
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
