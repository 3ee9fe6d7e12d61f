"""Frames on a stream: any cut gives the same frames, and what does not fit waits."""

import itertools
import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from parallelize.process.wire import frames
from parallelize.process.wire.frames import (
    LEAST_DIRECT,
    MOST_BYTES,
    MOST_JOINED,
    MOST_PARTS,
    READ_SIZE,
    RECEIVE_SIZE,
    DoesNotFitError,
    FdReader,
    Frame,
    FrameReader,
    FrameWriter,
    NoDescriptorError,
    PoolGoneError,
    ProtocolError,
    pack,
    send_all,
)
from support.interrupts import at_each_step
from support.properties import machine, steady

PATTERN = bytes(range(251)) * (READ_SIZE // 251 + 40)

#: Around each size at which a frame is treated in another way.
LENGTHS = st.one_of(
    st.integers(0, 40),
    st.sampled_from([LEAST_DIRECT, RECEIVE_SIZE, READ_SIZE]).flatmap(
        lambda size: st.integers(size - 60, size + 60)
    ),
)


def content(start, length):
    return PATTERN[start % 250 :][:length]


parts = st.builds(
    lambda make, start, length: make(content(start, length)),
    st.sampled_from([bytes, bytearray, memoryview]),
    st.integers(0, 249),
    LENGTHS,
)

messages = st.builds(
    Frame,
    kind=st.integers(0, (1 << 16) - 1),
    extra=st.integers(0, (1 << 32) - 1),
    micros=st.integers(0, (1 << 32) - 1),
    id=st.integers(0, (1 << 64) - 1),
    parts=st.lists(parts, max_size=10),
)


def packed(frame):
    return pack(frame.kind, frame.id, frame.parts, frame.extra, frame.micros)


def stream_of(sent):
    return b"".join(b"".join(packed(frame)) for frame in sent)


def told(frame):
    """All that a frame says, in a form that can be compared."""
    return (
        frame.kind,
        frame.extra,
        frame.micros,
        frame.id,
        [bytes(part) for part in frame.parts],
    )


def in_pieces(sizes):
    return itertools.chain(sizes, itertools.repeat(READ_SIZE))


def cut(stream, sizes):
    """Cut a stream into pieces of these sizes; the rest comes in large ones."""
    at = 0
    for size in in_pieces(sizes):
        if at >= len(stream):
            return
        yield stream[at : at + size]
        at += size


class Incoming:
    """A socket from which the bytes of a stream come in pieces."""

    def __init__(self, stream, sizes):
        self._rest = memoryview(stream)
        self._sizes = in_pieces(sizes)

    def recv(self, most):
        count = min(most, next(self._sizes))
        data, self._rest = bytes(self._rest[:count]), self._rest[count:]
        return data

    def recv_into(self, place):
        data = self.recv(len(place))
        place[: len(data)] = data
        return len(data)


def read_all(reader, sock):
    found = []
    while (more := reader.read(sock)) is not None:
        found += more
    return found


SIZES = st.lists(
    st.one_of(st.integers(1, 40), st.integers(1, 3 * READ_SIZE)), max_size=30
)


@steady
@given(st.lists(messages, max_size=5), SIZES)
def test_any_cut_gives_the_same_frames(sent, sizes):
    stream, reader, found = stream_of(sent), FrameReader(), []
    for piece in cut(stream, sizes):
        found += reader.feed(piece)
    assert list(map(told, found)) == list(map(told, sent))
    assert reader.received == len(stream)


@steady
@given(st.lists(messages, max_size=5), SIZES)
def test_any_reads_give_the_same_frames(sent, sizes):
    stream, reader = stream_of(sent), FrameReader()
    found = read_all(reader, Incoming(stream, sizes))
    assert list(map(told, found)) == list(map(told, sent))
    assert reader.received == len(stream)


SHORT = [
    Frame(1, 2, 3, 4, []),
    Frame(5, 0, 0, 1 << 63, [b"one"]),
    Frame(6, 0, 0, 0, [b""]),
    Frame(7, 1, 1, 1, [b"first", b"", b"third"]),
    Frame(8, 0, 9, 2, [b"%d" % number for number in range(12)]),
    Frame(9, 0, 0, 3, [content(7, LEAST_DIRECT), b"end"]),
    Frame(10, 0, 0, 5, [b"last"]),
]


def test_each_two_cuts_of_short_frames():
    sent = SHORT[:4]
    stream = stream_of(sent)
    for first, second in itertools.combinations(range(len(stream) + 1), 2):
        reader = FrameReader()
        pieces = stream[:first], stream[first:second], stream[second:]
        found = [frame for piece in pieces if piece for frame in reader.feed(piece)]
        assert list(map(told, found)) == list(map(told, sent))


def test_a_frame_is_given_with_its_last_byte():
    """One that is complete is never kept back until more comes."""
    reader, ends, found = FrameReader(), [], []
    for frame in SHORT:
        ends.append((ends[-1] if ends else 0) + len(stream_of([frame])))
    for at, byte in enumerate(stream_of(SHORT), 1):
        found += reader.feed(bytes([byte]))
        assert len(found) == sum(end <= at for end in ends)
    assert list(map(told, found)) == list(map(told, SHORT))


def test_memory_of_a_read_is_not_mapped_anew():
    """The C library does so from 128 KiB on, with the header of the bytes."""
    assert RECEIVE_SIZE + sys.getsizeof(b"") + 64 < 128 << 10


@steady
@given(st.integers(0, 1 << 20), st.integers(1, 60))
def test_the_end_of_the_stream_within_a_frame_gives_no_frame(length, lost):
    stream = stream_of([Frame(1, 0, 0, 1, [content(0, length % (READ_SIZE + 99))])])
    reader = FrameReader()
    short = stream[: max(len(stream) - lost, 0)]
    assert read_all(reader, Incoming(short, [READ_SIZE])) == []


@steady
@given(st.binary(max_size=400), SIZES)
def test_nonsense_is_refused_or_waits(data, sizes):
    """Whatever another end writes: no other error, and no frame too many."""
    reader = FrameReader()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frames, "bytearray", refuse, raising=False)
        try:
            found = [
                frame for piece in cut(data, sizes) for frame in reader.feed(piece)
            ]
        except (ProtocolError, MemoryError):
            return
    assert stream_of(found) == data[: len(stream_of(found))]


