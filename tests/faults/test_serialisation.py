"""What cannot travel fails its own call, and says why."""

from __future__ import annotations

import mmap
import pathlib
import struct
import textwrap

import pytest
from harness import Run, run

#: Things that cannot be pickled, or not be built again. `at` says where.
TOOLS = '''
from parallelize import processed
from parallelize.errors import RemoteError, RemoteTraceback, SerializationError

def act(how):
    if how == "raises":
        raise ValueError("bad luck")
    if how == "exits":
        sys.exit("gone")
    if how == "interrupts":
        raise KeyboardInterrupt("by hand")
    if how == "dies":
        os._exit(3)
    if how == "crashes":
        __import__("faulthandler")._sigsegv()

class AtPickle:
    def __init__(self, how):
        self.how = how
    def __reduce__(self):
        act(self.how)

class AtUnpickle:
    def __init__(self, how):
        self.how = how
    def __reduce__(self):
        return act, (self.how,)

class InParent:
    """Cannot be built in the process `pid`, but everywhere else."""
    def __init__(self, how, pid):
        self.how, self.pid = how, pid
    def __setstate__(self, state):
        self.__dict__.update(state)
        if os.getpid() == self.pid:
            act(self.how)

def give(value):
    return value

def name(future):
    """A value, or the class name of an error."""
    error = future.exception(20)
    return type(error).__name__ if error else future.result()

def survives(ex, pid):
    """Whether the pool works, and with the very worker."""
    innocents = [ex.submit(pow, i, 2) for i in range(6)]
    return [outcome(f) for f in innocents] == [0, 1, 4, 9, 16, 25] and (
        ex.submit(os.getpid).result(10) == pid)
'''


def tried(program: str, method: str = "forkserver") -> Run:
    """Run a program with `TOOLS`."""
    return run(TOOLS + textwrap.dedent(program), method)


ODD_ERRORS = """
class TwoArguments(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} and {b}")

class HoldsLock(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()

class ReduceRaises(Exception):
    def __reduce__(self):
        raise OSError("no")

class ReduceExits(Exception):
    def __reduce__(self):
        sys.exit(1)

class StrRaises(Exception):
    def __init__(self, a, b):
        super().__init__(a)
    def __str__(self):
        raise OSError("no")

class BuiltAsAnother(Exception):
    def __reduce__(self):
        return dict, ()

class OnlyThere(Exception):
    def __init__(self, pid=os.getpid()):
        self.pid = pid
    def __setstate__(self, state):
        if os.getpid() == state["pid"]:
            raise OSError("not here")

class Interrupts(Exception):
    def __reduce__(self):
        raise KeyboardInterrupt
"""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("TwoArguments(1, 2)", "1 and 2"),
        ("HoldsLock()", "locked"),
        ("ReduceRaises('r')", "r"),
        ("ReduceExits('r')", "r"),
        ("StrRaises(1, 2)", ""),
        ("BuiltAsAnother('r')", "r"),
        ("OnlyThere()", ""),
        ("Interrupts('r')", "r"),
    ],
)
def test_error_cannot_travel(error: str, text: str) -> None:
    """A stand-in with class, text and traceback, on that call."""
    kind = error.partition("(")[0]
    done = tried(
        ODD_ERRORS
        + textwrap.dedent(
            f"""
            def fails():
                raise {error}

            with executor(1) as ex:
                pid = ex.submit(os.getpid).result(10)
                caught = ex.submit(fails).exception(10)
                print(type(caught).__name__, caught.type_name, caught)
                cause = caught.__cause__
                print(type(cause).__name__, "in fails" in str(cause))
                row, = ex.map(lambda _: fails(), [1], return_exceptions=True)
                print(type(row).__name__, row.type_name)
                print(survives(ex, pid))
            """
        )
    )
    first = done.lines[0].split()
    assert first[:2] == ["RemoteError", f"__main__.{kind}"]
    assert text in done.lines[0]
    assert done.lines[1:] == [
        "RemoteTraceback True",
        f"RemoteError __main__.{kind}",
        "True",
    ]
    assert done.err == ""


