"""`RayExecutor` on a real Ray of this machine."""

import os
import socket
import subprocess
import sys
import time

import pytest
from behaviours import EngineTests, die_at

import parallelize
import tasks
from parallelize import (
    ClusterLost,
    RayExecutor,
    TaskKilled,
    WorkerDied,
    parallelized,
    using,
)
from support.programs import program

ray = pytest.importorskip("ray")


def start():
    path = os.pathsep.join(each for each in sys.path if each)
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )


@pytest.fixture(scope="module")
def ray_is_there():
    start()
    yield
    ray.shutdown()


@pytest.fixture
def initialised(ray_is_there):
    """For tests of which some end Ray."""
    if not ray.is_initialized():
        start()


@pytest.fixture(scope="module")
def lasting(ray_is_there):
    with RayExecutor() as made:
        yield made


@pytest.fixture
def executor(lasting, initialised):
    return lasting


@pytest.fixture
def make(initialised):
    """Executors of so many workers; of the two CPUs a narrow one takes both."""
    made = []

    def make_one(workers=None):
        made.append(RayExecutor(num_cpus=2 if workers == 1 else 1))
        return made[-1]

    yield make_one
    for each in made:
        each.shutdown(cancel_futures=True)


class TestRay(EngineTests):
    """What all engines do."""


def test_the_number_of_workers_of_ray(executor, make):
    assert executor._max_workers == 2
    assert make(1)._max_workers == 1
    assert executor.kind == "ray"


def test_kill(make, latch):
    executor = make(1)
    held = executor.submit(tasks.hold, latch.folder)
    behind = executor.submit(tasks.double, held)
    latch.wait_begun()
    assert held.kill()
    with pytest.raises(TaskKilled, match="hold was killed"):
        held.result(60)
    with pytest.raises(TaskKilled):
        behind.result(60)
    assert not held.kill()
    assert executor.submit(tasks.double, 1).result() == 2


def write_at_the_end(path, seconds):
    import signal

    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # a call that is stubborn
    tasks.append_line(path, str(os.getpid()))
    time.sleep(seconds)


def test_a_timeout_stops_the_work(executor, tmp_path):
    late = parallelized(executor, timeout=1.0, retries=1)(write_at_the_end)
    with pytest.raises(parallelize.TaskTimeout):
        late(tmp_path / "pids", 60).result(60)
    first, second = map(int, (tmp_path / "pids").read_text().split())
    assert first != second  # the timeout was retried
    wait_gone(first)
    wait_gone(second)


def wait_gone(pid):
    for _ in range(400):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.05)
    raise AssertionError("the worker lives")


def test_cancel_on_ray(make, latch):
    executor = make(1)
    held = executor.submit(tasks.hold, latch.folder, 5)
    waiting = [executor.submit(tasks.double, n) for n in range(3)]
    latch.wait_begun()
    assert waiting[-1].cancel()
    assert waiting[-1].cancelled()
    behind = executor.submit(tasks.double, waiting[-1])
    latch.release()
    assert held.result(60) == 5
    assert [f.result(60) for f in waiting[:-1]] == [0, 2]
    with pytest.raises(parallelize.CancelledError):
        behind.result(60)


def test_rows_are_not_run_again_unasked_on_ray(executor, tmp_path):
    dying = parallelized(executor)(die_at)
    results = list(dying.map(range(4), [2] * 4, chunksize=4, return_exceptions=True))
    assert [type(each) for each in results] == [WorkerDied] * 4


def test_with_retries_one_row_that_kills_harms_no_other(executor):
    dying = parallelized(executor, retries=1)(die_at)
    results = list(dying.map(range(4), [2] * 4, chunksize=4, return_exceptions=True))
    assert isinstance(results[2], WorkerDied)
    assert results[:2] + results[3:] == [0, 1, 3]


def test_a_death_is_retried_where_that_was_asked_for(executor, tmp_path):
    def once(path):
        tasks.append_line(path, "begun")
        if path.read_text().count("\n") == 1:
            os._exit(1)
        return "done"

    assert parallelized(executor, retries=1)(once)(tmp_path / "a").result() == "done"
    assert isinstance(executor.submit(once, tmp_path / "b").exception(), WorkerDied)


def test_ray_is_left_as_it_is(initialised):
    with RayExecutor() as executor:
        assert executor.submit(tasks.double, 1).result() == 2
    assert ray.is_initialized()
    with pytest.raises(RuntimeError, match="leave the address out"):
        RayExecutor("auto")


def test_use_the_ray_that_is_there(initialised):
    with using("ray"):
        fn = parallelize.processed(tasks.pid_of)
        assert fn().result() != os.getpid()
        assert list(parallelize.parallel_map(tasks.double, [1, 2])) == [2, 4]
    parallelize.shutdown()
    assert ray.is_initialized()


def test_wrong_arguments_of_ray(initialised):
    with pytest.raises(TypeError, match="num_cpus must be a number"):
        RayExecutor(num_cpus="2")
    with pytest.raises(ValueError, match="num_cpus must be at least 0"):
        RayExecutor(num_cpus=-1)


# The tests below end Ray.


def test_connecting_to_a_cluster_by_its_address(initialised, run_script):
    address = ray.get_runtime_context().gcs_address
    done = run_script(
        "import ray\n"
        "from parallelize import RayExecutor\n"
        f"with RayExecutor({address!r}) as executor:\n"
        "    print(executor.submit(abs, -2).result(), sum(executor.map(abs, range(9))))\n"
        "print(ray.is_initialized())\n"
    )
    assert done.stdout == "2 36\nFalse\n", done.stderr
    assert ray.is_initialized()
    assert ray.get(ray.remote(tasks.double).remote(1)) == 2


PROGRAM = program("ray/ends_by_itself")


@pytest.fixture
def ray_address(initialised):
    """Where Ray takes clients: ray://..."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    line = [sys.executable, "-m", "ray.util.client.server", "--host", "127.0.0.1"]
    line += ["--port", str(port), "--mode", "legacy"]
    line += ["--address", ray.get_runtime_context().gcs_address]
    server = subprocess.Popen(line, stderr=subprocess.DEVNULL)
    yield f"ray://127.0.0.1:{port}"
    server.kill()
    server.wait()


def test_an_unchanged_program_on_a_cluster(ray_address, run_script):
    done = run_script(PROGRAM, env={"PARALLELIZE_EXECUTOR": ray_address})
    assert done.stdout.splitlines() == [
        "8 9900",
        "262144 (262144,)",
        "TaskTimeout WorkerDied",
        "True TaskKilled",
    ], done.stderr


def test_ray_is_shut_down_under_its_calls(initialised, latch):
    executor = RayExecutor()
    held = executor.submit(tasks.hold, latch.folder)
    latch.wait_begun()
    ray.shutdown()
    with pytest.raises(ClusterLost):
        executor.submit(tasks.double, 1).result(60)
    with pytest.raises(WorkerDied):
        held.result(60)
    executor.shutdown()
    assert not ray.is_initialized()


def test_ray_is_never_started_behind_the_users_back():
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(RuntimeError, match=r"call ray\.init\(\) before"):
        RayExecutor()
    with using("ray"):
        with pytest.raises(RuntimeError, match=r"ray\.init"):
            parallelize.processed(tasks.double)(1)
    assert not ray.is_initialized()
    parallelize.shutdown()
