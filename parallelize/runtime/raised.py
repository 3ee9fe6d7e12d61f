"""What is done to raised errors, past all code of their classes.

The class of an error may decide what an assignment does (a frozen dataclass refuses
it), what the error's attributes are, what its text, its truth, even its class is
said to be. None of that may keep an error from reaching the caller. So errors of
the user are handled by the functions of this file alone, which use what
`BaseException` and `type` have in C.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeGuard, TypeVar

    E = TypeVar("E", bound=BaseException)

# Any, as checkers know these descriptors only as attributes of an instance.
_in_error: Any = vars(BaseException)
_in_type: Any = vars(type)


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return its traceback."""
    tb: TracebackType | None = _in_error["__traceback__"].__get__(error)
    return tb


def drop_frame(error: BaseException) -> None:
    """Take the outermost frame, which is ours, out of its traceback."""
    tb = traceback_of(error)
    BaseException.with_traceback(error, None if tb is None else tb.tb_next)


def cause_of(error: BaseException) -> BaseException | None:
    """Return its cause."""
    cause: BaseException | None = _in_error["__cause__"].__get__(error)
    return cause


def source_of(error: BaseException) -> BaseException | None:
    """Return its cause, else the error that was being handled when it was raised."""
    cause = cause_of(error)
    if cause is not None:
        return cause
    context: BaseException | None = _in_error["__context__"].__get__(error)
    return context


def set_cause(error: BaseException, cause: BaseException | None) -> None:
    """Make another error its cause, as ``raise ... from`` does."""
    _in_error["__cause__"].__set__(error, cause)


def add_note(error: BaseException, note: str) -> None:
    """Add a note, unless its class has a ``__notes__`` of another kind."""
    try:
        BaseException.add_note(error, note)
    except Exception:  # noqa: BLE001 - its class may raise anything
        notes = _in_error["__dict__"].__get__(error).setdefault("__notes__", [])
        if type(notes) is list:
            notes.append(note)


def is_a(error: BaseException, kinds: type[E] | tuple[type[E], ...]) -> TypeGuard[E]:
    """Whether ``except kinds`` would catch it, whatever class it says it is of."""
    return issubclass(type(error), kinds)


def set_state(error: BaseException, state: dict[str, Any]) -> None:
    """Set attributes, also where its class refuses that."""
    for name, value in state.items():
        try:
            object.__setattr__(error, name, value)
        except Exception:  # noqa: BLE001 - a property that cannot be set, for one
            _in_error["__dict__"].__get__(error)[name] = value


# --------------------------------------------------------------------- in words


def text_of(error: BaseException) -> str:
    """Its text, whatever its own code does."""
    return _plain(lambda: str(error), "(its text cannot be shown)")


def name_of_class(kind: type) -> str:
    """Its name without the module's."""
    return _plain(lambda: _in_type["__qualname__"].__get__(kind), "an error")


def full_name_of_class(kind: type) -> str:
    """Its name, behind that of its module."""
    module = _plain(lambda: _in_type["__module__"].__get__(kind), "(unknown)")
    return f"{module}.{name_of_class(kind)}"


def summary_of(error: BaseException) -> str:
    """The name of its class, and its text."""
    text = text_of(error)
    name = name_of_class(type(error))
    return f"{name}: {text}" if text else name


def _plain(make: Callable[[], object], instead: str) -> str:
    """A text of the very class `str`, which any process can read."""
    try:
        text = make()
        return str.__str__(text) if isinstance(text, str) else instead
    except BaseException:  # noqa: BLE001 - the user's code may raise anything
        return instead


def full_text_of(error: BaseException) -> str:
    """Its traceback, with those of its causes, as Python prints it.

    If code of the user keeps Python from that, its own traceback, and if that cannot
    be shown either, its class and text.
    """
    try:
        import traceback  # for which there may be no descriptor left

        return "".join(
            traceback.format_exception(type(error), error, traceback_of(error))
        )
    except BaseException:  # noqa: BLE001 - its own code may raise anything
        return f"{_own_traceback(error)}{summary_of(error)}\n"


def can_be_shown(error: BaseException) -> bool:
    """Whether Python, and so `logging`, can print its traceback."""
    try:
        import traceback

        traceback.format_exception(type(error), error, traceback_of(error))
    except Exception:  # noqa: BLE001 - its own code may raise anything
        return False
    return True


def _own_traceback(error: BaseException) -> str:
    try:
        import traceback

        lines = traceback.format_tb(traceback_of(error))
    except BaseException:  # noqa: BLE001 - that of a loader of modules, for one
        return ""
    return "".join(("Traceback (most recent call last):\n", *lines))
