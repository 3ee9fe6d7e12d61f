"""docs/api.md lists what is public, as it is; the examples of docstrings run."""

import inspect
import re
import sys

import parallelize
from fenced import ROOT, run_script

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")

# What takes a place in the page as text.
AS_TEXT = {"ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "as_completed"}
AS_TEXT |= {"BrokenExecutor", "CancelledError", "InvalidStateError", "TimeoutError"}


def test_every_public_name_is_in_the_reference():
    listed = set(re.findall(r"^\.\. auto\w+:: (\w+)", PAGE, re.MULTILINE))
    assert listed == set(parallelize.__all__) - AS_TEXT
    assert all(f"`{name}`" in PAGE for name in AS_TEXT)


def test_signatures_in_the_reference_are_those_of_the_code():
    """... or shortened: `**options` stands for the keywords that are left out."""
    shown = re.findall(r"^\.\. auto(?:function|class):: (\w+)\((.+)\)$", PAGE, re.M)
    assert len(shown) > 15
    for name, parameters in shown:
        real = inspect.signature(getattr(parallelize, name)).parameters
        for parameter in parameters.split(", "):
            word = parameter.partition("=")[0]
            if word not in {"/", "*", "**options"}:
                assert word.lstrip("*") in real, (name, word)


def test_examples_in_docstrings(tmp_path):
    """All in one program; those of Dask and Ray need their packages."""
    script = ROOT / "tests" / "programs" / "docstrings.py"
    left_out = ["DaskExecutor", "RayExecutor"]
    left_out += ["InterpreterPoolExecutor"] * (sys.version_info < (3, 14))
    printed = run_script(script, *left_out, cwd=tmp_path).stdout
    assert re.search(r"^\d\d docstrings, 0 failures$", printed, re.M), printed
