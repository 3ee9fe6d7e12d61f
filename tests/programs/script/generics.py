import sys, typing

NEWER = """
from dataclasses import dataclass

class Stack[T]:
    def __init__(self):
        self.items: list[T] = []
    def push(self, item: T) -> T:
        self.items.append(item)
        return item
    @classmethod
    def of[S](cls, *items: S) -> "Stack[S]":
        made = cls()
        made.items += items
        return made

class Sorted[K: Stack](Stack[K]):
    def push(self, item):
        return super().push(item), sorted(self.items)

class Node[N: Node]:
    pass

class Numbers[X: (int, float), *Ts, **P]:
    pass

class Late[Y: Missing]:
    pass

@dataclass(slots=True)
class Entry[A, B]:
    key: A
    value: B

def first[F: Stack](items: list[F]) -> F:
    return items[0]

type Tree[L] = L | list[Tree[L]]
type Row[R] = list[R]
"""
if sys.version_info >= (3, 12):
    exec(NEWER)
    check(lambda: Stack.of(1, 2).items)
    check(lambda: Sorted.of(3, 2).push(1))
    check(lambda stack: stack.push(4), Sorted.of(5))
    check(lambda: Sorted.__type_params__[0].__bound__ is Stack)
    check(lambda: Node.__type_params__[0].__bound__ is Node)
    check(lambda: Stack.__parameters__ == Stack.__type_params__)
    check(lambda: [type(each).__name__ for each in Numbers.__type_params__])
    check(lambda: Numbers.__type_params__[0].__constraints__)
    check(lambda: Late.__name__)
    check(lambda: Entry(1, "a"))
    check(lambda entry: entry == Entry(1, 2), Entry(1, 2))
    check(first, [1])
    check(lambda: first.__type_params__[0].__bound__ is Stack)
    check(lambda: typing.get_type_hints(first)["return"].__name__)
    check(lambda: (Tree[int].__args__, Tree.__value__.__args__[0].__name__))
    check(lambda: (Row.__value__.__origin__, Row[int]))
if sys.version_info >= (3, 13):
    exec("class Given[T, U = int]: pass")
    check(lambda: [each.has_default() for each in Given.__type_params__])
    check(lambda: Given.__type_params__[1].__default__)


# What comes back of these is what the script has.
from typing import Callable, Generic, NewType, ParamSpec, TypeVar, TypeVarTuple, Union

T, S = TypeVar("T"), TypeVar("S", bound=int)
P, Ts = ParamSpec("P"), TypeVarTuple("Ts")
Identity = NewType("Identity", int)


class Box(Generic[T]):
    pass


def typed():
    return T, S, P, Ts, Identity, Box[T], Box[int], Union[T, int], Callable[P, T]


def is_same(one, other):
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return one is other or one == other


def come_back(fn):
    there = ex.submit(fn).result()
    passed = ex.submit(lambda value: (value, is_same(value, fn())), fn()).result()
    check(lambda: True, want=repr(is_same(there, fn()) and passed[1]))
    check(lambda: True, want=repr(is_same(passed[0], fn())))


come_back(typed)
RESULTS = """
def several[T: int, *Ts, **P](x: T) -> T: return x
@processed
def decorated[D](x: D) -> D: return x
class Outer[U]:
    def method[V](self, x: V) -> V: return x
    @classmethod
    def made[W](cls, x: W) -> W: return x
    class Inner[T]: pass
    def own(self): return U
type Alias = int | list[Alias]
type Items[I] = list[I]
def parameters():
    inner = Outer.Inner.__type_params__, decorated.__wrapped__.__type_params__
    methods = Outer.method.__type_params__, Outer.made.__type_params__
    return several.__type_params__, Outer.__type_params__, *inner, *methods
def aliases(): return Alias, Items, Items[int], list[Alias], Items.__type_params__
def through(): return Outer().own(), Outer[int]
def local():
    def inner[Q](x: Q): return Q
    return inner(1).__name__
"""
if sys.version_info >= (3, 12):
    exec(RESULTS)
    for fn in (parameters, aliases, through, local):
        come_back(fn)
