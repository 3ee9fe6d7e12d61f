"""Future.proxy: a stand-in that waits, and behaves as the value."""

import collections.abc
import copy
import functools
import os
import pickle
import threading

import cloudpickle
import pytest

import tasks
from parallelize import Future, ProcessPoolExecutor, ThreadPoolExecutor, parallelized

np = pytest.importorskip("numpy")


def proxy(value):
    future = Future()
    future.set_result(value)
    return future.proxy()


def test_it_waits_when_it_is_first_used_and_not_before():
    future = Future()
    stand_in = future.proxy()
    timer = threading.Timer(0.05, future.set_result, [41])
    timer.start()
    assert not future.done()
    assert stand_in + 1 == 42
    timer.join()


def test_the_calls_error_comes_at_each_use():
    future = Future()
    stand_in = future.proxy()
    future.set_exception(KeyError("lost"))
    for use in (str, len, bool, lambda p: p + 1, lambda p: p.attribute):
        with pytest.raises(KeyError, match="lost"):
            use(stand_in)


def test_it_is_made_by_a_decorated_function():
    with ThreadPoolExecutor(1) as executor:
        double = parallelized(executor)(tasks.double)
        assert double(double(4).proxy()).proxy() == 16


OPERATIONS = {
    "add": lambda p: p + 2,
    "radd": lambda p: 2 + p,
    "sub": lambda p: 10 - p,
    "mul": lambda p: p * p,
    "truediv": lambda p: 7 / p,
    "floordiv": lambda p: p // 2,
    "mod": lambda p: p % 2,
    "divmod": lambda p: divmod(7, p),
    "pow": lambda p: pow(p, 3, 5),
    "neg": lambda p: -p,
    "abs": lambda p: abs(p),
    "invert": lambda p: ~p,
    "shift": lambda p: 1 << p,
    "and": lambda p: p & 1,
    "compare": lambda p: (p < 4, p <= 3, p == 3, p != 3, p > 3, p >= 3),
    "hash": hash,
    "int": int,
    "float": float,
    "complex": complex,
    "bool": bool,
    "str": str,
    "repr": repr,
    "format": lambda p: f"{p:04d} {p!r}",
    "percent": lambda p: "%d" % p,  # noqa: UP031
    "index": lambda p: [0, 1, 2, 3][p],
    "range": lambda p: list(range(p)),
    "round": round,
    "attribute": lambda p: p.real,
    "method": lambda p: p.bit_length(),
    "dir": dir,
    "key": lambda p: {3: "x"}[p],
    "member": lambda p: p in {3, 4},
    "class": lambda p: p.__class__,
    "type check": lambda p: (isinstance(p, int), isinstance(p, str)),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_it_behaves_as_the_number(operation):
    assert operation(proxy(3)) == operation(3)


SEQUENCES = {
    "len": len,
    "item": lambda p: p[1],
    "slice": lambda p: p[1:],
    "iterate": list,
    "unpack": lambda p: [*p],
    "in": lambda p: 2 in p,
    "reversed": lambda p: list(reversed(p)),
    "sorted": sorted,
    "add": lambda p: p + [4],
    "method": lambda p: p.index(3),
    "zip": lambda p: list(zip(p, p, strict=True)),
    "repr": repr,
}


@pytest.mark.parametrize("operation", SEQUENCES.values(), ids=SEQUENCES)
def test_it_behaves_as_the_list(operation):
    assert operation(proxy([1, 2, 3])) == operation([1, 2, 3])


def test_mappings_iterators_and_calls():
    assert dict(**proxy({"a": 1})) == {"a": 1}
    assert {**proxy({"a": 1})} == {"a": 1}
    assert list(proxy({"a": 1})) == ["a"]
    assert next(proxy(iter([5]))) == 5
    assert [*proxy(x for x in range(3))] == [0, 1, 2]
    function = proxy(tasks.double)
    assert function.__name__ == "double"
    assert function(3) == 6


def later(value):
    """A stand-in for what is not there yet when it is made, and is when it is used."""
    future = Future()
    stand_in = future.proxy()
    future.set_result(value)
    return stand_in


CALLS = {
    "call": lambda p: p(-2),
    "keyword": lambda p: sorted([-2], key=p) == [-2] and 2,
    "map": lambda p: next(map(p, [-2])),
    "partial": lambda p: functools.partial(p, -2)(),
}


@pytest.mark.parametrize("operation", CALLS.values(), ids=CALLS)
def test_its_first_use_may_be_a_call(operation):
    assert operation(later(abs)) == 2


def test_callable_tells_the_truth_once_the_value_is_there():
    for value in (3, None, [1], abs, tasks.double):
        assert callable(proxy(value)) == callable(value)
        used = later(value)
        repr(used)
        assert callable(used) == callable(value)


def test_a_first_use_that_is_a_wrong_call_says_what_the_value_is():
    stand_in = later(3)
    with pytest.raises(TypeError, match="'int' object is not callable"):
        stand_in()
    assert not callable(stand_in)
    assert stand_in + 1 == 4


def test_a_proxy_of_a_failed_call_is_made_without_its_error():
    future = Future()
    future.set_exception(KeyError("lost"))
    stand_in = future.proxy()
    with pytest.raises(KeyError, match="lost"):
        stand_in()


def test_changes_reach_the_value():
    value = [1]
    stand_in = proxy(value)
    stand_in[0] = 7
    stand_in.append(8)
    assert value == [7, 8]
    del stand_in[0]
    assert value == [8]


def test_in_place_operators_leave_other_names_alone():
    number = proxy(3)
    other = number
    number += 1
    assert (number, other) == (4, 3)
    value = [1]
    items = proxy(value)
    items += [2]
    assert value == [1, 2]
    assert items is value


@pytest.mark.parametrize(
    "value", [3, "text", [1], {"a": 1}, {1}, tasks.double, iter([]), None, b"x"]
)
@pytest.mark.parametrize(
    "abstract",
    [
        "Sized",
        "Iterable",
        "Container",
        "Hashable",
        "Iterator",
        "Callable",
        "Awaitable",
        "Sequence",
        "Mapping",
        "Reversible",
    ],
)
def test_isinstance_of_abstract_classes(value, abstract):
    abstract = getattr(collections.abc, abstract)
    assert isinstance(proxy(value), abstract) == isinstance(value, abstract)


@pytest.mark.parametrize(
    "operation", [iter, len, hash, next, lambda p: p[0], lambda p: p + 1, lambda p: p()]
)
@pytest.mark.parametrize("value", [3, None, [1]])
def test_what_the_value_cannot_the_proxy_cannot(operation, value):
    try:
        operation(value)
    except TypeError:
        with pytest.raises(TypeError):
            operation(proxy(value))
    else:
        operation(proxy(value))


def test_context_manager_and_path(tmp_path):
    path = tmp_path / "file"
    path.write_text("x")
    with proxy(path.open()) as file:
        assert file.read() == "x"
    with open(proxy(str(path))) as file:
        assert file.read() == "x"
    assert os.fspath(proxy(path)) == str(path)


@pytest.mark.parametrize("value", [3, [1, 2], {"a": (1, 2)}, None, "x"])
@pytest.mark.parametrize("package", [pickle, cloudpickle])
def test_it_is_pickled_and_copied_as_the_value(value, package):
    for again in (
        package.loads(package.dumps(proxy(value))),
        copy.copy(proxy(value)),
        copy.deepcopy(proxy(value)),
    ):
        assert type(again) is type(value)
        assert again == value


def test_as_an_argument_it_travels_to_a_process():
    with ProcessPoolExecutor(2) as executor:
        first = executor.submit(tasks.double, 4).proxy()
        assert executor.submit(tasks.double, first).result() == 16
        echo = executor.submit(tasks.echo, [first], a={"k": first})
        assert echo.result() == (([8],), {"a": {"k": 8}})


def test_as_an_argument_of_a_process_it_does_not_wait_in_the_caller():
    future = Future()
    with ProcessPoolExecutor(1) as executor:
        doubled = executor.submit(tasks.double, future.proxy())
        assert not doubled.done()
        future.set_result(21)
        assert doubled.result() == 42


def test_as_an_argument_of_a_thread_it_waits_there():
    with ThreadPoolExecutor(2) as executor:
        first = executor.submit(tasks.double, 4).proxy()
        assert executor.submit(tasks.double, first).result() == 16


# ------------------------------------------------------------------ numpy, pandas

ARRAY = np.arange(6.0).reshape(2, 3)

WITH_NUMPY = {
    "asarray": np.asarray,
    "matmul": lambda p: p @ ARRAY.T,
    "rmatmul": lambda p: ARRAY.T @ p,
    "add": lambda p: p + ARRAY,
    "radd": lambda p: ARRAY + p,
    "scalar": lambda p: 2.0 * p,
    "ufunc": np.sin,
    "ufunc of two": lambda p: np.add(p, p),
    "reduce": np.sum,
    "ufunc method": lambda p: np.add.reduce(p, axis=1),
    "function": lambda p: np.concatenate([p, p]),
    "stack": lambda p: np.stack((p, p)),
    "dot": lambda p: np.dot(p, ARRAY.T),
    "norm": np.linalg.norm,
    "method": lambda p: p.mean(axis=0),
    "item": lambda p: p[1, 2],
    "mask": lambda p: p[p > 2],
    "where": lambda p: np.where(p > 2, p, 0),
    "compare": lambda p: p > 2,
    "shape": lambda p: p.shape,
    "transposed": lambda p: p.T,
}


@pytest.mark.parametrize("operation", WITH_NUMPY.values(), ids=WITH_NUMPY)
def test_numpy_takes_it_as_the_array(operation):
    expected = operation(ARRAY)
    got = operation(proxy(ARRAY))
    assert type(got) is type(expected)
    np.testing.assert_array_equal(got, expected)


def test_numpy_takes_scalars_and_lists_of_proxies():
    assert np.asarray(proxy(3)).dtype == np.asarray(3).dtype
    assert np.array([proxy(3), proxy(4)]).tolist() == [3, 4]
    assert np.array([proxy(3), proxy(4)]).dtype == np.array([3]).dtype
    assert np.asarray(proxy([1, 2])).tolist() == [1, 2]
    assert type(np.sin(proxy(1.0))) is np.float64
    assert np.shares_memory(np.asarray(proxy(ARRAY)), ARRAY)
    target = np.zeros(2)
    target[:] = proxy(np.ones(2))
    target[0] = proxy(7.0)
    target += proxy(np.ones(2))
    assert target.tolist() == [8.0, 2.0]
    assert ARRAY[proxy(1)].tolist() == [3, 4, 5]


def frames():
    pandas = pytest.importorskip("pandas")
    return pandas, pandas.DataFrame({"a": [1, 2], "b": [3.0, 4.0]})


WITH_PANDAS = {
    "concat": lambda pd, df, p: pd.concat([p, df]),
    "frame of frame": lambda pd, df, p: pd.DataFrame(p),
    "merge": lambda pd, df, p: p.merge(df, on="a"),
    "merge with": lambda pd, df, p: df.merge(p, on="a"),
    "add": lambda pd, df, p: df + p,
    "column": lambda pd, df, p: p["a"] * 2,
    "attribute": lambda pd, df, p: p.a.sum(),
    "loc": lambda pd, df, p: p.loc[p.a > 1],
    "groupby": lambda pd, df, p: p.groupby("a").sum(),
    "numpy": lambda pd, df, p: np.sqrt(p),
    "asarray": lambda pd, df, p: np.asarray(p),
    "isinstance": lambda pd, df, p: isinstance(p, pd.DataFrame),
    "repr": lambda pd, df, p: repr(p),
}


@pytest.mark.parametrize("operation", WITH_PANDAS.values(), ids=WITH_PANDAS)
def test_pandas_takes_it_as_the_frame(operation):
    pandas, frame = frames()
    expected, got = (
        operation(pandas, frame, frame),
        operation(pandas, frame, proxy(frame)),
    )
    assert type(got) is type(expected)
    if isinstance(expected, (pandas.DataFrame, pandas.Series)):
        assert got.equals(expected)
    else:
        np.testing.assert_array_equal(got, expected)


def test_pandas_takes_series_masks_and_numbers():
    pandas, frame = frames()
    assert (np.ones(2) + proxy(frame.a)).equals(np.ones(2) + frame.a)
    assert (frame.a * proxy(2)).tolist() == [2, 4]
    assert (proxy(2) * frame.a).tolist() == [2, 4]
    assert frame[proxy(frame.a > 1)].a.tolist() == [2]
    assert frame.assign(c=proxy(frame.a)).c.tolist() == [1, 2]
    assert pandas.Series(proxy(np.arange(2))).tolist() == [0, 1]
    assert pandas.DataFrame(proxy({"x": [1]})).x.tolist() == [1]
