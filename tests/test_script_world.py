"""What a script has at its top, a call in a process has, too.

Each program under programs/script compares what calls come to in a worker with what
they come to in the script itself, and prints where the two differ.
"""

import itertools
import pathlib
import subprocess
import sys
import textwrap

import pytest

PROGRAMS = pathlib.Path(__file__).parent / "programs" / "script"
METHODS = ("forkserver", "spawn", "fork")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is one method")


def run(folder, *command, text=None):
    """Run Python; return what it printed, which must be all it has to say."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        input=text,
        stdin=None if text else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=55,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


#: What each program prints besides.
EXPECTED = {
    "identities": ["True True True"],
    "named_values": ["0", "True"],
    "dynamic_names": [],
    "fresh_values": [],
    "classes": ["True", "E1 ok"],
    "everyday": ["True 9", "ErrA [1] m"],
    "slots": ["1 5", "4"],
    "generics": [],
    "own_pools": [],
    "of_modules": [],
    "patches": [],
    "changes": ["True True", "boom ok", "[100, 101, 102]", "201 [1, 101]", "100"]
    + ["[100, 7]"],
    "sums": ["[]"],
    "registered": ["True"],
    "deep": ["1000"],
    "ordinary": ["True"],
    "later": ["3", "True"],
    "settings": ["3", "0." + "142857" * 8 + "14"],
}


@pytest.mark.parametrize(("name", "method"), list(itertools.product(EXPECTED, METHODS)))
def test_a_call_finds_what_the_script_has(name, method, tmp_path):
    prelude = (PROGRAMS / "prelude.py").read_text().replace("METHOD", repr(method))
    first, rest = prelude.split("\n", 1)
    program = (PROGRAMS / f"{name}.py").read_text().replace("METHOD", repr(method))
    end = "print('differ:', differ)\nex.shutdown()\n"
    if name in ("settings", "registered"):  # they stand before the pool is made
        head, mark, tail = program.partition("check(")
        text = "\n".join([first, head, rest, mark + tail, end])
    else:
        text = f"{prelude}\n{program}\n{end}"
    (tmp_path / "script.py").write_text(text)
    lines = run(tmp_path, "script.py")
    if name == "named_values" and method == "fork":
        lines[0] = "0"  # a copy has the cache as it was
    assert lines == [*EXPECTED[name], "differ: 0"]


SMALL = """
import sys
from parallelize import ProcessPoolExecutor, processed

MISSING = object()

class Kind:
    value = 1

def helper(): return Kind.value

@processed
def call(a=MISSING):
    import __main__
    return a is MISSING, helper(), __name__, __main__.Kind is Kind

print(call().result(30), list(call.map([1])))
with ProcessPoolExecutor(1) as ex:
    print(ex.submit(lambda: Kind).result() is Kind, ex.submit(isinstance, Kind(), Kind).result())
"""
ALL = [
    "(True, 1, '__main__', True) [(False, 1, '__main__', True)]",
    "True True",
]

CONSOLE = """
import code
console = code.InteractiveConsole({"__name__": "__main__"})
console.runsource(open("script.py").read(), symbol="exec")
"""

WAYS = {
    "a file": ("script.py",),
    "a module": ("-m", "script"),
    "a text": ("-c", SMALL),
    "exec": ("-c", "exec(open('script.py').read())"),
    "standard input": ("-",),
    "a profiler": ("-m", "cProfile", "-o", "profile", "script.py"),
    "a tracer": ("-m", "trace", "--count", "-C", "counts", "script.py"),
    "a zip file": ("app.pyz",),
    "runpy": ("-c", "import runpy; runpy.run_path('script.py', run_name='__main__')"),
    "a console": ("-c", CONSOLE),
}


@pytest.mark.parametrize("way", WAYS)
def test_the_script_is_started_in_any_way(way, tmp_path):
    import zipapp

    (tmp_path / "script.py").write_text(SMALL)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(SMALL)
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    text = SMALL if way == "standard input" else None
    assert run(tmp_path, *WAYS[way], text=text) == ALL


def test_the_main_module_of_a_package_imports_its_siblings(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "sibling.py").write_text("value = 4\n")
    (package / "__main__.py").write_text(
        textwrap.dedent(
            """
            from . import sibling
            from parallelize import processed

            @processed
            def call():
                from . import sibling as again
                return again.value, sibling.value, __package__

            print(call().result(30))
            """
        )
    )
    assert run(tmp_path, "-m", "package") == ["(4, 4, 'package')"]


def test_names_of_a_doctest(tmp_path):
    (tmp_path / "documented.py").write_text(
        textwrap.dedent(
            '''
            """
            >>> from parallelize import ProcessPoolExecutor, processed
            >>> BASE = 10
            >>> class Point:
            ...     v = 2
            >>> @processed
            ... def call(x): return x + BASE + Point.v
            >>> call(1).result()
            13
            >>> BASE = 20
            >>> list(call.map([1, 2]))
            [23, 24]
            >>> with ProcessPoolExecutor(1) as ex:
            ...     ex.submit(lambda: Point).result() is Point
            True
            """
            '''
        )
    )
    assert run(tmp_path, "-m", "doctest", "documented.py") == []


CHILD = """
import multiprocessing, sys
from parallelize import ProcessPoolExecutor, processed

