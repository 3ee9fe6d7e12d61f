"""The segments of one sender: no message is overwritten, and none is kept for long."""

import contextlib
import mmap
import os
import sys
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

from parallelize.process.memory import segments
from parallelize.process.memory.segments import (
    Segments,
    decode_places,
    encode_places,
)
from parallelize.process.wire.frames import ProtocolError
from support.properties import machine, steady

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="there no descriptor can be passed"
)

#: Smaller than in earnest: a test that fills them is short.
SMALL = {
    "LEAST": 1 << 8,
    "LEAST_ALONE": 1 << 13,
    "SHARED_SIZE": 4 * mmap.PAGESIZE,
}
MOST = 5
KEPT = 1 << 15

sizes = st.one_of(
    st.integers(1, 600),
    st.integers(1, 3 * mmap.PAGESIZE),
    st.integers(SMALL["LEAST_ALONE"] - 200, SMALL["LEAST_ALONE"] + 200),
)


def is_open(fd):
    with contextlib.suppress(OSError):
        os.fstat(fd)
        return True
    return False


class Sender(RuleBasedStateMachine):
    """Messages are placed, and their receivers let go of them, in any order."""

    @initialize()
    def begin(self):
        self.patches = mock.patch.multiple(segments, **SMALL)
        self.patches.start()
        self.closed = []
        self.segments = Segments(self.closed.append, MOST)
        self.segments.most_kept = KEPT
        self.live = []  # [placed, content, number of holders]
        self.count = 0
        self.descriptors = {}

    @rule(lengths=st.lists(sizes, min_size=1, max_size=4))
    def place(self, lengths):
        self.count += 1
        content = [
            bytes([self.count % 251, length % 251]) * length for length in lengths
        ]
        placed = self.segments.place([memoryview(each) for each in content])
        if placed is None:
            total = sum(map(len, content)) + segments._ALIGNMENT * len(content)
            full = len(self.segments._all) == MOST
            assert total < SMALL["LEAST"] or full
            return
        assert placed.segment.id not in self.closed
        assert decode_places(placed) == (placed.segment.id, [*placed.places], False)
        self.descriptors[placed.segment.id] = placed.segment.fd
        self.live.append([placed, content, 1])

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def hold(self, data):
        entry = data.draw(st.sampled_from(self.live))
        self.segments.hold(entry[0].segment)
        entry[2] += 1

    @precondition(lambda self: self.live)
    @rule(data=st.data(), reusable=st.sampled_from([True, True, False]))
    def let_go(self, data, reusable):
        entry = data.draw(st.sampled_from(self.live))
        self.segments.let_go(entry[0].segment, reusable=reusable)
        entry[2] -= 1
        if not entry[2]:
            self.live.remove(entry)

    @rule()
    def trim(self):
        self.segments.trim()
        carrying = {entry[0].segment.id for entry in self.live}
        assert set(self.segments._all) == carrying

    @invariant()
    def what_is_held_is_intact(self):
        for placed, content, _ in self.live:
            assert [bytes(each) for each in placed.buffers()] == content
            assert self.segments.find(placed.segment.id) is placed.segment

    @invariant()
    def messages_share_no_page(self):
        pages = {}
        for number, (placed, _, _) in enumerate(self.live):
            for start, length in placed.places:
                for page in range(
                    start // mmap.PAGESIZE, (start + length - 1) // mmap.PAGESIZE + 1
                ):
                    owner = pages.setdefault((placed.segment.id, page), number)
                    assert owner == number

    @invariant()
    def no_more_is_kept_than_may_be(self):
        every, free = self.segments._all, self.segments._free
        assert len(every) <= MOST
        assert sum(each.size for each in free) <= KEPT
        assert all(not each.holders and each.reusable for each in free)

    @invariant()
    def each_that_was_given_up_is_told_of_once(self):
        assert len(set(self.closed)) == len(self.closed)
        assert not set(self.closed) & set(self.segments._all)
        assert all(is_open(each.fd) for each in self.segments._all.values())

    def teardown(self):
        self.segments.close()
        assert not self.segments._all
        for placed, content, _ in self.live:  # views outlast the segment
            segment = placed.segment
            assert not hasattr(segment, "_view")
        self.live.clear()
        self.patches.stop()


Sender.TestCase.settings = machine
TestSender = Sender.TestCase


def place(sender, *lengths):
    return sender.place([memoryview(bytes(length)) for length in lengths])


@pytest.fixture
def sender():
    closed = []
    with mock.patch.multiple(segments, **SMALL):
        sender = Segments(closed.append, MOST)
        sender.given_up = closed
        yield sender
        sender.close()


def test_a_segment_that_is_free_is_used_again(sender):
    first = place(sender, 20_000)
    sender.let_go(first.segment)
    assert place(sender, 20_000).segment is first.segment
    assert sender.given_up == []


def test_a_segment_of_a_receiver_that_forked_is_not_used_again(sender):
    first = place(sender, 20_000)
    sender.hold(first.segment)
    sender.let_go(first.segment, reusable=False)
    sender.let_go(first.segment)
    assert sender.given_up == [first.segment.id]
    assert place(sender, 20_000).segment.id != first.segment.id


def test_without_room_what_is_free_gives_way(sender):
    held = [place(sender, 20_000) for _ in range(MOST - 1)]
    free = place(sender, 100_000)
    assert place(sender, 20_000) is None
    sender.let_go(free.segment)
    assert place(sender, 20_000) is not None
    assert sender.given_up == [free.segment.id]
    assert all(sender.find(each.segment.id) for each in held)


def test_an_open_segment_is_filled_from_the_start_once_it_is_empty(sender):
    first = place(sender, 1000)
    sender.let_go(first.segment)
    second = place(sender, 1000)
    assert (second.segment, second.places) == (first.segment, first.places)


def test_no_memory_is_no_error(sender, monkeypatch):
    def refuse(size):
        raise OSError("there is none")

    monkeypatch.setattr(segments, "nameless_memory", refuse)
    assert place(sender, 20_000) is None
    assert place(sender, 1000) is None


def test_a_forked_child_forgets_them_whoever_holds_the_lock(sender):
    placed = place(sender, 20_000)
    before = sender._lock
    sender.forget()
    assert sender._lock is not before
    assert sender.find(placed.segment.id) is None


places = st.lists(st.tuples(st.integers(0, 1 << 40), st.integers(0, 1 << 40)))


@steady
@given(st.integers(0, 1 << 40), places, st.booleans())
def test_places_are_decoded_as_they_were(id, places, copied):
    encoded = encode_places(id, places, copied=copied)
    assert decode_places(encoded) == (id, places, copied)
    assert decode_places(memoryview(encoded)) == (id, places, copied)


@steady
@given(st.binary(max_size=80))
def test_places_of_nonsense_are_refused(data):
    if data and len(data) % 16 == 0:
        decode_places(data)
    else:
        with pytest.raises(ProtocolError):
            decode_places(data)
