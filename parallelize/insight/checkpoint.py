"""What a checkpoint holds, for ``python -m parallelize checkpoint FILE``."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from parallelize.errors import CheckpointError
from parallelize.insight.units import size
from parallelize.mapping.checkpoint.store import (
    APPLICATION,
    connected,
    explained,
    information,
)

if TYPE_CHECKING:
    import sqlite3
    from typing import TextIO

__all__ = ("show",)


def show(path: str, out: TextIO, *, accept_code: bool = False) -> int:
    """Write what a file holds; unpickle nothing of it.

    Args:
        path: The file.
        out: Where to write.
        accept_code: Let the next map use the results, although its code has changed.

    Returns:
        The exit code: 1 if the file is not a checkpoint, or cannot be read.
    """
    try:
        lines = _lines(path, accept_code=accept_code)
    except CheckpointError as error:
        out.write(f"{error}\n")
        return 1
    out.write("".join(f"{line}\n" for line in lines))
    return 0


def _lines(path: str, *, accept_code: bool) -> list[str]:
    if not os.path.isfile(path):
        msg = f"there is no file {path!r}"
        raise CheckpointError(msg)
    connection = connected(os.path.abspath(path))
    try:
        with explained(path):
            lines = _read(connection, path)
            if accept_code:
                connection.execute("update about set value = '' where name = 'code'")
                lines.append("code      the next map may have other code")
            return lines
    finally:
        connection.close()


def _read(connection: sqlite3.Connection, path: str) -> list[str]:
    (application,) = connection.execute("pragma application_id").fetchone()
    if application != APPLICATION:
        msg = f"{path!r} is not a checkpoint"
        raise CheckpointError(msg)
    about = information(connection)
    (rows,) = connection.execute("select count(*) from results").fetchone()
    return [
        f"function  {about.get('function', 'none yet')}",
        f"rows      {rows}",
        f"size      {size(os.path.getsize(path))}",
        f"first     {_time(about.get('first'))}",
        f"last      {_time(about.get('last'))}",
    ]


def _time(stamp: str | None) -> str:
    if stamp is None:
        return "never"
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(stamp)))
