"""Killing one call of a process pool, as its deadlines see it."""

from concurrent.futures import Future

import pytest

from parallelize.process.parent.deadlines import Deadlines


class Call:
    """A call that no worker has."""

    def __init__(self, *, given_up=False, done=False):
        self.future = Future()
        self.given_up = given_up
        self.errors = []
        if done:
            self.future.set_result(None)

    def place(self):
        return None

    def give_up(self, error):
        self.given_up = True
        self.errors.append(str(error))


def kill(call):
    Deadlines(wake=lambda: None).kill_call(call, lambda: ValueError("killed"))
    return call.errors


def test_a_call_that_failed_meanwhile_is_not_retried():
    assert kill(Call()) == ["killed"]


@pytest.mark.parametrize("how", [{"given_up": True}, {"done": True}])
def test_a_call_that_was_given_up_or_has_ended_is_left_alone(how):
    assert kill(Call(**how)) == []
