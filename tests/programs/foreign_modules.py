"""A script with modules that no other process can import; one scenario for each word."""

import doctest
import importlib.abc
import importlib.util
import os
import pathlib
import runpy
import sys
import textwrap
import types
import zipfile

from parallelize import (
    InterpreterPoolExecutor,
    ProcessPoolExecutor,
    processed,
    share,
    using,
)

METHOD, FOLDER = sys.argv[1], pathlib.Path(sys.argv[2])

SOURCE = """
from parallelize import processed

STATE = 3

class Thing:
    def __init__(self, value):
        self.value = value

    def double(self):
        return Thing(self.value * 2)

    def __eq__(self, other):
        return type(other) is Thing and other.value == self.value

    @classmethod
    def make(cls, value):
        return cls(value)

class Mishap(Exception):
    pass

def add(x):
    return x + STATE

def note(x):
    global STATE
    STATE = x

def fail(x):
    raise Mishap(x)

def count(x):
    yield from (Thing(each) for each in range(x))

async def later(x):
    return Thing(x)

def noted(fn):
    import functools
    @functools.wraps(fn)
    def inner(*args):
        return fn(*args)
    return inner

@processed
@noted
def decorated(x):
    return Thing(x + STATE)

@processed
def stream(x):
    yield from (Thing(each) for each in range(x))

@processed
async def coroutine(x):
    return Thing(x)

class Shop:
    @processed
    def sell(self, x):
        return Thing(x)
"""


def write(name, text=SOURCE):
    path = FOLDER / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    return path


def load(name, path, *, keep=True, **more):
    spec = importlib.util.spec_from_file_location(name, path, **more)
    module = importlib.util.module_from_spec(spec)
    if keep:
        sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def pool(*args, **kwargs):
    if METHOD == "interpreters":
        return InterpreterPoolExecutor(2, *args, **kwargs)
    return ProcessPoolExecutor(2, *args, mp_context=METHOD, **kwargs)


def nested(fn, value):
    """Runs in a worker: a call in a call."""
    return fn(value), [type(fn(value)).__name__]


def used(module, *, keeps_state=True):
    """Everything that a module of the source may be used for."""
    with pool() as executor:
        assert executor.submit(module.add, 1).result() == 4
        thing = module.Thing(4)
        assert executor.submit(module.Thing.double, thing).result() == module.Thing(8)
        assert executor.submit(thing.double).result() == module.Thing(8)
        assert executor.submit(module.Thing.make, 5).result() == module.Thing(5)
        assert executor.submit(module.Thing, 6).result() == module.Thing(6)
        try:
            executor.submit(module.fail, 7).result()
        except module.Mishap as error:
            assert error.args == (7,)
        else:
            raise AssertionError
        assert list(executor.map(module.add, range(5))) == [3, 4, 5, 6, 7]
        rows = [module.Thing(1), module.Thing(2)]
        doubled = [module.Thing(2), module.Thing(4)]
        assert list(executor.map(module.Thing.double, rows)) == doubled
        value, names = executor.submit(nested, module.Thing, 3).result()
        assert value == module.Thing(3)
        assert names == ["Thing"]
        assert executor.submit(lambda: module.Thing(3)).result() == module.Thing(3)
        assert executor.submit(lambda: module.add(1)).result() == 4
        if METHOD != "interpreters":
            assert executor.submit(shared_first, share(rows)).result() == rows[0]
        decorated = [module.decorated, module.coroutine, module.Shop().sell]
        with using(executor):
            for fn, wanted in zip(decorated, (6, 3, 3), strict=True):
                assert fn(3).result() == module.Thing(wanted)
            if METHOD != "interpreters":
                assert list(module.stream(2)) == [module.Thing(0), module.Thing(1)]
            assert list(module.decorated.map([1])) == [module.Thing(4)]
        inner = executor.submit(call_of, module.decorated, 3)
        assert inner.result() == module.Thing(6)
    if keeps_state:
        with pool(initializer=module.note, initargs=(10,)) as executor:
            assert executor.submit(module.add, 1).result() == 11


def shared_first(shared):
    return shared.get()[0]


def call_of(fn, x):
    return fn(x).result()


def plugin():
    used(load("plugin_of_mine", write("plugins/some_file.py")))


def plugin_below():
    """Its name has a package that is nowhere."""
    used(load("plugins.mine", write("elsewhere/mine.py")))


