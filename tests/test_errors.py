"""The errors by themselves: they say what is wrong, and travel."""

import pickle

import pytest

from parallelize import (
    MissingExtraError,
    RemoteError,
    RemoteTraceback,
    SerializationError,
    TaskKilled,
    TaskTimeout,
    WorkerDied,
    WorkerStartError,
)

ERRORS = [
    MissingExtraError("the dashboard", "web"),
    RemoteError("a.Error", "text"),
    RemoteTraceback("text"),
    SerializationError("text"),
    TaskKilled("a.b"),
    TaskTimeout("a.b", 3.0),
    WorkerDied("a.b", 1, -9),
    WorkerStartError("a.b", "why"),
]


@pytest.mark.parametrize("error", ERRORS, ids=[type(e).__name__ for e in ERRORS])
def test_errors_travel(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)


def test_a_missing_extra_is_an_import_error_that_tells_the_command():
    error = MissingExtraError("the dashboard", "web")
    assert isinstance(error, ImportError)
    assert str(error) == "the dashboard needs more: pip install 'parallelize[web]'"