def test_error_that_can_travel_is_itself() -> None:
    """Class, attributes and notes; an object of its own for each future."""
    done = tried(
        """
        class Mine(Exception):
            pass

        def fails(i):
            error = Mine("text", i)
            error.extra = {"i": i}
            error.add_note("a note")
            raise error from KeyError("before")

        with executor(1) as ex:
            errors = [ex.submit(fails, i).exception(10) for i in (1, 1)]
            print(type(errors[0]) is Mine, errors[0].args, errors[0].extra,
                  errors[0].__notes__, errors[0] is errors[1])
            print("KeyError: 'before'" in str(errors[0].__cause__))
        """
    )
    assert done.lines == ["True ('text', 1) {'i': 1} ['a note'] False", "True"]


@pytest.mark.parametrize(
    "error", ["SystemExit(3)", "KeyboardInterrupt()", "GeneratorExit()"]
)
def test_task_raises_a_base_exception(error: str, method: str) -> None:
    """It is the call's error, it ends nobody."""
    done = tried(
        f"""
        def fails(_=None):
            raise {error}

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            print(name(ex.submit(fails)))
            rows = ex.map(fails, range(3), chunksize=3, return_exceptions=True)
            print([type(each).__name__ for each in rows])
            print(survives(ex, pid))
        """,
        method,
    )
    kind = error.partition("(")[0]
    assert done.lines == [kind, str([kind] * 3), "True"]
    assert done.code == 0


@pytest.mark.parametrize(
    ("value", "kind", "advice"),
    [
        ("threading.Lock()", "lock", ""),
        ("(i for i in ())", "generator", "return a list"),
        ("coroutine()", "coroutine", "decorate the async function"),
        ("asynchronous()", "async_generator", "return a list"),
        ("open(os.devnull, 'w')", "TextIOWrapper", ""),
        ("AtPickle('raises')", "AtPickle", "bad luck"),
        ("AtPickle('exits')", "AtPickle", "SystemExit: gone"),
        ("AtPickle('interrupts')", "AtPickle", "KeyboardInterrupt"),
    ],
)
def test_result_cannot_be_pickled(value: str, kind: str, advice: str) -> None:
    """The error names its type and says what to do."""
    done = tried(
        f"""
        import pickle, warnings
        async def coroutine(): pass
        async def asynchronous(): yield
        def task(_=None):
            warnings.simplefilter("ignore")
            return {value}

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            error = ex.submit(task).exception(10)
            print(isinstance(error, pickle.PicklingError), error)
            rows = ex.map(task, range(3), chunksize=3, return_exceptions=True)
            print([type(each).__name__ for each in rows])
            print(survives(ex, pid))
        """
    )
    assert done.lines[0].startswith(f"True the result, a {kind}, cannot be pickled")
    assert advice in done.lines[0]
    assert done.lines[1:] == [str(["SerializationError"] * 3), "True"]


@pytest.mark.parametrize("how", ["raises", "exits", "interrupts"])
def test_result_cannot_be_built_in_the_parent(how: str, method: str) -> None:
    """Its reader hears of it, nobody else does."""
    done = tried(
        f"""
        def task(pid):
            return InParent({how!r}, pid)

        def callback(future):
            called.append(type(future.exception()).__name__)

        called = []

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            future = ex.submit(task, os.getpid())
            future.add_done_callback(callback)
            print(outcome(future))
            print(type(future.exception().__cause__).__name__)
            rows = ex.map(task, [os.getpid()] * 3, chunksize=3, return_exceptions=True)
            print([type(each).__name__ for each in rows])
            print(survives(ex, pid))
        print(called)
        """,
        method,
    )
    cause = {
        "raises": "ValueError",
        "exits": "SystemExit",
        "interrupts": "KeyboardInterrupt",
    }[how]
    assert "the result of __main__.task cannot be unpickled" in done.lines[0]
    assert done.lines[1:] == [
        cause,
        str(["SerializationError"] * 3),
        "True",
        "['SerializationError']",
    ]
    assert done.code == 0


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("threading.Lock()", "cannot pickle '_thread.lock' object"),
        ("AtPickle('raises')", "ValueError: bad luck"),
        ("AtPickle('exits')", "SystemExit: gone"),
        ("AtPickle('interrupts')", "KeyboardInterrupt: by hand"),
    ],
)
def test_argument_cannot_be_pickled(value: str, text: str) -> None:
    """The call returns a future; the future fails."""
    done = tried(
        f"""
        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            future = ex.submit(give, {value})
            print(future.done(), outcome(future))
            print(name(ex.submit(give, key={value})))
            print(outcome(ex.submit(give, value=1)))
            rows = ex.map(give, [1, {value}, 3], chunksize=3, return_exceptions=True)
            print([r if type(r) is int else type(r).__name__ for r in rows])
            print(survives(ex, pid))
        """
    )
    assert done.lines[0].startswith("True SerializationError: the arguments of")
    assert "__main__.give" in done.lines[0]
    assert text in done.lines[0]
    assert done.lines[1:] == [
        "SerializationError",
        "1",
        "[1, 'SerializationError', 3]",
        "True",
    ]
    assert done.code == 0


