"""A program that gevent or eventlet has patched, or that has a default timeout.

PATCH says by what, WHEN says at which moment.
"""

import asyncio


def patch():
    if os.environ["PATCH"] == "gevent":
        from gevent import monkey

        monkey.patch_all()
    elif os.environ["PATCH"] == "sockets":
        from gevent import monkey

        monkey.patch_socket()
        monkey.patch_select()
    elif os.environ["PATCH"] == "eventlet":
        import warnings

        warnings.simplefilter("ignore")  # that it has a successor, and of fork
        import eventlet

        eventlet.monkey_patch()
    else:
        import socket

        socket.setdefaulttimeout(float(os.environ["PATCH"]))


if os.environ["WHEN"] == "first":
    patch()

from parallelize import ThreadPoolExecutor, processed, share, threaded, use

if os.environ["WHEN"] == "imported":
    patch()


def square(x):
    return x * x


def slow(x):
    time.sleep(0.3)
    return x


def fails():
    raise LookupError("of the call")


def dies():
    os._exit(3)


def blocks(n):
    for i in range(n):
        yield bytes([i]) * 300_000


def hundred():
    yield from range(5000)


async def later(x):
    await asyncio.sleep(0.01)
    return x


def waits_for_threads(n):
    """Threads and locks that a task makes itself."""
    done = threading.Event()
    threads = [threading.Thread(target=time.sleep, args=(0.05,)) for _ in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    threading.Thread(target=done.set).start()
    return done.wait(10)


def calls(pool, kind):
    print(kind, outcome(pool.submit(square, 3)))
    if os.environ["WHEN"] == "started":
        patch()
    print(kind, [outcome(f) for f in [pool.submit(slow, i) for i in range(3)]])
    print(kind, sum(pool.map(square, range(1000))))
    time.sleep(0.5)  # the workers wait
    print(kind, outcome(pool.submit(square, 4)))
    print(kind, len(pool.submit(bytes, 3_000_000).result(10)))
    print(kind, outcome(pool.submit(len, b"x" * 3_000_000)))
    print(kind, outcome(pool.submit(fails)))
    print(kind, outcome(pool.submit(waits_for_threads, 3)))
    sys.stdout.flush()


def streams(decorator):
    print([len(block) for block in decorator(blocks)(5)], sum(decorator(hundred)()))
    print(outcome(decorator(later)(7)))
    shared = share(list(range(100)))
    print(outcome(decorator(lambda s: sum(s.get()))(shared)))
    sys.stdout.flush()


def main():
    with executor(2) as pool:
        calls(pool, "processes")
        print(outcome(pool.submit(dies)).partition(":")[0])
        print(outcome(pool.submit(square, 5)))
        if os.environ["PATCH"] in ("gevent", "eventlet"):
            greenlets(pool)
    with ThreadPoolExecutor(2) as pool:
        calls(pool, "threads")
    if os.environ["WHEN"] == "started":
        return
    with use("processes" if METHOD == "forkserver" else executor(2)):
        streams(processed)
    streams(threaded)
    assert processed(square)(6).result(10) == 36  # until the end of the program


def greenlets(pool):
    """While one greenlet waits for a call, others run."""
    if os.environ["PATCH"] == "gevent":
        from gevent import joinall, spawn
    else:
        from eventlet import spawn

        def joinall(all):
            [each.wait() for each in all]

    beats, ended = [], []

    def beat():
        while not ended:
            beats.append(time.monotonic())
            time.sleep(0.01)

    def wait_for(x):
        future = pool.submit(slow, x)
        before = len(beats)
        assert future.result(10) == x
        print("others ran", len(beats) > before)

    def both():
        joinall([spawn(wait_for, 1), spawn(wait_for, 2)])
        ended.append(1)

    joinall([spawn(beat), spawn(both)])


main()
print("end")
