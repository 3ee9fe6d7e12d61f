"""A program that has closed standard streams, as daemons do, has workers all the same."""

import subprocess
import sys

import pytest

PROGRAM = """
import os
from parallelize import ProcessPoolExecutor
out = os.dup2(1, 50)
for fd in {closed}:
    os.close(fd)
with ProcessPoolExecutor(2, mp_context={method!r}) as ex:
    small = [each.result(30) for each in [ex.submit(abs, -n) for n in range(4)]]
    os.write(out, repr((small, ex.submit(len, b"x" * 3_000_000).result(30))).encode())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it has no such numbers")
@pytest.mark.parametrize("method", ["forkserver", "spawn", "fork"])
@pytest.mark.parametrize("closed", [(0,), (1,), (0, 1)])
def test_calls_run_where_streams_are_closed(method, closed):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(method=method, closed=closed)],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("([0, 1, 2, 3], 3000000)", "")


BARE = """
import sys
from unittest import mock
from parallelize import {pool}
{what}
def square(n): return n * n
with {patch}, {pool}(2{more}) as ex:
    print([ex.submit(square, 2).result(30), *ex.map(square, range(3))])
"""

#: Each has a name, what a program does first, and what it patches for the calls.
SURROUNDINGS = {
    "no argv": ("del sys.argv", "mock.MagicMock()"),
    "a mock of getLogger": ("", "mock.patch('logging.getLogger')"),
    "a mock of open": (
        "",
        "mock.patch('builtins.open', mock.mock_open(read_data='x'))",
    ),
    "warnings of encodings": ("", "mock.MagicMock()"),
}
POOLS = {
    "forkserver": ("ProcessPoolExecutor", ", mp_context='forkserver'"),
    "spawn": ("ProcessPoolExecutor", ", mp_context='spawn'"),
    "fork": ("ProcessPoolExecutor", ", mp_context='fork'"),
    "interpreter": ("InterpreterPoolExecutor", ""),
}
if sys.version_info < (3, 14):
    del POOLS["interpreter"]


@pytest.mark.skipif(sys.platform == "win32", reason="there is one method")
@pytest.mark.parametrize("kind", POOLS)
@pytest.mark.parametrize("name", SURROUNDINGS)
def test_calls_run_in_bare_or_mocked_programs(name, kind, tmp_path):
    (what, patch), (pool, more) = SURROUNDINGS[name], POOLS[kind]
    text = BARE.format(what=what, patch=patch, pool=pool, more=more)
    (tmp_path / "script.py").write_text(text)
    options = ["-X", "warn_default_encoding"] if "warnings" in name else []
    done = subprocess.run(
        [sys.executable, *options, "script.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.stderr) == ("[4, 0, 1, 4]\n", "")
