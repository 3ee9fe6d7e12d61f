"""Settings of the interpreter as a pool reads them for its workers."""

import importlib
import sys
import types
from importlib.machinery import ModuleSpec

import pytest

from parallelize.process.wire import interpreter_state
from parallelize.process.wire.inheritance import Inheritance
from parallelize.serialize import pickling
from parallelize.serialize.reducers import reductions


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


def test_a_context_that_another_thread_is_importing_is_waited_for(monkeypatch):
    name = "multiprocessing.context"
    whole = importlib.import_module(name)
    partial = types.ModuleType(name)
    partial.__spec__ = ModuleSpec(name, None)
    partial.__spec__._initializing = True

    def refuse(value):
        raise reductions.NotForManyError

    monkeypatch.setitem(sys.modules, name, partial)
    # An import waits for the other thread; here that has ended by then.
    monkeypatch.setattr(importlib, "import_module", {name: whole}.get)
    monkeypatch.setattr(pickling, "dumps", refuse)
    monkeypatch.setattr(Inheritance, "_dumps", lambda self, value: value)
    assert Inheritance().dumps("a lock") == ["a lock"]