def test_function_cannot_be_pickled() -> None:
    """Likewise; a map gives the error to its reader."""
    done = tried(
        """
        def closure():
            lock = threading.Lock()
            return lambda *_: lock

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            print(outcome(ex.submit(closure())))
            try:
                print(list(ex.map(closure(), [1, 2])))
            except Exception as error:
                print("cannot pickle '_thread.lock' object" in str(error))
            print(survives(ex, pid))
        """
    )
    assert "cannot pickle '_thread.lock' object" in done.lines[0]
    assert done.lines[1:] == ["True", "True"]


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("raises", "ValueError"),
        ("exits", "SystemExit"),
        ("interrupts", "KeyboardInterrupt"),
    ],
)
def test_argument_cannot_be_built_in_the_worker(
    how: str, error: str, method: str
) -> None:
    """The real error with its traceback; the worker stays."""
    done = tried(
        f"""
        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            caught = ex.submit(give, AtUnpickle({how!r})).exception(10)
            print(type(caught).__name__, "in act" in str(caught.__cause__))
            values = [[1], AtUnpickle({how!r}), [3]]
            rows = ex.map(give, values, chunksize=3, return_exceptions=True)
            print([r if type(r) is list else type(r).__name__ for r in rows])
            print(survives(ex, pid))
        """,
        method,
    )
    assert done.lines == [f"{error} True", f"[[1], '{error}', [3]]", "True"]


@pytest.mark.parametrize(("how", "code"), [("dies", 3), ("crashes", -11)])
def test_argument_kills_the_worker(how: str, code: int, method: str) -> None:
    """That call has died; those sent with it run elsewhere."""
    done = tried(
        f"""
        values = [[i] for i in range(60)]
        values[30] = AtUnpickle({how!r})
        def shown(each):
            return each if type(each) is list else (type(each).__name__, each.exitcode)

        with executor(2) as ex:
            futures = [ex.submit(give, value) for value in values]
            got = [shown(f.exception(10) or f.result()) for f in futures]
            print(got.pop(30), got == [[i] for i in range(60) if i != 30])
            rows = ex.map(give, values, chunksize=60, return_exceptions=True)
            got = [shown(row) for row in rows]
            print(got.pop(30), got == [[i] for i in range(60) if i != 30])
        """,
        method,
    )
    assert done.lines == [f"('WorkerDied', {code}) True"] * 2


def test_error_kills_the_worker_as_it_is_pickled() -> None:
    """An error whose pickling or unpickling ends the process."""
    done = tried(
        """
        class DiesAtPickle(Exception):
            def __reduce__(self):
                os._exit(4)

        class DiesAtUnpickle(Exception):
            def __reduce__(self):
                return os._exit, (5,)

        def fails(kind):
            raise kind

        with executor(2) as ex:
            for kind in (DiesAtPickle, DiesAtUnpickle):
                futures = [ex.submit(pow, i, 2) for i in range(20)]
                error = ex.submit(fails, kind).exception(10)
                print(type(error).__name__, error.exitcode)
                print([outcome(f) for f in futures] == [i * i for i in range(20)])
        """
    )
    assert done.lines == ["WorkerDied 4", "True", "WorkerDied 5", "True"]


