"""What other libraries have run in workers."""

import os


def square(x):
    return x * x


def pid_and_square(x):
    return os.getpid(), x * x


def refuse(x):
    raise LookupError(x)


def rosenbrock(x):
    return float(sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2))


def total(frame):
    return frame.assign(total=frame.a + frame.b)
