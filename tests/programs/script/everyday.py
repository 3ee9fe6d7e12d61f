import abc, enum, inspect, functools, contextlib, dataclasses, typing, operator, collections, logging, re, itertools, types, datetime, random, pathlib, decimal, fractions, json, io, string, textwrap, time, uuid
from collections import *
from typing import Annotated, Generic, TypeVar, Optional
import os.path as osp


class S:
    __slots__ = ("a", "__dict__", "__weakref__")

    def __init__(self):
        self.a = 1


check(lambda: S().a)


class Base:
    def __init_subclass__(cls, tag=None, **kw):
        super().__init_subclass__(**kw)
        cls.tag = tag

    def hi(self):
        return "base"

    @property
    def p(self):
        return self._p

    @p.setter
    def p(self, v):
        self._p = v

    @classmethod
    def make(cls):
        return cls()

    @staticmethod
    def st(x):
        return x * 2

    def __class_getitem__(cls, k):
        return (cls.__name__, k)


class Child(Base, tag="T"):
    def hi(self):
        return super().hi() + "child"

    __priv = 3

    def priv(self):
        return self.__priv

    class Inner:
        deep = 5

        class More:
            pass


def t1():
    c = Child.make()
    c.p = 4
    return (
        c.hi(),
        c.p,
        Child.st(2),
        Child["x"],
        Child.tag,
        c.priv(),
        Child.Inner.deep,
        type(Child.Inner.More()).__qualname__,
    )


check(t1)


class Desc:
    def __set_name__(self, o, n):
        self.n = "_" + n

    def __get__(self, i, o=None):
        return self if i is None else getattr(i, self.n, 0)

    def __set__(self, i, v):
        setattr(i, self.n, v)


class UsesDesc:
    d = Desc()
    e = Desc()


def t2():
    u = UsesDesc()
    u.d = 1
    u.e = 2
    return u.d, u.e, vars(u)


check(t2)


class MyDict(dict):
    def __missing__(self, k):
        return k * 2


class MyList(list):
    pass


class MyInt(int):
    def __add__(self, o):
        return MyInt(int(self) + o + 100)


class MyStr(str):
    pass


MD = MyDict(a=1)
ML = MyList([1, 2])
MI = MyInt(3)
check(lambda: (MD["zz"], MD["a"], ML, MI + 1, MyStr("x") + "y", isinstance(MI, MyInt)))
check(lambda d: (d["q"], type(d) is MyDict), MD)


class Perm(enum.Flag):
    R = enum.auto()
    W = enum.auto()


class Planet(enum.Enum):
    EARTH = (1, 2)

    def __init__(self, a, b):
        self.a = a
        self.b = b

    @property
    def s(self):
        return self.a + self.b


class IE(enum.IntEnum):
    A = 1


class SE(enum.StrEnum):
    X = enum.auto()


check(
    lambda: (
        Perm.R | Perm.W,
        Planet.EARTH.s,
        IE.A + 1,
        SE.X,
        Planet((1, 2)) is Planet.EARTH,
    )
)
check(lambda p: p is Perm.R, Perm.R)
check(lambda p: p == Perm.R | Perm.W, Perm.R | Perm.W)


@contextlib.contextmanager
def cm(x):
    yield x + 1


def t3():
    with cm(1) as v:
        return v


check(t3)


def timed(fn):
    @functools.wraps(fn)
    def inner(*a, **k):
        calls.append(fn.__name__)
        return fn(*a, **k)

    return inner


calls = []


@timed
def work(x):
    return x + 1


check(work, 2)
check(lambda: (work(1), work.__wrapped__(2)))


class CountCalls:
    def __init__(self, fn):
        functools.update_wrapper(self, fn)
        self.fn = fn
        self.n = 0

    def __call__(self, *a):
        self.n += 1
        return self.fn(*a), self.n

    def __get__(self, i, o):
        return functools.partial(self, i)


@CountCalls
def counted(x):
    return x


check(counted, 5, want="(5, 1)")


def nowraps(fn):
    def inner(*a):
        return ("w", fn(*a))

    return inner


@nowraps
def plain(x):
    return x


check(plain, 1)
check(lambda: plain(3))


def counter():
    n = 0

    def inc():
        nonlocal n
        n += 1
        return n

    return inc


inc = counter()
check(inc, want="1")


@functools.total_ordering
class Ord:
    def __init__(self, v):
        self.v = v

    def __eq__(self, o):
        return self.v == o.v

    def __lt__(self, o):
        return self.v < o.v

    __hash__ = None


check(lambda: (Ord(1) <= Ord(2), Ord(3) > Ord(2)))
check(lambda o: o > Ord(1), Ord(2))
T = TypeVar("T")


@dataclasses.dataclass
class GD(Generic[T]):
    v: T
    w: Annotated[int, "m"] = 3
    f: list = dataclasses.field(default_factory=list)


