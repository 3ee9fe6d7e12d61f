"""`dump`: where every worker is, for how long it has been there, and never a hang."""

import contextlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

import parallelize
import tasks
from factories import emptied
from parallelize import ProcessPoolExecutor, TaskTimeout, ThreadPoolExecutor, processed
from parallelize.inside import stacks
from parallelize.insight import dump as dump_module
from parallelize.process.wire.messages import SHOW_SIGNAL
from support.programs import program


def dumped(**options):
    file = io.StringIO()
    parallelize.dump(file, **options)
    return file.getvalue()


def hold_and_stop(folder):
    """A call whose name is in its stack."""
    return tasks.hold(folder)


def test_it_shows_what_each_worker_runs_for_how_long_and_where(
    concurrent_kind, concurrent, latch
):
    if concurrent_kind == "interpreter":
        pytest.skip("an interpreter does not show what it runs")
    future = concurrent.submit(hold_and_stop, latch.folder)
    latch.wait_begun()
    text = dumped()
    latch.release()
    future.result(30)
    assert re.search(r"runs test_dump.hold_and_stop for (at most )?\d+\.\d s", text)
    assert "in hold_and_stop\n" in text
    assert "in hold\n" in text
    assert "thread MainThread of the program, which asks" in text
    assert "_serve_frames" not in text  # what has led to the call is left out
    assert "server.py" not in text


def test_what_is_idle_and_what_waits(concurrent_kind, make_concurrent, make_latch):
    if concurrent_kind == "interpreter":
        pytest.skip("an interpreter does not show what it runs")
    executor, latch = make_concurrent(max_workers=1), make_latch()
    first = executor.submit(hold_and_stop, latch.folder)
    latch.wait_begun()
    others = [executor.submit(tasks.double, n) for n in range(3)]
    text = dumped()
    latch.release()
    assert [first.result(30), *(each.result(30) for each in others)] == [None, 0, 2, 4]
    assert "3 tasks wait for a worker" in text or "3 more behind it" in text
    if executor.kind == "threads":
        executor.submit(tasks.double, 1).result(30)
    assert "is idle" in dumped()


def test_the_row_of_a_map_that_runs(make_latch):
    latch = make_latch()
    with ProcessPoolExecutor(1) as executor:
        results = executor.map(hold_at_two, range(4), [latch.folder] * 4, chunksize=4)
        latch.wait_begun()
        text = dumped()
        latch.release()
        assert list(results) == [0, 1, 2, 3]
    # The last one may have been given back meanwhile.
    assert re.search(r"runs test_dump\.hold_at_two \(call 3 of [34]\) for", text)


def descend(levels, folder):
    if levels:  # in two places, as lines that repeat are counted, not shown
        return descend(levels - 1, folder) if levels % 2 else rise(levels - 1, folder)
    return tasks.hold(folder)


def rise(levels, folder):
    return descend(levels, folder)


def test_a_deep_stack(latch):
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(descend, 400, latch.folder)
        latch.wait_begun()
        text = dumped()
        latch.release()
        future.result(30)
    assert stacks.LONGEST_STACK < len(text) < 3 * stacks.LONGEST_STACK
    assert "in hold\n" in text


def hold_at_two(number, folder):
    if number == 2:
        tasks.hold(folder)
    return number


def test_a_call_with_options_and_rows_in_threads_go_by_the_users_names(make_latch):
    latches = make_latch(), make_latch()
    with ThreadPoolExecutor(2) as executor:
        call = parallelize.threaded(timeout=50, name="slow", executor=executor)(
            tasks.hold
        )
        one = call(latches[0].folder)
        rows = executor.map(hold_at_two, [1, 2], [latches[1].folder] * 2, chunksize=2)
        for latch in latches:
            latch.wait_begun()
        text = dumped()
        for latch in latches:
            latch.release()
        one.result(30)
        list(rows)
    assert "runs slow for" in text
    assert "runs test_dump.hold_at_two for" in text


