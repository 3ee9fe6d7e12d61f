"""The command line of another Python like this one: same executable and flags.

Not every program runs in a Python that can be started again: a frozen application, or
one that embeds an interpreter, would run itself once more instead of the code it is
given. So each interpreter that is started has a `MARK` in its environment, which the
first line of its code removes. A process that still has it and asks for workers has run
the program in place of that line; it ends with an error and starts nothing.
"""

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

#: Servers that embed a Python, for which `sys.executable` is the server itself.
_SERVERS = ("uwsgi", "httpd", "apache")

#: The environment variable; its value is the process id of the parent.
MARK = "PARALLELIZE_STARTED_BY"


def python(code: str) -> list[str]:
    """Return the command that runs ``code``, which may import parallelize.

    The current directory is not on the new interpreter's path, so that no file in it
    can shadow a module. The directory of this package is last on the path, in case
    nothing else leads to it.

    Raises:
        RuntimeError: There is no Python to start.
    """
    program = executable()
    if program is None:
        why = "this program is frozen" if is_frozen() else "sys.executable is not set"
        msg = (
            f"there is no Python to start workers with, as {why}: name one by "
            "multiprocessing.set_executable(), or use mp_context='fork'"
        )
        raise RuntimeError(msg)
    here = os.path.dirname(os.path.abspath(sys.modules["parallelize"].__path__[0]))
    head = f"import os, sys; os.environ.pop({MARK!r}, 0); sys.path.append({here!r}); "
    return [program, *_flags(), "-P", "-c", head + code]


def environment() -> dict[str, str]:
    """Return the environment for such a command.

    Raises:
        SystemExit: This process was started by such a command itself and ran the
            program instead: each would start another.
    """
    refuse_second_run()
    return {**os.environ, MARK: str(os.getpid())}


def refuse_second_run() -> None:
    """Raise SystemExit if this process was started as a worker but runs the program.

    Going on would serve no purpose.
    """
    parent = os.environ.get(MARK)
    if parent is None:
        return
    msg = (
        f"parallelize: process {parent} has started {sys.executable!r} to be a worker, "
        "but that runs this program again, which would go on without end. In the "
        "program, name a Python by multiprocessing.set_executable(), or take "
        "mp_context='fork'; on Windows, call multiprocessing.freeze_support() first "
        "if the program is frozen"
    )
    raise SystemExit(msg)


def executable() -> str | None:
    """Return the Python that workers are started with; None if there is none.

    It is the one set by `multiprocessing.set_executable`, else the running one, unless
    the program is frozen. In a server that embeds Python it is that of `sys.prefix`.
    """
    # It is absent or incomplete while another thread is importing it.
    spawn = sys.modules.get("multiprocessing.spawn")
    preset = getattr(spawn, "get_executable", lambda: None)()
    if preset and os.fsdecode(preset) != sys.executable:
        return os.fsdecode(preset)
    if is_frozen():
        return None
    if os.path.basename(sys.executable or "").startswith(_SERVERS):
        return _of_prefix() or sys.executable
    return sys.executable or None


def _of_prefix() -> str | None:
    """Return the Python whose modules this embedded one uses; None if there is none."""
    for prefix in (sys.prefix, sys.base_prefix):
        name = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        found = os.path.join(prefix, "bin", name)
        if os.access(found, os.X_OK):
            return found
    return None


def is_frozen() -> bool:
    """Whether the program was made by PyInstaller, cx_Freeze, Nuitka or the like."""
    compiled = hasattr(sys.modules.get("__main__"), "__compiled__")
    return bool(getattr(sys, "frozen", False)) or compiled


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
