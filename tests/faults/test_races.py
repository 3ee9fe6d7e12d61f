"""Who waits is interrupted, descriptors run out, others fork meanwhile.

Whatever comes between, no call may be lost, and nobody may get other data than
what was sent.
"""

from __future__ import annotations

import pytest
from harness import run

from parallelize.process.wire import journal as pages

#: What every program here can do.
TOOLS = """
import resource
import numpy as np

def exhausted():
    \"\"\"Take all descriptors; return what gives them back.\"\"\"
    taken = []
    most = max(map(int, os.listdir("/dev/fd")))
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    try:
        while True:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass
    return taken

def free(taken):
    while taken:
        os.close(taken.pop())

def done(future, seconds=5):
    until = time.monotonic() + seconds
    while not future.done() and time.monotonic() < until:
        time.sleep(0.01)
    return future

def after(seconds, number):
    threading.Timer(seconds, os.kill, (os.getpid(), number)).start()
"""


def lines(program: str, method: str = "forkserver", timeout: float = 30) -> list[str]:
    """What a program prints, which must end well and in time."""
    ran = run(TOOLS + program, method, timeout=timeout)
    assert ran.code == 0, ran.err
    return ran.lines


# -- Who waits is interrupted ---------------------------------------------------------


@pytest.mark.parametrize("wait", ["ex.shutdown()", "print(outcome(g, 3))"])
def test_handler_waits_while_its_thread_does(wait: str) -> None:
    """A signal handler may wait for what the interrupted thread waits for."""
    program = f"""
ex = executor(1)
ex.submit(int).result()
f, g = ex.submit(time.sleep, 1), ex.submit(abs, 7)  # one after the other
signal.signal(signal.SIGUSR1, lambda *_: {wait})
after(0.3, signal.SIGUSR1)
print(outcome(f), outcome(g))
ex.shutdown()
"""
    got = lines(program, timeout=15)
    assert got[-1] == "None 7"
    assert got[:-1] in ([], ["7"])


def test_ctrl_c_while_waiting_loses_no_call() -> None:
    """Ctrl-C comes at any moment of a call and of the wait for it, and is caught."""
    program = """
import random
ex = executor(1)
ex.submit(int).result()
signal.signal(signal.SIGALRM, signal.default_int_handler)
told = set()
for _ in range(80):
    f = None
    signal.setitimer(signal.ITIMER_REAL, random.uniform(0.001, 0.004))
    try:
        while True:
            f = ex.submit(int, "3")
            f.result()
    except (KeyboardInterrupt, RuntimeError):  # threading.Condition raises the other
        if f is not None: told.add(outcome(f, 5))
print(told)
ex.shutdown()
"""
    assert lines(program, timeout=25) == ["{3}"]


def test_fork_in_a_handler_while_waiting() -> None:
    """The child is told that the call is its parent's."""
    program = """
ex = executor(1)
ex.submit(int).result()
f = ex.submit(time.sleep, 1)
pids = []
signal.signal(signal.SIGUSR1, lambda *_: pids.append(os.fork()))
after(0.3, signal.SIGUSR1)
came = outcome(f)
if pids == [0]:
    print(came, flush=True)
    os._exit(0)
os.waitpid(pids[0], 0)
print(came)
ex.shutdown()
"""
    child, parent = lines(program)
    assert "os.fork" in child
    assert parent == "None"


def test_long_wait() -> None:
    """More milliseconds than fit into what poll takes."""
    program = """
ex = executor(1)
ex.submit(int).result()
print(outcome(ex.submit(time.sleep, 0.1), 30 * 86400))
ex.shutdown()
"""
    assert lines(program) == ["None"]


# -- Several things at once -------------------------------------------------------------


def test_rows_stay_in_order_beside_calls() -> None:
    """Frames of rows are taken in the order in which they came."""
    program = """
sys.setswitchinterval(1e-5)
def one(x): return x
ex = executor(1)
ex.submit(one, 0).result()
stop = []
def call():
    while not stop:
        f = ex.submit(one, 1)
        f.add_done_callback(lambda _: None)
        f.result()
def submit():
    while not stop:
        ex.submit(one, 2)
        time.sleep(0.0002)
threads = [threading.Thread(target=t) for t in (call, call, submit)]
for t in threads: t.start()
wanted = [str(i) for i in range(400)]
end = time.monotonic() + 8
bad = 0
try:
    while time.monotonic() < end and not bad:
        bad += list(ex.map(str, range(400), chunksize=100, timeout=10)) != wanted
except BaseException as error:
    bad = repr(error)
stop.append(1)
for t in threads: t.join()
print(bad)
ex.shutdown()
"""
    assert lines(program) == ["0"]


