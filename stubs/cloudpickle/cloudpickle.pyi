import pickle
from _typeshed import SupportsWrite
from collections import ChainMap
from collections.abc import Callable
from types import ModuleType
from typing import Any, ClassVar, Final

DEFAULT_PROTOCOL: Final[int]
PYPY: Final[bool]

class Pickler(pickle.Pickler):
    dispatch: ClassVar[ChainMap[type[Any], Callable[[Any], Any]]]
    proto: int
    globals_ref: dict[int, dict[str, Any]]
    def __init__(
        self,
        file: SupportsWrite[bytes],
        protocol: int | None = None,
        buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
    ) -> None: ...
    def dump(self, obj: object) -> None: ...
    def reducer_override(self, obj: Any) -> Any: ...

CloudPickler = Pickler

def dump(
    obj: object,
    file: SupportsWrite[bytes],
    protocol: int | None = None,
    buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
) -> None: ...
def dumps(
    obj: object,
    protocol: int | None = None,
    buffer_callback: Callable[[pickle.PickleBuffer], object] | None = None,
) -> bytes: ...

load = pickle.load
loads = pickle.loads

def register_pickle_by_value(module: ModuleType) -> None: ...
def unregister_pickle_by_value(module: ModuleType) -> None: ...
def list_registry_pickle_by_value() -> set[str]: ...
def is_tornado_coroutine(func: object) -> bool: ...
def subimport(name: str) -> ModuleType: ...
def dynamic_subimport(name: str, vars: dict[str, Any]) -> ModuleType: ...
def instance(cls: type[Any]) -> Any: ...
