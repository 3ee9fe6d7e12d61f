from . import cloudpickle as cloudpickle
from .cloudpickle import (
    CloudPickler as CloudPickler,
    Pickler as Pickler,
    dump as dump,
    dumps as dumps,
    load as load,
    loads as loads,
    register_pickle_by_value as register_pickle_by_value,
    unregister_pickle_by_value as unregister_pickle_by_value,
)

__version__: str

__all__ = [
    "__version__",
    "Pickler",
    "CloudPickler",
    "dumps",
    "loads",
    "dump",
    "load",
    "register_pickle_by_value",
    "unregister_pickle_by_value",
]
