"""The file of a checkpoint: an SQLite database with the results of a map.

Its owner holds it locked for as long as the map lives; the system releases the lock of
a process that is killed. What was committed survives the end of the process, however it
comes. A power failure may take the last seconds, but leaves the file whole: it is in
mode WAL, and synced as often as ``synchronous=NORMAL`` says.

Each result is used once in a run. The same row twice needs two results: the file holds
one for each, and a bit for each says in this run whether it was used.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from parallelize.errors import CheckpointError
from parallelize.mapping.checkpoint.identity import FunctionIdentity
from parallelize.runtime import lifecycle
from parallelize.runtime.clock import monotonic

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Generator, Sequence

__all__ = ("Store", "connected", "explained", "information")

#: Marks a database as a checkpoint, in the place that SQLite has for this.
APPLICATION = 0x70617261

#: The size of the smallest database. SQLite takes a smaller file for an empty one.
_SMALLEST = 512

#: Seconds to wait for a map of this program that is just being closed.
_PATIENCE = 2.0

_TABLES = """
create table about (name text primary key, value text not null) without rowid;
create table results (id integer primary key, key blob not null, value blob not null);
"""

_COUNT = "select count(*), max(id) from results"

# The results of earlier runs are looked up by key, those of this run are not. So the
# index is made by the next run, in a temporary file: to keep one would cost each row
# more than all the rest.
_EARLIER = """
create temp table earlier (key blob, id integer, primary key (key, id)) without rowid;
insert into earlier select key, id from results order by key, id;
"""

_FIND = """
select earlier.id, value from earlier join results using (id)
where earlier.key = ? and earlier.id > ? order by earlier.id limit 1
"""

#: What SQLite's primary result codes mean for the user.
_REASONS = {
    5: "another map or program is using it; wait for that to end, or name another file",
    6: "another map or program is using it; wait for that to end, or name another file",
    8: "it cannot be written to",
    10: "the system reports an error of input or output",
    11: "it is damaged; delete it to call all rows again",
    13: "the disk is full",
    14: "it cannot be opened",
    26: "it is not a checkpoint, or is damaged; name another file",
}


class Store:
    """An open checkpoint. Its user sees to it that one thread at a time calls it."""

    def __init__(self, path: str, identity: FunctionIdentity) -> None:
        """Open a file, or create it.

        Args:
            path: The file.
            identity: The function whose results it holds.

        Raises:
            CheckpointError: That is not possible, or the results are of another
                function.
        """
        self.path: str = os.path.abspath(path)
        _create(self.path)
        self._connection: sqlite3.Connection | None = connected(self.path)
        try:
            with explained(self.path):
                _prepare(self._connection, self.path)
                self._claim(identity)
                count, last = self._execute(_COUNT).fetchone()
                if count:
                    self._connection.executescript(_EARLIER)
        except BaseException:
            self.close()
            raise
        self._unused: int = count  # of the results from earlier runs
        self._used = bytearray(((last or 0) >> 3) + 1)  # a bit for each
        self._next: dict[bytes, int] = {}  # for rows that came twice: the last used
        lifecycle.watch_forks(self)

    def _execute(self, query: str, *values: Any) -> sqlite3.Cursor:
        assert self._connection is not None
        return self._connection.execute(query, values)

    def _claim(self, identity: FunctionIdentity) -> None:
        """Compare the function with the one that wrote the file."""
        self._execute("begin exclusive")
        about = information(self._connection)
        if about.get("function"):
            _check(self.path, identity, about)
        about = {**identity._asdict(), "last": repr(time.time())}
        about["function"] = about.pop("name")
        self._write(about)
        query = "insert or ignore into about values ('first', ?)"
        self._execute(query, about["last"])
        self._execute("commit")

    def _write(self, about: dict[str, str]) -> None:
        for name, value in about.items():
            self._execute("insert or replace into about values (?, ?)", name, value)

    @property
    def is_open(self) -> bool:
        """Whether it was neither closed nor left to another process."""
        return self._connection is not None

    @property
    def has_unused(self) -> bool:
        """Whether there are results of earlier runs that were not used yet."""
        return self._unused > 0 and self.is_open

    def find(self, keys: Sequence[bytes]) -> list[bytes | None]:
        """Return the pickle of each row's result, which is used then, or None.

        Raises:
            CheckpointError: The file cannot be read.
        """
        with explained(self.path):
            if self._connection is None:
                return [None] * len(keys)
            cursor = self._connection.cursor()
            return [self._found(cursor, key) for key in keys]

    def _found(self, cursor: sqlite3.Cursor, key: bytes) -> bytes | None:
        """Return a result that was not used yet, and mark it as used."""
        if not self._unused:
            return None
        used = self._used
        before = number = self._next.get(key, 0)
        while True:
            found = cursor.execute(_FIND, (key, number)).fetchone()
            if found is None:
                return None
            number, value = found
            if not used[number >> 3] & (1 << (number & 7)):
                break
            before = number
        used[number >> 3] |= 1 << (number & 7)
        self._unused -= 1
        if before:
            self._next[key] = number
        return value  # type: ignore[no-any-return]

    def add(self, results: Sequence[tuple[bytes, bytes]]) -> bool:
        """Commit results: pairs of a row's key and a pickle.

        Returns:
            False if the file was closed before.

        Raises:
            CheckpointError: The file cannot be written to; nothing was committed.
        """
        connection = self._connection
        if connection is None:
            return False
        with explained(self.path):
            try:
                # A signal handler that reads the same map may have come between.
                if not connection.in_transaction:
                    connection.execute("begin")
                connection.executemany(
                    "insert into results (key, value) values (?, ?)", results
                )
                self._write({"last": repr(time.time())})
                if connection.in_transaction:
                    connection.execute("commit")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("rollback")
                raise
        return True

    def close(self) -> None:
        """Close the file. May be called repeatedly."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with explained(self.path):
                connection.close()

    def _reset(self) -> None:
        """In a forked child: leave the file to the parent."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _leak(connection)


def _leak(connection: sqlite3.Connection) -> None:
    """Keep a connection for ever: to close it in a child would harm the parent's."""
    with suppress(ImportError):  # then it is closed when the child ends
        import ctypes

        ctypes.pythonapi.Py_IncRef(ctypes.py_object(connection))


