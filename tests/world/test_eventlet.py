"""Programs whose standard library eventlet has patched."""

import pytest
from greenlets import check

PACKAGE = "eventlet"
METHODS = ("forkserver", "spawn", "fork")


@pytest.mark.parametrize("when", ["first", "imported"])
@pytest.mark.parametrize("method", METHODS)
def test_calls_maps_and_streams_end_under_eventlet(package, method, when):
    check(method, PACKAGE, when)
