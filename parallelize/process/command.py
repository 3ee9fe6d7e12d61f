"""The command line of a Python like this one: same executable, same flags."""

from __future__ import annotations

import os
import sys

_FLAGS = {
    "isolated": "-I",
    "ignore_environment": "-E",
    "no_user_site": "-s",
    "no_site": "-S",
    "dont_write_bytecode": "-B",
    "optimize": "-O",
    "bytes_warning": "-b",
    "verbose": "-v",
    "quiet": "-q",
}


def python(code: str) -> list[str]:
    """Return the command that runs ``code``, which may import parallelize.

    The current folder is not on the path of the new interpreter, so that no
    file in it stands in for a module; the folder of this package is the last
    one there, for the case that nothing else leads to it.
    """
    if not sys.executable:
        msg = "sys.executable is not set: there is no Python to start workers with"
        raise RuntimeError(msg)
    here = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    head = f"import sys; sys.path.append({here!r}); "
    return [sys.executable, *_flags(), "-P", "-c", head + code]


def _flags() -> list[str]:
    flags = [
        flag
        for name, flag in _FLAGS.items()
        for _ in range(int(getattr(sys.flags, name)))
    ]
    flags += [f"-W{option}" for option in sys.warnoptions]
    for name, value in sys._xoptions.items():
        flags += ["-X", name if value is True else f"{name}={value}"]
    return flags
