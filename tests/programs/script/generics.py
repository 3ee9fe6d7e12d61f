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
