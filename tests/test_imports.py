"""What importing costs, what is public, and which way imports point."""

import ast
import functools
import json
import os
import pathlib
import subprocess
import sys

import pytest

import parallelize

PACKAGE = pathlib.Path(parallelize.__file__).parent

# ------------------------------------------------------------------------ weight

HEAVY = [
    "multiprocessing",
    "asyncio",
    "numpy",
    "wrapt",
    "cloudpickle",
    "tqdm",
    "typing_extensions",
    "inspect",
    "logging",
    "concurrent.futures",
    "pickle",
    "subprocess",
]

DECORATE = """
import json, sys
before = set(sys.modules)
import parallelize
from parallelize import ParallelFunction, parallelized, processed, threaded, use

@threaded
def one(x: int) -> int:
    return x

@processed(timeout=3, retries=2, limit=4, max_workers=2)
async def two(x: int) -> int:
    return x

class C:
    @parallelized("processes")
    def three(self):
        pass

C().three
print(json.dumps(sorted(set(sys.modules) - before)))
"""


def run(code, *options):
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(PACKAGE.parent), *sys.path[1:]])
    }
    done = subprocess.run(
        [sys.executable, *options, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_and_decorating_loads_nothing_heavy():
    loaded = json.loads(run(DECORATE))
    assert not [name for name in loaded if name.split(".")[0] in HEAVY or name in HEAVY]
    assert not [
        name
        for name in loaded
        if name.startswith(
            ("parallelize.executors", "parallelize.process", "parallelize.mapping")
        )
    ]


def test_importing_alone_loads_no_other_module():
    loaded = json.loads(
        run(
            "import json, sys; before = set(sys.modules); import parallelize; dir(parallelize); print(json.dumps(sorted(set(sys.modules) - before)))"
        )
    )
    assert loaded == ["__future__", "parallelize"]


def test_a_threaded_call_loads_nothing_of_processes():
    code = "import sys\nfrom parallelize import threaded\nassert threaded(lambda: 3)().result() == 3\nprint(*[m for m in sys.modules if m.startswith(('multiprocessing', 'asyncio', 'wrapt', 'cloudpickle', 'tqdm', 'parallelize.process'))])"
    assert run(code).split() == []


def test_a_worker_loads_no_types():
    """It would take about as long as all else that a worker needs."""
    code = "import sys\nimport parallelize.process.start.server, parallelize.process.worker.main\nprint(*{'typing', 'ast', 'dataclasses', 'logging'} & set(sys.modules))"
    assert run(code).split() == []


LATER_CALL = """
import asyncio, sys
from parallelize import processed, threaded

@{kind}
def one(x):
    return x

@{kind}
def two(x):
    return [one, x][1]

async def main():
    await (await asyncio.to_thread(one, 1))
    before = set(sys.modules)
    assert await two(2) == 2
    print(*sorted(set(sys.modules) - before))

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["threaded", "processed"])
def test_after_a_call_in_a_thread_a_coroutine_imports_nothing(kind):
    """What imports in a loop's thread holds up the loop."""
    assert run(LATER_CALL.format(kind=kind)).split() == []


FIRST_CALL = """
import asyncio, sys
from parallelize import ProcessPoolExecutor, ThreadPoolExecutor, {kind}

@{kind}
def call(x):
    return x

@{kind}
async def coroutine(x):
    return x

@{kind}
def stream(x):
    yield x

async def main():
    before = set(sys.modules)
    {do}
    print(*sorted(set(sys.modules) - before))

asyncio.run(main())
"""


@pytest.mark.parametrize(
    "do",
    [
        "assert await call(2) == 2",
        "assert await coroutine(2) == 2",
        "assert [x async for x in call.map([1, 2])] == [1, 2]",
        "assert [x async for x in stream(2)] == [2]",
    ],
)
@pytest.mark.parametrize("kind", ["threaded", "processed"])
def test_the_first_call_of_a_coroutine_imports_nothing(kind, do):
    """A program that has asyncio when it decorates has all else loaded there, too."""
    assert run(FIRST_CALL.format(kind=kind, do=do)).split() == []


@pytest.mark.parametrize("kind", ["Thread", "Process"])
def test_nor_does_the_first_call_of_a_pool(kind):
    make = f"{kind}PoolExecutor(1)"
    code = f"""
import asyncio, sys, parallelize
pool = parallelize.{make}
async def main():
    before = set(sys.modules)
    assert await asyncio.get_running_loop().run_in_executor(pool, abs, -2) == 2
    print(*sorted(set(sys.modules) - before))
with pool:
    asyncio.run(main())
"""
    assert run(code).split() == []


@pytest.mark.parametrize("kind", ["threaded", "processed"])
def test_a_call_loads_no_types(kind):
    """`typing` takes as long as twenty of the modules that a call needs."""
    code = f"import sys\nfrom parallelize import {kind}\nassert {kind}(abs)(-3).result() == 3\nprint(*{{'typing', 'pickle', 'socket', 'signal'}} & set(sys.modules))"
    assert run(code).split() == []


@pytest.mark.parametrize("begin", ["enable", "disable"])
def test_the_first_call_leaves_the_garbage_collector_as_it_was(begin):
    """It rests while modules are loaded."""
    code = f"""
import gc
gc.{begin}()
before = gc.isenabled()
from parallelize import processed
there = processed(gc.isenabled)().result()
assert (gc.isenabled(), there) == (before, before)
"""
    assert run(code).split() == []


def test_workers_that_start_later_find_common_modules_loaded():
    code = """
import time
from parallelize import ProcessPoolExecutor
look = "'typing' in __import__('sys').modules"
with ProcessPoolExecutor(1, max_tasks_per_child=1) as pool:
    pool.submit(eval, look).result()  # a worker that starts at once has it not
    until = time.monotonic() + 20
    while not pool.submit(eval, look).result():
        assert time.monotonic() < until
        pool.submit(time.sleep, 0.1).result()  # the server has nothing to do
"""
    assert run(code).split() == []


def test_a_worker_loads_nothing_ahead():
    """It is to be ready soon, and has no pool of processes."""
    code = """
from parallelize import processed
def look():
    import asyncio, sys
    from parallelize import processed
    processed(abs)
    return sorted(name for name in sys.modules if name.startswith("parallelize.exec"))
print(*processed(look)().result())
"""
    assert run(code).split() == []


# -------------------------------------------------------------------- public names


def test_every_public_name_is_there():
    for name in parallelize.__all__:
        assert getattr(parallelize, name) is not None
        assert name in dir(parallelize)
    assert list(parallelize.__all__) == sorted(
        parallelize.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n)
    )


def test_what_type_checkers_see_is_what_there_is():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.asname or alias.name: node.module
        for node in block.body
        for alias in node.names
    }
    assert set(seen) == set(parallelize.__all__)
    for name, module in seen.items():
        assert name in parallelize._HOMES[module]
    assert sum(map(len, parallelize._HOMES.values())) == len(parallelize.__all__)