def start_thread_and_hold(folder):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait, name="a thread of the task")
    thread.start()
    tasks.hold(folder)
    stop.set()
    thread.join()


def test_the_threads_that_a_task_has_started(latch):
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(start_thread_and_hold, latch.folder)
        latch.wait_begun()
        text = dumped()
        latch.release()
        future.result(30)
    assert "in its thread a thread of the task:" in text


# It never hangs.

HOLD_THE_INTERPRETER = program("dump/hold_the_interpreter")


@contextlib.contextmanager
def running(code, folder):
    script = folder / "script.py"
    script.write_text(HOLD_THE_INTERPRETER + textwrap.dedent(code))
    root = os.path.dirname(os.path.dirname(parallelize.__file__))
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([root, *sys.path[1:]])},
    ) as process:
        yield process


@pytest.mark.skipif(SHOW_SIGNAL is None, reason="there is no such signal here")
def test_a_worker_whose_c_code_holds_the_interpreter(tmp_path):
    os.mkfifo(tmp_path / "begun")
    code = program("dump/a_worker_whose_c_code_holds_the_interpreter")
    with running(code, tmp_path) as process:
        while not re.search(
            r"script.py\", line \d+ in stuck", process.stderr.readline()
        ):
            pass
        out, _ = process.communicate("go on\n", timeout=50)
    assert "runs __main__.stuck for" in out
    assert "asked to write to its standard error" in out


@pytest.mark.skipif(SHOW_SIGNAL is None, reason="there is no such signal here")
def test_a_timeout_shows_that_on_standard_error(tmp_path):
    os.mkfifo(tmp_path / "begun")
    code = """
        with ProcessPoolExecutor(1) as executor:
            future = processed(timeout=0.3, executor=executor)(stuck)(sys.argv[1])
            open(sys.argv[1] + "/begun").read()
            print(type(future.exception()).__name__)
        """
    with running(code, tmp_path) as process:
        out, err = process.communicate(timeout=50)
    assert out == "TaskTimeout\n"
    assert re.search(r"script.py\", line \d+ in stuck", err)
    assert "is killed, as __main__.stuck runs for longer" in err


def test_a_lock_that_somebody_holds(latch):
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        holds, may_go = threading.Event(), threading.Event()

        def hold_lock():
            with executor._pool.scheduler.lock:
                holds.set()
                may_go.wait(30)

        thread = threading.Thread(target=hold_lock)
        thread.start()
        holds.wait(30)
        begun = time.monotonic()
        text = dumped(timeout=0.1)
        took = time.monotonic() - begun
        may_go.set()
        thread.join()
        latch.release()
        future.result(30)
    assert "whose lock is held" in text
    assert took < 0.1 + dump_module._MARGIN + 2


def test_called_by_the_thread_that_would_have_to_answer(latch):
    texts = []
    with ProcessPoolExecutor(2) as executor:
        held = executor.submit(tasks.hold, latch.folder)
        latch.wait_begun()
        other = executor.submit(tasks.double, 1)
        other.add_done_callback(lambda _: texts.append(dumped(timeout=0.1)))
        other.result(30)
        latch.release()
        held.result(30)
    assert "runs tasks.hold for" in texts[0]


def test_without_executors():
    code = "import io, parallelize; f = io.StringIO(); parallelize.dump(f); print(f.getvalue())"
    root = os.path.dirname(os.path.dirname(parallelize.__file__))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert "thread MainThread" in done.stdout


@pytest.mark.parametrize("timeout", ["1", True, [1]])
def test_a_timeout_that_is_no_number(timeout):
    with pytest.raises(TypeError, match="timeout must be a number of seconds"):
        parallelize.dump(timeout=timeout)


def test_standard_error_is_where_it_goes(capsys):
    parallelize.dump()
    assert "parallelize: what process" in capsys.readouterr().err


# By a signal.


class Page(io.StringIO):
    """Tells when something was written."""

    def __init__(self):
        super().__init__()
        self.written = threading.Event()

    def flush(self):
        self.written.set()


