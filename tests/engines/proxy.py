"""A network between a client and its scheduler, which a test can cut."""

import contextlib
import socket
import threading


class Proxy:
    """Passes bytes between those that connect to `port` and a server, until `cut`.

    After a cut the connections stay open, as when a cable is pulled: nothing arrives
    any more, and nothing says so.
    """

    def __init__(self, host, port):
        self._target = host, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._is_cut = threading.Event()
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.create_connection(self._target)
                self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pass, args=pair, daemon=True).start()

    def _pass(self, source, target):
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                if not self._is_cut.is_set():
                    target.sendall(data)
            if not self._is_cut.is_set():
                target.shutdown(socket.SHUT_WR)

    def cut(self):
        self._is_cut.set()

    def close(self):
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
