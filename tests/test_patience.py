"""Who waits stays awake for a moment where answers come soon, and sleeps elsewhere."""

import pytest

from parallelize.runtime import spin
from parallelize.runtime.spin import SPIN_LIMIT, AdaptiveSpin


class Clock:
    """A clock that the test sets; each look at it takes a microsecond."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        self.now += 1e-6
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(spin, "perf_counter", clock)
    return clock


def sees_at(clock, moment):
    return lambda: "it" if clock.now >= moment else None


def wait(patient, clock, seconds):
    """Wait for what comes after so long; return whether it was seen awake."""
    moment = clock.now + seconds
    seen = patient.spin(sees_at(clock, moment))
    clock.now = max(clock.now, moment)
    patient.done()
    return seen == "it"


def test_what_comes_soon_is_seen_awake(clock):
    patient = AdaptiveSpin()
    assert all(wait(patient, clock, SPIN_LIMIT / 2) for _ in range(5))


def test_nobody_stays_awake_for_what_takes_long(clock):
    patient = AdaptiveSpin()
    assert not wait(patient, clock, 1)
    before = clock.now
    assert patient.spin(lambda: pytest.fail("it was looked at")) is None
    assert clock.now - before < SPIN_LIMIT / 10


def test_one_short_wait_tells_that_answers_come_soon_again(clock):
    patient = AdaptiveSpin()
    wait(patient, clock, 1)
    assert not wait(patient, clock, SPIN_LIMIT / 2)  # slept through
    assert wait(patient, clock, SPIN_LIMIT / 2)


def test_it_stays_awake_no_longer_than_that(clock):
    before = clock.now
    assert AdaptiveSpin().spin(lambda: None) is None
    assert SPIN_LIMIT < clock.now - before < 1.1 * SPIN_LIMIT


def test_one_thread_at_a_time_has_it(clock):
    patient = AdaptiveSpin()
    assert patient.is_free()
    assert patient.spin(lambda: not patient.is_free())
    assert patient.is_free()


def test_what_is_done_between_two_looks_and_for_how_long_can_be_chosen(clock):
    looks = []
    patient = AdaptiveSpin(lambda: looks.append(clock.now), SPIN_LIMIT / 10)
    assert patient.spin(lambda: None) is None
    assert looks
    assert looks[-1] < SPIN_LIMIT / 5
