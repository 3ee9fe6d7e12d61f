"""How rows of calls are delivered that are one future, or that all fail."""

import pytest

from parallelize import Future
from parallelize.calls.call import Rows
from parallelize.runtime.options import DEFAULTS


class Deliveries(list):
    """What was delivered: the first row, what was opened, the seconds."""

    def rows(self, count):
        return Rows(abs, [(n,) for n in range(count)], DEFAULTS, self.add)

    def add(self, first, outcomes, seconds):
        opened = [getattr(each, "error", each) for each in outcomes]
        self.append((first, opened, seconds))


def test_values_of_the_one_future():
    delivered, future = Deliveries(), Future()
    submitted = delivered.rows(2).submitted_as(future)
    assert submitted.futures() == (future,)
    future.set_result(([3, 4], 0.5))
    assert delivered == [(0, [3, 4], 0.5)]


def test_its_error_is_that_of_each_row():
    delivered, future, error = Deliveries(), Future(), OSError()
    delivered.rows(3).submitted_as(future)
    future.set_exception(error)
    assert delivered == [(0, [error] * 3, 0.0)]


def test_rows_that_are_cancelled_are_not_delivered():
    delivered, future = Deliveries(), Future()
    submitted = delivered.rows(3).submitted_as(future)
    assert submitted.cancel()
    assert delivered == []


@pytest.mark.parametrize(
    ("where", "first", "count"), [((), 0, 4), ((1,), 1, 3), ((1, 3), 1, 2)]
)
def test_some_rows_fail(where, first, count):
    delivered, error = Deliveries(), OSError()
    delivered.rows(4).fail(error, *where)
    assert delivered == [(first, [error] * count, 0.0)]
