"""Decorated functions in pickles of others: of a script, and of modules."""

import functools
import pickle

import pytest

from parallelize import processed, threaded
from support.programs import PROGRAMS, TESTS, run_script


def script(name, *args):
    return run_script(PROGRAMS / f"{name}.py", *args, folders=[TESTS]).stdout.split()


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
