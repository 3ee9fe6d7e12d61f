"""Functions that the tests run in workers, found there by their names."""

import contextlib
import os
import sys
import threading
import time


def double(x):
    return 2 * x


def add(a, b=0, *more, c=0):
    return a + b + sum(more) + c


def echo(*args, **kwargs):
    return args, kwargs


def run(fn, args):
    return fn(*args)


def identity(value):
    return value


def pid_of(_=None):
    return os.getpid()


def length(value):
    return len(value)


class Refusal(Exception):
    """An error with an attribute, that travels."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def refuse(code):
    raise Refusal(code)


def refuse_seven(number):
    if number == 7:
        raise Refusal(number)
    return number


def refuse_with_note(code):
    error = Refusal(code)
    error.add_note("seen by the worker")
    raise error


def refuse_because(code):
    try:
        raise LookupError("the reason")
    except LookupError as reason:
        raise Refusal(code) from reason


def refuse_odd(number):
    if number % 2:
        raise Refusal(number)
    return number


def leave(code):
    sys.exit(code)


def interrupt():
    raise KeyboardInterrupt


def hold(folder, value=None):
    """Tell that the call has begun, and end when the test says so.

    Both ends meet in named pipes: opening one waits for the other side.
    """
    with open(os.path.join(folder, "begun"), "w"):
        pass
    with open(os.path.join(folder, "go")) as go:
        go.read()
    return value


def hold_if(folder):
    return hold(folder) if folder else None


def touch(path):
    with open(path, "x"):
        pass


def linger(path):
    path.touch()
    time.sleep(0.003)
    return os.getpid()


def append_line(path, line):
    """A side effect that can be counted: one line, written in one piece."""
    with open(path, "a") as file:
        file.write(f"{line}\n")
    return line


def fail_first(path, times, value):
    """Fail so many times, then return the value; the file counts the attempts."""
    append_line(path, value)
    with open(path) as file:
        attempts = len(file.readlines())
    if attempts <= times:
        raise Refusal(attempts)
    return value


class Counter:
    """An object with methods to call."""

    def __init__(self, start):
        self.start = start

    def plus(self, number):
        return self.start + number

    def __call__(self, number):
        return self.start * number

    @classmethod
    def make(cls, start):
        return cls(start).start

    @staticmethod
    def twice(number):
        return 2 * number


INITIALIZED = threading.local()
INITIALIZED_PROCESS = {}


def initialize(value):
    INITIALIZED.value = value
    INITIALIZED_PROCESS["value"] = value


def initialized():
    return getattr(INITIALIZED, "value", None), INITIALIZED_PROCESS.get("value")


def was_initialized():
    return "value" in INITIALIZED_PROCESS


def initialize_badly():
    raise Refusal("no start")


def close_quietly(descriptor):
    with contextlib.suppress(OSError):
        os.close(descriptor)
