"""Control frames: all arrive, once and in order, however full the socket is."""

import contextlib
import os
import tempfile

import pytest

from parallelize.process.parent.tasks.worker_channel import WorkerChannel
from parallelize.process.wire import messages
from parallelize.process.wire.frames import FdReader
from parallelize.runtime import native


class Memory:
    """Something with a descriptor, as a shared object."""

    def __init__(self, content: bytes) -> None:
        self._file = tempfile.TemporaryFile()
        self._file.write(content)
        self._file.flush()

    def _descriptor(self) -> int:
        return self._file.fileno()

    def close(self) -> None:
        self._file.close()


class Worker:
    """The other ends, as the process that is started gets them."""

    def start(self, sock, control, page):
        self.sock, self.control = (
            native.socket_at(os.dup(each.fileno())) for each in (sock, control)
        )
        self.control.setblocking(False)
        self.reader = FdReader()

    def frames(self):
        """Read what is there: the id of each frame, and its descriptor's content."""
        with contextlib.suppress(BlockingIOError):
            while (frames := self.reader.read(self.control)) is not None:
                for frame in frames:
                    yield frame.id, self._content() if frame.extra else None

    def _content(self):
        with open(self.reader.fd(), "rb") as file:
            file.seek(0)
            return file.read()

    def close(self):
        self.sock.close()
        self.control.close()


@pytest.fixture
def worker():
    with contextlib.closing(Worker()) as worker:
        yield worker


@pytest.fixture
def channel(worker):
    with contextlib.closing(WorkerChannel(worker.start)) as channel:
        yield channel


def fill(channel):
    """Notify until the control socket is full; return the number of the frames."""
    count = 0
    while not channel.backlog:
        count += 1
        channel.notify(messages.FORGET, count)
    return count


def received(channel, worker):
    found = list(worker.frames())
    while channel.backlog:
        channel.flush_control()
        found += worker.frames()
    return found


def test_what_the_control_socket_does_not_take_follows_in_order(channel, worker):
    count = fill(channel)
    for id in range(count + 1, count + 6):
        channel.notify(messages.FORGET, id)
    assert len(channel.backlog) == 6
    assert received(channel, worker) == [(id, None) for id in range(1, count + 6)]


def test_a_descriptor_that_waits_is_sent_with_its_frame(channel, worker):
    count = fill(channel)
    with contextlib.closing(Memory(b"shared")) as memory:
        channel.notify(messages.ADOPT, count + 1, 1, memory)
        channel.notify(messages.FORGET, count + 2)
        found = received(channel, worker)
    assert found[count:] == [(count + 1, b"shared"), (count + 2, None)]


def test_a_segment_is_not_announced_before_the_frames_that_wait(channel, worker):
    """It is sent in the call's frame instead: nothing of it is left in the backlog."""
    count = fill(channel)
    with contextlib.closing(Memory(b"")) as memory:
        assert not channel.notify_now(messages.ADOPT, 7, memory._descriptor())
    assert len(channel.backlog) == 1
    assert received(channel, worker) == [(id, None) for id in range(1, count + 1)]


def test_a_worker_that_has_ended_is_seen_though_data_is_left(channel, worker):
    assert not channel.is_hung_up()
    worker.control.send(b"left")
    worker.close()
    assert channel.is_hung_up()
    channel.notify(messages.FORGET, 1)  # raises nothing
    channel.write([b"call"])
    assert not channel.stuck


def test_a_worker_that_cannot_be_started_leaves_nothing_open():
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []

    def start(sock, control, page):
        raise ConnectionError

    with pytest.raises(ConnectionError):
        WorkerChannel(start)
    assert not before or os.listdir("/proc/self/fd") == before