def test_public_things_say_where_they_are_from():
    for name in parallelize.__all__:
        thing = getattr(parallelize, name)
        module = getattr(thing, "__module__", None)
        if module is not None and not isinstance(thing, str):
            assert getattr(sys.modules[module], thing.__name__) is thing
        assert isinstance(thing, str) or thing.__doc__


def test_an_unknown_name():
    with pytest.raises(
        AttributeError, match="module 'parallelize' has no attribute 'nothing'"
    ):
        parallelize.nothing  # noqa: B018
    with pytest.raises(ImportError):
        from parallelize import nothing  # noqa: F401


def test_everything_of_concurrent_futures_is_here():
    import concurrent.futures

    for name in concurrent.futures.__all__:
        assert hasattr(parallelize, name), name
    for same in (
        "BrokenExecutor",
        "CancelledError",
        "TimeoutError",
        "FIRST_COMPLETED",
    ):
        assert getattr(parallelize, same) is getattr(concurrent.futures, same)


@pytest.mark.parametrize(
    ("extra", "package"),
    [("opentelemetry", "opentelemetry"), ("prometheus", "prometheus_client")],
)
def test_a_module_without_its_package_says_what_to_install(extra, package):
    code = f"""
import sys
sys.modules[{package!r}] = None
try:
    import parallelize.{extra}
except ImportError as error:
    print(type(error).__name__, error)
"""
    text = f"parallelize.{extra} needs more: pip install 'parallelize[{extra}]'"
    assert run(code) == f"MissingExtraError {text}\n"


