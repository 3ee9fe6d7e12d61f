"""A script's own objects: defined in `__main__`, used by its functions."""

import keepers
from parallelize import per_worker, processed, threaded

START = 10


@per_worker
def base():
    keepers.note("made")
    yield START
    keepers.note("closed")


@processed(max_workers=1)
def add(number: int) -> int:
    return base() + number


@processed(max_workers=1)
def unrelated():
    return 7


@threaded(max_workers=1)
def double():
    return 2 * base()


print(*add.map(range(3)), double().result(), unrelated().result())
