import os
import pathlib
import time

from parallelize import processed, threaded

FILE = pathlib.Path("released").absolute()


@processed
def price(n):
    return 10 * n


@threaded
def double(n):
    return 2 * n


@processed
def pid():
    return os.getpid()


@processed
def wait_for_file():
    FILE.with_name("waiting").touch()
    while not FILE.exists():
        time.sleep(0.01)
    return os.getpid()
