import concurrent.futures, time
from parallelize import *


def threads(n):
    with ThreadPoolExecutor(2) as ex:
        return [*ex.map(abs, range(n)), ex.submit(abs, -n).result()]


def deadlines(n):
    with ThreadPoolExecutor(2) as ex:
        waits = threaded(executor=ex, timeout=0.05)(time.sleep)(0.5)
        return isinstance(waits.exception(), TaskTimeout), threaded(
            executor=ex, timeout=1e7
        )(abs)(-n).result()


def loops(n):
    async def double():
        return 2 * n

    with ThreadPoolExecutor(1) as ex:
        return threaded(executor=ex)(double)().result()


def processes(n):
    with ProcessPoolExecutor(2) as ex:
        return list(ex.map(abs, range(n)))


def interpreters(n):
    with InterpreterPoolExecutor(1) as ex:
        return ex.submit(abs, -n).result()


def foreign(n):
    with concurrent.futures.ThreadPoolExecutor(2) as ex:
        return parallelized(ex, timeout=1e7)(abs)(-n).result()


def left(n):
    ThreadPoolExecutor(1).submit(time.sleep, 0.05)
    threaded(executor=ThreadPoolExecutor(1), timeout=1e7)(time.sleep)(0.05)
    return n


if __name__ == "__main__":
    with InterpreterPoolExecutor(2) as ex:
        for fn in threads, deadlines, loops, processes, interpreters, foreign, left:
            print(fn.__name__, ex.submit(fn, 3).result(30))
    print("end")
