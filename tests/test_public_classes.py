"""Which attributes the public classes show, and that those are all that they show.

What is not in these lists has a leading underscore: users and their editors see what
is documented, and the rest may change.
"""

import inspect
import itertools

import pytest

import parallelize

#: The public attributes of each public class, without those of the standard
#: library's exceptions.
ATTRIBUTES = {
    "MapIterator": {"aclose", "close"},
    "ParallelFunction": {"map", "options", "starmap"},
    "Stream": {"aclose", "close"},
    "StreamFunction": {"map", "options", "starmap"},
    "TaskGroup": {"start"},
    "trace": {"calls", "records", "span", "summary", "to_html", "to_json"},
}


def shown(kind):
    inherited = set(dir(Exception)) if issubclass(kind, Exception) else set()
    return {name for name in dir(kind) if not name.startswith("_")} - inherited


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_a_public_class_shows_what_is_documented(name):
    kind = getattr(parallelize, name)
    assert inspect.isclass(kind)
    assert shown(kind) == ATTRIBUTES[name]


def test_a_map_is_an_iterator_and_nothing_of_itertools_to_its_users():
    assert itertools.chain not in parallelize.MapIterator.__mro__
    with parallelize.ThreadPoolExecutor(1) as executor:
        results = executor.map(abs, [-1, 2])
        assert isinstance(results, parallelize.MapIterator)
        assert iter(results) is results
        assert next(results) == 1
        assert list(results) == [2]