check(
    lambda: (
        GD(1),
        GD[int](2).v,
        dataclasses.replace(GD(1), v=5),
        dataclasses.asdict(GD(2)),
        [x.name for x in dataclasses.fields(GD)],
    )
)
check(lambda g: g == GD(1), GD(1))


class P2(abc.ABC):
    @property
    @abc.abstractmethod
    def a(self): ...


class C2(P2):
    a = 3


check(lambda: (C2().a, isinstance(C2(), P2), P2.__abstractmethods__))


class Virtual:
    pass


P2.register(Virtual)
check(lambda: issubclass(Virtual, P2))


class PM:
    def m(self, a, b):
        return a, b

    pm = functools.partialmethod(m, 1)


check(lambda: PM().pm(2))
check(PM().m, 1, 2)
get = operator.itemgetter(1)
attr = operator.attrgetter("real")
mc = operator.methodcaller("upper")
check(lambda: (get([1, 2]), attr(3), mc("x")))
check(get, [4, 5])
pat = re.compile(r"(\d+)")
now = datetime.datetime(2020, 1, 1)
frac = fractions.Fraction(1, 3)
root = pathlib.Path("/tmp")
rng = random.Random(3)
check(lambda: (pat.match("12a").group(1), now.year, frac, root / "x", rng.random()))
check(
    lambda: (
        osp.join("a", "b"),
        Counter("aab").most_common(1),
        deque([1]),
        textwrap.dedent(" a"),
        string.digits,
    )
)
log = logging.getLogger("mine")
check(lambda: (log.name, log is logging.getLogger("mine")))
ns = types.SimpleNamespace(a=1, b=[1])
proxy = types.MappingProxyType({"k": 1})
ud = UserDict(a=1)
cmn = ChainMap({"a": 1}, {"b": 2})
check(lambda: (ns, proxy["k"], ud["a"], cmn["b"]))
buf = io.BytesIO(b"abc")
sbuf = io.StringIO("x")
check(lambda: (buf.getvalue(), sbuf.getvalue()))
cyc = []
cyc.append(cyc)
d1 = {}
d1["self"] = d1
check(lambda: (cyc[0] is cyc, d1["self"] is d1))


class Tree:
    def __init__(self):
        self.kids = []
        self.parent = None


root_t = Tree()
kid = Tree()
kid.parent = root_t
root_t.kids.append(kid)
check(lambda: (root_t.kids[0] is kid, kid.parent is root_t))


class Reg(type):
    classes = {}

    def __init__(cls, n, b, d):
        super().__init__(n, b, d)
        Reg.classes[n] = cls

    def __call__(cls, *a):
        o = super().__call__(*a)
        o.made = True
        return o


class RA(metaclass=Reg):
    pass


class RB(RA):
    pass


check(lambda: (sorted(Reg.classes), Reg.classes["RB"] is RB, RB().made))


class SingletonMeta(type):
    _inst = {}

    def __call__(cls, *a, **k):
        if cls not in cls._inst:
            cls._inst[cls] = super().__call__(*a, **k)
        return cls._inst[cls]


class Config(metaclass=SingletonMeta):
    def __init__(self):
        self.v = 5


cfg = Config()
check(lambda: (Config() is cfg, Config().v, Config() is Config()))


class Sing:
    _i = None

    def __new__(cls):
        if cls._i is None:
            cls._i = super().__new__(cls)
            cls._i.x = 1
        return cls._i


s1 = Sing()
check(lambda: (Sing() is s1, Sing() is Sing()))


def fact(n):
    return 1 if n < 2 else n * fact(n - 1)


check(fact, 10)
gen_fn = lambda n: list(range(n))


def genf():
    yield from range(3)


check(lambda: list(genf()))


def kwonly(*, a=1, **kw):
    return a, kw


check(kwonly)
check(functools.partial(kwonly, a=3, b=2))


def outer_class():
    class Local:
        def __init__(self, v):
            self.v = v

        def __eq__(self, o):
            return self.v == o.v

    return Local


LocalC = outer_class()
check(lambda: LocalC(1) == LocalC(1))
loc = LocalC(3)
check(lambda: loc.v)
check(lambda o: o.v, loc)
r = ex.submit(lambda: LocalC(9)).result()
print(type(r) is LocalC, r.v)
Pt = collections.namedtuple("Pt", "x y", defaults=[0])


class Pt3(Pt):
    __slots__ = ()

    @property
    def n(self):
        return self.x + self.y


check(lambda: (Pt(1), Pt3(1, 2).n))
check(lambda p: p.n, Pt3(3, 4))


class ErrA(Exception):
    code = 1

    def __init__(self, msg, *, extra):
        super().__init__(msg)
        self.extra = extra

    def __reduce__(self):
        return (functools.partial(ErrA, extra=self.extra), self.args)


def rz():
    raise ErrA("m", extra=[1])


try:
    ex.submit(rz).result()
except ErrA as e:
    print("ErrA", e.extra, e)


check(lambda: inspect.getsource(S))
