"""a script has a lock, an event and a context variable among its globals"""

import contextvars
import threading

from benchmarks.faults import check, pool

lock = threading.Lock()
ready = threading.Event()
user = contextvars.ContextVar("user", default="nobody")


def call():
    with lock:
        return ready.is_set(), user.get()


if __name__ == "__main__":
    check(pool(), [(call,)], [(False, "nobody")])
