"""Who waits stays awake for a moment where answers come soon, and sleeps elsewhere."""

import pytest

from parallelize.process.wire import spin
from parallelize.process.wire.spin import AWAKE, Patience


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
    seen = patient.look(sees_at(clock, moment))
    clock.now = max(clock.now, moment)
    patient.came()
    return seen == "it"


def test_what_comes_soon_is_seen_awake(clock):
    patient = Patience()
    assert all(wait(patient, clock, AWAKE / 2) for _ in range(5))


def test_nobody_stays_awake_for_what_takes_long(clock):
    patient = Patience()
    assert not wait(patient, clock, 1)
    before = clock.now
    assert patient.look(lambda: pytest.fail("it was looked at")) is None
    assert clock.now - before < AWAKE / 10


def test_one_short_wait_tells_that_answers_come_soon_again(clock):
    patient = Patience()
    wait(patient, clock, 1)
    assert not wait(patient, clock, AWAKE / 2)  # slept through
    assert wait(patient, clock, AWAKE / 2)


def test_it_stays_awake_no_longer_than_that(clock):
    before = clock.now
    assert Patience().look(lambda: None) is None
    assert AWAKE < clock.now - before < 1.1 * AWAKE
