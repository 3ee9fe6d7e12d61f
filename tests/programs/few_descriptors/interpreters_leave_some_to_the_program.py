"""A pool of many interpreters in a program that may open few files."""

import logging
import os
import resource
import time

from parallelize import InterpreterPoolExecutor

LIMIT, WORKERS = 100, 40


def nap(number):
    time.sleep(0.02)
    return number


class Kept(logging.Handler):
    def emit(self, record):
        said.append(record.getMessage())


if __name__ == "__main__":
    said = []
    logging.getLogger("parallelize").addHandler(Kept())
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (LIMIT, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    )
    with InterpreterPoolExecutor(WORKERS) as pool:
        print(list(pool.map(nap, range(200))) == list(range(200)))
        futures = [pool.submit(nap, number) for number in range(200)]
        print([future.result() for future in futures] == list(range(200)))
        files = [open(os.devnull) for _ in range(LIMIT // 5)]  # noqa: SIM115
        print(pool.submit(nap, 1).result(), len(files), *said)
        for file in files:
            file.close()