def test_callback_after_a_worker_died_whose_socket_is_held() -> None:
    """No callback runs under the pool's lock, however a worker's end was noticed."""
    program = """
def die():
    import ctypes, signal
    libc = ctypes.CDLL(None)
    if libc.fork() == 0:  # holds the worker's socket: its end is not heard there
        libc.sleep(2)
        libc._exit(0)
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
ex = executor(1)
ex.submit(int).result()
f = ex.submit(die)
said = threading.Event()
def callback(_):
    submitted = threading.Event()
    def other():
        ex.submit(int)
        submitted.set()
    threading.Thread(target=other).start()
    os.write(1, b"%r\\n" % submitted.wait(3))
    said.set()
f.add_done_callback(callback)
told = outcome(f)[:10]
said.wait()
print(told)
ex.shutdown()
"""
    assert sorted(lines(program)) == ["True", "WorkerDied"]


# -- No descriptor is left ---------------------------------------------------------------


def test_waiting_takes_no_descriptor() -> None:
    """Whoever waits for a result need not have a descriptor for that."""
    program = """
ex = executor(1)
done(ex.submit(int))
taken = exhausted()
print(outcome(ex.submit(int, "5")))
free(taken)
ex.shutdown()
"""
    assert lines(program) == ["5"]


def test_worker_without_descriptors_gets_a_large_argument() -> None:
    """The call ends: well or with an error, but it ends; and so does the next."""
    program = """
def take(): taken.extend(exhausted())
def give(): free(taken)
taken = []
def size(a): return int(a.sum())
ex = executor(1)
ex.submit(size, np.ones(3, "u1")).result()  # loads numpy
ex.submit(take).result()
f = ex.submit(size, np.ones(2 << 20, "u1"))
print("TimeoutError" in str(outcome(f, 5)))
f.kill()
print(outcome(ex.submit(size, np.ones(10, "u1"))))
ex.shutdown()
"""
    assert lines(program) == ["False", "10"]


def test_program_without_descriptors_gets_a_large_result() -> None:
    """Its worker is not killed for that, and the pool lives on."""
    program = """
def big(n): return np.ones(n, "u1")
ex = executor(1)
ex.submit(big, 10).result()
taken = exhausted()
f = done(ex.submit(big, 3 << 20))
free(taken)
told = outcome(f, 3)
print(len(told) == 3 << 20 or "no descriptor is left" in told)
print(len(outcome(ex.submit(big, 20), 3)))
ex.shutdown()
"""
    assert lines(program) == ["True", "20"]


def test_program_without_descriptors_hands_on_shared_memory() -> None:
    """What could not be handed on at one call is handed on at the next."""
    program = """
from parallelize import share
def total(h): return float(h.get().sum())
ex = executor(1)
ex.submit(total, share(np.ones(1))).result()
s = share(np.ones(10))
taken = exhausted()
f = ex.submit(total, s)
time.sleep(0.3)
free(taken)
outcome(f, 3)
print(outcome(ex.submit(total, s), 3))
ex.shutdown()
"""
    assert lines(program) == ["10.0"]


# -- Memory that both have mapped ----------------------------------------------------------


def test_segment_of_a_call_whose_function_is_not_found() -> None:
    """It carries another message when the call has failed."""
    program = """
import types
m = types.ModuleType("only_here")
exec("def f(a): return 1", m.__dict__)
sys.modules["only_here"] = m
ex = executor(1)
a = np.zeros(4 << 20, "u1")
for _ in range(8):
    outcome(ex.submit(m.f, a))
time.sleep(0.3)
ex.submit(len, a).result()
print(len(ex._pool.lending.segments._all) <= 2)
ex.shutdown()
"""
    assert lines(program) == ["True"]


def test_argument_of_a_process_that_outlives_its_worker() -> None:
    """The child of a call that was killed keeps what it was given."""
    program = """
from tempfile import mktemp
out = mktemp()
def fork(a, out):
    if os.fork() == 0:
        time.sleep(1.5)
        with open(out, "w") as file: file.write(str(sorted(set(a.tolist()))))
        os._exit(0)
    os.kill(os.getpid(), signal.SIGKILL)
def keep(a): time.sleep(1.5)
ex = executor(1)
outcome(ex.submit(fork, np.full(2 << 20, 1, "u1"), out))
time.sleep(0.2)
ex.submit(keep, np.full(2 << 20, 9, "u1")).result()
time.sleep(1)
print(open(out).read())
os.unlink(out)
ex.shutdown()
"""
    assert lines(program) == ["[1]"]


