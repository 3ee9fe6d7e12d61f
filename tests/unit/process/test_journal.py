"""The page, cut off at every write: what a pool makes of it when its worker dies.

The worker's code is the real one. At each of its steps the test looks at the page and
at the bytes that were sent, as the pool does after a death at that very moment.
"""

import contextlib
import itertools
import pickle
import struct
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parallelize.calls.tally import Tally
from parallelize.futures.future import Outcome
from parallelize.process.parent.tasks.rows import RowsTask
from parallelize.process.wire import journal, messages
from parallelize.process.wire.frames import Frame, FrameReader, pack
from parallelize.process.wire.journal import (
    BASE,
    COUNT,
    END,
    JOURNAL_SIZE,
    LIMIT,
    NO_ROW,
    OUTBOX_SIZE,
    TASK,
    Journal,
    close_page_file,
    make_page_file,
)
from parallelize.process.worker import rows, sender
from parallelize.process.worker.rows import RowsRunner
from parallelize.process.worker.sender import Sender
from parallelize.runtime import locks
from parallelize.runtime.options import DEFAULTS
from support.interrupts import watch_steps
from support.properties import steady

#: In the functions of this module a worker may die, too.
THIS = sys.modules[__name__]

several = settings(steady, max_examples=60)


@contextlib.contextmanager
def new_page():
    file = make_page_file()
    page = Journal(file)
    close_page_file(file)
    try:
        yield page
    finally:
        page.close()


@pytest.fixture
def page():
    with new_page() as page:
        yield page


class Clock:
    """A clock that goes on by such steps each time that it is read."""

    def __init__(self, steps):
        self._steps = itertools.cycle(steps)
        self._now = 0

    def __call__(self):
        self._now += next(self._steps)
        return self._now


CLOCKS = st.lists(
    st.sampled_from([1_000, 40_000, 200_000, 6_000_000]), min_size=1, max_size=5
)