def test_result_kills_the_worker_as_it_is_pickled() -> None:
    """The call had returned, but not ended: it died with its worker."""
    done = tried(
        """
        def task(i):
            return AtPickle("dies") if i == 10 else i

        with executor(2) as ex:
            got = [name(f) for f in [ex.submit(task, i) for i in range(40)]]
            print(got.pop(10), got == [i for i in range(40) if i != 10])
            rows = ex.map(task, range(40), chunksize=40, return_exceptions=True)
            got = list(rows)
            print(type(got.pop(10)).__name__, got == [i for i in range(40) if i != 10])
        """
    )
    assert done.lines == ["WorkerDied True", "WorkerDied True"]


def test_arguments_are_snapshots(method: str) -> None:
    """What was passed runs, whatever the caller does to it then."""
    done = tried(
        """
        from functools import partial
        class Adder:
            def __init__(self, items):
                self.items = items
            def total(self, more=()):
                return sum(self.items) + sum(more)

        def total(*args, **kwargs):
            return sum(map(sum, args)) + sum(map(sum, kwargs.values()))

        factor = [1]
        def times():
            return factor[0]

        with executor(1) as ex:
            blocker = ex.submit(time.sleep, 0.2)  # so that all of them wait
            items, buffer = [1, 1], bytearray(b"\\1" * 200_000)
            adder = Adder([1, 1])
            futures = [
                ex.submit(total, items), ex.submit(total, key=items),
                ex.submit(partial(total, items)), ex.submit(adder.total),
                ex.submit(adder.total, more=items), ex.submit(sum, buffer),
                ex.submit(times),
            ]
            held = ex.submit(total, items, ex.submit(give, [5]))
            rows = ex.map(total, [items, items], [[1], [2]])
            items += [100]
            adder.items += [100]
            buffer[:] = bytes(200_000)
            factor[0] = 100
            print([outcome(f) for f in futures], outcome(held), list(rows))
        """,
        method,
    )
    assert done.lines == ["[2, 2, 2, 2, 4, 200000, 1] 7 [3, 4]"]


def test_large_buffers_are_snapshots() -> None:
    """Also those that travel beside the pickle."""
    done = run(
        """
        import numpy as np
        with executor(1) as ex:
            blocker = ex.submit(time.sleep, 0.2)
            array = np.ones(1_000_000)
            single, held = ex.submit(np.sum, array), ex.submit(np.sum, array)
            rows = ex.map(np.sum, [array, array])
            array[:] = 0
            print(single.result(10), held.result(10), *rows)
        """
    )
    if "No module named 'numpy'" in done.err:
        pytest.skip("needs numpy")
    assert done.lines == [" ".join(["1000000.0"] * 4)]


def test_many_threads_pickle_at_once(method: str) -> None:
    """Picklers are nobody's but the thread's; every result is right."""
    done = tried(
        """
        def task(value, *, key):
            return value, key

        wrong = []
        def submit(number):
            values = [([number, i], {"k": (i, number), "b": bytes(i % 7 * 10_000)})
                      for i in range(60)]
            futures = [ex.submit(task, v, key=k) for v, k in values]
            wrong.extend(v for v, f in zip(values, futures) if f.result(20) != v)
            rows = [[number, i] for i in range(100)]
            wrong.extend(a for a, b in zip(rows, ex.map(give, rows)) if a != b)

        with executor(2) as ex:
            threads = [threading.Thread(target=submit, args=(n,)) for n in range(8)]
            [thread.start() for thread in threads]
            [thread.join() for thread in threads]
        print(wrong)
        """,
        method,
    )
    assert done.lines == ["[]"]