def test_fork_while_results_come() -> None:
    """Every view is kept from the child, though others appear meanwhile."""
    program = """
from parallelize.process.memory import views
sys.setswitchinterval(1e-6)
fd = os.memfd_create("x")
os.ftruncate(fd, 1 << 16)
mapped = views._Mapped(fd, with_others=False)
kept = [views._Lease(1, mapped, lambda r: None) for _ in range(60)]
stop = []
def come():
    some = []
    while not stop:
        some.append(views._Lease(1, mapped, lambda r: None))
        if len(some) > 50: some.clear()
threads = [threading.Thread(target=come) for _ in range(2)]
for t in threads: t.start()
views._Lease.keep_from_child = lambda self: None
end = time.monotonic() + 3
failed = 0
while time.monotonic() < end:
    try: views._before_fork()
    except RuntimeError: failed += 1
    finally: views._forking.release()
stop.append(1)
for t in threads: t.join()
print(failed)
"""
    assert lines(program) == ["0"]


def test_handle_that_comes_back_after_it_was_dropped() -> None:
    """A call returns a handle that the program has not kept: it is worth its value."""
    program = """
from parallelize import share
import gc
def same(h): return h
ex = executor(1)
f = done(ex.submit(same, share(np.arange(3))))
done(ex.submit(int))
gc.collect()
h = f.result()
got = []
t = threading.Thread(target=lambda: got.append(h.get().tolist()), daemon=True)
t.start()
t.join(3)
print(got)
ex.shutdown()
"""
    assert lines(program) == ["[[0, 1, 2]]"]


# -- Rows ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["return Bad()", "raise Worse()"])
def test_row_whose_end_cannot_be_pickled_alive(
    how: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The row whose result kills the worker is blamed, and has not run twice."""
    runs = tmp_path_factory.mktemp("runs") / "runs"
    program = f"""
class Bad:
    def __reduce__(self): os._exit(3)
class Worse(Exception):
    def __reduce__(self): os._exit(3)
def row(i):
    with open({str(runs)!r}, "a") as file: file.write(f"{{i}}\\n")
    if i == 57:
        {how}
    return i
ex = executor(1)
got = list(ex.map(row, range(200), chunksize=200, return_exceptions=True))
print([i for i, x in enumerate(got) if type(x) is not int])
with open({str(runs)!r}) as file: ran = file.read().split()
print(sorted(x for x in set(ran) if ran.count(x) > 1))
ex.shutdown()
"""
    assert lines(program) == ["[57]", "[]"]


def test_journal_is_copied_while_a_result_of_another_type_is_noted() -> None:
    """The kind of a value is there before the value is."""
    page = pages.Journal(file := pages.make_page_file())
    page.choose_mark()
    values = page.open_group(int, 0, 8)
    assert values is not None
    for i in range(3):
        values[i] = i
    # The watcher has read COUNT and LIMIT; now the main thread goes on, half-way.
    seen: list[object] = []

    class Halfway:
        def __setitem__(self, slot: int, value: float) -> None:
            floats[slot] = value
            seen.extend(page._results(page.ended()))

    floats, page._floats = page._floats, Halfway()  # type: ignore[assignment]
    page.note(3, 2.5)
    page._floats = floats
    page.close()
    pages.close_page_file(file)
    assert seen in ([0, 1, 2], [0, 1, 2, 2.5])


# -- Functions of `__main__` that were pickled before --------------------------------------


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("def f(*, k='old'): return k", "f.__kwdefaults__['k'] = 'new'"),
        ("def f(): return getattr(f, 'mark', 'old')", "f.mark = 'new'"),
        (
            "table = {1: 'old'}; get = table.get\ndef f(): return get(1)",
            "table[1] = 'new'",
        ),
    ],
)
def test_change_that_a_name_does_not_show(what: str, change: str) -> None:
    """What is called is what runs."""
    program = f"""
{what}
ex = executor(1)
print([ex.submit(f).result() for _ in range(3)])
{change}
print(ex.submit(f).result())
ex.shutdown()
"""
    assert lines(program) == ["['old', 'old', 'old']", "new"]


def test_threads_pickle_a_function_that_changes() -> None:
    """One that finds the cache out of date need not be the only one."""
    program = """
from parallelize.serialize import pickling
sys.setswitchinterval(1e-5)
n = 0
def work(x): return n + x
failed = []
def encode():
    for _ in range(20000):
        try: pickling.encode_function(work)
        except KeyError as error: failed.append(error)
threads = [threading.Thread(target=encode) for _ in range(4)]
for t in threads: t.start()
while any(t.is_alive() for t in threads):
    n += 1
    threads[0].join(0.0002)
print(len(failed))
"""
    assert lines(program) == ["0"]
