"""Decorated functions in pickles of others: of a script, and of modules."""

import functools
import os
import pathlib
import pickle
import subprocess
import sys

import pytest

import parallelize
from parallelize import processed, threaded

HERE = pathlib.Path(__file__).parent


def script(name, *args):
    path = os.pathsep.join(
        [os.path.dirname(os.path.dirname(parallelize.__file__)), str(HERE)]
    )
    done = subprocess.run(
        [sys.executable, HERE / "programs" / f"{name}.py", *args],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_pickle_finds_functions_of_a_script_by_name():
    assert script("pickled_functions", "pickled") == ["done"]


def test_cloudpickle_takes_them_along():
    assert script("pickled_functions", "valued") == ["done"]


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_they_are_targets_of_multiprocessing(method):
    assert script("pickled_functions", "targets", method) == ["done"]


def noted(fn):
    @functools.wraps(fn)
    def inner(*args, **kwargs):
        return fn(*args, **kwargs)

    return inner


@noted
@processed
def below(x):
    return x + 1


@noted
@noted
@threaded
@noted
def far_below(x):
    return x + 2


nameless = threaded(lambda x: x + 3)


def taken(x):
    return x + 4


other_name = threaded(taken)


@pytest.mark.parametrize(
    "fn",
    [below.__wrapped__, far_below.__wrapped__.__wrapped__, nameless, other_name],
)
def test_a_name_leads_to_functions_of_modules(fn):
    again = pickle.loads(pickle.dumps(fn))
    assert again is fn


def test_a_name_that_leads_nowhere_says_so(monkeypatch):
    data = pickle.dumps(below.__wrapped__)
    monkeypatch.setitem(globals(), "below", None)
    with pytest.raises(AttributeError, match=r"no decorated 'below'"):
        pickle.loads(data)