MISSING = object()
class Kind: pass

def square(x): return x * x, MISSING is MISSING, type(Kind()) is Kind

@processed
def decorated(x, a=MISSING): return x, a is MISSING, isinstance(Kind(), Kind)

def child(queue):
    out = [decorated(3).result(20), *decorated.map([1])]
    with ProcessPoolExecutor(1) as ex:
        out += [ex.submit(square, 2).result(20), ex.submit(lambda: Kind).result(20) is Kind]
        out.append(type(ex.submit(Kind).result(20)) is Kind)
    queue.put(out)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    queue = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    print(queue.get(timeout=40))
    process.join()
"""


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_multiprocessing_has_the_script_by_another_name(method, tmp_path):
    """There its functions are those of `__mp_main__`."""
    (tmp_path / "script.py").write_text(CHILD)
    assert run(tmp_path, "script.py", method) == [
        "[(3, True, True), (1, True, True), (4, True, True), True, True]"
    ]


LARGE = """
import sys
from parallelize import ProcessPoolExecutor
from parallelize.serialize.main import picture as main_picture

table = list(range(300_000))
other = dict.fromkeys(range(300_000))
def small(): return 1
def large(): return table[-1]
def all_names(): return len(globals()["other"])

sent = []
lacks = main_picture.Knowledge.lacks
def counting(self, needs):
    units = lacks(self, needs)
    sent.extend(n for u in units for n in u[1] if n in ("table", "other"))
    return units
main_picture.Knowledge.lacks = counting

with ProcessPoolExecutor(1) as ex:
    for fn in (small, large, small, large, all_names, all_names):
        ex.submit(fn).result()
    table[-1] = 7
    print(ex.submit(large).result())
    print(list(ex.map(lambda _: table[-1], range(3))))
print(sent)
"""


def test_a_large_value_goes_where_it_is_used_and_once(tmp_path):
    (tmp_path / "script.py").write_text(LARGE)
    assert run(tmp_path, "script.py") == [
        "7",
        "[7, 7, 7]",
        "['table', 'other', 'table']",
    ]


HANDLES = """
from parallelize import ProcessPoolExecutor, share
class Item:
    def __init__(self, n): self.n = n

numbers = share([1, 2, 3])
items = share([Item(1), Item(2)])
ready = None
def initialize(handle):
    global ready
    ready = handle.get(), numbers.get()
def read(handle): return handle is numbers, numbers.get(), items.get()[1].n
def kinds(): return type(items.get()[0]) is Item, ready

with ProcessPoolExecutor(1, initializer=initialize, initargs=(numbers,)) as ex:
    print(ex.submit(read, numbers).result(), ex.submit(kinds).result())
"""


def test_handles_of_shared_memory_among_the_globals(tmp_path):
    (tmp_path / "script.py").write_text(HANDLES)
    assert run(tmp_path, "script.py") == [
        "(True, [1, 2, 3], 2) (True, ([1, 2, 3], [1, 2, 3]))"
    ]


LAMBDAS = """
import resource, sys
from parallelize import ProcessPoolExecutor

def make(n):
    data = bytes([n % 256]) * (1 << 20)
    return lambda: len(data)

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

with ProcessPoolExecutor(1) as ex:
    before = resident(), ex.submit(resident).result()
    assert all(ex.submit(make(n)).result() == 1 << 20 for n in range(150))
    after = resident(), ex.submit(resident).result()
print([new - old < 100 for new, old in zip(after, before)])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it reads /proc")
def test_functions_by_value_are_kept_up_to_a_number_of_bytes(tmp_path):
    (tmp_path / "script.py").write_text(LAMBDAS)
    assert run(tmp_path, "script.py") == ["[True, True]"]


PATCHING = """
import math
from parallelize import processed

@processed
def call():
    return math.pi, math.tau

math.pi = 3
print(call().result(30))

math.tau = 6
print(call().result(30))
"""
NOTEBOOK = f"""
cells = {PATCHING.strip().split(chr(10) * 2)!r}
In, get_ipython = [""], None
for cell in cells:
    In.append(cell)
    exec(cell)
"""

PATCHING_WAYS = {
    "a file": ("script.py",),
    "a module": ("-m", "script"),
    "a text": ("-c", PATCHING),
    "a zip file": ("app.pyz",),
    "cells of a notebook": ("-c", NOTEBOOK),
}


@pytest.mark.parametrize("way", PATCHING_WAYS)
def test_the_text_of_a_script_tells_what_it_changes_in_modules(way, tmp_path):
    import zipapp

    (tmp_path / "script.py").write_text(PATCHING)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text(PATCHING)
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    there = run(tmp_path, *PATCHING_WAYS[way])
    assert there == ["(3, 6.283185307179586)", "(3, 6)"]
