"""Every fault is provoked under every start method."""

from __future__ import annotations

import pathlib
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest
from harness import Run, run

from support.programs import program

if TYPE_CHECKING:
    from collections.abc import Callable

METHODS = ("forkserver", "spawn", "fork")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """A start method of the process pool."""
    name: str = request.param
    return name


@pytest.fixture
def counted(
    request: pytest.FixtureRequest, tmp_path: pathlib.Path
) -> Callable[..., Run]:
    """Runs a program with a file for its marks, and with the `TOOLS` of the module."""
    (tmp_path / "runs").touch()
    tools = program("shared/marks") + getattr(request.module, "TOOLS", "")
    env = {"RUNS": str(tmp_path / "runs"), "DIR": str(tmp_path)}

    def start(text: str, method: str = "forkserver", *, timeout: float = 45) -> Run:
        text = tools + textwrap.dedent(text)
        return run(text, method, env=env, timeout=timeout)

    return start


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Faults are provoked by means of Linux: /proc and signals."""
    if not sys.platform.startswith("linux"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="provoked through Linux's /proc"))
