"""one end of a `multiprocessing.Pipe` is an argument"""

import multiprocessing

from benchmarks.faults import finish, outcome, pool


def send(connection, value):
    connection.send(value)
    return "sent"


if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    here = pool()
    said = outcome(lambda _: here.submit(send, theirs, 42)(4))
    finish(here, [said, ours.recv() if ours.poll(1) else None], ["sent", 42])
