"""For the tests on the engines of others: what is left is looked for at their end."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from processes import descendants

from factories import Latch

pytest.register_assert_rewrite("behaviours")

TESTS = Path(__file__).parent.parent


def pytest_collection_modifyitems(items):
    for item in items:
        if Path(item.path).parent == TESTS / "engines":
            # What the engines warn of is not ours.
            item.add_marker(pytest.mark.filterwarnings("default"))
            item.add_marker(pytest.mark.timeout(120))


@pytest.fixture(autouse=True)
def nothing_is_left():
    """A test may leave what its engine keeps running; see `nothing_of_an_engine`."""


def listening():
    """The ports on which this process listens."""
    inodes = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            inodes.add(os.readlink(f"/proc/self/fd/{name}"))
        except OSError:
            continue
    rows = [
        line.split() for line in Path("/proc/self/net/tcp").read_text().splitlines()
    ]
    return {row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}


@pytest.fixture(autouse=True, scope="module")
def nothing_of_an_engine():
    """Fail a module that leaves processes or open ports behind."""
    if not os.path.isdir("/proc/self/net"):
        yield
        return
    before, open_before = set(descendants()), listening()  # pytest's plugins, too
    yield
    left = {}
    for _ in range(200):  # nothing tells when a process is gone for good
        left = {p: c for p, c in descendants().items() if p not in before}
        if not left and not listening() - open_before:
            return
        time.sleep(0.05)
    assert not left
    assert not listening() - open_before


@pytest.fixture
def run_script(tmp_path):
    """Run a program as a user would: a file, without a guard, in a fresh process."""

    def run(text, *, env=None, timeout=60):
        path = tmp_path / "script.py"
        path.write_text(text)
        import parallelize

        package = str(Path(parallelize.__file__).parent.parent)
        environment = os.environ | {"PYTHONPATH": package} | (env or {})
        return subprocess.run(
            [sys.executable, str(path)],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=environment,
            check=False,
        )

    return run


@pytest.fixture
def latch(tmp_path):
    folder = tmp_path / "latch"
    folder.mkdir()
    one = Latch(folder)
    yield one
    one.force()
