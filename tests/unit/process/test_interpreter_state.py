"""Settings of the interpreter as a pool reads them for its workers."""

import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from parallelize.process.wire import interpreter_state


@pytest.mark.parametrize(
    "name", ["socket", "locale", "logging", "decimal", "copyreg", "multiprocessing"]
)
def test_a_module_that_another_thread_is_importing_is_not_read(monkeypatch, name):
    partial = types.ModuleType(name)
    partial.__spec__ = ModuleSpec(name, None)
    partial.__spec__._initializing = True
    monkeypatch.setitem(sys.modules, name, partial)
    assert interpreter_state.loaded(name) is None
    assert interpreter_state.own_decimal_context() is None
    assert interpreter_state.take()["switch"] == sys.getswitchinterval()


def test_a_module_without_a_spec_is_loaded(monkeypatch):
    module = types.ModuleType("made_by_hand")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert interpreter_state.loaded("made_by_hand") is module
    assert interpreter_state.loaded("no_such_module") is None
