"""What a worker sends besides its results: log records and warnings.

```
 logging.info(…) ─▶ handler of the root ─┐                ┌─▶ the caller's loggers
                                         ├══ REPORT ═════▶┤
 warnings.warn(…) ─▶ showwarning ────────┘  (task socket) └─▶ the caller's filters
```

They are sent in the stream of the results, so that a call's records arrive before its
result, and none that was in the stream is lost when the worker ends.

Importing `logging` takes longer than importing all that a worker needs. So it is not
imported here, but set up once other code in the worker has imported it, see
`ImportHook`.
"""

from __future__ import annotations

import _pickle as pickle
import sys
from functools import partial

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    from parallelize.process.wire.frames import Part

    Report = Callable[[int, Sequence[Part]], bool]
    Filter = tuple[str, Any, type[Warning], Any, int]

#: The kinds of reports, as in ``extra`` of the frame.
RECORD, WARNING = 0, 1

_DEEPEST = 100


def begin(settings: Mapping[str, Any], report: Report) -> None:
    """Report records and warnings from now on.

    Args:
        settings: The settings of the parent process, see `process.parent.logs`.
        report: Sends a report: its kind and its parts. Returns False in a process
            forked from the worker, which must not send.
    """
    watch = ImportHook()
    _begin_warnings(settings["filters"], report, watch)

    def begin_records() -> None:
        from parallelize.process.worker import log_records

        log_records.begin(settings, report)

    watch.when_loaded("logging", begin_records)


# ------------------------------------------------------------------------ warnings


def _begin_warnings(encoded: Sequence[Any], report: Report, watch: ImportHook) -> None:
    # The default filters are set without the module, which not every worker imports.
    if "warnings" not in sys.modules and _are_from_the_start(encoded):
        watch.when_loaded("warnings", lambda: _show_at_home(report))
        return
    import warnings

    warnings.resetwarnings()  # this also announces that the filters have changed
    known = [each for each in map(_filter_in, encoded) if each is not None]
    _filters().extend(known)
    for place, each in enumerate(encoded):
        home = each[2][0]
        if home not in sys.modules:  # importing it just for this would take long
            watch.when_loaded(home, partial(_insert, each, encoded[place + 1 :]))
    _show_at_home(report)


def _filters() -> list[Filter]:
    import warnings

    filters: list[Any] = warnings.filters  # type: ignore[assignment]
    return filters


def _are_from_the_start(encoded: Sequence[Any]) -> bool:
    import _warnings

    first: list[Filter] = _warnings.filters
    return [encode_filter(each) for each in first] == list(encoded)


def encode_filter(each: Filter) -> tuple[Any, ...]:
    """Encode a filter as plain values: decoding imports nothing."""
    action, message, category, module, line = each
    named = category.__module__, category.__qualname__
    return action, _plain(message), named, _plain(module), line


def _plain(pattern: Any) -> Any:
    """Return a pattern's text and flags; a text or None is returned unchanged."""
    return (pattern.pattern, pattern.flags) if hasattr(pattern, "flags") else pattern


def _insert(encoded: Any, below: Sequence[Any]) -> None:
    """Insert a filter above those below it; its warning class is imported now."""
    found = _filter_in(encoded)
    if found is not None:
        later = [each for each in map(_filter_in, below) if each is not None]
        filters = _filters()
        places = (place for place, each in enumerate(filters) if each in later)
        filters.insert(next(places, len(filters)), found)


def _filter_in(encoded: Any) -> Filter | None:
    """Decode a filter; return None if its warning class is not imported."""
    action, message, (home, name), module, line = encoded
    category: Any = sys.modules.get(home)
    for each in name.split("."):
        category = getattr(category, each, None)
    if not (isinstance(category, type) and issubclass(category, Warning)):
        return None
    return action, _compiled(message), category, _compiled(module), line


def _compiled(plain: Any) -> Any:
    if not isinstance(plain, tuple):
        return plain
    import re

    return re.compile(*plain)


def _show_at_home(report: Report) -> None:
    import warnings

    show_here = warnings.showwarning

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: Any = None,
        line: str | None = None,
    ) -> None:
        parts = _encoded_warning(message, category, filename, lineno)
        if file is not None or not report(WARNING, parts):
            show_here(message, category, filename, lineno, file, line)

    warnings.showwarning = show


def _encoded_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int
) -> list[Part]:
    where = filename, lineno, _module_at(filename, lineno)
    known = next(each for each in category.__mro__ if each.__module__ == "builtins")
    plain = pickle.dumps((str(message), known.__name__, *where), 5)
    try:
        return [plain, pickle.dumps((message, category), 5)]
    except Exception:  # noqa: BLE001 - it cannot be pickled: its text is sent
        return [plain]


def _module_at(filename: str, lineno: int) -> str | None:
    """Return the module whose running line a warning is attributed to."""
    frame = sys._getframe(1)
    for _ in range(_DEEPEST):
        if frame.f_lineno == lineno and frame.f_code.co_filename == filename:
            name = frame.f_globals.get("__name__")
            return name if isinstance(name, str) else None
        if frame.f_back is None:
            break
        frame = frame.f_back
    return None


# ---------------------------------------------------------- when a module is imported


class ImportHook:
    """Notices the import of modules, as a module finder that wraps their loaders."""

    def __init__(self) -> None:
        self._actions: dict[str, list[Callable[[], object]]] = {}

    def when_loaded(self, name: str, action: Callable[[], object]) -> None:
        """Call ``action()`` once the module is imported; at once if it already is."""
        if name in sys.modules:
            action()
            return
        if self not in sys.meta_path:
            sys.meta_path.insert(0, self)
        self._actions.setdefault(name, []).append(action)

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the spec that the other finders find, with a wrapped loader."""
        actions = self._actions.pop(name, None)
        if actions is None:
            return None
        for finder in list(sys.meta_path):
            spec = None if finder is self else finder.find_spec(name, path, target)
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _Loader(spec.loader, actions)  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
                return spec
        self._actions[name] = actions  # it may be found later
        return None


class _Loader:
    """Loads a module with another loader, and then calls back."""

    def __init__(self, loader: Any, actions: Sequence[Callable[[], object]]) -> None:
        self._loader = loader
        self._actions = actions

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:  # leave no trace of this loader
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in self._actions:
            action()
