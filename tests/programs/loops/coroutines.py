import asyncio
from parallelize import processed, threaded


def tell(text):
    os.write(1, (text + "\n").encode())


async def hour(text="begun"):
    tell(text)
    try:
        await asyncio.sleep(3600)
    finally:
        await asyncio.sleep(0)
        tell("finally")


async def numbers():
    try:
        while True:
            yield 1
    finally:
        tell("generator finished")


KEPT = []


async def leave_generator():
    generator = numbers()
    KEPT.append(generator)
    return await anext(generator)


async def soon(x):
    await asyncio.sleep(0.05)
    return x
