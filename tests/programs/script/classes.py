import abc, collections, contextvars, ctypes, dataclasses, enum, functools, itertools
import logging, pickle, queue, sqlite3, struct, sys, threading, typing, weakref


class Color(enum.Enum):
    RED = 1
    BLUE = object()


check(lambda c: (c is Color.RED, Color(1) is Color.RED), Color.RED)
print(ex.submit(lambda: Color.RED).result() is Color.RED)


class Shape(abc.ABC):
    registry = {}

    def __init_subclass__(cls, **kw):
        super().__init_subclass__(**kw)
        Shape.registry[cls.__name__] = cls

    @abc.abstractmethod
    def a(self): ...


class Sq(Shape):
    def a(self):
        return 1


class Ci(Shape):
    def a(self):
        return 2


check(lambda: (sorted(Shape.registry), Shape.registry["Sq"] is Sq, Sq().a()))


class Meta(type):
    made = []

    def __new__(m, n, b, d, **k):
        c = super().__new__(m, n, b, d)
        Meta.made.append(n)
        return c


class M1(metaclass=Meta):
    pass


class M2(M1):
    pass


check(lambda: (Meta.made, type(M2) is Meta, M2.__mro__[1] is M1))
HANDLERS = {}


def register(name):
    def deco(fn):
        HANDLERS[name] = fn
        return fn

    return deco


@register("a")
def ha():
    return "A"


@register("b")
def hb():
    return "B"


check(lambda: ({k: v() for k, v in HANDLERS.items()}, HANDLERS["a"] is ha))
NT = collections.namedtuple("NT", "a b")


class NT2(typing.NamedTuple):
    a: int
    b: NT


check(lambda: NT2(1, NT(2, 3)))
check(lambda x: isinstance(x, NT2), NT2(1, NT(1, 2)))


class E1(Exception):
    def __init__(self, a, b):
        super().__init__(a, b)


def r():
    raise E1(1, 2)


try:
    ex.submit(r).result()
except E1 as e:
    print("E1 ok")


@dataclasses.dataclass(frozen=True, slots=True)
class FS:
    a: int = 1


check(lambda: FS(3))
check(lambda f: f == FS(3), FS(3))


class Proto(typing.Protocol):
    def go(self) -> int: ...


class Impl:
    def go(self):
        return 1


@typing.runtime_checkable
class RP(typing.Protocol):
    def go(self): ...


check(lambda: isinstance(Impl(), RP))


# Subclasses are those of the script, once each, and all of them.


class Part:
    made = {}

    def __init_subclass__(cls):
        Part.made[cls.__name__] = cls


class Wheel(Part):
    pass


class Door(Part):
    pass


def parts():
    return sorted(each.__name__ for each in Part.__subclasses__())


check(parts)
check(lambda door: parts(), Door())
check(lambda: (parts(), Part.made["Door"] is Door))


# A class that has an object of itself, which its own methods restore.


class Vector:
    __slots__ = ("x",)
    ORIGIN: "Vector"

    def __init__(self, x=0):
        object.__setattr__(self, "x", x)

    def __setattr__(self, *_):
        raise AttributeError("frozen")

    def __getstate__(self):
        return self.x

    def __setstate__(self, x):
        object.__setattr__(self, "x", x)


class Frame:
    corners = [Vector(3)]

    def __reduce__(self):
        return Frame.default, ()

    @classmethod
    def default(cls):
        return cls()


class Interned(float):
    known = {}

    def __new__(cls, name):
        made = cls.known[name] = super().__new__(cls, 1)
        made.name = name
        return made

    def __getnewargs__(self):
        return (self.name,)


class Weakly:
    known = weakref.WeakValueDictionary()

    def __new__(cls, name):
        made = cls.known.get(name)
        if made is None:
            made = cls.known[name] = super().__new__(cls)
            made.name = name
        return made

    def __reduce__(self):
        return Weakly, (self.name,)


class Event:
    listeners = {"all": []}

    def __init__(self):
        self.listeners["all"].append(self.fire)

    def __getstate__(self):
        return 0

    def __setstate__(self, state):
        pass

    def fire(self):
        return self


EVENT = Event()
check(lambda: Event.listeners["all"][0]() is EVENT)
METRE, FOOT = Interned("metre"), Weakly("foot")
check(lambda: (Interned.known["metre"] is METRE, METRE.name, list(Interned.known)))
check(lambda unit: (unit is FOOT, list(Weakly.known)), FOOT)


Vector.ORIGIN, Vector.frame, Frame.LAST = Vector(), Frame(), Frame()


def own_objects():
    names = [name for name in vars(Vector) if name[:1] != "_"]
    return Vector.ORIGIN.x, Frame.corners[0].x, type(Vector.frame) is Frame, names


check(own_objects)
check(lambda vector: (vector.x, type(vector) is Vector), Vector(4))


# Objects whose restoring needs names of the script.


class Locked:
    def __init__(self):
        self.lock = threading.Lock()

    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        self.lock, self.level = threading.Lock(), level(SETTING)


def level(number):
    return number + SETTING


SETTING = 5
LOCKED = Locked()


def restored():
    return LOCKED.lock.locked(), getattr(LOCKED, "level", 10)


check(restored)
