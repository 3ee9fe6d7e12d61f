"""The digest of a row is the same for equal rows, in every run of the program."""

import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import os
import pathlib
import subprocess
import sys
import threading
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallelize.mapping.checkpoint.digest import UndigestibleError, digest_of


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


@dataclasses.dataclass(frozen=True)
class User:
    id: int
    tags: frozenset[str]


class Point:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x, self.y = x, y


DIFFERENT = [
    1,
    1.0,
    True,
    "1",
    b"1",
    None,
    -0.0,
    0.0,
    10**5000,
    10**5000 + 1,
    (1,),
    [1],
    {1},
    frozenset({1}),
    {1: 1},
    {1: 1, 2: 2},
    {2: 2, 1: 1},
    [[1], 2],
    [[1, 2]],
    "a" * 1000,
    "a" * 1001,
    bytearray(b"1"),
    Colour.RED,
    Colour.BLUE,
    User(1, frozenset("abc")),
    User(2, frozenset("abc")),
    Point(1, 2),
    Point(2, 1),
    dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    decimal.Decimal("1.0"),
    decimal.Decimal("1.00"),
    pathlib.PurePosixPath("a"),
    uuid.UUID(int=1),
    range(3),
    range(4),
    collections.OrderedDict(a=1),
    collections.Counter("aab"),
    collections.deque([1]),
    str,
    User,
    print,
    os.path.join,
    functools.partial(int, base=2),
]


def test_different_values_have_different_digests():
    digests = [digest_of((value,)) for value in DIFFERENT]
    assert len(set(digests)) == len(DIFFERENT)


PROGRAM = """
import sys
sys.path[:0] = sys.argv[1:]
from test_digest_of_rows import DIFFERENT
from parallelize.mapping.checkpoint.digest import digest_of
print(*(digest_of((value,)).hex() for value in DIFFERENT))
"""


def test_another_process_has_the_same_digests():
    """Its hashes of strings, and so the order of its sets, are others."""
    here = [digest_of((value,)).hex() for value in DIFFERENT]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, os.path.dirname(__file__), *sys.path],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONHASHSEED": "7"},
    )
    assert done.stdout.split() == here, done.stderr


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.binary(),
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner)
    ),
    max_leaves=8,
)


def copied(value):
    """Return an equal value that shares no object with it, as far as that goes."""
    if type(value) in (list, tuple):
        return type(value)(map(copied, value))
    if type(value) is dict:
        return {copied(key): copied(each) for key, each in value.items()}
    if type(value) is str:
        return value.encode("utf-8", "surrogatepass").decode("utf-8", "surrogatepass")
    return value


@given(VALUES, VALUES)
def test_which_objects_are_the_same_does_not_matter(a, b):
    assert digest_of((a, a, b)) == digest_of((copied(a), copied(a), copied(b)))
    assert (digest_of((a,)) == digest_of((b,))) == (repr(a) == repr(b))


def test_values_that_share_others_many_times_are_quick():
    value = []
    for _ in range(200):
        value = [value, value]
    assert digest_of((value,)) == digest_of((value,))


def ring():
    made = []
    made.append([made])
    return made


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (lambda: 1, "<lambda>"),
        (threading.Lock(), "lock"),
        (ring(), "refers to itself"),
        ((n for n in ()), "generator"),
    ],
)
def test_what_has_no_digest_is_named(value, text):
    with pytest.raises(UndigestibleError, match=text):
        digest_of((1, value))
