import collections.abc, json, math, pathlib, string, textwrap
from unittest import mock

pathlib.Path("config.py").write_text(
    """
DEBUG = False
TABLE = {"a": 1}
class Settings:
    depth = 1
    def __init__(self): self.level = 1
settings = Settings()
@functools.singledispatch
def describe(value): return "any"
def level(): return settings.level, Settings.depth, DEBUG, dict(TABLE)
""".replace("@functools", "import functools\n@functools")
)
import config
from config import settings

print(ex.submit(len, "abc").result())  # workers have started


def f_math():
    return math.pi, json.dumps([1]), textwrap.dedent(" a"), string.digits


def f_config():
    return config.level()


class Kind:
    pass


def f_kinds():
    return isinstance(Kind(), collections.abc.Sequence), config.describe(Kind())


def f_names():
    return sorted(name for name in globals() if ":" in name)


def look():
    for each in (f_math, f_config, f_kinds, f_names):
        check(each)


look()
dumps, pi = json.dumps, math.pi


def mine(value):
    return "mine " + dumps(value)


math.pi = 3
json.dumps = mine
look()
math.pi = pi
json.dumps = dumps
look()
config.DEBUG = True
config.TABLE["b"] = 2
settings.level = 5
config.Settings.depth = 7
look()
config.TABLE.pop("a")
config.DEBUG = False
setattr(config.Settings, "depth", 8)
look()
with mock.patch("json.dumps", mine), mock.patch.object(math, "pi", 4):
    look()
    with mock.patch.dict(config.TABLE, c=3):
        look()
look()
collections.abc.Sequence.register(Kind)
look()


@config.describe.register
def _(value: Kind):
    return "a kind"


look()


def dumps_again(value):
    return dumps(value) + string.digits


def change():
    string.digits = "none"
    json.dumps = dumps_again


change()
look()
with ProcessPoolExecutor(1, mp_context=METHOD) as other:
    print(other.submit(f_math).result() == f_math())


class Child(Kind):
    pass


@config.describe.register
def _(value: Child):
    return "a child"


def f_child():
    return config.describe(Child()), config.describe(Kind())


check(f_child)
