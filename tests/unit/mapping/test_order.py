"""In which order a map gives its results: chunks that come back in whatever way."""

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from parallelize.mapping.order import AsCompleted, Chunk, InOrder, Part
from support.properties import machine


class Reader(RuleBasedStateMachine):
    """Chunks begin, parts of them come back in order, and are taken."""

    @initialize(ordered=st.booleans())
    def begin_reading(self, ordered):
        self.ordered = ordered
        self.order = InOrder() if ordered else AsCompleted()
        self.outside = []  # [chunk, how many of its rows have come]
        self.last = None  # the chunk that was begun last, if nothing of it has come
        self.rows = 0
        self.arrived = []  # rows, as they came
        self.given = []

    @rule(count=st.integers(1, 6))
    def begun(self, count):
        chunk = Chunk([(row,) for row in range(count)], self.rows)
        self.rows += count
        self.order.begun(chunk)
        self.outside.append([chunk, 0])
        self.last = self.outside[-1]

    @precondition(lambda self: self.outside)
    @rule(data=st.data())
    def a_part_comes(self, data):
        entry = data.draw(st.sampled_from(self.outside))
        chunk, came = entry
        count = data.draw(st.integers(1, chunk.count - came))
        rows = list(range(chunk.start + came, chunk.start + came + count))
        self.order.arrived(Part(chunk, came, rows, {int}))
        self.arrived += rows
        entry[1] += count
        if entry[1] == chunk.count:
            self.outside.remove(entry)
        if self.last is entry:
            self.last = None

    @precondition(lambda self: self.last is not None and not self.last[1])
    @rule()
    def the_last_is_taken_back(self):
        """The executor did not accept it."""
        chunk, _ = self.last
        self.order.take_back(chunk)
        self.outside.remove(self.last)
        self.rows -= chunk.count
        self.last = None

    @rule()
    def take(self):
        ready = self.order.ready()
        part = self.order.take()
        assert ready == (part is not None)
        if part is not None:
            self.given += part.outcomes

    @invariant()
    def rows_are_given_in_order(self):
        expected = range(self.rows) if self.ordered else self.arrived
        assert self.given == list(expected[: len(self.given)])

    @invariant()
    def what_can_be_given_is_ready(self):
        left = len(self.given) < self.rows
        assert self.order.empty() == (not left)
        if self.ordered:
            assert self.order.ready() == (left and len(self.given) in self.arrived)
            head = self.order.head()
            assert (head is not None) == left
            assert not left or head.start <= len(self.given) < head.start + head.count
        else:
            assert self.order.ready() == (len(self.given) < len(self.arrived))


Reader.TestCase.settings = machine
TestReader = Reader.TestCase
