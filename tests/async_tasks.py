"""Coroutine functions that the tests run in workers, found there by their names."""

import asyncio
import contextvars
import os
import threading

import tasks
from parallelize import threaded

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


async def double(x):
    await asyncio.sleep(0)
    return 2 * x


async def refuse(code):
    await asyncio.sleep(0)
    raise tasks.Refusal(code)


async def where():
    """The process and the loop that this runs on."""
    return os.getpid(), id(asyncio.get_running_loop())


_meetings = {}


async def meet(count, _=None):
    """Return when so many calls are here at once, on one loop."""
    loop = asyncio.get_running_loop()
    meeting = _meetings.setdefault((id(loop), count), [0, asyncio.Event()])
    meeting[0] += 1
    if meeting[0] == count:
        meeting[1].set()
    await meeting[1].wait()
    return await where()


async def hold(folder, value=None):
    """Tell that the call has begun, and end when the test says so; as `tasks.hold`."""
    return await asyncio.to_thread(tasks.hold, folder, value)


def tell_begun(folder):
    """Block until the test has seen that this has begun."""
    with open(os.path.join(folder, "begun"), "w"):
        pass


async def wait_for_ever(folder, path):
    """Note in a file how it ends."""
    tell_begun(folder)
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        tasks.append_line(path, "cancelled")
        raise
    finally:
        await asyncio.sleep(0)
        tasks.append_line(path, "finally")


async def note_and_wait(path):
    tasks.append_line(path, "begun")
    await asyncio.Event().wait()


async def cancel_itself():
    raise asyncio.CancelledError


async def leave(code):
    raise SystemExit(code)


async def interrupt():
    raise KeyboardInterrupt


async def start_one_that_leaves():
    async def leave():
        raise SystemExit(3)

    asyncio.get_running_loop().create_task(leave())  # noqa: RUF006 - it ends at once
    await asyncio.sleep(0)
    return "on"


async def fail_first(path, times, value):
    return tasks.fail_first(path, times, value)


async def variable(value=None):
    seen = VARIABLE.get()
    if value is not None:
        VARIABLE.set(value)
    await asyncio.sleep(0)
    return seen


async def use_generator(path):
    """Leave an async generator in the middle, that notes when it is finished."""

    async def numbers():
        try:
            while True:
                yield 1
        finally:
            await asyncio.sleep(0)
            tasks.append_line(path, "finished")

    generator = numbers()
    await anext(generator)
    KEPT.append(generator)  # nobody collects it: only the loop's end finishes it
    return threading.current_thread().name


KEPT = []


async def compute_for_ever(folder):
    """Never let the loop have a turn; it is killed."""
    tell_begun(folder)
    threading.Event().wait()


async def die(folder):
    """Block the loop until the test goes on, then end the process."""
    tasks.hold(folder)
    os._exit(3)


async def length(value):
    return len(value)


async def identity(value):
    return value


@threaded(limit=1)
async def waits_for_itself(n):
    """One more than what it is one call further down."""
    return 0 if not n else 1 + await waits_for_itself(n - 1)
