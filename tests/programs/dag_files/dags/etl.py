"""A file of a scheduler: its module has a name that no other process could import."""

import rates
from tables import rows

from parallelize import process_map, processed

FACTOR = 3


class Row(rows.Base):
    def __init__(self, n):
        self.n = n


@processed
def scaled(n):
    return FACTOR * n * rates.RATE


@processed
def row(n):
    return Row(n)


def number(one):
    return one.n


def run():
    made = list(row.map(range(3)))
    assert all(type(each) is Row for each in made)
    print(sum(scaled.map(range(4))), list(process_map(number, made)))
    print(list(process_map(lambda n: n * FACTOR, range(3))))
