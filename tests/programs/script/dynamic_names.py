import abc, collections, contextvars, ctypes, dataclasses, enum, functools, itertools
import logging, pickle, queue, sqlite3, struct, sys, threading, typing, weakref

UserId = typing.NewType("UserId", int)


@dataclasses.dataclass
class Node:
    name: str
    next: Node | None = None
    extra: typing.ClassVar[int] = 1


class TD(typing.TypedDict):
    a: UserId
    b: Node


def m3():
    return typing.get_type_hints(Node)["next"] == (Node | None), typing.get_type_hints(
        TD
    )["b"] is Node


check(m3)


def hints(x: Node, y: UserId) -> TD: ...


check(lambda: typing.get_type_hints(hints)["return"] is TD)


def byname(n):
    return globals()[n]


SECRET = {"k": 1}
check(byname, "SECRET")
check(lambda: eval("SECRET"))


def ex1():
    exec("q = SECRET", globals(), d := {})
    return d["q"]


check(ex1)
LATE = 7


def fm():
    from __main__ import LATE

    return LATE


check(fm)


def fm2():
    import __main__ as m

    return m.LATE, m.Node.__name__


check(fm2)


def fm3():
    return sys.modules["__main__"].LATE


check(fm3)


def fm4():
    return sys.modules[__name__].SECRET


check(fm4)
import pickle

blob = pickle.dumps(Node("a"))
check(pickle.loads, blob)
check(lambda b: pickle.loads(b).name, blob)
check(eval, "1+1")