# ----------------------------------------------------------------------- direction

# The rooms, from top to bottom: a file imports from rooms in lines below, or from
# its own room. Rooms in one line do not know each other.
LAYERS = [
    ["__main__"],
    ["joblib", "opentelemetry", "prometheus", "testing"],
    ["api"],
    ["registry"],
    ["clusters", "insight"],
    ["executors"],
    ["interpreters"],
    ["process.parent"],
    ["process.parent.tasks"],
    ["process.start"],
    ["process.worker"],
    ["process.memory"],
    ["process.wire"],
    ["threads", "loops"],
    ["mapping"],
    ["streams"],
    ["tracing"],
    ["inside"],
    ["calls"],
    ["serialize"],
    ["serialize.main"],
    ["serialize.changes"],
    ["futures"],
    ["serialize.reducers"],
    ["errors"],
    ["pace"],
    ["runtime"],
]

MOST_FILES = 16
MOST_LINES = 350  # of a class
MOST_METHODS = 30
LARGEST_CIRCLE = 3

#: What a worker and the server of workers know, from the first to the last thing that
#: they load; what is loaded at use counts.
ROOMS_OF_WORKERS = {
    "process.worker",
    "process.memory",
    "process.wire",
    "streams",
    "inside",
    "calls",
    "futures",
    "pace",
    "serialize",
    "serialize.main",
    "serialize.changes",
    "serialize.reducers",
    "errors",
    "runtime",
}

