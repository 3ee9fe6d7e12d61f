"""Tasks whose marks are numbers."""

from parallelize import processed


def runs():
    with open(os.environ["RUNS"]) as file:
        return sorted(map(int, file.read().split()))