def refuse(size):
    raise MemoryError(size)


def header(count, *lengths):
    return frames._HEAD.pack(3, count, 0, 0, 17) + b"".join(
        length.to_bytes(8, "little") for length in lengths
    )


@pytest.mark.parametrize(
    "data",
    [
        header(MOST_PARTS + 1),
        header(1, MOST_BYTES + 1),
        header(2, MOST_BYTES, 1),
        header(3, *[(1 << 64) - 1] * 3),
    ],
    ids=["parts", "one part", "two parts", "three parts"],
)
def test_a_header_is_checked_before_memory_is_taken(monkeypatch, data):
    def taken(size):
        pytest.fail(f"{size} bytes were taken")

    monkeypatch.setattr(frames, "bytearray", taken, raising=False)
    with pytest.raises(ProtocolError):
        FrameReader().feed(data)


def test_a_frame_that_does_not_fit_says_whose_it_is(monkeypatch):
    monkeypatch.setattr(frames, "bytearray", refuse, raising=False)
    with pytest.raises(DoesNotFitError) as failure:
        FrameReader().feed(header(1, MOST_BYTES))
    assert (failure.value.kind, failure.value.id) == (3, 17)


def test_the_most_parts_of_a_frame():
    sent = Frame(1, 0, 0, 1, [b"x"] * MOST_PARTS)
    (found,) = FrameReader().feed(stream_of([sent]))
    assert told(found) == told(sent)


# --------------------------------------------------------------------- descriptors


@pytest.fixture
def pair():
    here, there = socket.socketpair()
    with here, there:
        yield here, there


needs_descriptors = pytest.mark.skipif(
    sys.platform == "win32", reason="there none can be passed"
)


def make_descriptor(text):
    reading, writing = os.pipe()
    os.write(writing, text)
    os.close(writing)
    return reading


