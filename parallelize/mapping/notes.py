"""The note on an error of a map that gives the row: its index and its arguments."""

from __future__ import annotations

import contextlib
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ("add_row", "row_text")

#: The maximum number of characters of a note.
LONGEST = 200

#: An error shared by rows, such as one held by a module, gets at most this many notes.
MOST = 3

_BEGINNING = "row "
_CUT = "..."

_BRACKETS: dict[object, str] = {list: "[]", tuple: "()", set: "{}", dict: "{}"}


def add_row(
    error: BaseException, index: int, args: tuple[Any, ...] | None, last: str | None
) -> str | None:
    """Add the note, if the error supports notes.

    Args:
        error: The error of the row's call.
        index: The index of the row in the input.
        args: The arguments of the row; None if they are no longer known.
        last: The note that the map added last. An error that has it already is shared
            by rows, and gets no other.

    Returns:
        The note that was added last.
    """
    notes: object = None
    with contextlib.suppress(Exception):  # the class may be user-defined
        notes = error.__notes__
    if isinstance(notes, list) and (last in notes or sum(map(_is_ours, notes)) >= MOST):
        return last
    text = row_text(index, args)
    _add(error, text, notes)
    return text


def _add(error: BaseException, text: str, notes: object) -> None:
    try:
        BaseException.add_note(error, text)
    except Exception:  # noqa: BLE001 - the class forbids it
        if notes is None:
            with contextlib.suppress(Exception):
                BaseException.__setattr__(error, "__notes__", [text])


def _is_ours(note: object) -> bool:
    return isinstance(note, str) and note.startswith(_BEGINNING)


def row_text(index: int, args: tuple[Any, ...] | None) -> str:
    """Return the note of a row."""
    text = f"{_BEGINNING}{index} of the map"
    if args is None:
        return text
    text += f", called with ({_joined(args, LONGEST, _shown)}"
    return _cut(text + ")", LONGEST)


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(room - len(_CUT), 0)] + _CUT


def _shown(value: object, room: int) -> str:
    """Return the repr of a value, or the start of it; never raises.

    Of a possibly large value, no more is converted than there is room for.
    """
    kind = type(value)
    try:
        if room <= 0:
            return _CUT
        if kind in _BRACKETS and value:
            return _contents(value, _BRACKETS[kind], room)
        if kind in (str, bytes, bytearray) and len(value) > room:  # type: ignore[arg-type]
            value = value[:room]  # type: ignore[index]
        elif kind is int and value.bit_length() > 8 * room:  # type: ignore[attr-defined]
            return f"<an int of {value.bit_length()} bits>"  # type: ignore[attr-defined]
        return " ".join(repr(value).split("\n"))
    except Exception:  # noqa: BLE001 - the repr may be user-defined
        return f"<{kind.__qualname__} without a repr>"


def _contents(value: Any, brackets: str, room: int) -> str:
    begin, end = brackets[0], brackets[1]
    if type(value) is dict:
        return begin + _joined(value.items(), room - 2, _pair) + end
    if type(value) is tuple and len(value) == 1:
        end = "," + end
    return begin + _joined(value, room - 2, _shown) + end


def _pair(pair: Any, room: int) -> str:
    key = _shown(pair[0], room)
    return f"{key}: {_shown(pair[1], room - len(key) - 2)}"


def _joined(values: Iterable[Any], room: int, shown: Callable[[Any, int], str]) -> str:
    parts: list[str] = []
    for value in islice(values, LONGEST):
        if room <= 0:
            parts.append(_CUT)
            break
        parts.append(shown(value, room))
        room -= len(parts[-1]) + len(", ")
    return ", ".join(parts)
