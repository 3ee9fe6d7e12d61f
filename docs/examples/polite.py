"""Calls to a service that limits its callers, from threads, processes and coroutines.

The service is a real HTTP server in this program. It answers 429 with ``Retry-After``
to more than 50 requests in any second, which another client has just used up, and drops
some connections without an answer. All calls succeed nevertheless. The argument is the
number of calls, 150 by default.
"""

from __future__ import annotations

import asyncio
import http.client
import random
import socketserver
import sys
import threading
from collections import Counter, deque
from time import monotonic, perf_counter

from parallelize import RateLimit, gather, retry_after, threaded

ALLOWED = 50  # requests in any second
PACE = 48  # a little less, as requests do not arrive as evenly as they are sent
DROPPED = 0.02  # the part of the connections


class Refused(Exception):
    """The service has answered 429, as the errors of HTTP clients say it."""

    def __init__(self, seconds: str) -> None:
        super().__init__(seconds)
        self.headers = {"Retry-After": seconds}


class Handler(socketserver.StreamRequestHandler):
    """One request."""

    def handle(self) -> None:
        """Answer it, refuse it, or drop it."""
        assert isinstance(self.server, Service)
        number = self.rfile.readline().split(b" ")[1].decode().strip("/")
        while self.rfile.readline().strip():
            pass
        status, headers = self.server.decide()
        if status:
            answer = f"HTTP/1.1 {status}\r\n{headers}Content-Length: {len(number)}\r\n"
            self.wfile.write(f"{answer}Connection: close\r\n\r\n{number}".encode())


class Service(socketserver.ThreadingTCPServer):
    """Counts the requests of the last second."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self._lock = threading.Lock()
        self._recent: deque[float] = deque()  # those that count
        self._seen: deque[float] = deque()  # all, after the first refusal
        self._chance = random.Random(7)  # noqa: S311 - no secret
        self.answers: Counter[str] = Counter()
        self.most = 0  # requests in a second, after the first refusal

    def decide(self) -> tuple[str, str]:
        """Return the status and a header; no status drops the connection."""
        with self._lock:
            now = monotonic()
            if not self.answers:
                self._recent.extend([now] * ALLOWED)  # those of the other client
            self._recent.append(now)
            while self._recent[0] <= now - 1:
                self._recent.popleft()
            if self.answers["429"]:
                self._note(now)
            if len(self._recent) > ALLOWED:
                self._recent.pop()  # what is refused does not count
                self.answers["429"] += 1
                return "429 Too Many Requests", "Retry-After: 1\r\n"
            if self._chance.random() < DROPPED:
                self.answers["dropped"] += 1
                return "", ""
            self.answers["200"] += 1
            return "200 OK", ""

    def _note(self, now: float) -> None:
        self._seen.append(now)
        while self._seen[0] <= now - 1:
            self._seen.popleft()
        self.most = max(self.most, len(self._seen))


def ask(port: int, number: int) -> int:
    """Make one request, as any client library does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", f"/{number}")
        response = connection.getresponse()
        body = response.read()
        if response.status == 429:
            raise Refused(response.headers["Retry-After"])
        return int(body)
    finally:
        connection.close()


async def ask_async(port: int, number: int) -> int:
    """Do the same in an event loop."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET /{number} HTTP/1.1\r\nHost: here\r\n\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        if not head:
            raise ConnectionError("no answer")
        if b" 429 " in head.splitlines()[0]:
            raise Refused(head.partition(b"Retry-After: ")[2].split()[0].decode())
        return int(body)
    finally:
        writer.close()


# One key, one budget: the three functions share it.
patient = threaded(
    rate=RateLimit(PACE),
    retries=10,
    retry_on=(OSError, http.client.HTTPException, Refused),
    retry_wait=retry_after,
)
in_threads, in_loops = patient(ask), patient(ask_async)
in_processes = in_threads.options(executor="processes")

calls = int(sys.argv[1]) if len(sys.argv) > 1 else 150
in_processes.warm()  # that a worker starts should make no call late
with Service() as service:
    threading.Thread(target=service.serve_forever, daemon=True).start()
    port = service.server_address[1]
    begun = perf_counter()
    made = [
        f(port, number)
        for number, f in zip(
            range(calls), (in_threads, in_processes, in_loops) * calls, strict=False
        )
    ]
    numbers = gather(*made).result()
    seconds = perf_counter() - begun
    service.shutdown()

print("all answered:", numbers == list(range(calls)))
print(f"refused {service.answers['429']}")
print(f"dropped {service.answers['dropped']} connections")
print(f"at most {service.most} requests in a second after the first refusal")
print(f"{calls} calls {seconds:6.2f} s, at least {calls / ALLOWED:.2f} s by the limit")
