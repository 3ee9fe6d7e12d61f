"""Operations on raised errors that run no code of the errors' classes.

An error's class may override assignment (a frozen dataclass refuses it), attribute
access, ``__str__``, ``__bool__`` and even ``__class__``. None of that may keep an error
from reaching the caller. So users' errors are handled only by the functions of this
module, which use the C implementations of `BaseException` and `type`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, TypeGuard, TypeVar

    E = TypeVar("E", bound=BaseException)

# Any, because checkers know these descriptors only as instance attributes.
_in_error: Any = vars(BaseException)
_in_type: Any = vars(type)


def traceback_of(error: BaseException) -> TracebackType | None:
    """Return the error's traceback."""
    tb: TracebackType | None = _in_error["__traceback__"].__get__(error)
    return tb


def drop_frame(error: BaseException) -> None:
    """Remove the outermost frame, which is this package's, from the traceback."""
    tb = traceback_of(error)
    BaseException.with_traceback(error, None if tb is None else tb.tb_next)


def cause_of(error: BaseException) -> BaseException | None:
    """Return the error's ``__cause__``."""
    cause: BaseException | None = _in_error["__cause__"].__get__(error)
    return cause


def source_of(error: BaseException) -> BaseException | None:
    """Return the error's ``__cause__``, or else its ``__context__``."""
    cause = cause_of(error)
    if cause is not None:
        return cause
    context: BaseException | None = _in_error["__context__"].__get__(error)
    return context


def set_cause(error: BaseException, cause: BaseException | None) -> None:
    """Set the error's ``__cause__``, like ``raise ... from``."""
    _in_error["__cause__"].__set__(error, cause)


def add_note(error: BaseException, note: str) -> None:
    """Add a note to the error, unless its ``__notes__`` is not a list."""
    try:
        BaseException.add_note(error, note)
    except Exception:  # noqa: BLE001 - its class may raise anything
        notes = _in_error["__dict__"].__get__(error).setdefault("__notes__", [])
        if type(notes) is list:
            notes.append(note)


def is_a(error: BaseException, kinds: type[E] | tuple[type[E], ...]) -> TypeGuard[E]:
    """Whether ``except kinds`` would catch the error, whatever its ``__class__``."""
    return issubclass(type(error), kinds)


def set_state(error: BaseException, state: dict[str, Any]) -> None:
    """Set attributes of the error, even if its class refuses that."""
    for name, value in state.items():
        try:
            object.__setattr__(error, name, value)
        except Exception:  # noqa: BLE001 - for instance, a read-only property
            _in_error["__dict__"].__get__(error)[name] = value


# ------------------------------------------------------------------ as text


def text_of(error: BaseException) -> str:
    """Return ``str(error)``; a fixed text if that raises."""
    return _plain(lambda: str(error), "(its text cannot be shown)")


def name_of_class(kind: type) -> str:
    """Return the class's qualified name, without the module."""
    return _plain(lambda: _in_type["__qualname__"].__get__(kind), "an error")


def full_name_of_class(kind: type) -> str:
    """Return the class's qualified name, with the module."""
    module = _plain(lambda: _in_type["__module__"].__get__(kind), "(unknown)")
    return f"{module}.{name_of_class(kind)}"


def summary_of(error: BaseException) -> str:
    """Return the name of the error's class, and its text."""
    text = text_of(error)
    name = name_of_class(type(error))
    return f"{name}: {text}" if text else name


def _plain(make: Callable[[], object], instead: str) -> str:
    """Return a text as an exact `str`, which any process can unpickle."""
    try:
        text = make()
        return str.__str__(text) if isinstance(text, str) else instead
    except BaseException:  # noqa: BLE001 - the user's code may raise anything
        return instead


def full_text_of(error: BaseException) -> str:
    """Return the traceback, with those of its causes, as Python prints it.

    If the user's code raises meanwhile, return the error's own traceback; if that
    cannot be shown either, its class and text.
    """
    try:
        import traceback  # which fails if no descriptor is left

        return "".join(
            traceback.format_exception(type(error), error, traceback_of(error))
        )
    except BaseException:  # noqa: BLE001 - its own code may raise anything
        return f"{_own_traceback(error)}{summary_of(error)}\n"


def can_be_shown(error: BaseException) -> bool:
    """Whether Python, and so `logging`, can print the error's traceback."""
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
    except BaseException:  # noqa: BLE001 - for instance, the code of a module loader
        return ""
    return "".join(("Traceback (most recent call last):\n", *lines))