class Wire:
    """The socket to the pool: it takes the bytes in pieces."""

    def __init__(self):
        self.received = bytearray()

    def sendall(self, data):
        data = bytes(data)
        for at in range(0, len(data), max(len(data) // 2, 1)):
            self.received += data[at : at + max(len(data) // 2, 1)]


def last_frames(wire, page):
    """What a pool has of a worker that has died, as `WorkerChannel.last_frames`."""
    reader = FrameReader()
    found = reader.feed(bytes(wire.received)) if wire.received else []
    return found + reader.feed(page.remainder(reader.received))


# ------------------------------------------------------------- the stream of frames

sizes = st.one_of(
    st.integers(0, 50),
    st.integers(OUTBOX_SIZE // 3, OUTBOX_SIZE // 2),
    st.integers(OUTBOX_SIZE - 60, OUTBOX_SIZE + 60),
)
acts = st.one_of(
    st.tuples(st.just("send"), sizes),
    st.tuples(st.just("report"), sizes),
    st.tuples(st.just("flush"), st.just(0)),
)


@several
@given(st.lists(acts, max_size=5), CLOCKS)
def test_no_frame_is_lost_whenever_the_worker_dies(script, clock):
    """Each frame whose `send` has returned, and none in part or twice."""
    with new_page() as page, mock.patch.object(sender, "monotonic_ns", Clock(clock)):
        ended, seen = [], [None]

        def look():
            now = (bytes(page.words), len(wire.received))
            if now == seen[0]:
                return
            seen[0] = now
            found = [frame.id for frame in last_frames(wire, page) if frame.id]
            assert found[: len(ended)] == ended
            assert len(found) <= len(ended) + 1
            assert found == list(range(1, len(found) + 1))

        wire = Wire()
        worker = Sender(wire, page, lambda buffers: None)

        def run():
            for act, size in script:
                if act == "send":
                    worker.send(messages.DONE, len(ended) + 1, [bytes(size)])
                    ended.append(len(ended) + 1)
                elif act == "report":
                    assert worker.report(1, [bytes(size)])
                else:
                    worker.flush()

        watch_steps(run, look, THIS, journal, sender)
        worker.flush()
        assert page.words[END] == 0
        assert page.words[BASE] == len(wire.received)
        reports = [size for act, size in script if act == "report"]
        frames = last_frames(wire, page)
        assert [len(f.parts[0]) for f in frames if f.kind == messages.REPORT] == reports


# ------------------------------------------------------------------------------ rows

results = st.one_of(
    st.integers(-(1 << 63), (1 << 63) - 1),
    st.integers(1 << 63, 1 << 70),
    st.floats(allow_nan=False),
    st.booleans(),
    st.none(),
    st.text(max_size=5),
    st.tuples(st.text(max_size=2), st.lists(st.integers(0, 9), max_size=2)),
    st.just({"of": "no", "group": LookupError}),
    st.builds(complex, st.integers(0, 9)),
    st.builds(LookupError, st.integers(0, 9)),
)

#: Mostly several of one type behind each other, as there are groups of such.
columns = st.lists(
    st.one_of(
        st.lists(results, max_size=3),
        st.lists(st.integers(0, 99), max_size=5),
        st.lists(st.floats(0, 1), max_size=4),
        st.lists(st.booleans(), max_size=2),
        st.lists(st.text(max_size=3), max_size=5),
        st.lists(st.dictionaries(st.text(max_size=1), st.none()), max_size=4),
        st.lists(st.builds(complex, st.integers(0, 9)), max_size=4),
    ),
    max_size=3,
).map(lambda lists: list(itertools.chain(*lists)))


class Died(Exception):
    pass


class PoolSide(RowsTask):
    """A task of rows as the pool has it: what it has delivered so far."""

    def __init__(self, size):
        self.id, self.size, self.done, self._first = 0, size, 0, 0
        self.options, self.attempts, self.key = DEFAULTS, 0, b""
        queue = SimpleNamespace(learn=lambda *_: None)
        scheduler = SimpleNamespace(queue=queue, tally=Tally())
        self.pool = SimpleNamespace(scheduler=scheduler)
        self.fn, self.outcomes, self._stop = None, [], []
        self._deliver = self._take

    def _take(self, first, outcomes, seconds):
        assert first == len(self.outcomes)
        self.outcomes += outcomes


def opened(outcome):
    """A value, or an error's class and arguments."""
    value, error = outcome.open() if isinstance(outcome, Outcome) else (outcome, None)
    return value if error is None else (type(error), error.args)


class Death:
    """One worker that runs tasks of rows, and what a pool can say of it at any step."""

    def __init__(self, page, script, copies):
        self.page = page
        self.script = script  # for each task what its rows come to
        self.begun = [0] * len(script)
        self.inside = None  # the row that is running just now
        self._copies = set(copies)  # at which looks the watcher sends what is there
        self._looks = 0
        self._seen = None
        self.wire = Wire()
        self.sender = Sender(self.wire, page, lambda buffers: None)

    def look(self):
        words, wire = self.page.words, self.wire
        now = bytes(words), self.page.ended(), len(wire.received), self.inside
        if now == self._seen:
            return
        self._seen = now
        self._check()
        self._looks += 1
        if self._looks in self._copies and not locks.depth(self.sender._lock):
            self.sender.flush_copy()
            self._check()

    def _check(self):
        tasks = [PoolSide(len(outcomes)) for outcomes in self.script]
        for frame in last_frames(self.wire, self.page):
            tasks[frame.id - 1].advance(frame)
        for number, task in enumerate(tasks):
            self._settle(task, self.begun[number], running=number + 1)
            known = [opened(each) for each in task.outcomes]
            expected = [
                (type(each), each.args) if isinstance(each, Exception) else each
                for each in self.script[number]
            ]
            if known and known[-1] == (Died, ()):
                known.pop()
                assert self.inside in (None, (number, len(known)))
            assert list(map(repr, known)) == list(map(repr, expected[: len(known)]))

    def _settle(self, task, begun, running):
        """As `RowsTask.on_worker_died` does."""
        if self.page.words[TASK] == running:
            task.recover(*self.page.journal())
            assert task.done >= begun - 1  # all that ended before this one began
            blamed = task.fail_running_row(self.page.running(), Died())
            assert blamed or self.inside is None
        assert task.done >= begun  # or a row that has begun would run once more

    def run(self, number, arity, timed):
        def fn(row, *_):
            self.begun[number] += 1
            self.inside = number, row
            self.inside = None
            result = self.script[number][row]
            if isinstance(result, Exception):
                raise result
            return result

        count = range(len(self.script[number]))
        flat = [row for row in count for _ in range(arity)]
        flags = messages.TIMED if timed else 0
        parts = [b"", pickle.dumps(flat, 5)]
        frame = Frame(messages.ROWS, arity, flags, number + 1, parts)
        with mock.patch.object(rows.pickling, "decode_function", lambda _: fn):
            RowsRunner(frame, self.page.words, self.sender, bool).run()


@several
@given(
    st.lists(columns, min_size=1, max_size=2),
    st.integers(1, 2),
    st.booleans(),
    CLOCKS,
    st.sets(st.integers(1, 40), max_size=4),
)
def test_exactly_the_running_row_is_lost(script, arity, timed, clock, copies):
    """Results of rows that ended are there; no row that began is run once more."""
    clock = Clock(clock)
    with (
        new_page() as page,
        mock.patch.object(sender, "monotonic_ns", clock),
        mock.patch.object(rows, "monotonic_ns", clock),
    ):
        death = Death(page, script, copies)

        def run():
            for number in range(len(script)):
                death.run(number, arity, timed)

        watch_steps(run, death.look, THIS, journal, sender, rows)
        assert death.begun == list(map(len, script))
        death._check()
        death.sender.flush()
        death._check()


# ------------------------------------------------------------------- a page by itself


def test_a_fresh_page_says_nothing(page):
    assert page.remainder(0) == b""
    assert page.journal() == (0, [])
    assert page.ended() == 0


@steady
@given(
    st.one_of(
        st.lists(
            st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text())
        ),
        st.lists(st.one_of(st.text(), st.binary(), st.tuples(st.integers()))),
    )
)
def test_values_are_read_back_as_they_were(values):
    with new_page() as page:
        page.choose_mark()
        assert all(page.note(slot, each) for slot, each in enumerate(values))
        page.words[COUNT] = len(values)
        assert list(map(repr, page.journal()[1])) == list(map(repr, values))
        if values:
            packed = PoolSide(len(values))
            block = Frame(messages.BLOCK, 0, 0, 1, [page.packed(len(values))])
            packed.advance(block)
            assert list(map(repr, packed.outcomes)) == list(map(repr, values))


@pytest.mark.parametrize(
    "value",
    [int, 1 + 0j, [int], "x" * 5000, b"x" * 5000, list(range(300)), ["x" * 5000]],
)
def test_what_does_not_fit_is_refused(page, value):
    page.choose_mark()
    assert not page.note(0, value)
    assert page.note(0, "text")


def test_texts_are_refused_when_there_is_no_more_room(page):
    page.choose_mark()
    slot = 0
    while page.note(slot, "x" * 100):
        slot += 1
    size = len(pickle.dumps("x" * 100, journal.PROTOCOL))
    assert slot == (journal.TEXTS_SIZE - 1) // (size - 1)
    page.words[COUNT] = slot
    assert page.journal() == (0, ["x" * 100] * slot)
    page.clear()
    assert page.note(0, "x" * 100)


def test_a_text_that_got_no_slot_is_overwritten(page):
    """A signal handler may raise between the two."""
    page.choose_mark()
    assert page.note(0, "first")
    text = page.pickled("interrupted")
    page.texts[page.texts_end : page.texts_end + len(text)] = text
    assert page.note(1, "second")
    page.words[COUNT] = 2
    assert page.journal() == (0, ["first", "second"])
    assert pickle.loads(page.packed(2)) == ["first", "second"]


def test_texts_that_refer_to_their_parts_stand_side_by_side(page):
    """What a pickle refers to is found by a number, which others have, too."""
    page.choose_mark()
    rows = [
        ("a", "a"),
        {"b": [part := ("c",), part]},
        {"d", ("d",)},
        [None, "e"],
        "",
        b"",
    ]
    slots = page.open_group(tuple, 0, len(rows))
    for slot, row in enumerate(rows):
        text = page.pickled(row)
        end = page.texts_end + len(text)
        page.texts[page.texts_end : end] = text
        slots[slot] = page.texts_end = end - 1
    assert page.journal() == (0, rows)
    page.close_group(len(rows))
    assert pickle.loads(page.packed(len(rows))) == rows


def test_containers_are_tried_anew_for_the_next_rows(page):
    page.choose_mark()
    assert not page.note(0, [int])
    assert not page.note(0, [1])  # each would be pickled twice
    page.begin_rows()
    assert page.note(0, [1])


def test_a_subclass_is_refused(page):
    """Its value alone would come back as the plain type."""

    class Number(int):
        pass

    page.choose_mark()
    assert not page.note(0, Number(3))
    assert not page.note(0, (Number(3),))


@steady
@given(
    st.integers(0, 20),
    st.lists(st.integers(-99, 99), min_size=1, max_size=20),
    st.integers(0, 20),
)
def test_an_open_group_counts_up_to_its_first_mark(before, values, ended):
    with new_page() as page:
        page.choose_mark()
        for slot in range(before):
            page.note(slot, slot)
        page.words[COUNT] = before
        slots = page.open_group(int, before, len(values))
        ended = min(ended, len(values))
        for slot, value in enumerate(values[:ended], before):
            slots[slot] = value
        assert page.journal() == (0, [*range(before), *values[:ended]])
        assert page.running() == before + min(ended, len(values) - 1)
        page.close_group(before + ended)
        assert page.journal() == (0, [*range(before), *values[:ended]])


@pytest.mark.parametrize("kind", [int, float, bool, str])
def test_a_detached_journal_refuses_results(page, kind):
    page.choose_mark()
    slots = page.open_group(kind, 0, 3)
    page.detach()
    with pytest.raises(ValueError):
        slots[0] = 1 if kind is str else kind(1)
    assert page.ended() == 0


@steady
@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=9, max_size=9), st.binary())
def test_a_page_of_nonsense_is_read_within_bounds(words, data):
    """A task may have written where it had no business."""
    with new_page() as page:
        page._view[: 8 * len(words)] = struct.pack("=9Q", *words)
        page._view[128 : 128 + len(data)] = data
        assert 0 <= page.ended() <= JOURNAL_SIZE
        assert len(page.journal()[1]) <= JOURNAL_SIZE
        for received in (0, words[BASE], words[BASE] + 7):
            assert len(page.remainder(received)) <= OUTBOX_SIZE
        assert page.running() >= 0


def test_the_outbox_takes_whole_frames_only(page):
    frame = b"".join(pack(messages.DONE, 1, [bytes(1000)]))
    count = 0
    while page.append(frame):
        count += 1
    assert count == OUTBOX_SIZE // len(frame)
    assert bytes(page.unsent()) == frame * count
    assert page.append(bytes(OUTBOX_SIZE - count * len(frame)))
    assert not page.append(b"x")
    page.sent()
    assert page.words[END] == 0
    assert page.words[BASE] == OUTBOX_SIZE


def test_a_worker_that_runs_no_row_blames_none(page):
    page.words[journal.ROW] = NO_ROW
    assert page.running() == NO_ROW
    assert page.words[LIMIT] == 0
