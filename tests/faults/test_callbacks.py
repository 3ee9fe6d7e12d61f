"""What users hang on futures: callbacks, outcomes of their own, errors (61 to 67)."""

from __future__ import annotations

import pytest
from harness import run


@pytest.mark.parametrize(
    "error", ["ValueError('mine')", "SystemExit(3)", "KeyboardInterrupt()"]
)
def test_callback_raises(method: str, error: str) -> None:
    """It is logged, the other callbacks are called, the pool serves on."""
    done = run(
        f"""
        import logging
        logged = []
        handler = logging.Handler()
        handler.emit = lambda record: logged.append(record.exc_info[0].__name__)
        logging.getLogger("parallelize").addHandler(handler)
        def bad(f): raise {error}
        with executor(2) as ex:
            called = threading.Event()
            f = ex.submit(time.sleep, 0.02)
            f.add_done_callback(bad)
            f.add_done_callback(lambda f: called.set())
            f.add_done_callback(bad)
            others = [ex.submit(abs, -i) for i in range(6)]
            print(called.wait(10), [outcome(o) for o in others], outcome(f))
            print(outcome(ex.submit(abs, -1)), logged)
            f.add_done_callback(bad)  # now it is called here
            print(len(logged))
        """,
        method,
    )
    name = error.split("(", maxsplit=1)[0]
    assert done.lines == [
        "True [0, 1, 2, 3, 4, 5] None",
        f"1 {[name] * 2}",
        "3",
    ]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("ending", ["cancel", "fail", "die"])
def test_callback_raises_whatever_the_end(ending: str) -> None:
    """Also where a call was cancelled, failed or died."""
    done = run(
        f"""
        import logging
        logging.getLogger("parallelize").addHandler(logging.NullHandler())
        logging.getLogger("parallelize").propagate = False
        def bad(f): raise SystemExit
        with executor(1) as ex:
            first = ex.submit(time.sleep, 0.05)
            f = ex.submit(*dict(cancel=[abs, -1], fail=[abs, "x"], die=[os._exit, 1])[{ending!r}])
            f.add_done_callback(bad)
            if {ending!r} == "cancel": print(f.cancel())
            print(outcome(ex.submit(abs, -1)), f.done())
        """
    )
    assert done.lines[-1] == "1 True"
    assert (done.code, done.err) == (0, "")


def test_callback_submits(method: str) -> None:
    """A callback may call on the same pool, in a long chain."""
    done = run(
        """
        ended = threading.Event()
        left = [200]
        with executor(2) as ex:
            def more(f):
                left[0] -= f.result()
                if left[0]: ex.submit(abs, -1).add_done_callback(more)
                else: ended.set()
            ex.submit(abs, -1).add_done_callback(more)
            print(ended.wait(10), left)
        """,
        method,
    )
    assert done.lines == ["True [0]"]
    assert (done.code, done.err) == (0, "")


def test_callback_closes_another_pool_and_makes_a_third() -> None:
    """What a callback does with other pools is its own affair."""
    done = run(
        """
        files = open_files()
        ended = threading.Event()
        a, b = executor(1), executor(1)
        b.submit(abs, -1).result()
        def callback(f):
            b.shutdown()
            with executor(1) as c: print(c.submit(abs, -2).result())
            ended.set()
        a.submit(abs, -1).add_done_callback(callback)
        print(ended.wait(10), a.submit(abs, -3).result())
        a.shutdown()
        print(nothing_left(files))
        """
    )
    assert done.lines == ["2", "True 3", "nothing left"]
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize(
    "meddle", ["f.set_result('mine')", "f.set_exception(ValueError('mine'))"]
)
def test_user_settles_a_future_of_the_pool(method: str, meddle: str) -> None:
    """Queued, running or ended: the pool goes on as if nothing were."""
    done = run(
        f"""
        with executor(1) as ex:
            running = ex.submit(time.sleep, 0.1)
            queued = ex.submit(abs, -1)
            dying = ex.submit(os._exit, 1)
            ended = ex.submit(abs, -1)
            for f in (running, queued, dying):
                try: {meddle}
                except BaseException as error: print(type(error).__name__)
            print([outcome(f) for f in (running, queued, dying)])
            print(outcome(ended), outcome(ex.submit(abs, -2)))
            f = ended
            try: {meddle}
            except BaseException as error: print(type(error).__name__)
            print(ended.cancel(), outcome(ended))
        """,
        method,
    )
    mine = "ValueError: mine" if "exception" in meddle else "mine"
    assert done.lines == [str([mine] * 3), "1 2", "InvalidStateError", "False 1"]
    assert (done.code, done.err) == (0, "")


