import abc, collections, contextvars, ctypes, dataclasses, enum, functools, itertools
import logging, pickle, queue, sqlite3, struct, sys, threading, typing, weakref

lock = threading.Lock()
rlock = threading.RLock()
ev = threading.Event()
cond = threading.Condition()
sem = threading.Semaphore(2)
bs = threading.BoundedSemaphore(3)
bar = threading.Barrier(1)
loc = threading.local()
var = contextvars.ContextVar("var", default=5)
var2 = contextvars.ContextVar("v2")
st = struct.Struct("<I")
q = queue.Queue()
lq = queue.LifoQueue()
pq = queue.PriorityQueue()
sq = queue.SimpleQueue()
wd = weakref.WeakValueDictionary()
wk = weakref.WeakKeyDictionary()
ws = weakref.WeakSet()
cnt = itertools.count(5)


class Holder:
    pass


H = Holder()
wd["n"] = H
wk[H] = 1
ws.add(H)
wr = weakref.ref(H)
ev.set()


class Pt(ctypes.Structure):
    _fields_ = [("x", ctypes.c_int), ("y", ctypes.c_int)]

    def s(self):
        return self.x + self.y


PT = Pt(1, 2)
hd = logging.StreamHandler()
log = logging.getLogger("abc")


def m4():
    with lock, rlock, cond, sem, bs:
        pass
    loc.x = 1
    return (
        ev.is_set(),
        var.get(),
        var2.get(None),
        st.pack(3),
        q.qsize(),
        bar.wait(),
        next(cnt),
        Pt(3, 4).s(),
        PT.s(),
        type(hd).__name__,
        log.name,
    )


check(m4, want=repr((True, 5, None, st.pack(3), 0, 0, 5, 7, 3, "StreamHandler", "abc")))


def m4b():
    return wd["n"] is H, wk[H], H in ws, wr() is H


check(m4b)


def putget():
    q.put(1)
    sq.put(2)
    lq.put(3)
    pq.put(4)
    return q.get(), sq.get(), lq.get(), pq.get()


check(putget)


class WithLock:
    lock = threading.Lock()

    def go(self):
        with self.lock:
            return 1


wl = WithLock()
check(lambda: (WithLock().go(), wl.go()))


class Acc:
    def __init__(self):
        self._l = threading.Lock()
        self.n = 0

    def inc(self):
        with self._l:
            self.n += 1
            return self.n


ACC = Acc()
check(lambda: ACC.inc(), want="1")
f = open(__file__)


def usef():
    return f.read(3)


refused(usef, "'f' of __main__, a _io.TextIOWrapper")
db = sqlite3.connect(":memory:")
check(lambda: 5 if True else db)
refused(lambda: db.execute("select 1"), "'db' of __main__, a sqlite3.Connection")
gen = (i for i in range(3))
check(lambda: 3 if lock else gen)
refused(lambda l: 1, "argument 'l'", lock)  # a lock that is passed is another thing
