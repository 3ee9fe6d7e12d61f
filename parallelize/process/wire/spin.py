"""Whether a socket is readable, for a thread that polls before it blocks."""

from __future__ import annotations

from parallelize.runtime import native

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class Readiness:
    """Checks whether a socket is readable."""

    def __init__(self, sock: native.Socket) -> None:
        self._sock = sock
        make: Any = native.poll  # None where there is none
        self._poll = None if make is None else make()
        if self._poll is not None:
            self._poll.register(sock, native.POLLIN)

    def poll(self) -> bool:
        """Return whether the socket is readable now."""
        if self._poll is not None:
            return bool(self._poll.poll(0))
        return bool(native.select([self._sock], [], [], 0)[0])
