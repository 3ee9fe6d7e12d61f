"""a done-callback waits for another call of its pool"""

from benchmarks.faults import add_callback, echo, finish, outcome, pool

if __name__ == "__main__":
    here = pool()
    here.submit(echo, 0)(30)
    got = add_callback(here, lambda: here.submit(echo, 7)(2))
    finish(here, outcome(lambda _: got(3)), 7)
