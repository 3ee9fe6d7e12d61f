"""Futures in each state."""

from parallelize import Future


def running():
    future = Future()
    assert future.set_running_or_notify_cancel()
    return future


def done(value=None):
    future = Future()
    future.set_result(value)
    return future


def failed(error):
    future = Future()
    future.set_exception(error)
    return future
