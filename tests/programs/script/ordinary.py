"""What users write without a thought."""

import contextvars, ctypes, functools, re, threading

level = contextvars.ContextVar("level", default=0)
unset = contextvars.ContextVar("unset")
level.set(5)


def f_level():
    return level.get(), unset.get("none")


check(f_level)
f_level()


class AttributeDict(dict):
    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__


class Strict:
    def __getattr__(self, name):
        raise RuntimeError(f"there is no {name}")

    def __reduce__(self):
        return Strict, ()


class Anything:
    def __getattr__(self, name):
        if name[:2] == "__":
            raise KeyError(name)
        return name


options, strict, anything = AttributeDict(a=1), Strict(), Anything()
options.inner = AttributeDict(b=2)


def f_options():
    return options.a, options.inner.b, anything.some, type(strict).__name__


check(f_options)
check(lambda passed: passed.inner.b, options)
options.a = 7
check(f_options)


class Named(type):
    def __getattr__(cls, name):
        return f"any {name}"


class Answers(metaclass=Named):
    def own(self):
        return Answers.other


check(lambda: (Answers().own(), Answers.more))

# Names that mean something else than they did.


def first(n):
    return 1 if n == 0 else n * first(n - 1)


class Base:
    def who(self):
        return "base"


class Derived(Base):
    def who(self):
        return super().who() + " derived"


alias, several, table = first, [first], {"f": first, "c": Base}


def f_alias():
    return alias(2), several[0](3), table["f"](1), table["c"]().who()


def f_derived():
    return Derived().who(), Derived.__mro__[1] is Base, table["c"] is Base


check(alias, 5)
check(f_alias)
check(f_derived)


def first(n):
    return 10


class Base:
    def who(self):
        return "another base"


for function in (f_alias, f_derived):
    check(function)
check(alias, 5)
check(first, 5)
with ProcessPoolExecutor(1, mp_context=METHOD) as other:
    print(other.submit(f_alias).result() == f_alias())

# Attributes that are deleted, and objects that change their class.


class Kind:
    extra = 1

    def go(self):
        return "go"


class Other(Kind):
    def go(self):
        return "other"


one = Kind()


def f_kind():
    return one.go(), hasattr(Kind, "extra"), type(one).__name__


check(f_kind)
Kind.go = lambda self: "patched"
check(f_kind)
del Kind.extra
check(f_kind)
one.__class__ = Other
check(f_kind)
del Other.go
check(f_kind)


class Form:
    zip = "1"
    name: str = "2"
    age = 3

    def show(self):
        pass

    code = property(show)


def f_order():
    return [name for name in vars(Form) if name[:1] != "_"]


check(f_order)

# What no pickler knows.

longest_first = functools.cmp_to_key(lambda a, b: len(b) - len(a))
matched = re.compile(r"(\w)(\d+)").match("a12 b3")
found = list(re.finditer(r"\d", "1 2 3"))[1]
searched = re.search("b", "ab")


def f_unknown():
    texts = sorted(["a", "ccc", "bb"], key=longest_first)
    return texts, matched.groups(), matched.span(2), found.span(), searched.start()


check(f_unknown)
library = ctypes.CDLL(None)
library.labs.argtypes, library.labs.restype = [ctypes.c_long], ctypes.c_long


def f_library():
    return library.labs(-(2**40)), library.abs(-3), library.labs.restype.__name__


check(f_library)
