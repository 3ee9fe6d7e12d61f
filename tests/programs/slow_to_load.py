"""Functions whose module takes longer to import than their calls may run."""

import pathlib
import sys

from parallelize import processed

FOLDER = pathlib.Path(os.environ["FOLDER"])

SLOW = """
import time
time.sleep({seconds})

def double(number):
    return 2 * number

def hang(number):
    time.sleep(60)

def numbers(count):
    yield from range(count)

def hang_at(count):
    yield from range(count)
    time.sleep(60)
"""


def module(name, seconds):
    """Write a module that is slow to import; give its functions by their names."""
    text = SLOW.format(
        seconds=f"{seconds} if 'parallelize.process.worker.main' in sys.modules else 0"
    )
    (FOLDER / f"{name}.py").write_text("import sys" + text)
    return __import__(name)


def shorten_loading():
    """In a worker: loading alone may take a tenth of a second."""
    from parallelize.process.worker import main as worker

    worker.LOADING = 10**8


def name(future):
    """A value, or the class name of an error."""
    error = future.exception(20)
    return type(error).__name__ if error else future.result()


sys.path.insert(0, str(FOLDER))
slow, slower, endless = (
    module("slow", 0.6),
    module("slower", 0.6),
    module("endless", 60),
)


if __name__ == "__main__":
    with executor(1) as ex:
        timed = processed(timeout=0.3, executor=ex)
        print([name(timed(slow.double)(i)) for i in range(3)])
        print(name(timed(slow.hang)(0)), name(timed(slow.double)(1)))
        print(list(timed(slow.double).map(range(3), chunksize=3)))
    with executor(1) as ex:
        timed = processed(timeout=0.3, executor=ex)
        print(list(timed(slower.numbers)(3)))
        try:
            print([item for item in timed(slower.hang_at)(2)])
        except TimeoutError as error:
            print(type(error).__name__)
    with executor(1, initializer=shorten_loading) as ex:
        timed = processed(timeout=0.3, executor=ex)
        print(name(timed(endless.double)(1)), name(timed(abs)(-1)))
