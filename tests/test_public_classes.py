"""Which attributes the public classes show, and that those are all that they show.

What is not in these lists has a leading underscore: users and their editors see what
is documented, and the rest may change.
"""

import inspect
import itertools
from concurrent import futures

import pytest

import parallelize

EXECUTOR = {"kind", "map", "shutdown", "submit"}

#: The public attributes of each public class, without those of the standard
#: library's exceptions.
ATTRIBUTES = {
    "ClusterLost": set(),
    "DaskExecutor": {*EXECUTOR, "client"},
    "Executor": EXECUTOR - {"kind"},  # each kind has its own
    "InterpreterPoolExecutor": EXECUTOR,
    "Limit": set(),
    "MapIterator": {"aclose", "close"},
    "MissingExtraError": set(dir(ImportError)) - set(dir(Exception)),
    "ParallelFunction": {"map", "options", "starmap"},
    "ParallelizeError": set(),
    "ProcessPoolExecutor": {*EXECUTOR, "kill_workers", "terminate_workers"},
    "RayExecutor": EXECUTOR,
    "RemoteError": set(),
    "RemoteTraceback": {"tb"},
    "SerialExecutor": EXECUTOR,
    "SerializationError": set(),
    "Shared": {"get", "nbytes"},
    "Stream": {"aclose", "close"},
    "StreamFunction": {"map", "options", "starmap"},
    "TaskGroup": {"start"},
    "TaskKilled": set(),
    "TaskTimeout": set(dir(OSError)) - set(dir(Exception)),
    "ThreadPoolExecutor": EXECUTOR,
    "WorkerDied": set(),
    "WorkerStartError": set(),
    "trace": {"calls", "records", "span", "summary", "to_html", "to_json"},
}


#: Helpers of the standard library's pools that PEP 3148 does not name.
NOT_OURS = {"BROKEN", "prepare_context"}


def shown(kind):
    inherited = set(dir(Exception)) if issubclass(kind, Exception) else set()
    return {name for name in dir(kind) if not name.startswith("_")} - inherited


def test_each_public_class_is_in_the_list():
    """Those that are the standard library's own have what it gives them."""
    classes = {
        name
        for name in parallelize.__all__
        if inspect.isclass(thing := getattr(parallelize, name))
        and thing.__module__.startswith("parallelize")
    }
    assert set(ATTRIBUTES) | {"Future"} == classes


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_public_class_shows_what_is_documented(name):
    kind = getattr(parallelize, name)
    assert inspect.isclass(kind)
    assert shown(kind) == ATTRIBUTES[name]


@pytest.mark.parametrize(
    "name",
    ["Executor", "Future", "ThreadPoolExecutor", "ProcessPoolExecutor"]
    + ["InterpreterPoolExecutor"] * hasattr(futures, "InterpreterPoolExecutor"),
)
def test_a_class_has_what_that_of_the_standard_library_shows(name):
    theirs = shown(getattr(futures, name)) - NOT_OURS
    assert theirs <= shown(getattr(parallelize, name))


def test_a_map_is_an_iterator_and_nothing_of_itertools_to_its_users():
    assert itertools.chain not in parallelize.MapIterator.__mro__
    with parallelize.ThreadPoolExecutor(1) as executor:
        results = executor.map(abs, [-1, 2])
        assert isinstance(results, parallelize.MapIterator)
        assert iter(results) is results
        assert next(results) == 1
        assert list(results) == [2]
