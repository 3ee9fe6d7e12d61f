"""A `submit` of the user's own sees each call, as with the standard library's pools."""

import concurrent.futures
import sys
import threading
from unittest import mock

import pytest

from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    SerialExecutor,
    ThreadPoolExecutor,
    parallel_map,
    threaded,
    use,
)
from parallelize.errors import TaskTimeout

POOLS = {
    "thread": (ThreadPoolExecutor, (2,)),
    "process": (ProcessPoolExecutor, (2,)),
    "interpreter": (InterpreterPoolExecutor, (2,)),
    "serial": (SerialExecutor, ()),
}
KINDS = list(POOLS)
if sys.version_info < (3, 14):
    KINDS.remove("interpreter")


class Noting:
    """Mixed into an executor, it notes the calls."""

    def submit(self, fn, /, *args, **kwargs):
        vars(self).setdefault("seen", []).append((fn, args, kwargs))
        return super().submit(fn, *args, **kwargs)

    def taken(self):
        seen, self.seen = self.seen, []
        return [args for _, args, _ in seen]


def noting(kind):
    base, args = POOLS[kind]
    return type("Noting" + base.__name__, (Noting, base), {})(*args)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def pool(kind):
    with noting(kind) as executor:
        yield executor


def add(a, b=1):
    return a + b


async def add_async(a, b=1):
    return a + b


EACH = [(1,), (2,), (3,)]


def test_each_way_to_call_is_seen(pool):
    assert pool.submit(add, 1, b=2).result() == 3
    assert pool.seen == [(add, (1,), {"b": 2})]
    assert pool.taken() == [(1,)]
    assert list(pool.map(add, [1, 2, 3])) == [2, 3, 4]
    assert {fn for fn, _, _ in pool.seen} == {add}
    assert pool.taken() == EACH
    assert list(pool.map(add, [1, 2], [3, 4], chunksize=2)) == [4, 6]
    assert pool.taken() == [(1, 3), (2, 4)]
    assert list(parallel_map(add, [1, 2, 3], executor=pool)) == [2, 3, 4]
    assert pool.taken() == EACH
    f = threaded(executor=pool)(add)
    assert f(1).result() == 2
    assert pool.taken() == [(1,)]
    assert sorted(f.map([1, 2, 3], ordered=False)) == [2, 3, 4]
    assert pool.taken() == EACH
    assert list(f.starmap([(1, 2)])) == [3]
    assert pool.taken() == [(1, 2)]


def test_coroutine_functions_are_seen(pool):
    f = threaded(executor=pool)(add_async)
    assert f(1).result() == 2
    assert list(f.map([1, 2, 3])) == [2, 3, 4]
    assert pool.taken() == [(1,), *EACH]


def test_redirected_calls_are_seen(pool):
    f = threaded(add)
    with use(pool):
        assert f(1).result() == 2
        assert list(f.map([1, 2, 3])) == [2, 3, 4]
    assert pool.taken() == [(1,), *EACH]


def fail_until(path, value):
    with open(path, "a+") as file:
        file.write("x")
        file.seek(0)
        if len(file.read()) < 3:
            raise OSError
    return value


def test_the_options_of_the_function_hold(pool, tmp_path):
    f = threaded(executor=pool, retries=2)(fail_until)
    assert f(str(tmp_path / "one"), 5).result() == 5
    assert list(f.map([str(tmp_path / "two")], [6])) == [6]
    # They are of that call, and of no other.
    assert pool.submit(fail_until, str(tmp_path / "three"), 7).exception() is not None
    assert len(pool.taken()) == 3


def block(path):
    with open(path) as pipe:  # until somebody opens its other end
        return pipe.read()


def test_a_timeout_of_the_function_kills_in_processes(tmp_path):
    import os

    path = tmp_path / "pipe"
    os.mkfifo(path)
    with noting("process") as pool:
        f = threaded(executor=pool, timeout=0.2)(block)
        with pytest.raises(TaskTimeout):
            f(str(path)).result(20)
        assert pool.taken() == [(str(path),)]


def double(fn, /, *args):
    return 2 * fn(*args)


def test_it_may_change_the_call_and_the_future(kind):
    base, args = POOLS[kind]

    class Doubling(base):
        def submit(self, fn, /, *args, **kwargs):
            return super().submit(double, fn, *args, **kwargs)

    with Doubling(*args) as pool:
        assert list(pool.map(add, [1, 2])) == [4, 6]
        assert threaded(executor=pool)(add)(2).result() == 6

    class Elsewhere(base):
        def submit(self, fn, /, *args, **kwargs):
            future = concurrent.futures.Future()
            future.set_result(("elsewhere", *args))
            return future

    with Elsewhere(*args) as pool:
        assert list(pool.map(add, [1, 2])) == [("elsewhere", 1), ("elsewhere", 2)]
        assert threaded(executor=pool)(add)(2).result() == ("elsewhere", 2)


