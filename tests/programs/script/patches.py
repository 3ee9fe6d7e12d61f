import builtins, datetime, json, pathlib, threading, time

pathlib.Path("patched.py").write_text(
    """
LEVEL, SETTINGS, HANDLERS = 1, {"a": 1}, {}
def level(): return LEVEL
def setting(name): return SETTINGS.get(name)
def register(name):
    def decorate(fn):
        HANDLERS[name] = fn
        return fn
    return decorate
def handle(name): return HANDLERS[name]()
class Base:
    known = []
    def __init_subclass__(cls): Base.known.append(cls)
def known(): return [each.__name__ for each in Base.known]
class Registry:
    def __init__(self): self.hooks = []
    def run(self): return [hook() for hook in self.hooks]
registry = Registry()
"""
)
import patched
from patched import Base


def encode(self, value):
    return value.isoformat() if isinstance(value, datetime.date) else str(value)


json.JSONEncoder.default = encode
builtins.ANSWER = 42
patched.LEVEL = 7
patched.SETTINGS["b"] = 2
Base.greet = lambda self: "hello"
time_before, dumps = time.time, json.dumps


def still():
    return 5.0 if time_before() > 5 else 0.0


time.time = still
json.dumps = lambda *args: "<" + dumps(*args) + ">"


@patched.register("mine")
def mine():
    return ANSWER


class Plugin(patched.Base):
    pass


patched.registry.hooks.append(mine)


class Frozen(datetime.date):
    @classmethod
    def today(cls):
        return cls(2020, 1, 1)


datetime.date = Frozen
check(lambda: json.dumps({"day": datetime.date(2020, 1, 1), "number": 1j}))
check(lambda: (ANSWER, time.time(), Base().greet(), patched.level()))
check(lambda: (patched.setting("b"), patched.handle("mine"), patched.known()))
check(lambda: (patched.HANDLERS["mine"] is mine, patched.registry.run()))
check(lambda: datetime.date.today().year)
for each in (patched.level, patched.known, patched.registry.run):
    check(each)

ends = []
threading.excepthook = lambda args: ends.append(args.exc_type.__name__)


def failing_thread():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    return ends[-1]


check(failing_thread)
