"""a call with a time limit of 30 days"""

from benchmarks.faults import PATIENCE, begin, echo, finish, outcome, pool

if __name__ == "__main__":
    here = pool()
    here.submit(echo, 0)(30)
    get = begin(here.limited, 30 * 86400.0, echo, 5)
    finish(
        here, [outcome(get), outcome(lambda _: here.submit(echo, 6)(PATIENCE))], [5, 6]
    )
