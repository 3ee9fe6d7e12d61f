"""Every fault is provoked under every start method."""

from __future__ import annotations

import sys

import pytest

METHODS = ("forkserver", "spawn", "fork")


@pytest.fixture(params=METHODS)
def method(request: pytest.FixtureRequest) -> str:
    """A start method of the process pool."""
    name: str = request.param
    return name


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Faults are provoked by means of Linux: /proc and signals."""
    if not sys.platform.startswith("linux"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="provoked through Linux's /proc"))