@pytest.fixture
def signals():
    before = {n: signal.getsignal(n) for n in (signal.SIGUSR1, signal.SIGUSR2)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [None, signal.SIGUSR2])
def test_a_signal_has_it_written_while_the_main_thread_waits(signals, number, latch):
    page = Page()
    parallelize.dump_on_signal(number, page)
    with ProcessPoolExecutor(1) as executor:
        future = executor.submit(hold_and_stop, latch.folder)
        latch.wait_begun()
        os.kill(os.getpid(), number or signal.SIGUSR1)
        assert page.written.wait(30)
        latch.release()
        future.result(30)
    assert "runs test_dump.hold_and_stop for" in page.getvalue()


def test_nothing_is_installed_without_being_asked_for(executor):
    executor.submit(tasks.double, 1).result(30)
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_the_signal_is_of_the_main_thread():
    errors = []

    def install():
        try:
            parallelize.dump_on_signal()
        except ValueError as error:
            errors.append(error)

    thread = threading.Thread(target=install)
    thread.start()
    thread.join()
    assert "main thread" in str(errors[0])


def test_a_system_without_the_signal(monkeypatch):
    monkeypatch.delattr(signal, "SIGUSR1")
    with pytest.raises(ValueError, match="number must be given: .* no SIGUSR1"):
        parallelize.dump_on_signal()


# When a timeout kills.


def come_here():
    """Have the worker import this module, which takes its time."""


def hang_here(_=None):
    threading.Event().wait()


def test_a_timeout_prints_where_the_call_was(caplog):
    log = emptied(caplog)
    with ProcessPoolExecutor(1) as executor:
        executor.submit(come_here).result(30)
        call = processed(timeout=0.2, executor=executor)(hang_here)
        error = call().exception(30)
        assert isinstance(error, TaskTimeout)
        assert executor.submit(tasks.double, 1).result(30) == 2
    [record] = [each for each in log.records if each.name == "parallelize"]
    assert record.levelno == logging.WARNING
    assert "test_dump.hang_here runs for longer than its timeout" in record.getMessage()
    assert "in hang_here\n" in record.getMessage()
    assert "in hang_here\n" in str(error.__cause__)


def test_a_timeout_of_a_row_does_so_too(caplog):
    with ProcessPoolExecutor(1) as executor:
        executor.submit(come_here).result(30)
        call = processed(timeout=0.2, executor=executor)(hang_here)
        [error] = list(call.map([1], return_exceptions=True))
        assert isinstance(error, TaskTimeout)
    assert "in hang_here\n" in caplog.text


# The stacks.


def test_frames_of_ours_inside_the_users_code_are_shown():
    def use_library():
        with contextlib.suppress(TimeoutError):
            return stacks.text_of(sys._getframe())

    assert "in use_library" in use_library()


def test_a_long_stack_is_cut(monkeypatch):
    monkeypatch.setattr(stacks, "LONGEST", 100)
    event = threading.Event()
    thread = threading.Thread(target=event.wait)
    thread.start()
    assert len(stacks.of_worker()) <= 100
    event.set()
    thread.join()


# For how long.


@pytest.mark.parametrize("kind", ["process", "thread"])
def test_the_seconds_are_counted_from_when_it_began(kind, latch, monkeypatch):
    make = {"process": ProcessPoolExecutor, "thread": ThreadPoolExecutor}[kind]
    with make(1) as executor:
        executor.submit(come_here).result(30)
        future = executor.submit(hold_and_stop, latch.folder)
        latch.wait_begun()
        now = time.monotonic()
        monkeypatch.setattr(dump_module, "monotonic", lambda: now + 100)
        text = dumped()
        monkeypatch.undo()
        latch.release()
        future.result(30)
    [seconds] = re.findall(r"hold_and_stop for (?:at most )?(\d+\.\d) s", text)
    assert 100 <= float(seconds) < 110
