"""What importing costs, what is public, and which way imports point."""

import ast
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
    code = "import sys\nimport parallelize.process.server, parallelize.process.worker\nprint(*{'typing', 'ast', 'dataclasses', 'logging'} & set(sys.modules))"
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


# ----------------------------------------------------------------------- direction

# The rooms, from top to bottom: a file imports from rooms in lines below, or from
# its own room. Rooms in one line do not know each other.
LAYERS = [
    ["__main__"],
    ["insight.doctor", "insight.dump", "insight.trace"],
    ["insight.chrome", "insight.page"],
    ["insight.report"],
    ["insight.advice"],
    ["insight.units"],
    ["decorators", "helpers", "joblib", "testing"],
    ["streams.function"],
    ["function"],
    ["settings", "mapping", "streams.stream"],
    ["choice"],
    ["pools"],
    ["kinds"],
    ["executors"],
    ["interpreters"],
    ["threads", "joining"],
    ["process.pool"],
    ["process.dispatcher"],
    ["process.deadlines"],
    ["process.traced"],
    ["process.coroutines"],
    ["process.bundles"],
    ["process.early", "process.row_tasks", "process.starting", "process.stream_tasks"],
    ["process.tasks", "process.workers"],
    ["process.held"],
    ["process.queue"],
    ["insight.logs"],
    ["process.launch", "process.lending"],
    ["process.windows"],
    ["process.server"],
    ["process.worker"],
    ["process.worker_loop"],
    ["process.kinship", "process.folder"],
    ["process.rows", "process.exchange", "process.outlet", "process.records"],
    ["process.sender", "process.reports"],
    ["sharing"],
    ["process.inheritance", "process.messages"],
    ["process.views"],
    ["process.segments"],
    ["process.culprit"],
    ["process.command", "process.page", "process.pickling", "process.transport"],
    ["process.main_back", "process.main_encoding"],
    ["process.main_picture"],
    ["process.main_watch"],
    ["process.main_pickler"],
    ["process.main_patches", "process.main_parameters"],
    ["process.main_registered"],
    [
        "process.interpreter_state",
        "process.main_executors",
        "process.main_imported",
        "process.main_looks",
        "process.main_reducers",
        "process.main_units",
    ],
    ["process.main_sums", "process.main_texts"],
    ["process.settings"],
    [
        "process.bootstrap",
        "process.last_words",
        "process.limits",
        "process.memory",
        "process.patience",
        "process.signals",
        "process.stacks",
    ],
    ["process.main_module"],
    ["process.by_value"],
    ["process.origins"],
    ["process.finders", "process.reductions"],
    ["process.native"],
    ["gathering", "groups"],
    ["members"],
    ["insight.timed"],
    ["insight.recording"],
    ["insight.names"],
    ["insight", "proxies"],
    ["streams.local", "streams.inline"],
    ["streams.channel", "streams.pump", "streams"],
    ["ahead"],
    ["calls", "callables", "cpus", "references", "_died"],
    ["dependencies", "ended", "coroutines", "awaiting", "services"],
    ["circles"],
    ["futures"],
    ["unread"],
    ["options"],
    ["loops"],
    ["errors", "gaps", "lifecycle", "waiting"],
    ["agenda", "clock", "locks"],
    ["ranked"],
    ["raised"],
]

#: Imports against the direction, at the moment of use, and why.
EXCEPTIONS = {
    ("futures", "proxies"),  # Future.proxy makes one
    ("futures", "awaiting"),  # whoever awaits one has asyncio
    ("errors", "_died"),  # loads multiprocessing, and only when it is named
    ("executors.base", "mapping"),  # Executor.map is the one map
    ("threads.attempts", "executors.deadlines"),  # where each attempt has its time
    ("threads.tasks", "executors.deadlines"),  # where a call has a timeout
    ("threads.rows", "executors.deadlines"),  # where rows run for long
    ("joining", "executors.deadlines"),  # where a wait for some has a timeout
    ("process.reports", "process.records"),  # when the worker has loaded logging
    ("process.windows", "process.launch"),  # its data, for one system alone
}

