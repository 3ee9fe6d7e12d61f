"""The program ends while calls run that would not end by themselves."""

import asyncio
import os
import sys
import time

from parallelize import processed, stopping, threaded

_, end, folder = sys.argv


def until_asked(name, begun=None):
    if begun is not None:
        open(os.path.join(folder, begun), "w").close()
    while not stopping():
        time.sleep(0.002)
    open(os.path.join(folder, name), "w").close()


async def compute():
    open(os.path.join(folder, "begun3"), "w").close()
    while not stopping():
        await asyncio.sleep(0.002)
    open(os.path.join(folder, "loops"), "w").close()


in_process = processed(until_asked, max_workers=1)
in_process("processes", "begun1")
threaded(until_asked)("threads", "begun2")
threaded(compute)()
in_process("queued")
while not {"begun1", "begun2", "begun3"} <= set(os.listdir(folder)):
    time.sleep(0.002)
if end == "by an error":
    raise LookupError("the end")