def plugin_without_suffix():
    from importlib.machinery import SourceFileLoader

    path = write("plugins/tool")
    loader = SourceFileLoader("tool_of_mine", str(path))
    used(load("tool_of_mine", path, loader=loader))


def unlisted():
    used(load("unlisted", write("plugins/unlisted.py"), keep=False), keeps_state=False)


def package():
    write("packages/kit/inside.py")
    write("packages/kit/__init__.py", "from kit_of_mine import inside, more")
    write("packages/kit/more.py", "from .inside import Thing")
    path = FOLDER / "packages/kit/__init__.py"
    folders = [str(path.parent)]
    kit = load("kit_of_mine", path, submodule_search_locations=folders)
    used(kit.inside)


def handmade():
    module = sys.modules["handmade"] = types.ModuleType("handmade")
    exec(SOURCE, module.__dict__)
    used(module)


def handmade_below():
    """A package that workers do have has a module that they do not."""
    import json

    module = sys.modules["json.handmade"] = types.ModuleType("json.handmade")
    json.handmade = module
    exec(SOURCE, module.__dict__)
    used(module, keeps_state=False)


def run_path():
    path = write("scripts/script.py")
    used(types.SimpleNamespace(**runpy.run_path(str(path))), keeps_state=False)
    named = runpy.run_path(str(path), run_name="script_of_mine")
    used(types.SimpleNamespace(**named), keeps_state=False)


def path_entry_gone():
    """As Celery does with the current folder."""
    write("apps/app_of_mine.py", "from app_helper import *\nimport app_helper")
    write("apps/app_helper.py")
    sys.path.insert(0, str(FOLDER / "apps"))
    import app_of_mine

    sys.path.pop(0)
    used(app_of_mine)
    used(sys.modules["app_helper"])


def path_entry_relative():
    """The finders know where it was when they were first asked."""
    write("apps/app_beside.py")
    os.chdir(FOLDER)
    sys.path.insert(0, "apps")
    import app_beside

    os.chdir("/")
    used(app_beside)


def path_entry_new():
    write("late/late_module.py")
    write("late/late_beside.py", "VALUE = 5")
    with pool() as executor:
        executor.submit(abs, -1).result()
        sys.path.insert(0, str(FOLDER / "late"))
        import late_module

        write(
            "late/late_user.py", "def use():\n import late_beside as b; return b.VALUE"
        )
        import late_user

        assert executor.submit(late_module.add, 1).result() == 4
        thing = late_module.Thing(2)
        assert executor.submit(thing.double).result() == late_module.Thing(4)
        assert executor.submit(late_user.use).result() == 5
    used(late_module)


def zipped():
    archive = FOLDER / "library.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("zipped_module.py", SOURCE)
        file.writestr("zipped_package/__init__.py", "from . import inside")
        file.writestr("zipped_package/inside.py", SOURCE)
    sys.path.insert(0, str(archive))
    import zipped_module
    import zipped_package.inside

    used(zipped_module)
    sys.path.pop(0)
    used(zipped_module)
    used(zipped_package.inside)


def custom_loader():
    class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
        def find_spec(self, name, path=None, target=None):
            if name.partition(".")[0] != "invented":
                return None
            return importlib.util.spec_from_loader(
                name, self, is_package="." not in name
            )

        def exec_module(self, module):
            exec(SOURCE, module.__dict__)

    sys.meta_path.append(Finder())
    import invented
    import invented.below

    used(invented)
    used(invented.below)


def namespace():
    write("one/spread/first.py")
    write("two/spread/second.py")
    sys.path.insert(0, str(FOLDER / "one"))
    import spread
    import spread.first

    spread.__path__ = [*spread.__path__, str(FOLDER / "two/spread")]
    import spread.second

    used(spread.first)
    used(spread.second)


def widened():
    """A regular package whose `__path__` was changed from outside."""
    write("one/wide/__init__.py", "")
    write("two/wide/second.py")
    sys.path.insert(0, str(FOLDER / "one"))
    import wide

    wide.__path__.append(str(FOLDER / "two/wide"))
    import wide.second

    used(wide.second)


def other_of_the_name():
    """The worker would find another module under the name."""
    write("path/twin.py", "def add(x):\n    return 'another'")
    write("apart/twin.py")
    sys.path.insert(0, str(FOLDER / "path"))
    used(load("twin", FOLDER / "apart/twin.py"))


