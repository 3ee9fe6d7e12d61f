"""The worker's side of a stream: what a generator that is fast, or suddenly slow, sends."""

import pickle
from types import SimpleNamespace

import pytest

from parallelize.process.wire import messages
from parallelize.process.worker import stream as module
from parallelize.process.worker.stream import Credit, StreamSender
from parallelize.runtime.native import STEPS_ARE_WHOLE
from parallelize.streams.pump import pump

ID = 7

whole_steps = pytest.mark.skipif(
    not STEPS_ARE_WHOLE, reason="without the GIL items are drawn one by one"
)


class Line:
    """In place of the sender: notes the items of each frame."""

    def __init__(self):
        self.frames = []

    def send(self, kind, id, parts, extra=0, micros=0):
        assert (kind, id) == (messages.ITEMS, ID)
        if extra:
            (part,) = parts
            items = pickle.loads(part)
        else:
            items = [pickle.loads(part) for part in parts]
        self.frames.append((items, micros))

    def flush_copy(self):
        pass

    @property
    def items(self):
        return [item for items, _ in self.frames for item in items]


class Side:
    """A stream's sender whose clock only a test moves, in microseconds."""

    def __init__(self, credit=10_000, *, timed=False, closed=False):
        self.now = 0
        self.line = Line()
        self.credit = Credit()
        if closed:
            self.close()
        words = memoryview(bytearray(512)).cast("Q")
        frame = SimpleNamespace(id=ID, micros=credit * 2 + timed * messages.TIMED)
        self.sink = StreamSender(frame, words, self.line, None, self.credit)

    def clock(self):
        return 10**9 + 1000 * self.now

    def held_back(self, made):
        """The numbers up to the last one made that were not sent."""
        return made - len(self.line.items)

    def close(self):
        frame = SimpleNamespace(kind=messages.CLOSE, id=ID)
        self.credit.on_frame(frame)

    def pump(self, source):
        try:
            pump(source, self.sink)
        finally:
            self.sink.flush()


@pytest.fixture
def side(monkeypatch):
    side = Side()
    monkeypatch.setattr(module, "monotonic_ns", lambda: side.clock())
    return side


def test_fast_items_are_few_frames(side):
    def numbers():
        for number in range(5000):
            side.now += 1
            yield number

    side.pump(numbers())
    assert side.line.items == list(range(5000))
    assert len(side.line.frames) < 20


def test_what_may_change_is_sent_as_it_was_when_it_was_yielded(side):
    def growing():
        box = []
        for number in range(600):
            yield number
            if number % 7 == 0:
                box.append(number)
                yield box

    side.pump(growing())
    expected, box = [], []
    for number in range(600):
        expected.append(number)
        if number % 7 == 0:
            box = [*box, number]
            expected.append(box)
    assert side.line.items == expected


def test_types_of_numbers_are_kept(side):
    numbers = [1, True, 1.0, None, 0, False, 2**70, -1] * 50
    side.pump(iter_of(numbers))
    assert list(map(repr, side.line.items)) == list(map(repr, numbers))


def iter_of(values):
    yield from values


@whole_steps
def test_the_pool_gets_what_a_step_has_when_it_asks(side):
    """And the items that follow, which are slow, one by one."""
    held = []

    def slowing():
        yield from range(1000)
        side.sink.flush_for_pool()  # as the watcher does meanwhile
        held.append(side.held_back(1000))
        for number in range(1000, 1005):
            side.now += 10_000
            yield number
            held.append(side.held_back(number + 1))

    side.pump(slowing())
    assert side.line.items == list(range(1005))
    assert set(held) == {0}


@whole_steps
def test_a_generator_is_closed_at_its_next_yield(side):
    made = []

    def numbers():
        try:
            for number in range(5000):
                made.append(number)
                if number == 2000:
                    side.close()  # as the watcher does meanwhile
                yield number
        except GeneratorExit:
            made.append("closed")
            raise

    side.pump(numbers())
    assert made[-2:] == [2000, "closed"]


def test_items_before_an_error_are_sent(side):
    def failing():
        yield from range(777)
        raise LookupError

    with pytest.raises(LookupError):
        side.pump(failing())
    assert side.line.items == list(range(777))


def test_no_more_items_are_drawn_than_the_pool_accepts(monkeypatch):
    side, made, sent = Side(credit=100), [], []

    def wait(credit, id):
        sent.append(len(side.line.items))
        side.close()

    monkeypatch.setattr(Credit, "wait", wait)
    side.pump(made.append(number) or number for number in range(5000))
    assert (len(made), sent) == (100, [100])


@whole_steps
def test_the_end_is_found_at_once():
    """Also where the pool has accepted hardly more items than there are."""
    side, source = Side(credit=101), iter_of(range(100))
    side.sink.put(next(source))
    side.sink.put(next(source))
    steps = 0
    while side.sink.draw_some(source):
        steps += 1
    assert next(source, "over") == "over"
    assert side.sink.room()
    assert steps < 20


def test_timed_items_are_drawn_one_by_one():
    side = Side(timed=True)
    begun = set()

    def numbers():
        for number in range(500):
            begun.add(side.sink._words[module.BEGUN])
            yield number

    side.pump(numbers())
    assert len(begun) > 400
    assert side.line.items == list(range(500))


def test_a_stream_may_be_closed_before_it_begins():
    side = Side(closed=True)
    assert side.sink.is_closed
    assert not side.sink.room()
    side.pump(n for n in range(10))
    assert side.line.items == []
