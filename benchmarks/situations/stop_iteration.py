"""a row of a map raises `StopIteration`"""

from benchmarks.faults import echo, finish, outcome, pool


def call(x):
    return next(iter([x] if x != 2 else []))


if __name__ == "__main__":
    here = pool()
    here.submit(echo, 0)(30)
    rows = here.map(call, range(4))
    got = [outcome(lambda _: next(rows)) for _ in range(3)]
    raised = "silently ends" if got[2] in (None, "StopIteration: ") else "raises"
    finish(here, [got[:2], raised], [[0, 1], "raises"])
