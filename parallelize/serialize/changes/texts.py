"""Finds in the text of a script what it changes outside of itself.

Afterwards nothing shows that `math.pi` used to be another number. The text does: it
names what it assigns, what it patches for a test, and with what it registers its
classes.
"""

from __future__ import annotations

import re
import sys

from parallelize.runtime.typed import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

_LONGEST = 1 << 20  # characters of a script that are searched

# The ways to change a target.
SET, FILL, REGISTER = "set", "fill", "register"


class Target(NamedTuple):
    """Something outside of the script that it changes.

    Attributes:
        first: The name in the script that leads to it; empty if `path` begins with a
            module's name.
        path: The dotted name from there on; empty for the object of `first` itself.
        how: Whether it is set, filled, or registered with.
    """

    first: str
    path: str
    how: str


_ATTRIBUTE = r"([^\W\d]\w*(?:\.\w+)+)"
_DOTTED = r"([^\W\d]\w*(?:\.\w+)*)"
_TEXT = r"""["']([\w.]+)["']"""
_FILLING = "append|extend|insert|update|setdefault|add|remove|discard|pop|clear"

# Patterns, compiled on first use, each with a substring that a text must contain for a
# match, so that scripts without it need not compile the pattern.

#: ``a.b = c``, ``a.b[c] = d``, ``a.b += c``, ``a.b: c = d``.
_ASSIGNED = (
    ".",
    rf"(?m)^[ \t]*{_ATTRIBUTE}(\[.*\])?[ \t]*(?::.*|[-+*/|&^%@<>]{{1,2}})?=[^=]",
)
#: ``setattr(a.b, "c", d)`` and ``patch.object(a.b, "c", d)``, ...
_BY_TEXT = "attr(", rf"\b(?:set|del)attr\(\s*{_DOTTED},\s*{_TEXT}"
_BY_PATCH = "patch.object(", rf"\bpatch\.object\(\s*{_DOTTED},\s*{_TEXT}"
#: ... ``patch("a.b.c", d)``, ...
_PATCHED = "patch(", rf"\bpatch\(\s*{_TEXT}"
#: ... ``patch.dict(a.b, c)`` and ``patch.dict("a.b", c)``.
_PATCHED_DICT = "patch.dict(", rf"\bpatch\.dict\(\s*(?:{_DOTTED}|{_TEXT})"
#: ``a.b.append(c)``.
_FILLED = ".", rf"\b{_ATTRIBUTE}\.(?:{_FILLING})\("
#: ``a.b.register(c)`` and ``@a.b.register``.
_REGISTERED = ".register", rf"(?<![\w.]){_DOTTED}\.register\b"
#: ``codecs.register_error("a", b)`` and ``codecs.register(a)``.
_ERROR_HANDLER = "register_error(", rf"\bregister_error\(\s*{_TEXT}"
_CODEC = "codecs.register(", rf"\bcodecs\.register\(\s*{_DOTTED}\s*\)"


def _found(what: tuple[str, str], text: str) -> list[Any]:
    mark, pattern = what
    return re.findall(pattern, text) if mark in text else []


def text_of(space: Mapping[str, Any]) -> str:
    """Return the text of a script, of a notebook's cells so far, or of ``-c``."""
    if number_of_cells(space):
        cells = space["In"]
        return "\n".join(each for each in cells if isinstance(each, str))[-_LONGEST:]
    try:
        with open(space["__file__"], encoding="utf-8") as file:
            return file.read(_LONGEST)
    except (KeyError, OSError, TypeError, ValueError):
        return _loaded_text(space) or _text_of_command()


def number_of_cells(space: Mapping[str, Any]) -> int:
    """Return the number of notebook cells that have run; 0 outside of notebooks."""
    if "get_ipython" not in space:
        return 0
    cells = space.get("In")
    return len(cells) if isinstance(cells, list) else 0


def _loaded_text(space: Mapping[str, Any]) -> str:
    """Return the text of a script in a zip file."""
    loader, spec = space.get("__loader__"), space.get("__spec__")
    name = getattr(spec, "name", "__main__")
    try:
        text: object = loader.get_source(name)  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - a loader may raise anything
        return ""
    return text[:_LONGEST] if isinstance(text, str) else ""


def _text_of_command() -> str:
    if getattr(sys, "argv", [])[:1] != ["-c"] or "-c" not in sys.orig_argv[:-1]:
        return ""
    return sys.orig_argv[sys.orig_argv.index("-c") + 1]


def targets(text: str) -> Iterator[Target]:
    """Yield what a text changes, each once."""
    yield from dict.fromkeys(_targets(text))


def _targets(text: str) -> Iterator[Target]:
    for dotted, item in _found(_ASSIGNED, text):
        yield _target(dotted, FILL if item else SET)
    for owner, name in (*_found(_BY_TEXT, text), *_found(_BY_PATCH, text)):
        yield _target(f"{owner}.{name}", SET)
    for dotted in _found(_PATCHED, text):
        yield Target("", dotted, SET)
    for dotted, quoted in _found(_PATCHED_DICT, text):
        yield _target(dotted, FILL) if dotted else Target("", quoted, FILL)
    for dotted in _found(_FILLED, text):
        yield _target(dotted, FILL)
    for dotted in _found(_REGISTERED, text):
        yield _target(dotted, REGISTER)


def _target(dotted: str, how: str) -> Target:
    first, _, path = dotted.partition(".")
    return Target(first, path, how)


def error_handlers(text: str) -> list[str]:
    """Return the names of the error handlers that a text registers with `codecs`."""
    return list(dict.fromkeys(_found(_ERROR_HANDLER, text)))


def codec_searches(text: str) -> list[str]:
    """Return the names of the search functions that a text registers with `codecs`."""
    return list(dict.fromkeys(_found(_CODEC, text)))
