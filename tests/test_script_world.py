"""What a script has at its top, a call in a process has, too.

Each program under programs/script compares what calls come to in a worker with what
they come to in the script itself, and prints where the two differ.
"""

import itertools
import pathlib
import subprocess
import sys

import pytest

from support.programs import program

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
    "identities": ["True True True", "True"],
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
if sys.version_info[:2] == (3, 12):
    # Only there C calls have a limit that cannot be raised: pickle goes 750 deep.
    del EXPECTED["deep"]


@pytest.mark.parametrize(("name", "method"), list(itertools.product(EXPECTED, METHODS)))
def test_a_call_finds_what_the_script_has(name, method, tmp_path):
    prelude = program("script/prelude", METHOD=repr(method))
    first, rest = prelude.split("\n", 1)
    text = (PROGRAMS / f"{name}.py").read_text().replace("METHOD", repr(method))
    end = "print('differ:', differ)\nex.shutdown()\n"
    if name in ("settings", "registered"):  # they stand before the pool is made
        head, mark, tail = text.partition("check(")
        text = "\n".join([first, head, rest, mark + tail, end])
    else:
        text = f"{prelude}\n{text}\n{end}"
    (tmp_path / "script.py").write_text(text)
    lines = run(tmp_path, "script.py")
    if name == "named_values" and method == "fork":
        lines[0] = "0"  # a copy has the cache as it was
    assert lines == [*EXPECTED[name], "differ: 0"]


SMALL = program("script_world/small")
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
    (package / "__main__.py").write_text(program("script_world/package_main"))
    assert run(tmp_path, "-m", "package") == ["(4, 4, 'package')"]


def test_names_of_a_doctest(tmp_path):
    (tmp_path / "documented.py").write_text(program("script_world/documented"))
    assert run(tmp_path, "-m", "doctest", "documented.py") == []


def test_a_name_is_defined_again_as_a_decorated_function(tmp_path):
    """Its annotations were looked for at the name, which the worker had as None."""
    (tmp_path / "script.py").write_text(program("script_world/redefined"))
    assert run(tmp_path, "script.py") == ["[1]", "4"]


CHILD = program("script_world/child")


@pytest.mark.parametrize("method", METHODS)
def test_a_child_of_multiprocessing_has_the_script_by_another_name(method, tmp_path):
    """There its functions are those of `__mp_main__`."""
    (tmp_path / "script.py").write_text(CHILD)
    assert run(tmp_path, "script.py", method) == [
        "[(3, True, True), (1, True, True), (4, True, True), True, True]"
    ]


LARGE = program("script_world/large")


def test_a_large_value_goes_where_it_is_used_and_once(tmp_path):
    (tmp_path / "script.py").write_text(LARGE)
    assert run(tmp_path, "script.py") == [
        "7",
        "[7, 7, 7]",
        "['table', 'other', 'table']",
    ]


HANDLES = program("script_world/handles")


def test_handles_of_shared_memory_among_the_globals(tmp_path):
    (tmp_path / "script.py").write_text(HANDLES)
    assert run(tmp_path, "script.py") == [
        "(True, [1, 2, 3], 2) (True, ([1, 2, 3], [1, 2, 3]))"
    ]


LAMBDAS = program("script_world/lambdas")


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
