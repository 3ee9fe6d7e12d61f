"""The tasks that have arrived in a worker and have not begun.

```
 task socket ─▶ deque, taken from the left by the main thread
                                    ◀── from the right by the watcher, to give back ──
```
"""

from __future__ import annotations

from collections import deque

from parallelize.process.wire import messages
from parallelize.process.wire.frames import FrameReader, ProtocolError
from parallelize.process.wire.spin import Readiness
from parallelize.process.worker import folder
from parallelize.runtime import locks, native
from parallelize.runtime.spin import AdaptiveSpin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from parallelize.process.wire.frames import Frame

_new_reading = locks.plain("reading", native.Lock)
_new_adding = locks.plain("adding", native.Lock)


class Inbox:
    """Reads the task socket.

    Attributes:
        tasks: The frames that have arrived and were not taken, in order.
    """

    def __init__(self, sock: native.Socket) -> None:
        self.tasks: deque[Frame] = deque()
        self._sock = sock
        self._reader = FrameReader()
        # Held by the thread that reads the socket: the main thread when it has nothing
        # to run, otherwise the watcher. Nothing is locked under it.
        self._reading = _new_reading()
        # Guards the order in which tasks are added: the watcher puts back the
        # definitions that it has found between them. Nothing is locked under it.
        self._adding = _new_adding()
        self._trouble: ProtocolError | None = None  # raised there in the watcher
        self._readiness = Readiness(sock)
        self._spin = AdaptiveSpin()

    # Called by the main thread.

    def next(self) -> Frame | None:
        """Wait for a frame and take it; return None if the pool sends no more."""
        while True:
            try:
                return self.tasks.popleft()
            except IndexError:  # the watcher may have taken back what there was
                if not self.read():
                    return None

    def read(self) -> bool:
        """Wait for tasks and add them; return False if the pool sends no more."""
        with self._reading:
            if self._trouble is not None:
                raise self._trouble
            self._spin.spin(self._readiness.poll)
            try:
                frames = self._reader.read(self._sock)
            except ConnectionError:
                frames = None  # the pool was killed while more data was unread
            if self._spin.done() > folder.SOON or folder.is_due():
                folder.hold()
        with self._adding:
            self.tasks.extend(frames or ())
        return frames is not None

    # Called by the watcher.

    def take_back(self) -> list[int]:
        """Remove the tasks that have not begun, keep definitions; return their ids."""
        self._read_more()
        returned, definitions = [], []
        with self._adding:
            while True:
                try:
                    frame = self.tasks.pop()
                except IndexError:
                    break
                if frame.kind == messages.DEFINE:
                    definitions.append(frame)
                else:
                    returned.append(frame.id)
            self.tasks.extend(reversed(definitions))
        return returned

    def _read_more(self) -> None:
        """Add the tasks that have arrived while the main thread runs a long one."""
        if not self._reading.acquire(blocking=False):
            return  # the main thread is reading: it runs nothing
        try:
            while (
                self._readiness.poll()
                and (frames := self._reader.read(self._sock)) is not None
            ):
                self.tasks.extend(frames)
        except ProtocolError as error:
            self._trouble = error
        except OSError:  # the main thread will get it, too
            pass
        finally:
            self._reading.release()