def test_overridden_twice(kind):
    class More(Noting, POOLS[kind][0]):
        outer = 0

        def submit(self, fn, /, *args, **kwargs):
            self.outer += 1
            return super().submit(fn, *args, **kwargs)

    with More(*POOLS[kind][1]) as pool:
        assert list(pool.map(add, [1, 2, 3])) == [2, 3, 4]
        assert (pool.outer, pool.taken()) == (3, EACH)


def test_a_map_of_the_users_own(kind):
    class Listing(POOLS[kind][0]):
        def map(self, fn, *iterables, **options):
            return list(super().map(fn, *iterables, **options))

    with Listing(*POOLS[kind][1]) as pool:
        assert pool.map(add, [1, 2]) == [2, 3]


def test_put_into_an_object(kind):
    base, args = POOLS[kind]
    with base(*args) as pool:
        f = threaded(executor=pool)(add)
        seen = []
        ours = pool.submit

        def submit(fn, /, *args, **kwargs):
            seen.append(args)
            return ours(fn, *args, **kwargs)

        pool.submit = submit
        assert f(1).result() == 2
        assert list(f.map([1, 2, 3])) == [2, 3, 4]
        assert list(pool.map(add, [1, 2, 3])) == [2, 3, 4]
        assert seen == [(1,), *EACH, *EACH]
        del pool.submit
        assert f(1).result() == 2
        assert list(pool.map(add, [1])) == [2]
        assert len(seen) == 7


def test_a_mock(kind):
    base, args = POOLS[kind]
    with base(*args) as pool:
        f = threaded(executor=pool)(add)
        with mock.patch.object(pool, "submit", wraps=pool.submit) as spy:
            assert f(1).result() == 2
            assert list(f.map([2, 3])) == [3, 4]
        assert spy.call_args_list == [mock.call(add, n) for n in (1, 2, 3)]
        with mock.patch.object(pool, "submit") as stub:
            stub.return_value.result.return_value = "stub"
            assert f(1).result() == "stub"
            assert list(pool.map(add, [2, 3])) == ["stub", "stub"]
        with mock.patch.object(pool, "submit") as stub:
            stub.return_value.result.side_effect = KeyError
            with pytest.raises(KeyError):
                f(1).result()
        assert f(1).result() == 2


def test_its_error_is_the_callers(kind):
    base, args = POOLS[kind]
    with base(*args) as pool:
        f = threaded(executor=pool)(add)
        with mock.patch.object(pool, "submit", side_effect=ZeroDivisionError):
            with pytest.raises(ZeroDivisionError):
                f(1)
            with pytest.raises(ZeroDivisionError):
                list(pool.map(add, [1]))
        assert f(1).result() == 2


def test_calls_of_several_threads_keep_their_options(tmp_path):
    with noting("thread") as pool:
        meet = threading.Barrier(2, timeout=20)

        def submit(fn, /, *args, **kwargs):
            meet.wait()
            return ThreadPoolExecutor.submit(pool, fn, *args, **kwargs)

        pool.submit = submit
        patient = threaded(executor=pool, retries=2)(fail_until)
        futures = {}

        def call(name, f):
            futures[name] = f(str(tmp_path / name), name)

        threads = [
            threading.Thread(target=call, args=args)
            for args in (
                ("patient", patient),
                ("hasty", threaded(executor=pool)(fail_until)),
            )
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert futures["patient"].result() == "patient"
        assert isinstance(futures["hasty"].exception(), OSError)
        del pool.submit


def test_put_into_a_class(kind):
    base, args = POOLS[kind]
    heir = type("Heir", (base,), {})
    with base(*args) as pool, heir(*args) as inherits:
        assert list(pool.map(add, [1])) == [2]
        ours, seen = base.submit, []

        def submit(self, fn, /, *args, **kwargs):
            seen.append(args)
            return ours(self, fn, *args, **kwargs)

        with mock.patch.object(base, "submit", submit):
            assert list(pool.map(add, [1, 2, 3])) == [2, 3, 4]
            assert list(threaded(executor=pool)(add).map([1, 2, 3])) == [2, 3, 4]
            assert list(inherits.map(add, [1, 2, 3])) == [2, 3, 4]
            with base(*args) as made_meanwhile:
                assert list(made_meanwhile.map(add, [1, 2, 3])) == [2, 3, 4]
        assert seen == EACH * 4
        assert list(pool.map(add, [1, 2])) == [2, 3]
        assert list(inherits.map(add, [1, 2])) == [2, 3]
        assert len(seen) == 12
        assert base._entry is base._submit  # the shorter way is taken again


def test_the_options_hold_with_a_class_patched_again_and_again(kind, tmp_path):
    base, args = POOLS[kind]
    patched = type("Patched", (base,), {})
    with patched(*args) as pool:
        f = threaded(executor=pool, retries=2)(fail_until)
        ours, seen = base.submit, []

        def submit(self, fn, /, *args, **kwargs):
            seen.append(args)
            return ours(self, fn, *args, **kwargs)

        for name in "abc":
            with mock.patch.object(patched, "submit", submit):
                assert list(f.map([str(tmp_path / name)], [6])) == [6]
        assert len(seen) == 3
