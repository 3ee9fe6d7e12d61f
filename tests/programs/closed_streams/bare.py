import sys
from unittest import mock
from parallelize import InterpreterPoolExecutor, ProcessPoolExecutor

FIRST


def square(n):
    return n * n


with PATCH, POOL as ex:
    print([ex.submit(square, 2).result(30), *ex.map(square, range(3))])
