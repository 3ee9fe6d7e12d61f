"""Deadlines against a sorted list: the nearest first, and none that was cancelled."""

import gc
import weakref

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from parallelize.runtime.agenda import SWEEP_ABOVE, Agenda
from support.properties import machine


class Deadlines(RuleBasedStateMachine):
    """Deadlines are set, cancelled and met in any order."""

    @initialize()
    def begin(self):
        self.agenda = Agenda()
        self.waiting = []  # (when, number, deadline)
        self.taken = []
        self.met = []
        self.count = 0

    @rule(whens=st.lists(st.integers(0, 20), min_size=1, max_size=60))
    def at(self, whens):
        for when in whens:
            number = self.count
            self.count += 1
            deadline = self.agenda.at(
                when, lambda number=number: self.met.append(number)
            )
            assert deadline.when == when
            self.waiting.append((when, number, deadline))
        self.waiting.sort(key=lambda each: each[:2])

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data):
        first = data.draw(st.integers(0, len(self.waiting) - 1))
        count = data.draw(st.integers(1, 100))
        for *_, deadline in self.waiting[first : first + count]:
            deadline.cancel()
            deadline.cancel()
            assert deadline.void
            void = sum(each.void for *_, each in self.agenda._heap)
            assert void <= max(SWEEP_ABOVE, len(self.agenda._heap) / 2)
        del self.waiting[first : first + count]

    @rule(now=st.integers(-1, 21))
    def take_due(self, now):
        due = self.agenda.take_due(now)
        if self.waiting and self.waiting[0][0] <= now:
            assert due is self.waiting[0][2]
            self.taken.append(self.waiting.pop(0))
        else:
            assert due is None

    @precondition(lambda self: self.taken)
    @rule(cancelled=st.booleans())
    def meet(self, cancelled):
        """Also one that was cancelled when it had been taken out."""
        _, number, deadline = self.taken.pop()
        before = list(self.met)
        if cancelled:
            deadline.cancel()
        deadline.meet()
        deadline.meet()
        assert self.met == (before if cancelled else [*before, number])
        deadline.cancel()  # too late

    @invariant()
    def the_nearest_is_known(self):
        nearest = self.waiting[0][0] if self.waiting else None
        assert self.agenda.nearest() == nearest


Deadlines.TestCase.settings = machine
TestDeadlines = Deadlines.TestCase


class Action:
    def __call__(self):
        pass


def test_a_deadline_that_is_cancelled_holds_nothing():
    agenda, action = Agenda(), Action()
    gone = weakref.ref(action)
    deadline = agenda.at(5, action)
    del action
    deadline.cancel()
    gc.collect()
    assert gone() is None


def test_deadlines_of_one_moment_are_met_in_the_order_in_which_they_were_set():
    agenda, met = Agenda(), []
    for number in range(100):
        agenda.at(3, lambda number=number: met.append(number))
    while (due := agenda.take_due(3)) is not None:
        due.meet()
    assert met == list(range(100))


def test_an_action_that_fails_on_an_agenda_is_logged(caplog):
    def fail():
        raise LookupError("it")

    Agenda().at(0, fail).meet()
    assert "an action at a deadline failed" in caplog.text


def test_an_action_that_ends_the_program_is_not_kept_back():
    def leave():
        raise SystemExit

    with pytest.raises(SystemExit):
        Agenda().at(0, leave).meet()


def test_an_action_may_set_another():
    agenda, met = Agenda(), []
    agenda.at(1, lambda: agenda.at(0, lambda: met.append(1)))
    while (due := agenda.take_due(2)) is not None:
        due.meet()
    assert met == [1]
