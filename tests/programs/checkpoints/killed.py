"""Runs a map with a checkpoint, and notes which rows it calls and which it gives."""

import asyncio
import os
import sys
import time

from parallelize import processed, thread_map, threaded

FILE, CALLED, GIVEN, KIND, ROWS = *sys.argv[1:5], int(sys.argv[5])


def note(path, row):
    file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(file, f"{row}\n".encode())
    os.close(file)


def square(row):
    note(CALLED, row)
    time.sleep(0.0005 * (row % 3))
    return row, row * row


async def square_later(row):
    note(CALLED, row)
    await asyncio.sleep(0.0005 * (row % 3))
    return row, row * row


async def rows_later():
    for row in range(ROWS):
        yield row


def read(results):
    for row, value in results:
        assert value == row * row
        note(GIVEN, row)


async def read_later(results):
    async for row, value in results:
        assert value == row * row
        note(GIVEN, row)


if __name__ == "__main__":
    if KIND == "threads":
        read(threaded(square).map(range(ROWS), checkpoint=FILE))
    elif KIND == "processes":
        read(processed(square).map(range(ROWS), checkpoint=FILE, ordered=False))
    elif KIND == "coroutines":
        results = threaded(square_later).map(range(ROWS), checkpoint=FILE)
        asyncio.run(read_later(results))
    elif KIND == "asynchronous":
        results = threaded(square).map(rows_later(), checkpoint=FILE)
        asyncio.run(read_later(results))
    else:
        inner = thread_map(int, map(str, range(ROWS)))
        results = processed(square).map(inner, checkpoint=FILE)
        read(thread_map(tuple, results))
