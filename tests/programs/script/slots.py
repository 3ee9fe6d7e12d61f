import abc, enum, threading, typing
from dataclasses import KW_ONLY, InitVar, dataclass, field, fields, MISSING
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Pair:
    __slots__ = {"left": "the left one", "__hidden": "no one's"}

    def __init__(self, left=1):
        self.left = left
        self.__hidden = left + 1

    def hidden(self):
        return self.__hidden


class Triple(Pair):
    __slots__ = "right"


class Open(Pair):
    pass


class Coded(Exception):
    __slots__ = ("code",)

    def __init__(self, code):
        super().__init__(code)
        self.code = code


class Shape(abc.ABC):
    __slots__ = ("size", "__weakref__")

    @abc.abstractmethod
    def area(self): ...


class Square(Shape):
    __slots__ = ()

    def area(self):
        self.size = 3
        return self.size**2


class Box(Generic[T]):
    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value


class Odd:
    __slots__ = iter(["a", "b"])


class Row(NamedTuple, Generic[T]):
    key: T
    number: int = 1


@dataclass(slots=True)
class Point:
    x: int
    _: KW_ONLY
    y: InitVar[int] = 3
    z: list = field(default_factory=list)

    def __post_init__(self, y):
        self.x += y


def refused():
    try:
        Pair().other = 1
    except AttributeError:
        return "refused"


def right():
    made = Triple(5)
    made.right = 2
    return made.left, made.right, made.hidden()


def other():
    made = Open()
    made.other = 1
    return vars(made)


def odd():
    made = Odd()
    made.a = 1
    return made.a


for each in (refused, right, other, odd, lambda: Square().area()):
    check(each)
check(lambda: (Pair.left.__doc__, Box[int](3).value, Row(1), Row[int](2)))
check(lambda pair: (pair.hidden(), type(pair) is Pair), Pair())
check(lambda: Point(1, y=2))
check(lambda point: (point, point == Point(1)), Point(1))
check(lambda: [f.name for f in fields(Point) if f.default is MISSING])
back = ex.submit(lambda: Triple(1)).result()
print(back.left, ex.submit(lambda: Pair(5)).result().left)


def fails():
    raise Coded(4)


print(ex.submit(fails).exception().code)


# Enumerations have their aliases and whatever else the script gives them.


class Level(enum.Enum):
    LOW = 1
    HIGH = 2
    FIRST = 1


class Way(enum.Flag):
    NORTH = 1
    EAST = 2
    BOTH = NORTH | EAST


class Act(enum.Enum):
    run = enum.member(lambda: 3)
    limit = enum.nonmember(5)


check(lambda: (Level.FIRST, Level["FIRST"], list(Level.__members__)))
check(lambda: (Way.BOTH, Way.BOTH in Way, Way(3), list(Way)))
check(lambda: (Act.run.value(), Act.limit, list(Act.__members__)))


# Functions have a variable of the function around them in common.


def counter():
    count, lock = 0, threading.Lock()

    def add():
        nonlocal count
        with lock:
            count += 1

    return add, lambda: (count, lock.locked())


add, count = counter()


def both():
    add()
    return count()[0] - count()[0] + add.__closure__[0].cell_contents


def shared():
    before = count()[0]
    add()
    return count()[0] - before


check(shared)
check(lambda: add.__closure__[0] is count.__closure__[0])
