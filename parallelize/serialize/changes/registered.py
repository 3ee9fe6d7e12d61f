"""What a script has registered with the standard library: dialects, codecs, types.

Each registration becomes a patch (see `changes.patches`) that repeats it in a worker.
No module is imported for this.
"""

from __future__ import annotations

import contextlib
import os
import sys
import types

from parallelize.serialize.changes import texts
from parallelize.serialize.reducers import replica
from parallelize.serialize.reducers.replica import NAMES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    Patch = tuple[str, str, object]


class RegisteringCall:
    """Pickles as a call, which unpickling makes."""

    def __init__(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._args = fn, args, kwargs

    def __reduce__(self) -> tuple[Any, ...]:
        return replica.call, self._args


def take(text: str, space: Mapping[str, Any]) -> Iterator[Patch]:
    """Yield patches for what the script has registered.

    Args:
        text: The text of the script, which names registrations that cannot be listed.
        space: The script's namespace.
    """
    yield from _in_codecs(text, space)
    for name, listed in _LISTED.items():
        module = sys.modules.get(name)
        if module is None:
            continue
        with contextlib.suppress(Exception):  # a user module may have that name
            for registered in listed(module):
                yield name, "", registered
    yield from _in_builtins()


def _in_codecs(text: str, space: Mapping[str, Any]) -> Iterator[Patch]:
    import codecs

    for name in texts.error_handlers(text):
        try:
            handler = codecs.lookup_error(name)
        except LookupError:
            continue  # the registering function was not called
        yield "codecs", "", RegisteringCall(codecs.register_error, name, handler)
    for dotted in texts.codec_searches(text):
        first, _, path = dotted.partition(".")
        search = space.get(first)
        for part in path.split(".") if path else ():
            search = replica.attribute(search, part)
        if callable(search):
            yield "codecs", "", RegisteringCall(codecs.register, search)


def _in_copyreg(copyreg: Any) -> Iterator[RegisteringCall]:
    for cls, reduce in list(copyreg.dispatch_table.items()):
        if is_of_script(cls) or is_of_script(reduce):
            yield RegisteringCall(copyreg.pickle, cls, reduce)


def _in_logging(logging: Any) -> Iterator[RegisteringCall]:
    kind, factory = logging.getLoggerClass(), logging.getLogRecordFactory()
    if is_of_script(kind):
        yield RegisteringCall(logging.setLoggerClass, kind)
    if factory is not logging.LogRecord:
        yield RegisteringCall(logging.setLogRecordFactory, factory)


def _in_csv(csv: Any) -> Iterator[RegisteringCall]:
    for name in csv.list_dialects():
        dialect = csv.get_dialect(name)
        about = {each: getattr(dialect, each) for each in _OF_DIALECTS}
        if about != _PLAIN_DIALECTS.get(name):
            yield RegisteringCall(csv.register_dialect, name, **about)
    if csv.field_size_limit() != _PLAIN_FIELD:
        yield RegisteringCall(csv.field_size_limit, csv.field_size_limit())


_OF_DIALECTS = (
    "delimiter",
    "doublequote",
    "escapechar",
    "lineterminator",
    "quotechar",
    "quoting",
    "skipinitialspace",
    "strict",
)
_PLAIN_FIELD = 1 << 17
_EXCEL = dict(
    zip(_OF_DIALECTS, (",", True, None, "\r\n", '"', 0, False, False), strict=True)
)
_PLAIN_DIALECTS = {
    "excel": _EXCEL,
    "excel-tab": {**_EXCEL, "delimiter": "\t"},
    "unix": {**_EXCEL, "lineterminator": "\n", "quoting": 1},
}


def _in_mimetypes(mimetypes: Any) -> Iterator[RegisteringCall]:
    if not mimetypes.inited:
        return
    files = [file for file in mimetypes.knownfiles if os.path.isfile(file)]
    plain = mimetypes.MimeTypes(files)
    for strict in (True, False):
        known = plain.types_map[strict]
        for extension, kind in mimetypes._db.types_map[strict].items():
            if known.get(extension) != kind:
                yield RegisteringCall(mimetypes.add_type, kind, extension, strict)


_LISTED: dict[str, Callable[[Any], Iterator[RegisteringCall]]] = {
    "copyreg": _in_copyreg,
    "logging": _in_logging,
    "csv": _in_csv,
    "mimetypes": _in_mimetypes,
}


def _in_builtins() -> Iterator[Patch]:
    """Yield what the script, or `gettext.install`, has added to `builtins`."""
    import builtins

    for name, value in list(vars(builtins).items()):
        owner = replica.attribute(value, "__self__")
        is_gettext = type(owner).__module__ == "gettext"
        if is_of_script(value) or is_gettext:
            yield "builtins", name, value


def is_of_script(value: object) -> bool:
    """Whether a value is a function, class or decorated function of the script."""
    try:
        is_definition = isinstance(value, (types.FunctionType, type))
        if not is_definition and not replica.is_decorated(value):
            return False
        return getattr(value, "__module__", None) in NAMES
    except Exception:  # noqa: BLE001 - a user's metaclass may raise anything
        return False