def test_cancel_races_the_start() -> None:
    """A future cancelled at any moment is cancelled or gives its value."""
    done = run(
        """
        with executor(2) as ex:
            odd = 0
            for _ in range(300):
                f = ex.submit(abs, -1)
                cancelled = f.cancel()
                value = outcome(f)
                odd += value != ("CancelledError: " if cancelled else 1)
            fs = [ex.submit(abs, -1) for _ in range(300)]
            cancelled = [f.cancel() for f in reversed(fs)][::-1]
            odd += sum(outcome(f) != ("CancelledError: " if c else 1) for f, c in zip(fs, cancelled))
            print(odd, outcome(ex.submit(abs, -2)))
        """
    )
    assert done.lines == ["0 2"]
    assert (done.code, done.err) == (0, "")


def test_foreign_waiters_die(method: str) -> None:
    """A waiter of concurrent.futures.wait that times out harms nobody."""
    done = run(
        """
        from concurrent.futures import TimeoutError
        with executor(1) as ex:
            f = ex.submit(time.sleep, 0.2)
            print(len(wait([f], 0.01).not_done))
            try: list(as_completed([f], 0.01))
            except TimeoutError: print("timeout")
            try: f.result(0.01)
            except TimeoutError: print("timeout")
            print(outcome(f), outcome(ex.submit(abs, -1)))
        """,
        method,
    )
    assert done.lines == ["1", "timeout", "timeout", "None 1"]
    assert (done.code, done.err) == (0, "")


def test_each_future_has_an_error_of_its_own(method: str) -> None:
    """Separate objects, with cause, attributes and notes."""
    done = run(
        """
        class Mine(Exception): pass
        shared = Mine("one object")
        def fail():
            shared.code = 7
            shared.__notes__ = ["a note"]
            raise shared
        with executor(1) as ex:
            errors = [f.exception() for f in [ex.submit(fail) for _ in range(3)]]
            print(len(set(map(id, errors))), {(type(e), str(e), e.code) for e in errors} == {(Mine, "one object", 7)})
            print(errors[0].__notes__, type(errors[0].__cause__).__name__)
            print("in fail" in str(errors[0].__cause__), len({id(e.__cause__) for e in errors}))
        """,
        method,
    )
    assert done.lines == ["3 True", "['a note'] RemoteTraceback", "True 3"]
    assert (done.code, done.err) == (0, "")


def test_calls_that_could_not_start_have_errors_of_their_own() -> None:
    """The error of a worker that cannot start is not shared either."""
    done = run(
        """
        def broken(): raise OSError("no such device")
        with executor(1, initializer=broken) as ex:
            errors = [f.exception(20) for f in [ex.submit(abs, i) for i in range(3)]]
        print(len(set(map(id, errors))), all("no such device" in str(e) for e in errors))
        """
    )
    assert done.lines == ["3 True"]


def test_failed_futures_keep_nothing_alive(method: str) -> None:
    """Without the garbage collector, arguments and frames go at once."""
    done = run(
        """
        import gc, weakref
        class Thing:
            def fail(self, *_): raise ValueError
        with executor(2) as ex:
            ex.submit(abs, -1).result()
            gc.collect()
            gc.disable()
            argument = Thing()
            seen = [weakref.ref(argument)]
            futures = [ex.submit(argument.fail, argument) for _ in range(1000)]
            del argument
            wait(futures)
            def read():
                local = Thing()
                seen.append(weakref.ref(local))
                try: futures[-1].result()
                except ValueError: pass
                seen.append(weakref.ref(futures.pop()))
            while futures: read()
            idle = ex.submit(abs, -1).result()  # the dispatcher is past the last one
            print(len(seen), sum(ref() is not None for ref in seen))
        """,
        method,
    )
    assert done.lines == ["2001 0"]
    assert (done.code, done.err) == (0, "")


def test_ended_calls_keep_nothing_alive(method: str) -> None:
    """Nor do results, callbacks, or futures that nobody holds."""
    done = run(
        """
        import gc, weakref
        class Thing:
            def work(self): return self
        with executor(2) as ex:
            ex.submit(abs, -1).result()
            gc.collect()
            gc.disable()
            gone = threading.Event()
            thing = Thing()
            ref = weakref.ref(thing, lambda _: gone.set())
            ex.submit(thing.work)  # the future is dropped
            del thing
            print("argument", gone.wait(10))
            gone.clear()
            thing = Thing()
            ref = weakref.ref(thing, lambda _: gone.set())
            ex.submit(abs, -1).add_done_callback(lambda f, thing=thing: None)
            del thing
            print("callback", gone.wait(10))
            gone.clear()
            result = ex.submit(Thing).result()
            ref = weakref.ref(result, lambda _: gone.set())
            del result
            print("result", gone.wait(10))
        """,
        method,
    )
    assert done.lines == ["argument True", "callback True", "result True"]
    assert (done.code, done.err) == (0, "")
