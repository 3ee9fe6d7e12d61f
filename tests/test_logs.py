"""Log records and warnings of process workers."""

import contextlib
import logging
import os
import re
import subprocess
import sys
import textwrap
import warnings

import pytest

import logged
import tasks
from factories import Factory, emptied
from parallelize import ProcessPoolExecutor, WorkerDied
from parallelize.process.wire import messages
from parallelize.process.worker import log_records, reports
from parallelize.process.worker.reports import ImportHook
from support.programs import program

PROCESSES = ["process-spawn", "process-fork", "process-default"]


@pytest.fixture(params=PROCESSES)
def make_pool(request):
    """A factory of process pools; they start when it is called, not before."""
    factory = Factory(request.param)
    yield factory
    factory.close()


def run(folder, source, *options):
    script = folder / "script.py"
    script.write_text(textwrap.dedent(source))
    return subprocess.run(
        [sys.executable, *options, str(script)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


@contextlib.contextmanager
def caught(action):
    """Keep the warnings of the block, but for what Python says of forks."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter(action)
        warnings.filterwarnings("ignore", message=".*multi-threaded")
        yield seen


class Kept(logging.Handler):
    """Keeps the records that it is given."""

    def __init__(self):
        super().__init__()
        self.records = []

    def emit(self, record):
        self.records.append(record)

    @property
    def texts(self):
        return [record.getMessage() for record in self.records]


@pytest.fixture
def kept():
    """What the handlers of the logger "parallel" are given."""
    logger = logging.getLogger("parallel")
    handler = Kept()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True
    logging.disable(logging.NOTSET)


# ------------------------------------------------------------------------- records


def test_a_record_is_there_before_the_result(make_pool, kept):
    pool = make_pool(max_workers=1)
    pid = pool.submit(logged.log, "parallel.a", logging.INFO, "%s: %d", "x", 3).result()
    (record,) = kept.records
    assert record.name == "parallel.a"
    assert record.getMessage() == "x: 3"
    assert (record.msg, record.args) == ("%s: %d", ("x", 3))
    assert record.process == pid != os.getpid()
    assert re.fullmatch(r"(Spawn|ForkServer|Fork)Process-1", record.processName)
    assert record.funcName == "log"
    assert record.threadName == "MainThread"


def test_the_records_of_a_worker_keep_their_order(make_pool, kept):
    pool = make_pool()
    pids = list(pool.map(logged.log_many, ["parallel"] * 40, [5] * 40, chunksize=1))
    by_pid = {
        pid: [r.args[0] for r in kept.records if r.process == pid] for pid in pids
    }
    assert sum(map(len, by_pid.values())) == 200
    for numbers in by_pid.values():
        assert numbers == list(range(5)) * (len(numbers) // 5)


def test_a_record_does_not_wait_for_the_end_of_its_call(make_pool, make_latch):
    import threading

    arrived = threading.Event()
    handler = Kept()
    handler.emit = lambda record: arrived.set()
    logger = logging.getLogger("parallel")
    logger.addHandler(handler)
    latch = make_latch()
    try:
        future = make_pool().submit(logged.log_and_hold, "parallel", latch.folder)
        latch.wait_begun()
        assert arrived.wait(20)
        latch.release()
        future.result()
    finally:
        logger.removeHandler(handler)


def test_nothing_is_lost_at_a_normal_end(make_pool, kept):
    with make_pool(max_workers=1) as pool:
        for _ in range(3):
            pool.submit(logged.log_many, "parallel", 1000)
        pool.submit(logged.log_at_exit, "parallel")
    assert kept.texts == [*map(str, range(1000))] * 3 + ["goodbye"]


def test_nothing_is_lost_when_workers_take_turns(make_pool, kept):
    with make_pool(max_workers=2, max_tasks_per_child=1) as pool:
        list(pool.map(logged.log_many, ["parallel"] * 4, [10] * 4))
    assert sorted(kept.texts) == sorted([*map(str, range(10))] * 4)


def test_nothing_is_lost_when_the_program_ends(tmp_path):
    source = program("logs/nothing_is_lost_when_the_program_ends")
    done = run(tmp_path, source)
    lines = done.stderr.splitlines()
    assert sorted(line.split(maxsplit=1)[1] for line in lines) == sorted(
        f"item {x}" for x in range(20)
    )
    assert all(re.match(r"\w+Process-\d+ ", line) for line in lines)


def test_what_a_worker_said_before_it_died_is_heard(make_pool, kept):
    pool = make_pool()
    with pytest.raises(WorkerDied):
        pool.submit(logged.log_and_die, "parallel").result()
    assert kept.texts == ["last words"]


def test_the_levels_of_the_caller_hold_in_a_worker(make_pool, kept):
    logging.getLogger("parallel.fine").setLevel(logging.DEBUG)
    try:
        pool = make_pool(max_workers=1)
        is_at = [
            pool.submit(logged.logging_is, name).result()[0]
            for name in ("parallel.fine", "parallel", "elsewhere")
        ]
        assert is_at == [logging.DEBUG, logging.INFO, logging.root.level]
        pool.submit(logged.log, "parallel", logging.DEBUG, "no").result()
        pool.submit(logged.log, "parallel.fine", logging.DEBUG, "yes").result()
        assert kept.texts == ["yes"]
    finally:
        logging.getLogger("parallel.fine").setLevel(logging.NOTSET)


def test_logging_that_is_disabled_is_so_in_a_worker(make_pool, kept):
    logging.disable(logging.ERROR)
    pool = make_pool(max_workers=1)
    assert pool.submit(logged.logging_is, "parallel").result()[1] == logging.ERROR
    pool.submit(logged.log, "parallel", logging.ERROR, "no").result()
    assert not kept.records


def test_a_level_that_is_raised_later_holds_at_once(make_pool, kept):
    pool = make_pool(max_workers=1)
    pool.submit(logged.log, "parallel", logging.INFO, "one").result()
    logging.getLogger("parallel").setLevel(logging.ERROR)
    pool.submit(logged.log, "parallel", logging.INFO, "two").result()
    assert kept.texts == ["one"]


def test_a_level_that_is_lowered_later_holds_in_workers_to_come(make_pool, kept):
    with make_pool(max_workers=1) as pool:
        pool.submit(logged.log, "parallel", logging.INFO, "one").result()
        logging.getLogger("parallel").setLevel(logging.DEBUG)
        pool.submit(logged.log, "parallel", logging.DEBUG, "two").result()
    pool = make_pool(max_workers=1)
    pool.submit(logged.log, "parallel", logging.DEBUG, "three").result()
    assert kept.texts == ["one", "three"]


def test_filters_and_handlers_of_the_caller_decide(make_pool, kept):
    kept.addFilter(lambda record: record.args[0] % 2 == 0)
    pool = make_pool(max_workers=1)
    pool.submit(logged.log_many, "parallel", 4).result()
    assert kept.texts == ["0", "2"]


def test_what_cannot_be_pickled_is_formatted_first(make_pool, kept):
    pid = make_pool().submit(logged.log_stubborn, "parallel").result()
    (record,) = kept.records
    assert record.getMessage() == f"see stubborn in {pid}"
    assert not record.args
    assert not hasattr(record, "odd")
    assert record.even == logged.Travels(2)


def test_what_cannot_be_built_here_is_there_as_text(make_pool, kept):
    make_pool().submit(logged.log_trap, "parallel").result()
    assert kept.texts == ["see a trap"]


def test_other_values_come_as_they_are(make_pool, kept):
    pool = make_pool()
    value = logged.Travels(1)
    pool.submit(logged.log, "parallel", logging.INFO, "%s", value).result()
    assert kept.records[0].args == (value,)
    pool.submit(
        logged.log, "parallel", logging.INFO, "%(a)d", {"a": 5}, stack_info=True
    ).result()
    assert kept.texts[1] == "5"
    assert "in log" in kept.records[1].stack_info


def test_a_huge_argument_stays_where_it_is(make_pool, kept):
    pool = make_pool()
    text = "x" * 10 + "y" * (log_records.MOST_BYTES + 1)
    pool.submit(logged.log, "parallel", logging.INFO, "%.10s", [text][0]).result()
    pool.submit(logged.log, "parallel", logging.INFO, "%.12s", [text]).result()
    assert kept.texts == ["x" * 10, "['" + "x" * 10]
    assert not kept.records[1].args


def test_an_error_comes_with_its_traceback(make_pool, kept):
    pool = make_pool()
    pool.submit(logged.log_error, "parallel", tasks.Refusal(7)).result()
    (record,) = kept.records
    kind, error, traceback = record.exc_info
    assert kind is tasks.Refusal
    assert error.code == 7
    assert traceback is None
    text = logging.Formatter().format(record)
    assert text.startswith("it failed\nTraceback")
    assert "in log_error" in text
    assert "Refusal: 7" in text


def test_the_error_that_was_logged_keeps_its_own_traceback():
    try:
        raise tasks.Refusal(1)
    except tasks.Refusal as error:
        before = error.__traceback__
        record = logging.LogRecord("n", 40, "f", 1, "m", None, sys.exc_info())
        log_records.encoded(record)
        assert error.__traceback__ is before


def test_a_level_has_the_name_that_it_has_here(make_pool, kept):
    logging.addLevelName(33, "LOUD")
    make_pool().submit(logged.log, "parallel", 33, "!").result()
    assert kept.records[0].levelname == "LOUD"


def test_a_thread_of_a_worker_logs(make_pool, kept):
    make_pool().submit(logged.log_in_thread, "parallel").result()
    assert kept.texts == ["aside"]
    assert kept.records[0].threadName.startswith("Thread-")


def test_an_initializer_logs(make_pool, kept):
    pool = make_pool(
        max_workers=1,
        initializer=logged.log,
        initargs=("parallel", logging.INFO, "begun"),
    )
    pool.submit(tasks.double, 1).result()
    assert kept.texts == ["begun"]


@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_a_process_that_a_task_forks_logs_by_itself(make_pool, kept, capfd):
    assert make_pool().submit(logged.log_in_fork, "parallel").result() == 7
    assert not kept.records
    assert "from a child's child" in capfd.readouterr().err


def test_a_handler_that_fails_hurts_no_call(make_pool, kept, capfd):
    def fail(record):
        raise LookupError("a handler's own")

    kept.emit = fail
    pool = make_pool()
    assert pool.submit(logged.log, "parallel", logging.INFO, "x").result()
    assert pool.submit(tasks.double, 2).result() == 4
    assert "a handler's own" in capfd.readouterr().err


def test_a_call_that_logs_on_and_on_gives_back_what_waits_behind_it(kept, latch):
    # Its records are no news of what else the worker was given.
    rows = [latch.folder, *[None] * 19]
    with ProcessPoolExecutor(2) as pool:
        results = pool.map(logged.log_until, rows, chunksize=20, ordered=False)
        latch.wait_begun()
        assert [next(results) for _ in range(19)] == [None] * 19
        latch.release()
        assert list(results) == [latch.folder]
    assert len(kept.records) > 5


# -------------------------------------------------------------- it costs nothing


def test_a_worker_that_logs_nothing_does_not_load_logging(tmp_path):
    (tmp_path / "quiet.py").write_text(
        "import sys\ndef loaded():\n    return list(sys.modules)\n"
    )
    source = """
        from quiet import loaded
        from parallelize import processed

        print(*processed(loaded)().result())
        """
    names = run(tmp_path, source).stdout.split()
    assert "parallelize.process.worker.reports" in names
    assert not {"logging", "parallelize.process.worker.log_records"} & set(names)


def test_nothing_is_sent_when_nothing_is_logged(make_pool, monkeypatch):
    from parallelize.process.parent import logs

    delivered = []
    monkeypatch.setattr(logs, "deliver", lambda *args: delivered.append(args))
    pool = make_pool()
    assert sum(pool.map(tasks.double, range(100))) == 9900
    assert not delivered


def test_workers_write_to_the_streams_as_before(make_pool, capfd):
    make_pool().submit(print, "plain", flush=True).result()
    assert capfd.readouterr().out == "plain\n"


def test_a_report_that_comes_within_another_is_not_lost():
    from parallelize.process.worker.sender import Sender

    class Socket:
        sent = b""

        def sendall(self, data):
            self.sent += bytes(data)

    class Page:
        words = [0] * 64
        outbox = b""

        def choose_mark(self): ...

        def append(self, data):
            self.outbox += data
            return True

        def unsent(self):
            return self.outbox

        def sent(self):
            self.outbox = b""

        def ended(self):
            return 0

    sock = Socket()
    sender = Sender(sock, Page(), None)
    with sender._lock:  # as a finaliser finds it that runs while a result is sent
        assert sender.report(reports.RECORD, [b"first"])
        assert not sock.sent
    assert sender.report(reports.RECORD, [b"second"])
    assert sock.sent.index(b"first") < sock.sent.index(b"second")


def test_reports_stand_apart_from_other_frames():
    assert messages.REPORT > messages.BIG
    assert not messages.REPORT & messages.BIG


# ------------------------------------------------------------------------ warnings


def test_a_warning_is_shown_here(make_pool):
    with caught("always") as seen:
        make_pool().submit(logged.warn).result()
    (warning,) = seen
    assert str(warning.message) == "careful"
    assert warning.category is UserWarning
    assert warning.filename == logged.__file__
    assert warning.lineno == logged.warn.__code__.co_firstlineno + 1


def test_a_warning_that_the_caller_ignores_is_ignored(make_pool, capfd):
    with caught("ignore"):
        make_pool().submit(logged.warn).result()
    assert not capfd.readouterr().err


def test_a_filter_that_comes_later_decides_what_is_shown(make_pool, capfd):
    with caught("always") as seen:
        pool = make_pool(max_workers=1)
        pool.submit(logged.warn).result()
        warnings.filterwarnings("ignore", message="care")
        pool.submit(logged.warn).result()
        # The call has gone on: the error cannot be raised there any more.
        warnings.filterwarnings("error", message="care")
        pool.submit(logged.warn).result()
    assert [str(each.message) for each in seen] == ["careful"] * 2
    assert not capfd.readouterr().err


def test_a_warning_that_is_an_error_is_raised_in_the_call(make_pool):
    with caught("always"):
        warnings.filterwarnings("error", message="care.*", module="logged")
        pool = make_pool(max_workers=1)
        with pytest.raises(UserWarning, match="careful"):
            pool.submit(logged.warn).result()


def test_the_same_warning_of_two_workers_is_shown_once(make_pool):
    vars(logged).pop("__warningregistry__", None)
    with caught("default") as seen:
        for _ in range(2):
            with make_pool(max_workers=1) as pool:
                pool.submit(logged.warn).result()
    assert len(seen) == 1


def test_a_filter_by_module_knows_the_module(make_pool):
    with caught("ignore") as seen:
        warnings.filterwarnings("always", category=DeprecationWarning, module="logged$")
        make_pool().submit(logged.warn, "old", DeprecationWarning).result()
    assert [str(each.message) for each in seen] == ["old"]


def test_a_filter_may_be_about_a_class_that_workers_do_not_have_yet(make_pool):
    with caught("always"):
        warnings.filterwarnings("error", category=logged.Late)
        pool = make_pool(max_workers=1)
        with pytest.raises(logged.Late):
            pool.submit(logged.warn_late).result()


def test_a_class_of_warnings_that_cannot_travel_is_told_by_its_base(make_pool):
    with caught("always") as seen:
        make_pool().submit(logged.warn_own).result()
    assert [(str(w.message), w.category) for w in seen] == [("mine", UserWarning)]


def test_a_worker_may_record_its_own_warnings(make_pool):
    with caught("always") as seen:
        assert make_pool().submit(logged.warn_recorded).result() == ["seen here"]
    assert not seen


def test_captured_warnings_are_logged_here(make_pool, caplog):
    log = emptied(caplog)
    with caught("always"):
        logging.captureWarnings(True)  # in place of what keeps them
        try:
            make_pool().submit(logged.warn).result()
        finally:
            logging.captureWarnings(False)
    (record,) = log.records
    assert record.name == "py.warnings"
    assert "careful" in record.getMessage()


@pytest.mark.parametrize("filters", [[], ["-Walways"], ["-Wignore"]])
def test_a_program_without_filters_of_its_own(tmp_path, filters):
    source = program("logs/a_program_without_filters_of_its_own")
    done = run(tmp_path, source, *filters)
    times = {"-Walways": 2, "-Wignore": 0}.get("".join(filters), 1)
    assert done.stderr.count("script.py:7: DeprecationWarning: old") == times
    assert done.stderr.count("script.py:8: FutureWarning: new") == times


# --------------------------------------------------------------- when it is loaded


def test_who_watches_is_told_once_and_leaves_no_trace(tmp_path, monkeypatch):
    (tmp_path / "watched.py").write_text("VALUE = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    told = []
    watch = ImportHook()
    watch.when_loaded("watched", lambda: told.append(sys.modules["watched"].VALUE))
    try:
        import watched

        assert told == [3]
        assert type(watched.__loader__).__name__ == "SourceFileLoader"
        assert watched.__spec__.loader is watched.__loader__
        del sys.modules["watched"]
        import watched  # noqa: F811

        assert told == [3]
    finally:
        sys.meta_path.remove(watch)
        sys.modules.pop("watched", None)


def test_who_watches_is_told_of_what_is_there_already():
    told = []
    ImportHook().when_loaded("os", lambda: told.append(1))
    assert told == [1]


def test_a_module_that_is_not_found_may_be_later():
    watch = ImportHook()
    watch.when_loaded("nowhere_at_all", lambda: None)
    try:
        for _ in range(2):
            with pytest.raises(ModuleNotFoundError):
                import nowhere_at_all  # noqa: F401
    finally:
        sys.meta_path.remove(watch)