@contextmanager
def explained(path: str) -> Generator[None]:
    """Raise errors of SQLite as a CheckpointError with what they mean."""
    import sqlite3

    try:
        yield
    except sqlite3.Error as error:
        reason = _REASONS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, str(error))
        msg = f"the checkpoint {path!r} cannot be used: {reason}"
        raise CheckpointError(msg) from error


def _create(path: str) -> None:
    """Create the file if it is missing, for this user only."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        # It must not be opened but by SQLite: to close a file releases its locks.
        if 0 < os.path.getsize(path) < _SMALLEST:
            msg = f"{path!r} is not a checkpoint; name another file"
            raise CheckpointError(msg) from None
        if not os.access(path, os.W_OK):  # SQLite would open it for reading
            msg = f"the checkpoint {path!r} cannot be used: {_REASONS[8]}"
            raise CheckpointError(msg) from None
    except OSError as error:
        msg = f"the checkpoint {path!r} cannot be created: {error.strerror}"
        raise CheckpointError(msg) from error


def connected(path: str) -> sqlite3.Connection:
    """Open a file that exists, locked against all others from the first use on."""
    try:
        import sqlite3
    except ImportError as error:
        msg = "a checkpoint needs the module sqlite3, which this Python does not have"
        raise CheckpointError(msg) from error
    with explained(path):
        made = sqlite3.connect(
            path, timeout=_PATIENCE / 50, isolation_level=None, check_same_thread=False
        )
        try:
            made.execute("pragma locking_mode = exclusive")
            _await_turn(made)
            made.execute(f"pragma busy_timeout = {1000 * _PATIENCE:.0f}")
        except BaseException:
            made.close()
            raise
    return made


def _await_turn(connection: sqlite3.Connection) -> None:
    """Take the lock of a file, which a map of this program may be about to leave.

    By short waits: where there is no GIL, what that map has of the file may be freed
    only when this thread runs Python code, as it has made it.
    """
    import sqlite3

    until = monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("select count(*) from sqlite_master").fetchone()
        except sqlite3.OperationalError as error:
            locked = error.sqlite_errorcode & 0xFF in (5, 6)
            if not locked or monotonic() > until:
                raise
        else:
            return


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Set the modes of a database, and make one of an empty file."""
    (application,) = connection.execute("pragma application_id").fetchone()
    (tables,) = connection.execute("select count(*) from sqlite_master").fetchone()
    if application != APPLICATION and tables:
        msg = f"{path!r} is a database, but not a checkpoint; name another file"
        raise CheckpointError(msg)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    connection.execute("pragma cache_size = -16000")  # kilobytes
    if not tables:
        connection.executescript(
            f"begin exclusive; {_TABLES} pragma application_id = {APPLICATION}; commit;"
        )


def information(connection: sqlite3.Connection | None) -> dict[str, str]:
    """Return what a file says of itself: its function, and when it was written."""
    assert connection is not None
    return dict(connection.execute("select name, value from about"))


def _check(path: str, identity: FunctionIdentity, about: dict[str, str]) -> None:
    written = FunctionIdentity(
        about["function"], about.get("code", ""), about.get("python", "")
    )
    difference = identity.differs_from(written)
    if difference == "name":
        msg = (
            f"the checkpoint {path!r} holds results of {written.name}, not of "
            f"{identity.name}: name another file, or delete it to call all rows again"
        )
        raise CheckpointError(msg)
    if difference == "code":
        msg = (
            f"the code of {identity.name} has changed since the checkpoint {path!r} "
            "was written: delete the file to call all rows again; or, if its results "
            f"still hold, run python -m parallelize checkpoint --accept-code {path}"
        )
        raise CheckpointError(msg)
