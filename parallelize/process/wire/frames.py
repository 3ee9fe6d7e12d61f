"""Frames on a stream socket: a header that is read without pickle, then parts.

```
 kind u16 │ parts u16 │ extra u32 │ micros u32 │ id u64 │ length u64 … │ part …
```

Both ends run this library, but a worker also runs arbitrary user code: headers are
checked before anything is allocated, and nothing is unpickled here.
"""

from __future__ import annotations

import os
import struct
import sys
from collections import deque
from itertools import islice

from parallelize.runtime import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Part = bytes | bytearray | memoryview

_HEAD = struct.Struct("<HHIIQ")
_HEAD_OF_ONE = struct.Struct("<HHIIQQ")  # with the length of the only part
_HEADS = [struct.Struct(f"<HHIIQ{count}Q") for count in range(9)]
_LENGTHS = [struct.Struct(f"<{count}Q") for count in range(9)]

#: Bytes that are joined to be sent at once.
READ_SIZE = 1 << 18

#: Bytes read from a socket at once. The C library maps new memory for 128 KiB and more
#: at each read, which takes longer than to read a short frame.
RECEIVE_SIZE = 120 << 10

#: Longer frames are received piecewise, directly into their own buffer.
LEAST_DIRECT = 1 << 14

#: Limits of a valid frame; a peer that exceeds them is broken.
MOST_PARTS = 1 << 12
MOST_BYTES = 1 << 46

#: Up to this many short buffers are joined: copying them is cheaper than a long list.
MOST_JOINED = 1 << 12

#: Maximum number of buffers for one sendmsg (IOV_MAX is 1024 on all supported systems).
_MOST_BUFFERS = 512


#: Bytes and descriptors read at once from a socket that carries descriptors.
_CONTROL_SIZE = 1 << 12
_MOST_FDS = 64


class ProtocolError(Exception):
    """The peer sent something that is not a valid frame."""


class PoolGoneError(ConnectionError):
    """The pool at the other end of a worker's socket is gone."""


def send_all(sock: native.Socket, data: Part) -> None:
    """Send bytes to the pool; raise PoolGoneError if it is gone."""
    try:
        sock.sendall(data)
    except ConnectionError as error:
        raise PoolGoneError from error


class NoDescriptorError(ProtocolError):
    """The descriptor of a frame was lost: this process has reached its limit."""


class DoesNotFitError(ProtocolError):
    """There is not enough memory for a frame; the id of its task is known."""

    def __init__(self, kind: int, id: int, size: int) -> None:
        super().__init__(f"a frame of {size} bytes does not fit into memory")
        self.kind = kind
        self.id = id


class Frame:
    """One message; the module `messages` says what its fields mean for each kind."""

    __slots__ = ("extra", "id", "kind", "micros", "parts")

    def __init__(
        self, kind: int, extra: int, micros: int, id: int, parts: Sequence[Part]
    ) -> None:
        self.kind: int = kind
        self.extra: int = extra
        self.micros: int = micros
        self.id: int = id
        self.parts: Sequence[Part] = parts

    def changed(self, kind: int, parts: Sequence[Part]) -> Frame:
        """Return a copy of this frame with another kind and other parts."""
        return Frame(kind, self.extra, self.micros, self.id, parts)


def pack(
    kind: int, id: int, parts: Sequence[Part] = (), extra: int = 0, micros: int = 0
) -> list[Part]:
    """Return a frame as buffers that are written one after the other."""
    count = len(parts)
    sizes = [each.nbytes if type(each) is memoryview else len(each) for each in parts]
    layout = _HEADS[count] if count < len(_HEADS) else struct.Struct(f"<HHIIQ{count}Q")
    head = layout.pack(kind, count, extra, micros, id, *sizes)
    if count <= 2 and sum(sizes) < READ_SIZE:
        return [b"".join((head, *parts))]
    return [head, *parts]


def _size(part: Part) -> int:
    return part.nbytes if isinstance(part, memoryview) else len(part)


