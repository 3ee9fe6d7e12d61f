"""a script with `from __future__ import annotations` asks for its type hints"""

from __future__ import annotations

import dataclasses
import typing

from benchmarks.faults import check, pool

UserId = typing.NewType("UserId", int)


@dataclasses.dataclass
class User:
    id: UserId
    friend: User | None = None


def hints():
    found = typing.get_type_hints(User)
    return found["id"] is UserId, found["friend"] == (User | None)


if __name__ == "__main__":
    check(pool(), [(hints,)], [(True, True)])