def one_after_the_other():
    """Plug-ins that are all loaded under one name."""
    write("a/slot.py", "class Kind:\n    x = 1\ndef value():\n    return 1")
    write("b/slot.py", "class Kind:\n    x = 2\ndef value():\n    return 2")
    with pool() as executor:
        first = load("slot", FOLDER / "a/slot.py")
        assert executor.submit(first.value).result() == 1
        assert executor.submit(getattr, first.Kind(), "x").result() == 1
        second = load("slot", FOLDER / "b/slot.py")
        for _ in range(2):
            assert executor.submit(second.value).result() == 2
            assert executor.submit(first.value).result() == 1
            assert executor.submit(getattr, second.Kind(), "x").result() == 2
            assert type(executor.submit(second.Kind).result()) is second.Kind


def under_two_names():
    """A script that imports itself."""
    write("scripts/itself.py")
    sys.path.insert(0, str(FOLDER / "scripts"))
    module = load("another_name", FOLDER / "scripts/itself.py")
    import itself

    used(itself)
    used(module)


def in_a_doctest():
    example = """
    >>> from parallelize import processed
    >>> class Inner:
    ...     x = 2
    >>> def twice(x):
    ...     return 2 * x, Inner
    >>> processed(twice)(2).result() == (4, Inner)
    True
    >>> list(processed(twice).map([2])) == [(4, Inner)]
    True
    """
    write("tested/tested.py", f'"""{example}"""')
    sys.path.insert(0, str(FOLDER / "tested"))
    import tested

    assert doctest.testmod(tested).failed == 0
    module = load("tested_apart", FOLDER / "tested/tested.py")
    assert doctest.testmod(module).failed == 0
    text = write("tested/text.txt", example)
    assert doctest.testfile(str(text), module_relative=False).failed == 0


def gone():
    """The file is there no more when the first call is made."""
    path = write("plugins/short_lived.py")
    module = load("short_lived", path)
    path.unlink()
    used(module)


def from_a_worker():
    """What only the worker has loaded comes back."""
    path = write("plugins/of_worker.py")
    with pool() as executor:
        thing = executor.submit(made_there, str(path)).result()
        assert type(thing).__name__ == "Thing"
        assert thing.double().value == 10
        assert sys.modules["of_worker"].Thing is type(thing)
        thing = executor.submit(made_by_hand_there).result()
        assert thing.double().value == 10


def made_there(path):
    return load("of_worker", path).Thing(5)


def made_by_hand_there():
    module = sys.modules["of_hand"] = types.ModuleType("of_hand")
    exec(SOURCE, module.__dict__)
    return module.Thing(5)


def gone_later():
    """The file goes after the function was pickled once."""
    path = write("plugins/vanishing.py")
    module = load("vanishing", path)
    with pool() as executor:
        assert executor.submit(module.add, 1).result() == 4
    path.unlink()
    with pool() as executor:
        error = executor.submit(module.add, 1).exception()
    print(type(error).__name__, "'vanishing'" in str(error), str(path) in str(error))


def to_other_machines():
    """What engines of others are given has no need of the program's files."""
    import subprocess

    from parallelize.clusters.payloads import pack, pack_call
    from parallelize.runtime.options import DEFAULTS

    path = write("plugins/far.py")
    handmade = sys.modules["far_handmade"] = types.ModuleType("far_handmade")
    exec(SOURCE, handmade.__dict__)
    code = (
        "import pickle\n"
        "for line in open(0):\n"
        "    fn, args, *_ = pickle.loads(bytes.fromhex(line))\n"
        "    print(fn(*args).value)\n"
    )
    lines = []
    for module in (load("far_module", path), handmade):
        thing = module.Thing(2)
        call = pack_call(module.Thing.double, (thing,), {}, DEFAULTS)
        lines.append(call.payload.data.hex())
        lines.append(pack((call_of, (module.decorated, 1))).data.hex())
    path.unlink()
    env = {**os.environ, "PARALLELIZE_EXECUTOR": "serial"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        env=env,
    )
    assert done.stdout.split() == ["4", "4"] * 2, done.stderr


@processed
def unused(x):
    return x


if __name__ == "__main__":
    os.chdir(FOLDER)
    globals()[sys.argv[3]]()
    print("done")
