"""What a web server answers."""

import json
import socket
import urllib.error
import urllib.request

from support.waiting import wait_until


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Client:
    """Asks a server of this machine."""

    def __init__(self):
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"

    def get(self, path):
        """What it answers, from JSON."""
        url = f"http://{self.address}/{path}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)

    def get_once_it_is(self, path, right, seconds=40):
        """What it answers as soon as that is right, however often it is asked."""
        answers = []

        def is_right():
            try:
                answers.append(self.get(path))
            except OSError:  # it does not listen yet, or again
                return False
            return right(answers[-1])

        wait_until(is_right, seconds)
        return answers[-1]
