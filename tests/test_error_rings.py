"""An error that was read keeps nothing alive of the call that has raised it."""

from __future__ import annotations

import gc
import weakref

import pytest

import tasks
from parallelize import shutdown, threaded


class Thing:
    pass


@pytest.fixture(autouse=True)
def end_of_pools():
    yield
    shutdown()


@pytest.mark.parametrize("options", [{}, {"retries": 1}, {"timeout": 50}])
def test_an_error_that_was_read_is_in_no_ring(options):
    seen = []

    def failing():
        thing = Thing()
        seen.append(weakref.ref(thing))
        raise LookupError

    def read():
        with pytest.raises(LookupError):
            threaded(**options)(failing)().result(30)

    gc.collect()
    gc.disable()
    try:
        read()
        make_idle()
        assert [thing() for thing in seen] == [None] * (1 + options.get("retries", 0))
    finally:
        gc.enable()


def make_idle():
    """Have threads run something else, so that they hold nothing."""
    list(threaded(tasks.double).map(range(100), chunksize=1))
