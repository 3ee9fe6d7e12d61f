"""Which tests are run on this Python: start methods take turns, long ones run once.

How a worker starts is one matter, and what most tests are about is another. So of the
start methods that a test has as a parameter, a run tries one. Which one it is depends
on the test, so that every run has all of them, and on the Python, so that every test
has had each of them once it has run on 3.11, 3.14 and 3.15, as in `.ci/run`.

A test that is marked `every_method`, or runs on one Python alone, has all of them each
time. A test that is marked `long` runs on 3.14. ``pytest --whole`` runs all on any.
"""

import collections
import re
import sys
import zlib

#: Which turn it is on a Python, by its minor version.
TURNS = {11: 0, 12: 1, 13: 2, 14: 1, 15: 2}

#: The minor version of the Python on which the long tests run.
LONG_ON = 14

#: Folders whose tests run on one Python.
ON_ONE_PYTHON = {"engines", "frameworks", "interop", "world"}

_METHOD = re.compile(
    r"(?<=[\[-])(?:process-(?:default|spawn|fork)|forkserver|spawn|fork)(?=[\]-])"
    r"|(?<=::ProcessPool)(?:Forkserver|Spawn|Fork)(?=\w*::)"  # the standard library's
)


def split(items, minor=sys.version_info.minor):
    """Return the tests that run on a Python, and the others, each in order."""
    methods = collections.defaultdict(set)
    for item in items:
        methods[_but_for_the_method(item)].add(_method_of(item))
    due, others = [], []
    for item in items:
        (due if _is_due(item, methods, minor) else others).append(item)
    return due, others


def _is_due(item, methods, minor):
    if minor != LONG_ON and item.get_closest_marker("long"):
        return False
    method = _method_of(item)
    if method is None or _has_all(item):
        return True
    test = _but_for_the_method(item)
    choice = sorted(methods[test])
    turn = zlib.crc32(test.encode()) + TURNS.get(minor, 0)
    return choice[turn % len(choice)] == method


def _has_all(item):
    return item.get_closest_marker("every_method") or (
        ON_ONE_PYTHON.intersection(item.path.parts)
    )


def _method_of(item):
    found = _METHOD.search(item.nodeid)
    return found and found[0]


def _but_for_the_method(item):
    return _METHOD.sub("*", item.nodeid, count=1)
