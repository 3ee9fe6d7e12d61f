"""A program that is killed while its workers do all they can do."""

import asyncio
import logging

from parallelize import processed

logging.basicConfig()
log = logging.getLogger("of.the.user")
log.setLevel("INFO")


@processed(executor=executor(2))
async def waits(n):
    try:
        while True:
            log.info("coroutine %s", n)
            await asyncio.sleep(0.001)
    finally:
        log.warning("coroutine %s ends", n)
        await asyncio.sleep(0.01)


@processed(executor=executor(1))
async def fails_at_the_end(n):
    background = asyncio.ensure_future(asyncio.sleep(60))
    try:
        await background
    finally:
        raise RuntimeError(f"cancelled {n}")


@processed(executor=executor(1))
def items():
    while True:
        log.info("an item")
        yield bytes(1000)


@processed(executor=executor(1))
async def items_later():
    while True:
        await asyncio.sleep(0)
        yield bytes(1000)


@processed(executor=executor(1))
def computes(n):
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        log.info("a call")
    return bytes(100_000)


logging.disable(logging.NOTSET)
logging.getLogger().handlers[0].setStream(open(os.devnull, "w"))
coroutines = [waits(n) for n in range(50)]
failing = [fails_at_the_end(n) for n in range(20)]
streams = [items(), items_later()]
calls = [computes(n) for n in range(5)]
for stream in streams:
    next(stream)
while not any(each.running() for each in coroutines):
    time.sleep(0.01)
while not any(each.running() for each in failing):
    time.sleep(0.01)
os.kill(os.getpid(), signal.SIGKILL)