def _lengths(count: int) -> struct.Struct:
    return _LENGTHS[count] if count < len(_LENGTHS) else struct.Struct(f"<{count}Q")


class FrameReader:
    """Cuts a stream of bytes into frames, however they arrive."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of an incomplete frame
        self._large: _LargeFrame | None = None  # the frame that is being received
        self.received: int = 0  # bytes of the stream so far

    def read(self, sock: native.Socket) -> list[Frame] | None:
        """Read once from the socket; None at the end of the stream.

        Raises:
            BlockingIOError: There is nothing to read now.
            ProtocolError: The data is not a valid frame.
        """
        if self._large is not None:
            count = self._large.receive(sock)
            self.received += count
            return self._finish_large() if count else None
        data = sock.recv(RECEIVE_SIZE)
        return self.feed(data) if data else None

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next bytes of the stream; return the frames they complete."""
        self.received += len(data)
        if self._large is not None:
            taken = self._large.take(data)
            frames = self._finish_large()
            return frames + self._cut(data[taken:]) if taken < len(data) else frames
        return self._cut(self._rest + data if self._rest else data)

    def _finish_large(self) -> list[Frame]:
        if self._large is None or not self._large.complete():
            return []
        frame = self._large.frame()
        self._large = None
        return [frame]

    def _cut(self, data: bytes) -> list[Frame]:
        frames: list[Frame] = []
        at = self._cut_short_ones(data, frames)
        end = len(data)
        while end - at >= _HEAD.size:
            kind, count, extra, micros, id = _HEAD.unpack_from(data, at)
            body = at + _HEAD.size + 8 * count
            if count > MOST_PARTS:
                msg = f"a frame of {count} parts"
                raise ProtocolError(msg)
            if body > end:
                break
            lengths = _lengths(count).unpack_from(data, at + _HEAD.size)
            parts: list[Part] = []
            if body + sum(lengths) > end:
                if body + sum(lengths) - at > LEAST_DIRECT:
                    self._rest = b""
                    self._large = _LargeFrame((kind, extra, micros, id), lengths)
                    self._large.take(data[body:])
                    return frames
                break
            for length in lengths:
                parts.append(data[body : body + length])
                body += length
            frames.append(Frame(kind, extra, micros, id, parts))
            at = body
        self._rest = data[at:] if at else data
        return frames

    def _cut_short_ones(self, data: bytes, frames: list[Frame]) -> int:
        """Cut off the complete frames of one part at the beginning of the data.

        Nearly all answers are such frames.

        Returns:
            Where the rest begins.
        """
        at, size, unpack = 0, _HEAD_OF_ONE.size, _HEAD_OF_ONE.unpack_from
        last = len(data) - size
        while at <= last:
            kind, count, extra, micros, id, length = unpack(data, at)
            if count != 1 or length > last - at:
                break
            start = at + size
            at = start + length
            parts = [data[start:at]]
            frames.append(Frame(kind, extra, micros, id, parts))
        return at


class FdReader(FrameReader):
    """Reads frames, some of which come with a descriptor."""

    def __init__(self) -> None:
        super().__init__()
        self._fds: deque[int] = deque()

    def read(self, sock: native.Socket) -> list[Frame] | None:
        """Read once from the socket; None at the end of the stream."""
        if sys.platform == "win32":  # cannot pass descriptors
            return super().read(sock)
        data, fds = native.recv_fds(sock, _CONTROL_SIZE, _MOST_FDS)
        # The descriptors of one read belong to its frames: drop those left from earlier
        # reads, so that after a lost descriptor none is taken for another frame's.
        self.close()
        self._fds.extend(fds)
        return self.feed(data) if data else None

    def fd(self) -> int:
        """Return the frame's descriptor; raise NoDescriptorError if it was lost."""
        if not self._fds:
            msg = "no descriptor is left for shared memory"
            raise NoDescriptorError(msg)
        return self._fds.popleft()

    def close(self) -> None:
        """Close the descriptors that were not taken."""
        while self._fds:
            os.close(self._fds.popleft())


