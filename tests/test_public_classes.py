"""Which attributes the public classes show, and that those are all that they show.

What is not in these lists has a leading underscore: users and their editors see what
is documented, and the rest may change.
"""

import inspect
import itertools
import re
from concurrent import futures

import pytest

import parallelize
from fenced import ROOT

EXECUTOR = {"kind", "map", "shutdown", "stats", "submit", "warm"}
NUMBERS = "workers busy queued running done failed retried killed died"
EVENT = "kind call name executor calls worker outcome attempt moment"
PRIVATE = {name for name in dir(futures.Future) if name.startswith("_")}

#: The public attributes of each public class, without those of the standard
#: library's exceptions.
ATTRIBUTES = {
    "CheckpointError": set(),
    "ClusterLost": set(),
    "DaskExecutor": {*EXECUTOR, "client"},
    "Event": set(EVENT.split()),
    "Executor": EXECUTOR - {"kind"},  # each kind has its own
    "Future": {*dir(futures.Future), "kill", "proxy"} - PRIVATE,
    "InterpreterPoolExecutor": EXECUTOR,
    "Limit": set(),
    "MapIterator": {"aclose", "close"},
    "MissingExtraError": set(dir(ImportError)) - set(dir(Exception)),
    "ParallelFunction": {"map", "options", "starmap", "warm"},
    "ParallelizeError": set(),
    "PerWorker": set(),
    "PerWorkerError": set(),
    "ProcessPoolExecutor": {*EXECUTOR, "kill_workers", "terminate_workers"},
    "QueueFull": set(),
    "RateLimit": {"pause"},
    "RayExecutor": EXECUTOR,
    "RemoteError": set(),
    "RemoteTraceback": {"tb"},
    "SerialExecutor": EXECUTOR,
    "SerializationError": set(),
    "Shared": {"get", "nbytes"},
    "Stats": set(NUMBERS.split()),
    "Stream": {"aclose", "close"},
    "StreamFunction": {"map", "options", "starmap", "warm"},
    "TaskGroup": {"cancel", "start"},
    "TaskKilled": set(),
    "TaskTimeout": set(dir(OSError)) - set(dir(Exception)),
    "ThreadPoolExecutor": EXECUTOR,
    "Worker": {"count", "index", "kind"},
    "WorkerDied": set(),
    "WorkerStartError": set(),
    "observe": set(),
    "trace": {"calls", "records", "span", "summary", "to_html", "to_json"},
}


#: Helpers of the standard library's pools that PEP 3148 does not name.
NOT_OURS = {"BROKEN", "prepare_context"}


def visible(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def shown(kind):
    inherited = set(dir(Exception)) if issubclass(kind, Exception) else set()
    return visible(kind) - inherited


def test_each_public_class_is_in_the_list():
    """Those that are the standard library's own have what it gives them."""
    classes = {
        name
        for name in parallelize.__all__
        if inspect.isclass(thing := getattr(parallelize, name))
        and thing.__module__.startswith("parallelize")
    }
    assert set(ATTRIBUTES) == classes


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_public_class_shows_what_is_documented(name):
    kind = getattr(parallelize, name)
    assert inspect.isclass(kind)
    assert shown(kind) == ATTRIBUTES[name]


def documented():
    """The members that docs/api.md lists for each class."""
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    classes = re.findall(
        r"^\.\. autoclass:: (\w+).*\n((?:   .*\n|\n(?=   ))*)", page, re.M
    )
    return {name: set(_members(block)) for name, block in classes}


def _members(block):
    for listed in re.findall(r":members: (.*)$", block, re.M):
        yield from listed.split(", ")
    yield from re.findall(r"auto\w+:: (\w+)", block)


@pytest.mark.parametrize(
    "name",
    [n for n in ATTRIBUTES if not issubclass(getattr(parallelize, n), Exception)],
)
def test_what_a_class_shows_is_in_the_reference(name):
    own, lists = ATTRIBUTES[name], documented()
    bases = [base.__name__ for base in getattr(parallelize, name).__mro__]
    theirs = (
        set(dir(futures.Future)) if name == "Future" else set()
    )  # some are for executors alone
    assert own <= theirs.union(*(lists.get(base, ()) for base in bases))
    assert {each for each in lists[name] if not each.startswith("_")} <= own | {"kind"}


def test_objects_show_no_more_than_their_classes():
    decorated = parallelize.threaded(abs)
    assert visible(decorated) == ATTRIBUTES["ParallelFunction"]
    assert visible(parallelize.Limit(2)) == {"count"}
    assert visible(parallelize.Future()) <= ATTRIBUTES["Future"]
    for make in (
        parallelize.ThreadPoolExecutor,
        parallelize.ProcessPoolExecutor,
        parallelize.SerialExecutor,
        parallelize.TaskGroup,
        parallelize.trace,
        lambda: parallelize.share([1]),
    ):
        made = make()
        assert visible(made) == shown(type(made))
        getattr(made, "shutdown", bool)()


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
        assert visible(results) == ATTRIBUTES["MapIterator"]
        assert iter(results) is results
        assert next(results) == 1
        assert list(results) == [2]
