"""Stands in for tqdm."""


class Bar:
    """A progress bar that keeps what it was given."""

    made = []

    def __init__(self, desc=None, total=None):
        self.desc, self.total, self.n, self.closed = desc, total, 0, 0
        Bar.made.append(self)

    def update(self, items):
        self.n += items

    def close(self):
        self.closed += 1
