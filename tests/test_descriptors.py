"""Sockets, connections and what else `ForkingPickler` knows, to workers and back."""

import sys

import pytest

from support.programs import PROGRAMS, run_script


def script(*args):
    done = run_script(PROGRAMS / "descriptors.py", *args, options=("-W", "ignore"))
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("scenario", ["sockets", "connections", "registered"])
def test_descriptors_are_handed_over(method, scenario):
    assert script(method, scenario) == ["done"]


def test_what_cannot_be_handed_over_is_refused_by_name():
    lines = script("forkserver", "refused")
    assert lines[:5] == ["should only be shared between processes "] * 5
    assert lines[5:] == ["SerializationError True", "True"] * 2 + ["done"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters are new there")
def test_interpreters_have_the_descriptors_already():
    assert script("interpreters", "registered") == ["done"]
    assert script("interpreters", "beside") == ["True"] * 3 + ["done"]
