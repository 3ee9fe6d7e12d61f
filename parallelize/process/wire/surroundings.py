"""Frameworks that the parent has set up, and that a worker has to set up as well.

A module with models of Django cannot be imported before `django.setup`, which a worker
never reaches by itself: it runs no script and no management command. So the parent
sends what a worker needs for it, and the worker sets the framework up before its
initializer and its first task:

```
 parent: django.setup() ▸ f()  ══ START {"django": state} ══▶  worker: django.setup()
                               ══ CALL shop.work.f ══════════▶          import shop.work
```

Nothing is imported for this in the parent, and in a worker only what the parent has.
A worker that is a fork of the parent is set up already. It must not use the parent's
connections, so it gets new ones on first use.

A worker that cannot set a framework up goes on without: not every function needs it.
The errors of those that do say why.
"""

from __future__ import annotations

import os
import sys

from parallelize.process.wire.interpreter_state import loaded
from parallelize.serialize import pickling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from parallelize.process.wire.frames import Part

    State = dict[str, Any]

#: In a worker: why a framework could not be set up, by its name.
_failures: dict[str, str] = {}

# What a forked worker has of its parent and must neither use nor close.
_of_parent: list[object] = []


def take() -> State:
    """In the parent: return the states of the frameworks that are set up, by name."""
    states = {}
    for name, home, read, _ in _FRAMEWORKS:
        module = loaded(home)
        state = None if module is None else _attempt(read, module)
        if state is not None:
            states[name] = state
    return states


def _attempt(read: Callable[[Any], State | None], module: object) -> State | None:
    try:
        return read(module)
    except Exception:  # noqa: BLE001 - a version of the package that is not known
        return None


def begin(states: State) -> None:
    """In a worker: set these frameworks up."""
    for name, _, _, set_up in _FRAMEWORKS:
        if name in states:
            try:
                set_up(states[name])
            except Exception as error:  # noqa: BLE001 - its modules are the user's
                _failures[name] = f"{type(error).__qualname__}: {error}"


def begin_copy() -> None:
    """In a forked worker: put the parent's connections aside.

    They are kept, because a connection that is collected may say goodbye to its server.
    """
    for home, name in _CONNECTIONS:
        handler = getattr(loaded(home), name, None)
        if handler is not None:
            _put_aside(handler)


def _put_aside(handler: Any) -> None:
    try:
        own = handler._connections
        for alias in [each for each in handler if hasattr(own, each)]:
            _of_parent.append(getattr(own, alias))
            delattr(own, alias)
    except Exception:  # noqa: BLE001 - settings, or a version, that is not known
        pass


def advise(error: BaseException) -> None:
    """Say in an error what to do about a framework that is not set up."""
    exceptions = sys.modules.get("django.core.exceptions")
    if exceptions is None or not _is_of_unready_django(error, exceptions):
        return
    why = _failures.get("django")
    advice = _ADVICE if why is None else f"Django cannot be set up in a worker: {why}"
    if advice not in getattr(error, "__notes__", ()):
        error.add_note(advice)


# Django.

_ADVICE = (
    "Django was not set up in the program when this worker started: call "
    "django.setup() before the first call, or let each worker do it, by "
    "ProcessPoolExecutor(initializer=django.setup) with DJANGO_SETTINGS_MODULE set"
)

_SETTINGS = "DJANGO_SETTINGS_MODULE"


def _is_of_unready_django(error: BaseException, exceptions: Any) -> bool:
    if isinstance(error, exceptions.AppRegistryNotReady):
        return True
    is_of_settings = isinstance(error, exceptions.ImproperlyConfigured)
    return is_of_settings and "settings are not configured" in str(error)


def _read_django(apps: Any) -> State | None:
    """Return the settings' module or values, and the databases; None if not ready."""
    if not apps.apps.models_ready:
        return None
    settings = sys.modules["django.conf"].settings
    module = _settings_module(settings._wrapped)
    return {
        "module": module,
        "values": [] if module else list(_pickled(vars(settings._wrapped).items())),
        # A test runner gives them other names.
        "databases": {
            alias: database["NAME"]
            for alias, database in settings.DATABASES.items()
            if "NAME" in database
        },
    }


def _settings_module(holder: Any) -> str | None:
    """Return the module of the settings, which others may override."""
    while holder is not None:
        module = getattr(holder, "SETTINGS_MODULE", None)
        if module is not None:
            return str(module)
        holder = vars(holder).get("default_settings")
    return None


def _pickled(values: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Sequence[Part]]]:
    for name, value in values:
        if name.isupper():
            try:
                yield name, list(map(bytes, pickling.dumps(value)))
            except Exception:  # noqa: BLE001, S112 - a function that needs it will fail
                continue


def _set_up_django(state: State) -> None:
    if state["module"]:
        os.environ[_SETTINGS] = state["module"]
    import importlib

    django: Any = importlib.import_module("django")
    settings: Any = importlib.import_module("django.conf").settings
    if state["values"] and not settings.configured:
        values = {name: pickling.loads(value) for name, value in state["values"]}
        settings.configure(**values)
    for alias, name in state["databases"].items():
        settings.DATABASES[alias]["NAME"] = name
    # The program's handlers take the records of workers, and its levels are set.
    configures, settings.LOGGING_CONFIG = settings.LOGGING_CONFIG, None
    try:
        django.setup()
    finally:
        settings.LOGGING_CONFIG = configures


#: Their names, the module that tells of them, what reads it, what sets it up.
_FRAMEWORKS: tuple[
    tuple[str, str, Callable[[Any], State | None], Callable[[State], object]], ...
] = (("django", "django.apps", _read_django, _set_up_django),)

#: What holds the connections of a thread, by alias.
_CONNECTIONS = (("django.db", "connections"), ("django.core.cache", "caches"))
