"""`RayExecutor` on a real Ray of this machine."""

import concurrent.futures
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from behaviours import EngineTests, die_at

import parallelize
import tasks
from factories import collect
from parallelize import (
    RayExecutor,
    TaskKilled,
    WorkerDied,
    gather,
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


# The actor that reports when calls with a timeout start.


def reporting_actors():
    """The states of the actors that are there, or will be."""
    from ray._private import state

    states = [
        each["State"]
        for each in state.actors().values()
        if "Starts" in each["ActorClassName"]
    ]
    return [state for state in states if state != "DEAD"]


def wait_until(is_true):
    for _ in range(600):
        if is_true():
            return
        time.sleep(0.05)
    raise AssertionError("it never came")


def kill_the_actor(executor):
    ray.kill(executor._watch._actor.handle())


def kill_its_process(executor):
    actor = executor._watch._actor.handle()
    pid = ray.get(actor.__ray_call__.remote(lambda self: os.getpid()))
    os.kill(pid, 9)


@pytest.mark.parametrize("kill", [kill_the_actor, kill_its_process])
def test_timeouts_hold_when_the_actor_of_the_reports_dies(make, latch, kill):
    executor = make()
    assert parallelized(executor, timeout=100)(tasks.double)(1).result(60) == 2
    late = parallelized(executor, timeout=2.0)(time.sleep)
    held = [executor.submit(tasks.hold, latch.folder), executor.submit(time.sleep, 1)]
    queued = [late(60), late(60)]
    latch.wait_begun()
    kill(executor)
    latch.release()
    for future in queued:
        assert isinstance(future.exception(60), parallelize.TaskTimeout)
    again = late(60)  # a new one
    assert isinstance(again.exception(60), parallelize.TaskTimeout)
    gather(*held).result(60)


def test_a_report_that_died_with_its_actor_is_made_again(make, monkeypatch):
    """The program has not had it: it does not listen until the actor is dead."""
    executor = make()
    watch = executor._watch
    monkeypatch.setattr(watch, "_listen", lambda actor: None)
    future = parallelized(executor, timeout=1.0)(time.sleep)(60)
    actor = watch._actor.handle()

    def reports(self):
        return sum(len(each.waiting) for each in self._mailboxes.values())

    wait_until(lambda: ray.get(actor.__ray_call__.remote(reports)) == 1)
    ray.kill(actor)
    watch._actor.lose(actor)
    monkeypatch.undo()
    watch._listen(watch._actor)
    assert isinstance(future.exception(60), parallelize.TaskTimeout)


def test_retries_with_a_timeout_have_new_clocks(make, latch, tmp_path):
    """The second attempt waits for a worker, for longer than the timeout."""
    executor = make(1)
    flaky = parallelized(executor, timeout=3.0, retries=1)(fail_when_another_waits)
    future = flaky(tmp_path / "attempts", tmp_path / "waiting")
    wait_until((tmp_path / "attempts").exists)
    held = executor.submit(time.sleep, 4)
    (tmp_path / "waiting").touch()
    assert future.result(60) == "done"
    held.result(60)


def fail_when_another_waits(attempts, waiting):
    tasks.append_line(attempts, "begun")
    if len(attempts.read_text().split()) == 1:
        wait_until(waiting.exists)
        time.sleep(0.5)
        raise tasks.Refusal(1)
    return "done"


def test_a_death_with_a_timeout_is_retried(executor, tmp_path):
    once = parallelized(executor, timeout=60, retries=1)(die_at_first)
    assert once(tmp_path / "a").result(60) == "done"


def die_at_first(path):
    tasks.append_line(path, "begun")
    if path.read_text().count("\n") == 1:
        os._exit(1)
    return "done"


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


def test_the_error_of_a_row_says_which_one_on_ray(executor):
    with pytest.raises(tasks.Refusal) as caught:
        list(executor.map(tasks.refuse_odd, [0, 2, 5], chunksize=3))
    (note,) = caught.value.__notes__
    assert note.startswith("row 2 of the map, called with (5")


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
    once = parallelized(executor, retries=1)(die_at_first)
    assert once(tmp_path / "a").result() == "done"
    future = executor.submit(die_at_first, tmp_path / "b")
    assert isinstance(future.exception(), WorkerDied)


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


def test_many_calls_at_once_through_a_client(ray_address, run_script):
    text = program("ray/many_at_once")
    done = run_script(text, env={"PARALLELIZE_EXECUTOR": ray_address})
    total = 4 * (2 << 20) + sum(n for n in range(120) if n % 10 != 3 and n % 30 != 7)
    assert done.stdout.splitlines() == [f"12 {total}", f"{2 << 20} 8", *["True"] * 2], (
        done.stderr
    )


def test_ray_is_shut_down_under_its_calls(run_script):
    """In a program of its own: at times Ray ends the process that does this."""
    done = run_script(program("ray/shut_down_under_calls"))
    assert done.stdout.splitlines() == ["True", "True", "False"], done.stderr


@pytest.fixture(scope="module")
def fresh(ray_is_there):
    """A Ray that the executors of the tests before do not use."""
    ray.shutdown()
    start()


def test_first_calls_of_several_threads_make_one_actor(fresh, make):
    executors = [make(), make()]
    start = threading.Barrier(6)

    def first(executor):
        start.wait()
        return parallelized(executor, timeout=100)(tasks.double)(1).result(60)

    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        assert list(threads.map(first, executors * 3)) == [2] * 6
    assert len(reporting_actors()) == 1
    executors[0].shutdown()
    assert len(reporting_actors()) == 1
    timed = parallelized(executors[1], timeout=1.0)(time.sleep)
    assert isinstance(timed(60).exception(60), parallelize.TaskTimeout)
    executors[1].shutdown()
    wait_until(lambda: not reporting_actors())


def test_the_actor_leaves_with_an_executor_that_is_collected(fresh, initialised):
    executor = RayExecutor()
    assert parallelized(executor, timeout=100)(tasks.double)(1).result(60) == 2
    assert len(reporting_actors()) == 1
    del executor
    collect()
    wait_until(lambda: not reporting_actors())


def test_ray_is_never_started_behind_the_users_back():
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(RuntimeError, match=r"call ray\.init\(\) first"):
        RayExecutor()
    with using("ray"):
        with pytest.raises(RuntimeError, match=r"ray\.init"):
            parallelize.processed(tasks.double)(1)
    assert not ray.is_initialized()
    parallelize.shutdown()