#: ... and before they are ready: this is their start-up time.
ROOMS_AT_START = {
    "process.worker",
    "process.memory",
    "process.wire",
    "inside",
    "serialize",
    "serialize.reducers",
    "runtime",
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


#: Where an import stands: at the top, in a function, or for type checkers alone.
TOP, USE, TYPES = "top", "use", "types"


def imports_by_place(path):
    """What a file imports, and where: pairs of a place and a name."""
    found = set()

    def visit(node, place):
        if isinstance(node, ast.If) and is_for_types(node.test):
            for child in node.body:
                visit(child, TYPES)
            for child in node.orelse:
                visit(child, place)
            return
        if isinstance(node, ast.ImportFrom):
            found.update((place, f"{node.module}.{alias.name}") for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update((place, alias.name) for alias in node.names)
        inside = is_function(node)
        for child in ast.iter_child_nodes(node):
            visit(child, USE if inside and place == TOP else place)

    visit(ast.parse(path.read_text()), TOP)
    return found


def is_for_types(test):
    return "TYPE_CHECKING" in ast.dump(test) and not isinstance(test, ast.UnaryOp)


def imports(path, *, everywhere=True):
    """The modules that a file imports, but for type checkers."""
    places = (TOP, USE) if everywhere else (TOP,)
    return {name for place, name in imports_by_place(path) if place in places}


@functools.cache
def graph(*places):
    """The modules of the package, with those that each imports in these places."""
    names = dict(modules())
    found = {}
    for name, path in names.items():
        own = found[name] = set()
        for place, imported in imports_by_place(path):
            package, _, rest = imported.partition(".")
            if package == "parallelize" and place in places:
                own.add(rest if rest in names else rest.rpartition(".")[0])
        own -= {"", name}
    return found


def layer(name):
    """The number of a module's room, and the room: the innermost that has it."""
    found = [
        (len(room), number, room)
        for number, rooms in enumerate(LAYERS)
        for room in rooms
        if name == room or name.startswith(room + ".")
    ]
    return max(found)[1:] if found else None


def points_up(name, imported):
    (number, room), (other, its_room) = layer(name), layer(imported)
    return other <= number and its_room != room


def circles(*places):
    """Sets of modules of which each leads to each other."""
    edges = graph(*places)
    reached = {name: closure([name], edges) for name in edges}
    knots = {
        frozenset(other for other in reached[name] if name in reached.get(other, ()))
        for name in edges
    }
    return [knot for knot in knots if len(knot) > 1]


def closure(names, edges):
    """All that the imports of some modules lead to."""
    found, left = set(), list(names)
    while left:
        for imported in edges.get(left.pop(), ()):
            if imported not in found:
                found.add(imported)
                left.append(imported)
    return found


IN_ROOMS = [name for name, _ in modules() if name not in ("__init__", "process")]


@pytest.mark.parametrize("name", IN_ROOMS)
def test_imports_point_one_way(name):
    assert layer(name) is not None, f"{name} has no room: add it to LAYERS"
    imported = graph(TOP, USE, TYPES)[name]
    up = {other for other in imported if points_up(name, other)}
    assert not up, f"{name} imports {up}"


def test_circles_of_files_are_small_and_in_one_room():
    for knot in circles(TOP, USE, TYPES):
        assert len(knot) <= LARGEST_CIRCLE, sorted(knot)
        assert len({layer(name) for name in knot}) == 1, sorted(knot)


def test_no_class_is_too_large():
    large = []
    for name, path in modules():
        tree = ast.walk(ast.parse(path.read_text()))
        for made in (node for node in tree if isinstance(node, ast.ClassDef)):
            lines = made.end_lineno - made.lineno + 1
            methods = {each.name for each in made.body if is_function(each)}
            if lines > MOST_LINES or len(methods) > MOST_METHODS:
                large.append((name, made.name, lines, len(methods)))
    assert not large


def is_function(node):
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))


def test_no_folder_has_too_many_files():
    folders = {path.parent for _, path in modules()}
    for folder in folders:
        assert len(list(folder.glob("*.py"))) <= MOST_FILES, folder
    assert {path.stem for path in PACKAGE.glob("*.py")} == {
        "__init__",
        "__main__",
        "joblib",
        "opentelemetry",
        "prometheus",
        "testing",
    }


@pytest.mark.parametrize("name", ["process.worker.main", "process.start.server"])
def test_the_workers_end_of_the_wire_is_light(name):
    for places, rooms in (((TOP,), ROOMS_AT_START), ((TOP, USE), ROOMS_OF_WORKERS)):
        known = {layer(other)[1] for other in closure([name], graph(*places))}
        assert known <= rooms


@pytest.mark.parametrize("package", ["dask", "distributed", "ray"])
def test_optional_backends_are_imported_in_their_own_file(package):
    own = {"distributed": "dask"}.get(package, package)
    for name, path in modules():
        if not name.startswith(f"clusters.{own}"):
            assert not [i for i in imports(path) if i.split(".")[0] == package], name


def test_wrapt_is_imported_for_proxies_alone():
    for name, path in modules():
        assert name == "futures.proxy" or not [
            i for i in imports(path) if i.split(".")[0] == "wrapt"
        ], name


def test_nothing_heavy_is_imported_at_the_top():
    for name, path in modules():
        top = {i.split(".")[0] for i in imports(path, everywhere=False)}
        allowed = {
            "futures.proxy": {"wrapt"},
            "futures.aio": {"asyncio"},
            "clusters.dask_link": {"asyncio"},
            "clusters.dask_refs": {"asyncio"},
            "loops.attempts": {"asyncio"},
            "process.worker.loop": {"asyncio"},
        }.get(name, set())
        assert (
            not top
            & {"numpy", "wrapt", "cloudpickle", "tqdm", "asyncio", "pandas"} - allowed
        ), name
