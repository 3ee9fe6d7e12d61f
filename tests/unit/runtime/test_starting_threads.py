"""Ctrl-C while a thread starts: it runs, or it never will, and Ctrl-C arrives."""

from __future__ import annotations

import itertools
import threading

import pytest

from parallelize.runtime import lifecycle, native, services, timer
from support.interrupts import at_each_step

SECONDS = 20


def test_ctrl_c_leaves_a_thread_started_or_not() -> None:
    """The attribute `ident` tells which, at once."""
    ran: list[threading.Thread] = []
    seen = []
    for step in itertools.count():
        thread = threading.Thread(target=lambda: ran.append(threading.current_thread()))
        more = at_each_step(lambda each=thread: native.start(each), native)(step)
        seen.append((thread, thread.ident is not None))
        if not more:
            break
    for thread, has_started in seen:
        if has_started:
            thread.join(SECONDS)
    assert [thread for thread, has_started in seen if has_started] == ran
    assert {has_started for _, has_started in seen} == {True, False}
    assert not {thread for thread, _ in seen} & {*threading.enumerate()}


def test_ctrl_c_while_the_timer_starts_leaves_one_or_none() -> None:
    """The next deadline is met, by one thread."""
    for step in itertools.count():
        mine = timer._Timer()
        before = names().count("parallelize-deadlines")
        start = at_each_step(lambda each=mine: each.after(60, int), timer, services)
        more = start(step)
        met = threading.Event()
        mine.after(0, met.set)
        assert met.wait(SECONDS)
        assert names().count("parallelize-deadlines") == before + 1
        if not more:
            break
    assert step > 20


def test_ctrl_c_in_a_finaliser_arrives_after_it(monkeypatch) -> None:
    """Python ignores what a finaliser raises."""
    done = threading.Event()

    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "start_new_thread", interrupted)
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - at some moment
        lifecycle.later(done.set)
        threading.Event().wait(SECONDS)
    assert done.wait(SECONDS)


def names() -> list[str]:
    return [thread.name for thread in threading.enumerate()]
