"""Modules that only the program can import: in workers there are the same."""

import sys

import pytest

from support.programs import PROGRAMS, run_script


def script(*args):
    done = run_script(PROGRAMS / "foreign_modules.py", *args)
    assert not done.stderr
    return done.stdout.splitlines()


SCENARIOS = [
    "plugin",
    "plugin_below",
    "plugin_without_suffix",
    "unlisted",
    "package",
    "handmade",
    "handmade_below",
    "run_path",
    "path_entry_gone",
    "path_entry_relative",
    "path_entry_new",
    "zipped",
    "custom_loader",
    "namespace",
    "widened",
    "other_of_the_name",
    "one_after_the_other",
    "under_two_names",
    "in_a_doctest",
    "gone",
    "from_a_worker",
    "to_other_machines",
]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_with_a_forkserver(tmp_path, scenario):
    assert script("forkserver", tmp_path, scenario) == ["done"]


@pytest.mark.parametrize("method", ["spawn", "fork"])
@pytest.mark.parametrize(
    "scenario", ["plugin", "handmade", "path_entry_gone", "package", "from_a_worker"]
)
def test_with_other_methods(tmp_path, scenario, method):
    assert script(method, tmp_path, scenario) == ["done"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters are new there")
@pytest.mark.parametrize(
    "scenario", ["plugin", "handmade", "path_entry_gone", "path_entry_new", "package"]
)
def test_with_interpreters(tmp_path, scenario):
    assert script("interpreters", tmp_path, scenario) == ["done"]


def test_a_file_that_has_gone_is_named(tmp_path):
    lines = script("forkserver", tmp_path, "gone_later")
    assert lines == ["ModuleNotFoundError True True", "done"]