def test_deep_nesting(method: str) -> None:
    """RecursionError on that call; the worker stays."""
    done = tried(
        """
        def deep(depth=100_000):
            value = []
            for _ in range(depth):
                value = [value]
            return value

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            for future in (ex.submit(give, deep()), ex.submit(deep)):
                print(name(future), "recursion" in str(future.exception()).lower())
            values = [deep(1), deep(), deep(2)]
            rows = ex.map(give, values, chunksize=3, return_exceptions=True)
            print([r if type(r) is list else type(r).__name__ for r in rows])
            print(survives(ex, pid))
        """,
        method,
    )
    assert done.lines == [
        "SerializationError True",
        "SerializationError True",
        "[[[]], 'SerializationError', [[[]]]]",
        "True",
    ]


def test_cycles() -> None:
    """What holds itself arrives so."""
    done = tried(
        """
        cycle = [1]
        cycle.append(cycle)
        with executor(1) as ex:
            future = ex.submit(give, cycle)
            print(future.result(10)[1][1][0])
            got, = ex.map(give, [cycle])
            print(got[1][1][0])
        """
    )
    assert done.lines == ["1", "1"]


def test_functions_of_every_kind(method: str) -> None:
    """Lambda, closure, method, partial, `__main__`, decorated name."""
    done = tried(
        """
        from functools import partial
        from operator import itemgetter
        ex = executor(2)

        def closure(n):
            return lambda x: x + n

        class Thing:
            def __init__(self, n=0):
                self.n = n
            def method(self, x):
                return self.n + x
            @classmethod
            def of_class(cls, x):
                return cls.__name__, x
            @staticmethod
            def of_nothing(x):
                return x
            def __call__(self, x):
                return -x
            @processed(executor=ex)
            def decorated(self, x):
                return self.n * x

        @processed(executor=ex)
        def decorated(x):
            return x + 1

        def recursive(n):
            return 0 if n == 0 else 1 + recursive(n - 1)

        def uses_decorated(x):
            return decorated.__wrapped__(x) * 2

        thing = Thing(10)
        for fn, *args in [
            (lambda x: x * 2, 3), (closure(5), 3), (thing.method, 3),
            (Thing.of_class, 3), (Thing.of_nothing, 3), (Thing(), 3),
            (partial(pow, 2), 3), (partial(thing.method), 3), (recursive, 3),
            (uses_decorated, 3), (decorated.__wrapped__, 3), (str.upper, "a"),
            ("abc".__add__, "d"), (itemgetter(0), "abc"), (int, "3"),
            (dict.fromkeys, "ab"), ([1].index, 1),
        ]:
            here = fn(*args)
            if outcome(ex.submit(fn, *args)) != here:
                print("call", fn, outcome(ex.submit(fn, *args)))
            if list(ex.map(fn, args * 2, return_exceptions=True)) != [here] * 2:
                print("map", fn, list(ex.map(fn, args * 2, return_exceptions=True)))
        print(outcome(decorated(1)), list(decorated.map([1, 2])))
        print(outcome(thing.decorated(3)), list(thing.decorated.map([1, 2])))
        print(outcome(ex.submit(give, decorated)) is not None)
        ex.shutdown()
        """,
        method,
    )
    assert done.lines == ["2 [2, 3]", "30 [10, 20]", "True"]
    assert done.err == ""


def test_decorated_function_travels_by_its_name(tmp_path: pathlib.Path) -> None:
    """What its name finds is the decorator's, and that is known."""
    (tmp_path / "named.py").write_text(
        textwrap.dedent(
            """
            from parallelize import processed

            @processed
            def double(x):
                return 2 * x

            class Thing:
                @processed
                def method(self, x):
                    return 3 * x

            @processed
            def both(x):
                return double(x).result() + Thing().method(x).result()
            """
        )
    )
    done = run(
        f"""
        sys.path.append({str(tmp_path)!r})
        import named, pickle
        from parallelize.serialize.pickling import encode_function
        print(encode_function(named.double.__wrapped__)[:13])
        print(pickle.loads(pickle.dumps(named.double)) is named.double)
        print(outcome(named.double(2)), outcome(named.Thing().method(2)))
        print(outcome(named.both(2)), list(named.double.map([1, 2])))
        """
    )
    assert done.lines == ["b'@named:double'", "True", "4 6", "10 [2, 4]"]


