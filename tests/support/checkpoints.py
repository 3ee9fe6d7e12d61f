"""Reads the file of a checkpoint, without the library that has written it."""

import contextlib
import pickle
import sqlite3


def rows_in(file):
    """Return the results in a file, which must be whole."""
    with contextlib.closing(sqlite3.connect(file)) as connection:
        assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
        return [
            pickle.loads(v) for (v,) in connection.execute("select value from results")
        ]
