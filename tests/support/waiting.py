"""Waiting for what nothing tells of."""

import time


def wait_until(fact, seconds=10):
    """Wait until a fact holds; fail if that takes too long."""
    until = time.monotonic() + seconds
    while not fact() and time.monotonic() < until:
        time.sleep(0.001)
    assert fact()
