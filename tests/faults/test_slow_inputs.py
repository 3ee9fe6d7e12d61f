"""Programs that end, fork or are interrupted while an input is waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from harness import run

from support.programs import program

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=["threaded", "processed"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_input(name: str, kind: str, **words: str) -> str:
    text = program("slow_inputs/shared") + program(f"slow_inputs/{name}")
    for word, value in {"KIND": kind, **words}.items():
        text = text.replace(word, value)
    return text


def test_the_program_ends_while_an_input_waits(kind: str) -> None:
    done = run(with_input("read_in_part", kind))
    assert (done.lines, done.code, done.err) == (["0 2"], 0, "")


def test_a_map_that_was_not_read_is_finished_at_the_end(
    kind: str, tmp_path: Path
) -> None:
    noted = tmp_path / "noted"
    done = run(with_input("unread", kind, PATH=repr(str(noted))))
    assert (done.code, done.err) == (0, "")
    assert sorted(map(int, noted.read_text().split())) == list(range(20))


def test_ctrl_c_while_an_input_waits(kind: str) -> None:
    done = run(with_input("interrupted", kind))
    assert (done.lines, done.code, done.err) == (["interrupted [0, 2, 4]"], 0, "")


def test_a_child_is_forked_while_an_input_waits(kind: str) -> None:
    done = run(with_input("forked", kind))
    belongs = "the map was made before os.fork(), it belongs to the parent process"
    lines = ["0", f"child: {belongs}", "child: [0, 2, 4]", "0", str(49 * 50)]
    assert (done.lines, done.code, done.err) == (lines, 0, "")


def test_the_program_ends_by_an_error_while_an_input_waits(kind: str) -> None:
    done = run(with_input("ended_by_an_error", kind))
    assert (done.lines, done.code, done.err) == ([], 3, "")


def test_a_pipeline_that_was_read_in_part(kind: str) -> None:
    done = run(with_input("pipeline_left", kind))
    assert (done.lines, done.code, done.err) == (["21"], 0, "")
