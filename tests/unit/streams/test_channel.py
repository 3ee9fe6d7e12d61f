"""What lies between a generator and its reader: against a list, and in every order."""

from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from parallelize.futures.future import Failure
from parallelize.streams import channel as module
from parallelize.streams.channel import Channel, Life
from support.interleaving import explore
from support.properties import machine, steady

OPEN = (Life.WAITING, Life.FLOWING)


class Wakers:
    """Notes which of the functions that it makes were called, and how often."""

    def __init__(self):
        self.calls = []

    def new(self):
        number = len(self.calls)
        self.calls.append(0)

        def waker():
            self.calls[number] += 1

        return waker


class Buffer(RuleBasedStateMachine):
    """A producer that keeps to its room, and a reader, one step after the other."""

    @initialize(buffersize=st.integers(1, 6), begins=st.booleans())
    def begin_with(self, buffersize, begins):
        self.channel = Channel(buffersize)
        self.put, self.got = 0, []
        self.end_of = None  # what `take_end` is to give, in a tuple
        self.rooms, self.news, self.closes = Wakers(), Wakers(), Wakers()
        self.moves = 0
        self.channel.moved = self.moved
        if begins:
            assert self.channel.begin()

    def moved(self):
        self.moves += 1

    @rule()
    def begin(self):
        was = self.channel.life
        assert self.channel.begin() == (was is Life.WAITING)

    @rule()
    def claim(self):
        if self.put or self.channel.life is not Life.WAITING:
            assert not self.channel.claim()

    @rule(count=st.integers(1, 6))
    def extend(self, count):
        while count and self.channel.has_room():
            self.channel.put(self.put)
            self.put += 1
            count -= 1

    @rule(count=st.integers(1, 6))
    def extend_by_a_list(self, count):
        count = min(count, self.channel.buffersize - self.put + self.channel.taken)
        if count and self.channel.has_room():
            self.channel.extend(list(range(self.put, self.put + count)))
            self.put += count

    @precondition(lambda self: self.channel.life is not Life.FLOWING)
    @rule()
    def extend_in_vain(self):
        self.channel.extend([-1])

    @rule(is_error=st.booleans())
    def end(self, is_error):
        outcome = Failure(LookupError()) if is_error else None
        if self.channel.life in OPEN:
            self.end_of = (outcome,)
        self.channel.end(outcome)
        assert self.channel.life not in OPEN

    @rule()
    def cancel(self):
        is_open = self.channel.life in OPEN
        self.channel.cancel()
        if is_open:
            self.end_of = (self.channel._end,)
            assert isinstance(self.channel._end.error, RuntimeError)

    @rule()
    def close(self):
        self.channel.close()
        self.end_of = None
        assert self.channel.life is Life.CLOSED
        assert not self.channel.has_room()

    @rule(is_interrupted=st.booleans())
    def read(self, is_interrupted):
        channel = self.channel
        item = next(channel.ready, None)
        if item is None and channel.take(channel.ready):
            if is_interrupted:  # as if the step had not come to its end
                channel.ready = iter(())
                assert channel.take(channel.ready)
            if channel.life is not Life.CLOSED:
                assert channel.taken == len(self.got) + 1
            item = next(channel.ready)
        if item is not None:
            self.got.append(item)
        elif channel.life is not Life.CLOSED:
            assert self.put == len(self.got)

    @rule()
    def take_end(self):
        end = self.channel.take_end()
        assert (end,) == (self.end_of or (None,))
        self.end_of = None

    @rule(which=st.sampled_from(["rooms", "news", "closes"]))
    def add_a_waker(self, which):
        waker = getattr(self, which).new()
        add = {
            "rooms": self.channel.when_room,
            "news": self.channel.when_news,
            "closes": self.channel.when_closed,
        }
        add[which](waker)

    @invariant()
    def items_come_once_and_in_order(self):
        assert self.got == list(range(len(self.got)))

    @invariant()
    def the_generator_is_no_further_ahead_than_it_may_be(self):
        assert self.put - len(self.got) <= self.channel.buffersize

    @invariant()
    def wakers_are_called_once(self):
        channel = self.channel
        for wakers in (self.rooms, self.news, self.closes):
            assert all(count <= 1 for count in wakers.calls)
        if channel.life not in OPEN:
            assert set(self.closes.calls) <= {1}
        if channel._may_go_on():
            assert set(self.rooms.calls) <= {1}
        if channel._has_news():
            assert set(self.news.calls) <= {1}


