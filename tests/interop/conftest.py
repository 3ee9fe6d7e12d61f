"""Executors that other libraries are given; the fixtures are those of all tests."""

import pytest

from factories import Factory


@pytest.fixture(params=["thread", "process-default"])
def client_executor(request):
    """An executor of ours, as other libraries get it."""
    factory = Factory(request.param)
    yield factory(max_workers=2)
    factory.close()
