"""An asyncio service that computes in processes, shows its numbers, and ends in order.

It counts primes: GET /primes/1000 on the port that it prints. GET /stats shows how many
calls wait, run, and have ended. At SIGTERM it takes no new connections, answers the
requests that it has, and ends.
"""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import asdict

from parallelize import drain_on_signal, processed, stats

requests: set[asyncio.Task[None]] = set()  # those that are served now


@processed(timeout=30, max_pending=100)
def count_primes(below: int) -> int:
    """Keep a CPU busy."""
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(2, below))


async def answer(path: str) -> dict[str, int]:
    """Return the answer to a request."""
    if path == "/stats":
        return asdict(stats())
    below = int(path.removeprefix("/primes/"))
    return {"below": below, "primes": await count_primes(below)}


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Serve one connection: one request."""
    head = await reader.readuntil(b"\r\n\r\n")
    body: dict[str, int] | dict[str, str]
    try:
        status, body = "200 OK", await answer(head.split()[1].decode())
    except ValueError as error:
        status, body = "404 Not Found", {"error": str(error)}
    text = f"HTTP/1.0 {status}\r\nContent-Type: application/json\r\n\r\n"
    writer.write(text.encode() + json.dumps(body).encode() + b"\n")
    await writer.drain()
    writer.close()


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Note the connection as one to finish before the end."""
    task = asyncio.ensure_future(serve(reader, writer))
    requests.add(task)
    task.add_done_callback(requests.discard)


async def main() -> None:
    """Serve until SIGTERM."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    drain_on_signal(grace=20)  # after it: the loop decides when the program ends
    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    await stop.wait()
    server.close()
    await asyncio.gather(*requests)
    print(f"done: {stats().done}, failed: {stats().failed}, queued: {stats().queued}")


asyncio.run(main())
