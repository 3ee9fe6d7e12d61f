"""Ctrl-C between any two steps of a call: the pool goes on.

A signal comes at some moment. So a trace function raises in its place: where Python
looks for signals first in `submit`, then where it does so next, and so on. It looks
when a function begins, when one written in C has returned, and when a loop goes round.
"""

from __future__ import annotations

import pytest
from harness import run

INTERRUPTED = """
from functools import partial
from opcode import opname
import parallelize
from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, parallelized

HERE = os.path.dirname(parallelize.__file__)
LOCKS = os.path.join(HERE, "runtime", "ranked.py")  # in place of locks, which have no steps

def interrupted(call, step):
    '''Call it; raise where it looks so often. Return whether it does.'''
    left, last = step, ""
    def at_step(frame, event, _):
        nonlocal left, last
        if event == "opcode":
            now = opname[frame.f_code.co_code[frame.f_lasti]]
            left -= now == "RESUME" or last[:4] == "CALL" or last == "JUMP_BACKWARD"
            last = now
            if left == 0:
                sys.settrace(None)
                signal.default_int_handler(signal.SIGINT, None)
        return at_step
    def at_call(frame, event, _):
        name = frame.f_code.co_filename
        if frame.f_code.co_qualname in ("Condition.__enter__", "Condition.__exit__"):
            name = frame.f_back.f_code.co_filename  # as those of ours
        if name == LOCKS or not name.startswith(HERE): return None
        frame.f_trace_opcodes = True
        return at_step
    sys.settrace(at_call)
    try: call()
    except KeyboardInterrupt: return True
    finally: sys.settrace(None)
    return left <= 0

def count(call):
    '''Have its steps be seen: they are only from the second time on.'''
    for _ in range(9):
        interrupted(call, 1 << 40)

def in_time(call):
    '''What it returns, in another thread; nothing if that takes too long.'''
    got = []
    def run():
        try: got.append(call())
        except BaseException as error: got.append(repr(error))
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(5)
    return got
"""

CALLS = """
def number(text): return int(text)
def submit(ex): return lambda: ex.submit(int, "3")
def timed(ex): return partial(parallelized(ex, timeout=60)(number), "3")

def waited(ex): return lambda: ex.submit(int, "3").result()
def cancelled(ex): return lambda: ex.submit(int, "3").cancel()
def killed(ex): return lambda: ex.submit(int, "3").kill()

def at_work(ex):
    '''Threads of ours that are there, and that work.'''
    return (ex._engine._live, ex._engine._active) if POOL is ThreadPoolExecutor else (0, 0)

def fail(*what):
    print(*what, flush=True)
    os._exit(1)

def close(ex):
    closed = in_time(lambda: ex.shutdown())
    if (closed, at_work(ex)) != ([None], (0, 0)): fail(steps, closed, at_work(ex))

def check(ex):
    futures = in_time(lambda: [ex.submit(int, "4") for _ in range(5)])
    values = in_time(lambda: [f.result(4) for f in futures[0]])
    if values != [[4] * 5]: fail(steps, values)

spare, ex = POOL(1), POOL(WORKERS)
steps = 0
more = True
while more:
    steps += 1
    call = MADE(ex)
    count(MADE(spare))
    more = interrupted(call, steps)
    check(ex)
    if FRESH:
        close(ex)
        ex = POOL(WORKERS)
close(ex)
print(steps > 10)
"""


@pytest.mark.parametrize("call", ["submit", "timed", "waited", "cancelled", "killed"])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("pool", "fresh"),
    [
        ("ThreadPoolExecutor", True),
        ("ThreadPoolExecutor", False),
        ("ProcessPoolExecutor", False),
    ],
)
def test_ctrl_c_at_each_step(pool: str, fresh: bool, workers: int, call: str) -> None:
    """A worker of the pool is to be started (it is fresh), or has to be woken."""
    program = (
        (INTERRUPTED + CALLS)
        .replace("WORKERS", str(workers))
        .replace("FRESH", str(fresh))
    )
    done = run(program.replace("MADE", call).replace("POOL", pool), timeout=60)
    assert done.lines == ["True"]
    assert (done.code, done.err) == (0, "")


RUNS = """
import tempfile
def run(name, step):
    with open(name, "a") as file: file.write(f"{step}\\n")

step, more = 0, True
with tempfile.NamedTemporaryFile("r") as file:
    ex = ProcessPoolExecutor(1)
    ex.submit(int, "3").result()
    call = lambda: ex.submit(run, file.name, step)
    count(call)
    while more:
        step += 1
        more = interrupted(call, step)
        ex.submit(int, "3").result(9)
    ex.shutdown()
    runs = file.read().split()
print(step > 10, {each for each in runs if each != "0" and runs.count(each) > 1})
"""


def test_no_call_is_run_twice_after_ctrl_c() -> None:
    """The signal may come when the call has been sent, and before that is known."""
    done = run(INTERRUPTED + RUNS, timeout=60)
    assert done.lines == ["True set()"], done.out
    assert (done.code, done.err) == (0, "")


MAPS = """
ex, step, more = POOL(2), 0, True
while more:
    step += 1
    results = ex.map(int, "12345678", chunksize=1)
    more = interrupted(lambda: [*results], step)
    others = in_time(lambda: [*results])
    if not others or others[0] not in ([1, 2, 3, 4, 5, 6, 7, 8][n:] for n in range(9)):
        print(step, others, flush=True)
        os._exit(1)
ex.shutdown()
print(step > 10)
"""


@pytest.mark.parametrize("pool", ["ThreadPoolExecutor", "ProcessPoolExecutor"])
def test_ctrl_c_at_each_step_of_a_reader_leaves_the_map_to_others(pool: str) -> None:
    """They end, even if what was at hand is lost."""
    done = run(INTERRUPTED + MAPS.replace("POOL", pool), timeout=60)
    assert done.lines[-1:] == ["True"], done.out
