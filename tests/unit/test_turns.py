"""The start methods that a test is tried with, over the Pythons of a run of all."""

import pathlib
from types import SimpleNamespace

from support import turns

NAMES = ["test_a[fork]", "test_a[spawn]", "test_a[forkserver]"]


def items_of(names, folder="tests", marker=None):
    return [
        SimpleNamespace(
            nodeid=f"{folder}/test_x.py::{name}",
            path=pathlib.Path("/", folder, "test_x.py"),
            get_closest_marker={marker: marker}.get,
        )
        for name in names
    ]


def names_of(items):
    return [item.nodeid.partition("::")[2] for item in items]


def test_each_python_has_one_of_them_and_three_have_all():
    pythons = [turns.split(items_of(NAMES), minor) for minor in (11, 14, 15)]
    assert [len(due) for due, _ in pythons] == [1, 1, 1]
    assert {names_of(due)[0] for due, _ in pythons} == set(NAMES)
    for due, others in pythons:
        assert sorted(names_of(due + others)) == sorted(NAMES)


def test_other_parameters_have_all_of_their_values():
    names = [f"test_a[{n}-process-{m}-x]" for n in "abc" for m in ("fork", "default")]
    due, others = turns.split(items_of([*names, "test_b", "test_c[thread]"]), 11)
    assert len(due) == 3 + 2
    assert len(others) == 3
    assert {name[7] for name in names_of(due)[:3]} == set("abc")


def test_one_that_is_asked_for_alone_runs():
    for minor in turns.TURNS:
        assert names_of(turns.split(items_of(NAMES[:1]), minor)[0]) == NAMES[:1]


def test_all_run_where_the_mark_or_the_folder_says_so():
    for items in (
        items_of(NAMES, marker="every_method"),
        items_of(NAMES, "tests/world"),
    ):
        assert turns.split(items, 11) == (items, [])


def test_a_long_one_runs_on_one_python():
    items = items_of(["test_a"], marker="long")
    due = [minor for minor in turns.TURNS if turns.split(items, minor)[0]]
    assert due == [turns.LONG_ON]


def test_classes_of_the_standard_library_take_turns_too():
    names = [f"ProcessPool{m}WaitTest::test_a" for m in ("Fork", "Spawn", "Forkserver")]
    for minor in (11, 14, 15):
        assert len(turns.split(items_of(names), minor)[0]) == 1
