"""Class methods that have `@classmethod` above the decorator.

From Python 3.13 on, `C.method` is then a bound method of the decorated function. Calls
get the class; `C.method.map` is that of the function, which cannot know it.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = ("refuse_lost_class",)


def refuse_lost_class(function: Any, attribute: str) -> None:  # a decorated function
    """Raise if the function is held by a `classmethod`, where its name says.

    Raises:
        TypeError: It is.
    """
    *outer, name = function.__qualname__.split(".")
    owner: Any = sys.modules.get(function.__module__)
    for part in outer:
        owner = getattr(owner, part, None)
    held = getattr(owner, "__dict__", {}).get(name)
    if type(held) is not classmethod:
        return
    if getattr(held.__func__, "__wrapped__", None) is function.__wrapped__:
        msg = (
            f"{function.__qualname__}.{attribute} does not know its class, as "
            "@classmethod is above the decorator: place the decorator above "
            "@classmethod"
        )
        raise TypeError(msg)