def test_buffers_travel_exactly(method: str) -> None:
    """Of every size and kind, both ways, one by one and in rows."""
    done = tried(
        """
        import pickle
        class Buffer:
            def __init__(self, data):
                self.data = data
            def __reduce_ex__(self, protocol):
                return Buffer, (pickle.PickleBuffer(self.data),)
            def same(self, other):
                return bytes(self.data) == bytes(other.data)

        sizes = [0, 1, 1000, (1 << 15) - 1, 1 << 15, (1 << 18) + 3, 5_000_000]
        pattern = bytes(range(251)) * 20_000
        buffers = [Buffer(kind(pattern[:size])) for kind in (bytes, bytearray)
                   for size in sizes]
        many = [Buffer(pattern[:40_000 + i]) for i in range(600)]
        with executor(2) as ex:
            got = [ex.submit(give, b).result(10) for b in buffers]
            print(all(a.same(b) for a, b in zip(buffers, got)))
            got = list(ex.map(give, buffers, chunksize=7))
            print(all(a.same(b) for a, b in zip(buffers, got)))
            got = ex.submit(give, many).result(10)  # more than one sendmsg takes
            print(all(a.same(b) for a, b in zip(many, got)))
        """,
        method,
    )
    assert done.lines == ["True"] * 3


@pytest.mark.parametrize("way", ["argument", "result"])
def test_more_buffers_than_a_frame_takes(way: str) -> None:
    """Thousands of buffers in one value."""
    done = tried(
        f"""
        import pickle
        data = bytes(1 << 15)  # the least that travels beside the pickle
        class Buffer:
            def __init__(self, data):
                self.data = data
            def __reduce_ex__(self, protocol):
                return Buffer, (pickle.PickleBuffer(data),)

        def make():
            return [Buffer(data) for _ in range(4100)]

        with executor(1) as ex:
            pid = ex.submit(os.getpid).result(10)
            if {way!r} == "argument":
                print(outcome(ex.submit(len, make()), 15))
            else:
                future = ex.submit(make)
                error = future.exception(15)
                print(len(future.result()) if error is None else error)
            print(survives(ex, pid))
        """
    )
    assert done.lines == ["4100", "True"]


def test_arrays_travel_exactly() -> None:
    """Empty, read-only, strided, Fortran, structured, 0-dimensional."""
    done = tried(
        """
        import numpy as np
        base = np.arange(60_000, dtype="f8").reshape(200, 300)
        read_only = base.copy()
        read_only.flags.writeable = False
        arrays = [
            np.empty(0), base, read_only, base[::2, ::3], np.asfortranarray(base),
            base.T, base[:, 5], np.array(5.0), np.zeros((0, 7)), base[::-1],
            np.zeros(9000, dtype=[("a", "i4"), ("b", "f8")]),
            np.array(["x" * 40] * 3000), base.astype(">f4"),
            np.array([{"an": "object"}, None], dtype=object),
        ]
        with executor(2) as ex:
            got = [ex.submit(give, a).result(10) for a in arrays]
            got += list(ex.map(give, arrays, chunksize=5))
        for before, after in zip(arrays * 2, got, strict=True):
            if not (before.dtype == after.dtype and before.shape == after.shape
                    and np.array_equal(before, after)):
                print(before.dtype, before.shape, before.flags)
        print("done")
        """
    )
    if "No module named 'numpy'" in done.err:
        pytest.skip("needs numpy")
    assert done.lines == ["done"]


def test_lengths_are_of_64_bits() -> None:
    """A part of 5 GiB (never touched here) has its length in the header."""
    from parallelize.process.wire.frames import pack

    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    with mmap.mmap(-1, 5 << 30, flags=flags) as memory, memoryview(memory) as view:
        head, part = pack(1, 2, [view])
        assert part is view
        assert struct.unpack("<Q", bytes(head)[-8:]) == (5 << 30,)


def test_large_things_both_ways_at_once() -> None:
    """Neither side waits for the other to read."""
    done = tried(
        """
        with executor(2) as ex:
            data = bytes(20_000_000)
            futures = [ex.submit(give, data) for _ in range(4)]
            print([len(f.result(20)) for f in futures] == [20_000_000] * 4)
        """
    )
    assert done.lines == ["True"]
