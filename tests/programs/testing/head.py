import threading

import pytest

import parallelize
from parallelize import (
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    interpreted,
    parallelized,
    process_map,
    processed,
    threaded,
)

pool = ThreadPoolExecutor(1)
DECORATORS = [
    threaded,
    processed,
    interpreted,
    processed(max_workers=2),
    threaded(initializer=print),
    parallelized("processes"),
    parallelized(pool),
    threaded(executor="processes"),
]


def here():
    return threading.get_ident()
