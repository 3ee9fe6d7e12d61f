import dataclasses, pathlib

pathlib.Path("holder.py").write_text(
    """
import threading
NOTSET, SETTINGS, LISTED, SEEN = object(), {"a": 1}, [1], {1}
class Session:
    def __init__(self):
        self.user, self.lock = "none", threading.Lock()
session = Session()
def is_given(value): return value is not NOTSET
def setting(name): return SETTINGS.get(name)
def user(): return session.user, session.lock.locked()
"""
)
import holder
from holder import LISTED, NOTSET, SEEN, SETTINGS, is_given, session
from holder import SETTINGS as renamed


def call(value=NOTSET):
    return is_given(value), value is holder.NOTSET


check(call)
check(call, NOTSET)
check(call, 3)
check(lambda: (LISTED is holder.LISTED, SEEN is holder.SEEN, renamed is SETTINGS))
check(lambda: (session is holder.session, type(session) is holder.Session))


def change():
    SETTINGS["b"], session.user = 2, "me"
    return holder.setting("b"), holder.user()


check(change, want="(2, ('me', False))")
SETTINGS["c"] = 3  # what the program changes reaches the module's own, too
session.user = "you"
check(lambda: (SETTINGS["c"], holder.setting("c"), session.user, holder.user()))
del SETTINGS["a"]
check(lambda: (sorted(SETTINGS), holder.setting("a")))


@dataclasses.dataclass
class Options:
    name: str
    size: int = 3


check(lambda: [f.default is dataclasses.MISSING for f in dataclasses.fields(Options)])


# A module that the program has made is imported by the functions that name it.

import sys, types

made = sys.modules["made_here"] = types.ModuleType("made_here")
exec("number = 3\ndef add(other): return number + other", vars(made))


def imports():
    import made_here
    from made_here import add

    return made_here.number, add(1)


check(imports)

nested = []
for _ in range(250):
    nested = [nested]
check(lambda: len(nested))