Buffer.TestCase.settings = machine
TestBuffer = Buffer.TestCase


@steady
@given(
    st.integers(1, 9),
    st.lists(st.one_of(st.integers(1, 9), st.just("read")), max_size=60),
)
def test_the_producer_has_all_the_room_that_there_is(buffersize, script):
    channel, rooms = Channel(buffersize), Wakers()
    channel.begin()
    put = got = 0
    for act in script:
        if act == "read":
            # What is in the reader's hand counts when it comes back for more.
            item = next(channel.ready, None)
            if item is None and channel.take(channel.ready):
                assert channel.taken == got + 1
                item = next(channel.ready)
            if item is not None:
                assert item == got
                got += 1
        else:
            for _ in range(act):
                if channel.has_room():
                    channel.put(put)
                    put += 1
        assert channel.taken <= got
        assert put - got <= buffersize
        assert channel.has_room() == (put - channel.taken < buffersize)
        if not channel.has_room():
            channel.when_room(rooms.new())
            assert rooms.calls[-1] == 0
        else:
            assert set(rooms.calls) <= {1}


# --------------------------------------------------------------------- interleavings


class Stage:
    """A channel whose locks are those of a schedule, and what happens at its ends."""

    def __init__(self, run, buffersize):
        self.run = run
        later = SimpleNamespace(later=lambda action: run.spawn(action, "later"))
        conditions = SimpleNamespace(Condition=run.condition)
        with mock.patch.multiple(module, locks=conditions, _new_lock=run.lock):
            self.channel = Channel(buffersize)
        self.patch = mock.patch.object(module, "lifecycle", later)
        self.put, self.got = [], []
        self.ends = []
        self.was_closed = False

    def go(self):
        with self.patch:
            self.run.go()

    def produce(self, count, outcome=None):
        channel = self.channel
        if not channel.begin():
            return
        for item in range(count):
            if not channel.wait_for_room():
                self.was_closed = True
                return
            self.put.append(item)
            ahead = len(self.put) - len(self.got)
            assert ahead <= channel.buffersize + 1  # one is on its way to the reader
            channel.put(item)
        channel.end(outcome)

    def next(self):
        """As a stream does; None at its end."""
        while True:
            is_over = self.channel.life not in OPEN
            ready = self.channel.ready
            for item in ready:
                self.got.append(item)
                return item
            if not self.channel.take(ready):
                if is_over:
                    return None
                self.channel.wait()

    def read(self):
        while self.next() is not None:
            pass
        self.ends.append(self.channel.take_end())


@pytest.mark.parametrize(("buffersize", "count"), [(1, 2), (2, 2), (2, 3), (4, 4)])
def test_all_items_come_in_order_and_then_the_end(buffersize, count):
    def scenario(run):
        stage = Stage(run, buffersize)
        failure = Failure(LookupError())
        run.spawn(lambda: stage.produce(count, failure), "producer")
        run.spawn(stage.read, "reader")
        stage.go()
        assert run.stuck == []
        assert stage.got == list(range(count))
        assert stage.ends == [failure]

    assert explore(scenario, preemptions=2) > 20


def test_a_reader_that_closes_lets_the_producer_go():
    def scenario(run):
        stage = Stage(run, 1)

        def read_one():
            stage.next()
            stage.channel.close()

        run.spawn(lambda: stage.produce(4), "producer")
        run.spawn(read_one, "reader")
        stage.go()
        assert run.stuck == []
        assert stage.got == [0]
        assert stage.was_closed
        assert not stage.channel._blocks

    assert explore(scenario, preemptions=3) > 20


