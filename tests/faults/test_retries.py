"""Calls are started again only where that was asked for."""

from __future__ import annotations

import pytest

from support.programs import program

TOOLS = program("shared/numbers")


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_poison_starts_retries_plus_one_times(
    retries: int, method: str, counted
) -> None:
    """Then it fails; those that shared its workers are not blamed."""
    done = counted(
        program("retries/poison_starts_retries_plus_one_times", RETRIES=retries), method
    )
    assert done.lines == ["WorkerDied True", "True"]


@pytest.mark.parametrize("chunk", [None, 200])
def test_poison_row(chunk: int | None, method: str, counted) -> None:
    """The same for a row of a map."""
    done = counted(program("retries/poison_row", CHUNK=chunk), method)
    assert done.lines == ["[0, 100, 199] 197", "True"]


@pytest.mark.parametrize("form", ["calls", "rows"])
def test_errors_are_retried(form: str, counted) -> None:
    """A call that raised one of `retry_on` starts again, until it succeeds."""
    done = counted(program("retries/errors_are_retried", FORM=repr(form)))
    assert done.lines == ["[7, 17, 27, 37, 47]", "45", "True"]


def test_death_is_retried_whatever_retry_on_is(counted) -> None:
    """A death counts though it is none of the errors asked for."""
    done = counted(program("retries/death_is_retried_whatever_retry_on_is"))
    assert done.lines == ["1 [2, 3] [1, 1, 1, 2, 2, 2, 3, 3, 3]"]


def test_last_error_is_the_one_that_is_raised(counted) -> None:
    """Death, error and success mixed: each start counts once."""
    done = counted(program("retries/last_error_is_the_one_that_is_raised"))
    assert done.lines == ["ValueError: start 3 [5, 5, 5]"]


@pytest.mark.parametrize("retry_on", ["Exception", "KeyError"])
def test_timeout_and_retries(retry_on: str, counted) -> None:
    """A deadline is an error as any other: retried if it is among `retry_on`."""
    done = counted(program("retries/timeout_and_retries", RETRY_ON=retry_on))
    expected = {
        "Exception": "1 {'int'} [1, 1, 2, 2, 3, 3, 4, 4]",
        "KeyError": "TaskTimeout {'TaskTimeout'} [1, 2, 3, 4]",
    }
    assert done.lines == [expected[retry_on]]


def test_killed_call_is_not_retried(counted) -> None:
    """`Future.kill` is a wish, not a failure."""
    done = counted(program("retries/killed_call_is_not_retried"))
    assert done.lines == ["True TaskKilled 1 [1]"]


def test_kill_between_two_starts(counted) -> None:
    """A call that waits for its next start never starts again."""
    done = counted(program("retries/kill_between_two_starts"))
    assert done.lines == ["False True", "[None] TaskKilled", "True"]


def test_arguments_of_a_retry_are_those_of_the_call(counted) -> None:
    """What a start did to its arguments is not there at the next."""
    done = counted(program("retries/arguments_of_a_retry_are_those_of_the_call"))
    assert done.lines == ["[1] [[0, 1]] [0, 0, 0, 1]"]


def test_never_retried_unasked(counted) -> None:
    """Neither errors nor deaths nor deadlines start a call twice by themselves."""
    done = counted(program("retries/never_retried_unasked"))
    assert done.lines == ["True", "True"]
