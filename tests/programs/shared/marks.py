"""Marks that tasks leave in the file RUNS, to be counted."""


def note(mark):
    """Count one run; what was written before a death stays written."""
    with open(os.environ["RUNS"], "ab", buffering=0) as file:
        file.write(f"{mark}\n".encode())


def runs():
    with open(os.environ["RUNS"]) as file:
        return file.read().split()