@needs_descriptors
def test_descriptors_come_in_the_order_of_their_frames(pair):
    here, there = pair
    reader = FdReader()
    for text in (b"one", b"two"):
        fd = make_descriptor(text)
        socket.send_fds(here, [stream_of([SHORT[1]])], [fd])
        os.close(fd)
        (frame,) = reader.read(there)
        assert told(frame) == told(SHORT[1])
        received = reader.fd()
        assert not os.get_inheritable(received)
        assert os.read(received, 9) == text
        os.close(received)


@needs_descriptors
def test_a_descriptor_that_is_missing_is_no_other_one(pair):
    here, there = pair
    reader, fd = FdReader(), make_descriptor(b"it")
    socket.send_fds(here, [stream_of([SHORT[1]])], [fd])
    os.close(fd)
    reader.read(there)  # its descriptor is not taken
    here.sendall(stream_of([SHORT[0]]))
    reader.read(there)
    with pytest.raises(NoDescriptorError):
        reader.fd()


def test_a_pool_that_is_gone(pair):
    here, there = pair
    there.close()
    with pytest.raises(PoolGoneError):
        for _ in range(3):
            send_all(here, b"x")


# ------------------------------------------------------------------------- writing


class Outgoing:
    """A socket that takes a part of what it is given."""

    def __init__(self):
        self.stream = b""
        self.room = 0

    def sendmsg(self, buffers):
        data = b"".join(buffers)[: self.room]
        if not data:
            raise BlockingIOError
        self.room -= len(data)
        self.stream += data
        return len(data)

    def send(self, buffer):
        return self.sendmsg([buffer])


class Writer(RuleBasedStateMachine):
    """Frames are added and written to a socket that takes what it likes."""

    @initialize()
    def begin(self):
        self.sock = Outgoing()
        self.writer = FrameWriter(self.sock)
        self.expected = b""

    @rule(sent=st.lists(messages, min_size=1, max_size=2))
    def add(self, sent):
        self.writer.add([buffer for frame in sent for buffer in packed(frame)])
        self.expected += stream_of(sent)

    @rule(count=st.integers(0, MOST_JOINED + 2))
    def add_many(self, count):
        self.writer.add([b"%d," % number for number in range(count + 1)])
        self.expected += b"".join(b"%d," % number for number in range(count + 1))

    @rule(room=st.one_of(st.integers(0, 100), st.integers(0, 2 * READ_SIZE)))
    def flush(self, room):
        self.sock.room = room
        before = len(self.sock.stream)
        all_sent = self.writer.flush()
        assert all_sent == (len(self.sock.stream) == len(self.expected))
        assert all_sent or len(self.sock.stream) - before == room

    @invariant()
    def the_stream_is_what_was_added_so_far(self):
        assert self.expected.startswith(self.sock.stream)

    def teardown(self):
        self.sock.room = len(self.expected) + 1
        assert self.writer.flush()
        assert self.sock.stream == self.expected


Writer.TestCase.settings = machine
TestWriter = Writer.TestCase


def test_what_waits_for_a_peer_that_is_gone_is_dropped():
    writer = FrameWriter(Outgoing())
    writer.add([b"it"])
    assert not writer.flush()
    writer.drop()
    assert writer.flush()


@needs_descriptors
@pytest.mark.parametrize("behind", [b"", b"what does not fit yet"])
def test_an_error_at_any_step_neither_loses_nor_repeats(behind):
    """Ctrl-C while frames are written: the writer says whether it has them."""
    step, interrupted = 0, True
    while interrupted:
        here, there = socket.socketpair()
        with here, there:
            writer = FrameWriter(here)
            expected = behind + b"a frame"
            if behind:
                writer.add([behind])
            before = writer.queued

            def write():
                writer.add([b"a ", b"frame"])
                writer.flush()

            interrupted = at_each_step(write, frames)(step)
            if interrupted and not writer.has_grown(before):
                writer.add([b"a frame"])
            assert writer.has_grown(before)
            writer.add([b"."])
            assert writer.flush()
            assert there.recv(1000) == expected + b"."
        step += 1
    assert step > 20