#: What a worker may know besides its end of the wire.
LEAVES = {
    "clock",
    "coroutines",
    "errors",
    "futures",
    "options",
    "dependencies",
    "gaps",
    "lifecycle",
    "locks",
    "loops",
    "raised",
    "sharing",
    "waiting",
    "streams.pump",
}
WIRE = {
    "bootstrap",
    "by_value",
    "finders",
    "reductions",
    "origins",
    "command",
    "culprit",
    "exchange",
    "folder",
    "inheritance",
    "kinship",
    "last_words",
    "limits",
    "interpreter_state",
    "main_module",
    "memory",
    "messages",
    "native",
    "outlet",
    "page",
    "patience",
    "pickling",
    "records",
    "reports",
    "rows",
    "segments",
    "views",
    "sender",
    "signals",
    "stacks",
    "transport",
    "worker",
    "worker_loop",
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        yield name.removesuffix(".__init__"), path


def imports(path, *, everywhere=True):
    """The modules that a file imports, but for type checkers."""
    found = set()

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            if not isinstance(node.test, ast.UnaryOp):
                return
        if isinstance(node, ast.ImportFrom):
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        for child in ast.iter_child_nodes(node):
            if everywhere or not isinstance(
                child, (ast.FunctionDef, ast.AsyncFunctionDef)
            ):
                visit(child)

    visit(ast.parse(path.read_text()))
    return found


def own_imports(path):
    """The modules of the package that a file imports, wherever in the file."""
    names = dict(modules())
    for imported in imports(path):
        parts = imported.split(".")
        if parts[0] == "parallelize":
            name = ".".join(parts[1:])
            found = name if name in names else ".".join(parts[1:-1])
            if found not in ("", "process"):
                yield found


def layer(name):
    for number, rooms in enumerate(LAYERS):
        for room in rooms:
            if name == room or name.startswith(room + "."):
                return number, room
    return None


@pytest.mark.parametrize(
    "name", [name for name, _ in modules() if name not in ("__init__", "process")]
)
def test_imports_point_one_way(name):
    place = layer(name)
    assert place is not None, f"{name} has no room yet: add it to LAYERS"
    for imported in own_imports(dict(modules())[name]):
        if (name, imported) not in EXCEPTIONS:
            number, room = layer(imported)
            assert number > place[0] or room == place[1], f"{name} imports {imported}"


@pytest.mark.parametrize("name", ["process.worker", "process.server"])
def test_the_workers_end_of_the_wire_is_light(name):
    allowed = LEAVES | {f"process.{room}" for room in WIRE}
    assert set(own_imports(dict(modules())[name])) <= allowed


@pytest.mark.parametrize("package", ["dask", "distributed", "ray"])
def test_optional_backends_are_imported_in_their_own_file(package):
    own = {"distributed": "dask"}.get(package, package)
    for name, path in modules():
        if not name.startswith(f"executors.{own}"):
            assert not [i for i in imports(path) if i.split(".")[0] == package], name


def test_wrapt_is_imported_for_proxies_alone():
    for name, path in modules():
        assert name == "proxies" or not [
            i for i in imports(path) if i.split(".")[0] == "wrapt"
        ], name


def test_nothing_heavy_is_imported_at_the_top():
    for name, path in modules():
        top = {i.split(".")[0] for i in imports(path, everywhere=False)}
        allowed = {
            "proxies": {"wrapt"},
            "awaiting": {"asyncio"},
            "executors.loop_attempts": {"asyncio"},
            "process.worker_loop": {"asyncio"},
        }.get(name, set())
        assert (
            not top
            & {"numpy", "wrapt", "cloudpickle", "tqdm", "asyncio", "pandas"} - allowed
        ), name
