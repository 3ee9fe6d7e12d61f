"""A module beside the app: the current folder is on no other process's path."""

import os
import time

from parallelize import processed


@processed
def price(n):
    return 10 * n


@processed
def pid():
    return os.getpid()


@processed
def nap(seconds):
    time.sleep(seconds)
