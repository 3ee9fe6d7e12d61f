"""Sockets, connections and what else `ForkingPickler` knows, to workers and back."""

import re
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


METHODS = ["forkserver", "spawn", "fork"]


def few(name, *args):
    path = PROGRAMS / "few_descriptors" / f"{name}.py"
    done = run_script(path, *args, options=("-W", "ignore"))
    return done.stdout.splitlines()


@pytest.mark.parametrize("method", METHODS)
def test_each_worker_takes_two_descriptors(method):
    assert few("each_worker_takes_two", method) == ["2.0"]


@pytest.mark.skipif(sys.version_info < (3, 14), reason="interpreters are new there")
def test_interpreters_leave_descriptors_to_the_program_and_say_so_once():
    *right, last = few("interpreters_leave_some_to_the_program")
    assert right == ["True", "True"]
    assert re.fullmatch(
        r"1 20 an interpreter pool goes on with 1\d of 40 workers: this process has "
        r"\d+ of at most 100 descriptors open, and the last 25 are left to the program "
        r"\(ulimit -n\)",
        last,
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_pool_leaves_descriptors_to_the_program_and_says_so_once(method):
    lines = few("a_pool_leaves_some_to_the_program", method, "100", "60")
    said = re.fullmatch(
        r"True 1 a process pool goes on with (\d+) of 60 workers: this process has "
        r"\d+ of at most 100 descriptors open, and the last 25 are left to the program "
        r"\(ulimit -n\)",
        lines.pop(1),
    )
    assert said, lines
    assert 20 < int(said[1]) < 38
    assert lines == ["True", "True", "True", "1"]


def test_streams_that_wait_for_their_readers_do_not_keep_the_others_from_workers():
    lines = few("streams_read_in_turn")
    assert lines == ["True", "True"]
