"""The starts of a rate, by a clock of the test: never too many, and not too few."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from parallelize.pace.schedule import LARGEST_DELAY, Schedule
from support.properties import steady

TICK = 0.001
COUNTS = st.one_of(st.integers(1, 120), st.sampled_from([0.4, 2.5, 600, 2000]))


def starts(schedule, number, delays):
    """The times at which waiting calls start; the timer is late by the delays."""
    now, delays, slack = 100.0, itertools.cycle(delays), 0.0
    for _ in range(number):
        if schedule.due > now:
            now, slack = max(schedule.due, now + TICK) + next(delays), LARGEST_DELAY
        schedule.take(now, slack=slack)
        yield now


def calls_now_and_then(schedule, number, pauses):
    """The same of calls that come by themselves, of which some come too early."""
    now = 100.0
    for pause in itertools.islice(itertools.cycle(pauses), number):
        now += pause
        if schedule.due <= now:
            schedule.take(now)
            yield now


def most_in(seconds, moments):
    first = most = 0
    for number, moment in enumerate(moments):
        while moments[first] <= moment - seconds + 1e-9:
            first += 1
        most = max(most, number - first + 1)
    return most


@steady
@given(
    count=COUNTS,
    per=st.sampled_from([0.5, 1, 60]),
    burst=st.sampled_from([1, 2, 20]),
    delays=st.lists(st.floats(0, 0.4), min_size=1, max_size=12),
    of=st.sampled_from([starts, calls_now_and_then]),
)
def test_in_no_period_more_than_the_count_start(count, per, burst, delays, of):
    most = max(math.ceil(count), burst)
    moments = list(of(Schedule(count, per, burst), 3 * most + 20, delays))
    assert most_in(most * per / count, moments) <= most


@steady
@given(
    count=st.sampled_from([3, 48, 300, 10_000]),
    delays=st.lists(st.floats(0, 0.01), min_size=1, max_size=12),
)
def test_a_timer_that_is_late_costs_nearly_nothing(count, delays):
    number = 4 * count if count < 1000 else 2 * count
    moments = list(starts(Schedule(count, 1, 1), number + 1, delays))
    assert number / (moments[-1] - moments[0]) >= 0.98 * count


def test_a_delay_now_and_then_is_made_up_for_evenly():
    chance = random.Random(5)
    late = [chance.random() * 0.1 * (chance.random() < 0.03) for _ in range(2001)]
    moments = list(starts(Schedule(50, 1, 1), 2001, late))
    assert 2000 / (moments[-1] - moments[0]) >= 0.98 * 50
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert min(gaps) >= 0.02 / 2 - 1e-9


def test_without_delays_starts_are_even():
    moments = list(starts(Schedule(50, 1, 1), 200, [0]))
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert gaps == pytest.approx([0.02] * 199)


def test_after_a_quiet_time_only_the_burst_starts_at_once():
    schedule = Schedule(10, 1, 3)
    for now in (5.0, 50.0):
        for _ in range(3):
            assert schedule.due <= now
            schedule.take(now)
        assert schedule.due == pytest.approx(now + 0.1)


def test_a_pause_ends_without_a_burst():
    schedule = Schedule(10, 1, 3)
    schedule.pause(60.0)
    schedule.pause(40.0)
    assert schedule.due == 60.0
    schedule.take(60.0)
    assert schedule.due == pytest.approx(60.1)
