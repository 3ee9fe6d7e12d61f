"""Ctrl-C at each step of INSIDE, which starts a thread, and is called by WHAT(ex)()."""

import gc

from parallelize.runtime import locks

PARENT = os.getpid()


def looks(frame):
    """Whether it is that function, or was called by it: here or in `threading`.

    The start of a server is not looked at, nor what happens in one.
    """
    name = frame.f_code.co_filename
    if os.getpid() != PARENT:
        return False
    if name == LOCKS or not name.startswith((HERE, threading.__file__)):
        return False
    while frame is not None and frame.f_code.co_qualname != "Starter.start_server":
        if frame.f_code.co_qualname == INSIDE:
            return True
        frame = frame.f_back
    return False


async def three():
    return 3


def opened(ex):
    """Without a worker, which takes its time."""
    pool = ex._pool
    return lambda: locks.held(pool.scheduler.lock, pool._open)


def coroutine(ex):
    return lambda: parallelized(ex)(three)()


def more_than(before):
    """What is left of threads and descriptors, in time."""
    gc.collect()
    deadline = time.monotonic() + 5
    while True:
        left = threading.active_count() - 1, open_files() - before
        if left == (0, 0) or time.monotonic() > deadline:
            return left
        time.sleep(0.001)


def used(step):
    """Interrupt the first call of a pool at a step, make others, close it."""
    ex, *spare = POOL, POOL, POOL
    call, *warm = map(WHAT, (ex, *spare))
    for each in warm:  # steps are seen only from the second time on
        interrupted(each, 1 << 40)
    more = interrupted(call, step)
    got = in_time(lambda: ex.submit(int, "3").result(9))
    again = in_time(lambda: coroutine(ex)().result(9))
    closed = in_time(lambda: [each.shutdown() for each in (ex, *spare)])
    if (got, again, closed) != ([3], [3], [[None] * 3]):
        fail(step, got, again, closed)
    return more


def fail(*what):
    print(*what, threading.enumerate(), flush=True)
    os._exit(1)


used(1 << 40)
files = more_than(0)[1]
step, more = 0, True
while more:
    step += 1
    more = used(step)
    if more_than(files) != (0, 0):
        fail(step, more_than(files))
print(step > 10)
