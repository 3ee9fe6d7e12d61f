"""Executors that other libraries are given; the fixtures are those of all tests."""

import contextlib
import importlib

import pytest

from factories import Factory


@pytest.fixture(scope="session", autouse=True)
def tqdms_lock():
    """Made before each test looks what it leaves: it has a process to watch over it."""
    with contextlib.suppress(ImportError):
        importlib.import_module("tqdm").tqdm.get_lock()


@pytest.fixture(params=["thread", "process-default"])
def client_executor(request):
    """An executor of ours, as other libraries get it."""
    factory = Factory(request.param)
    yield factory(max_workers=2)
    factory.close()
