"""Functions that Nuitka has compiled, which have no bytecode.

They cannot be sent by value, which is how functions of a script's `__main__`, lambdas
and functions inside others go. Workers of a compiled program are forks of it, though:
each has the program's `__main__` and modules as they were at the first call. So all of
them go by name, and nothing of `__main__` is sent.
"""

from __future__ import annotations

import _pickle as pickle
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Whether the program's main module was compiled.
is_program: bool = hasattr(sys.modules.get("__main__"), "__compiled__")


def is_compiled(fn: object) -> bool:
    """Whether a function was compiled by Nuitka."""
    return type(fn).__name__ == "compiled_function"


def name_of(fn: Any) -> str:
    """Return the name of a compiled function in its module.

    Raises:
        PicklingError: It has none.
    """
    name: str = fn.__qualname__
    if "<" in name:
        msg = (
            f"{fn.__module__}.{name} is compiled by Nuitka, so workers only find it "
            "by its name: define it with def at the top level of a module"
        )
        raise pickle.PicklingError(msg)
    return name