class _LargeFrame:
    """A frame that is received directly into its buffer, without further copies."""

    def __init__(self, head: tuple[int, int, int, int], lengths: Sequence[int]) -> None:
        if sum(lengths) > MOST_BYTES:
            msg = f"a frame of {sum(lengths)} bytes"
            raise ProtocolError(msg)
        self._head = head
        self._lengths = lengths
        try:
            self._body = memoryview(bytearray(sum(lengths)))
        except MemoryError:
            raise DoesNotFitError(head[0], head[3], sum(lengths)) from None
        self._filled = 0

    def receive(self, sock: native.Socket) -> int:
        count = sock.recv_into(self._body[self._filled :])
        self._filled += count
        return count

    def take(self, data: bytes) -> int:
        count = min(len(data), len(self._body) - self._filled)
        self._body[self._filled : self._filled + count] = data[:count]
        self._filled += count
        return count

    def complete(self) -> bool:
        return self._filled == len(self._body)

    def frame(self) -> Frame:
        parts: list[Part] = []
        at = 0
        for length in self._lengths:
            parts.append(self._body[at : at + length])
            at += length
        return Frame(*self._head, parts)


def _are_short(buffers: Sequence[Part]) -> bool:
    return set(map(type, buffers)) == {bytes} and sum(map(len, buffers)) <= READ_SIZE


class FrameWriter:
    """Writes frames to a non-blocking socket; keeps what does not fit yet.

    A signal handler may raise between any two bytecode instructions: the number of
    bytes sent is recorded by the same C call that sends, so nothing is sent twice.

    Attributes:
        queued: Number of bytes that were added, sent or not.
    """

    def __init__(self, sock: native.Socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[int, Part]] = deque()  # each with its position
        self.queued: int = 0
        self._sent: list[int] = [0]  # their sum is the number of bytes sent

    def add(self, buffers: Sequence[Part]) -> None:
        """Queue buffers for the next `flush`."""
        if len(buffers) > 1 and len(buffers) <= MOST_JOINED and _are_short(buffers):
            buffers = [b"".join(buffers)]
        placed, at = [], self.queued
        for buffer in buffers:
            placed.append((at, buffer))
            at += _size(buffer)
        self._waiting.extend(placed)
        self.queued = at

    def has_grown(self, before: int) -> bool:
        """Return whether buffers were added, even if `add` or `flush` was interrupted.

        Args:
            before: The value of ``queued`` before.
        """
        if self._waiting:
            at, last = self._waiting[-1]
            self.queued = at + _size(last)
        return self.queued > before

    def flush(self) -> bool:
        """Write the queued buffers as far as they fit; return True if none is left.

        Raises:
            OSError: The peer is gone (BrokenPipeError, ConnectionResetError).
        """
        while self._forget_sent():
            try:
                self._sent.extend(map(self._send, (self._next(),)))
            except BlockingIOError:
                return False
        return True

    def drop(self) -> None:
        """Discard the queued buffers: the peer is gone."""
        self._waiting.clear()

    def _forget_sent(self) -> bool:
        """Drop the buffers that have been sent; return True if there are more."""
        self._sent[:] = (sum(self._sent),)
        waiting, sent = self._waiting, self._sent[0]
        while waiting and waiting[0][0] + _size(waiting[0][1]) <= sent:
            waiting.popleft()
        return bool(waiting)

    def _next(self) -> list[Part]:
        """Return the buffers to send now, from where the last send ended."""
        most = 1 if sys.platform == "win32" else _MOST_BUFFERS  # Windows has no sendmsg
        buffers = [buffer for _, buffer in islice(self._waiting, most)]
        behind = self._sent[0] - self._waiting[0][0]
        if behind:
            buffers[0] = memoryview(buffers[0]).cast("B")[behind:]
        return buffers

    @property
    def _send(self) -> Callable[[list[Part]], int]:
        return self._send_one if sys.platform == "win32" else self._sock.sendmsg

    def _send_one(self, buffers: list[Part]) -> int:
        return self._sock.send(buffers[0])