def test_a_shutdown_ends_both_and_leaves_what_is_there():
    def scenario(run):
        stage = Stage(run, 2)
        run.spawn(lambda: stage.produce(3), "producer")
        run.spawn(stage.read, "reader")
        run.spawn(stage.channel.cancel, "shutdown")
        stage.go()
        assert run.stuck == []
        assert stage.got == list(range(len(stage.got)))
        (end,) = stage.ends
        assert end is not None or stage.got == [0, 1, 2]

    assert explore(scenario, preemptions=1) > 50


def test_either_a_worker_or_the_reader_runs_the_generator():
    winners = set()

    def scenario(run):
        stage = Stage(run, 1)
        won = []
        run.spawn(lambda: won.append(("worker", stage.channel.begin())))
        run.spawn(lambda: won.append(("reader", stage.channel.claim())))
        stage.go()
        (winner,) = [name for name, has in won if has]
        winners.add(winner)

    explore(scenario)
    assert winners == {"worker", "reader"}


def test_two_readers_share_the_items():
    def scenario(run):
        stage = Stage(run, 2)
        run.spawn(lambda: stage.produce(2), "producer")
        for name in ("one", "other"):
            run.spawn(stage.read, name)
        stage.go()
        assert run.stuck == []
        assert sorted(stage.got) == [0, 1]
        assert len(stage.ends) == 2

    assert explore(scenario, preemptions=1) > 50


def test_a_reader_that_is_collected_lets_the_producer_go():
    """The channel is closed a little later, in another thread."""

    def scenario(run):
        stage = Stage(run, 1)
        run.spawn(lambda: stage.produce(3), "producer")
        run.spawn(lambda: (run.step(), stage.channel.dropped()), "collector")
        stage.go()
        assert run.stuck == []
        assert stage.channel.life in (Life.CLOSED, Life.WAITING)

    assert explore(scenario) > 5


@pytest.mark.parametrize("what", ["put", "end", "close", "cancel"])
def test_a_waker_for_news_is_called_once(what):
    def scenario(run):
        stage = Stage(run, 1)
        channel, wakers = stage.channel, Wakers()
        channel.begin()
        acts = {
            "put": lambda: (channel.extend([1]), channel.extend([2])),
            "end": lambda: channel.end(None),
            "close": channel.close,
            "cancel": channel.cancel,
        }
        run.spawn(lambda: channel.when_news(wakers.new()))
        run.spawn(acts[what])
        stage.go()
        assert wakers.calls == [1]

    assert explore(scenario) > 1


@pytest.mark.parametrize("what", ["take", "end", "close", "cancel"])
def test_a_waker_for_room_is_called_once(what):
    def scenario(run):
        stage = Stage(run, 1)
        channel, wakers = stage.channel, Wakers()
        channel.begin()
        channel.extend([1])
        acts = {
            "take": lambda: channel.take(channel.ready),
            "end": lambda: channel.end(None),
            "close": channel.close,
            "cancel": channel.cancel,
        }
        run.spawn(lambda: channel.when_room(wakers.new()))
        run.spawn(acts[what])
        stage.go()
        assert wakers.calls == [1]

    assert explore(scenario) > 1


def test_a_generator_does_not_begin_for_a_reader_that_is_gone(monkeypatch):
    """Also if what closes the channel has not come to it yet."""
    later = []
    monkeypatch.setattr(module, "lifecycle", SimpleNamespace(later=later.append))
    channel = Channel(1)
    channel.dropped()
    assert not channel.begin()
    assert later == [channel.close]


def test_a_forked_child_finds_no_items_of_the_parent():
    channel = Channel(4)
    channel.begin()
    channel.extend([1, 2])
    before = channel.lock
    channel.forget()
    assert channel.lock is not before
    assert channel.life is Life.OVER
    assert not channel.take(channel.ready)
    assert isinstance(channel.take_end().error, RuntimeError)
